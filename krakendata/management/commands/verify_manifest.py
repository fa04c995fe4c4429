"""`manage.py verify_manifest FILE…`: whether today's candles are those that a backtest read."""

from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.errors import KrakenDataError
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.management.command import FAILED, MISUSED, DeedCommand, open_provider
from krakendata.manifest import Change, Manifest, ManifestError, Reading, changes, joined, reading_of
from krakendata.types import Candle


class Command(DeedCommand):
    help = "Read again what a backtest's manifest says it read, and tell what is different; exit 1 if anything is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("manifests", nargs="+", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        self.differing = 0
        super().handle(*args, **options)
        if self.differing:
            raise CommandError(f"{self.differing} readings would give another input.", returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        manifests = {path: _loaded(path) for path in options["manifests"]}
        told = []
        async with open_provider() as provider:
            for path, manifest in manifests.items():
                for reading in manifest.readings:
                    found = await self._changes(provider, reading)
                    self._tell(path, reading, found)
                    told.append(_facts(path, reading, found))
        return {"readings": told}

    async def _changes(self, provider: HistoricalDataProvider, then: Reading) -> list[Change]:
        try:
            now = await read_again(provider, then)
        except ValueError as error:
            # A pair or an interval of which nothing is known any more.
            if not isinstance(error, KrakenDataError):
                raise
            return [Change("candles", str(error))]
        return changes(then, now)

    def _tell(self, path: Path, reading: Reading, found: list[Change]) -> None:
        differs = any(change.kind == "candles" for change in found)
        self.differing += differs
        what = f"{reading.symbol} {reading.interval}, {reading.candles:,} candles"
        since = f"{reading.asked.start:%Y-%m-%d %H:%M} to {reading.asked.end:%Y-%m-%d %H:%M}"
        self.stdout.write(f"{path}: {what}, {since}: {'DIFFERENT' if differs else 'the same input'}.")
        for change in found:
            self.stdout.write(f"  {change.sentence}")


async def read_again(provider: HistoricalDataProvider, reading: Reading) -> Reading:
    """What the same question is answered today."""
    asked = reading.symbol, reading.interval, *reading.asked
    coverage = (await provider.get_coverage(*asked)).within(reading.asked)
    candles: list[Candle] = []
    months: list[Reading] = []
    # Month by month, as they are remembered: minutes of years would fill the memory.
    async with aclosing(provider.iter_candles(*asked)) as read:
        async for candle in read:
            if candles and f"{candle.timestamp:%Y-%m}" != f"{candles[-1].timestamp:%Y-%m}":
                months.append(reading_of(reading.symbol, reading.interval, candles, coverage))
                candles = []
            candles.append(candle)
    months.append(reading_of(reading.symbol, reading.interval, candles, coverage))
    return joined(months)


def _loaded(path: Path) -> Manifest:
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}.", returncode=MISUSED) from error
    except ManifestError as error:
        raise CommandError(f"{path}: {error}", returncode=MISUSED) from error


def _facts(path: Path, reading: Reading, found: list[Change]) -> dict[str, Any]:
    return {
        "manifest": str(path),
        "symbol": reading.symbol,
        "interval": reading.interval,
        "start": reading.asked.start,
        "end": reading.asked.end,
        "candles": reading.candles,
        "same_input": all(change.kind != "candles" for change in found),
        "changes": [{"kind": change.kind, "sentence": change.sentence} for change in found],
        "verified_at": datetime.now(UTC),
    }
