-- The live path's way in: trades of many symbols, staged by one connection, and written by a few statements for all.
-- What it writes and in what order is that of the other door (bulk.py): rows, minutes, ledger, summary, in one transaction.

-- As before, to the microsecond; of immutable parts alone, so that queries take it in instead of calling it for each row.
CREATE OR REPLACE FUNCTION ns_timestamp(p_ns bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp((p_ns / 1000)::float8 / 1000000::float8)
$$;

CREATE FUNCTION stage_trades() RETURNS void
LANGUAGE sql AS $$
    CREATE TEMP TABLE IF NOT EXISTS staged_trades (
        symbol text, ns bigint, trade_id bigint, price numeric, volume numeric, side text, order_type text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_symbols (
        symbol text, first_id bigint, last_id bigint, first_minute timestamptz, last_minute timestamptz,
        outcome text, read bigint, duplicate bigint DEFAULT 0,
        -- The newest run of the symbol, as it was before.
        held_first_id bigint, held_last_id bigint, held_last_ns bigint, since_minute timestamptz
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_stretches (
        symbol text, first timestamptz, last timestamptz, candles bigint
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_runs (
        symbol text, first_id bigint, last_id bigint, first_ns bigint, last_ns bigint, trades bigint
    ) ON COMMIT DELETE ROWS
$$;

-- Trades with ids of their own, each staged once. By symbol the outcome:
--   written   rows, minutes and runs are in; `duplicate` of those staged were held before
--   busy      another transaction writes the symbol: nothing was done, come back
--   involved  rows before a line, or a candle or an archive without ids in the way: that takes bulk.py's care
CREATE FUNCTION write_staged_trades(p_source text)
RETURNS TABLE (symbol text, outcome text, read bigint, duplicate bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    line timestamptz;
BEGIN
    PERFORM share_lines();
    SELECT max(l.line) INTO line FROM retention_lines l;

    INSERT INTO staged_symbols (symbol, first_id, last_id, first_minute, last_minute, read)
    SELECT symbol, min(trade_id), max(trade_id), date_trunc('minute', ns_timestamp(min(ns))),
           date_trunc('minute', ns_timestamp(max(ns))), count(*)
    FROM staged_trades GROUP BY symbol;
    -- Whoever does not wait cannot lock in the wrong order.
    UPDATE staged_symbols SET outcome = 'busy'
    WHERE NOT pg_try_advisory_xact_lock(hashtext('krakendata symbol'), hashtext(symbol));
    UPDATE staged_symbols s SET held_first_id = r.first_id, held_last_id = r.last_id, held_last_ns = r.last_ns
    FROM staged_symbols n CROSS JOIN LATERAL (
        SELECT first_id, last_id, last_ns FROM trade_runs WHERE symbol = n.symbol AND first_id > 0 ORDER BY first_id DESC LIMIT 1) r
    WHERE s.symbol = n.symbol AND n.outcome IS NULL;
    PERFORM find_involved(line);

    IF EXISTS (SELECT FROM staged_symbols WHERE outcome IS NOT NULL) THEN
        DELETE FROM staged_trades t USING staged_symbols s WHERE s.outcome IS NOT NULL AND t.symbol = s.symbol;
    END IF;
    -- Nearly always all are newer than what is held.
    IF EXISTS (SELECT FROM staged_symbols WHERE outcome IS NULL AND held_last_id >= first_id) THEN
        WITH gone AS (
            DELETE FROM staged_trades t USING staged_symbols s, trade_runs r
            WHERE s.outcome IS NULL AND s.held_last_id >= s.first_id AND r.symbol = s.symbol
              AND int8range(r.first_id, r.last_id, '[]') && int8range(s.first_id, s.last_id, '[]')
              AND t.symbol = s.symbol AND t.trade_id BETWEEN r.first_id AND r.last_id
            RETURNING t.symbol
        )
        UPDATE staged_symbols s SET duplicate = g.rows FROM (SELECT symbol, count(*) AS rows FROM gone GROUP BY symbol) g
        WHERE s.symbol = g.symbol;
    END IF;

    INSERT INTO trades (symbol, timestamp, trade_id, price, volume, side, order_type)
    SELECT symbol, ns_timestamp(ns), trade_id, price, volume, side, order_type FROM staged_trades;
    PERFORM merge_staged_trades();
    PERFORM record_staged_runs(p_source);
    UPDATE staged_symbols SET outcome = 'written' WHERE outcome IS NULL;
    RETURN QUERY SELECT s.symbol, s.outcome, s.read, s.duplicate FROM staged_symbols s;
END $$;

-- The symbols of which something without ids lies in the minutes from the trade held before the first staged one on, or
-- staged trades before the line.
CREATE FUNCTION find_involved(p_line timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    UPDATE staged_symbols s SET since_minute = least(first_minute, date_trunc('minute', ns_timestamp(
        CASE WHEN held_first_id < first_id THEN held_last_ns
             WHEN held_first_id IS NOT NULL THEN (
                 SELECT r.last_ns FROM trade_runs r
                 WHERE r.symbol = s.symbol AND r.first_id > 0 AND r.first_id < s.first_id ORDER BY r.first_id DESC LIMIT 1)
        END)))
    WHERE outcome IS NULL;
    UPDATE staged_symbols s SET outcome = 'involved'
    WHERE outcome IS NULL AND (
        first_minute < p_line
        OR EXISTS (SELECT FROM candle_runs c WHERE c.symbol = s.symbol AND c.interval_minutes = 1
                   AND c.first_start <= s.last_minute AND c.last_start >= s.since_minute)
        OR EXISTS (SELECT FROM trade_runs r WHERE r.symbol = s.symbol AND r.first_id < 0
                   AND ns_timestamp(r.first_ns) < s.last_minute + INTERVAL '1 minute' AND ns_timestamp(r.last_ns) >= s.since_minute));
END $$;

-- The staged trades folded into minutes, and merged with what is there: all of them built from trades with ids.
CREATE FUNCTION merge_staged_trades() RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    INSERT INTO candles AS o (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
    SELECT symbol, date_trunc('minute', ns_timestamp(ns)), (array_agg(price ORDER BY trade_id))[1], max(price), min(price),
           (array_agg(price ORDER BY trade_id DESC))[1], sum(volume), sum(price * volume), count(*), min(trade_id), max(trade_id)
    FROM staged_trades GROUP BY 1, 2
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
    PERFORM mark_dirty(symbol, first_minute, last_minute + INTERVAL '1 minute') FROM staged_symbols
    WHERE outcome IS NULL AND read > duplicate;
END $$;

-- The staged ids as runs. Nearly always each goes on from the newest of its source: those grow together, and so does what
-- the operator is told of them.
CREATE FUNCTION record_staged_runs(p_source text) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    run record;
BEGIN
    INSERT INTO staged_runs
    SELECT symbol, min(trade_id), max(trade_id), (array_agg(ns ORDER BY trade_id))[1], (array_agg(ns ORDER BY trade_id DESC))[1], count(*)
    FROM (SELECT symbol, trade_id, ns, trade_id - row_number() OVER (PARTITION BY symbol ORDER BY trade_id) AS island
          FROM staged_trades) numbered
    GROUP BY symbol, island;

    FOR run IN
        SELECT DISTINCT n.symbol, n.first_id, n.last_id FROM staged_runs n JOIN answered_ids a
        ON a.symbol = n.symbol AND a.first_id <= n.last_id AND a.last_id >= n.first_id
    LOOP
        -- They are held from here on, whichever way their run is recorded below.
        PERFORM cut_answered_ids(run.symbol, NULL, int8multirange(int8range(run.first_id, run.last_id, '[]')));
    END LOOP;

    WITH grown AS (
        UPDATE trade_runs r SET last_id = n.last_id, last_ns = n.last_ns, trades = r.trades + n.trades
        FROM staged_runs n JOIN staged_symbols s ON s.symbol = n.symbol AND s.held_last_id = n.first_id - 1
        WHERE r.symbol = n.symbol AND r.first_id = s.held_first_id AND r.source = p_source AND r.stored
        RETURNING n.symbol, n.first_id, n.trades, n.last_ns
    ), told AS (
        UPDATE data_sync_status s SET collected = s.collected + g.trades, stored = s.stored + g.trades,
            newest_timestamp = ns_timestamp(greatest(s.cursor_ns, g.last_ns)), cursor_ns = greatest(s.cursor_ns, g.last_ns),
            last_success = now()
        FROM grown g WHERE s.symbol = g.symbol AND s.kind = 'trades'
    )
    DELETE FROM staged_runs n USING grown g WHERE n.symbol = g.symbol AND n.first_id = g.first_id;

    FOR run IN SELECT * FROM staged_runs ORDER BY symbol, first_id LOOP
        PERFORM record_trade_run(run.symbol, run.first_id, run.last_id, run.first_ns, run.last_ns, run.trades, p_source, true, NULL);
    END LOOP;
    PERFORM summarize_sync(symbol, 'trades') FROM (SELECT DISTINCT symbol FROM staged_runs) changed;
END $$;

-- What a feed heard: while it listened, until p_checked_ns, nothing was traded after the newest trades that are held.
CREATE FUNCTION record_trade_checks(p_symbols text[], p_last_ids bigint[], p_checked_ns bigint[]) RETURNS bigint
LANGUAGE sql AS $$
    WITH heard AS (
        SELECT symbol, last_id, checked_ns FROM unnest(p_symbols, p_last_ids, p_checked_ns) AS said (symbol, last_id, checked_ns)
        WHERE last_id = (SELECT r.last_id FROM trade_runs r WHERE r.symbol = said.symbol AND r.first_id > 0
                         ORDER BY r.first_id DESC LIMIT 1)
    ), recorded AS (
        INSERT INTO trade_checks AS c (symbol, last_id, checked_ns) SELECT symbol, last_id, checked_ns FROM heard ORDER BY symbol
        ON CONFLICT (symbol) DO UPDATE SET last_id = excluded.last_id, checked_ns = excluded.checked_ns
        WHERE excluded.last_id >= c.last_id AND excluded.checked_ns > c.checked_ns
        RETURNING 1
    )
    SELECT count(*) FROM recorded
$$;

-- Candles of many symbols that the exchange gave, staged without ids, whole versions of their minutes. Those above the
-- fence are written; `stored` counts them, and `duplicate` those that say no more than what is there. Those of `busy` symbols,
-- which another transaction writes, are not.
CREATE FUNCTION write_staged_given_candles(OUT stored bigint, OUT duplicate bigint, OUT busy text[])
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    staged bigint;
BEGIN
    PERFORM share_lines();
    busy := ARRAY(SELECT symbol FROM (SELECT DISTINCT symbol FROM staged_candles) s
                  WHERE NOT pg_try_advisory_xact_lock(hashtext('krakendata symbol'), hashtext(symbol)));
    DELETE FROM staged_candles WHERE symbol = ANY (busy);
    SELECT count(*) INTO staged FROM staged_candles;
    DELETE FROM staged_candles WHERE timestamp < (SELECT candles_fence());
    DELETE FROM staged_candles n USING trade_runs r
    WHERE r.symbol = n.symbol AND r.first_id > 0
      AND ns_timestamp(r.first_ns) < n.timestamp AND ns_timestamp(r.last_ns) >= n.timestamp + INTERVAL '1 minute';
    -- Minutes side by side are one stretch; between two that are not, nothing is claimed.
    INSERT INTO staged_stretches
    SELECT symbol, min(timestamp), max(timestamp), count(*) FILTER (WHERE is_new)
    FROM (SELECT n.symbol, n.timestamp, o.symbol IS NULL AS is_new,
                 n.timestamp - row_number() OVER (PARTITION BY n.symbol ORDER BY n.timestamp) * INTERVAL '1 minute' AS island
          FROM staged_candles n
          LEFT JOIN candles o ON o.symbol = n.symbol AND o.interval_minutes = 1 AND o.timestamp = n.timestamp) numbered
    GROUP BY symbol, island;
    PERFORM mark_dirty(symbol, first, last + INTERVAL '1 minute') FROM staged_stretches;
    PERFORM record_staged_stretches();
    INSERT INTO candles AS o (symbol, timestamp, open, high, low, close, volume, turnover, trade_count)
    SELECT symbol, timestamp, open, high, low, close, volume, turnover, trade_count FROM staged_candles
    ON CONFLICT (symbol, interval_minutes, timestamp) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, trade_count = excluded.trade_count, first_id = NULL, last_id = NULL
    WHERE candle_replaces(o.first_id, o.trade_count, NULL, excluded.trade_count, true);
    GET DIAGNOSTICS stored = ROW_COUNT;
    duplicate := staged - stored;
    UPDATE data_sync_status s SET last_success = now() FROM (SELECT DISTINCT symbol FROM staged_candles) n
    WHERE s.symbol = n.symbol AND s.kind = 'candles' AND s.last_success IS DISTINCT FROM now();
END $$;

-- The staged stretches as runs. Nearly always each is there already, or goes on from the newest.
CREATE FUNCTION record_staged_stretches() RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    DELETE FROM staged_stretches n USING candle_runs r
    WHERE n.candles = 0 AND r.symbol = n.symbol AND r.interval_minutes = 1 AND r.first_start <= n.first AND r.last_start >= n.last;
    WITH grown AS (
        UPDATE candle_runs r SET last_start = n.last, candles = r.candles + n.candles
        FROM staged_stretches n
        WHERE r.symbol = n.symbol AND r.interval_minutes = 1 AND r.first_start <= n.first
          AND r.last_start >= n.first - INTERVAL '1 minute' AND r.last_start < n.last
          AND NOT EXISTS (SELECT FROM candle_runs further WHERE further.symbol = n.symbol AND further.interval_minutes = 1
                          AND further.first_start > r.first_start)
        RETURNING n.symbol, n.first, n.last, n.candles
    ), told AS (
        UPDATE data_sync_status s SET newest_timestamp = greatest(s.newest_timestamp, g.last), collected = s.collected + g.candles,
            last_success = now()
        FROM grown g WHERE s.symbol = g.symbol AND s.kind = 'candles'
    )
    DELETE FROM staged_stretches n USING grown g WHERE n.symbol = g.symbol AND n.first = g.first;
    PERFORM record_candle_run(symbol, 1, first, last, candles) FROM (SELECT * FROM staged_stretches ORDER BY symbol, first) n;
    PERFORM summarize_sync(symbol, 'candles') FROM (SELECT DISTINCT symbol FROM staged_stretches) changed;
END $$;
