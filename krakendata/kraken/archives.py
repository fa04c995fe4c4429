"""Kraken's downloadable archives, read in place: find the CSVs, tell their layout, cut them into blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from krakendata.kraken.archive_files import find_members
from krakendata.kraken.archive_layouts import SNIFF_BYTES, Layout, sniff
from krakendata.kraken.archive_members import ArchiveMember, refused

__all__ = [
    "BLOCK_BYTES",
    "SNIFF_BYTES",
    "ArchiveMember",
    "Layout",
    "RawBlock",
    "blocks",
    "find_members",
    "sniff",
]

# What one block holds: about 100,000 rows, so that the work per block outweighs its overhead a thousandfold
# while a few blocks in flight stay far below the importer's 300 MB.
BLOCK_BYTES = 4 << 20

# A row has under 200 bytes; a line this long is some other file, and must not be gathered in memory.
MAX_LINE_BYTES = 1 << 20

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class RawBlock:
    """Whole rows as bytes, each ending in a single LF.

    `offset` and `end_offset` say where in the uncompressed file the block lies; `first_line` counts from 1,
    the header included. Resuming at (`end_offset`, `next_line`) yields exactly the blocks that follow.
    """

    data: bytes
    offset: int
    end_offset: int
    first_line: int

    @property
    def next_line(self) -> int:
        """The number of the first line behind this block."""
        return self.first_line + self.data.count(b"\n")


def blocks(
    stream: BinaryIO, layout: Layout, offset: int = 0, line: int = 1, target_bytes: int = BLOCK_BYTES
) -> Iterator[RawBlock]:
    """The rows of `stream`, already positioned at `offset` where line number `line` begins.

    A header and a byte order mark are left out, CRLF becomes LF, a last line without an end gets one, and
    blank lines at the end of the file do not count. Where a block ends depends on where it starts and on
    `target_bytes` alone. Raises ImportFileError for damaged bytes and for a line over MAX_LINE_BYTES.
    """
    waiting = b""
    while True:
        waiting, cut = _read_rows(stream, waiting, target_bytes, offset, line)
        if cut == 0:
            return
        raw, waiting = waiting[:cut], waiting[cut:]
        block = _block(raw, layout, offset, line)
        offset += cut
        line += raw.count(b"\n")
        if block.data:
            yield block


def _read_rows(stream: BinaryIO, waiting: bytes, target: int, offset: int, line: int) -> tuple[bytes, int]:
    """The bytes at hand after reading to `target`, and how many of them are whole rows (0: the end)."""
    wanted = max(target, 1)
    while True:
        missing = max(wanted - len(waiting), 0)
        read = _read_exactly(stream, missing)
        at_end = len(read) < missing
        waiting += read
        cut = _end_of_rows(waiting, at_end)
        if cut or at_end:
            return waiting, cut
        if wanted > target + MAX_LINE_BYTES:
            name = str(getattr(stream, "name", "archive"))
            raise refused(name, f"has no line end for {wanted:,} bytes after line {line} (byte {offset:,})")
        wanted += max(target, 1)


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    """`count` bytes, or fewer at the end of the file only."""
    data = stream.read(count)
    while 0 < len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data


def _end_of_rows(data: bytes, at_end: bool) -> int:
    """Where the last whole row in `data` ends; blank lines behind it wait: they may be the file's last."""
    whole = len(data) if at_end else data.rfind(b"\n") + 1
    content = len(data[:whole].rstrip(b"\r\n"))
    if content == 0:
        return 0
    end = data.find(b"\n", content, whole)
    return whole if end < 0 else end + 1


def _block(raw: bytes, layout: Layout, offset: int, line: int) -> RawBlock:
    """`raw` without what is not a row, and with the line ends that the readers expect."""
    data, start, first_line = raw, offset, line
    if offset == 0:
        header, line_end, _ = raw.partition(b"\n")
        skipped = len(header + line_end) if layout.has_header else len(_BOM) * raw.startswith(_BOM)
        data, start, first_line = raw[skipped:], skipped, line + layout.has_header
    if data and not data.endswith(b"\n"):
        data += b"\n"
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    return RawBlock(data, start, offset + len(raw), first_line)
