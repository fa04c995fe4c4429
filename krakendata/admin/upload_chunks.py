"""How a browser sends an archive: it says what it has, learns which bytes are there, and sends the others in chunks.

Every answer is JSON with `received`, the number of first bytes that are there, or an `error` for people. What the
browser says is believed of nothing but the bytes: names are for people, files get names of ours, checksums and sizes
are computed here.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from krakendata.admin.pages import deed, page_for
from krakendata.admin.pair_names import listed_symbols
from krakendata.errors import ImportFileError, UnknownSymbol
from krakendata.ingest.upload_check import named_pair
from krakendata.ingest.upload_files import UploadFolder
from krakendata.management.queueing import QueueAway, queue_task
from krakendata.models import Upload
from krakendata.options import upload_folder, upload_limits
from krakendata.security.operator_log import describe_action, not_an_action
from krakendata.uploads import (
    CHUNK_BYTES,
    HALF_KEPT,
    Place,
    kept_name,
    place_chunk,
    shown_name,
    why_too_large,
    why_wrong_kind,
)

# Uploading, and importing what one has uploaded.
MAY_UPLOAD = "krakendata.add_upload"

FINGERPRINT_CHARACTERS = 100
SYMBOL_CHARACTERS = 64
# Facts about a file are a few hundred bytes.
MAX_FACTS_BYTES = 10_000

BAD_REQUEST, NOT_FOUND, CONFLICT, TOO_LARGE, UNPROCESSABLE, NO_ROOM = 400, 404, 409, 413, 422, 507


class NotTaken(Exception):
    """Why something is not taken, for the person who sends it, and HTTP's number for it."""

    def __init__(self, status: int, why: str, **facts: object) -> None:
        super().__init__(why)
        self.answer = JsonResponse({"error": why, **facts}, status=status)


@deed(MAY_UPLOAD)
def begin(request: HttpRequest) -> JsonResponse:
    """Begin an upload, or find the one of the same file that was broken off."""
    try:
        folder, facts = open_folder(), _facts(request)
        describe_action(request, facts["name"], "upload")
        upload = _half(request, folder, facts) or _new(request, folder, facts)
    except NotTaken as refusal:
        return refusal.answer
    return JsonResponse({"id": upload.pk, "received": upload.received, "chunk_bytes": CHUNK_BYTES})


@page_for(MAY_UPLOAD)
def received(request: HttpRequest, pk: int) -> JsonResponse:
    """Tell which bytes of one's own upload are there."""
    upload = Upload.objects.filter(pk=pk, owner=request.user.get_username()).first()
    if upload is None:
        return NotTaken(NOT_FOUND, "There is no such upload of yours.").answer
    return JsonResponse({"received": upload.received, "state": upload.state})


@not_an_action
@deed(MAY_UPLOAD)
def chunk(request: HttpRequest, pk: int) -> JsonResponse:
    """Take the bytes of the body: `offset` says where they belong, `crc` is their CRC-32 as 8 hexadecimal digits."""
    try:
        folder, data = open_folder(), _body(request)
        upload, is_last = _write(folder, request.user.get_username(), pk, _offset(request), data)
    except NotTaken as refusal:
        return refusal.answer
    if is_last:
        ask_for_check(upload)
    return JsonResponse({"received": upload.received, "state": upload.state})


def open_folder() -> UploadFolder:
    """The folder for uploads; raises NotTaken where there is none."""
    folder = upload_folder()
    if folder is None:
        raise NotTaken(NOT_FOUND, "Uploads are off: UPLOAD_DIR is not set.")
    return folder


# --- what a browser says of a file ------------------------------------------------------------------------------


def _facts(request: HttpRequest) -> dict[str, Any]:
    """Name, size, fingerprint, pair and interval, each of the type it has to be."""
    try:
        given = json.loads(request.read(MAX_FACTS_BYTES))
        name, size = shown_name(str(given["name"])), int(given["size"])
        fingerprint = shown_name(str(given.get("fingerprint", "")))[:FINGERPRINT_CHARACTERS]
        symbol = str(given.get("symbol") or "").strip()[:SYMBOL_CHARACTERS]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise NotTaken(BAD_REQUEST, "That says nothing of a file.") from error
    if why := why_wrong_kind(name):
        raise NotTaken(UNPROCESSABLE, why)
    if why := why_too_large(size, upload_limits()):
        raise NotTaken(TOO_LARGE, why)
    try:
        pair, minutes = named_pair(name, listed_symbols(), symbol or None)
    except UnknownSymbol as error:
        raise NotTaken(UNPROCESSABLE, f"No pair is called {symbol}; write it as BTC/USD.") from error
    except ImportFileError as error:
        raise NotTaken(UNPROCESSABLE, str(error)) from error
    return {"name": name, "size": size, "fingerprint": fingerprint, "symbol": pair, "minutes": minutes}


