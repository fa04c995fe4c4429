-- What the exchange answers about ids without a trade, and about the time since the newest one.

-- Ids from the first to the last; the highest bigint, which a refused row may name, has none behind it.
CREATE FUNCTION id_range(p_first_id bigint, p_last_id bigint) RETURNS int8range
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT int8range(p_first_id, CASE WHEN p_last_id < 9223372036854775807 THEN p_last_id + 1 END)
$$;

-- Answers of one kind (NULL: of any) lose the ids p_taken; what is left of a range, and nobody else answers for, stays.
CREATE FUNCTION cut_answered_ids(p_symbol text, p_answer text, p_taken int8multirange) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    cut answered_ids;
BEGIN
    FOR cut IN
        DELETE FROM answered_ids
        WHERE symbol = p_symbol AND answer = coalesce(p_answer, answer)
          AND first_id < upper(p_taken) AND last_id >= lower(p_taken) AND id_range(first_id, last_id) && p_taken
        RETURNING *
    LOOP
        INSERT INTO answered_ids (symbol, first_id, last_id, answer)
        SELECT p_symbol, lower(part), coalesce(upper(part) - 1, cut.last_id), cut.answer
        FROM unnest(int8multirange(id_range(cut.first_id, cut.last_id)) - p_taken
                    - answered_between(p_symbol, NULL, cut.first_id, cut.last_id)) AS part;
    END LOOP;
END $$;

-- The ids answered for that lie in ranges which touch [p_first_id, p_last_id]; of one kind, or NULL: of any.
CREATE FUNCTION answered_between(p_symbol text, p_answer text, p_first_id bigint, p_last_id bigint) RETURNS int8multirange
LANGUAGE sql STABLE AS $$
    SELECT coalesce(range_agg(id_range(first_id, last_id)), '{}') FROM answered_ids
    WHERE symbol = p_symbol AND answer = coalesce(p_answer, answer) AND first_id <= p_last_id AND last_id >= p_first_id
$$;

-- The ids of [p_first_id, p_last_id] that are held.
CREATE FUNCTION held_between(p_symbol text, p_first_id bigint, p_last_id bigint) RETURNS int8multirange
LANGUAGE sql STABLE AS $$
    SELECT coalesce(range_agg(int8range(first_id, last_id, '[]')), '{}') * int8multirange(int8range(p_first_id, p_last_id, '[]'))
    FROM trade_runs
    WHERE symbol = p_symbol AND int8range(first_id, last_id, '[]') && int8range(p_first_id, p_last_id, '[]')
$$;

-- Ids that the exchange said twice it does not have, but for those that we hold or refused. Those that touch become one range.
CREATE FUNCTION record_absent_ids(p_symbol text, p_first_id bigint, p_last_id bigint) RETURNS void
LANGUAGE sql AS $$
    WITH said AS (
        SELECT int8multirange(int8range(p_first_id, p_last_id, '[]')) - held_between(p_symbol, p_first_id, p_last_id)
               - answered_between(p_symbol, 'rejected', p_first_id, p_last_id) AS ids
    ), gone AS (
        DELETE FROM answered_ids
        WHERE symbol = p_symbol AND answer = 'absent' AND first_id <= p_last_id + 1 AND last_id >= p_first_id - 1
        RETURNING int8range(first_id, last_id, '[]') AS ids
    ), known AS (
        SELECT unnest(ids) AS ids FROM said UNION ALL SELECT ids FROM gone
    )
    INSERT INTO answered_ids (symbol, first_id, last_id, answer)
    SELECT p_symbol, lower(part), upper(part) - 1, 'absent' FROM (SELECT range_agg(ids) AS ids FROM known) joined, unnest(joined.ids) AS part
$$;

-- Ids of trades that we refused, but for those that we hold: a trade that was shown is not absent.
CREATE FUNCTION record_rejected_ids(p_symbol text, p_ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    refused constant bigint[] := ARRAY(
        SELECT DISTINCT id FROM unnest(p_ids) AS id
        WHERE NOT EXISTS (SELECT FROM trade_runs r WHERE r.symbol = p_symbol AND id BETWEEN r.first_id AND r.last_id));
BEGIN
    PERFORM cut_answered_ids(p_symbol, 'absent', (SELECT range_agg(id_range(id, id)) FROM unnest(refused) AS id));
    INSERT INTO answered_ids (symbol, first_id, last_id, answer)
    SELECT p_symbol, id, id, 'rejected' FROM unnest(refused) AS id
    ON CONFLICT DO NOTHING;
END $$;

-- Ids of [p_first_id, p_last_id] that we now have are no answers any more; what is left of an absent range stays one.
CREATE FUNCTION forget_answered_ids(p_symbol text, p_first_id bigint, p_last_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM answered_ids WHERE symbol = p_symbol AND first_id <= p_last_id AND last_id >= p_first_id) THEN
        PERFORM cut_answered_ids(p_symbol, NULL, held_between(p_symbol, p_first_id, p_last_id));
    END IF;
END $$;

-- The newest check counts, and one that names a lower id than we were told before does not.
CREATE FUNCTION record_trade_check(p_symbol text, p_last_id bigint, p_checked_ns bigint) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO trade_checks AS c (symbol, last_id, checked_ns) VALUES (p_symbol, p_last_id, p_checked_ns)
    ON CONFLICT (symbol) DO UPDATE SET last_id = excluded.last_id, checked_ns = excluded.checked_ns
    WHERE excluded.last_id >= c.last_id AND excluded.checked_ns > c.checked_ns
$$;
