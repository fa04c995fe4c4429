"""`manage.py audit [BTC/USD …]`: are the stored candles what their trades make of them?"""

from contextlib import AsyncExitStack
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.audit import BUCKETS, Audit, AuditProgress, AuditReport, Finding
from krakendata.management.command import FAILED, DeedCommand, database_arguments
from krakendata.management.commands.import_csv import at_least_one
from krakendata.management.exchange import open_exchange
from krakendata.management.progress import ProgressLine

FINDINGS_SHOWN = 20


class Command(DeedCommand):
    help = (
        "Recompute random candles of every interval from their trades, record what differs and heal it. "
        "Exit code 1 if anything differed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="*", metavar="SYMBOL", help="in any spelling; without: all pairs"
        )
        parser.add_argument(
            "--buckets",
            type=at_least_one,
            default=BUCKETS,
            metavar="N",
            help=f"how many of every interval, and of each thing to recompute them from ({BUCKETS})",
        )
        parser.add_argument("--seed", type=int, metavar="N", help="draw what the audit with this seed drew")
        parser.add_argument("--no-heal", action="store_true", help="only record what differs")
        parser.add_argument(
            "--exchange", action="store_true", help="also compare recent candles with the exchange's own"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.wrong: list[str] = []
        super().handle(*args, **options)
        if self.wrong:
            raise CommandError("\n".join(self.wrong), returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        async with AsyncExitStack() as opened:
            rest = await opened.enter_async_context(open_exchange()) if options["exchange"] else None
            line = opened.enter_context(ProgressLine(self.stdout))
            audit = Audit(
                database_arguments(),
                rest,
                heal=not options["no_heal"],
                seed=options["seed"],
                report=lambda progress: line.show(*_figures(progress)),
            )
            report = await audit.run(options["symbols"] or None, options["buckets"])
        self._write(report)
        self._judge(report)
        return facts_of(report)

    def _write(self, report: AuditReport) -> None:
        compared = ", ".join(f"{count:,} with {what}" for what, count in report.compared.items())
        self.stdout.write(
            f"Audited {len(report.pairs)} pairs in {report.seconds:.1f} s: {compared or 'nothing'} compared, "
            f"{len(report.findings)} differ (run {report.run_id}, seed {report.seed})."
        )
        dropped = sum(pair.dropped for pair in report.pairs)
        if dropped:
            self.stdout.write(
                f"{dropped:,} candles cannot be recomputed: retention has dropped what they were made of."
            )
        unproven = sum(pair.unproven for pair in report.pairs)
        if unproven:
            self.stdout.write(
                f"{unproven:,} candles of the exchange were left out: their trades are not all here."
            )
        for finding in report.findings[:FINDINGS_SHOWN]:
            self.stdout.write(f"  {_sentence(finding)}")
        if len(report.findings) > FINDINGS_SHOWN:
            more = len(report.findings) - FINDINGS_SHOWN
            self.stdout.write(f"  and {more} more, in the table audit_findings")

    def _judge(self, report: AuditReport) -> None:
        self.wrong = [f"{pair.symbol}: {pair.error}" for pair in report.pairs if pair.error]
        if report.findings:
            left = sum(not finding.healed for finding in report.findings)
            self.wrong.append(
                f"{len(report.findings)} candles were not what they have to be; {left} of them still are not."
            )


def facts_of(report: AuditReport) -> dict[str, Any]:
    """The report as one object."""
    return {
        "run": report.run_id,
        "state": report.state,
        "seed": report.seed,
        "compared": dict(report.compared),
        "dropped": sum(pair.dropped for pair in report.pairs),
        "unproven": sum(pair.unproven for pair in report.pairs),
        "findings": [
            {
                "symbol": finding.symbol,
                "interval": finding.interval.name,
                "timestamp": finding.timestamp,
                "compared_with": finding.compared_with,
                "differences": finding.differences,
                "healed": finding.healed,
            }
            for finding in report.findings
        ],
        "errors": {pair.symbol: pair.error for pair in report.pairs if pair.error},
        "seconds": round(report.seconds, 3),
    }


def _sentence(finding: Finding) -> str:
    facts = ", ".join(
        f"{name} {each['stored']} instead of {each['expected']}" for name, each in finding.differences.items()
    )
    healed = "healed" if finding.healed else "not healed"
    return (
        f"{finding.symbol} {finding.interval.name} {finding.timestamp:%Y-%m-%d %H:%M} "
        f"by {finding.compared_with}: {facts} ({healed})"
    )


def _figures(progress: AuditProgress) -> tuple[int, int, int, str]:
    message = f"{progress.symbol}: {progress.compared:,} candles compared, {progress.found} differ"
    return progress.done, progress.total, progress.compared, message
