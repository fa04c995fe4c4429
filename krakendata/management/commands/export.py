"""`manage.py export BTC/USD --interval 1h --out DIR`: candles and trades into files for other tools."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.export.contents import TRADES
from krakendata.export.exporter import Exporter, ExportProgress, ExportReport, Form
from krakendata.export.files import Format
from krakendata.export.layouts import LAYOUTS, Layout
from krakendata.export.nautilus import MOST_DECIMALS
from krakendata.export.parts import By
from krakendata.management.command import FAILED, MISUSED, DeedCommand, open_provider, utc_moment
from krakendata.management.progress import ProgressLine

DEFAULT_INTERVAL = "1h"


class Command(DeedCommand):
    help = (
        "Write candles, and trades, into files, each of a part of the time. Run it again after an interruption, or for "
        "what is new: it writes what is missing or has changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="in any spelling")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of the files")
        parser.add_argument(
            "--interval",
            action="append",
            metavar="INTERVAL",
            help="1m, 1h, 45m …; may be repeated; 1h without any",
        )
        parser.add_argument(
            "--trades", action="store_true", help="the stored trades, with --interval also candles"
        )
        parser.add_argument("--start", type=utc_moment, help="in UTC: 2024-01-31 or 2024-01-31T15:00")
        parser.add_argument("--end", type=utc_moment, help="likewise; the moment itself is out")
        parser.add_argument(
            "--layout", choices=sorted(LAYOUTS), default="plain", help="what the files are for (plain)"
        )
        parser.add_argument(
            "--format", choices=list(Format), help="the layout's usual one without (plain: parquet)"
        )
        parser.add_argument("--by", choices=list(By), help="how long a file is (year; of trades a month)")
        parser.add_argument("--columns", metavar="NAME,NAME", help="only these, of the layout plain")
        parser.add_argument(
            "--exact", action="store_true", help="decimals instead of floats, of the layout plain"
        )
        parser.add_argument(
            "--price-decimals",
            type=int,
            choices=range(MOST_DECIMALS + 1),
            metavar="N",
            help="of the layout nautilus: instead of those on the exchange's list",
        )

    async def run(self, **options: Any) -> dict[str, Any]:
        form = _form(LAYOUTS[options["layout"]], options)
        kinds = [*(options["interval"] or ([] if options["trades"] else [DEFAULT_INTERVAL]))]
        kinds += [TRADES] if options["trades"] else []
        bounds: tuple[datetime | None, datetime | None] = options["start"], options["end"]
        started = time.monotonic()
        async with open_provider() as provider:
            with ProgressLine(self.stdout) as line:
                exporter = Exporter(
                    provider, options["out"], form, report=lambda progress: line.show(*_figures(progress))
                )
                try:
                    report = await exporter.export(options["symbols"], kinds, *bounds)
                except ValueError as error:
                    raise CommandError(str(error), returncode=MISUSED) from error
        facts = facts_of(report) | {"seconds": round(time.monotonic() - started, 3)}
        self._write(report, facts["seconds"])
        return facts

    def _write(self, report: ExportReport, seconds: float) -> None:
        if not report.written + report.unchanged + report.kept:
            self.stdout.write("Nothing is stored of that time: manage.py coverage shows what is.")
            return
        self.stdout.write(
            f"{len(report.written)} files written ({report.rows:,} rows, {report.bytes:,} bytes) in {seconds:.1f} s, "
            f"{len(report.unchanged)} unchanged."
        )
        for path in report.kept:
            self.stdout.write(f"  {path}: left as it is, since retention has dropped some of what it holds")
        if report.lacking:
            raise CommandError(
                f"What has come since is not in {', '.join(report.lacking)}: export it to another folder, "
                "with --by month or a --start of which everything is still stored.",
                returncode=FAILED,
            )


def facts_of(report: ExportReport) -> dict[str, Any]:
    """The report as one object."""
    return {
        "written": report.written,
        "unchanged": report.unchanged,
        "kept": report.kept,
        "lacking": report.lacking,
        "rows": report.rows,
        "bytes": report.bytes,
    }


def _form(layout: Layout, options: dict[str, Any]) -> Form:
    columns = tuple(options["columns"].split(",")) if options["columns"] else None
    if layout.columns is not None and (columns or options["exact"]):
        raise CommandError(
            f"The layout {layout.name} has columns of its own: --columns and --exact go with plain.",
            returncode=MISUSED,
        )
    if layout.precisions is None and options["price_decimals"] is not None:
        raise CommandError(f"--price-decimals is not for the layout {layout.name}.", returncode=MISUSED)
    kind = Format(options["format"]) if options["format"] else layout.formats[0]
    if kind not in layout.formats:
        told = ", ".join(layout.formats)
        raise CommandError(f"The layout {layout.name} is for {told}, not {kind}.", returncode=MISUSED)
    if layout.by is not None and options["by"] and By(options["by"]) is not layout.by:
        raise CommandError(
            f"The layout {layout.name} has files of its own length, not --by.", returncode=MISUSED
        )
    by = layout.by or By(options["by"] or By.YEAR)
    exact = options["exact"] if layout.exact is None else layout.exact
    return Form(layout, kind, by, columns, exact, options["price_decimals"])


def _figures(progress: ExportProgress) -> tuple[int, int, int, str]:
    return progress.done, progress.total, progress.rows, f"{progress.path}, {progress.rows:,} rows written"
