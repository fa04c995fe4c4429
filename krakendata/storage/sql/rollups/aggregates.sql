-- TimescaleDB Community: every rollup is a continuous aggregate, real-time (materialized_only = false).
-- Policies are upkeep's. Columns and types equal rollups/tables.sql.

DO $do$
DECLARE
    rollup record;
BEGIN
    FOR rollup IN
        SELECT * FROM (VALUES
            ('candles_5m',  interval '5 minutes',  'candles'),
            ('candles_15m', interval '15 minutes', 'candles'),
            ('candles_30m', interval '30 minutes', 'candles'),
            ('candles_1h',  interval '1 hour',     'candles'),
            ('candles_4h',  interval '4 hours',    'candles_1h'),
            ('candles_12h', interval '12 hours',   'candles_1h'),
            ('candles_1d',  interval '1 day',      'candles_1h'),
            ('candles_1w',  interval '1 week',     'candles_1h')
        ) AS v (relation, width, parent)
    LOOP
        EXECUTE format($sql$
            CREATE MATERIALIZED VIEW %I
            WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
            SELECT symbol,
                   time_bucket(INTERVAL %L, timestamp) AS timestamp,
                   first(open, timestamp)      AS open,
                   max(high)                   AS high,
                   min(low)                    AS low,
                   last(close, timestamp)      AS close,
                   sum(volume)                 AS volume,
                   CASE WHEN count(turnover) = count(*) THEN sum(turnover) END AS turnover,
                   sum(trade_count)::bigint    AS trade_count,
                   CASE WHEN count(first_id) = count(*) THEN min(first_id) END AS first_id,
                   CASE WHEN count(last_id) = count(*) THEN max(last_id) END   AS last_id
            FROM %I %s
            GROUP BY symbol, time_bucket(INTERVAL %L, timestamp)
            WITH NO DATA
        $sql$, rollup.relation, rollup.width, rollup.parent,
               CASE rollup.parent WHEN 'candles' THEN 'WHERE interval_minutes = 1' ELSE '' END, rollup.width);
    END LOOP;
END $do$;

CREATE FUNCTION mark_dirty(p_symbol text, p_start timestamptz, p_end timestamptz) RETURNS void
LANGUAGE sql AS $$ SELECT $$;
COMMENT ON FUNCTION mark_dirty IS 'TimescaleDB keeps its own log of what a write made stale.';
