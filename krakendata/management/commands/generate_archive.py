"""`manage.py generate_archive DIR`: write a made-up market as Kraken's archives, to try the importer on."""

import json
import time
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from krakendata.errors import UnknownSymbol
from krakendata.replay.market import MARKET_PAIRS, MarketPair
from krakendata.replay.sample_archive import MONTHS, TRADE_DAYS, SampleFile, write_sample_archive
from krakendata.types import Symbols

DEFAULT_SEED = 1


class Command(BaseCommand):
    help = "Write a made-up market as Kraken's archives: candles and trades that end now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, help="where the two zips go; made if it is not there")
        parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="another seed, another market")
        parser.add_argument("--months", type=_count, default=MONTHS, help="months of candles (%(default)s)")
        parser.add_argument(
            "--trade-days", type=_count, default=TRADE_DAYS, help="days of trades (%(default)s)"
        )
        parser.add_argument("--pairs", nargs="+", metavar="PAIR", help=f"some of {' '.join(MARKET_PAIRS)}")
        parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        pairs = _pairs(options["pairs"] or list(MARKET_PAIRS))
        until = datetime.now(UTC)
        written = write_sample_archive(
            options["directory"], options["seed"], until, pairs, options["months"], options["trade_days"]
        )
        for file in written:
            self.stdout.write(_line(file))
        if options["json"]:
            self.stdout.write(json.dumps(_facts(written, time.monotonic() - started)))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number, such as 2")
    return int(text)


def _pairs(names: list[str]) -> list[MarketPair]:
    """The made-up pairs called `names`, in any spelling; CommandError for one there is not."""
    return [_pair(name) for name in dict.fromkeys(names)]


def _pair(name: str) -> MarketPair:
    try:
        return MARKET_PAIRS[Symbols().resolve(name)]
    except (KeyError, UnknownSymbol) as error:
        known = " ".join(MARKET_PAIRS)
        raise CommandError(f"There is no made-up pair {name!r}; choose from {known}.") from error


def _line(file: SampleFile) -> str:
    bad = f", {file.bad_rows} of them bad" if file.bad_rows else ""
    return f"{file.archive}!{file.name}: {file.rows:,} rows{bad}"


def _facts(written: list[SampleFile], seconds: float) -> dict[str, Any]:
    return {
        "rows": sum(file.rows for file in written),
        "bad_rows": sum(file.bad_rows for file in written),
        "seconds": round(seconds, 3),
        "archives": sorted({str(file.archive) for file in written}),
    }
