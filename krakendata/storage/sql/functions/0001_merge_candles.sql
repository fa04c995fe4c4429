-- The one way a 1-minute candle enters: staged, then merged by precedence. Above the fence into candles, below it
-- into candles_history at every interval. The caller's connection stages into the temporary table staged_candles.
--
-- Precedence (docs/explanation/candles.md). By the sign of first_id a candle is given (NULL), built from an archive
-- without ids (negative) or exact (positive):
--   same kind, both built from trades   merge: the ledger has said that the incoming trades are new
--   exact over another                  replace, where the exact side covers the whole unit or counts as many trades
--   another over exact                  keep
--   neither exact                       the row with more trades
-- The unit is the minute above the fence and the 5-minute bucket below it, where no minutes are stored.

CREATE FUNCTION candle_outcome(old_first bigint, old_count bigint, new_first bigint, new_count bigint, new_whole boolean)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN sign(old_first) = sign(new_first) THEN 'merge'
        WHEN new_first > 0 THEN CASE WHEN new_whole OR new_count >= old_count THEN 'replace' ELSE 'keep' END
        WHEN old_first > 0 THEN 'keep'
        WHEN new_count > old_count THEN 'replace'
        ELSE 'keep'
    END
$$;

CREATE FUNCTION stage_candles() RETURNS void
LANGUAGE sql AS $$
    CREATE TEMP TABLE IF NOT EXISTS staged_candles (
        symbol text, timestamp timestamptz, open numeric, high numeric, low numeric, close numeric, volume numeric,
        turnover numeric, trade_count bigint, first_id bigint, last_id bigint, whole boolean DEFAULT true
    ) ON COMMIT DELETE ROWS
$$;

