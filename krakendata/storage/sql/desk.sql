-- What the operator's desk shows, each statement under its name: by indexes and by the catalog, no table is counted.

-- name: desk_pairs
-- One row a pair that is tracked, or of which something was collected: until when everything of it is held (its newest trade,
-- or the check that there was none newer; of pairs kept by their candles the end of the newest), how many holes there are,
-- the error of the last try, where that failed, and whether the exchange lists it no more.
WITH listed AS (
    SELECT symbol, candles_only FROM pairs WHERE tracked AND status NOT IN ('delisted', 'renamed')
), held AS (
    SELECT symbol, max(newest_timestamp) FILTER (WHERE kind = 'trades') AS trades_to,
           max(newest_timestamp) FILTER (WHERE kind = 'candles') + INTERVAL '1 minute' AS candles_to,
           coalesce(sum(holes), 0)::bigint AS holes,
           (array_agg(last_error ORDER BY last_error_at DESC)
            FILTER (WHERE last_error_at > coalesce(last_success, '-infinity')))[1] AS error
    FROM data_sync_status GROUP BY symbol
)
SELECT symbol, l.symbol IS NOT NULL, coalesce(l.candles_only, false),
       CASE WHEN l.candles_only THEN h.candles_to
            ELSE greatest(h.trades_to, CASE WHEN c.last_id <= greatest(run.last_id, answer.last_id, 0) THEN ns_timestamp(c.checked_ns) END)
       END,
       coalesce(h.holes, 0), coalesce(h.error, ''),
       EXISTS (SELECT FROM pairs p WHERE p.symbol = h.symbol AND p.status IN ('delisted', 'renamed'))
FROM listed l
FULL JOIN held h USING (symbol)
LEFT JOIN trade_checks c USING (symbol)
LEFT JOIN LATERAL (SELECT last_id FROM trade_runs r WHERE r.symbol = c.symbol AND first_id > 0
                   ORDER BY first_id DESC LIMIT 1) run ON true
LEFT JOIN LATERAL (SELECT last_id FROM answered_ids a WHERE a.symbol = c.symbol
                   ORDER BY first_id DESC LIMIT 1) answer ON true
ORDER BY symbol

-- name: desk_runs
-- What says that it runs, and whether somebody holds its lock; and what failed within a day, and whether the same was done, or
-- begun, since. The newest of each, up to a limit.
WITH held AS MATERIALIZED (
    SELECT objid FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = (hashtext('krakendata run')::bigint & 4294967295)::oid AND objsubid = 2
), chosen AS (
    (SELECT * FROM sync_runs WHERE state = 'running' ORDER BY id DESC LIMIT %(most)s)
    UNION ALL
    (SELECT * FROM sync_runs
     WHERE state IN ('failed', 'interrupted') AND finished_at > now() - INTERVAL '1 day'
     ORDER BY finished_at DESC LIMIT %(most)s)
)
SELECT id, kind, state, updated_at, coalesce(parameters ->> 'symbol', ''), error,
       state = 'running' AND id::integer::oid IN (SELECT objid FROM held),
       EXISTS (SELECT FROM sync_runs later
               WHERE later.state IN ('done', 'running') AND later.kind = r.kind AND later.id > r.id
                 AND coalesce(later.parameters ->> 'symbol', '') = coalesce(r.parameters ->> 'symbol', '')
                 AND later.parameters -> 'paths' IS NOT DISTINCT FROM r.parameters -> 'paths'
                 -- Of decisions only one about the same records: the rest is how, by whom, and how far it had come. Of audits one
                 -- of the same time and at least the same pairs.
                 AND CASE WHEN r.kind IN ('replay_rejects', 'dismiss_rejects')
                          THEN later.parameters - ARRAY['by', 'why', 'fields', 'after', 'upto', 'stopped_by']
                               = r.parameters - ARRAY['by', 'why', 'fields', 'after', 'upto', 'stopped_by']
                          WHEN r.kind = 'audit'
                          THEN coalesce(later.parameters -> 'symbols' @> (r.parameters -> 'symbols'), true)
                               AND later.parameters -> 'since' IS NOT DISTINCT FROM r.parameters -> 'since'
                               AND later.parameters -> 'until' IS NOT DISTINCT FROM r.parameters -> 'until'
                          ELSE true END),
       done, total, started_at
