-- What the admin's pages are measured on. Parameters by name, as page_market.py gives them.

-- name: pairs
INSERT INTO pairs (symbol, key, altname, wsname, base, quote, status, price_decimals, volume_decimals, tracked)
SELECT format('P%%s/USD', n), format('P%%sUSD', n), format('P%%sUSD', n), format('P%%s/USD', n), format('P%%s', n), 'USD', 'online',
       2, 8, true
FROM generate_series(0, %(pairs)s - 1) n

-- name: runs
-- The newest are running, one in fifty has failed.
INSERT INTO sync_runs (kind, parameters, state, started_at, updated_at, finished_at, done, total, unit, read, stored, duplicate, error)
SELECT (ARRAY['backfill', 'gap_fill', 'import', 'live', 'audit'])[1 + n %% 5],
       jsonb_build_object('symbol', format('P%%s/USD', n %% %(pairs)s)),
       CASE WHEN n > %(runs)s - 5 THEN 'running' WHEN n %% 50 = 0 THEN 'failed' ELSE 'done' END,
       %(end)s::timestamptz - (%(runs)s - n) * INTERVAL '1 minute',
       %(end)s::timestamptz - (%(runs)s - n - 1) * INTERVAL '1 minute',
       CASE WHEN n <= %(runs)s - 5 THEN %(end)s::timestamptz - (%(runs)s - n - 1) * INTERVAL '1 minute' END,
       1000, 1000, 'trades', 1000, 990, 10, CASE WHEN n %% 50 = 0 THEN 'The exchange is in maintenance.' ELSE '' END
FROM generate_series(1, %(runs)s) n

-- name: rejects
INSERT INTO rejected_records (run_id, seen_at, source, place, line, symbol, reason, detail, raw)
SELECT 1 + n %% %(rejecting)s, %(end)s::timestamptz - (%(rejects)s - n) * INTERVAL '1 second', 'archive',
       format('archive.zip!P%%sUSD.csv', n %% %(pairs)s), n, format('P%%s/USD', n %% %(pairs)s),
       (%(reasons)s::text[])[1 + n %% cardinality(%(reasons)s::text[])], 'A price has to be above zero, this one is 0.',
       format('1700000000,0,%%s,b,m', n)
FROM generate_series(0, %(rejects)s - 1) n

-- name: reject_counts
INSERT INTO reject_counts (run_id, source, reason, count, kept)
SELECT run_id, source, reason, count(*), count(*) FROM rejected_records GROUP BY run_id, source, reason

-- name: import_files
INSERT INTO import_files (path, version, symbol, layout, size, next_offset, read, stored, done)
SELECT format('/archives/archive.zip!P%%sUSD_%%s.csv', n %% %(pairs)s, n), '1', format('P%%s/USD', n %% %(pairs)s), 'trades D',
       1000000, 1000000, 20000, 20000, true
FROM generate_series(1, %(files)s) n

-- name: audit_findings
INSERT INTO audit_findings (found_at, symbol, interval_minutes, timestamp, compared_with, differences, healed)
SELECT %(end)s::timestamptz - n * INTERVAL '1 minute', format('P%%s/USD', n %% %(pairs)s), 60, %(start)s::timestamptz, 'trades',
       '{"close": ["1", "2"]}', true
FROM generate_series(1, %(findings)s) n

-- name: feed_session
INSERT INTO feed_sessions (run_id, name, heard_at, symbols, statistics)
VALUES (%(runs)s, 'feed', now(), %(pairs)s, %(told)s)

-- name: trades
-- Prices that go up and down; in a pair with a hole the ids of it are left out.
INSERT INTO trades (symbol, timestamp, trade_id, price, volume, side, order_type)
SELECT %(symbol)s, %(start)s::timestamptz + n * %(step)s::interval, n + 1,
       round((100 + 20 * sin(n / 900.0) + 3 * sin(n / 37.0))::numeric, 2), round((random() * 10 + 0.0001)::numeric, 8),
       CASE WHEN n %% 3 = 0 THEN 'sell' ELSE 'buy' END, CASE WHEN n %% 4 = 0 THEN 'limit' ELSE 'market' END
FROM generate_series(0, %(trades)s - 1) n
WHERE n + 1 < %(hole_first)s OR n + 1 > %(hole_last)s

-- name: candles
INSERT INTO candles (symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id)
SELECT symbol, time_bucket(INTERVAL '1 minute', timestamp), (array_agg(price ORDER BY trade_id))[1], max(price), min(price),
       (array_agg(price ORDER BY trade_id DESC))[1], sum(volume), sum(price * volume), count(*), min(trade_id), max(trade_id)
FROM trades WHERE symbol = %(symbol)s AND timestamp >= %(start)s AND timestamp < %(end)s
GROUP BY symbol, time_bucket(INTERVAL '1 minute', timestamp)

-- name: trade_run
INSERT INTO trade_runs (symbol, first_id, last_id, first_ns, last_ns, trades, source, stored)
VALUES (%(symbol)s, %(first)s, %(last)s, %(first_ns)s, %(last_ns)s, %(last)s::bigint - %(first)s::bigint + 1, 'rest', true)

-- name: trade_check
INSERT INTO trade_checks (symbol, last_id, checked_ns) VALUES (%(symbol)s, %(trades)s, %(end_ns)s)

-- name: summary
SELECT summarize_sync(%(symbol)s, 'trades')

-- name: dirty
SELECT mark_dirty(%(symbol)s, %(start)s::timestamptz, %(end)s::timestamptz)

-- name: partitions
SELECT make_partitions(%(relation)s, %(start)s::timestamptz, %(end)s::timestamptz)
