-- What listening to the exchange adds: pairs kept by their candles alone, and who listened from when to when.

ALTER TABLE pairs ADD COLUMN candles_only boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pairs.candles_only IS 'Tracked by the minutes that the exchange gives, without its trades: never more than provisional.';

CREATE TABLE feed_sessions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint NOT NULL REFERENCES sync_runs (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    alive_at    timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    heard_at    timestamptz,
    symbols     integer     NOT NULL DEFAULT 0,
    statistics  jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX feed_sessions_alive ON feed_sessions (alive_at DESC);
COMMENT ON TABLE feed_sessions IS 'One row a start of a feed, written every few seconds while it lives; heard_at: its newest frame.';
