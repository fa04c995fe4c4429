DROP FUNCTION refresh_rollups, mark_dirty;
DO $do$
DECLARE
    rollup record;
BEGIN
    FOR rollup IN SELECT relation FROM rollup_watermarks ORDER BY parent = 'candles', width DESC LOOP
        EXECUTE format('DROP FUNCTION rebuild_%s', rollup.relation);
        EXECUTE format('DROP VIEW %I', rollup.relation);
        EXECUTE format('DROP TABLE %I', rollup.relation || '_closed');
    END LOOP;
END $do$;
DROP TABLE rollup_watermarks, dirty_ranges;
DROP FUNCTION rollup_watermark;
