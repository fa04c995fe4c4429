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

-- name: trade_runs
SELECT first_id, last_id, first_ns, last_ns, trades, source, stored FROM trade_runs WHERE symbol = %(symbol)s ORDER BY first_id

-- name: share_lines
-- Holds the lines where they are until the transaction ends. They are read by a statement of their own: this one would
-- see them as they were before it waited.
SELECT share_lines()

-- name: lock_symbol
-- The short write lock: one writing transaction per symbol.
SELECT pg_advisory_xact_lock(hashtext('krakendata symbol'), hashtext(%(symbol)s))

-- name: try_job_lock
-- The long job lock, for as long as the connection lives: one import or backfill per symbol.
SELECT pg_try_advisory_lock(hashtext('krakendata job'), hashtext(%(symbol)s))

-- name: release_job_lock
SELECT pg_advisory_unlock(hashtext('krakendata job'), hashtext(%(symbol)s))

-- name: stage_candles
SELECT stage_candles()

-- name: copy_trades
COPY trades (symbol, timestamp, trade_id, price, volume, side, order_type) FROM STDIN (FORMAT csv)

-- name: copy_staged_candles
COPY staged_candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id, whole)
FROM STDIN (FORMAT csv)

-- name: copy_staged_given_candles
COPY staged_candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
FROM STDIN (FORMAT csv)

-- name: copy_candles
COPY candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
FROM STDIN (FORMAT csv)

-- name: has_candles
SELECT EXISTS (SELECT FROM candles WHERE symbol = %(symbol)s AND interval_minutes = 1
               AND timestamp BETWEEN %(first)s AND %(last)s)

-- name: has_exact_trades
SELECT EXISTS (SELECT FROM trade_runs WHERE symbol = %(symbol)s AND first_id > 0
               AND first_ns <= %(last_ns)s AND last_ns >= %(first_ns)s)

-- name: drop_staged_proven
-- Given minutes inside a run of exact ids: what the run's trades say is all there is.
DELETE FROM staged_candles n USING trade_runs r
WHERE n.first_id IS NULL AND r.symbol = n.symbol AND r.first_id > 0
  AND ns_timestamp(r.first_ns) < n.timestamp AND ns_timestamp(r.last_ns) >= n.timestamp + INTERVAL '1 minute'

-- name: mark_dirty
SELECT mark_dirty(%(symbol)s, %(first)s, %(last)s::timestamptz + INTERVAL '1 minute')

-- name: merge_staged_candles
SELECT stored, folded, duplicate, replaced FROM merge_staged_candles()

-- name: rebuild_minute
SELECT rebuild_minute(%(symbol)s, %(minute)s)

-- name: has_ids_of_runs
-- Whether the ledger has an id of some runs.
SELECT EXISTS (SELECT FROM unnest(%(first_ids)s::bigint[], %(last_ids)s::bigint[]) AS n (first_id, last_id)
               JOIN trade_runs r ON r.symbol = %(symbol)s
                                AND int8range(r.first_id, r.last_id, '[]') && int8range(n.first_id, n.last_id, '[]'))

-- name: held_trades_beside_others
-- How many trades are held, where candles or archives without ids lie within a few minutes of the span; else NULL.
SELECT CASE WHEN EXISTS (SELECT FROM candle_runs WHERE symbol = %(symbol)s AND interval_minutes = 1
                         AND first_start < %(finish)s::timestamptz + INTERVAL '5 minutes'
                         AND last_start > %(start)s::timestamptz - INTERVAL '5 minutes')
              OR EXISTS (SELECT FROM trade_runs WHERE symbol = %(symbol)s AND first_id < 0
                         AND ns_timestamp(first_ns) < %(finish)s::timestamptz + INTERVAL '5 minutes'
                         AND ns_timestamp(last_ns) > %(start)s::timestamptz - INTERVAL '5 minutes')
       THEN (SELECT coalesce(sum(trades), 0)::bigint FROM trade_runs WHERE symbol = %(symbol)s) END

-- name: has_given_minutes
SELECT EXISTS (SELECT FROM candle_runs WHERE symbol = %(symbol)s AND interval_minutes = 1
                                             AND first_start < %(finish)s AND last_start >= %(start)s)

