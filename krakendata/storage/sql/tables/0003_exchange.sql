-- What talking to the exchange adds: when it was last asked, which pairs are tracked, what an audit found.

CREATE TABLE trade_checks (
    symbol     text   PRIMARY KEY,
    last_id    bigint NOT NULL,
    checked_ns bigint NOT NULL
);
COMMENT ON TABLE trade_checks IS
    'At checked_ns last_id (0: none yet) was the exchange''s newest trade: nothing happened between that trade and then.';

ALTER TABLE pairs ADD COLUMN tracked_since timestamptz, ADD COLUMN renamed_to text;
COMMENT ON COLUMN pairs.tracked_since IS 'From when on a tracked pair is collected; NULL: from its first trade.';
COMMENT ON COLUMN pairs.renamed_to IS 'The symbol that the exchange lists in its place, where it kept the key or the altname.';

-- The names of a pair that is gone may be another's today.
ALTER TABLE pairs DROP CONSTRAINT pairs_key_key, DROP CONSTRAINT pairs_altname_key, DROP CONSTRAINT pairs_wsname_key;
CREATE UNIQUE INDEX pairs_key ON pairs (key) WHERE status NOT IN ('delisted', 'renamed');
CREATE UNIQUE INDEX pairs_altname ON pairs (altname) WHERE status NOT IN ('delisted', 'renamed');
CREATE UNIQUE INDEX pairs_wsname ON pairs (wsname) WHERE status NOT IN ('delisted', 'renamed');

CREATE TABLE audit_findings (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id           bigint REFERENCES sync_runs (id) ON DELETE SET NULL,
    found_at         timestamptz NOT NULL DEFAULT now(),
    symbol           text        NOT NULL,
    interval_minutes integer     NOT NULL,
    timestamp        timestamptz NOT NULL,
    compared_with    text        NOT NULL CHECK (compared_with IN ('trades', 'minutes', 'exchange')),
    differences      jsonb       NOT NULL,
    healed           boolean     NOT NULL
);
CREATE INDEX audit_findings_found ON audit_findings (found_at DESC);
COMMENT ON COLUMN audit_findings.differences IS 'By field: what was stored, and what it has to be.';
