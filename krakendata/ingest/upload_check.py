"""An uploaded archive looked at before it is imported: what is in it, what is refused, its first bad line."""

import copy
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from krakendata.errors import ImportFileError
from krakendata.ingest.candle_rows import read_candles
from krakendata.ingest.doubtful_rows import PlacedRejection
from krakendata.ingest.import_plan import PlannedFile, plan_members
from krakendata.ingest.trade_rows import read_trades
from krakendata.kraken.archive_members import (
    DAMAGED,
    READ_BYTES,
    ArchiveMember,
    damaged,
    name_of_csv,
    refused,
)
from krakendata.kraken.archives import RawBlock, blocks, find_members
from krakendata.storage.ledger import Lines
from krakendata.types import Symbols

# What is read for bad lines, of all files together: a second or two of work. One file is read to 64 MiB (some 1.5
# million rows); of the 12,000 members of Kraken's full archives, each to the least.
LOOK_BYTES = 64 << 20
LEAST_LOOK_BYTES = 64 << 10
BLOCK_BYTES = 1 << 20

# A zip's own list of members is read into memory before anything is known of it, and each of them is then opened:
# about a kilobyte and a millisecond. Kraken's with 12,000 of them has less than 2 MB. The bytes are what is read; the
# number is what the archive says of itself.
MAX_DIRECTORY_BYTES = 8 << 20
MAX_MEMBERS = 100_000

# Kept in the upload's row, and shown.
FILES_TOLD = 50
RAW_TOLD = 500


class _Bomb(ImportFileError):
    """A zip member that holds more than it declares."""


ShouldStop = Callable[[], bool]


class CheckStopped(Exception):
    """It was asked to stop before it had seen everything."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """The first line that would be rejected, with the reason's code, its sentence, and the detail."""

    file: str
    line: int
    reason: str
    sentence: str
    detail: str
    raw: str


@dataclass(slots=True)
class _Refusals:
    """How many members are refused, and why the first of them are: in words, as an error keeps what was read alive."""

    count: int = 0
    told: list[str] = field(default_factory=list)

    def add(self, error: ImportFileError) -> None:
        """Count it, and keep its sentence if it is one of the first."""
        self.count += 1
        if len(self.told) < FILES_TOLD:
            self.told.append(str(error))


@dataclass(frozen=True, slots=True)
class UploadFindings:
    """What an import of the file would do. `rows` is an estimate; `looked_at` rows were judged, `bad` of them bad.

    `refused` has the first FILES_TOLD of `refused_count` sentences.
    """

    files: list[PlannedFile]
    refused: list[str]
    refused_count: int
    rows: int
    looked_at: int
    bad: int
    first_bad: BadLine | None

    def as_json(self, kept: Path, shown: str) -> dict[str, Any]:
        """For the row; people are shown the name they know, not the one the file is kept under."""

        def told(text: str) -> str:
            return text.replace(str(kept), shown)

        first = self.first_bad
        return {
            "files": [
                {
                    "name": told(file.member.path),
                    "symbol": file.symbol,
                    "kind": file.layout.kind,
                    "schema": file.layout.schema,
                    "interval": file.member.interval_minutes,
                    "rows": file.rows,
                    "rows_behind": file.rows_behind,
                    "bytes": file.member.size,
                }
                for file in self.files[:FILES_TOLD]
            ],
            "file_count": len(self.files),
            "pairs": len({file.symbol for file in self.files}),
            "refused": [told(text) for text in self.refused],
            "refused_count": self.refused_count,
            "rows": self.rows,
            "looked_at": self.looked_at,
            "bad": self.bad,
            "first_bad": None
            if first is None
            else {
                "file": told(first.file),
                "line": first.line,
                "reason": first.reason,
                "sentence": first.sentence,
                "detail": first.detail,
                "raw": first.raw[:RAW_TOLD],
            },
        }


def named_pair(name: str, symbols: Symbols, symbol: str | None) -> tuple[str | None, int | None]:
    """The pair and the interval that a file's name states, before a byte of it is there; a zip's members state theirs.

    `symbol` (any spelling) overrides the name. Raises ImportFileError, in an import's words, and UnknownSymbol.
    """
    given = symbols.resolve(symbol) if symbol else None
    if name.lower().endswith(".zip"):
        return given, None
    stem, minutes = name_of_csv(name, name)
    try:
        return given or symbols.resolve(stem), minutes
    except ValueError as error:
        raise refused(name, f"is not named after a pair ({stem!r}); choose the pair it is of") from error


