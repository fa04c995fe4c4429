-- What readers ask, each statement under its name. Parameters by name; {view} is one of the all_candles_… views.

-- name: candles_in_view
-- One stretch of a series as its view has it, in the order of types.Candle: for selections.py, which joins such parts, folds
-- and fills them.
SELECT symbol, timestamp, open, high, low, close, volume, vwap, trade_count, turnover, first_id, last_id, coarse
FROM {view} WHERE symbol = {symbol} AND timestamp >= {start} AND timestamp < {end}

-- name: candles_in_rollup
-- The same of a rollup alone, without the view around it, which takes as long to plan as the rows to read: above the fence, where
-- no archive has given candles of this interval.
SELECT symbol, timestamp, open, high, low, close, volume, turnover / nullif(volume, 0) AS vwap, trade_count, turnover, first_id,
       last_id, false AS coarse
FROM {rollup} WHERE symbol = {symbol} AND timestamp >= {start} AND timestamp < {end}

-- name: candles_of_minutes
-- The same above the fence, of the minutes themselves: a rollup that was refreshed before a late trade came is behind the
-- ledger until the next refresh. The caller has its buckets begin at or after the fence.
(
WITH folded AS (
    SELECT time_bucket(make_interval(mins => {minutes}::integer), timestamp) AS timestamp,
           (array_agg(open ORDER BY timestamp))[1] AS open, max(high) AS high, min(low) AS low,
           (array_agg(close ORDER BY timestamp DESC))[1] AS close, sum(volume) AS volume,
           CASE WHEN count(turnover) = count(*) THEN sum(turnover) END AS turnover, sum(trade_count)::bigint AS trade_count,
           CASE WHEN count(first_id) = count(*) THEN min(first_id) END AS first_id,
           CASE WHEN count(last_id) = count(*) THEN max(last_id) END AS last_id
    FROM candles
    WHERE symbol = {symbol} AND interval_minutes = 1 AND timestamp >= {start} AND timestamp < {end}
    GROUP BY 1
)
SELECT {symbol}::text AS symbol, timestamp, open, high, low, close, volume, turnover / nullif(volume, 0) AS vwap, trade_count,
       turnover, first_id, last_id, false AS coarse
FROM folded
UNION ALL
SELECT symbol, timestamp, open, high, low, close, volume, turnover / nullif(volume, 0), trade_count, turnover,
       first_id, last_id, true
FROM candles_history h
WHERE symbol = {symbol} AND interval_minutes = {minutes} AND coarse AND timestamp >= {start} AND timestamp < {end}
  AND NOT EXISTS (SELECT FROM folded f WHERE f.timestamp = h.timestamp)
)

-- name: candles_folded
-- Candles of an interval in between, of those of a stored one. What one part does not tell, the whole does not.
SELECT {symbol}::text AS symbol, bucket AS timestamp, (array_agg(open ORDER BY timestamp))[1] AS open, max(high) AS high,
       min(low) AS low, (array_agg(close ORDER BY timestamp DESC))[1] AS close, sum(volume) AS volume,
       CASE WHEN count(turnover) = count(*) THEN sum(turnover) END / nullif(sum(volume), 0) AS vwap,
       sum(trade_count)::bigint AS trade_count, CASE WHEN count(turnover) = count(*) THEN sum(turnover) END AS turnover,
       CASE WHEN count(first_id) = count(*) THEN min(first_id) END AS first_id,
       CASE WHEN count(last_id) = count(*) THEN max(last_id) END AS last_id, bool_or(coarse) AS coarse
FROM (SELECT {bucket} AS bucket, part.* FROM ({parts}) part) parts
GROUP BY bucket

-- name: bucket_of_minutes
-- By core's date_bin, which no session's time zone moves.
date_bin(make_interval(mins => {minutes}::integer), timestamp, {origin}::timestamptz)

-- name: bucket_of_months
(date_trunc('month', timestamp AT TIME ZONE 'UTC')
 - make_interval(months => mod(extract(month FROM timestamp AT TIME ZONE 'UTC')::integer - 1, {months}::integer))) AT TIME ZONE 'UTC'

