"""One archive file as blocks for the door: read, judged, compared with the ledger and shaped."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from krakendata.gaps import IdRange
from krakendata.ingest.blocks import joined, split, unit_cut, with_last
from krakendata.ingest.candle_rows import NUMBERS, CandleRows, read_candles
from krakendata.ingest.doubtful_rows import PlacedRejection
from krakendata.ingest.import_plan import PlannedFile
from krakendata.ingest.trade_blocks import trade_block
from krakendata.ingest.trade_frame import TradeRows
from krakendata.ingest.trade_rows import read_trades, refuse_late
from krakendata.ingest.trade_shapes import csv_bytes, new_trades, shape_trades
from krakendata.kraken.archives import RawBlock
from krakendata.storage.bulk import Block, CandleBlock, FileProgress
from krakendata.storage.import_files import FilePosition
from krakendata.storage.ledger import Holdings, Lines
from krakendata.storage.rejects import Reject
from krakendata.types import EPOCH, Source, archive_trade_id

# Rows of archives without ids are a source of their own: their runs never join exact ones.
IDLESS = "archive without ids"

# What the first row of an archive without ids follows.
BEFORE_ALL = archive_trade_id(0, 0)


def file_blocks(
    file: PlannedFile, position: FilePosition, held: Holdings, lines: Lines, now: datetime
) -> Generator[Block, None, None]:
    """Yield the file's blocks from `position` on; the last one says so, also in a file without rows.

    `held` is the ledger of the file's symbol and is kept up with what is yielded. Raises ImportFileError where the
    file is damaged.
    """
    with file.member.open(position.offset) as stream:
        raw_blocks = with_last(stream, file.layout, position.offset, position.line)
        if file.layout.kind == "trades":
            yield from _trade_blocks(file, raw_blocks, position, held, lines, now)
        else:
            yield from _candle_blocks(file, raw_blocks, position, lines, now)


def _trade_blocks(
    file: PlannedFile,
    raw_blocks: Iterator[tuple[RawBlock, bool]],
    position: FilePosition,
    held: Holdings,
    lines: Lines,
    now: datetime,
) -> Iterator[Block]:
    source = str(Source.ARCHIVE) if "trade_id" in file.layout.columns else IDLESS
    last_id, carried, done = position.last_id, None, position.offset
    for raw, is_last in raw_blocks:
        block = joined(carried, raw)
        rows = read_trades(block, file.layout, file.symbol, now, last_id)
        if last_id is not None:
            rows = refuse_late(rows, block, last_id)
        carried = None
        cut = None if is_last else unit_cut(rows.frame, block)
        next_id = None
        if cut is not None:
            next_id = int(rows.frame.filter(pl.col("line") >= cut)["trade_id"][0])
            block, carried = split(block, cut)
            rows = _before_line(rows, cut, carried)
        rejected = (placed.trade_id for placed in rows.rejections)
        held.add_answers(IdRange(number, number) for number in rejected if number is not None)
        shaped = shape_trades(
            new_trades(rows.frame, held),
            file.symbol,
            held,
            lines,
            source=source,
            follows=last_id if source == IDLESS else None,
            next_id=next_id,
        )
        rejects = _rejects(rows.rejections, file)
        if source == IDLESS:
            rejects = _placed_behind(
                rejects, rows.frame, "trade_id", BEFORE_ALL if last_id is None else last_id
            )
        if source == IDLESS and not rows.frame.is_empty():
            last_id = int(rows.frame["trade_id"][-1])
        progress = FileProgress(file.key, block.end_offset, block.next_line, is_last, last_id)
        advanced, done = block.end_offset - done, block.end_offset
        yield Block(
            file.symbol,
            lines,
            rows.read,
            trades=trade_block(shaped, held),
            rejects=rejects,
            progress=progress,
            advanced=advanced,
        )
    if done == position.offset:
        yield _empty(file, position, lines)


def _before_line(rows: TradeRows, line: int, behind: RawBlock) -> TradeRows:
    """The rows before a line number; those behind it are read again with the next block."""
    return TradeRows(
        rows.frame.filter(pl.col("line") < line),
        [placed for placed in rows.rejections if placed.line < line],
        rows.read - sum(bool(text.strip()) for text in behind.data.split(b"\n")),
    )


def _candle_blocks(
    file: PlannedFile,
    raw_blocks: Iterator[tuple[RawBlock, bool]],
    position: FilePosition,
    lines: Lines,
    now: datetime,
) -> Iterator[Block]:
    minutes = file.member.interval_minutes or 1
    last_start, done = position.last_start, position.offset
    for raw, is_last in raw_blocks:
        rows = read_candles(raw, file.layout, file.symbol, minutes, now)
        candles = _candle_block(rows, file.symbol, minutes, last_start)
        before = 0 if last_start is None else int(last_start.timestamp())
        rejects = _placed_behind(_rejects(rows.rejections, file), rows.frame, "second", before)
        last_start = candles.last if candles is not None else last_start
        progress = FileProgress(file.key, raw.end_offset, raw.next_line, is_last, last_start=last_start)
        advanced, done = raw.end_offset - done, raw.end_offset
        yield Block(
            file.symbol, lines, rows.read, candles=candles, rejects=rejects,
            progress=progress, advanced=advanced,
        )  # fmt: skip
    if done == position.offset:
        yield _empty(file, position, lines)


def _candle_block(
    rows: CandleRows, symbol: str, minutes: int, last_start: datetime | None
) -> CandleBlock | None:
    frame = rows.frame
    if frame.is_empty():
        return None
    none = pl.lit(None, pl.String)
    text = frame.select(
        pl.lit(symbol).alias("symbol"),
        pl.from_epoch("second").dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("timestamp"),
        *NUMBERS,
        none.alias("turnover"),
        "trade_count",
        none.alias("first_id"),
        none.alias("last_id"),
    )
    first, last = (EPOCH + timedelta(seconds=int(frame["second"][place])) for place in (0, -1))
    return CandleBlock(minutes, csv_bytes(text), frame.height, first, last, last_start)


def _rejects(rejections: list[PlacedRejection], file: PlannedFile) -> list[Reject]:
    layout = ",".join(file.layout.columns)
    minutes = (file.member.interval_minutes or 1) if file.layout.kind == "candles" else None
    return [
        Reject(placed.rejection, file.member.path, placed.line, placed.trade_id, layout, minutes)
        for placed in rejections
    ]


def _placed_behind(rejects: list[Reject], frame: pl.DataFrame, column: str, before: int) -> list[Reject]:
    """The rejects, each with `column` of the last row that was taken before its line; `before` where there is none."""
    if not rejects:
        return rejects
    taken = frame.select("line", column).sort("line")
    places = taken["line"].search_sorted(pl.Series([each.line for each in rejects], dtype=pl.Int64)).to_list()
    known = [before, *taken[column].to_list()]
    return [replace(each, follows=known[place]) for each, place in zip(rejects, places, strict=True)]


def _empty(file: PlannedFile, position: FilePosition, lines: Lines) -> Block:
    """A file without rows, or without any behind the place where an import was stopped, is done all the same."""
    progress = FileProgress(
        file.key, position.offset, position.line, True, position.last_id, position.last_start
    )
    return Block(file.symbol, lines, 0, progress=progress)
