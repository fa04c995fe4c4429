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

-- name: apply_policies
SELECT apply_policies(%(policies)s::jsonb)

-- name: policy_drift
SELECT kind, relation, wanted, found FROM policy_drift(%(policies)s::jsonb)
