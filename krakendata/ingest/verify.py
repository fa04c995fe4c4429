"""Compare archived candles with what the rollups answer, and report every difference."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from krakendata.errors import ImportFileError
from krakendata.gaps import Stretch
from krakendata.ingest.blocks import with_last
from krakendata.ingest.candle_rows import NUMBERS, read_candles
from krakendata.ingest.import_plan import PlannedFile, plan_import
from krakendata.storage.ledger import read_lines
from krakendata.storage.queries import Connection, read_finer_candles, read_pairs
from krakendata.storage.sessions import connect
from krakendata.types import EPOCH, Symbols, interval_of

# Archived volumes are sums of 64-bit floats: noise beyond the 12th significant digit is theirs (kraken-facts 4.1).
VOLUME_TOLERANCE = Decimal("1e-12")

FIELDS = (*NUMBERS, "trade_count")


@dataclass(frozen=True, slots=True)
class Difference:
    """One candle that the archive and the rollup tell differently; `field` is `candle` where the rollup has none."""

    symbol: str
    interval: str
    timestamp: datetime
    field: str
    archived: Decimal | int | None
    stored: Decimal | int | None


@dataclass(slots=True)
class Verification:
    """How many archived candles were compared; `uncovered` had nothing finer to be compared with."""

    read: int = 0
    compared: int = 0
    uncovered: int = 0
    rejected: int = 0
    refused: list[ImportFileError] = field(default_factory=list)


async def verify_archive(
    database: str | Mapping[str, Any], paths: Iterable[Path], symbol: str | None, verification: Verification
) -> AsyncIterator[Difference]:
    """Yield every difference between the OHLCVT files under `paths` and the stored candles of their interval.

    `verification` is counted up on the way. A bucket that only the archive itself has given is not compared. In a
    stretch that has finer data, an archived candle without a counterpart is a difference.
    """
    async with connect(database) as connection:
        symbols = Symbols(await read_pairs(connection))
        lines = await read_lines(connection)
        plan = await asyncio.to_thread(
            plan_import, paths, symbols, symbol and symbols.resolve(symbol), lines, {}
        )
        verification.refused += plan.refused
        for file in plan.files:
            if file.layout.kind == "candles":
                async for difference in _verify_file(connection, file, verification):
                    yield difference


async def _verify_file(
    connection: Connection, file: PlannedFile, verification: Verification
) -> AsyncIterator[Difference]:
    interval = interval_of(file.member.interval_minutes or 1)
    with file.member.open() as stream:
        for raw, _ in with_last(stream, file.layout, 0, 1):
            rows = await asyncio.to_thread(
                read_candles, raw, file.layout, file.symbol, interval.minutes, datetime.now(UTC)
            )
            verification.read += rows.read
            verification.rejected += len(rows.rejections)
            if rows.frame.is_empty():
                continue
            first, last = (EPOCH + timedelta(seconds=int(rows.frame["second"][place])) for place in (0, -1))
            stretch = Stretch(first, last + interval.length)
            stored = await read_finer_candles(connection, interval, file.symbol, stretch)
            covered = (min(stored), max(stored)) if stored else None
            for second, *numbers, count in rows.frame.select("second", *FIELDS).iter_rows():
                moment = EPOCH + timedelta(seconds=second)
                if covered is None or not covered[0] <= moment <= covered[1]:
                    verification.uncovered += 1
                    continue
                verification.compared += 1
                archived = (*map(Decimal, numbers), count)
                for name, ours, theirs in _differences(stored.get(moment), archived):
                    yield Difference(file.symbol, interval.name, moment, name, theirs, ours)


def _differences(
    stored: tuple[Any, ...] | None, archived: tuple[Any, ...]
) -> list[tuple[str, Decimal | int | None, Decimal | int | None]]:
    if stored is None:
        return [("candle", None, archived[-1])]
    return [
        (name, ours, theirs)
        for name, ours, theirs in zip(FIELDS, stored, archived, strict=True)
        if ours != theirs and not (name == "volume" and abs(ours - theirs) <= VOLUME_TOLERANCE * abs(ours))
    ]
