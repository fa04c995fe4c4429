-- What the HTTP API adds: who may ask it.

CREATE TABLE api_tokens (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                text        NOT NULL,
    owner               text        NOT NULL,
    digest              text        NOT NULL UNIQUE CHECK (digest ~ '^[0-9a-f]{64}$'),
    ending              text        NOT NULL,
    scopes              jsonb       NOT NULL CHECK (jsonb_typeof(scopes) = 'array'),
    requests_per_minute integer     CHECK (requests_per_minute > 0),
    created_at          timestamptz NOT NULL DEFAULT now(),
    last_used_at        timestamptz,
    expires_at          timestamptz,
    revoked_at          timestamptz
);
COMMENT ON COLUMN api_tokens.digest IS 'SHA-256 of the token, which nobody keeps; ending: its last characters, to tell tokens apart.';
COMMENT ON COLUMN api_tokens.last_used_at IS 'To the minute or so: not every request writes it.';

-- Whether an answer may have been healed since it was given.
CREATE INDEX audit_findings_healed ON audit_findings (symbol, id) WHERE healed;
