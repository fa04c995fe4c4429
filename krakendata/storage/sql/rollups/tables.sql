-- Apache 2 and plain PostgreSQL: every rollup is a table of closed buckets up to its watermark, and a view of the
-- relation's name that adds what is younger, straight from the minutes. Columns and types equal rollups/aggregates.sql.

CREATE TABLE rollup_watermarks (
    relation  text PRIMARY KEY,
    parent    text NOT NULL,
    width     interval NOT NULL,
    watermark timestamptz NOT NULL
);

-- What a write made stale. Rows are only ever added and taken away whole: a conflict clause here could lose a
-- range that a refresh is taking away at the same moment.
CREATE TABLE dirty_ranges (
    symbol text        NOT NULL,
    start  timestamptz NOT NULL,
    finish timestamptz NOT NULL
);

CREATE FUNCTION mark_dirty(p_symbol text, p_start timestamptz, p_end timestamptz) RETURNS void
LANGUAGE sql AS $$ INSERT INTO dirty_ranges VALUES (p_symbol, p_start, p_end) $$;

CREATE FUNCTION rollup_watermark(p_relation text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT watermark FROM rollup_watermarks WHERE relation = p_relation $$;

DO $do$
DECLARE
    rollup record;
    folded text;
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
        INSERT INTO rollup_watermarks VALUES (rollup.relation, rollup.parent, rollup.width, '2000-01-03 00:00:00+00');
        folded := format($sql$
            SELECT symbol,
                   time_bucket(INTERVAL %L, timestamp) AS timestamp,
                   (array_agg(open ORDER BY timestamp))[1]       AS open,
                   max(high)                   AS high,
                   min(low)                    AS low,
                   (array_agg(close ORDER BY timestamp DESC))[1] AS close,
                   sum(volume)                 AS volume,
                   CASE WHEN count(turnover) = count(*) THEN sum(turnover) END AS turnover,
                   sum(trade_count)::bigint    AS trade_count,
                   CASE WHEN count(first_id) = count(*) THEN min(first_id) END AS first_id,
                   CASE WHEN count(last_id) = count(*) THEN max(last_id) END   AS last_id
            FROM %I
            WHERE timestamp >= $start AND timestamp < $finish %s
            GROUP BY symbol, time_bucket(INTERVAL %L, timestamp)
        $sql$, rollup.width, rollup.parent,
               CASE rollup.parent WHEN 'candles' THEN 'AND interval_minutes = 1 $symbol' ELSE '$symbol' END, rollup.width);

        EXECUTE format($sql$
            CREATE TABLE %1$I (
                symbol text NOT NULL, timestamp timestamptz NOT NULL,
                open numeric, high numeric, low numeric, close numeric, volume numeric, turnover numeric,
                trade_count bigint, first_id bigint, last_id bigint,
                PRIMARY KEY (symbol, timestamp)
            )
        $sql$, rollup.relation || '_closed');

        EXECUTE format('CREATE VIEW %I AS SELECT * FROM %I UNION ALL %s', rollup.relation, rollup.relation || '_closed',
            replace(replace(replace(folded, '$start', format('rollup_watermark(%L)', rollup.relation)),
                            '$finish', $$'infinity'$$), '$symbol', ''));

        -- Rebuilds the closed buckets of one symbol (NULL: all) that begin in [start, finish).
        EXECUTE format($sql$
            CREATE FUNCTION rebuild_%1$s(p_symbol text, p_start timestamptz, p_end timestamptz) RETURNS void
            LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $f$
            BEGIN
                DELETE FROM %2$I WHERE (p_symbol IS NULL OR symbol = p_symbol) AND timestamp >= p_start AND timestamp < p_end;
                INSERT INTO %2$I %3$s;
            END $f$
        $sql$, rollup.relation, rollup.relation || '_closed',
               replace(replace(replace(folded, '$start', 'p_start'), '$finish', 'p_end'),
                       '$symbol', 'AND (p_symbol IS NULL OR symbol = p_symbol)'));
    END LOOP;
END $do$;

-- Brings every rollup up to date, parents first, from the fence to the start of the bucket of p_now.
CREATE FUNCTION refresh_rollups(p_now timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    fence  timestamptz;
    rollup record;
    dirty  record;
    closed timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('krakendata refresh'));
    SELECT line INTO fence FROM retention_lines WHERE kind = 'candles';
    CREATE TEMP TABLE taken ON COMMIT DROP AS
        WITH gone AS (DELETE FROM dirty_ranges RETURNING symbol, start, finish),
        merged AS (
            SELECT symbol, unnest(range_agg(tstzrange(
                time_bucket(INTERVAL '1 hour', start),
                time_bucket(INTERVAL '1 hour', finish) + INTERVAL '1 hour'))) AS span
            FROM gone GROUP BY symbol
        )
        SELECT symbol, greatest(lower(span), fence) AS start, upper(span) AS finish
        FROM merged WHERE upper(span) > fence;
    FOR rollup IN
        SELECT * FROM rollup_watermarks ORDER BY parent <> 'candles', width
    LOOP
        closed := greatest(time_bucket(rollup.width, p_now), rollup.watermark);
        FOR dirty IN SELECT * FROM taken ORDER BY symbol, start LOOP
            EXECUTE format('SELECT rebuild_%s($1, $2, $3)', rollup.relation)
            USING dirty.symbol, time_bucket(rollup.width, dirty.start),
                  least(rollup.watermark, time_bucket(rollup.width, dirty.finish - INTERVAL '1 microsecond') + rollup.width);
        END LOOP;
        IF closed > rollup.watermark THEN
            EXECUTE format('SELECT rebuild_%s(NULL, $1, $2)', rollup.relation)
            USING greatest(rollup.watermark, fence), closed;
            UPDATE rollup_watermarks SET watermark = closed WHERE relation = rollup.relation;
        END IF;
    END LOOP;
    DROP TABLE taken;
END $$;
