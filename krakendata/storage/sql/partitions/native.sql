-- Plain PostgreSQL: range partitions with the edges TimescaleDB's chunks have, so that retention drops the same rows.

-- A table cannot become partitioned afterwards: each is made again in its own likeness.
DO $do$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['trades', 'candles'] LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', relation, relation || '_model');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (timestamp)', relation, relation || '_model');
        EXECUTE format('DROP TABLE %I', relation || '_model');
    END LOOP;
END $do$;

CREATE FUNCTION partition_days(relation text) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE relation WHEN 'trades' THEN 7 WHEN 'candles' THEN 28 END $$;

CREATE FUNCTION make_partitions(relation text, start timestamptz, finish timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    width constant interval := make_interval(days => partition_days(relation));
    edge  timestamptz := date_bin(width, start, '1970-01-01 00:00:00+00');
    child text;
    made  integer := 0;
BEGIN
    WHILE edge < finish LOOP
        child := relation || '_' || to_char(edge AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF to_regclass(child) IS NULL THEN
            -- One maker at a time: CREATE TABLE ... PARTITION OF inside concurrent transactions deadlocks.
            PERFORM pg_advisory_xact_lock(hashtext('krakendata partitions'));
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                               child, relation, edge, edge + width);
                made := made + 1;
            EXCEPTION WHEN duplicate_table THEN
                -- The maker before us made it; a second look by name can still see the old state.
                NULL;
            END;
        END IF;
        edge := edge + width;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION drop_partitions(relation text, before timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    child   record;
    dropped integer := 0;
BEGIN
    FOR child IN
        -- Materialised: other relations' names end in eight digits too, and theirs are no dates.
        WITH partitions AS MATERIALIZED (
            SELECT c.oid::regclass AS name, c.relname
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = relation::regclass
        )
        SELECT c.name
        FROM partitions c
        WHERE (substring(c.relname FROM '\d{8}$')::date + partition_days(relation))::timestamp AT TIME ZONE 'UTC' <= before
        ORDER BY c.relname
    LOOP
        EXECUTE 'DROP TABLE ' || child.name;
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
