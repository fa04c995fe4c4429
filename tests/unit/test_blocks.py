"""Blocks are cut where five minutes end, and no line is lost or read twice."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.ingest import blocks as ingest_blocks
from krakendata.ingest.blocks import joined, split, unit_cut, with_last
from krakendata.kraken.archive_layouts import COLUMNS
from krakendata.kraken.archives import Layout, RawBlock
from tests.unit.archive_lines import raw_block

LAYOUT = Layout("trades", COLUMNS["A"], False, "A")
NOON_NS = int(datetime(2025, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9
SECOND = 10**9


def frame_at(*seconds: int) -> pl.DataFrame:
    """Trades at these seconds, in lines 1, 2, …"""
    return pl.DataFrame(
        {"line": range(1, len(seconds) + 1), "ns": [NOON_NS + second * SECOND for second in seconds]}
    )


def block_of(count: int) -> RawBlock:
    return raw_block([f"line {number}" for number in range(1, count + 1)])


def test_a_block_is_cut_before_its_last_five_minutes() -> None:
    assert unit_cut(frame_at(0, 299, 300, 301), block_of(4)) == 3


@pytest.mark.parametrize(
    "seconds", [(0, 1, 299), (400, 0, 700), ()], ids=["one unit", "out of order", "no rows"]
)
def test_a_block_without_a_clean_edge_is_not_cut(seconds: tuple[int, ...]) -> None:
    assert unit_cut(frame_at(*seconds), block_of(len(seconds))) is None


def test_a_block_with_two_kinds_of_line_ends_is_not_cut() -> None:
    block = block_of(2)
    assert unit_cut(frame_at(0, 300), RawBlock(block.data, 0, block.end_offset + 1, 1)) is None


def test_a_block_of_lines_that_ended_in_two_characters_is_cut_at_the_files_own_offset() -> None:
    block = block_of(2)
    translated = RawBlock(block.data, 0, block.end_offset + 2, 1)
    assert unit_cut(frame_at(0, 300), translated) == 2
    head, rest = split(translated, 2)
    assert (head.data, head.end_offset) == (b"line 1\n", len(b"line 1\r\n"))
    assert (rest.data, rest.offset, rest.end_offset) == (b"line 2\n", head.end_offset, translated.end_offset)


@given(st.lists(st.text("ab,", max_size=5), min_size=2, max_size=9), st.data())
def test_a_split_block_joins_again(lines: list[str], data: st.DataObject) -> None:
    block = RawBlock(
        "".join(f"{line}\n" for line in lines).encode(), 700, 700 + sum(len(line) + 1 for line in lines), 31
    )
    at = data.draw(st.integers(32, 30 + len(lines)))
    head, rest = split(block, at)
    assert (head.data + rest.data, head.end_offset, head.next_line) == (
        block.data,
        rest.offset,
        rest.first_line,
    )
    assert (rest.first_line, rest.end_offset) == (at, block.end_offset)
    assert joined(head, rest) == block


def test_nothing_carried_leaves_a_block_as_it_is() -> None:
    block = block_of(2)
    assert joined(None, block) is block


def test_only_the_last_block_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_blocks, "BLOCK_BYTES", 20)
    stream = io.BytesIO(b"1700000000,1,1\n" * 4)
    lasts = [is_last for _, is_last in with_last(stream, LAYOUT, 0, 1)]
    assert lasts == [False] * (len(lasts) - 1) + [True]
    assert len(lasts) > 1


def test_an_empty_stream_has_no_blocks() -> None:
    assert list(with_last(io.BytesIO(b""), LAYOUT, 0, 1)) == []