-- name: candles_filled_null
-- And one without prices for each bucket of the quiet stretches that has none.
WITH found AS ({candles})
SELECT symbol, timestamp, open, high, low, close, volume, vwap, trade_count, turnover, first_id, last_id, coarse FROM found
UNION ALL
SELECT {symbol}::text, quiet.timestamp, NULL::numeric, NULL::numeric, NULL::numeric, NULL::numeric, 0::numeric, NULL::numeric,
       0::bigint, 0::numeric, NULL::bigint, NULL::bigint, false
FROM ({buckets}) quiet LEFT JOIN found USING (timestamp) WHERE found.timestamp IS NULL

-- name: candles_filled_flat
-- And one at the close before it for each bucket of the quiet stretches that has none. Each of the breaks forgets the close
-- before it; the one given counts until the first of them. Where none is known, there is no candle.
WITH found AS ({candles}),
placed AS (
    SELECT symbol, timestamp, open, high, low, close, volume, vwap, trade_count, turnover, first_id, last_id, coarse FROM found
    UNION ALL
    SELECT {symbol}::text, quiet.timestamp, NULL::numeric, NULL::numeric, NULL::numeric, NULL::numeric, 0::numeric,
           NULL::numeric, 0::bigint, 0::numeric, NULL::bigint, NULL::bigint, false
    FROM ({buckets}) quiet LEFT JOIN found USING (timestamp) WHERE found.timestamp IS NULL
),
counted AS (
    SELECT part.*, count(close) OVER (PARTITION BY breaks ORDER BY timestamp) AS closes
    FROM (SELECT placed.*, width_bucket(timestamp, {breaks}::timestamptz[]) AS breaks FROM placed) part
),
carried AS (
    SELECT counted.*, coalesce(first_value(close) OVER (PARTITION BY breaks, closes ORDER BY timestamp),
                               CASE WHEN breaks = 0 THEN {close}::numeric END) AS price
    FROM counted
)
SELECT symbol, timestamp, coalesce(open, price) AS open, coalesce(high, price) AS high, coalesce(low, price) AS low,
       coalesce(close, price) AS close, volume, vwap, trade_count, turnover, first_id, last_id, coarse
FROM carried WHERE price IS NOT NULL

-- name: quiet_buckets
-- Stepped through without a time zone, in which days and months would have no one length.
SELECT bucket AT TIME ZONE 'UTC' AS timestamp
FROM unnest({starts}::timestamptz[], {ends}::timestamptz[]) AS stretch (start, finish),
     generate_series(start AT TIME ZONE 'UTC', finish AT TIME ZONE 'UTC' - INTERVAL '1 microsecond',
                     make_interval(mins => {minutes}::integer, months => {months}::integer)) AS bucket

-- name: stale_aggregates
-- Where an aggregate, or one that it is built from, is behind its minutes: what TimescaleDB's invalidation logs say below the
-- watermark, in microseconds since 1970, both ends included. A write logs itself in its own transaction; the entry goes in the
-- one that stores the buckets anew. Above the watermark a real-time aggregate folds as it is read.
WITH RECURSIVE built_from AS (
    SELECT mat_hypertable_id, raw_hypertable_id
    FROM _timescaledb_catalog.continuous_agg
    JOIN pg_class c ON c.oid = %(relation)s::regclass AND c.relname = user_view_name
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = user_view_schema
    UNION ALL
    SELECT c.mat_hypertable_id, c.raw_hypertable_id
    FROM _timescaledb_catalog.continuous_agg c JOIN built_from b ON c.mat_hypertable_id = b.raw_hypertable_id
), logged AS (
    SELECT mat_hypertable_id, lowest_modified_value AS low, greatest_modified_value AS high
    FROM built_from b JOIN _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log ON hypertable_id = raw_hypertable_id
    UNION ALL
    SELECT mat_hypertable_id, lowest_modified_value, greatest_modified_value
    FROM built_from b JOIN _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
      ON materialization_id = mat_hypertable_id
), found AS (
    SELECT greatest(low, %(start_us)s::bigint) AS low, least(high, watermark - 1, %(end_us)s::bigint - 1) AS high
    FROM logged JOIN _timescaledb_catalog.continuous_aggs_watermark USING (mat_hypertable_id)
)
SELECT lower(span), upper(span) - 1
FROM (SELECT unnest(range_agg(int8range(low, high, '[]'))) AS span FROM found WHERE low <= high) spans

