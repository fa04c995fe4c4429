-- The ledger's verbs. They run in the transaction that changes the rows.

-- Kraken's nanoseconds cut, never rounded, to the microseconds a timestamp holds.
CREATE FUNCTION ns_timestamp(p_ns bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT timestamptz '1970-01-01 00:00:00+00' + (p_ns / 1000) * INTERVAL '1 microsecond'
$$;

-- Records a run, growing a neighbour of the same source and kind where it follows without a step.
-- p_follows: the last id of the run it continues (archives without ids); NULL: the id before.
CREATE FUNCTION record_trade_run(p_symbol text, p_first_id bigint, p_last_id bigint, p_first_ns bigint, p_last_ns bigint,
                                 p_trades bigint, p_source text, p_stored boolean, p_follows bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    before trade_runs;
    after  trade_runs;
BEGIN
    DELETE FROM trade_runs
    WHERE symbol = p_symbol AND last_id = coalesce(p_follows, p_first_id - 1) AND first_id < p_first_id
      AND source = p_source AND stored = p_stored
    RETURNING * INTO before;
    IF p_first_id > 0 THEN
        DELETE FROM trade_runs
        WHERE symbol = p_symbol AND first_id = p_last_id + 1 AND source = p_source AND stored = p_stored
        RETURNING * INTO after;
    END IF;
    INSERT INTO trade_runs (symbol, first_id, last_id, first_ns, last_ns, trades, source, stored)
    VALUES (p_symbol, coalesce(before.first_id, p_first_id), coalesce(after.last_id, p_last_id),
            coalesce(before.first_ns, p_first_ns), coalesce(after.last_ns, p_last_ns),
            p_trades + coalesce(before.trades, 0) + coalesce(after.trades, 0), p_source, p_stored);
END $$;

-- Records that an archive covered [p_first, p_last] at an interval, joining every stretch it touches.
CREATE FUNCTION record_candle_run(p_symbol text, p_interval integer, p_first timestamptz, p_last timestamptz, p_candles bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    step   constant interval := make_interval(mins => p_interval);
    joined record;
BEGIN
    WITH gone AS (
        DELETE FROM candle_runs
        WHERE symbol = p_symbol AND interval_minutes = p_interval
          AND first_start <= p_last + step AND last_start >= p_first - step
        RETURNING first_start, last_start, candles
    )
    SELECT min(first_start) AS first_start, max(last_start) AS last_start, coalesce(sum(candles), 0) AS candles
    INTO joined FROM gone;
    INSERT INTO candle_runs VALUES (p_symbol, p_interval, least(joined.first_start, p_first),
                                    greatest(joined.last_start, p_last), joined.candles + p_candles);
END $$;

-- Exact trades replace an archive without ids over whole minutes: rows and runs between the two minutes go.
-- Returns the number of archive rows that were stored there.
CREATE FUNCTION drop_archive_trades(p_symbol text, p_start timestamptz, p_end timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    lowest  constant bigint := (extract(epoch FROM p_start)::bigint - 8589934592) * 1048576;
    highest constant bigint := (extract(epoch FROM p_end)::bigint - 8589934592) * 1048576 - 1;
    run     trade_runs;
    gone    bigint;
    before  bigint;
    inside  bigint;
BEGIN
    SELECT count(*) INTO gone FROM trade_runs
    WHERE symbol = p_symbol AND first_id < 0 AND first_id <= highest AND last_id >= lowest;
    IF gone = 0 THEN
        RETURN 0;
    END IF;
    FOR run IN
        DELETE FROM trade_runs
        WHERE symbol = p_symbol AND first_id < 0 AND first_id <= highest AND last_id >= lowest
        RETURNING *
    LOOP
        -- How many of the run's rows lie before, inside and behind the cut: counted where stored, else by the time they span.
        SELECT count(*) FILTER (WHERE trade_id < lowest), count(*) FILTER (WHERE trade_id BETWEEN lowest AND highest)
        INTO before, inside FROM trades
        WHERE symbol = p_symbol AND trade_id BETWEEN run.first_id AND run.last_id
          AND timestamp BETWEEN ns_timestamp(run.first_ns) AND ns_timestamp(run.last_ns);
        IF NOT run.stored THEN
            before := ceil(run.trades * (lowest - run.first_id)::numeric / (run.last_id - run.first_id + 1));
            inside := ceil(run.trades * (least(highest, run.last_id) - greatest(lowest, run.first_id) + 1)::numeric
                           / (run.last_id - run.first_id + 1));
        END IF;
        IF run.first_id < lowest THEN
            INSERT INTO trade_runs VALUES (p_symbol, run.first_id, lowest - 1, run.first_ns,
                extract(epoch FROM p_start)::bigint * 1000000000 - 1000000000, greatest(before, 1), run.source, run.stored);
        END IF;
        IF run.last_id > highest THEN
            INSERT INTO trade_runs VALUES (p_symbol, highest + 1, run.last_id, extract(epoch FROM p_end)::bigint * 1000000000,
                run.last_ns, greatest(run.trades - greatest(before, 0) - inside, 1), run.source, run.stored);
        END IF;
    END LOOP;
    DELETE FROM trades WHERE symbol = p_symbol AND timestamp >= p_start AND timestamp < p_end AND trade_id < 0;
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM drop_archive_candles(p_symbol, p_start, p_end);
    RETURN gone;
END $$;

-- A minute that only the archive without ids had trades in is empty now: Kraken's re-timing moved them to another.
CREATE FUNCTION drop_archive_candles(p_symbol text, p_start timestamptz, p_end timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    DELETE FROM candles
    WHERE symbol = p_symbol AND interval_minutes = 1 AND timestamp >= p_start AND timestamp < p_end AND first_id < 0;
    PERFORM mark_dirty(p_symbol, p_start, p_end) WHERE FOUND;

    DELETE FROM candles_history
    WHERE symbol = p_symbol AND interval_minutes = 5 AND first_id < 0 AND NOT coarse
      AND timestamp >= p_start AND timestamp <= p_end - INTERVAL '5 minutes';
    IF FOUND THEN
        DELETE FROM candles_history h
        WHERE symbol = p_symbol AND interval_minutes > 5 AND NOT coarse
          AND timestamp >= time_bucket(INTERVAL '1 week', p_start) AND timestamp < p_end
          AND NOT EXISTS (SELECT FROM candles_history finer
                          WHERE finer.symbol = h.symbol AND finer.interval_minutes = 5 AND NOT finer.coarse
                            AND finer.timestamp >= h.timestamp
                            AND finer.timestamp < h.timestamp + make_interval(mins => h.interval_minutes));
        PERFORM fold_history(p_symbol, p_start, p_end);
    END IF;
END $$;

-- The ledger's summary for the operator. A hole is an id between two runs that is neither collected nor answered.
CREATE FUNCTION summarize_sync(p_symbol text, p_kind text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_kind = 'trades' THEN
        INSERT INTO data_sync_status AS s (symbol, kind, oldest_timestamp, newest_timestamp, collected, stored, holes,
                                           cursor_ns, last_success)
        SELECT p_symbol, 'trades', ns_timestamp(min(first_ns)), ns_timestamp(max(last_ns)),
               sum(trades), coalesce(sum(trades) FILTER (WHERE runs.stored), 0), trade_holes(p_symbol), max(last_ns), now()
        FROM trade_runs runs WHERE symbol = p_symbol HAVING count(*) > 0
        ON CONFLICT (symbol, kind) DO UPDATE SET
            oldest_timestamp = excluded.oldest_timestamp, newest_timestamp = excluded.newest_timestamp,
            collected = excluded.collected, stored = excluded.stored, holes = excluded.holes,
            cursor_ns = excluded.cursor_ns, last_success = excluded.last_success;
    ELSE
        INSERT INTO data_sync_status AS s (symbol, kind, oldest_timestamp, newest_timestamp, collected, last_success)
        SELECT p_symbol, 'candles', min(first_start), max(last_start), sum(candles), now()
        FROM candle_runs WHERE symbol = p_symbol HAVING count(*) > 0
        ON CONFLICT (symbol, kind) DO UPDATE SET
            oldest_timestamp = excluded.oldest_timestamp, newest_timestamp = excluded.newest_timestamp,
            collected = excluded.collected, last_success = excluded.last_success;
    END IF;
END $$;

-- Ids missing between the first and the last that we hold, runs of them counted once; NULL where rows without ids are held.
CREATE FUNCTION trade_holes(p_symbol text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN NOT EXISTS (SELECT FROM trade_runs WHERE symbol = p_symbol AND first_id < 0) THEN count(*) END
    FROM (
        SELECT first_id, lag(last_id) OVER (ORDER BY first_id) AS last_before
        FROM (SELECT first_id, last_id FROM trade_runs WHERE symbol = p_symbol AND first_id > 0
              UNION ALL
              -- An absurd id that was refused far behind the newest is no edge to measure to.
              SELECT first_id, last_id FROM answered_ids WHERE symbol = p_symbol
              AND first_id <= (SELECT max(last_id) FROM trade_runs WHERE symbol = p_symbol)) known
    ) steps WHERE first_id > last_before + 1
$$;
