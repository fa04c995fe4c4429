DROP INDEX sync_runs_failed, sync_runs_good;
DROP TABLE workers;