-- name: stale_tables
-- The same where the rollups are tables: what the symbol's writers marked and no refresh has taken yet, and what lies above the
-- watermark, up to which the table goes.
WITH lines AS (
    SELECT max(p.watermark) AS folded_to, max(p.watermark) FILTER (WHERE p.relation = %(relation)s) AS stored_to
    FROM rollup_watermarks r JOIN rollup_watermarks p ON p.relation IN (r.relation, r.parent)
    WHERE r.relation = %(relation)s
)
SELECT (extract(epoch FROM start) * 1000000)::bigint, (extract(epoch FROM least(finish, folded_to)) * 1000000)::bigint - 1
FROM dirty_ranges, lines
WHERE symbol = %(symbol)s AND start < least(folded_to, ns_timestamp(%(end_us)s * 1000))
  AND finish > ns_timestamp(%(start_us)s * 1000)
UNION ALL
SELECT (extract(epoch FROM stored_to) * 1000000)::bigint, %(end_us)s - 1
FROM lines WHERE stored_to < ns_timestamp(%(end_us)s * 1000)

-- name: finer_candles_between
-- Without those that only an archive of the interval has given.
SELECT timestamp, open, high, low, close, volume, trade_count
FROM {view} WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s AND NOT coarse

-- name: candle_lines
-- The candles of another statement as lines of comma-separated values, all of them in one value: numeric is text on
-- its way out in any case and stays exact so, and a row costs neither a message nor an object. concat_ws leaves NULLs out,
-- which therefore are made empty here.
SELECT count(*), convert_to(string_agg(concat_ws(',', {columns}), E'\n' ORDER BY place), 'UTF8')
FROM (
    SELECT c.timestamp AS place, (date_part('epoch', c.timestamp) * 1000000)::bigint AS timestamp,
           coalesce(open::text, '') AS open, coalesce(high::text, '') AS high, coalesce(low::text, '') AS low,
           coalesce(close::text, '') AS close, volume, coalesce(vwap::double precision::text, '') AS vwap, trade_count,
           coalesce(turnover::text, '') AS turnover, coalesce(first_id::text, '') AS first_id,
           coalesce(last_id::text, '') AS last_id, coarse::integer AS coarse
    FROM ({candles}) c
) lines

-- name: candle_digest
-- How many candles another statement gives, and a number that changes with any of them: a third of the time that reading
-- them takes. Equal numbers are equal, however they are written.
SELECT count(*), coalesce(bit_xor(hash_record_extended(
           ROW(c.timestamp, open, high, low, close, volume, trade_count, turnover, first_id, last_id, coarse), 0)), 0), min(c.timestamp)
FROM ({candles}) c

-- name: trade_digest
SELECT count(*), coalesce(bit_xor(hash_record_extended(
           ROW(t.timestamp, trade_id, price, volume, side, order_type), 0)), 0), min(t.timestamp)
FROM trades t WHERE symbol = %(symbol)s AND t.timestamp >= %(start)s AND t.timestamp < %(end)s

-- name: trade_lines
-- Trades likewise, by time and, within one time, by id: no more than the limit, of those behind a moment and an id.
SELECT count(*), convert_to(string_agg(concat_ws(',', {columns}), E'\n' ORDER BY place, trade_id), 'UTF8')
FROM (
    SELECT t.timestamp AS place, (date_part('epoch', t.timestamp) * 1000000)::bigint AS timestamp, trade_id, price, volume,
           coalesce(side, '') AS side, coalesce(order_type, '') AS order_type
    FROM trades t
    WHERE symbol = %(symbol)s AND t.timestamp >= %(after)s AND t.timestamp < %(end)s
      AND (t.timestamp, trade_id) > (%(after)s, %(after_id)s)
    ORDER BY t.timestamp, trade_id LIMIT %(limit)s
) lines

