DROP INDEX sync_runs_running, sync_runs_failed, sync_runs_good;
DROP TABLE workers;
