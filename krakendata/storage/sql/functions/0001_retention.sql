-- The fence moves: one transaction copies the closed buckets below the new line, moves the line and drops the chunks.

CREATE FUNCTION lock_lines() RETURNS void
LANGUAGE sql AS $$ SELECT pg_advisory_xact_lock(hashtext('krakendata lines')) $$;
COMMENT ON FUNCTION lock_lines IS 'Taken alone by whoever moves a line.';

CREATE FUNCTION share_lines() RETURNS void
LANGUAGE sql AS $$ SELECT pg_advisory_xact_lock_shared(hashtext('krakendata lines')) $$;
COMMENT ON FUNCTION share_lines IS 'Taken by every writer: no line moves under a transaction that read it.';

-- The Monday where p_days (0: for ever) puts a line. 2013-09-02 precedes Kraken's first trade.
CREATE FUNCTION line_for(p_now timestamptz, p_days integer) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE p_days WHEN 0 THEN timestamptz '2013-09-02 00:00:00+00'
           ELSE time_bucket(INTERVAL '1 week', p_now - make_interval(days => p_days)) END
$$;

CREATE FUNCTION move_trades_line(p_line timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    line_ns constant bigint := extract(epoch FROM p_line)::bigint * 1000000000;
    run     trade_runs;
    kept    record;
BEGIN
    UPDATE trade_runs SET stored = false WHERE stored AND last_ns < line_ns;
    FOR run IN SELECT * FROM trade_runs WHERE stored AND first_ns < line_ns ORDER BY symbol LOOP
        SELECT trade_id, timestamp, run.last_id - trade_id + 1 AS trades INTO kept FROM trades
        WHERE symbol = run.symbol AND timestamp >= p_line AND timestamp <= ns_timestamp(run.last_ns)
          AND trade_id BETWEEN run.first_id AND run.last_id
        ORDER BY timestamp, trade_id LIMIT 1;
        CONTINUE WHEN kept.trade_id = run.first_id;
        IF kept.trade_id IS NULL THEN
            UPDATE trade_runs SET stored = false WHERE symbol = run.symbol AND first_id = run.first_id;
            CONTINUE;
        END IF;
        IF run.first_id < 0 THEN
            SELECT count(*) INTO kept.trades FROM trades
            WHERE symbol = run.symbol AND timestamp >= p_line AND timestamp <= ns_timestamp(run.last_ns)
              AND trade_id BETWEEN kept.trade_id AND run.last_id;
        END IF;
        UPDATE trade_runs
        SET last_id = kept.trade_id - 1, last_ns = line_ns - 1, trades = run.trades - kept.trades, stored = false
        WHERE symbol = run.symbol AND first_id = run.first_id;
        INSERT INTO trade_runs
        VALUES (run.symbol, kept.trade_id, run.last_id, (extract(epoch FROM kept.timestamp) * 1000000)::bigint * 1000,
                run.last_ns, kept.trades, run.source, true);
    END LOOP;
    UPDATE retention_lines SET line = p_line WHERE kind = 'trades';
    PERFORM summarize_sync(symbol, 'trades') FROM (SELECT DISTINCT symbol FROM trade_runs ORDER BY symbol) s;
END $$;

CREATE FUNCTION move_fence(p_line timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    fence constant timestamptz := candles_fence();
BEGIN
    INSERT INTO candles_history AS o (symbol, interval_minutes, timestamp, open, high, low, close, volume, turnover,
                                      trade_count, first_id, last_id, minutes, exact_minutes)
    SELECT symbol, 5, time_bucket(INTERVAL '5 minutes', timestamp),
           (array_agg(open ORDER BY timestamp))[1], max(high), min(low), (array_agg(close ORDER BY timestamp DESC))[1],
           sum(volume), CASE WHEN count(turnover) = count(*) THEN sum(turnover) END, sum(trade_count)::bigint,
           CASE WHEN count(first_id) = count(*) THEN min(first_id) END,
           CASE WHEN count(last_id) = count(*) THEN max(last_id) END,
           bit_or(minute_bit(timestamp)), coalesce(bit_or(minute_bit(timestamp)) FILTER (WHERE first_id > 0), 0)
    FROM candles
    WHERE interval_minutes = 1 AND timestamp >= fence AND timestamp < p_line
    GROUP BY symbol, time_bucket(INTERVAL '5 minutes', timestamp)
    ON CONFLICT (symbol, interval_minutes, coarse, timestamp) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, trade_count = excluded.trade_count,
        first_id = excluded.first_id, last_id = excluded.last_id, minutes = excluded.minutes,
        exact_minutes = excluded.exact_minutes;
    PERFORM fold_history(NULL, fence, p_line);
    -- Readers lock this table before they look (storage/pool.py): none sees the old rows through the new views.
    LOCK TABLE retention_lines IN ACCESS EXCLUSIVE MODE;
    UPDATE retention_lines SET line = p_line WHERE kind = 'candles';
    PERFORM draw_all_candles();
END $$;

-- Moves both lines to where the settings put them (never back) and drops what lies wholly before them.
CREATE FUNCTION apply_retention(p_now timestamptz, p_trades_days integer, p_candles_days integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    trades_line  constant timestamptz := line_for(p_now, p_trades_days);
    candles_line constant timestamptz := line_for(p_now, p_candles_days);
BEGIN
    PERFORM lock_lines();
    IF trades_line > (SELECT line FROM retention_lines WHERE kind = 'trades') THEN
        PERFORM move_trades_line(trades_line);
    END IF;
    IF candles_line > candles_fence() THEN
        PERFORM move_fence(candles_line);
    END IF;
    PERFORM drop_partitions(kind, line) FROM retention_lines ORDER BY kind;
END $$;
