DO $do$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT format('%s %s', CASE prokind WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, oid::regprocedure) AS what
        FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('first', 'last', 'time_bucket', 'pick_first', 'pick_last', 'picked_value')
        ORDER BY prokind
    LOOP
        EXECUTE 'DROP ' || part.what;
    END LOOP;
    FOR part IN
        SELECT typname FROM pg_type WHERE typname LIKE 'picked\_%\_by\_%' AND typnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('DROP TYPE %I', part.typname);
    END LOOP;
END $do$;
