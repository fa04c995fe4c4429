-- TimescaleDB's query functions under the same names for plain PostgreSQL, so that the customer's SQL and
-- django-timescaledb's helpers run on every edition.

-- Buckets of minutes, days and weeks count from Monday 2000-01-03 UTC, of months and years from 2000-01-01: as TimescaleDB's.
CREATE FUNCTION time_bucket(bucket_width interval, ts timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN extract(year FROM bucket_width) * 12 + extract(month FROM bucket_width) = 0
        THEN date_bin(bucket_width, ts, '2000-01-03 00:00:00+00')
        ELSE (timestamp '2000-01-01' + make_interval(months => (
                floor(((extract(year FROM ts AT TIME ZONE 'UTC') - 2000) * 12 + extract(month FROM ts AT TIME ZONE 'UTC') - 1)
                      / (extract(year FROM bucket_width) * 12 + extract(month FROM bucket_width)))
                * (extract(year FROM bucket_width) * 12 + extract(month FROM bucket_width)))::integer)) AT TIME ZONE 'UTC'
    END
$$;

CREATE FUNCTION time_bucket(bucket_width interval, ts timestamptz, origin timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT date_bin(bucket_width, ts, origin) $$;

CREATE FUNCTION time_bucket(bucket_width interval, ts timestamptz, "offset" interval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin(bucket_width, ts, timestamptz '2000-01-03 00:00:00+00' + "offset")
$$;

-- first(value, key) and last(value, key): the value at the lowest and at the highest key, for the value types and keys
-- that trades and candles have. PostgreSQL has no aggregate over "any", hence one pair a combination.
DO $do$
DECLARE
    value_type text;
    key_type   text;
    state      text;
    picks      record;
BEGIN
    FOREACH value_type IN ARRAY ARRAY['numeric', 'double precision', 'bigint', 'integer', 'text', 'timestamptz'] LOOP
        FOREACH key_type IN ARRAY ARRAY['timestamptz', 'bigint'] LOOP
            state := 'picked_' || replace(value_type, ' ', '_') || '_by_' || key_type;
            EXECUTE format('CREATE TYPE %I AS (value %s, key %s)', state, value_type, key_type);
            EXECUTE format('CREATE FUNCTION picked_value(picked %I) RETURNS %s LANGUAGE sql IMMUTABLE AS '
                           '$f$ SELECT (picked).value $f$', state, value_type);
            FOR picks IN SELECT * FROM (VALUES ('first', '<'), ('last', '>')) AS v (name, operator) LOOP
                EXECUTE format(
                    'CREATE FUNCTION pick_%s(picked %I, value %s, key %s) RETURNS %I LANGUAGE sql IMMUTABLE AS '
                    '$f$ SELECT CASE WHEN key IS NULL OR NOT (picked IS NULL OR (picked).key IS NULL OR key %s (picked).key) '
                    'THEN picked ELSE ROW(value, key)::%I END $f$',
                    picks.name, state, value_type, key_type, state, picks.operator, state);
                EXECUTE format('CREATE AGGREGATE %I(%s, %s) (SFUNC = pick_%s, STYPE = %I, FINALFUNC = picked_value)',
                               picks.name, value_type, key_type, picks.name, state);
            END LOOP;
        END LOOP;
    END LOOP;
END $do$;
