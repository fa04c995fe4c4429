"""What may be uploaded, under which name it is kept, and which of its bytes come next. Pure."""

import re
from datetime import timedelta
from enum import Enum
from typing import NamedTuple

__all__ = [
    "CHUNK_BYTES",
    "HALF_KEPT",
    "WHOLE_KEPT",
    "Place",
    "UploadLimits",
    "is_kept_name",
    "kept_name",
    "place_chunk",
    "shown_name",
    "why_too_large",
    "why_wrong_kind",
]

# A chunk is one request: large enough that what a request costs (some milliseconds) is little beside it, small enough
# that a line which breaks loses seconds of work. Beyond 2.5 MB Django would put a body on the disk before we see it.
CHUNK_BYTES = 2 << 20

# Who comes back does so the next day at the latest; what is whole waits for somebody to look at it, over a weekend too.
HALF_KEPT = timedelta(days=1)
WHOLE_KEPT = timedelta(days=7)

# As file systems allow.
NAME_CHARACTERS = 255

SUFFIXES = (".csv", ".zip")

_KEPT_NAME = re.compile(r"upload-[1-9][0-9]*-[0-9a-f]{8}(_[0-9]+)?\.(csv|zip)", re.ASCII)


class UploadLimits(NamedTuple):
    """The most bytes that a file may have, and that the members of a zip may unpack to."""

    file_bytes: int = 20_000_000_000
    unpacked_bytes: int = 200_000_000_000


class Place(Enum):
    """What a chunk is to what is there."""

    NEXT = "it goes on where what is there ends"
    KNOWN = "it is there"
    ELSEWHERE = "what comes before it is missing, or a part of it is there"
    OUTSIDE = "it is no part of the file"


def place_chunk(received: int, size: int, offset: int, length: int) -> Place:
    """What the bytes from `offset` on are to a file of `size` bytes of which the first `received` are there."""
    if offset < 0 or length < 1 or offset + length > size:
        return Place.OUTSIDE
    if offset == received:
        return Place.NEXT
    return Place.KNOWN if offset + length <= received else Place.ELSEWHERE


def shown_name(name: str) -> str:
    """The name that people are shown: without folders, and without what cannot be seen."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(character for character in last if character.isprintable()).strip()[:NAME_CHARACTERS]


def why_wrong_kind(name: str) -> str | None:
    """Why a file of this name is not taken; None where it is."""
    if name.lower().endswith(SUFFIXES) and len(name) > len(SUFFIXES[0]):
        return None
    return (
        f"{name or 'A file without a name'} is no .csv and no .zip: upload one of Kraken's archives as it is."
    )


def why_too_large(size: int, limits: UploadLimits) -> str | None:
    """Why a file of so many bytes is not taken; None where it is."""
    if size < 1:
        return "The file is empty."
    if size <= limits.file_bytes:
        return None
    return (
        f"The file has {size:,} bytes, and {limits.file_bytes:,} are taken at most (UPLOAD_MAX_BYTES). Put it beside "
        "the server and import it there: manage.py import_csv PATH."
    )


def kept_name(number: int, salt: str, name: str, interval_minutes: int | None) -> str:
    """The name a file is kept under: of our own making, but for its kind, and the interval that readers go by.

    `salt` is 8 hexadecimal digits, so that no two databases with one folder ever mean the same file.
    """
    interval = "" if interval_minutes is None else f"_{interval_minutes}"
    suffix = next(suffix for suffix in SUFFIXES if name.lower().endswith(suffix))
    return f"upload-{number}-{salt}{interval}{suffix}"


def is_kept_name(name: str) -> bool:
    """Whether `kept_name` may have made the name; no other one is opened."""
    return _KEPT_NAME.fullmatch(name) is not None
