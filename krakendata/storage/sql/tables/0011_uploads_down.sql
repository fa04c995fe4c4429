DROP INDEX sync_runs_imported, sync_runs_backfilled;
DROP TABLE uploads;
