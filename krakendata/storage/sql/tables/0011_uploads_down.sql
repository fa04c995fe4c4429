DROP INDEX sync_runs_at_work, sync_runs_imported, sync_runs_backfilled;
DROP TABLE uploads;
