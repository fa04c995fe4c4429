-- TimescaleDB Community: columnstore and refresh by its policies, retention by one job of ours.
-- p is what storage/upkeep.py builds from the settings; intervals compare as seconds, never as text.

ALTER TABLE trades SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol',
                        timescaledb.orderby = 'timestamp, trade_id');
ALTER TABLE candles SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol, interval_minutes',
                         timescaledb.orderby = 'timestamp');

-- The job's session knows no search_path but its own.
CREATE OR REPLACE PROCEDURE krakendata_retention(job_id integer, config jsonb)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM apply_retention(now(), (config ->> 'trades_days')::integer, (config ->> 'candles_days')::integer);
END $$;

-- The jobs of our relations in our schema: a database may have others, which are none of our business.
CREATE OR REPLACE VIEW krakendata_jobs AS
SELECT j.job_id, j.proc_name, j.schedule_interval, j.config, j.scheduled, c.view_name::text AS relation
FROM timescaledb_information.jobs j
JOIN timescaledb_information.continuous_aggregates c
  ON (j.hypertable_schema, j.hypertable_name) IN ((c.view_schema, c.view_name),
                                                  (c.materialization_hypertable_schema, c.materialization_hypertable_name))
WHERE j.proc_name = 'policy_refresh_continuous_aggregate' AND c.view_schema = current_schema()
  AND c.view_name IN ('candles_5m', 'candles_15m', 'candles_30m', 'candles_1h',
                      'candles_4h', 'candles_12h', 'candles_1d', 'candles_1w')
UNION ALL
SELECT job_id, proc_name, schedule_interval, config, scheduled, hypertable_name::text
FROM timescaledb_information.jobs
WHERE proc_name IN ('policy_compression', 'policy_columnstore') AND hypertable_schema = current_schema()
  AND hypertable_name IN ('trades', 'candles')
UNION ALL
SELECT job_id, proc_name, schedule_interval, config, scheduled, 'trades, candles'
FROM timescaledb_information.jobs
WHERE proc_name = 'krakendata_retention' AND proc_schema = current_schema();

CREATE OR REPLACE FUNCTION wanted_policies(p jsonb)
RETURNS TABLE (kind text, relation text, settings text)
LANGUAGE sql STABLE AS $$
    SELECT 'compress', key, extract(epoch FROM value::interval)::bigint::text FROM jsonb_each_text(p -> 'compress_after')
    UNION ALL
    SELECT 'refresh', key, format('%s %s %s', extract(epoch FROM (value ->> 'start')::interval)::bigint,
           extract(epoch FROM (value ->> 'end')::interval)::bigint, extract(epoch FROM (value ->> 'every')::interval)::bigint)
    FROM jsonb_each(p -> 'refresh')
    UNION ALL
    SELECT 'retention', 'trades, candles', format('%s %s', p ->> 'trades_days', p ->> 'candles_days')
$$;

CREATE OR REPLACE FUNCTION found_policies()
RETURNS TABLE (kind text, relation text, settings text)
LANGUAGE sql STABLE AS $$
    SELECT CASE proc_name WHEN 'policy_refresh_continuous_aggregate' THEN 'refresh'
                          WHEN 'krakendata_retention' THEN 'retention' ELSE 'compress' END,
           relation,
           CASE proc_name
           WHEN 'policy_refresh_continuous_aggregate' THEN
               format('%s %s %s', extract(epoch FROM (config ->> 'start_offset')::interval)::bigint,
                      extract(epoch FROM (config ->> 'end_offset')::interval)::bigint,
                      extract(epoch FROM schedule_interval)::bigint)
           WHEN 'krakendata_retention' THEN format('%s %s', config ->> 'trades_days', config ->> 'candles_days')
           ELSE extract(epoch FROM coalesce(config ->> 'compress_after', config ->> 'compress_created_before')::interval)::bigint::text
           END
    FROM krakendata_jobs
$$;

CREATE OR REPLACE FUNCTION policy_drift(p jsonb)
RETURNS TABLE (kind text, relation text, wanted text, found text)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(w.kind, f.kind), coalesce(w.relation, f.relation), coalesce(w.settings, 'none'), coalesce(f.settings, 'none')
    FROM wanted_policies(p) w FULL JOIN found_policies() f USING (kind, relation)
    WHERE w.settings IS DISTINCT FROM f.settings
$$;

-- Makes the policies what the settings want; what is right already is left alone.
CREATE OR REPLACE FUNCTION apply_policies(p jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    change record;
BEGIN
    FOR change IN SELECT * FROM policy_drift(p) ORDER BY kind, relation LOOP
        CASE change.kind
        WHEN 'compress' THEN
            PERFORM remove_compression_policy(change.relation::regclass, if_exists => true);
            PERFORM add_compression_policy(change.relation::regclass, (p #>> ARRAY['compress_after', change.relation])::interval);
        WHEN 'refresh' THEN
            PERFORM remove_continuous_aggregate_policy(change.relation::regclass, if_exists => true);
            PERFORM add_continuous_aggregate_policy(change.relation::regclass,
                start_offset => (p #>> ARRAY['refresh', change.relation, 'start'])::interval,
                end_offset => (p #>> ARRAY['refresh', change.relation, 'end'])::interval,
                schedule_interval => (p #>> ARRAY['refresh', change.relation, 'every'])::interval);
        WHEN 'retention' THEN
            PERFORM delete_job(job_id) FROM krakendata_jobs WHERE proc_name = 'krakendata_retention';
            PERFORM add_job('krakendata_retention', INTERVAL '1 day',
                            config => jsonb_build_object('trades_days', p -> 'trades_days', 'candles_days', p -> 'candles_days'));
        END CASE;
    END LOOP;
    PERFORM alter_job(job_id, scheduled => (p ->> 'scheduled')::boolean)
    FROM krakendata_jobs WHERE scheduled <> (p ->> 'scheduled')::boolean;
END $$;
