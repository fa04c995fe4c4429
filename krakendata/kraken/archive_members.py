"""One CSV of an archive, wherever it lies: its name, its size, and its bytes from any offset on."""

import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from krakendata.errors import ImportFileError
from krakendata.kraken.joined_files import open_joined

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# The intervals, in minutes, that Kraken publishes candles at (kraken-facts 4.1).
ARCHIVE_INTERVALS = (1, 5, 15, 30, 60, 240, 720, 1440)

# How much is read at a time: from disk into the decompressor, and thrown away while skipping to an offset.
# One mebibyte keeps system calls rare and the memory of many open members small.
READ_BYTES = 1 << 20

_CANDLES_NAME = re.compile(r"(?P<stem>.*)_(?P<minutes>\d+)", re.DOTALL)
_LOCAL_HEADER_BYTES = 30
_LOCAL_HEADER_SIGNATURE = b"PK\x03\x04"

# What zipfile, its decompressors and the disk raise on damaged input.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError)


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """One CSV file, lying in a folder or inside a zip; it can be pickled and opened in another process.

    `path` is what people are shown: the path as it was given, then `!` and the name inside the zip.
    `stem` names the pair as Kraken's file does (`XBTUSD`); `interval_minutes` is None for trades.
    `size` is in uncompressed bytes. `version` differs when the content may differ.
    """

    path: str
    stem: str
    interval_minutes: int | None
    size: int
    version: str
    files: tuple[Path, ...] = field(repr=False)
    entry: zipfile.ZipInfo | None = field(default=None, repr=False, compare=False)

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream positioned at the uncompressed `offset`; a zip member gets there by decompressing.

        Opening and reading raise ImportFileError when the file is gone, damaged or encrypted.
        """
        try:
            if self.entry is None:
                stream = self.files[0].open("rb")
                stream.seek(offset)
                return stream
            return io.BufferedReader(_EntryStream(self.path, open_joined(self.files), self.entry, offset))
        except DAMAGED as error:
            raise damaged(self.path, error) from error

    def verify(self) -> None:
        """Read a zip member to its end, where its checksum is: raises ImportFileError if it is damaged.

        Unpacking takes a small part of the time of an import, and rows of a damaged member cannot be told apart
        from good ones once they are in. A plain file has no checksum.
        """
        if self.entry is not None:
            with self.open() as stream:
                while stream.read(READ_BYTES):
                    pass


class _EntryStream(io.RawIOBase):
    """The bytes of one zip entry, with damage told as ImportFileError.

    The entry is found by its own header, so that opening one of twelve thousand members in a worker process
    does not read the archive's whole directory again.
    """

    def __init__(self, name: str, container: BinaryIO, entry: zipfile.ZipInfo, offset: int) -> None:
        self.name = name
        self._container = container
        try:
            _seek_to_content(container, entry)
            self._entry = zipfile.ZipExtFile(container, "r", entry, None, False)
            while offset > 0 and (skipped := len(self._entry.read(min(offset, READ_BYTES)))):
                offset -= skipped
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        try:
            chunk = self._entry.read(len(view))
        except DAMAGED as error:
            raise damaged(self.name, error) from error
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._container.close()
        super().close()


def _seek_to_content(container: BinaryIO, entry: zipfile.ZipInfo) -> None:
    """Leave `container` at the entry's first compressed byte, behind its local header."""
    container.seek(entry.header_offset)
    header = container.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(_LOCAL_HEADER_SIGNATURE):
        raise zipfile.BadZipFile("the entry is not where the directory says")
    name_bytes = int.from_bytes(header[26:28], "little")
    extra_bytes = int.from_bytes(header[28:30], "little")
    container.seek(name_bytes + extra_bytes, io.SEEK_CUR)


def name_of_csv(path: str, name: str) -> tuple[str, int | None]:
    """The pair's stem and the interval that a file name states: `XBTUSD_60.csv` gives ("XBTUSD", 60).

    Raises ImportFileError for a name without a pair and for an interval Kraken does not publish.
    """
    stem = PurePosixPath(name).stem
    match = _CANDLES_NAME.fullmatch(stem)
    minutes = int(match["minutes"]) if match else None
    stem = match["stem"] if match else stem
    if not stem.strip():
        raise refused(path, "has no pair in its name; rename it PAIR.csv or PAIR_INTERVAL.csv")
    if minutes is not None and minutes not in ARCHIVE_INTERVALS:
        known = " ".join(map(str, ARCHIVE_INTERVALS))
        raise refused(path, f"names interval {minutes}, but Kraken publishes {known}; rename it")
    return stem, minutes


def refused(path: str | Path, sentence: str) -> ImportFileError:
    """The one shape of an archive's refusal: the file, then what is wrong with it and what to do."""
    return ImportFileError(f"it {sentence}.", file=str(path))


def damaged(path: str | Path, error: Exception) -> ImportFileError:
    """The refusal for bytes that cannot be read."""
    return refused(path, f"cannot be read ({error}); check the disk, or download it again")