-- name: drop_given_minutes
-- A given candle of a minute that exact ids cover and none of their trades lies in: those trades are elsewhere, or refused.
WITH gone AS (
    DELETE FROM candles WHERE symbol = %(symbol)s AND interval_minutes = 1 AND first_id IS NULL
        AND timestamp >= %(start)s AND timestamp < %(finish)s AND timestamp <> ALL(%(shared)s)
    RETURNING timestamp
)
SELECT mark_dirty(%(symbol)s, min(timestamp), max(timestamp) + INTERVAL '1 minute') FROM gone HAVING count(*) > 0

-- name: drop_given_history
-- Likewise the rows of five minutes below the fence.
SELECT drop_given_history(%(symbol)s, %(start)s, %(finish)s, %(shared)s::timestamptz[])

-- name: merge_coarse_candles
SELECT stored, duplicate, replaced FROM merge_coarse_candles(%(interval)s)

-- name: drop_archive_trades
SELECT drop_archive_trades(%(symbol)s, %(start)s, %(finish)s)

-- name: record_trade_run
SELECT record_trade_run(%(symbol)s, %(first_id)s, %(last_id)s, %(first_ns)s, %(last_ns)s, %(trades)s, %(source)s,
                        %(stored)s, %(follows)s)

-- name: record_candle_run
SELECT record_candle_run(%(symbol)s, %(interval)s, %(first)s, %(last)s, %(candles)s)

-- name: summarize_sync
SELECT summarize_sync(%(symbol)s, %(kind)s)

-- name: record_rejected_ids
SELECT record_rejected_ids(%(symbol)s, %(ids)s::bigint[])

-- name: record_absent_ids
SELECT record_absent_ids(%(symbol)s, %(first_id)s, %(last_id)s)

-- name: record_trade_check
SELECT record_trade_check(%(symbol)s, %(last_id)s, %(checked_ns)s)

-- name: forget_answered_ids
SELECT forget_answered_ids(%(symbol)s, %(first_id)s, %(last_id)s)

-- name: count_rejects
INSERT INTO reject_counts AS c (run_id, source, reason, count, kept)
VALUES (%(run)s, %(source)s, %(reason)s, %(count)s, least(%(count)s, %(most)s))
ON CONFLICT (run_id, source, reason) DO UPDATE SET count = c.count + excluded.count,
    kept = c.kept + greatest(least(excluded.count, %(most)s - c.count), 0)
RETURNING count

-- name: keep_reject
INSERT INTO rejected_records (run_id, source, place, line, symbol, reason, detail, raw, trade_id, layout, interval_minutes, follows)
VALUES (%(run)s, %(source)s, %(place)s, %(line)s, %(symbol)s, %(reason)s, %(detail)s, %(raw)s, %(trade_id)s, %(layout)s,
        %(interval_minutes)s, %(follows)s)

-- name: start_run
INSERT INTO sync_runs (kind, parameters, total, unit) VALUES (%(kind)s, %(parameters)s, %(total)s, %(unit)s) RETURNING id

-- name: hold_run
SELECT pg_advisory_lock(hashtext('krakendata run'), %(run)s::bigint::integer)

-- name: mark_interrupted_runs
-- A run that says it is running while nobody holds its lock was killed.
UPDATE sync_runs SET state = 'interrupted', finished_at = updated_at, error = 'The process ended without a word.'
WHERE state = 'running' AND kind = %(kind)s
  AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND classid = (hashtext('krakendata run')::bigint & 4294967295)::oid AND objid = id::integer::oid AND objsubid = 2)

-- name: set_run_total
UPDATE sync_runs SET done = %(done)s, total = %(total)s, updated_at = now() WHERE id = %(run)s

-- name: notice_lost_peer
-- A machine that lost its power says no farewell: its locks are free a minute later, not after the two hours of TCP.
SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false)

-- name: advance_run
UPDATE sync_runs SET updated_at = now(), done = done + %(done)s, read = read + %(read)s, stored = stored + %(stored)s,
    folded = folded + %(folded)s, duplicate = duplicate + %(duplicate)s, rejected = rejected + %(rejected)s
WHERE id = %(run)s

-- name: finish_run
UPDATE sync_runs SET state = %(state)s, error = %(error)s, finished_at = now(), updated_at = now() WHERE id = %(run)s

-- name: ask_run_to_stop
-- The worker that is at it looks here; of one that waits for its turn nobody goes on.
UPDATE sync_runs SET parameters = parameters || jsonb_build_object('stopped_by', %(who)s::text)
WHERE id = %(run)s AND state <> 'done' AND parameters ->> 'by' = 'worker' AND NOT parameters ? 'stopped_by' RETURNING kind

