DROP INDEX sync_runs_state;
DROP INDEX sync_runs_kind;
DROP TABLE operator_actions;
