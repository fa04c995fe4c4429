-- What the operator's desk adds: which workers are there, and where it finds runs without looking through all of them.

CREATE TABLE workers (
    name       text PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alive_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE workers IS 'A row a Celery worker, written every few seconds while it lives, gone when it ends.';

CREATE INDEX sync_runs_failed ON sync_runs (finished_at DESC) WHERE state IN ('failed', 'interrupted');
-- Whether the same was done since.
CREATE INDEX sync_runs_good ON sync_runs (kind, coalesce(parameters ->> 'symbol', ''), id) WHERE state IN ('done', 'running');