def _half(request: HttpRequest, folder: UploadFolder, facts: dict[str, Any]) -> Upload | None:
    """The upload of the same file that goes on."""
    same = {name: facts[name] for name in ("name", "size", "fingerprint", "symbol")}
    halves = Upload.objects.filter(
        owner=request.user.get_username(), state=Upload.State.RECEIVING, **same
    ).order_by("-id")
    return next((upload for upload in halves[:1] if folder.has(upload.file)), None)


def _new(request: HttpRequest, folder: UploadFolder, facts: dict[str, Any]) -> Upload:
    minutes = facts.pop("minutes")
    with _writing(), transaction.atomic():
        _refuse_without_room(folder, facts["size"])
        upload = Upload.objects.create(owner=request.user.get_username(), **facts)
        upload.file = kept_name(upload.pk, secrets.token_hex(4), upload.name, minutes)
        upload.save(update_fields=["file"])
        folder.begin(upload.file)
    return upload


def _refuse_without_room(folder: UploadFolder, size: int) -> None:
    """Raise NotTaken where the disk has no room for this file beside those that are on their way."""
    alive = Upload.objects.filter(state=Upload.State.RECEIVING, updated_at__gt=timezone.now() - HALF_KEPT)
    coming = alive.aggregate(bytes=Sum(F("size") - F("received")))["bytes"] or 0
    room = folder.room() - coming
    if room < size:
        raise NotTaken(
            NO_ROOM, f"The server's disk has room for {max(room, 0):,} bytes, and the file has {size:,}."
        )


# --- chunks -----------------------------------------------------------------------------------------------------


def _offset(request: HttpRequest) -> int:
    text = request.GET.get("offset", "")
    # More digits than a file can have bytes: Python refuses to read thousands of them.
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotTaken(BAD_REQUEST, "The chunk does not say where it belongs.")
    return int(text)


def _body(request: HttpRequest) -> bytes:
    """The chunk, as whole as its checksum says; never more of it than a chunk has is taken."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdigit() or int(length) > CHUNK_BYTES:
        raise NotTaken(TOO_LARGE, f"A chunk has {CHUNK_BYTES:,} bytes at most.")
    data = request.read(CHUNK_BYTES + 1)
    if len(data) > CHUNK_BYTES:
        raise NotTaken(TOO_LARGE, f"A chunk has {CHUNK_BYTES:,} bytes at most.")
    if request.GET.get("crc", "") != f"{zlib.crc32(data):08x}":
        raise NotTaken(UNPROCESSABLE, "The chunk was damaged on its way.")
    return bytes(data)


def _write(folder: UploadFolder, owner: str, pk: int, offset: int, data: bytes) -> tuple[Upload, bool]:
    """Write what comes next, in the transaction that says so: the row never promises bytes that are not there.

    Gives the upload, and whether it is whole by this very chunk: it is to be looked at once.
    """
    with transaction.atomic():
        upload = Upload.objects.select_for_update().filter(pk=pk, owner=owner).first()
        if upload is None:
            raise NotTaken(NOT_FOUND, "There is no such upload of yours.")
        place = place_chunk(upload.received, upload.size, offset, len(data))
        if place is Place.OUTSIDE:
            raise NotTaken(BAD_REQUEST, "The chunk is no part of the file.", received=upload.received)
        if place is Place.KNOWN:
            return upload, False
        if upload.state != Upload.State.RECEIVING or place is Place.ELSEWHERE:
            raise NotTaken(CONFLICT, "Other bytes come next.", received=upload.received, state=upload.state)
        _put(folder, upload, data)
        upload.received += len(data)
        upload.updated_at = Now()
        if upload.received == upload.size:
            upload.state = Upload.State.CHECKING
        upload.save(update_fields=["received", "updated_at", "state"])
    return upload, upload.received == upload.size


def _put(folder: UploadFolder, upload: Upload, data: bytes) -> None:
    with _writing():
        if folder.room() < len(data):
            raise NotTaken(NO_ROOM, "The server's disk is full; the upload goes on once there is room.")
        folder.write(upload.file, upload.received, data)


@contextmanager
def _writing() -> Iterator[None]:
    """Tell what the disk refuses."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotTaken(NOT_FOUND, "What was sent of the file is gone; discard it and begin again.") from error
    except OSError as error:
        raise NotTaken(NO_ROOM, f"The server cannot write to UPLOAD_DIR ({error.strerror}).") from error


def ask_for_check(upload: Upload) -> str:
    """Queue the check; where the queue is away the upload says so, and its page has a button to ask again.

    Gives what the upload says.
    """
    problem = ""
    try:
        queue_task("check_upload", upload.pk)
    except QueueAway as away:
        problem = str(away)
    Upload.objects.filter(pk=upload.pk, state=Upload.State.CHECKING).update(problem=problem, updated_at=Now())
    return problem
