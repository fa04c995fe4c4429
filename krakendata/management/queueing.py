"""Work for a worker: a tracked pair's backfill put on the task queue, and what to say when nobody takes it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

from krakendata.storage.pairs import TrackedPair

# A worker that does nothing else answers in milliseconds; each that is there costs nobody else a wait.
ANSWER_SECONDS = 1.0


class QueueAway(Exception):
    """The task queue does not answer."""


def queue_backfills(pairs: Iterable[TrackedPair]) -> None:
    """Let a worker fetch the pairs' past, newest first; raises QueueAway when the queue does not take it."""
    # The deeds behind the task take half a second to load, which the admin and other commands need not wait for.
    from krakendata.tasks import backfill

    with _answering():
        for pair in pairs:
            since = pair.since and pair.since.isoformat()
            backfill.apply_async(args=[pair.symbol, since], retry=False)


def queue_backfills_of(symbols: Iterable[str], since: datetime, until: datetime | None) -> None:
    """Let a worker fetch what is missing of the pairs in a stretch of time (aware UTC); `until` None: up to now.

    Raises QueueAway.
    """
    from krakendata.tasks import backfill

    with _answering():
        for symbol in symbols:
            arguments = [symbol, since.isoformat(), until and until.isoformat()]
            backfill.apply_async(args=arguments, retry=False)


def queue_audit_of(symbols: Sequence[str], since: datetime, until: datetime, buckets: int) -> None:
    """Let a worker recompute `buckets` candles of every interval in a stretch of time; the exchange is not asked.

    Raises QueueAway.
    """
    from krakendata.tasks import audit

    asked = {"symbols": list(symbols), "buckets": buckets, "exchange": False}
    with _answering():
        audit.apply_async(
            kwargs=asked | {"since": since.isoformat(), "until": until.isoformat()}, retry=False
        )


def queue_upload_check(number: int) -> None:
    """Let a worker look at an upload that is whole; raises QueueAway."""
    from krakendata.tasks import check_upload

    with _answering():
        check_upload.apply_async(args=[number], retry=False)


def queue_import(path: str, symbol: str | None) -> None:
    """Let a worker import an archive, by the path it knows it under; raises QueueAway."""
    from krakendata.tasks import import_files

    with _answering():
        import_files.apply_async(args=[path], kwargs={"symbol": symbol}, retry=False)


def queue_reject_deed(name: str, **arguments: Any) -> None:
    """Let a worker replay or dismiss rejected records: `name` is the task's; raises QueueAway."""
    from krakendata.tasks import dismiss_rejects, replay_rejects

    task = {"replay_rejects": replay_rejects, "dismiss_rejects": dismiss_rejects}[name]
    with _answering():
        task.apply_async(kwargs=arguments, retry=False)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OperationalError, OSError) as error:
        raise QueueAway(f"The task queue does not answer ({error}).") from error


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
