-- Decisions about rejected records, and the way back in for rows of archives without ids.

-- Moves those that wait to a state, and counts them there; gives the ids that moved. Records are locked before counts.
CREATE FUNCTION settle_rejects(p_ids bigint[], p_state text) RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
DECLARE
    settled bigint[];
    part    record;
BEGIN
    PERFORM id FROM rejected_records WHERE id = ANY (p_ids) ORDER BY id FOR UPDATE;
    WITH moved AS (
        UPDATE rejected_records SET state = p_state WHERE id = ANY (p_ids) AND state = 'quarantined' RETURNING id
    )
    SELECT coalesce(array_agg(id ORDER BY id), '{}') INTO settled FROM moved;
    -- In one order, as whoever counts new ones does (storage/rejects.py): by the bytes, whatever the database's collation.
    FOR part IN
        SELECT run_id, source, reason, count(*) AS records FROM rejected_records
        WHERE id = ANY (settled) AND run_id IS NOT NULL
        GROUP BY run_id, source, reason ORDER BY run_id, source COLLATE "C", reason COLLATE "C"
    LOOP
        UPDATE reject_counts SET replayed = replayed + CASE p_state WHEN 'replayed' THEN part.records ELSE 0 END,
                                 dismissed = dismissed + CASE p_state WHEN 'dismissed' THEN part.records ELSE 0 END
        WHERE run_id = part.run_id AND source = part.source AND reason = part.reason;
    END LOOP;
    RETURN QUERY SELECT unnest(settled);
END $$;