-- name: let_run_go_on
UPDATE sync_runs SET parameters = parameters - 'stopped_by'
WHERE id = %(run)s AND state NOT IN ('running', 'done') RETURNING kind, parameters

-- name: runs_asked_to_stop
SELECT id FROM sync_runs WHERE id = ANY (%(runs)s) AND parameters ? 'stopped_by'

-- name: imported_versions
SELECT path, version, symbol FROM import_files WHERE done

-- name: resume_import_file
SELECT done, next_offset, next_line, last_id, last_start FROM import_files
WHERE path = %(path)s AND version = %(version)s AND symbol = %(symbol)s AND layout = %(layout)s

-- name: start_import_file
INSERT INTO import_files (path, version, symbol, layout, size)
VALUES (%(path)s, %(version)s, %(symbol)s, %(layout)s, %(size)s)
ON CONFLICT (path) DO UPDATE SET version = excluded.version, symbol = excluded.symbol, layout = excluded.layout,
    size = excluded.size, next_offset = 0, next_line = 1, last_id = NULL, last_start = NULL, done = false,
    read = 0, stored = 0, folded = 0, duplicate = 0, rejected = 0, updated_at = now()

-- name: advance_import_file
UPDATE import_files SET next_offset = %(next_offset)s, next_line = %(next_line)s, last_id = %(last_id)s,
    last_start = %(last_start)s, done = %(is_last)s, read = read + %(read)s, stored = stored + %(stored)s,
    folded = folded + %(folded)s, duplicate = duplicate + %(duplicate)s, rejected = rejected + %(rejected)s,
    updated_at = now()
WHERE path = %(path)s

-- name: report_sync_error
INSERT INTO data_sync_status (symbol, kind, last_error, last_error_at) VALUES (%(symbol)s, %(kind)s, %(error)s, now())
ON CONFLICT (symbol, kind) DO UPDATE SET last_error = excluded.last_error, last_error_at = excluded.last_error_at

-- name: set_session
-- Rows are merged into compressed chunks in blocks of bounded size; the limit is meant for accidents.
SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false), set_config('timezone', 'UTC', false)

-- name: has_policies
SELECT to_regprocedure('apply_policies(jsonb)') IS NOT NULL

-- name: lock_pairs
LOCK TABLE pairs IN SHARE ROW EXCLUSIVE MODE

-- name: forget_permanent_failures
-- Of pairs that were gone and are listed again: what was useless then may be of use now.
UPDATE sync_runs SET parameters = parameters - 'permanent'
WHERE kind = 'backfill' AND parameters ? 'permanent' AND parameters ->> 'symbol' IN (
    SELECT symbol FROM pairs WHERE symbol = ANY (%(symbols)s) AND status IN ('delisted', 'renamed'))

-- name: end_worker_backfills
-- Nobody goes on with what a worker began of pairs that are collected no more.
UPDATE sync_runs SET parameters = parameters || '{"untracked": true}'
WHERE kind = 'backfill' AND parameters ->> 'by' = 'worker' AND state <> 'done' AND parameters ->> 'symbol' = ANY (%(symbols)s)

-- name: allow_worker_backfills
UPDATE sync_runs SET parameters = parameters - 'untracked'
WHERE kind = 'backfill' AND parameters ? 'untracked' AND parameters ->> 'symbol' = ANY (%(symbols)s)

-- name: free_pair_names
-- Names are unique among the listed: whoever gives one up does so before another takes it. The row is written again.
UPDATE pairs SET status = 'renamed' WHERE symbol = ANY (%(symbols)s)

-- name: retire_pairs
UPDATE pairs SET status = %(status)s WHERE symbol = ANY (%(symbols)s)

-- name: rename_pair
UPDATE pairs SET status = %(status)s, renamed_to = %(new)s WHERE symbol = %(old)s

-- name: move_tracking
UPDATE pairs new SET tracked = true, candles_only = old.candles_only, tracked_since = CASE WHEN new.tracked THEN new.tracked_since ELSE old.tracked_since END
FROM pairs old WHERE old.symbol = ANY (%(symbols)s) AND old.tracked AND new.symbol = old.renamed_to
RETURNING new.symbol

-- name: track_pairs
UPDATE pairs SET tracked = true, candles_only = %(candles_only)s,
    tracked_since = CASE WHEN tracked THEN coalesce(%(since)s, tracked_since) ELSE %(since)s::timestamptz END
