"""`manage.py replay_rejects`: rejected records let in after a fix, by today's rules."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.replay_rejects import RejectDeeds
from krakendata.management.command import FAILED, DeedCommand, database_arguments
from krakendata.management.progress import ProgressLine
from krakendata.management.reject_options import add_selection, facts_of, figures, selection_of


class Command(DeedCommand):
    help = (
        "Judge rejected records again and let those in that can be true: rows, candles, ledger and rollups follow. "
        "What is refused again goes on waiting, with the reason in its history."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_selection(parser)
        parser.add_argument(
            "--set", action="append", type=field_and_value, default=[], metavar="FIELD=VALUE",
            help="correct this field of each record first; may be repeated",
        )  # fmt: skip
        parser.add_argument("--why", default="", metavar="REASON", help="the reason of a correction")

    def handle(self, *args: Any, **options: Any) -> None:
        self.failed = ""
        super().handle(*args, **options)
        if self.failed:
            raise CommandError(self.failed, returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        selection = selection_of(options)
        with ProgressLine(self.stdout) as line:
            deeds = RejectDeeds(
                database_arguments(), options["by"], report=lambda progress: line.show(*figures(progress))
            )
            report = await deeds.replay(selection, fields=dict(options["set"]), why=options["why"])
        counts = report.counts
        self.stdout.write(
            f"Tried {counts.read:,} records: {counts.stored:,} stored, {counts.folded:,} folded, "
            f"{counts.duplicate:,} duplicate, {counts.rejected:,} refused again; {report.corrected:,} corrected "
            f"(run {report.run_id})."
        )
        self.failed = report.error
        return facts_of(report)


def field_and_value(text: str) -> tuple[str, str]:
    """An argument such as side=b; the value may be empty."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"{text!r} is no FIELD=VALUE, such as side=b.")
    return name, value
