-- The tables every edition shares. trades and candles get their partitions in partitions/, their rollups in rollups/.

CREATE TABLE platform_facts (
    key   text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE platform_facts IS 'What the first migration found and every later start compares with: the edition.';

CREATE TABLE retention_lines (
    kind       text PRIMARY KEY CHECK (kind IN ('trades', 'candles')),
    line       timestamptz NOT NULL,
    first_line timestamptz NOT NULL,
    CHECK (line >= first_line),
    -- A Monday, so that every bucket up to a week lies on one side.
    CHECK (extract(isodow FROM line AT TIME ZONE 'UTC') = 1 AND (line AT TIME ZONE 'UTC')::time = '00:00')
);
COMMENT ON TABLE retention_lines IS
    'Rows before a line are no longer stored. The candles line is the fence: below it candles_history answers. Forward only.';

CREATE TABLE trades (
    symbol     text        NOT NULL,
    timestamp  timestamptz NOT NULL,
    trade_id   bigint      NOT NULL,
    price      numeric     NOT NULL,
    volume     numeric     NOT NULL,
    side       text,
    order_type text,
    -- Kraken has given id 0 to many trades at once: never an identity.
    CHECK (trade_id <> 0),
    PRIMARY KEY (symbol, timestamp, trade_id)
);
COMMENT ON COLUMN trades.trade_id IS
    'Kraken''s number of the trade; negative for rows of archives without ids: (second - 2^33) * 2^20 + ordinal in the second.';

CREATE TABLE candles (
    symbol           text        NOT NULL,
    interval_minutes integer     NOT NULL DEFAULT 1,
    timestamp        timestamptz NOT NULL,
    open             numeric     NOT NULL,
    high             numeric     NOT NULL,
    low              numeric     NOT NULL,
    close            numeric     NOT NULL,
    volume           numeric     NOT NULL,
    turnover         numeric,
    trade_count      bigint      NOT NULL,
    first_id         bigint,
    last_id          bigint,
    PRIMARY KEY (symbol, interval_minutes, timestamp)
);
COMMENT ON COLUMN candles.first_id IS
    'NULL: given by an archive or by OHLC; negative: built from an archive without ids; positive: built from numbered trades.';

CREATE TABLE candles_history (
    symbol           text        NOT NULL,
    interval_minutes integer     NOT NULL,
    timestamp        timestamptz NOT NULL,
    open             numeric     NOT NULL,
    high             numeric     NOT NULL,
    low              numeric     NOT NULL,
    close            numeric     NOT NULL,
    volume           numeric     NOT NULL,
    turnover         numeric,
    trade_count      bigint      NOT NULL,
    first_id         bigint,
    last_id          bigint,
    coarse           boolean     NOT NULL DEFAULT false,
    minutes          integer     NOT NULL DEFAULT 0,
    exact_minutes    integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (symbol, interval_minutes, coarse, timestamp)
);
COMMENT ON COLUMN candles_history.coarse IS 'Given by an archive at this interval; read only where nothing finer has the bucket.';
COMMENT ON COLUMN candles_history.exact_minutes IS 'Of those, the minutes built from trades with ids, which may come in pieces.';
COMMENT ON COLUMN candles_history.minutes IS
    'For 5-minute rows: bit n says that minute n of the bucket is folded in, so that no minute counts twice.';

-- The ledger. One row a run of contiguous ids (for archives without ids: of contiguous rows of one file).
CREATE TABLE trade_runs (
    symbol   text    NOT NULL,
    first_id bigint  NOT NULL,
    last_id  bigint  NOT NULL,
    first_ns bigint  NOT NULL,
    last_ns  bigint  NOT NULL,
    trades   bigint  NOT NULL CHECK (trades > 0),
    source   text    NOT NULL,
    stored   boolean NOT NULL,
    PRIMARY KEY (symbol, first_id),
    CHECK (first_id <= last_id),
    CHECK (first_id < 0 OR trades = last_id - first_id + 1),
    EXCLUDE USING gist (symbol WITH =, int8range(first_id, last_id, '[]') WITH &&)
);
COMMENT ON TABLE trade_runs IS 'The ledger: which trade ids are collected, stored as rows or only folded into candles.';

CREATE TABLE answered_ids (
    symbol   text   NOT NULL,
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL,
    answer   text   NOT NULL CHECK (answer IN ('absent', 'rejected')),
    PRIMARY KEY (symbol, first_id),
    CHECK (first_id <= last_id)
);
COMMENT ON TABLE answered_ids IS 'Ids the exchange confirmed twice it does not have, and ids we rejected: answers, not gaps.';

CREATE TABLE candle_runs (
    symbol           text        NOT NULL,
    interval_minutes integer     NOT NULL,
    first_start      timestamptz NOT NULL,
    last_start       timestamptz NOT NULL,
    candles          bigint      NOT NULL,
    PRIMARY KEY (symbol, interval_minutes, first_start),
    EXCLUDE USING gist (symbol WITH =, interval_minutes WITH =, tstzrange(first_start, last_start, '[]') WITH &&)
);
COMMENT ON TABLE candle_runs IS 'Stretches of time that candle archives covered: collected, provisional.';

CREATE TABLE pairs (
    symbol          text PRIMARY KEY,
    key             text NOT NULL UNIQUE,
    altname         text NOT NULL UNIQUE,
    wsname          text NOT NULL UNIQUE,
    base            text NOT NULL,
    quote           text NOT NULL,
    status          text NOT NULL,
    price_decimals  integer NOT NULL,
    volume_decimals integer NOT NULL,
    tracked         boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE pairs IS 'The exchange''s list (AssetPairs). Names missing from it still work.';

CREATE TABLE data_sync_status (
    symbol           text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('trades', 'candles')),
    oldest_timestamp timestamptz,
    newest_timestamp timestamptz,
    collected        bigint NOT NULL DEFAULT 0,
    stored           bigint NOT NULL DEFAULT 0,
    holes            bigint,
    cursor_ns        bigint,
    last_success     timestamptz,
    last_error       text NOT NULL DEFAULT '',
    last_error_at    timestamptz,
    PRIMARY KEY (symbol, kind)
);
COMMENT ON COLUMN data_sync_status.holes IS 'Steps between ids held; NULL where rows without ids leave it unknown.';
COMMENT ON COLUMN data_sync_status.cursor_ns IS 'Where collecting resumes: nanoseconds since 1970, exact.';

CREATE TABLE sync_runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    parameters  jsonb NOT NULL DEFAULT '{}',
    state       text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'stopped', 'interrupted')),
    started_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    done        bigint NOT NULL DEFAULT 0,
    total       bigint,
    unit        text NOT NULL DEFAULT 'bytes',
    read        bigint NOT NULL DEFAULT 0,
    stored      bigint NOT NULL DEFAULT 0,
    folded      bigint NOT NULL DEFAULT 0,
    duplicate   bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0,
    error       text NOT NULL DEFAULT ''
);
CREATE INDEX sync_runs_started ON sync_runs (started_at DESC);

