-- What the exchange answers about ids without a trade, and about the time since the newest one.

-- Ids that the exchange said twice it does not have. Those that touch become one range.
CREATE FUNCTION record_absent_ids(p_symbol text, p_first_id bigint, p_last_id bigint) RETURNS void
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM answered_ids
        WHERE symbol = p_symbol AND answer = 'absent' AND first_id <= p_last_id + 1 AND last_id >= p_first_id - 1
        RETURNING first_id, last_id
    )
    INSERT INTO answered_ids (symbol, first_id, last_id, answer)
    SELECT p_symbol, least(p_first_id, min(first_id)), greatest(p_last_id, max(last_id)), 'absent' FROM gone
$$;

-- Ids that we now have are no answers any more; what is left of an absent range stays one.
CREATE FUNCTION forget_answered_ids(p_symbol text, p_first_id bigint, p_last_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    forgotten answered_ids;
BEGIN
    FOR forgotten IN
        DELETE FROM answered_ids a
        WHERE symbol = p_symbol AND first_id <= p_last_id AND last_id >= p_first_id
          AND EXISTS (SELECT FROM trade_runs r WHERE r.symbol = p_symbol
                      AND int8range(r.first_id, r.last_id, '[]') && int8range(a.first_id, a.last_id, '[]'))
        RETURNING *
    LOOP
        INSERT INTO answered_ids (symbol, first_id, last_id, answer)
        SELECT p_symbol, lower(part), upper(part) - 1, forgotten.answer
        FROM unnest(int8multirange(int8range(forgotten.first_id, forgotten.last_id, '[]'))
                    - (SELECT range_agg(int8range(first_id, last_id, '[]')) FROM trade_runs
                       WHERE symbol = p_symbol AND int8range(first_id, last_id, '[]')
                             && int8range(forgotten.first_id, forgotten.last_id, '[]'))) AS part;
    END LOOP;
END $$;

-- The newest check counts, and one that names a lower id than we were told before does not.
CREATE FUNCTION record_trade_check(p_symbol text, p_last_id bigint, p_checked_ns bigint) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO trade_checks AS c (symbol, last_id, checked_ns) VALUES (p_symbol, p_last_id, p_checked_ns)
    ON CONFLICT (symbol) DO UPDATE SET last_id = excluded.last_id, checked_ns = excluded.checked_ns
    WHERE excluded.last_id >= c.last_id AND excluded.checked_ns > c.checked_ns
$$;
