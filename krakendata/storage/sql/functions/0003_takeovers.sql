-- Given candles below the fence where exact ids cover whole units: what drop_given_minutes in queries.sql does above it.

-- The rows of 5 minutes without ids in [p_start, p_end) that hold no exact trades go, and so does what they made of larger
-- ones. p_shared are minutes that earlier blocks have trades of: their units stay.
CREATE FUNCTION drop_given_history(p_symbol text, p_start timestamptz, p_end timestamptz, p_shared timestamptz[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    gone record;
BEGIN
    WITH dropped AS (
        DELETE FROM candles_history
        WHERE symbol = p_symbol AND interval_minutes = 5 AND first_id IS NULL AND exact_minutes = 0 AND NOT coarse
          AND timestamp >= p_start AND timestamp <= p_end - INTERVAL '5 minutes'
          AND timestamp <> ALL (ARRAY(SELECT time_bucket(INTERVAL '5 minutes', minute) FROM unnest(p_shared) AS minute))
        RETURNING timestamp
    )
    SELECT min(timestamp) AS first, max(timestamp) + INTERVAL '5 minutes' AS finish INTO gone FROM dropped;
    IF gone.first IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM candles_history h
    WHERE symbol = p_symbol AND interval_minutes > 5 AND NOT coarse
      AND timestamp >= time_bucket(INTERVAL '1 week', gone.first) AND timestamp < gone.finish
      AND NOT EXISTS (SELECT FROM candles_history finer
                      WHERE finer.symbol = h.symbol AND finer.interval_minutes = 5 AND NOT finer.coarse
                        AND finer.timestamp >= h.timestamp
                        AND finer.timestamp < h.timestamp + make_interval(mins => h.interval_minutes));
    PERFORM fold_history(p_symbol, gone.first, gone.finish);
END $$;