-- name: data_bounds
-- Where the ledger of a symbol begins and ends for an interval, NULL where it holds nothing: four steps along its index for
-- the trades, and the few runs of its candle archives. And the fence, below which no minutes are stored, the trades' line, and
-- whether an archive has given candles of the interval itself.
SELECT least((SELECT first_ns FROM trade_runs WHERE symbol = %(symbol)s AND first_id < 0 ORDER BY first_id LIMIT 1),
             (SELECT first_ns FROM trade_runs WHERE symbol = %(symbol)s AND first_id > 0 ORDER BY first_id LIMIT 1)) AS first_ns,
       greatest((SELECT last_ns FROM trade_runs WHERE symbol = %(symbol)s AND first_id < 0 ORDER BY first_id DESC LIMIT 1),
                (SELECT last_ns FROM trade_runs WHERE symbol = %(symbol)s AND first_id > 0 ORDER BY first_id DESC LIMIT 1)) AS last_ns,
       (SELECT min(first_start) FROM candle_runs
        WHERE symbol = %(symbol)s AND interval_minutes IN (1, %(minutes)s)) AS first_start,
       (SELECT max(last_start + make_interval(mins => interval_minutes)) FROM candle_runs
        WHERE symbol = %(symbol)s AND interval_minutes IN (1, %(minutes)s)) AS last_end,
       (SELECT line FROM retention_lines WHERE kind = 'candles') AS fence,
       (SELECT line FROM retention_lines WHERE kind = 'trades') AS trades_line,
       EXISTS (SELECT FROM candle_runs
               WHERE symbol = %(symbol)s AND interval_minutes = %(minutes)s AND interval_minutes > 1) AS has_coarse

-- name: ledger_around
-- What of a ledger it takes to judge [start_ns, end_ns), in one statement: the way to the server and back is most of its time.
-- By kind: 0, the runs that overlap it and, of exact ones, the nearest on either side, looked for from the newest back, where
-- most questions are; 1, the answered ids between these, and where they begin with the first run, those before it; 2, the
-- candle archives that overlap it; 3, the newest check.
SELECT 0, first_id, last_id, first_ns, last_ns, NULL::timestamptz, NULL::timestamptz FROM trade_runs
WHERE symbol = %(symbol)s
  AND first_id >= coalesce((SELECT first_id FROM trade_runs
                            WHERE symbol = %(symbol)s AND first_id > 0 AND first_ns <= %(start_ns)s
                            ORDER BY first_id DESC LIMIT 1), 1)
  AND first_id <= coalesce((SELECT first_id FROM trade_runs
                            WHERE symbol = %(symbol)s
                              AND first_id > coalesce((SELECT first_id FROM trade_runs
                                                       WHERE symbol = %(symbol)s AND first_id > 0 AND last_ns < %(end_ns)s
                                                       ORDER BY first_id DESC LIMIT 1), 0)
                            ORDER BY first_id LIMIT 1), 9223372036854775807)
UNION ALL
SELECT 0, first_id, last_id, first_ns, last_ns, NULL, NULL FROM trade_runs
WHERE symbol = %(symbol)s AND first_id < 0 AND first_ns < %(end_ns)s AND last_ns + 1000000000 > %(start_ns)s
UNION ALL
SELECT 1, first_id, last_id, NULL, NULL, NULL, NULL FROM answered_ids
WHERE symbol = %(symbol)s
  AND first_id >= coalesce((SELECT first_id FROM trade_runs
                            WHERE symbol = %(symbol)s AND first_id > 0 AND first_ns <= %(start_ns)s
                            ORDER BY first_id DESC LIMIT 1), 1)
  AND first_id <= coalesce((SELECT first_id FROM trade_runs
                            WHERE symbol = %(symbol)s
                              AND first_id > coalesce((SELECT first_id FROM trade_runs
                                                       WHERE symbol = %(symbol)s AND first_id > 0 AND last_ns < %(end_ns)s
                                                       ORDER BY first_id DESC LIMIT 1), 0)
                            ORDER BY first_id LIMIT 1), 9223372036854775807)