-- Above the fence. Losers leave the stage first: a compressed chunk is not opened for rows that change nothing.
CREATE FUNCTION merge_into_candles(p_symbol text, p_first timestamptz, p_last timestamptz,
                                   OUT stored bigint, OUT duplicate bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    DELETE FROM staged_candles n USING candles o
    WHERE o.symbol = p_symbol AND o.interval_minutes = 1 AND o.timestamp BETWEEN p_first AND p_last
      AND n.symbol = p_symbol AND n.timestamp = o.timestamp
      AND candle_outcome(o.first_id, o.trade_count, n.first_id, n.trade_count, n.whole) = 'keep';
    GET DIAGNOSTICS duplicate = ROW_COUNT;

    INSERT INTO candles AS o (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
    SELECT symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id
    FROM staged_candles WHERE symbol = p_symbol AND timestamp BETWEEN p_first AND p_last
    ORDER BY timestamp
    ON CONFLICT (symbol, interval_minutes, timestamp) DO UPDATE SET (
        open, high, low, close, volume, turnover, trade_count, first_id, last_id
    ) = (SELECT m.* FROM (SELECT
            CASE WHEN o.first_id < excluded.first_id THEN o.open ELSE excluded.open END,
            greatest(o.high, excluded.high), least(o.low, excluded.low),
            CASE WHEN o.last_id > excluded.last_id THEN o.close ELSE excluded.close END,
            o.volume + excluded.volume, o.turnover + excluded.turnover, o.trade_count + excluded.trade_count,
            least(o.first_id, excluded.first_id), greatest(o.last_id, excluded.last_id)
         ) m WHERE sign(o.first_id) = sign(excluded.first_id)
         UNION ALL
         SELECT excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.turnover,
                excluded.trade_count, excluded.first_id, excluded.last_id
         WHERE sign(o.first_id) IS DISTINCT FROM sign(excluded.first_id) OR o.first_id IS NULL);
    GET DIAGNOSTICS stored = ROW_COUNT;
    PERFORM mark_dirty(p_symbol, p_first, p_last + INTERVAL '1 minute') WHERE stored > 0;
END $$;

-- Folds 5-minute history rows of p_symbol (NULL: all) in [p_start, p_end) into every larger interval.
CREATE FUNCTION fold_history(p_symbol text, p_start timestamptz, p_end timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    step record;
BEGIN
    FOR step IN
        SELECT minutes, parent, make_interval(mins => minutes) AS width
        FROM (VALUES (15, 5), (30, 5), (60, 5), (240, 60), (720, 60), (1440, 60), (10080, 60)) AS v (minutes, parent)
    LOOP
        INSERT INTO candles_history AS o (symbol, interval_minutes, timestamp, open, high, low, close, volume, turnover,
                                          trade_count, first_id, last_id)
        SELECT symbol, step.minutes, time_bucket(step.width, timestamp),
               (array_agg(open ORDER BY timestamp))[1], max(high), min(low), (array_agg(close ORDER BY timestamp DESC))[1],
               sum(volume), CASE WHEN count(turnover) = count(*) THEN sum(turnover) END, sum(trade_count)::bigint,
               CASE WHEN count(first_id) = count(*) THEN min(first_id) END,
               CASE WHEN count(last_id) = count(*) THEN max(last_id) END
        FROM candles_history
        WHERE (p_symbol IS NULL OR symbol = p_symbol) AND interval_minutes = step.parent AND NOT coarse
          AND timestamp >= time_bucket(step.width, p_start)
          AND timestamp < time_bucket(step.width, p_end - INTERVAL '1 microsecond') + step.width
        GROUP BY symbol, time_bucket(step.width, timestamp)
        ON CONFLICT (symbol, interval_minutes, timestamp) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, turnover = excluded.turnover, trade_count = excluded.trade_count,
            first_id = excluded.first_id, last_id = excluded.last_id, coarse = false
        WHERE (o.open, o.high, o.low, o.close, o.volume, o.turnover, o.trade_count, o.first_id, o.last_id, o.coarse)
              IS DISTINCT FROM
              (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.turnover,
               excluded.trade_count, excluded.first_id, excluded.last_id, false);
    END LOOP;
END $$;

-- Below the fence. Minutes are not stored there; the 5-minute row remembers in a mask which of its minutes it holds.
CREATE FUNCTION merge_into_history(p_symbol text, p_first timestamptz, p_last timestamptz,
                                   OUT folded bigint, OUT duplicate bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    DELETE FROM staged_candles n USING candles_history o
    WHERE o.symbol = p_symbol AND o.interval_minutes = 5 AND NOT o.coarse
      AND o.timestamp BETWEEN time_bucket(INTERVAL '5 minutes', p_first) AND p_last
      AND n.symbol = p_symbol AND n.first_id IS NULL
      AND time_bucket(INTERVAL '5 minutes', n.timestamp) = o.timestamp
      AND (o.first_id IS NOT NULL OR o.minutes & (1 << extract(minute FROM n.timestamp - o.timestamp)::integer) <> 0);
    GET DIAGNOSTICS duplicate = ROW_COUNT;
    SELECT count(*) INTO folded FROM staged_candles WHERE symbol = p_symbol AND timestamp BETWEEN p_first AND p_last;

    INSERT INTO candles_history AS o (symbol, interval_minutes, timestamp, open, high, low, close, volume, turnover,
                                      trade_count, first_id, last_id, minutes)
    SELECT n.symbol, 5, n.timestamp, n.open, n.high, n.low, n.close, n.volume, n.turnover, n.trade_count,
           n.first_id, n.last_id, n.minutes
    FROM (
        SELECT symbol, time_bucket(INTERVAL '5 minutes', timestamp) AS timestamp,
               (array_agg(open ORDER BY timestamp))[1] AS open, max(high) AS high, min(low) AS low,
               (array_agg(close ORDER BY timestamp DESC))[1] AS close, sum(volume) AS volume,
               CASE WHEN count(turnover) = count(*) THEN sum(turnover) END AS turnover,
               sum(trade_count)::bigint AS trade_count, min(first_id) AS first_id, max(last_id) AS last_id,
               bit_or(1 << (extract(minute FROM timestamp)::integer % 5)) AS minutes, bool_and(whole) AS whole
        FROM staged_candles WHERE symbol = p_symbol AND timestamp BETWEEN p_first AND p_last
        GROUP BY symbol, time_bucket(INTERVAL '5 minutes', timestamp)
    ) n
    LEFT JOIN candles_history old ON old.symbol = n.symbol AND old.interval_minutes = 5 AND old.timestamp = n.timestamp
    WHERE old.symbol IS NULL OR old.coarse OR (old.first_id IS NULL AND n.first_id IS NULL)
       OR candle_outcome(old.first_id, old.trade_count, n.first_id, n.trade_count, n.whole) <> 'keep'
    ORDER BY n.timestamp
    ON CONFLICT (symbol, interval_minutes, timestamp) DO UPDATE SET (
        open, high, low, close, volume, turnover, trade_count, first_id, last_id, minutes, coarse
    ) = (SELECT m.*, false FROM (SELECT
            CASE WHEN coalesce(o.first_id < excluded.first_id, (o.minutes & -o.minutes) < (excluded.minutes & -excluded.minutes))
                 THEN o.open ELSE excluded.open END,
            greatest(o.high, excluded.high), least(o.low, excluded.low),
            CASE WHEN coalesce(o.last_id > excluded.last_id, o.minutes > excluded.minutes)
                 THEN o.close ELSE excluded.close END,
            o.volume + excluded.volume, o.turnover + excluded.turnover, o.trade_count + excluded.trade_count,
            least(o.first_id, excluded.first_id), greatest(o.last_id, excluded.last_id), o.minutes | excluded.minutes
         ) m WHERE NOT o.coarse AND coalesce(sign(o.first_id), 0) = coalesce(sign(excluded.first_id), 0)
         UNION ALL
         SELECT excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.turnover,
                excluded.trade_count, excluded.first_id, excluded.last_id, excluded.minutes, false
         WHERE o.coarse OR coalesce(sign(o.first_id), 0) <> coalesce(sign(excluded.first_id), 0));

    PERFORM fold_history(p_symbol, p_first, p_last + INTERVAL '1 minute');
END $$;

-- Everything staged, symbol by symbol in sorted order. Counts are of staged minutes.
CREATE FUNCTION merge_staged_candles(OUT stored bigint, OUT folded bigint, OUT duplicate bigint)
LANGUAGE plpgsql AS $$
DECLARE
    fence constant timestamptz := candles_fence();
    part  record;
    above record;
    below record;
BEGIN
    stored := 0; folded := 0; duplicate := 0;
    FOR part IN
        SELECT symbol,
               min(timestamp) FILTER (WHERE timestamp >= fence) AS above_first, max(timestamp) FILTER (WHERE timestamp >= fence) AS above_last,
               min(timestamp) FILTER (WHERE timestamp < fence) AS below_first, max(timestamp) FILTER (WHERE timestamp < fence) AS below_last
        FROM staged_candles GROUP BY symbol ORDER BY symbol
    LOOP
        IF part.above_first IS NOT NULL THEN
            above := merge_into_candles(part.symbol, part.above_first, part.above_last);
            stored := stored + above.stored;
            duplicate := duplicate + above.duplicate;
        END IF;
        IF part.below_first IS NOT NULL THEN
            below := merge_into_history(part.symbol, part.below_first, part.below_last);
            folded := folded + below.folded;
            duplicate := duplicate + below.duplicate;
        END IF;
    END LOOP;
END $$;

-- Coarse archive rows, staged at their own interval: they never touch a bucket that finer data has given.
CREATE FUNCTION merge_coarse_candles(p_interval integer, OUT stored bigint, OUT duplicate bigint)
LANGUAGE plpgsql AS $$
DECLARE
    staged bigint;
BEGIN
    SELECT count(*) INTO staged FROM staged_candles;
    INSERT INTO candles_history AS o (symbol, interval_minutes, timestamp, open, high, low, close, volume, turnover,
                                      trade_count, first_id, last_id, coarse)
    SELECT symbol, p_interval, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id, true
    FROM staged_candles ORDER BY symbol, timestamp
    ON CONFLICT (symbol, interval_minutes, timestamp) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, trade_count = excluded.trade_count
    WHERE o.coarse AND excluded.trade_count > o.trade_count;
    GET DIAGNOSTICS stored = ROW_COUNT;
    duplicate := staged - stored;
END $$;
