-- The one way a 1-minute candle enters: staged, then merged by precedence. Above the fence into candles, below it
-- into candles_history at every interval. The caller's connection stages into the temporary table staged_candles.
--
-- Precedence (docs/explanation/candles.md). By the sign of first_id a candle is given (NULL), built from an archive
-- without ids (negative) or exact (positive). Two of one kind that are built from trades are merged: the ledger has
-- said that the incoming trades are new. Otherwise the incoming one replaces the other or is a duplicate:
--   exact              replaces where it covers the whole unit, or is refused
--   without ids        replaces a given one of no more trades
--   given              replaces a given one of fewer trades
-- The unit is the minute above the fence and the 5-minute bucket below it, where no minutes are stored.
--
-- The stage has no statistics, and nested loops over it took nine times as long as hash joins: they are off here.

CREATE FUNCTION candle_replaces(old_first bigint, old_count bigint, new_first bigint, new_count bigint, new_whole boolean)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN old_first > 0 THEN false
        WHEN new_first > 0 THEN new_whole
        WHEN old_first < 0 THEN false
        WHEN new_first < 0 THEN new_count >= old_count
        ELSE new_count > old_count
    END
$$;

-- Whether two candles are built from trades of one kind.
CREATE FUNCTION candles_merge(old_first bigint, new_first bigint)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(sign(old_first) = sign(new_first), false)
$$;

CREATE FUNCTION stage_candles() RETURNS void
LANGUAGE sql AS $$
    CREATE TEMP TABLE IF NOT EXISTS staged_candles (
        symbol text, timestamp timestamptz, open numeric, high numeric, low numeric, close numeric, volume numeric,
        turnover numeric, trade_count bigint, first_id bigint, last_id bigint, whole boolean DEFAULT true
    ) ON COMMIT DELETE ROWS
$$;

