-- Who did what from the operator's desk, and where the list of runs finds what it is asked for.

CREATE TABLE operator_actions (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    who      text        NOT NULL,
    action   text        NOT NULL,
    target   text        NOT NULL DEFAULT '',
    page     text        NOT NULL,
    result   text        NOT NULL DEFAULT 'started' CHECK (result IN ('started', 'done', 'refused', 'failed')),
    status   integer,
    said     text        NOT NULL DEFAULT ''
);
COMMENT ON COLUMN operator_actions.who IS 'The login name, which outlives the account.';
COMMENT ON COLUMN operator_actions.result IS 'Written before the action begins: one that stays at started was cut off.';

CREATE INDEX operator_actions_who ON operator_actions (who, id DESC);
CREATE INDEX operator_actions_action ON operator_actions (action, id DESC);
CREATE INDEX operator_actions_result ON operator_actions (result, id DESC);

CREATE INDEX sync_runs_kind ON sync_runs (kind, id DESC);
CREATE INDEX sync_runs_state ON sync_runs (state, id DESC);