WHERE symbol = ANY (%(symbols)s) RETURNING symbol, tracked_since, candles_only

-- name: untrack_pairs
UPDATE pairs SET tracked = false, candles_only = false, tracked_since = NULL WHERE symbol = ANY (%(symbols)s) AND tracked RETURNING symbol

-- name: renamed_pairs
SELECT symbol, renamed_to FROM pairs WHERE renamed_to IS NOT NULL

-- name: write_pair
-- A pair that is as it was is not written.
INSERT INTO pairs (symbol, key, altname, wsname, base, quote, status, price_decimals, volume_decimals)
VALUES (%(symbol)s, %(key)s, %(altname)s, %(wsname)s, %(base)s, %(quote)s, %(status)s, %(price_decimals)s, %(volume_decimals)s)
ON CONFLICT (symbol) DO UPDATE SET key = excluded.key, altname = excluded.altname, wsname = excluded.wsname,
    base = excluded.base, quote = excluded.quote, status = excluded.status, renamed_to = NULL,
    price_decimals = excluded.price_decimals, volume_decimals = excluded.volume_decimals
WHERE (pairs.key, pairs.altname, pairs.wsname, pairs.base, pairs.quote, pairs.status, pairs.renamed_to,
       pairs.price_decimals, pairs.volume_decimals)
    IS DISTINCT FROM (excluded.key, excluded.altname, excluded.wsname, excluded.base, excluded.quote, excluded.status,
       NULL::text, excluded.price_decimals, excluded.volume_decimals)

-- name: unfinished_backfills
-- By pair, its newest backfill by a worker where that was cut off or failed for a time, and neither was the pair untracked
-- since nor did somebody stop it; and of tracked pairs that have
-- none like it those whose history nobody has fetched to its end.
WITH newest AS (
    SELECT DISTINCT ON (parameters ->> 'symbol') parameters ->> 'symbol' AS symbol, id, state, parameters, updated_at
    FROM sync_runs WHERE kind = 'backfill' AND parameters ->> 'by' = 'worker'
    ORDER BY parameters ->> 'symbol', id DESC
)
SELECT symbol, (parameters ->> 'since')::timestamptz, (parameters ->> 'until')::timestamptz,
       coalesce((parameters ->> 'newest_first')::boolean, true), id
FROM newest
WHERE NOT parameters ?| ARRAY['untracked', 'stopped_by']
  AND (state IN ('interrupted', 'stopped')
       OR state = 'failed' AND NOT parameters ? 'permanent' AND updated_at < %(forgotten)s)
UNION ALL
SELECT p.symbol, p.tracked_since, NULL, true, coalesce(n.id, 0)
FROM pairs p LEFT JOIN newest n ON n.symbol = p.symbol
WHERE p.tracked AND NOT p.candles_only AND p.status NOT IN ('delisted', 'renamed') AND coalesce(n.state, 'done') = 'done'
  AND NOT EXISTS (SELECT FROM sync_runs r
                  WHERE r.kind = 'backfill' AND r.state = 'done' AND r.parameters ->> 'symbol' = p.symbol
                    AND r.parameters ->> 'until' IS NULL
                    AND (r.parameters ->> 'since' IS NULL OR (r.parameters ->> 'since')::timestamptz <= p.tracked_since))
  -- What somebody stopped stays so, whatever stretch of the pair was fetched since.
  AND NOT coalesce((SELECT r.parameters ? 'stopped_by' FROM sync_runs r
                    WHERE r.kind = 'backfill' AND r.parameters ->> 'by' = 'worker' AND r.parameters ->> 'symbol' = p.symbol
                      AND r.parameters ->> 'until' IS NULL
                      AND (r.parameters ->> 'since' IS NULL OR (r.parameters ->> 'since')::timestamptz <= p.tracked_since)
                    ORDER BY r.id DESC LIMIT 1), false)
ORDER BY 1

-- name: newest_worker_backfill
SELECT id, state, parameters ?| ARRAY['untracked', 'stopped_by'] FROM sync_runs
WHERE kind = 'backfill' AND parameters ->> 'by' = 'worker' AND parameters ->> 'symbol' = %(symbol)s
ORDER BY id DESC LIMIT 1

-- name: note_permanent_failure
UPDATE sync_runs SET parameters = parameters || '{"permanent": true}' WHERE id = %(run)s

