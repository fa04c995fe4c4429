"""`manage.py import_csv PATH…`: Kraken's CSV archives into the database."""

import time
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.csv_import import PARALLEL_FILES, BulkCSVImporter, ImportProgress
from krakendata.ingest.import_plan import ImportPlan
from krakendata.management.command import FAILED, DeedCommand, database_arguments
from krakendata.management.progress import ProgressLine
from krakendata.options import max_rejects_kept
from krakendata.options import options as app_options
from krakendata.storage.ledger import Lines


class Command(DeedCommand):
    help = (
        "Import Kraken's OHLCVT and trades archives: CSV files, folders, zips, or slices of a zip (.part00 …). "
        "Run it again after an interruption: it goes on where it stopped, and skips files it has."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument(
            "--symbol", metavar="BASE/QUOTE", help="the pair, where the file's name does not tell it"
        )
        parser.add_argument(
            "--parallel", type=at_least_one, metavar="N", help="how many pairs to import side by side"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.refused: list[str] = []
        super().handle(*args, **options)
        if self.refused:
            raise CommandError("\n".join(self.refused), returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        chosen = app_options()
        started = time.monotonic()
        with ProgressLine(self.stdout) as line:
            importer = BulkCSVImporter(
                database_arguments(),
                parallel_files=options["parallel"] or chosen.get("IMPORT_PARALLEL_FILES", PARALLEL_FILES),
                max_rejects_kept=max_rejects_kept(),
                announce=self.announce,
                report=lambda progress: line.show(*_figures(progress)),
            )
            report = await importer.import_directory(*options["paths"], symbol=options["symbol"])
        seconds = time.monotonic() - started
        self.refused = [str(error) for error in report.plan.refused]
        facts = report.counts.as_dict() | {
            "seconds": round(seconds, 3),
            "write_seconds": round(report.write_seconds, 3),
            "refresh_seconds": round(report.refresh_seconds, 3),
            "run": report.run_id,
            "files": len(report.plan.files),
            "unchanged": len(report.plan.unchanged),
            "refused": self.refused,
        }
        self.stdout.write(_summary(facts))
        return facts

    def announce(self, plan: ImportPlan, lines: Lines) -> None:
        """Say what is about to be done with rows behind the retention, before anything is done."""
        rows = sum(file.rows for file in plan.files)
        self.stdout.write(
            f"{len(plan.files)} files to import (about {rows:,} rows), {len(plan.unchanged)} unchanged."
        )
        for file in plan.files:
            if not file.rows_behind:
                continue
            is_trades = file.layout.kind == "trades"
            line, setting = (
                (lines.trades, "RETENTION_TRADES_DAYS")
                if is_trades
                else (lines.candles, "RETENTION_CANDLES_DAYS")
            )
            amount = "up to" if file.member.entry is not None else "about"
            fate = (
                "build candles and enter the ledger" if is_trades else "are folded into every larger interval"
            )
            self.stdout.write(
                f"  {file.member.path}: {amount} {file.rows_behind:,} of {file.rows:,} rows are before "
                f"{line:%Y-%m-%d}, where retention ({setting}) begins: they {fate}, and are not stored themselves."
            )


def at_least_one(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on.")
    return int(text)


def _figures(progress: ImportProgress) -> tuple[int, int, int, str]:
    return progress.bytes_done, progress.bytes, progress.counts.read, progress.message


def _summary(facts: dict[str, Any]) -> str:
    rate = facts["read"] / facts["seconds"] if facts["seconds"] else 0
    return (
        f"Read {facts['read']:,} rows in {facts['seconds']:.1f} s ({rate:,.0f} rows/s): "
        f"{facts['stored']:,} stored, {facts['folded']:,} folded, {facts['duplicate']:,} duplicate, "
        f"{facts['rejected']:,} rejected (run {facts['run']})."
    )
