"""A page of REST candles as a block for the door: the closed minutes of a stretch, until their trades are here."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from krakendata.gaps import Stretch
from krakendata.ingest.trade_shapes import csv_bytes
from krakendata.storage.bulk import Block, CandleBlock
from krakendata.storage.ledger import Lines
from krakendata.storage.rejects import Reject
from krakendata.types import HistoricalCandle
from krakendata.validation import Rejection, validate_rest_candle

# Where a rejected row came from, for the operator who looks at it.
PLACE = "REST OHLC"

# The latest second that Python has a date for.
LATEST_SECONDS = int(datetime.max.replace(tzinfo=UTC).timestamp())

INTERVAL_MINUTES = 1
MINUTE = timedelta(minutes=INTERVAL_MINUTES)


def candle_page_block(
    rows: Sequence[object], symbol: str, stretch: Stretch, lines: Lines, now: datetime
) -> Block | None:
    """The minutes of `stretch` in a page's rows, and those rejected; None where the page has neither.

    Rows outside the stretch are nobody's concern, whatever is wrong with them; one whose time cannot be read may be
    inside. The last row is still forming and is left out. Minutes without trades are no records (kraken-facts 0.3);
    that the page covered them is what the ledger notes.
    """
    candles: list[HistoricalCandle] = []
    rejects = []
    for line, row in enumerate(rows[:-1], start=1):
        start = _start_of(row)
        if start is not None and not stretch.start - MINUTE < start <= stretch.end - MINUTE:
            continue
        verdict = validate_rest_candle(row, symbol, INTERVAL_MINUTES, now)
        if isinstance(verdict, Rejection):
            rejects.append(Reject(verdict, PLACE, line))
        else:
            candles.append(verdict)
    if not candles:
        return Block(symbol, lines, len(rejects), rejects=rejects) if rejects else None
    traded = [candle for candle in candles if candle.trade_count]
    first, last = candles[0].timestamp, candles[-1].timestamp
    block = CandleBlock(INTERVAL_MINUTES, candles_csv(traded), len(traded), first, last)
    return Block(symbol, lines, len(traded) + len(rejects), candles=block, rejects=rejects)


def _start_of(row: object) -> datetime | None:
    """When a row's minute begins, if it says so."""
    seconds = row[0] if isinstance(row, tuple) and row else None
    if not isinstance(seconds, int) or not 0 <= seconds <= LATEST_SECONDS:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def candles_csv(candles: Sequence[HistoricalCandle]) -> bytes:
    """The candles as COPY takes them for the stage of given candles."""
    rows = [
        (
            candle.symbol,
            f"{candle.timestamp:%Y-%m-%dT%H:%M:%SZ}",
            *(
                f"{number:f}"
                for number in (candle.open, candle.high, candle.low, candle.close, candle.volume)
            ),
            None if candle.turnover is None else f"{candle.turnover:f}",
            candle.trade_count,
            None,
            None,
        )
        for candle in candles
    ]
    text = [pl.String] * 8
    schema = dict(zip(_COLUMNS, [*text, pl.Int64, pl.Int64, pl.Int64], strict=True))
    return csv_bytes(pl.DataFrame(rows, schema=schema, orient="row"))


_COLUMNS = (
    "symbol", "timestamp", "open", "high", "low", "close", "volume", "turnover", "trade_count", "first_id", "last_id",
)  # fmt: skip
