"""The provider's light candle, and the sequence that carries the coverage."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from krakendata.errors import NotConnectedError
from krakendata.gaps import Coverage, Stretch
from krakendata.historical_provider import Candle, Candles, HistoricalDataProvider
from krakendata.storage.sql import query
from krakendata.types import INTERVALS

START = datetime(2024, 3, 4, tzinfo=UTC)
ROW = (
    "BTC/USD", START, Decimal("1"), Decimal("4"), Decimal("0.5"), Decimal("2"), Decimal("10"), Decimal("1.5"),
    7, Decimal("15"), 101, 107, False,
)  # fmt: skip


def answer(count: int) -> Candles:
    candles = tuple(Candle.from_row((ROW[0], START + n * timedelta(hours=1), *ROW[2:])) for n in range(count))
    asked = Stretch(START, START + count * timedelta(hours=1))
    return Candles("BTC/USD", INTERVALS["1h"], candles, Coverage(asked, proven=(asked,)))


def test_a_row_becomes_a_candle_column_by_column() -> None:
    candle = Candle.from_row(ROW)
    assert tuple(candle) == ROW
    assert (candle.symbol, candle.timestamp, candle.coarse) == ("BTC/USD", START, False)
    assert (candle.vwap, candle.trade_count, candle.turnover) == (Decimal("1.5"), 7, Decimal(15))
    assert Candle.from_rows([ROW, ROW]) == (candle, candle)


@pytest.mark.parametrize("name", ["candles_in_view", "candles_filled_null", "candles_filled_flat"])
def test_the_statements_give_the_columns_in_the_order_of_the_candle(name: str) -> None:
    columns = query(name).replace("\n", " ").partition("SELECT symbol, ")[2].partition(" FROM ")[0]
    assert tuple(re.sub(r"coalesce\([a-z, ]+\) AS ", "", f"symbol, {columns}").split(", ")) == Candle._fields


def test_a_candle_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Candle.from_row(ROW).close = Decimal(3)  # type: ignore[misc]


def test_an_answer_is_a_sequence_of_candles() -> None:
    candles = answer(3)
    assert len(candles) == 3
    assert candles[-1].timestamp == START + timedelta(hours=2)
    assert candles[1:] == tuple(candles)[1:]
    assert candles[0] in candles


def test_an_answer_says_what_it_is() -> None:
    assert repr(answer(2)) == "<Candles BTC/USD 1h: 2 from 2024-03-04 00:00 to 2024-03-04 02:00>"


async def test_reading_before_connect_says_what_to_call() -> None:
    provider = HistoricalDataProvider("postgresql://nobody@localhost/nothing")
    with pytest.raises(RuntimeError) as raised:
        await provider.get_candles("BTC/USD", "1h")
    assert str(raised.value) == ("HistoricalDataProvider not connected. Call await provider.connect() first.")
    assert isinstance(raised.value, NotConnectedError)
