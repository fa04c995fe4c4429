"""`manage.py coverage [BTC/USD]`: what we hold, what of it is proven, and what is missing."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from krakendata.gaps import Stretch
from krakendata.historical_provider import Holding
from krakendata.management.command import DeedCommand, open_provider
from krakendata.management.tables import write_table
from krakendata.types import interval_of

STRETCHES_SHOWN = 20
COLUMNS = ("symbol", "from", "to", "trades", "stored", "candles", "proven", "provisional", "missing")
LEGEND = "\ntrades: once collected; stored: of those, still here; candles: from archives; the others in days."


class Command(DeedCommand):
    help = "Show by pair what was collected, what is still stored, what is proven and what is missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", nargs="?", help="one pair, in any spelling; without it all of them")

    async def run(self, **options: Any) -> dict[str, Any]:
        async with open_provider() as provider:
            holdings = await provider.get_holdings(options["symbol"])
        self._write_summary(holdings)
        if options["symbol"] is not None:
            for holding in holdings:
                self._write_stretches(holding)
        return {"symbols": [facts_of(holding) for holding in holdings]}

    def _write_summary(self, holdings: list[Holding]) -> None:
        if not holdings:
            self.stdout.write("Nothing was collected yet: manage.py import_csv PATH brings in archives.")
            return
        write_table(self.stdout, COLUMNS, [_summary(holding) for holding in holdings])
        self.stdout.write(LEGEND)

    def _write_stretches(self, holding: Holding) -> None:
        coverage = holding.coverage
        kinds = {"proven": coverage.proven, "provisional": coverage.provisional, "missing": coverage.holes}
        for kind, stretches in kinds.items():
            self.stdout.write(f"\n{kind}, {_days(stretches)} days")
            if len(stretches) > STRETCHES_SHOWN:
                self.stdout.write(f"  {len(stretches) - STRETCHES_SHOWN} stretches, and then")
            for stretch in stretches[-STRETCHES_SHOWN:]:
                self.stdout.write(f"  {_minute(stretch.start)} to {_minute(stretch.end)}")
        if holding.archives:
            self.stdout.write("\ncandle archives")
        for run in holding.archives:
            name = interval_of(run.interval_minutes).name
            self.stdout.write(f"  {name:3} {_minute(run.stretch.start)} to {_minute(run.stretch.end)}")


def facts_of(holding: Holding) -> dict[str, Any]:
    """One symbol's holding as an object."""
    coverage = holding.coverage
    return {
        "symbol": holding.symbol,
        "trades": None if holding.trades is None else holding.trades._asdict(),
        "candles": None if holding.candles is None else holding.candles._asdict(),
        "archives": [run._asdict() for run in holding.archives],
        "asked": coverage.asked,
        "proven": coverage.proven,
        "provisional": coverage.provisional,
        "missing": coverage.holes,
    }


def _summary(holding: Holding) -> tuple[str, ...]:
    statuses = [status for status in (holding.trades, holding.candles) if status is not None]
    oldest = min((status.oldest for status in statuses if status.oldest), default=None)
    newest = max((status.newest for status in statuses if status.newest), default=None)
    return (
        holding.symbol,
        "" if oldest is None else f"{oldest:%Y-%m-%d}",
        "" if newest is None else f"{newest:%Y-%m-%d}",
        str(holding.trades.collected) if holding.trades else "0",
        str(holding.trades.stored) if holding.trades else "0",
        str(holding.candles.collected) if holding.candles else "0",
        _days(holding.coverage.proven),
        _days(holding.coverage.provisional),
        _days(holding.coverage.holes),
    )


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _days(stretches: Iterable[Stretch]) -> str:
    total = sum((stretch.end - stretch.start for stretch in stretches), timedelta())
    return f"{total / timedelta(days=1):.1f}"
