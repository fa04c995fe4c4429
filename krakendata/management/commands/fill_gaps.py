"""`manage.py fill_gaps [SYMBOL…]`: what the ledger lacks, from the exchange."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.gap_fill import CONCURRENCY, GapFiller, GapProgress, GapReport
from krakendata.management.command import FAILED, DeedCommand, database_arguments, utc_moment
from krakendata.management.commands.import_csv import at_least_one
from krakendata.management.exchange import open_exchange
from krakendata.management.progress import ProgressLine
from krakendata.options import max_rejects_kept
from krakendata.options import options as app_options


class Command(DeedCommand):
    help = (
        "Find gaps in what is held, at the tail and inside, and fill them from Kraken's REST API: the newest hours "
        "with candles at once, everything with trades. Without symbols: every tracked pair."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="*", metavar="SYMBOL", help="BTC/USD, or any other name of the pair"
        )
        parser.add_argument(
            "--before-beginning", action="store_true",
            help="also from the pair's first trade (or the day it is tracked from) to the first one held",
        )  # fmt: skip
        parser.add_argument(
            "--parallel", type=at_least_one, metavar="N",
            help="how many pairs to fill side by side (default: GAP_FILL_PARALLEL_PAIRS)",
        )  # fmt: skip
        parser.add_argument(
            "--start", type=utc_moment, metavar="TIME", help="with --end: whatever lacks between"
        )
        parser.add_argument("--end", type=utc_moment, metavar="TIME", help="not included itself")

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["start"] is None) != (options["end"] is None):
            raise CommandError("--start and --end go together.", returncode=2)
        if options["start"] is not None and not options["symbols"]:
            raise CommandError("--start and --end want the symbols to fill between them.", returncode=2)
        self.failed: list[str] = []
        super().handle(*args, **options)
        if self.failed:
            raise CommandError("\n".join(self.failed), returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        chosen = app_options()
        with ProgressLine(self.stdout) as line:
            async with open_exchange() as rest:
                filler = GapFiller(
                    database_arguments(),
                    rest,
                    concurrency=options["parallel"] or chosen.get("GAP_FILL_PARALLEL_PAIRS", CONCURRENCY),
                    max_rejects_kept=max_rejects_kept(),
                    waits=True,
                    report=lambda progress: line.show(*_figures(progress)),
                )
                reports = await _fill(filler, options)
        if not reports:
            self.stdout.write("No pair is tracked: name some, or track one with manage.py track BTC/USD.")
        for report in reports:
            self.stdout.write(_summary(report))
        self.failed = [f"{report.symbol}: {report.error}" for report in reports if report.error]
        return {"pairs": [_facts(report) for report in reports]}


async def _fill(filler: GapFiller, options: dict[str, Any]) -> list[GapReport]:
    if options["start"] is None:
        symbols = options["symbols"] or None
        return await filler.fill_all_gaps(symbols, before_beginning=options["before_beginning"])
    return [await filler.fill_gap(symbol, options["start"], options["end"]) for symbol in options["symbols"]]


def _figures(progress: GapProgress) -> tuple[int, int, int, str]:
    return progress.done, progress.found, progress.rows, progress.message


def _facts(report: GapReport) -> dict[str, Any]:
    return report.trades.as_dict() | {
        "symbol": report.symbol,
        "state": report.state,
        "gaps": report.gaps,
        "left": report.left,
        "candles": report.candles,
        "error": report.error,
    }


def _summary(report: GapReport) -> str:
    trades = report.trades
    return (
        f"{report.symbol} {report.state}: {report.gaps} gaps, {report.left} left, {report.candles:,} candles at once; "
        f"{trades.stored:,} trades stored, {trades.folded:,} folded, {trades.duplicate:,} duplicate, "
        f"{trades.rejected:,} rejected."
    )