-- Before records of a symbol are let in one by one: locks at once what each of them would touch, records before counts and each
-- in one order, or whoever decides about the same ones meanwhile would wait for us as we for them. p_first and p_last are the
-- lowest and the highest id that their seconds can have.
CREATE FUNCTION lock_archive_rejects(p_symbol text, p_ids bigint[], p_first bigint, p_last bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM id FROM rejected_records
    WHERE id = ANY (p_ids)
       OR symbol = p_symbol
          AND follows BETWEEN least(p_first, (SELECT min(f.follows) FROM rejected_records f WHERE f.id = ANY (p_ids))) AND p_last
    ORDER BY id FOR UPDATE;
    PERFORM run_id FROM reject_counts c
    WHERE EXISTS (SELECT FROM rejected_records r
                  WHERE r.id = ANY (p_ids) AND r.run_id = c.run_id AND r.source = c.source AND r.reason = c.reason)
    ORDER BY run_id, source COLLATE "C", reason COLLATE "C" FOR UPDATE;
END $$;

-- A row of an archive without ids, where its import would have put it: behind the row that came before it in its file. The
-- rows of its second that come after it get the ids that they would have had. Minutes merge as the door merges them.
-- The caller holds the symbol's write lock and the lines, and has made the partitions.
CREATE FUNCTION insert_archive_row(p_record bigint, p_symbol text, p_ns bigint, p_price numeric, p_volume numeric, p_side text,
                                   p_order_type text, OUT new_id bigint, OUT outcome text)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    refused   rejected_records;
    in_second constant bigint := p_ns / 1000000000;
    lowest    constant bigint := (in_second - 8589934592) * 1048576;
    highest   constant bigint := lowest + 1048575;
    moment    constant timestamptz := ns_timestamp(p_ns);
    -- Whole seconds and minutes by the epoch, whatever the session's time zone.
    opens     constant timestamptz := ns_timestamp(in_second * 1000000000);
    in_minute constant timestamptz := ns_timestamp(in_second / 60 * 60000000000);
    is_stored constant boolean := moment >= (SELECT line FROM retention_lines WHERE kind = 'trades');
    behind    bigint;
    twin      record;
BEGIN
    SELECT * INTO refused FROM rejected_records WHERE id = p_record;
    -- Files overlap, and one is uploaded twice: of equal rows of a second there are as many as the file has that has most of them.
    WITH let_in AS (
        SELECT DISTINCT ON (r.place, r.line) r.place, r.line, r.follows, d.trade_id, d.decided_at
        FROM rejected_records r JOIN reject_decisions d ON d.record_id = r.id AND d.action = 'replayed'
        WHERE r.state = 'replayed' AND r.trade_id IS NULL AND r.raw = refused.raw AND r.symbol = p_symbol AND r.source = refused.source
          AND d.trade_id BETWEEN lowest AND highest
        ORDER BY r.place, r.line, d.id
    ), others AS (
        SELECT *, row_number() OVER (PARTITION BY place ORDER BY line) AS number FROM let_in WHERE place <> refused.place
    )
    SELECT * INTO twin FROM others
    WHERE number = 1 + (SELECT count(*) FROM let_in WHERE place = refused.place) ORDER BY place LIMIT 1;
    IF FOUND THEN
        new_id := twin.trade_id;
        outcome := 'duplicate';
        -- What comes behind it in its own file comes behind the row that is it, where that lies now. A file that was imported
        -- when the row was in already has counted the second without it.
        UPDATE rejected_records r
        SET follows = CASE WHEN r.follows = refused.follows THEN CASE WHEN twin.follows < lowest THEN lowest ELSE twin.follows + 1 END
                           ELSE r.follows + 1 END
        WHERE r.symbol = p_symbol AND r.place = refused.place AND r.line > refused.line AND twin.follows < highest
          AND (r.follows = refused.follows
               OR r.follows > refused.follows AND r.follows BETWEEN lowest AND highest - 1 AND r.seen_at > twin.decided_at);
        RETURN;
    END IF;
    -- One line of one file is one row, however often an import refused it; and a minute is of one kind.
    IF EXISTS (SELECT FROM rejected_records r
                  WHERE r.symbol = p_symbol AND r.follows IS NOT DISTINCT FROM refused.follows AND r.place = refused.place
                    AND r.line = refused.line AND r.raw = refused.raw AND r.state = 'replayed')
       OR EXISTS (SELECT FROM trade_runs r
                  WHERE r.symbol = p_symbol AND r.first_id > 0 AND ns_timestamp(r.first_ns) < in_minute + INTERVAL '1 minute'
                    AND ns_timestamp(r.last_ns) >= in_minute) THEN
        outcome := 'duplicate';
        RETURN;
    END IF;

    IF refused.follows < lowest THEN
        new_id := lowest;
    ELSIF refused.follows <= highest THEN
        new_id := refused.follows + 1;
    ELSE
        -- Late in its file, or refused before anybody noted its place: the last of its second, as far as that is known.
        SELECT max(id) + 1 INTO new_id FROM (
            SELECT t.trade_id AS id FROM trades t
            WHERE is_stored AND t.symbol = p_symbol AND t.timestamp >= opens AND t.timestamp < opens + INTERVAL '1 second'
              AND t.trade_id BETWEEN lowest AND highest
            UNION ALL
            SELECT last_id FROM trade_runs WHERE symbol = p_symbol AND last_id BETWEEN lowest AND highest
            UNION ALL
            SELECT lowest - 1
        ) known;
    END IF;

    IF is_stored THEN
        -- One by one from the last, so that each finds its new id free: within one statement a compressed chunk would have to
        -- be opened for rows that go and for the same ones as they come back.
        FOREACH behind IN ARRAY ARRAY(
            SELECT t.trade_id FROM trades t
            WHERE t.symbol = p_symbol AND t.timestamp >= opens AND t.timestamp < opens + INTERVAL '1 second'
              AND t.trade_id BETWEEN new_id AND highest
            ORDER BY t.trade_id DESC)
        LOOP
            UPDATE trades t SET trade_id = behind + 1
            WHERE t.symbol = p_symbol AND t.timestamp >= opens AND t.timestamp < opens + INTERVAL '1 second' AND t.trade_id = behind;
        END LOOP;
        INSERT INTO trades (symbol, timestamp, trade_id, price, volume, side, order_type)
        VALUES (p_symbol, moment, new_id, p_price, p_volume, p_side, p_order_type);
    END IF;
    UPDATE candles o SET first_id = first_id + (first_id BETWEEN new_id AND highest)::integer,
                         last_id = last_id + (last_id BETWEEN new_id AND highest)::integer
    WHERE o.symbol = p_symbol AND o.interval_minutes = 1 AND o.timestamp = in_minute AND last_id BETWEEN new_id AND highest;
    UPDATE candles_history o SET first_id = first_id + (first_id BETWEEN new_id AND highest)::integer,
                                 last_id = last_id + (last_id BETWEEN new_id AND highest)::integer
    WHERE o.symbol = p_symbol AND o.interval_minutes = 5 AND NOT o.coarse AND o.timestamp = time_bucket(INTERVAL '5 minutes', in_minute)
      AND last_id BETWEEN new_id AND highest;

    IF is_stored AND EXISTS (SELECT FROM candles o WHERE o.symbol = p_symbol AND o.interval_minutes = 1 AND o.timestamp = in_minute
                             AND o.first_id IS NULL) THEN
        -- A candle that was given had more trades than the minute had without this row: all of it is weighed again.
        INSERT INTO staged_candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
        SELECT p_symbol, in_minute, (array_agg(price ORDER BY trade_id))[1], max(price), min(price),
               (array_agg(price ORDER BY trade_id DESC))[1], sum(volume), sum(price * volume), count(*), min(trade_id), max(trade_id)
        FROM trades
        WHERE symbol = p_symbol AND trade_id < 0 AND timestamp >= in_minute AND timestamp < in_minute + INTERVAL '1 minute';
    ELSE
        INSERT INTO staged_candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
        VALUES (p_symbol, in_minute, p_price, p_price, p_price, p_price, p_volume, p_price * p_volume, 1, new_id, new_id);
    END IF;
    PERFORM merge_staged_candles();
    DELETE FROM staged_candles;

    PERFORM record_archive_row(p_symbol, new_id, p_ns, refused.follows, is_stored);
    -- What else was refused of the second, of this file behind this row and of others: it follows what it would follow.
    UPDATE rejected_records r SET follows = CASE WHEN r.follows < new_id THEN new_id ELSE r.follows + 1 END
    WHERE r.symbol = p_symbol AND r.follows BETWEEN least(refused.follows, new_id) AND highest
      AND CASE WHEN r.place = refused.place THEN r.line > refused.line ELSE r.follows >= new_id END;
    -- A file goes on from its last row: from this one, where it came behind it.
    UPDATE import_files f SET last_id = CASE WHEN f.last_id >= new_id THEN f.last_id + 1 ELSE new_id END
    WHERE f.symbol = p_symbol
      AND (f.last_id BETWEEN new_id AND highest OR f.last_id = refused.follows AND (f.done OR f.last_id >= lowest));
    outcome := CASE WHEN is_stored THEN 'stored' ELSE 'folded' END;
END $$;

-- The ledger's part of it: the run that the row lies in, goes on from or leads to grows by it, else it is one of its own.
CREATE FUNCTION record_archive_row(p_symbol text, p_id bigint, p_ns bigint, p_follows bigint, p_stored boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    -- A file that is silent for longer may lack a part (trade_shapes.py).
    longest_silence constant bigint := 24 * 60 * 60000000000;
    highest constant bigint := p_id - ((p_id % 1048576) + 1048576) % 1048576 + 1048575;
    behind  trade_runs;
BEGIN
    UPDATE trade_runs SET trades = trades + 1, last_id = last_id + (last_id BETWEEN p_id AND highest)::integer,
                          first_ns = CASE WHEN first_id = p_id THEN p_ns ELSE first_ns END
    WHERE symbol = p_symbol AND first_id <= p_id AND last_id >= p_id;
    IF FOUND THEN
        RETURN;
    END IF;
    UPDATE trade_runs SET trades = trades + 1, last_id = p_id, last_ns = p_ns
    WHERE symbol = p_symbol AND first_id < 0 AND last_id = p_follows AND last_id < p_id AND stored = p_stored
      AND p_ns - last_ns <= longest_silence;
    IF NOT FOUND THEN
        INSERT INTO trade_runs (symbol, first_id, last_id, first_ns, last_ns, trades, source, stored)
        VALUES (p_symbol, p_id, p_id, p_ns, p_ns, 1, 'archive without ids', p_stored);
    END IF;
    -- Behind the last row of its file begins another file, if anything: those do not join.
    IF NOT EXISTS (SELECT FROM import_files f WHERE f.symbol = p_symbol AND f.last_id = p_follows) THEN
        DELETE FROM trade_runs
        WHERE symbol = p_symbol AND stored = p_stored AND first_ns - p_ns <= longest_silence
          AND first_id = (SELECT min(r.first_id) FROM trade_runs r WHERE r.symbol = p_symbol AND r.first_id > p_id AND r.first_id < 0)
        RETURNING * INTO behind;
        UPDATE trade_runs SET trades = trades + behind.trades, last_id = behind.last_id, last_ns = behind.last_ns
        WHERE symbol = p_symbol AND last_id = p_id AND behind.symbol IS NOT NULL;
    END IF;
END $$;
