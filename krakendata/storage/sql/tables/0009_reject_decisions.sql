-- What became of rejected records: who decided what, when, and why. The record itself stays as it came.

ALTER TABLE rejected_records
    ADD COLUMN trade_id         bigint,
    ADD COLUMN layout           text NOT NULL DEFAULT '',
    ADD COLUMN interval_minutes integer,
    ADD COLUMN follows          bigint;
COMMENT ON COLUMN rejected_records.trade_id IS 'The exchange''s id, where the record or those beside it tell it.';
COMMENT ON COLUMN rejected_records.layout IS 'The names of an archive row''s fields, with commas between them; empty: told by the row.';
COMMENT ON COLUMN rejected_records.follows IS
    'What was taken before it from the same file: the id of a row without ids, the second of a candle. NULL: nobody noted it.';
-- What waits is found at once, however much was decided before it.
CREATE INDEX rejected_records_waiting ON rejected_records (source, reason, id) WHERE state = 'quarantined';
CREATE INDEX rejected_records_waiting_symbol ON rejected_records (symbol, id) WHERE state = 'quarantined';
CREATE INDEX rejected_records_state ON rejected_records (state, id);
-- By a hash, as a record may be long.
CREATE INDEX rejected_records_replayed ON rejected_records USING hash (raw) WHERE state = 'replayed' AND trade_id IS NULL;
CREATE INDEX rejected_records_follows ON rejected_records (symbol, follows) WHERE follows IS NOT NULL;

ALTER TABLE reject_counts
    ADD COLUMN kept      bigint NOT NULL DEFAULT 0,
    ADD COLUMN replayed  bigint NOT NULL DEFAULT 0,
    ADD COLUMN dismissed bigint NOT NULL DEFAULT 0;
UPDATE reject_counts c SET kept = k.kept
FROM (SELECT run_id, source, reason, count(*) AS kept FROM rejected_records GROUP BY run_id, source, reason) k
WHERE c.run_id = k.run_id AND c.source = k.source AND c.reason = k.reason;
CREATE INDEX reject_counts_waiting ON reject_counts (run_id DESC) WHERE kept > replayed + dismissed;

CREATE TABLE reject_decisions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id  bigint NOT NULL REFERENCES rejected_records (id),
    action     text NOT NULL CHECK (action IN ('corrected', 'dismissed', 'replayed', 'refused')),
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_by text NOT NULL CHECK (decided_by <> ''),
    why        text NOT NULL DEFAULT '',
    corrected  text,
    outcome    text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'stored', 'folded', 'duplicate')),
    trade_id   bigint,
    run_id     bigint REFERENCES sync_runs (id) ON DELETE SET NULL,
    CHECK (action <> 'dismissed' OR why <> ''),
    CHECK ((action = 'corrected') = (corrected IS NOT NULL))
);
CREATE INDEX reject_decisions_record ON reject_decisions (record_id, id);
COMMENT ON TABLE reject_decisions IS 'The history of rejected records: rows are added, never changed.';
