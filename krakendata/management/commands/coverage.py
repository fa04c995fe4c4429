"""`manage.py coverage [BTC/USD …]`: the certificate of what we hold, day by day, and what proves it."""

import csv
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from krakendata.certificate import Certificate, Day, DayState
from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider, Holding
from krakendata.management.command import DeedCommand, open_provider, utc_moment
from krakendata.management.tables import write_table
from krakendata.types import interval_of

STRETCHES_SHOWN = 20
# A month of lines; whoever wants more names the time or the state.
DAYS_SHOWN = 31
COLUMNS = ("symbol", "from", "to", "trades", "stored", "candles", "proven", "provisional", "missing")
LEGEND = "\ntrades: once collected; stored: of those, still here; candles: from archives; the others in days."
DAY_COLUMNS = ("day", "state", "first id", "last id", "trades", "absent", "rejected", "missing ids", "until")
CSV_COLUMNS = (
    "symbol", "day", "state", "first_id", "last_id", "trades", "absent", "rejected", "missing_ids", "unaccounted",
    "until", "proven_seconds", "provisional_seconds", "missing_seconds",
)  # fmt: skip


class Command(DeedCommand):
    help = (
        "Certify by pair and day (UTC) what was collected, what of it is proven, and what is missing. "
        "Without a pair: a line for each; CSV and --days have every day of all of them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="*", metavar="SYMBOL", help="in any spelling; without: all pairs"
        )
        parser.add_argument("--since", type=utc_moment, help="days from here on, UTC: 2024-01-31")
        parser.add_argument("--until", type=utc_moment, help="days before this time, UTC")
        parser.add_argument(
            "--state",
            action="append",
            choices=list(DayState),
            help="only days of this state; may be repeated",
        )
        parser.add_argument("--days", action="store_true", help="the days also where no pair is named")
        parser.add_argument("--format", choices=("table", "csv", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        # The format and the option are the same object.
        super().handle(*args, **options | {"json": options["json"] or options["format"] == "json"})

    async def run(self, **options: Any) -> dict[str, Any]:
        is_table, is_csv = options["format"] == "table", options["format"] == "csv"
        with_days = bool(options["symbols"] or options["days"] or is_csv)
        facts = []
        async with open_provider() as provider:
            holdings = await _holdings(provider, options["symbols"])
            if is_table:
                self._write_summary(holdings)
            rows = csv.writer(self.stdout, lineterminator="\n")
            if is_csv:
                rows.writerow(CSV_COLUMNS)
            bounds = options["since"], options["until"]
            async for holding, found in _certificates(provider, holdings, *bounds, with_days=with_days):
                shown = found.only(options["state"] or ()) if found else None
                if is_table and options["symbols"]:
                    self._write_stretches(holding)
                if is_table and found and shown:
                    self._write_days(found, shown, is_chosen=_is_chosen(options))
                if is_csv and shown:
                    rows.writerows(
                        map(_plain, facts_of_day(shown.symbol, day).values()) for day in shown.days
                    )
                if options["json"]:
                    states = {"states": found.counts} if found else {}
                    facts.append(facts_of(holding) | (facts_of_certificate(shown) if shown else {}) | states)
        return {"symbols": facts}

    def _write_summary(self, holdings: list[Holding]) -> None:
        if not holdings:
            self.stdout.write(
                "Nothing was collected yet: manage.py import_csv PATH brings in archives, "
                "manage.py backfill SYMBOL what the exchange has."
            )
            return
        write_table(self.stdout, COLUMNS, [_summary(holding) for holding in holdings])
        self.stdout.write(LEGEND)

    def _write_stretches(self, holding: Holding) -> None:
        coverage = holding.coverage
        self.stdout.write(f"\n{holding.symbol}")
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

    def _write_days(self, found: Certificate, shown: Certificate, *, is_chosen: bool) -> None:
        days = shown.days if is_chosen else shown.days[-DAYS_SHOWN:]
        counts = ", ".join(f"{count:,} {state}" for state, count in found.counts.items() if count)
        self.stdout.write(f"\n{found.symbol}: {len(found.days):,} days ({counts or 'none'}).")
        if found.ids_before is not None:
            self.stdout.write(f"ids before: {found.ids_before:,}")
        if len(days) < len(shown.days):
            self.stdout.write(f"The newest {len(days)}; --since, --until and --state show others.\n")
        if days:
            write_table(self.stdout, DAY_COLUMNS, [_cells(day) for day in days])
        astray = [day for day in days if day.unaccounted]
        if astray:
            self.stdout.write(
                f"\nThe candles of {len(astray)} days do not show what the ledger has (the first: "
                f"{astray[0].day}, {astray[0].unaccounted:+,} trades). If no import or backfill is at work: "
                "manage.py upkeep, then manage.py audit."
            )


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


def facts_of_certificate(certificate: Certificate) -> dict[str, Any]:
    """One symbol's days as objects, and how many ids before the first one are not collected."""
    return {
        "ids_before": certificate.ids_before,
        "days": [facts_of_day(certificate.symbol, day) for day in certificate.days],
    }


def facts_of_day(symbol: str, day: Day) -> dict[str, Any]:
    """One day as an object, with the columns of the CSV."""
    seconds = [each.total_seconds() for each in (day.proven, day.provisional, day.missing)]
    values = (
        symbol, f"{day.day:%Y-%m-%d}", str(day.state), day.first_id, day.last_id, day.trades, day.absent,
        day.rejected, day.missing_ids, day.unaccounted, day.until, *seconds,
    )  # fmt: skip
    return dict(zip(CSV_COLUMNS, values, strict=True))


async def _holdings(provider: HistoricalDataProvider, symbols: Sequence[str]) -> list[Holding]:
    if not symbols:
        return await provider.get_holdings()
    found = [holding for symbol in symbols for holding in await provider.get_holdings(symbol)]
    return list({holding.symbol: holding for holding in found}.values())


async def _certificates(
    provider: HistoricalDataProvider,
    holdings: Iterable[Holding],
    since: datetime | None,
    until: datetime | None,
    *,
    with_days: bool,
) -> AsyncIterator[tuple[Holding, Certificate | None]]:
    """One pair at a time: the days of all of them need not be in memory at once."""
    for holding in holdings:
        yield holding, await provider.get_certificate(holding.symbol, since, until) if with_days else None


def _is_chosen(options: dict[str, Any]) -> bool:
    return any(options[name] is not None for name in ("since", "until", "state"))


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


def _cells(day: Day) -> tuple[str, ...]:
    numbers = (day.first_id, day.last_id, day.trades, day.absent, day.rejected, day.missing_ids)
    is_whole = day.until.date() > day.day
    return (
        f"{day.day:%Y-%m-%d}",
        str(day.state),
        *("" if number is None else str(number) for number in numbers),
        "" if is_whole else f"{day.until:%H:%M:%S}",
    )


def _plain(value: object) -> object:
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else value


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _days(stretches: Iterable[Stretch]) -> str:
    total = sum((stretch.end - stretch.start for stretch in stretches), timedelta())
    return f"{total / timedelta(days=1):.1f}"