def check_upload(
    path: Path,
    symbols: Symbols,
    symbol: str | None,
    lines: Lines,
    now: datetime,
    most_unpacked: int,
    should_stop: ShouldStop = lambda: False,
) -> UploadFindings:
    """Look at the whole of a zip's bytes, and at the rows of each file as far as LOOK_BYTES go.

    Raises ImportFileError where nothing in it can be imported, CheckStopped when `should_stop`. `now` is aware UTC.
    """
    if path.suffix == ".zip":
        _refuse_long_directory(path)
    refusals = _Refusals()
    members = _sound(_found(path, most_unpacked, refusals, should_stop), refusals, should_stop)
    files = _planned(members, symbols, symbol, lines, refusals)
    look_bytes = max(LOOK_BYTES // max(len(files), 1), LEAST_LOOK_BYTES)
    looked_at, bad, first = 0, 0, None
    readable = []
    for file in files:
        _stop_if(should_stop)
        try:
            for read, rejections in _judged(file, look_bytes, now):
                _stop_if(should_stop)
                looked_at, bad = looked_at + read, bad + len(rejections)
                first = first or _first_bad(file, rejections)
            readable.append(file)
        except ImportFileError as error:
            refusals.add(error)
    if not readable:
        raise ImportFileError(refusals.told[0])
    rows = sum(file.rows for file in readable)
    return UploadFindings(readable, refusals.told, refusals.count, rows, looked_at, bad, first)


def _stop_if(should_stop: ShouldStop) -> None:
    if should_stop():
        raise CheckStopped


def _found(
    path: Path, most_unpacked: int, refusals: _Refusals, should_stop: ShouldStop
) -> list[ArchiveMember]:
    """The members that can be read; raises ImportFileError if they are too large together."""
    members = []
    for found in find_members([path]):
        _stop_if(should_stop)
        if isinstance(found, ImportFileError):
            refusals.add(found)
        else:
            members.append(found)
    declared = sum(member.size for member in members)
    if declared > most_unpacked:
        raise refused(
            path,
            f"would unpack to {declared:,} bytes, and {most_unpacked:,} are taken at most "
            "(UPLOAD_MAX_UNPACKED_BYTES); import it where it lies, with manage.py import_csv",
        )
    return members


def _sound(
    members: list[ArchiveMember], refusals: _Refusals, should_stop: ShouldStop
) -> Iterator[ArchiveMember]:
    """The members that are not damaged; raises ImportFileError if one lies."""
    for member in members:
        _stop_if(should_stop)
        try:
            _refuse_other_size(member, should_stop)
        except _Bomb:
            # The reader would stop at the declared size and import what is before it: such an archive lies.
            raise
        except ImportFileError as error:
            refusals.add(error)
        else:
            yield member


def _planned(
    members: Iterable[ArchiveMember],
    symbols: Symbols,
    symbol: str | None,
    lines: Lines,
    refusals: _Refusals,
) -> list[PlannedFile]:
    """The members that an import would read."""
    files = []
    for member in members:
        # One by one, so that no more refusals are kept than are told.
        plan = plan_members([member], symbols, symbol, lines, {})
        files += plan.files
        for error in plan.refused:
            refusals.add(error)
    return files


def _refuse_other_size(member: ArchiveMember, should_stop: ShouldStop) -> None:
    """Unpack a zip member once, to nowhere: raises ImportFileError if it holds more than it declares, or is damaged.

    Readers stop at the declared size, so that a member which lies would be taken for a shorter one.
    """
    if member.entry is None:
        return
    entry = copy.copy(member.entry)
    entry.file_size = member.size + 1
    # Without it zipfile leaves the checksum to us: it would call the lie a damage.
    del entry.CRC
    unpacked = checksum = 0
    with replace(member, entry=entry).open() as stream:
        while chunk := stream.read(READ_BYTES):
            _stop_if(should_stop)
            unpacked += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    if unpacked > member.size:
        raise _Bomb(
            f"it unpacks to more than the {member.size:,} bytes it declares, a bomb; leave the archive out.",
            file=member.path,
        )
    if unpacked < member.size or checksum != member.entry.CRC:
        raise refused(member.path, "is damaged: it does not unpack to what it declares; upload it again")


def _refuse_long_directory(path: Path) -> None:
    """Raise ImportFileError for a zip whose list of members would fill the memory, before it is read."""
    try:
        with path.open("rb") as stream:
            # The very function by which zipfile finds the list, so that both believe the same.
            end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    except DAMAGED as error:
        raise damaged(path, error) from error
    if end is None:
        # It is no zip, which the reader tells in its own words.
        return
    listed, length = end[zipfile._ECD_ENTRIES_TOTAL], end[zipfile._ECD_SIZE]  # type: ignore[attr-defined]
    if listed > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES:
        raise refused(path, "lists more members than any of Kraken's archives, a bomb; leave it out")


def _judged(file: PlannedFile, most_bytes: int, now: datetime) -> Iterator[tuple[int, list[PlacedRejection]]]:
    """Block by block how many rows were read, and which of them are bad."""
    with file.member.open() as stream:
        for block in blocks(stream, file.layout, target_bytes=min(BLOCK_BYTES, most_bytes)):
            if block.offset >= most_bytes:
                return
            yield _judge(file, block, now)


def _judge(file: PlannedFile, block: RawBlock, now: datetime) -> tuple[int, list[PlacedRejection]]:
    if file.layout.kind == "trades":
        trades = read_trades(block, file.layout, file.symbol, now)
        return trades.read, trades.rejections
    candles = read_candles(block, file.layout, file.symbol, file.member.interval_minutes or 1, now)
    return candles.read, candles.rejections


def _first_bad(file: PlannedFile, rejections: list[PlacedRejection]) -> BadLine | None:
    if not rejections:
        return None
    first = min(rejections, key=lambda placed: placed.line)
    why = first.rejection
    return BadLine(file.member.path, first.line, why.reason.value, why.reason.sentence, why.detail, why.raw)
