"""What is held of each symbol: the operator's summaries, the archives, and what of all time was once collected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from krakendata.candle_reads import StoredCandles
from krakendata.certificate import Certificate, DayCandle, certify
from krakendata.gaps import CandleRun, Coverage, Stretch, coverage_of
from krakendata.intervals import bucket_of, next_bucket
from krakendata.storage.queries import Connection, SyncStatus, read_answers, read_ledger, read_sync_status
from krakendata.types import Candle

__all__ = ["Holding", "read_certificate", "read_holdings"]


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one symbol.

    `trades` and `candles` are the operator's summaries, None where nothing of the kind was collected.
    `archives` are the stretches that candle archives covered. `coverage` divides the time from Kraken's
    beginning to the last closed minute by what was once collected, whether it is still stored or not.
    """

    symbol: str
    trades: SyncStatus | None
    candles: SyncStatus | None
    archives: tuple[CandleRun, ...]
    coverage: Coverage


async def read_holdings(connection: Connection, symbol: str | None, asked: Stretch) -> list[Holding]:
    """What is held of one symbol, or of each (None) that anything was collected of."""
    statuses = {(each.symbol, each.kind): each for each in await read_sync_status(connection, symbol)}
    names = sorted({found for found, _ in statuses} | ({symbol} if symbol else set()))
    holdings = []
    for name in names:
        ledger = await read_ledger(connection, name, asked)
        summaries = statuses.get((name, "trades")), statuses.get((name, "candles"))
        holdings.append(Holding(name, *summaries, ledger.candle_runs, coverage_of(asked, ledger)))
    return holdings


async def read_certificate(days: StoredCandles, life: Stretch, since: datetime | None) -> Certificate:
    """Day by day what is in of the symbol of `days`, from `since` or the first that is known of it; `life` ends now."""
    ledger = await read_ledger(days.connection, days.symbol, life)
    answers = await read_answers(days.connection, days.symbol)
    today = next_bucket(bucket_of(life.end, days.interval), days.interval)
    rows = await days.rows(days.part(Stretch(life.start, today)))
    candles = [
        DayCandle(day.timestamp, day.trade_count, day.first_id, day.last_id)
        for day in map(Candle.from_row, rows)
    ]
    return certify(days.symbol, ledger, candles, answers["absent"], answers["rejected"], life.end, since)
