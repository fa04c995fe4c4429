"""The tables and views as Django sees them: mirrors of storage/sql, which alone makes and changes the schema.

`series` has what happened on the markets, `ledger` what is collected of it, `runs` what our own work did, `access` who
may ask the HTTP API, `operators` what people did from the admin, `uploads` which archives come through the browser,
`workers` who works.
Every model is unmanaged; a test compares each with the database, column by column.
"""

from krakendata.models.access import ApiToken
from krakendata.models.ledger import AnsweredIds, CandleRun, RetentionLine, SyncStatus, TradeCheck, TradeRun
from krakendata.models.operators import OperatorAction
from krakendata.models.runs import (
    AuditFinding,
    FeedSession,
    ImportFile,
    RejectCount,
    RejectDecision,
    RejectedRecord,
    SyncRun,
)
from krakendata.models.series import (
    ROLLUPS,
    Candle,
    Candle1d,
    Candle1h,
    Candle1w,
    Candle4h,
    Candle5m,
    Candle12h,
    Candle15m,
    Candle30m,
    Pair,
    Rollup,
    Trade,
)
from krakendata.models.uploads import Upload
from krakendata.models.workers import Worker

__all__ = [
    "ROLLUPS",
    "AnsweredIds",
    "ApiToken",
    "AuditFinding",
    "Candle",
    "Candle1d",
    "Candle1h",
    "Candle1w",
    "Candle4h",
    "Candle5m",
    "Candle12h",
    "Candle15m",
    "Candle30m",
    "CandleRun",
    "FeedSession",
    "ImportFile",
    "OperatorAction",
    "Pair",
    "RejectCount",
    "RejectDecision",
    "RejectedRecord",
    "RetentionLine",
    "Rollup",
    "SyncRun",
    "SyncStatus",
    "Trade",
    "TradeCheck",
    "TradeRun",
    "Upload",
    "Worker",
]