-- name: try_deed_lock
SELECT pg_try_advisory_lock(hashtext('krakendata deed'), hashtext(%(deed)s))

-- name: import_attempts
-- When each path was last imported to its end, refused or not, or until somebody stopped it.
SELECT path, max(started_at) FROM sync_runs, jsonb_array_elements_text(parameters -> 'paths') AS path
WHERE kind = 'import' AND (state = 'done' OR parameters ? 'stopped_by') GROUP BY path

-- name: hold_lines
-- For longer than a transaction; before hold_symbol, as writers take them.
SELECT pg_advisory_lock_shared(hashtext('krakendata lines'))

-- name: let_go_of_lines
SELECT pg_advisory_unlock_shared(hashtext('krakendata lines'))

-- name: hold_symbol
-- The short write lock, for longer than a transaction: nobody else writes the symbol.
SELECT pg_advisory_lock(hashtext('krakendata symbol'), hashtext(%(symbol)s))

-- name: let_go_of_symbol
SELECT pg_advisory_unlock(hashtext('krakendata symbol'), hashtext(%(symbol)s))

-- name: stage_wrong_minutes
-- The minutes that are not what their trades make of them, or are not there, as they have to be.
INSERT INTO staged_candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
SELECT %(symbol)s, r.timestamp, r.open, r.high, r.low, r.close, r.volume, r.turnover, r.trade_count, r.first_id, r.last_id
FROM ({parts}) r
LEFT JOIN candles o ON o.symbol = %(symbol)s AND o.interval_minutes = 1 AND o.timestamp = r.timestamp
                   AND o.timestamp >= %(start)s AND o.timestamp < %(end)s
WHERE (o.open, o.high, o.low, o.close, o.volume, o.turnover, o.trade_count, o.first_id, o.last_id)
      IS DISTINCT FROM
      (r.open, r.high, r.low, r.close, r.volume, r.turnover, r.trade_count, r.first_id, r.last_id)

-- name: drop_wrong_minutes
-- Those that the staged ones replace, and those that no trade made.
DELETE FROM candles o
WHERE symbol = %(symbol)s AND interval_minutes = 1 AND timestamp >= %(start)s AND timestamp < %(end)s
  AND (timestamp IN (SELECT timestamp FROM staged_candles)
       OR timestamp NOT IN (SELECT timestamp FROM ({parts}) r))

-- name: drop_history_bucket
DELETE FROM candles_history
WHERE symbol = %(symbol)s AND interval_minutes = %(minutes)s AND NOT coarse AND timestamp = %(start)s

-- name: fold_history
SELECT fold_history(%(symbol)s, %(start)s, %(end)s)

-- name: rebuild_aggregate
-- Also where TimescaleDB takes it for up to date.
CALL refresh_continuous_aggregate(%(relation)s::regclass, %(start)s::timestamptz, %(end)s::timestamptz, force => true)

-- name: mark_rollups_dirty
SELECT mark_dirty(%(symbol)s, %(start)s, %(end)s)

-- name: record_finding
INSERT INTO audit_findings (run_id, symbol, interval_minutes, timestamp, compared_with, differences, healed)
VALUES (%(run)s, %(symbol)s, %(interval)s, %(timestamp)s, %(compared_with)s, %(differences)s, %(healed)s)

-- name: stage_trades
SELECT stage_trades()

-- name: copy_staged_trades
COPY staged_trades (symbol, ns, trade_id, price, volume, side, order_type) FROM STDIN (FORMAT csv)

-- name: copy_staged_live_candles
COPY staged_candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count) FROM STDIN (FORMAT csv)

-- name: write_staged_trades
SELECT symbol, outcome, read, duplicate FROM write_staged_trades(%(source)s)

-- name: write_staged_given_candles
SELECT stored, duplicate, busy FROM write_staged_given_candles()

-- name: record_trade_checks
SELECT record_trade_checks(%(symbols)s::text[], %(last_ids)s::bigint[], %(checked_ns)s::bigint[])

-- name: start_feed_session
INSERT INTO feed_sessions (run_id, name) VALUES (%(run)s, %(name)s) RETURNING id

-- name: keep_feed_session
UPDATE feed_sessions SET alive_at = now(), run_id = %(run)s, heard_at = %(heard_at)s, symbols = %(symbols)s, statistics = %(statistics)s,
    ended_at = CASE WHEN %(is_end)s THEN now() END
WHERE id = %(session)s

