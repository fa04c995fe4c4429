-- Every statement the Python runs, each under its name. Parameters by name. Verbs as in the Python.

-- name: detect_edition
-- The licence of the extension installed in this database; no row value (NULL) without it.
SELECT CASE WHEN EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
       THEN current_setting('timescaledb.license', true) END

-- name: record_edition
INSERT INTO platform_facts (key, value) VALUES ('edition', %(edition)s)

-- name: recorded_edition
SELECT value FROM platform_facts WHERE key = 'edition'

-- name: draw_lines
-- Where retention puts the two lines at the first migration.
INSERT INTO retention_lines (kind, line, first_line)
SELECT kind, line_for(now(), days), line_for(now(), days)
FROM (VALUES ('trades', %(trades_days)s::integer), ('candles', %(candles_days)s::integer)) AS wanted (kind, days)

-- name: draw_all_candles
SELECT draw_all_candles()

-- name: apply_policies
SELECT apply_policies(%(policies)s::jsonb)

-- name: policy_drift
SELECT kind, relation, wanted, found FROM policy_drift(%(policies)s::jsonb)

-- name: lock_refresh
SELECT pg_advisory_lock(hashtext('krakendata refresh'))

-- name: unlock_refresh
SELECT pg_advisory_unlock(hashtext('krakendata refresh'))

-- name: refresh_window
-- From the fence to the start of the forming bucket; no row while nothing lies between.
SELECT fence, finish
FROM (SELECT candles_fence() AS fence,
             time_bucket(make_interval(mins => %(minutes)s), %(now)s::timestamptz) AS finish) span
WHERE fence < finish

-- name: refresh_aggregate
-- All in one batch: ten buckets a transaction, the default, takes eight times as long.
CALL refresh_continuous_aggregate(%(relation)s::regclass, %(start)s::timestamptz, %(finish)s::timestamptz,
                                  options => '{"buckets_per_batch": 0}')

-- name: refresh_rollup_tables
SELECT refresh_rollups(%(now)s)

-- name: apply_retention
SELECT apply_retention(%(now)s, %(trades_days)s, %(candles_days)s)

-- name: make_partitions
SELECT make_partitions(%(relation)s, %(start)s, %(finish)s)

-- name: server_facts
-- What the system checks judge; readable by every account. NULL where there is no TimescaleDB.
SELECT current_setting('server_version_num')::integer / 10000 AS postgres,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescale,
       current_setting('max_worker_processes')::integer AS worker_processes,
       current_setting('timescaledb.max_background_workers', true)::integer AS background_workers,
       current_setting('max_locks_per_transaction')::integer AS locks
