"""`manage.py track SYMBOL…`: collect pairs from now on, and their past with them."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.backfill import PARALLEL_PAIRS
from krakendata.management.command import FAILED, MISUSED, DeedCommand, utc_moment
from krakendata.management.commands.backfill import Command as Backfill
from krakendata.management.queueing import QueueAway, backfill_command, has_worker, queue_backfills
from krakendata.management.tracking import track
from krakendata.storage.pairs import TrackedPair


class Command(DeedCommand):
    help = (
        "Track pairs: gaps are filled from now on, and a worker fetches their past, from their first trade or "
        "from --since on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="+", metavar="SYMBOL", help="BTC/USD, or any other name of the pair"
        )
        parser.add_argument(
            "--since", type=utc_moment, metavar="TIME", help="default: the pair's first trade"
        )
        parser.add_argument(
            "--now", action="store_true", help="fetch the past here, in this process, not by a worker"
        )
        parser.add_argument(
            "--candles-only", action="store_true",
            help="keep the exchange's own 1-minute candles, from now on, and no trades: provisional, never proven",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        self.failed: list[str] = []
        super().handle(*args, **options)
        if self.failed:
            raise CommandError("\n".join(self.failed), returncode=FAILED)

    async def run(self, **options: Any) -> dict[str, Any]:
        pairs = await self._track(options)
        if options["candles_only"]:
            for pair in pairs:
                self.stdout.write(f"{pair.symbol} is tracked by its candles alone, from now on.")
            return {"pairs": [pair._asdict() for pair in pairs], "queued": False}
        for pair in pairs:
            since = f"{pair.since:%Y-%m-%d %H:%M} UTC" if pair.since else "its first trade"
            self.stdout.write(f"{pair.symbol} is tracked, from {since} on.")
        if options["now"]:
            await self._backfill(pairs)
            queued = False
        else:
            queued = self._queue(pairs)
        return {"pairs": [pair._asdict() for pair in pairs], "queued": queued}

    async def _track(self, options: dict[str, Any]) -> list[TrackedPair]:
        names, since, candles_only = options["symbols"], options["since"], options["candles_only"]
        if candles_only and (since or options["now"]):
            raise CommandError(
                "--candles-only collects from now on: without --since and --now.", returncode=MISUSED
            )
        return await track(names, since, candles_only=candles_only)

    async def _backfill(self, pairs: list[TrackedPair]) -> None:
        for since in dict.fromkeys(pair.since for pair in pairs):
            backfill = Backfill()
            backfill.stdout, backfill.failed = self.stdout, []
            await backfill.run(
                symbols=[pair.symbol for pair in pairs if pair.since == since],
                since=since,
                until=None,
                newest_first=True,
                parallel=PARALLEL_PAIRS,
            )
            self.failed += backfill.failed

    def _queue(self, pairs: list[TrackedPair]) -> bool:
        """Tell what happens next: a worker has the pairs, or what to run to have them fetched."""
        try:
            queue_backfills(pairs)
        except QueueAway as away:
            self.stdout.write(f"{away} The past is fetched once a worker runs, or here and now by:")
            queued = False
        else:
            queued = True
            if has_worker():
                self.stdout.write("A worker fetches the past, the newest trades first.")
                return queued
            self.stdout.write(
                "The past waits in the task queue, where no worker answers: start one "
                "(celery -A config worker), or fetch it here and now by:"
            )
        for pair in pairs:
            self.stdout.write(f"  {backfill_command(pair)}")
        return queued
