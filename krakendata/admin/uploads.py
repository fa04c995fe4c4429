"""Uploads: archives sent through the browser, looked at before they are imported, and followed to their end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from krakendata.admin import upload_chunks
from krakendata.admin.pages import Column, Table, deed, link, may_view, show
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.runs import progress_of
from krakendata.admin.upload_chunks import MAY_UPLOAD, ask_for_check
from krakendata.admin.upload_shown import bad_line, file_table, state_chip, told_findings, upload_facts
from krakendata.admin.wording import minute, numeric, size
from krakendata.management.queueing import QueueAway, queue_task
from krakendata.models import RejectedRecord, SyncRun, Upload
from krakendata.models.uploads import imports_of, state_by
from krakendata.options import upload_folder, upload_limits
from krakendata.security.operator_log import describe_action, refuse_action

# Seeing everybody's, and taking away what others have left; without it one sees one's own.
MAY_VIEW_ALL = "krakendata.view_upload"
MAY_DISCARD_ALL = "krakendata.delete_upload"

UPLOADS_SHOWN = 50

# A check that was queued so long ago may have been lost, and can be asked for again.
CHECK_LOST_AFTER = timedelta(minutes=2)

State = Upload.State

COLUMNS = [
    Column("Archive"),
    Column("Size", True),
    Column("State"),
    Column("Uploaded by"),
    Column("Began (UTC)"),
]


def uploads_page(request: HttpRequest) -> HttpResponse:
    """Show where to drop an archive, and what became of the newest ones."""
    folder, limits = upload_folder(), upload_limits()
    newest = list(_visible(request)[:UPLOADS_SHOWN])
    runs = runs_of(newest)
    return show(
        request,
        "uploads.html",
        "Upload an archive",
        may_upload=request.user.has_perm(MAY_UPLOAD),
        is_on=folder is not None,
        begin=reverse("admin:krakendata_upload_begin"),
        most=size(limits.file_bytes),
        most_bytes=limits.file_bytes,
        uploads=Table(
            COLUMNS,
            [_cells(upload, runs.get(upload.pk)) for upload in newest],
            "Nothing was uploaded yet.",
        ),
    )


def upload_page(request: HttpRequest, pk: str) -> HttpResponse:
    """Show one upload: what is in it, what may be done with it, and how its import goes."""
    if not pk.isdecimal() or len(pk) > 18:
        raise Http404("There is no such upload.")
    upload = _visible(request).filter(pk=pk).first()
    if upload is None:
        raise Http404("There is no such upload.")
    is_own = upload.owner == request.user.get_username() and request.user.has_perm(MAY_UPLOAD)
    run = runs_of([upload]).get(upload.pk)
    state = state_by(upload, run)
    return show(
        request,
        "upload.html",
        upload.name,
        upload=upload,
        state=state_chip(upload, state),
        stage=state.value,
        facts=upload_facts(upload),
        findings=told_findings(upload.findings),
        files=file_table(upload.findings.get("files", [])),
        bad=bad_line(upload.findings.get("first_bad")),
        progress=progress_of(run) if run else None,
        may_see_rejects=run is not None and run.rejected > 0 and may_view(request, RejectedRecord),
        follows=state in (State.CHECKING, State.IMPORTING),
        is_half=state == State.RECEIVING,
        may_import=is_own and state in (State.READY, State.FAILED),
        may_check=is_own and state == State.CHECKING and _is_check_lost(upload),
        may_discard=(is_own or request.user.has_perm(MAY_DISCARD_ALL)) and _is_discardable(upload, state),
    )  # fmt: skip


def runs_of(uploads: Iterable[Upload]) -> dict[int, SyncRun]:
    """The imports of uploads as they were last ordered, by upload; none of what a run before that did."""
    folder = upload_folder()
    if folder is None:
        return {}
    paths = {
        str(folder.file(upload.file)): upload
        for upload in uploads
        if upload.file and upload.state in (State.IMPORTING, State.DONE, State.FAILED)
    }
    found = ((paths[path], run) for path, run in imports_of(paths).items())
    return {
        upload.pk: run
        for upload, run in found
        if upload.state != State.IMPORTING or run.started_at >= upload.updated_at
    }


@deed(MAY_UPLOAD)
def order_import(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a worker import one's own upload that was found good."""
    upload, folder = _own(request, pk), upload_folder()
    describe_action(request, upload.name, "import_upload")
    is_ready = _state_now(upload) in (State.READY, State.FAILED)
    # The state comes before the order: what a worker begins from now on is this import.
    if folder is None or not (is_ready and folder.has(upload.file) and _change(upload, State.IMPORTING)):
        refuse_action(request, f"{upload.name} is not ready to be imported.")
        return _back(upload)
    try:
        queue_task("import_files", str(folder.file(upload.file)), symbol=upload.symbol)
    except QueueAway as away:
        Upload.objects.filter(pk=upload.pk, state=State.IMPORTING).update(state=State.READY)
        refuse_action(request, f"{away} {upload.name} waits here; order its import again once it does.")
        return _back(upload)
    return _back(upload)