UNION ALL
SELECT 2, interval_minutes, NULL, NULL, NULL, first_start, last_start FROM candle_runs
WHERE symbol = %(symbol)s AND first_start < ns_timestamp(%(end_ns)s)
  AND last_start + make_interval(mins => interval_minutes) > ns_timestamp(%(start_ns)s)
UNION ALL
SELECT 3, last_id, checked_ns, NULL, NULL, NULL, NULL FROM trade_checks WHERE symbol = %(symbol)s

-- name: ledgers_around
-- The same of several symbols, and of each answer which it is: the statement above, of asked.symbol.
SELECT asked.symbol, a.answer, around.*
FROM unnest(%(symbols)s::text[]) AS asked (symbol)
CROSS JOIN LATERAL ({ledger}) AS around (kind, first_id, last_id, first_ns, last_ns, first_start, last_start)
LEFT JOIN answered_ids a ON around.kind = 1 AND a.symbol = asked.symbol AND a.first_id = around.first_id

-- name: answered_ids
SELECT first_id, last_id FROM answered_ids WHERE symbol = %(symbol)s

-- name: answers
SELECT first_id, last_id, answer FROM answered_ids WHERE symbol = %(symbol)s ORDER BY first_id

-- name: pairs
SELECT symbol, key, altname, wsname, base, quote, status, price_decimals, volume_decimals FROM pairs ORDER BY symbol

-- name: tracked_pairs
SELECT symbol, tracked_since, candles_only FROM pairs WHERE tracked AND status NOT IN ('delisted', 'renamed') ORDER BY symbol

-- name: symbols_with_data
SELECT DISTINCT symbol FROM data_sync_status ORDER BY symbol

-- name: sync_status
-- One row a symbol and kind; a NULL symbol asks for all.
SELECT symbol, kind, oldest_timestamp, newest_timestamp, collected, stored, holes, last_success, last_error
FROM data_sync_status WHERE %(symbol)s::text IS NULL OR symbol = %(symbol)s ORDER BY symbol, kind DESC

-- name: export_snapshot
SELECT pg_export_snapshot()

-- name: begin_reading_snapshot
-- One that sees what another reader's transaction sees. That one holds the lock, too: to ask for it again, behind a fence that
-- waits to move, would be to wait for oneself.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {snapshot}

-- name: begin_reading
-- One message to the server: a transaction that sees one state throughout and, before its first look, waits for a moving fence,
-- so that its views and the rows they show are of one state. A lock takes no snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE retention_lines IN ACCESS SHARE MODE

-- name: retention_lines
SELECT kind, line FROM retention_lines

-- name: next_trade_time
SELECT timestamp FROM trades WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s
ORDER BY timestamp LIMIT 1

-- name: next_candle_time
SELECT timestamp FROM {view} WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s AND NOT coarse
ORDER BY timestamp LIMIT 1

-- name: finer_candle_facts
-- In the order of audit.CandleFacts, behind the start.
SELECT timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id
FROM {view} WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s AND NOT coarse

-- name: folded_candle_facts
-- What a bucket has to be, of its parts (one of the next three statements); no row where there are none.
SELECT (array_agg(open ORDER BY timestamp))[1], max(high), min(low), (array_agg(close ORDER BY timestamp DESC))[1],
       sum(volume), CASE WHEN count(turnover) = count(*) THEN sum(turnover) END, sum(trade_count)::bigint,
       CASE WHEN count(first_id) = count(*) THEN min(first_id) END,
       CASE WHEN count(last_id) = count(*) THEN max(last_id) END
FROM ({parts}) parts HAVING count(*) > 0

