"""What becomes of uploads: whole ones are looked at, old halves taken away, and imported ones followed to their end."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from celery import Task, shared_task
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from krakendata.errors import ImportFileError
from krakendata.ingest.upload_check import CheckStopped, ShouldStop, UploadFindings
from krakendata.ingest.upload_check import check_upload as look_at
from krakendata.ingest.upload_files import UploadFolder
from krakendata.management.command import database_arguments
from krakendata.models import SyncRun, Upload
from krakendata.models.uploads import imports_of, state_by
from krakendata.options import upload_folder, upload_limits
from krakendata.storage.backfill_runs import alone
from krakendata.storage.ledger import read_lines
from krakendata.storage.queries import read_pairs
from krakendata.storage.sessions import connect
from krakendata.tasks.running import Share, run_share
from krakendata.tasks.stopping import is_stopping
from krakendata.types import Symbols
from krakendata.uploads import HALF_KEPT, WHOLE_KEPT

logger = logging.getLogger(__name__)

State = Upload.State

# Half a check is of no use to anybody: one that takes longer than a share goes on to its end, unless the worker ends.
# It is given up before long, as its message would be delivered again; only a thread that waits for its disk holds its
# worker until the disk answers.
CHECK_SECONDS = timedelta(minutes=50).total_seconds()
TOO_LONG = (
    f"Its check took longer than {CHECK_SECONDS / 60:.0f} minutes and was given up. Check it again when the server has "
    "less to do, or import the file where it lies, with manage.py import_csv."
)

KEPT_FOR = {
    State.RECEIVING: HALF_KEPT,
    State.CHECKING: WHOLE_KEPT,
    State.READY: WHOLE_KEPT,
    State.FAILED: WHOLE_KEPT,
}


class _CheckedElsewhere(Exception):
    """Another worker is at this check: its message came twice, or somebody asked again."""


@shared_task(name="krakendata.tasks.check_upload", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def check_upload(self: Task, number: int) -> None:
    """Look at an upload whose bytes are all there: then it is ready to be imported, or refused with a sentence."""
    checking = Upload.objects.filter(pk=number, state=State.CHECKING)
    upload = checking.first()
    if upload is None:
        return
    folder = upload_folder()
    if folder is None or not folder.has(upload.file):
        problem = "The worker does not find it: UPLOAD_DIR has to be one folder for the web server and every worker."
        _settle(checking, State.CHECKING, problem=problem)
        return
    path = folder.file(upload.file)
    if path.stat().st_size != upload.size:
        problem = f"{upload.name} has another size on the disk than was sent; upload it again."
        _let_go(folder, upload, checking, State.REFUSED, problem=problem)
        return
    try:
        findings = _checked(self, upload, path)
    except ImportFileError as error:
        problem = str(error).replace(str(path), upload.name)
        _let_go(folder, upload, checking, State.REFUSED, problem=problem)
    except _CheckedElsewhere:
        pass
    except CheckStopped:
        if is_stopping():
            self.apply_async(args=[number])
        else:
            _settle(checking, State.CHECKING, problem=TOO_LONG)
    else:
        _settle(checking, State.READY, findings=findings.as_json(path, upload.name))


def _checked(task: Task, upload: Upload, path: Path) -> UploadFindings:
    """Look at it for as long as a check may take; raises CheckStopped where that, or the worker, ends first."""
    ends = time.monotonic() + CHECK_SECONDS

    def should_stop() -> bool:
        # Asked by the thread that looks, which nobody can cancel.
        return is_stopping() or time.monotonic() >= ends

    async def deed(share: Share) -> UploadFindings:
        async with alone(database_arguments(), f"check_upload {upload.pk}") as is_alone:
            if not is_alone:
                raise _CheckedElsewhere
            return await _look(path, upload.symbol, should_stop)

    findings = run_share(task, deed, CHECK_SECONDS)
    if findings is None:
        # It was cancelled: a thread that waits for its disk asks nothing.
        raise CheckStopped
    return findings


def tidy_uploads(now: datetime) -> None:
    """Follow imported uploads to their end, and take away what nobody came back for. `now` is aware UTC."""
    folder = upload_folder()
    if folder is None:
        return
    imported = Upload.objects.filter(state__in=(State.IMPORTING, State.FAILED))
    by_path = {str(folder.file(upload.file)): upload for upload in imported}
    runs = imports_of(by_path)
    for path, upload in by_path.items():
        _follow(folder, upload, runs.get(path), now)
    for state, kept in KEPT_FOR.items():
        for upload in Upload.objects.filter(state=state, updated_at__lt=now - kept):
            days = kept // timedelta(days=1)
            problem = f"Nobody came back to it for {days} d, so it was taken away."
            if _let_go(folder, upload, _as_seen(upload), State.DISCARDED, problem=problem):
                logger.info("discarded upload id=%d state=%s", upload.pk, state)


def _follow(folder: UploadFolder, upload: Upload, run: SyncRun | None, now: datetime) -> None:
    """Write down what its newest import has made of an upload since."""
    state = state_by(upload, run)
    if run is None or state == upload.state:
        _give_back(upload, run, now)
    elif state == State.DONE:
        problem = run.error.replace(str(folder.file(upload.file)), upload.name)
        _let_go(folder, upload, _as_seen(upload), State.DONE, problem=problem)
    elif state == State.FAILED:
        problem = run.error or f"{run.parameters['stopped_by']} stopped its import."
        _settle(_as_seen(upload), State.FAILED, problem=problem)
    elif state == State.IMPORTING:
        # As if it had been ordered at that moment: what the run comes to is this upload's.
        _settle(_as_seen(upload), State.IMPORTING, updated_at=run.started_at)


def _give_back(upload: Upload, run: SyncRun | None, now: datetime) -> None:
    """Let an import that no worker has taken for a day be ordered again."""
    is_taken = run is not None and run.started_at >= upload.updated_at
    if upload.state == State.IMPORTING and not is_taken and upload.updated_at < now - HALF_KEPT:
        problem = "No worker has taken it for a day: order its import again."
        _settle(_as_seen(upload), State.READY, problem=problem)


def _as_seen(upload: Upload) -> QuerySet[Upload]:
    """The upload's row as long as nothing has happened to it since it was read: no order, no chunk, no check."""
    return Upload.objects.filter(pk=upload.pk, state=upload.state, updated_at=upload.updated_at)


def _let_go(
    folder: UploadFolder, upload: Upload, rows: QuerySet[Upload], state: Upload.State, problem: str
) -> bool:
    """Settle the upload and take its file away, or neither; False where something else happened to it meanwhile.

    The row comes first and is held until the file is gone: whoever orders an import meanwhile waits, and is told.
    """
    with transaction.atomic():
        is_settled = _settle(rows, state, problem=problem)
        if is_settled:
            folder.remove(upload.file)
    return is_settled


def _settle(rows: QuerySet[Upload], state: Upload.State, **facts: object) -> bool:
    """Write down what became of the upload in `rows`; False where something else did meanwhile."""
    facts = {"problem": "", "updated_at": Now(), **facts}
    return rows.update(state=state, **facts) == 1


async def _look(path: Path, symbol: str | None, should_stop: ShouldStop) -> UploadFindings:
    async with connect(database_arguments()) as connection:
        symbols, lines = Symbols(await read_pairs(connection)), await read_lines(connection)
    most = upload_limits().unpacked_bytes
    return await asyncio.to_thread(
        look_at, path, symbols, symbol, lines, datetime.now(UTC), most, should_stop
    )
