-- Archives uploaded through the browser, and how runs are found by what they are about.

CREATE TABLE uploads (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner       text        NOT NULL,
    name        text        NOT NULL,
    size        bigint      NOT NULL CHECK (size > 0),
    received    bigint      NOT NULL DEFAULT 0 CHECK (received BETWEEN 0 AND size),
    state       text        NOT NULL DEFAULT 'receiving'
                CHECK (state IN ('receiving', 'checking', 'ready', 'refused', 'importing', 'done', 'failed', 'discarded')),
    file        text        NOT NULL DEFAULT '',
    fingerprint text        NOT NULL DEFAULT '',
    symbol      text,
    findings    jsonb       NOT NULL DEFAULT '{}',
    problem     text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN uploads.file IS 'Its name in UPLOAD_DIR, of our own making; name: as its owner calls it, for people alone.';
COMMENT ON COLUMN uploads.fingerprint IS 'What the browser says of the file, so that the same one goes on where it stopped.';
CREATE INDEX uploads_live ON uploads (state, updated_at) WHERE state NOT IN ('done', 'refused', 'discarded');
CREATE INDEX uploads_owner ON uploads (owner, id);

-- The newest backfill of a pair and the newest import of a path: without reading every run there ever was.
CREATE INDEX sync_runs_backfilled ON sync_runs ((parameters -> 'symbol'), id) WHERE kind = 'backfill';
CREATE INDEX sync_runs_imported ON sync_runs USING hash ((parameters -> 'paths')) WHERE kind = 'import';
