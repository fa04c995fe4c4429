-- What monitoring reads, a handful of statements over small tables and indexes: no row of trades or candles is touched.

-- name: monitored_pairs
-- Of each tracked pair: its newest row; until when it is known that nothing newer is missing; holes; whether its last try failed.
-- What the exchange said of its newest trade holds as long as that trade is held, or answered for: as desk_pairs has it.
SELECT p.symbol, s.newest_timestamp,
       CASE WHEN p.candles_only THEN s.newest_timestamp + INTERVAL '1 minute'
            WHEN c.last_id <= greatest(newest.last_id, answer.last_id, 0) THEN greatest(s.newest_timestamp, ns_timestamp(c.checked_ns))
            ELSE s.newest_timestamp END,
       s.holes, coalesce(s.last_error_at > s.last_success, s.last_error_at IS NOT NULL)
FROM pairs p
LEFT JOIN data_sync_status s ON s.symbol = p.symbol AND s.kind = CASE WHEN p.candles_only THEN 'candles' ELSE 'trades' END
LEFT JOIN trade_checks c ON c.symbol = p.symbol
LEFT JOIN LATERAL (SELECT last_id FROM trade_runs WHERE symbol = p.symbol AND first_id > 0
                   ORDER BY first_id DESC LIMIT 1) newest ON true
LEFT JOIN LATERAL (SELECT last_id FROM answered_ids WHERE symbol = p.symbol ORDER BY first_id DESC LIMIT 1) answer ON true
WHERE p.tracked AND p.status NOT IN ('delisted', 'renamed') ORDER BY p.symbol

-- name: monitored_feeds
-- Feeds that said a moment ago that they live; of two starts of one name the newer.
SELECT DISTINCT ON (name) name, heard_at, symbols, statistics FROM feed_sessions
WHERE ended_at IS NULL AND alive_at > now() - make_interval(secs => %(gone_seconds)s)
ORDER BY name, id DESC LIMIT %(most)s

-- name: reject_totals
-- One row a run, source and reason: as many as runs that rejected something.
SELECT source, reason, sum(count)::bigint FROM reject_counts GROUP BY source, reason ORDER BY source, reason

-- name: folded_span
-- The stretch whose minutes rollups are made of; no end where nothing is collected.
SELECT greatest(min(oldest_timestamp), candles_fence()), max(newest_timestamp) FROM data_sync_status

-- name: watermarks_tables
-- Up to where each rollup is stored.
SELECT relation, watermark FROM rollup_watermarks

-- name: watermarks_aggregates
-- The same as TimescaleDB keeps it, in microseconds since 1970; below that nothing is stored yet.
SELECT c.user_view_name::text, timestamptz 'epoch' + greatest(w.watermark, 0) * INTERVAL '1 microsecond'
FROM _timescaledb_catalog.continuous_agg c JOIN _timescaledb_catalog.continuous_aggs_watermark w USING (mat_hypertable_id)
WHERE c.user_view_schema = current_schema() AND c.user_view_name = ANY (%(relations)s)

-- name: table_sizes_tables
-- Bytes on disk, indexes and partitions included; a rollup's are its table's.
SELECT name, pg_total_relation_size(relation)
       + coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = relation), 0)::bigint
FROM unnest(%(tables)s::text[]) AS name, LATERAL (SELECT coalesce(to_regclass(name || '_closed'), to_regclass(name)) AS relation) found
WHERE relation IS NOT NULL

-- name: table_sizes_aggregates
-- A rollup's are those of the hypertable behind it; what the columnstore holds lies elsewhere.
SELECT name, pg_total_relation_size(relation)
       + coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = relation), 0)::bigint
FROM unnest(%(tables)s::text[]) AS name, LATERAL (
    SELECT coalesce((SELECT to_regclass(format('%%I.%%I', h.schema_name, h.table_name))
                     FROM _timescaledb_catalog.continuous_agg c JOIN _timescaledb_catalog.hypertable h ON h.id = c.mat_hypertable_id
                     WHERE c.user_view_schema = current_schema() AND c.user_view_name = name), to_regclass(name)) AS relation
) found
WHERE relation IS NOT NULL

-- name: columnstore_sizes
-- What the columnstore of a table holds, and what the same rows took before; no numbers where it holds nothing.
SELECT name, after_compression_total_bytes, before_compression_total_bytes
FROM unnest(%(tables)s::text[]) AS name, LATERAL hypertable_columnstore_stats(name::regclass)
WHERE after_compression_total_bytes IS NOT NULL

-- name: applied_migrations
SELECT app, name FROM django_migrations
