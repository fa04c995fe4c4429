"""`manage.py verify_archive PATH…`: archived candles against the rollups, every difference told."""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.verify import Difference, Verification, verify_archive
from krakendata.management.command import FAILED, DeedCommand, database_arguments


class Command(DeedCommand):
    help = "Compare Kraken's OHLCVT archives with the stored candles of the same interval; exit 1 if any differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument(
            "--symbol", metavar="BASE/QUOTE", help="the pair, where the file's name does not tell it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.complaint = ""
        super().handle(*args, **options)
        if self.complaint:
            raise CommandError(self.complaint, returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        paths, symbol = options["paths"], options["symbol"]
        started = time.monotonic()
        verification, differences = Verification(), 0
        async for difference in verify_archive(database_arguments(), paths, symbol, verification):
            differences += 1
            self.stdout.write(_line(difference))
        refused = [str(error) for error in verification.refused]
        self.stdout.write(
            f"{verification.compared:,} of {verification.read:,} archived candles compared, "
            f"{differences:,} differences; {verification.uncovered:,} had nothing finer to be compared with."
        )
        if differences or refused:
            self.complaint = "\n".join(
                [*refused, *([f"{differences:,} differences."] if differences else [])]
            )
        return {
            "read": verification.read,
            "compared": verification.compared,
            "uncovered": verification.uncovered,
            "rejected": verification.rejected,
            "differences": differences,
            "refused": refused,
            "seconds": round(time.monotonic() - started, 3),
        }


def _line(difference: Difference) -> str:
    place = f"{difference.symbol} {difference.interval} {difference.timestamp:%Y-%m-%d %H:%M}"
    if difference.field == "candle":
        return f"{place}: the archive has a candle of {difference.archived} trades, the rollup has none."
    return f"{place}: {difference.field} is {difference.archived} in the archive and {difference.stored} in the rollup."