@deed(MAY_UPLOAD)
def check_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue the check of one's own upload once more."""
    upload = _own(request, pk)
    describe_action(request, upload.name, "check_upload")
    if upload.state != State.CHECKING:
        refuse_action(request, f"{upload.name} was looked at already.")
    elif problem := ask_for_check(upload):
        refuse_action(request, problem)
    return _back(upload)


@deed(MAY_UPLOAD, MAY_DISCARD_ALL)
def discard(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an upload's bytes away: one's own, or anybody's with the permission to delete uploads."""
    uploads = Upload.objects.filter(pk=pk)
    if not request.user.has_perm(MAY_DISCARD_ALL):
        uploads = uploads.filter(owner=request.user.get_username())
    upload, folder = uploads.first(), upload_folder()
    if upload is None:
        raise Http404("There is no such upload.")
    describe_action(request, upload.name, "discard_upload")
    if (
        folder is not None
        and _is_discardable(upload, _state_now(upload))
        and _change(upload, State.DISCARDED)
    ):
        folder.remove(upload.file)
        messages.success(request, f"{upload.name} is taken away.")
    else:
        refuse_action(request, f"{upload.name} is imported, or there is nothing left to take away.")
    return redirect("admin:krakendata_upload_changelist")


def _own(request: HttpRequest, pk: int) -> Upload:
    upload = Upload.objects.filter(pk=pk, owner=request.user.get_username()).first()
    if upload is None:
        raise Http404("There is no such upload.")
    return upload


def _visible(request: HttpRequest) -> QuerySet[Upload]:
    rows = Upload.objects.order_by("-id")
    if request.user.has_perm(MAY_VIEW_ALL):
        return rows
    return rows.filter(owner=request.user.get_username())


def _change(upload: Upload, state: Upload.State) -> bool:
    """Change the state; False where something else did meanwhile."""
    rows = Upload.objects.filter(pk=upload.pk, state=upload.state)
    return bool(rows.update(state=state, problem="", updated_at=Now()))


def _back(upload: Upload) -> HttpResponse:
    return redirect("admin:krakendata_upload_change", upload.pk)


def _is_check_lost(upload: Upload) -> bool:
    return bool(upload.problem) or upload.updated_at < timezone.now() - CHECK_LOST_AFTER


# --- what is shown ----------------------------------------------------------------------------------------------


def _state_now(upload: Upload) -> Upload.State:
    return state_by(upload, runs_of([upload]).get(upload.pk))


def _is_discardable(upload: Upload, state: Upload.State) -> bool:
    """Whether there is something to take away that nobody reads; what is imported goes by itself."""
    return upload.has_file and state not in (State.IMPORTING, State.DONE)


def _cells(upload: Upload, run: SyncRun | None) -> list[object]:
    return [
        link(upload.name, "krakendata_upload_change", upload.pk),
        numeric(size(upload.size)),
        state_chip(upload, state_by(upload, run)),
        upload.owner,
        numeric(minute(upload.created_at)),
    ]


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """One's own uploads, and everybody's for those who may view uploads."""

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("begin/", "krakendata_upload_begin", upload_chunks.begin),
            ("<int:pk>/received/", "krakendata_upload_received", upload_chunks.received),
            ("<int:pk>/chunk/", "krakendata_upload_chunk", upload_chunks.chunk),
            ("<int:pk>/import/", "krakendata_upload_import", order_import),
            ("<int:pk>/check/", "krakendata_upload_check", check_again),
            ("<int:pk>/discard/", "krakendata_upload_discard", discard),
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(MAY_UPLOAD) or request.user.has_perm(MAY_VIEW_ALL))

    has_module_permission = has_view_permission

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        _refuse_strangers(self, request)
        return uploads_page(request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        _refuse_strangers(self, request)
        return upload_page(request, object_id)


def _refuse_strangers(page: UploadAdmin, request: HttpRequest) -> None:
    if not page.has_view_permission(request):
        raise PermissionDenied
