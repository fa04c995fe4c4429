"""`manage.py backfill SYMBOL…`: a pair's trades from the exchange, from the first one or from a date on."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.backfill import PARALLEL_PAIRS, BackfillProgress, BackfillReport, KrakenTradesBackfill
from krakendata.management.command import FAILED, DeedCommand, database_arguments, utc_moment
from krakendata.management.commands.import_csv import at_least_one
from krakendata.management.exchange import open_exchange
from krakendata.management.progress import ProgressLine
from krakendata.options import max_rejects_kept
from krakendata.options import options as app_options


class Command(DeedCommand):
    help = (
        "Fetch every trade of a pair that is not held yet from Kraken's REST API, and its candles with it. "
        "Run it again after an interruption: it goes on where it stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="+", metavar="SYMBOL", help="BTC/USD, or any other name of the pair"
        )
        parser.add_argument(
            "--since", type=utc_moment, metavar="TIME", help="default: the pair's first trade"
        )
        parser.add_argument("--until", type=utc_moment, metavar="TIME", help="default: now")
        parser.add_argument(
            "--newest-first", action="store_true", help="the newest trades at once, and the past after them"
        )
        parser.add_argument(
            "--parallel", type=at_least_one, metavar="N",
            help="how many pairs to fetch side by side (default: BACKFILL_PARALLEL_PAIRS)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        self.failed: list[str] = []
        super().handle(*args, **options)
        if self.failed:
            raise CommandError("\n".join(self.failed), returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        chosen = app_options()
        with ProgressLine(self.stdout) as line:
            progress = _Together(line)
            async with open_exchange() as rest:
                backfill = KrakenTradesBackfill(
                    database_arguments(),
                    rest,
                    parallel_pairs=options["parallel"]
                    or chosen.get("BACKFILL_PARALLEL_PAIRS", PARALLEL_PAIRS),
                    max_rejects_kept=max_rejects_kept(),
                    report=progress.show,
                )
                reports = await backfill.backfill_symbols(
                    options["symbols"], options["since"], options["until"], options["newest_first"]
                )
        for report in reports:
            self.stdout.write(_summary(report))
        self.failed = [f"{report.symbol}: {report.error}" for report in reports if report.error]
        return {"pairs": [_facts(report) for report in reports]}


class _Together:
    """The progress of several pairs as one line."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._pairs: dict[str, BackfillProgress] = {}

    def show(self, progress: BackfillProgress) -> None:
        self._pairs[progress.symbol] = progress
        known = [each for each in self._pairs.values() if each.total is not None]
        self._line.show(
            sum(each.done for each in known),
            sum(each.total or 0 for each in known),
            sum(each.counts.read for each in self._pairs.values()),
            progress.message,
        )


def _facts(report: BackfillReport) -> dict[str, Any]:
    return report.counts.as_dict() | {
        "symbol": report.symbol,
        "state": report.state,
        "run": report.run_id,
        "calls": report.calls,
        "left": report.left,
        "seconds": round(report.seconds, 3),
        "error": report.error,
    }


def _summary(report: BackfillReport) -> str:
    counts = report.counts
    rate = counts.read / report.seconds if report.seconds else 0
    return (
        f"{report.symbol} {report.state}: read {counts.read:,} trades in {report.calls:,} calls and "
        f"{report.seconds:.1f} s ({rate:,.0f} trades/s): {counts.stored:,} stored, {counts.folded:,} folded, "
        f"{counts.duplicate:,} duplicate, {counts.rejected:,} rejected (run {report.run_id})."
        + (f" {report.left} gaps are left that the exchange could not fill." if report.left else "")
    )
