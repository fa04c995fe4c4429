"""Cut an archive's blocks where a unit of minutes ends, so that no stored bucket is folded from half its trades."""

from collections.abc import Iterator
from typing import BinaryIO

import polars as pl

from krakendata.ingest.takeover import NS_PER_UNIT
from krakendata.kraken.archives import Layout, RawBlock, blocks

# About 25,000 rows: the work per block outweighs its overhead, and several files in flight stay under the 300 MB
# that the importing processes may take together.
BLOCK_BYTES = 1 << 20


def with_last(stream: BinaryIO, layout: Layout, offset: int, line: int) -> Iterator[tuple[RawBlock, bool]]:
    """The blocks of a stream, each with whether it is the file's last."""
    waiting: RawBlock | None = None
    for block in blocks(stream, layout, offset, line, BLOCK_BYTES):
        if waiting is not None:
            yield waiting, False
        waiting = block
    if waiting is not None:
        yield waiting, True


def joined(carried: RawBlock | None, block: RawBlock) -> RawBlock:
    """The block with the lines that the one before left to it."""
    if carried is None:
        return block
    return RawBlock(carried.data + block.data, carried.offset, block.end_offset, carried.first_line)


def unit_cut(frame: pl.DataFrame, block: RawBlock) -> int | None:
    """The number of the first line of the block's last unit of minutes; None where the block cannot be cut there.

    It cannot if the whole block is one unit, if the rows are not in time order, or if its lines end in two ways,
    because then a line's offset in the file is unknown.
    """
    if frame.is_empty() or _dropped_per_line(block) is None:
        return None
    unit = frame["ns"] // NS_PER_UNIT
    if not unit.is_sorted() or unit[0] == unit[-1]:
        return None
    return int(frame.filter(unit == unit[-1])["line"][0])


def split(block: RawBlock, line: int) -> tuple[RawBlock, RawBlock]:
    """The block before the line with this number, and the rest."""
    behind = block.next_line - line
    head = block.data.rsplit(b"\n", behind + 1)[0] + b"\n"
    edge = block.offset + len(head) + head.count(b"\n") * (_dropped_per_line(block) or 0)
    return (
        RawBlock(head, block.offset, edge, block.first_line),
        RawBlock(block.data[len(head) :], edge, block.end_offset, line),
    )


def _dropped_per_line(block: RawBlock) -> int | None:
    """How many bytes the file has more at the end of each line than the block: CR LF came down to LF."""
    dropped = block.end_offset - block.offset - len(block.data)
    if dropped == 0:
        return 0
    return 1 if dropped == block.data.count(b"\n") else None
