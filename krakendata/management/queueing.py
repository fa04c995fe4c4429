"""Work for a worker: put on the task queue, and what to say when nobody takes it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from celery import current_app
from kombu.exceptions import OperationalError

from krakendata.storage.pairs import TrackedPair

# A worker that does nothing else answers in milliseconds; each that is there costs nobody else a wait.
ANSWER_SECONDS = 1.0


class QueueAway(Exception):
    """The task queue does not answer."""


def queue_task(name: str, *args: object, **kwargs: object) -> None:
    """Put one of our tasks (`fill_gaps`, `backfill` …) on the queue; raises QueueAway when it does not take it."""
    # The deeds behind the tasks take half a second to load, which the admin and other commands need not wait for.
    from krakendata import tasks

    try:
        getattr(tasks, name).apply_async(args=args, kwargs=kwargs, retry=False)
    except (OperationalError, OSError) as error:
        raise QueueAway(f"The task queue does not answer ({error}).") from error


def queue_backfills(pairs: Iterable[TrackedPair]) -> None:
    """Let a worker fetch the pairs' past, newest first; raises QueueAway."""
    for pair in pairs:
        queue_task("backfill", pair.symbol, pair.since and pair.since.isoformat())


def queue_backfills_of(symbols: Iterable[str], since: datetime, until: datetime | None) -> None:
    """Let a worker fetch what is missing of the pairs in a stretch of time (aware UTC); `until` None: up to now.

    Raises QueueAway.
    """
    for symbol in symbols:
        queue_task("backfill", symbol, since.isoformat(), until and until.isoformat())


def queue_audit_of(symbols: Sequence[str], since: datetime, until: datetime, buckets: int) -> None:
    """Let a worker recompute `buckets` candles of every interval in a stretch of time; the exchange is not asked.

    Raises QueueAway.
    """
    stretch = {"since": since.isoformat(), "until": until.isoformat()}
    queue_task("audit", symbols=list(symbols), buckets=buckets, exchange=False, **stretch)


def has_worker() -> bool:
    """Whether a worker takes tasks from the queue at this moment."""
    try:
        return bool(current_app.control.ping(timeout=ANSWER_SECONDS, limit=1))
    except (OperationalError, OSError):
        return False


def backfill_command(pair: TrackedPair) -> str:
    """The command that does the same here and now."""
    since = f" --since {pair.since.isoformat().replace('+00:00', 'Z')}" if pair.since else ""
    return f"manage.py backfill {pair.symbol}{since} --newest-first"
