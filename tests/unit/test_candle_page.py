"""A page of candles for a stretch: what lies outside is left out, good or bad, and no rejection is lost."""

from datetime import UTC, datetime, timedelta

from krakendata.gaps import Stretch
from krakendata.ingest.candle_page import candle_page_block
from krakendata.storage.ledger import Lines

NOW = datetime(2025, 11, 24, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STRETCH = Stretch(NOW.replace(second=0) - 10 * MINUTE, NOW.replace(second=0) - 5 * MINUTE)
LINES = Lines(NOW - timedelta(days=1), NOW - timedelta(days=1))


def row(minutes_ago: int, price: str = "5.0") -> tuple[object, ...]:
    start = int((NOW.replace(second=0) - minutes_ago * MINUTE).timestamp())
    return (start, price, "5.0", "5.0", "5.0", "5.0", "1.5", 3)


def test_a_rejected_candle_outside_the_stretch_is_left_out() -> None:
    block = candle_page_block([row(20, "x"), row(8), row(2, "x"), row(0)], "BTC/USD", STRETCH, LINES, NOW)
    assert block is not None
    assert (block.read, list(block.rejects)) == (1, [])


def test_rejected_candles_are_kept_where_no_good_one_is_left() -> None:
    block = candle_page_block([row(8, "x"), (None, "5"), row(0)], "BTC/USD", STRETCH, LINES, NOW)
    assert block is not None
    assert (block.read, len(block.rejects), block.candles) == (2, 2, None)


def test_a_page_without_anything_of_the_stretch_is_no_block() -> None:
    assert candle_page_block([row(20), row(20, "x"), row(0)], "BTC/USD", STRETCH, LINES, NOW) is None