FROM chosen r ORDER BY id DESC

-- name: desk_waiting_rejects
-- By the counts of the runs whose records wait, which have an index of their own.
SELECT coalesce(sum(kept - replayed - dismissed), 0)::bigint FROM reject_counts WHERE kept > replayed + dismissed

-- name: desk_services
-- The edition, with the server's time; the newest session of each feed that was there within a week; the workers. A feed of an
-- earlier release does not say how fast it is.
SELECT 'edition', 0, value, clock_timestamp(), NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, 0, 0::float8, 0::float8
FROM platform_facts WHERE key = 'edition'
UNION ALL
(SELECT DISTINCT ON (name) 'feed', id, name, started_at, alive_at, ended_at, heard_at, symbols,
                             coalesce((statistics ->> 'trades_per_second')::float8, 0), coalesce((statistics ->> 'seconds_behind')::float8, 0)
 FROM feed_sessions WHERE alive_at > now() - INTERVAL '7 days' ORDER BY name, id DESC)
UNION ALL
SELECT 'worker', 0, name, started_at, alive_at, NULL, NULL, 0, 0, 0 FROM workers

-- name: desk_upkeep_policies
-- TimescaleDB's own jobs, those that are scheduled.
SELECT j.relation || CASE j.proc_name WHEN 'policy_refresh_continuous_aggregate' THEN '' WHEN 'krakendata_retention' THEN ' (retention)'
                     ELSE ' (compression)' END,
       nullif(s.last_successful_finish, '-infinity'), j.schedule_interval, coalesce(s.last_run_status = 'Failed', false)
FROM krakendata_jobs j LEFT JOIN timescaledb_information.job_stats s USING (job_id)
WHERE j.scheduled

-- name: desk_upkeep_scheduled
-- The finest rollup moves with every refresh, whatever is traded; beat asks for one every five minutes.
SELECT relation, nullif(watermark, '2000-01-03 00:00:00+00'), INTERVAL '5 minutes', false
FROM rollup_watermarks WHERE relation = 'candles_5m'

-- name: desk_tables_native
-- By the estimates that VACUUM and ANALYZE leave in the catalog: rows (NULL: none has been there yet) and bytes, partitions and
-- indexes included; 0 bytes of a table that has no partition yet.
WITH parts AS (
    SELECT relname AS name, oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY (%(names)s)
    UNION ALL
    SELECT parent.relname, i.inhrelid FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE parent.relnamespace = current_schema()::regnamespace AND parent.relname = ANY (%(names)s)
)
SELECT p.name, sum(h.reltuples) FILTER (WHERE h.relkind = 'r' AND h.reltuples >= 0)::bigint,
       (coalesce(sum(h.relpages + coalesce(toast.relpages, 0) + coalesce(indexes.pages, 0)) FILTER (WHERE h.relkind = 'r'), 0)
        * current_setting('block_size')::bigint)::bigint,
       0::bigint, 0::bigint
FROM parts p
JOIN pg_class h ON h.oid = p.oid
LEFT JOIN pg_class toast ON toast.oid = h.reltoastrelid
LEFT JOIN LATERAL (SELECT sum(c.relpages) AS pages FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
                   WHERE x.indrelid = p.oid) indexes ON true
GROUP BY p.name

