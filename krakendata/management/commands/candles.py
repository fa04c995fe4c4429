"""`manage.py candles BTC/USD 1h`: candles as a table, CSV or JSON, and how complete they are."""

import csv
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.completeness import completeness
from krakendata.historical_provider import Candle, Candles
from krakendata.management.command import MISUSED, DeedCommand, as_json, open_provider, utc_moment
from krakendata.management.tables import write_table

SHOWN_UNASKED = 20
PRICES = ("open", "high", "low", "close", "volume")
# Kraken publishes prices with ten decimals at most; the quotient itself has no end.
VWAP_DECIMALS = 10
COLUMNS = ("timestamp", *PRICES, "vwap", "trade_count", "turnover", "first_id", "last_id", "coarse")


class Command(DeedCommand):
    help = "Show candles of a pair: the newest 20 unless a start or a limit is given."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", help="in any spelling: BTC/USD, XBT/USD, XBTUSD, XXBTZUSD")
        parser.add_argument(
            "interval", help="1m 5m 15m 30m 1h 4h 12h 1d 1w, or in between: 45m, 2h, 3d, 2w, 1mo"
        )
        parser.add_argument("--start", type=utc_moment, help="in UTC: 2024-01-31 or 2024-01-31T15:00")
        parser.add_argument("--end", type=utc_moment, help="likewise; the moment itself is out")
        parser.add_argument("--limit", type=int, help="no more than so many, the newest")
        parser.add_argument("--include-open", action="store_true", help="also the one that is forming")
        parser.add_argument("--format", choices=("table", "csv", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        # The format and the option are the same object.
        super().handle(*args, **options | {"json": options["json"] or options["format"] == "json"})

    async def run(self, **options: Any) -> dict[str, Any]:
        limit = options["limit"]
        if limit is None and options["start"] is None:
            limit = SHOWN_UNASKED
        interval = options["interval"]
        interval = int(interval) if interval.isdecimal() else interval
        bounds = options["start"], options["end"], limit, options["include_open"]
        async with open_provider() as provider:
            try:
                candles = await provider.get_candles(options["symbol"], interval, *bounds)
            except ValueError as error:
                raise CommandError(str(error), returncode=MISUSED) from error
        match options["format"]:
            case "table":
                self._write_table(candles)
            case "csv":
                self._write_csv(candles)
        return facts_of(candles)

    def _write_table(self, candles: Candles) -> None:
        rows = [_cells(candle) for candle in candles]
        write_table(self.stdout, ("start (UTC)", *PRICES, "vwap", "trades"), rows)
        counted = f"{len(candles)} {candles.interval.name} candles of {candles.symbol}."
        self.stdout.write(f"\n{counted} {completeness(candles.coverage)}")

    def _write_csv(self, candles: Candles) -> None:
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        for candle in candles:
            writer.writerow(_plain(getattr(candle, column)) for column in COLUMNS)


def facts_of(candles: Candles) -> dict[str, Any]:
    """The answer as one object: candles as objects, decimals as texts, and the coverage."""
    coverage = candles.coverage
    return {
        "symbol": candles.symbol,
        "interval": candles.interval.name,
        "candles": [{column: getattr(candle, column) for column in COLUMNS} for candle in candles],
        "coverage": {
            "asked": coverage.asked,
            "proven": coverage.proven,
            "provisional": coverage.provisional,
            "holes": coverage.holes,
        },
    }


def _cells(candle: Candle) -> tuple[str, ...]:
    vwap = "" if candle.vwap is None else f"{candle.vwap:.{VWAP_DECIMALS}f}".rstrip("0").rstrip(".")
    prices = (format(getattr(candle, name), "f") for name in PRICES)
    return (f"{candle.timestamp:%Y-%m-%d %H:%M}", *prices, vwap, str(candle.trade_count))


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | str) else as_json(value)
