"""Replayed records as blocks: what is new, what is held by now, and what has to wait."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from krakendata.gaps import IdRange
from krakendata.ingest.reject_blocks import candle_block, close_together, trades_block
from krakendata.storage.ledger import HeldRun, Holdings, Lines
from krakendata.storage.reject_decisions import Replay, Replays
from krakendata.types import HistoricalCandle, Source, Trade, moment_of, ns_of
from tests.fix_storage import FENCE, NOW, TRADES_LINE

LINES = Lines(TRADES_LINE, FENCE)
BY = Replays("ada", (), "mended")
HOUR = timedelta(hours=1)


def trade(number: int, at: timedelta = timedelta(0)) -> Trade:
    return Trade("BTC/USD", number, ns_of(NOW - HOUR + at), Decimal(100), Decimal(1), "buy", "limit")


def run(first: int, last: int, *, stored: bool = True) -> HeldRun:
    moment = ns_of(NOW - HOUR)
    return HeldRun(first, last, moment, moment, last - first + 1, "rest", stored)


def test_a_refused_trade_between_held_ones_is_stored() -> None:
    held = Holdings([run(1, 4), run(6, 9)], [IdRange(5, 5)])
    block, left = trades_block("BTC/USD", Source.REST, [(31, trade(5))], held, LINES, BY)
    assert left == []
    assert block is not None
    assert block.replays == Replays("ada", [Replay(31, "stored", 5)], "mended")
    assert (block.read, block.advanced, block.held_trades) == (1, 1, 8)
    assert block.trades is not None
    assert [(each.first_id, each.last_id, each.source) for each in block.trades.runs] == [(5, 5, "rest")]


def test_what_is_held_and_what_comes_twice_are_duplicates() -> None:
    held = Holdings([run(1, 4)])
    records = [(31, trade(3)), (32, trade(5)), (33, trade(5))]
    block, left = trades_block("BTC/USD", Source.ARCHIVE, records, held, LINES, BY)
    assert left == []
    assert block is not None
    assert block.replays is not None
    assert [each[:2] for each in block.replays.records] == [
        (31, "duplicate"),
        (32, "stored"),
        (33, "duplicate"),
    ]


def test_nothing_new_is_a_block_without_trades() -> None:
    block, left = trades_block("BTC/USD", Source.REST, [(31, trade(3))], Holdings([run(1, 4)]), LINES, BY)
    assert left == []
    assert block is not None
    assert (block.trades, block.read) == (None, 1)


@pytest.mark.parametrize(("source", "waits"), [(Source.REST, True), (Source.ARCHIVE, False)])
def test_behind_the_retention_a_page_brings_whole_minutes_only(source: Source, waits: bool) -> None:
    old = Trade("BTC/USD", 5, ns_of(TRADES_LINE - HOUR), Decimal(100), Decimal(1))
    records = [(31, old), (32, old)]
    block, left = trades_block("BTC/USD", source, records, Holdings(), LINES, BY)
    assert (block is None, left) == (waits, [31, 32] if waits else [])
    if block is not None and block.replays is not None:
        assert [each.outcome for each in block.replays.records] == ["folded", "duplicate"]


def test_trades_far_apart_are_blocks_of_their_own() -> None:
    records = [(1, trade(9, 3 * HOUR)), (2, trade(1)), (3, trade(2, HOUR))]
    assert [[number for number, _ in each] for each in close_together(records)] == [[2, 3], [1]]
    assert list(close_together([])) == []


def test_a_candle_covers_the_time_since_the_one_before_it_in_its_file() -> None:
    start = NOW.replace(second=0)
    candle = HistoricalCandle(
        "BTC/USD", 1, start, Decimal(1), Decimal(2), Decimal(1), Decimal(1), Decimal(3), None, 2
    )
    before = int((start - HOUR).timestamp())
    block = candle_block(31, candle, before, LINES, BY)
    assert block.candles is not None
    assert block.candles.follows == start - HOUR == moment_of(before * 10**9)
    assert block.replays == Replays("ada", [Replay(31)], "mended")
    first = candle_block(31, candle, 0, LINES, BY)
    assert first.candles is not None
    assert first.candles.follows is None


def test_a_minute_without_trades_is_no_record() -> None:
    one, zero = Decimal(1), Decimal(0)
    candle = HistoricalCandle("BTC/USD", 1, NOW.replace(second=0), one, one, one, one, zero, zero, 0)
    assert candle_block(31, candle, None, LINES, BY).candles is None