-- name: desk_tables_hypertables
-- Likewise; of compressed chunks what TimescaleDB wrote down when it compressed them, as the estimates of those stay what they
-- were before.
WITH roots AS (
    SELECT relname AS name, oid FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relname = ANY (%(names)s) AND relkind = 'r'
    UNION ALL
    SELECT view_name, format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
    FROM timescaledb_information.continuous_aggregates
    WHERE view_schema = current_schema() AND view_name = ANY (%(names)s)
), compressed AS MATERIALIZED (
    SELECT r.name, to_regclass(format('%%I.%%I', s.chunk_schema, s.chunk_name)) AS oid, s.before_compression_total_bytes AS before,
           s.after_compression_total_bytes AS after
    FROM roots r, LATERAL chunk_compression_stats(r.oid::regclass) s WHERE s.compression_status = 'Compressed'
), rows_compressed AS (
    SELECT r.name, sum(s.numrows_pre_compression)::bigint AS rows
    FROM _timescaledb_catalog.compression_chunk_size s
    JOIN _timescaledb_catalog.chunk c ON c.id = s.chunk_id
    JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
    JOIN roots r ON r.oid = to_regclass(format('%%I.%%I', h.schema_name, h.table_name))
    GROUP BY r.name
), parts AS (
    SELECT name, oid FROM roots
    UNION ALL
    SELECT r.name, i.inhrelid FROM roots r JOIN pg_inherits i ON i.inhparent = r.oid
    WHERE NOT EXISTS (SELECT FROM compressed c WHERE c.oid = i.inhrelid)
), loose AS (
    SELECT p.name, sum(h.reltuples) FILTER (WHERE h.relkind = 'r' AND h.reltuples >= 0)::bigint AS rows,
           sum(h.relpages + coalesce(toast.relpages, 0) + coalesce(indexes.pages, 0)) FILTER (WHERE h.relkind = 'r')
           * current_setting('block_size')::bigint AS bytes
    FROM parts p
    JOIN pg_class h ON h.oid = p.oid
    LEFT JOIN pg_class toast ON toast.oid = h.reltoastrelid
    LEFT JOIN LATERAL (SELECT sum(c.relpages) AS pages FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
                       WHERE x.indrelid = p.oid) indexes ON true
    GROUP BY p.name
), tight AS (
    SELECT name, sum(before)::bigint AS before, sum(after)::bigint AS after FROM compressed GROUP BY name
)
SELECT name, CASE WHEN l.rows IS NULL AND r.rows IS NULL THEN NULL ELSE coalesce(l.rows, 0) + coalesce(r.rows, 0) END,
       (coalesce(l.bytes, 0) + coalesce(t.after, 0))::bigint, coalesce(t.before, 0), coalesce(t.after, 0)
FROM loose l FULL JOIN tight t USING (name) LEFT JOIN rows_compressed r USING (name)

-- name: beat_worker
INSERT INTO workers AS w (name) VALUES (%(name)s) ON CONFLICT (name) DO UPDATE SET alive_at = clock_timestamp()

-- name: begin_worker
INSERT INTO workers AS w (name) VALUES (%(name)s) ON CONFLICT (name) DO UPDATE SET started_at = clock_timestamp(), alive_at = clock_timestamp()

-- name: end_worker
DELETE FROM workers WHERE name = %(name)s

-- name: forget_silent_workers
-- One, or with a NULL name all; those that live say so again before long.
DELETE FROM workers WHERE (%(name)s::text IS NULL OR name = %(name)s) AND alive_at < clock_timestamp() - %(silent)s::interval

-- name: forget_silent_feeds
-- One session, or with NULL all: it ended when it was last heard of.
UPDATE feed_sessions SET ended_at = alive_at
WHERE ended_at IS NULL AND (%(session)s::bigint IS NULL OR id = %(session)s) AND alive_at < clock_timestamp() - %(silent)s::interval

-- name: runs_to_restart
-- What is needed to do a run again; ends those that were killed, so that they are told no more as running.
WITH held AS MATERIALIZED (
    SELECT objid FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = (hashtext('krakendata run')::bigint & 4294967295)::oid AND objsubid = 2
), killed AS (
    UPDATE sync_runs SET state = 'interrupted', finished_at = updated_at, error = 'The process ended without a word.'
    WHERE id = ANY (%(runs)s) AND state = 'running' AND id::integer::oid NOT IN (SELECT objid FROM held)
    RETURNING id
)
SELECT id, kind, parameters::text FROM sync_runs
WHERE id = ANY (%(runs)s) AND (state IN ('failed', 'interrupted') OR id IN (SELECT id FROM killed))