CREATE TABLE import_files (
    path        text PRIMARY KEY,
    version     text NOT NULL,
    symbol      text NOT NULL,
    layout      text NOT NULL,
    size        bigint NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    next_line   bigint NOT NULL DEFAULT 1,
    last_id     bigint,
    last_start  timestamptz,
    read        bigint NOT NULL DEFAULT 0,
    stored      bigint NOT NULL DEFAULT 0,
    folded      bigint NOT NULL DEFAULT 0,
    duplicate   bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0,
    done        boolean NOT NULL DEFAULT false,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE import_files IS 'How far each archive file is in: committed with the block, so an import resumes exactly.';

CREATE TABLE rejected_records (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id    bigint REFERENCES sync_runs (id) ON DELETE SET NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    source    text NOT NULL,
    place     text NOT NULL,
    line      bigint,
    symbol    text NOT NULL,
    reason    text NOT NULL,
    detail    text NOT NULL,
    raw       text NOT NULL,
    state     text NOT NULL DEFAULT 'quarantined' CHECK (state IN ('quarantined', 'replayed', 'dismissed'))
);
CREATE INDEX rejected_records_run ON rejected_records (run_id, reason, id);
CREATE INDEX rejected_records_reason ON rejected_records (reason, id);
CREATE INDEX rejected_records_source ON rejected_records (source, id);

CREATE TABLE reject_counts (
    run_id bigint NOT NULL REFERENCES sync_runs (id) ON DELETE CASCADE,
    source text   NOT NULL,
    reason text   NOT NULL,
    count  bigint NOT NULL,
    PRIMARY KEY (run_id, source, reason)
);
COMMENT ON TABLE reject_counts IS 'Every rejection counted, also those beyond the limit of kept records.';