-- name: newest_reject
SELECT coalesce(max(id), 0) FROM rejected_records

-- name: count_waiting_rejects
-- How many wait, by the counts of their runs; NULL where those cannot tell.
SELECT CASE WHEN %(ids)s::bigint[] IS NOT NULL THEN cardinality(%(ids)s::bigint[])
            WHEN %(symbol)s::text IS NULL THEN (
                SELECT coalesce(sum(kept - replayed - dismissed), 0)::bigint FROM reject_counts
                WHERE (%(run)s::bigint IS NULL OR run_id = %(run)s) AND (%(source)s::text IS NULL OR source = %(source)s)
                  AND (%(reason)s::text IS NULL OR reason = %(reason)s)) END

-- name: waiting_rejects
-- With the newest correction of each, the oldest record first.
SELECT r.id, r.source, r.place, r.line, r.symbol, r.trade_id, r.layout, r.interval_minutes, r.follows, r.raw, d.corrected
FROM rejected_records r
LEFT JOIN LATERAL (
    SELECT corrected FROM reject_decisions WHERE record_id = r.id AND action = 'corrected' ORDER BY id DESC LIMIT 1) d ON true
WHERE r.state = 'quarantined' AND r.id > %(after)s AND r.id <= %(upto)s
  AND (%(ids)s::bigint[] IS NULL OR r.id = ANY (%(ids)s)) AND (%(run)s::bigint IS NULL OR r.run_id = %(run)s)
  AND (%(source)s::text IS NULL OR r.source = %(source)s) AND (%(reason)s::text IS NULL OR r.reason = %(reason)s)
  AND (%(symbol)s::text IS NULL OR r.symbol = %(symbol)s)
ORDER BY r.id LIMIT %(limit)s

-- name: dismiss_rejects
INSERT INTO reject_decisions (record_id, action, decided_by, why, run_id)
SELECT id, 'dismissed', %(by)s::text, %(why)s::text, %(run)s::bigint FROM settle_rejects(%(ids)s::bigint[], 'dismissed') AS id
RETURNING record_id

-- name: correct_reject
INSERT INTO reject_decisions (record_id, action, decided_by, why, corrected, run_id)
SELECT id, 'corrected', %(by)s::text, %(why)s::text, %(corrected)s::text, %(run)s::bigint FROM rejected_records
WHERE id = %(id)s AND state = 'quarantined' FOR UPDATE
RETURNING record_id

-- name: record_replays
INSERT INTO reject_decisions (record_id, action, decided_by, why, outcome, trade_id, run_id)
SELECT id, 'replayed', %(by)s::text, %(why)s::text, n.outcome, n.trade_id, %(run)s::bigint
FROM settle_rejects(%(ids)s::bigint[], 'replayed') AS id
JOIN unnest(%(ids)s::bigint[], %(outcomes)s::text[], %(trade_ids)s::bigint[]) AS n (record_id, outcome, trade_id) ON n.record_id = id
RETURNING record_id

-- name: record_refusals
-- Gives how many of them wait still. What was said of a record last is not said again: a replay that has to wait for its pair
-- looks at all of them each time.
WITH waiting AS MATERIALIZED (
    SELECT n.record_id, n.why FROM unnest(%(ids)s::bigint[], %(whys)s::text[]) AS n (record_id, why)
    JOIN rejected_records r ON r.id = n.record_id WHERE r.state = 'quarantined' ORDER BY n.record_id FOR KEY SHARE OF r
), told AS (
    INSERT INTO reject_decisions (record_id, action, decided_by, why, run_id)
    SELECT w.record_id, 'refused', %(by)s::text, w.why, %(run)s::bigint FROM waiting w
    WHERE (w.why, %(by)s::text) IS DISTINCT FROM (
        SELECT ROW (d.why, d.decided_by) FROM reject_decisions d WHERE d.record_id = w.record_id AND d.action = 'refused'
          AND d.id = (SELECT max(id) FROM reject_decisions last WHERE last.record_id = w.record_id))
)
SELECT count(*) FROM waiting

-- name: lock_archive_rejects
SELECT lock_archive_rejects(%(symbol)s, %(ids)s::bigint[], %(first)s, %(last)s)

-- name: insert_archive_row
SELECT new_id, outcome FROM insert_archive_row(%(record)s, %(symbol)s, %(ns)s, %(price)s, %(volume)s, %(side)s, %(order_type)s)

-- name: listed_symbols
SELECT symbol FROM pairs