-- Above the fence. What is replaced goes first, then the staged duplicates: a compressed chunk is not opened for rows
-- that change nothing. `replaced` of the stored ones took the place of others.
CREATE FUNCTION merge_into_candles(p_symbol text, p_first timestamptz, p_last timestamptz,
                                   OUT stored bigint, OUT duplicate bigint, OUT replaced bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
BEGIN
    DELETE FROM candles o USING staged_candles n
    WHERE o.symbol = p_symbol AND o.interval_minutes = 1 AND o.timestamp BETWEEN p_first AND p_last
      AND n.symbol = p_symbol AND n.timestamp = o.timestamp
      AND candle_replaces(o.first_id, o.trade_count, n.first_id, n.trade_count, n.whole);
    GET DIAGNOSTICS replaced = ROW_COUNT;

    DELETE FROM staged_candles n USING candles o
    WHERE o.symbol = p_symbol AND o.interval_minutes = 1 AND o.timestamp BETWEEN p_first AND p_last
      AND n.symbol = p_symbol AND n.timestamp = o.timestamp AND NOT candles_merge(o.first_id, n.first_id);
    GET DIAGNOSTICS duplicate = ROW_COUNT;

    INSERT INTO candles AS o (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
    SELECT symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id
    FROM staged_candles WHERE symbol = p_symbol AND timestamp BETWEEN p_first AND p_last
    ORDER BY timestamp
    ON CONFLICT (symbol, interval_minutes, timestamp) DO UPDATE SET
        open = CASE WHEN o.first_id < excluded.first_id THEN o.open ELSE excluded.open END,
        high = greatest(o.high, excluded.high),
        low = least(o.low, excluded.low),
        close = CASE WHEN o.last_id > excluded.last_id THEN o.close ELSE excluded.close END,
        volume = o.volume + excluded.volume,
        turnover = o.turnover + excluded.turnover,
        trade_count = o.trade_count + excluded.trade_count,
        first_id = least(o.first_id, excluded.first_id),
        last_id = greatest(o.last_id, excluded.last_id);
    GET DIAGNOSTICS stored = ROW_COUNT;
    PERFORM mark_dirty(p_symbol, p_first, p_last + INTERVAL '1 minute') WHERE stored + replaced > 0;
END $$;

-- A minute whose exact trades came in pieces, where a candle of another kind stood in the way of the first, is built
-- again from its stored trades.
CREATE FUNCTION rebuild_minute(p_symbol text, p_minute timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
BEGIN
    IF p_minute < (SELECT line FROM retention_lines WHERE kind = 'trades') THEN
        RETURN;
    END IF;
    UPDATE candles o SET
        open = n.open, high = n.high, low = n.low, close = n.close, volume = n.volume, turnover = n.turnover,
        trade_count = n.trade_count, first_id = n.first_id, last_id = n.last_id
    FROM (
        SELECT (array_agg(price ORDER BY trade_id))[1] AS open, max(price) AS high, min(price) AS low,
               (array_agg(price ORDER BY trade_id DESC))[1] AS close, sum(volume) AS volume,
               sum(price * volume) AS turnover, count(*) AS trade_count, min(trade_id) AS first_id, max(trade_id) AS last_id
        FROM trades
        WHERE symbol = p_symbol AND trade_id > 0 AND timestamp >= p_minute AND timestamp < p_minute + INTERVAL '1 minute'
    ) n
    WHERE o.symbol = p_symbol AND o.interval_minutes = 1 AND o.timestamp = p_minute
      AND n.trade_count > 0 AND (o.first_id, o.trade_count) IS DISTINCT FROM (n.first_id, n.trade_count);
    PERFORM mark_dirty(p_symbol, p_minute, p_minute + INTERVAL '1 minute') WHERE FOUND;
END $$;

-- Folds 5-minute history rows of p_symbol (NULL: all) in [p_start, p_end) into every larger interval.
CREATE FUNCTION fold_history(p_symbol text, p_start timestamptz, p_end timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
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
        ON CONFLICT (symbol, interval_minutes, coarse, timestamp) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, turnover = excluded.turnover, trade_count = excluded.trade_count,
            first_id = excluded.first_id, last_id = excluded.last_id
        WHERE (o.open, o.high, o.low, o.close, o.volume, o.turnover, o.trade_count, o.first_id, o.last_id)
              IS DISTINCT FROM
              (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.turnover,
               excluded.trade_count, excluded.first_id, excluded.last_id);
    END LOOP;
END $$;

-- Which bit of a 5-minute row's mask stands for a minute.
CREATE FUNCTION minute_bit(p_minute timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 1 << (extract(minute FROM p_minute AT TIME ZONE 'UTC')::integer % 5)
$$;

-- Below the fence. Minutes are not stored there; the 5-minute row remembers in a mask which of its minutes it holds.
-- Minutes it does not hold are added whatever their kind; a row of two kinds has no ids.
CREATE FUNCTION merge_into_history(p_symbol text, p_first timestamptz, p_last timestamptz,
                                   OUT folded bigint, OUT duplicate bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
DECLARE
    first_unit constant timestamptz := time_bucket(INTERVAL '5 minutes', p_first);
BEGIN
    DELETE FROM candles_history o USING (
        SELECT time_bucket(INTERVAL '5 minutes', timestamp) AS timestamp, sum(trade_count)::bigint AS trade_count,
               min(first_id) AS first_id, bool_and(whole) AS whole
        FROM staged_candles WHERE symbol = p_symbol AND timestamp BETWEEN p_first AND p_last
        GROUP BY 1
    ) n
    WHERE o.symbol = p_symbol AND o.interval_minutes = 5 AND NOT o.coarse AND o.timestamp BETWEEN first_unit AND p_last
      AND o.timestamp = n.timestamp AND n.first_id IS NOT NULL
      AND candle_replaces(o.first_id, o.trade_count, n.first_id, n.trade_count, n.whole);

    DELETE FROM staged_candles n USING candles_history o
    WHERE o.symbol = p_symbol AND o.interval_minutes = 5 AND NOT o.coarse AND o.timestamp BETWEEN first_unit AND p_last
      AND n.symbol = p_symbol AND time_bucket(INTERVAL '5 minutes', n.timestamp) = o.timestamp
      AND o.minutes & minute_bit(n.timestamp) <> 0
      AND NOT candles_merge(o.first_id, n.first_id)
      AND NOT (coalesce(n.first_id, 0) > 0 AND o.exact_minutes & minute_bit(n.timestamp) <> 0);
    GET DIAGNOSTICS duplicate = ROW_COUNT;
    SELECT count(*) INTO folded FROM staged_candles WHERE symbol = p_symbol AND timestamp BETWEEN p_first AND p_last;

    -- Two rows of one kind are told apart by their ids, others by the minutes they hold: the earliest opens, the latest
    -- closes, and of a minute in pieces the later piece is the later one.
    INSERT INTO candles_history AS o (symbol, interval_minutes, timestamp, open, high, low, close, volume, turnover,
                                      trade_count, first_id, last_id, minutes, exact_minutes)
    SELECT symbol, 5, time_bucket(INTERVAL '5 minutes', timestamp) AS timestamp,
           (array_agg(open ORDER BY timestamp))[1], max(high), min(low), (array_agg(close ORDER BY timestamp DESC))[1],
           sum(volume), CASE WHEN count(turnover) = count(*) THEN sum(turnover) END, sum(trade_count)::bigint,
           min(first_id), max(last_id), bit_or(minute_bit(timestamp)),
           coalesce(bit_or(minute_bit(timestamp)) FILTER (WHERE first_id > 0), 0)
    FROM staged_candles WHERE symbol = p_symbol AND timestamp BETWEEN p_first AND p_last
    GROUP BY 1, 3
    ORDER BY 3
    ON CONFLICT (symbol, interval_minutes, coarse, timestamp) DO UPDATE SET
        open = CASE WHEN CASE WHEN candles_merge(o.first_id, excluded.first_id) THEN o.first_id < excluded.first_id
                              ELSE (o.minutes & -o.minutes) <= (excluded.minutes & -excluded.minutes) END
               THEN o.open ELSE excluded.open END,
        high = greatest(o.high, excluded.high),
        low = least(o.low, excluded.low),
        close = CASE WHEN CASE WHEN candles_merge(o.first_id, excluded.first_id) THEN o.last_id > excluded.last_id
                               -- Whether the latest minute of o is behind the latest of excluded.
                               ELSE o.minutes >= 2 * excluded.minutes END
                THEN o.close ELSE excluded.close END,
        volume = o.volume + excluded.volume,
        turnover = o.turnover + excluded.turnover,
        trade_count = o.trade_count + excluded.trade_count,
        first_id = CASE WHEN candles_merge(o.first_id, excluded.first_id) THEN least(o.first_id, excluded.first_id) END,
        last_id = CASE WHEN candles_merge(o.first_id, excluded.first_id) THEN greatest(o.last_id, excluded.last_id) END,
        minutes = o.minutes | excluded.minutes,
        exact_minutes = o.exact_minutes | excluded.exact_minutes;

    PERFORM fold_history(p_symbol, p_first, p_last + INTERVAL '1 minute');
END $$;

-- Everything staged, symbol by symbol in sorted order. Counts are of staged minutes.
CREATE FUNCTION merge_staged_candles(OUT stored bigint, OUT folded bigint, OUT duplicate bigint, OUT replaced bigint)
LANGUAGE plpgsql AS $$
DECLARE
    fence constant timestamptz := candles_fence();
    part  record;
    above record;
    below record;
BEGIN
    stored := 0; folded := 0; duplicate := 0; replaced := 0;
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
            replaced := replaced + above.replaced;
        END IF;
        IF part.below_first IS NOT NULL THEN
            below := merge_into_history(part.symbol, part.below_first, part.below_last);
            folded := folded + below.folded;
            duplicate := duplicate + below.duplicate;
        END IF;
    END LOOP;
END $$;

-- Coarse archive rows, staged at their own interval: they never touch a bucket that finer data has given.
CREATE FUNCTION merge_coarse_candles(p_interval integer, OUT stored bigint, OUT duplicate bigint, OUT replaced bigint)
LANGUAGE plpgsql AS $$
DECLARE
    staged constant bigint := (SELECT count(*) FROM staged_candles);
BEGIN
    WITH written AS (
        INSERT INTO candles_history AS o (symbol, interval_minutes, timestamp, open, high, low, close, volume, turnover,
                                          trade_count, first_id, last_id, coarse)
        SELECT symbol, p_interval, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id, true
        FROM staged_candles ORDER BY symbol, timestamp
        ON CONFLICT (symbol, interval_minutes, coarse, timestamp) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, turnover = excluded.turnover, trade_count = excluded.trade_count
        WHERE excluded.trade_count > o.trade_count
        RETURNING xmax = 0 AS is_new
    )
    SELECT count(*), count(*) FILTER (WHERE NOT is_new) INTO stored, replaced FROM written;
    duplicate := staged - stored;
END $$;
