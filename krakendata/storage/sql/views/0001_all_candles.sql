-- One view per interval over both sides of the fence: what readers, models and the provider use.
-- Above the fence the rollup answers; below it candles_history; a coarse archive row only where nothing finer has the bucket.

CREATE FUNCTION candles_fence() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT line FROM retention_lines WHERE kind = 'candles' $$;

-- Draws the views with the fence as a constant. A constant reaches every arm when the query is planned; a subquery in its
-- place made TimescaleDB 2.29.2 leave out whole chunks in parallel plans (seen: 149,760 of 225,463 buckets answered).
CREATE FUNCTION draw_all_candles() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    fence constant timestamptz := candles_fence();
    columns constant text :=
        'symbol, timestamp, open, high, low, close, volume, turnover, turnover / nullif(volume, 0) AS vwap, '
        'trade_count, first_id, last_id';
    rollup record;
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE VIEW all_candles_1m AS
        SELECT %s, false AS coarse FROM candles WHERE interval_minutes = 1 AND timestamp >= %L::timestamptz
    $sql$, columns, fence);
    FOR rollup IN
        SELECT * FROM (VALUES
            ('5m', 5), ('15m', 15), ('30m', 30), ('1h', 60), ('4h', 240), ('12h', 720), ('1d', 1440), ('1w', 10080)
        ) AS v (name, minutes)
    LOOP
        EXECUTE format($sql$
            CREATE OR REPLACE VIEW %1$I AS
            SELECT %2$s, false AS coarse FROM %3$I WHERE timestamp >= %5$L::timestamptz
            UNION ALL
            SELECT %2$s, false FROM candles_history
            WHERE interval_minutes = %4$s AND NOT coarse AND timestamp < %5$L::timestamptz
            UNION ALL
            SELECT %2$s, true FROM candles_history h
            WHERE interval_minutes = %4$s AND coarse
              AND NOT EXISTS (SELECT FROM %3$I finer WHERE finer.timestamp >= %5$L::timestamptz
                              AND finer.symbol = h.symbol AND finer.timestamp = h.timestamp)
              AND NOT EXISTS (SELECT FROM candles_history finer WHERE finer.timestamp < %5$L::timestamptz
                              AND finer.symbol = h.symbol AND finer.interval_minutes = %4$s AND NOT finer.coarse
                              AND finer.timestamp = h.timestamp)
        $sql$, 'all_candles_' || rollup.name, columns, 'candles_' || rollup.name, rollup.minutes, fence);
    END LOOP;
END $$;
