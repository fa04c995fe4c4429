"""`manage.py untrack SYMBOL…`: collect pairs no more; what was collected stays."""

from typing import Any

from django.core.management.base import CommandParser

from krakendata.ingest.pair_list import untrack_pairs
from krakendata.management.command import DeedCommand, database_arguments


class Command(DeedCommand):
    help = "Stop tracking pairs: their gaps are filled no more. What was collected stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="+", metavar="SYMBOL", help="BTC/USD, or any other name of the pair"
        )

    async def run(self, **options: Any) -> dict[str, Any]:
        untracked = await untrack_pairs(database_arguments(), options["symbols"])
        self.stdout.write(
            f"Tracked no more: {', '.join(untracked)}. What was collected stays."
            if untracked
            else "None of them was tracked."
        )
        return {"untracked": untracked}