-- name: minutes_by_trades
-- What the minutes have to be by their stored trades: each of the kind it is of, those that were given as they are. Where
-- the ledger shows that every trade is in (is_proven), by the trades with ids alone.
(SELECT DISTINCT ON (b.timestamp) b.*
FROM (
    SELECT time_bucket(INTERVAL '1 minute', timestamp) AS timestamp, (array_agg(price ORDER BY trade_id))[1] AS open,
           max(price) AS high, min(price) AS low, (array_agg(price ORDER BY trade_id DESC))[1] AS close,
           sum(volume) AS volume, sum(price * volume) AS turnover, count(*) AS trade_count,
           min(trade_id) AS first_id, max(trade_id) AS last_id
    FROM trades WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s
    GROUP BY 1, trade_id > 0
) b
LEFT JOIN candles o ON o.symbol = %(symbol)s AND o.interval_minutes = 1 AND o.timestamp = b.timestamp
                   AND o.timestamp >= %(start)s AND o.timestamp < %(end)s
WHERE CASE WHEN %(is_proven)s THEN b.first_id > 0 WHEN o.timestamp IS NULL THEN true
           ELSE coalesce((b.first_id > 0) = (o.first_id > 0), false) END
ORDER BY b.timestamp, b.first_id DESC)
UNION ALL
SELECT timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id
FROM candles WHERE symbol = %(symbol)s AND interval_minutes = 1 AND timestamp >= %(start)s AND timestamp < %(end)s
               AND first_id IS NULL AND NOT %(is_proven)s

-- name: minutes_stored
SELECT timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id
FROM candles WHERE symbol = %(symbol)s AND interval_minutes = 1 AND timestamp >= %(start)s AND timestamp < %(end)s

-- name: five_minutes_stored
-- Below the fence, where no minutes are.
SELECT timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id
FROM candles_history WHERE symbol = %(symbol)s AND interval_minutes = 5 AND NOT coarse
                       AND timestamp >= %(start)s AND timestamp < %(end)s

-- name: count_candles_without_parts
-- Minutes before the line of the trades, and five minutes before the fence: nothing to recompute them from is stored.
SELECT (SELECT count(*) FROM candles WHERE symbol = %(symbol)s AND interval_minutes = 1 AND timestamp < %(trades)s)
     + (SELECT count(*) FROM candles_history WHERE symbol = %(symbol)s AND interval_minutes = 5 AND NOT coarse
        AND timestamp < %(candles)s)

-- name: oldest_trades
-- Trades with the exchange's own ids, to be replayed.
SELECT trade_id, timestamp, price::text, volume::text, side, order_type FROM trades
WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s AND trade_id > 0
ORDER BY timestamp, trade_id LIMIT %(limit)s

-- name: newest_trades
SELECT trade_id, timestamp, price::text, volume::text, side, order_type FROM trades
WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s AND trade_id > 0
ORDER BY timestamp DESC, trade_id DESC LIMIT %(limit)s

-- name: trades_between
-- Those of archives without ids too. The index has this order: nothing is sorted.
SELECT trade_id, timestamp, price::text, volume::text, side, order_type FROM trades
WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s
ORDER BY timestamp, trade_id

-- name: newest_trades_between
SELECT trade_id, timestamp, price::text, volume::text, side, order_type FROM trades
WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s
ORDER BY timestamp DESC, trade_id DESC LIMIT %(limit)s

-- name: trades_after
-- The first of them behind a trade, by its time and id.
SELECT trade_id, timestamp, price::text, volume::text, side, order_type FROM trades
WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s
  AND (timestamp, trade_id) > (%(after)s::timestamptz, %(after_id)s::bigint)
ORDER BY timestamp, trade_id LIMIT %(limit)s

-- name: newest_ids
SELECT symbol, max(last_id) FROM trade_runs WHERE first_id > 0 GROUP BY symbol

-- name: trades_before
-- The last ones before a trade, by its time and id.
SELECT trade_id, timestamp, price::text, volume::text, side, order_type FROM trades
WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s
  AND (timestamp, trade_id) < (%(before)s::timestamptz, %(before_id)s::bigint)
ORDER BY timestamp DESC, trade_id DESC LIMIT %(limit)s

-- name: newest_finding
SELECT coalesce(max(id), 0) FROM audit_findings WHERE symbol = %(symbol)s

-- name: rows_described
-- For the names and types of what a queryset, whose statement `rows` is, selects.
SELECT * FROM ({rows}) rows LIMIT 0

-- name: rows_copied
COPY (SELECT {columns} FROM ({rows}) rows) TO STDOUT (FORMAT csv)
