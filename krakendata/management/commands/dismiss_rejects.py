"""`manage.py dismiss_rejects`: rejected records that nothing is to be done about."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.replay_rejects import RejectDeeds
from krakendata.management.command import FAILED, DeedCommand, database_arguments
from krakendata.management.progress import ProgressLine
from krakendata.management.reject_options import add_selection, facts_of, figures, selection_of


class Command(DeedCommand):
    help = "Dismiss rejected records with a reason. They stay as they are, and wait no more."

    def add_arguments(self, parser: CommandParser) -> None:
        add_selection(parser)
        parser.add_argument("--why", required=True, metavar="REASON", help="kept with each record")

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
            report = await deeds.dismiss(selection, options["why"])
        self.stdout.write(f"Dismissed {report.dismissed:,} records (run {report.run_id}).")
        self.failed = report.error
        return facts_of(report)
