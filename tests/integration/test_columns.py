"""Columns out of a real database: the rows of get_candles, exactly, with the same coverage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest
from psycopg import AsyncConnection

from krakendata.errors import IncompleteData, NotConnectedError, NotExact, UnknownSymbol
from krakendata.filling import Fill
from krakendata.gaps import Coverage, Stretch
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.types import INTERVALS, Candle
from tests.fix_history import History
from tests.fix_storage import FENCE, TRADES_LINE, Store
from tests.fix_traded import A_LITTLE_MORE, record_ids

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# The vwap is a quotient: a double in any case.
EXACT = [name for name in Candle._fields if name not in ("symbol", "vwap")]


@pytest.fixture
async def provider(history: History) -> AsyncIterator[HistoricalDataProvider]:
    async with HistoricalDataProvider(history.database, clock=history.clock) as connected:
        yield connected


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/USD", "ADA/USD", "DOGE/USD"])
async def test_columns_are_the_candles_exactly(
    symbol: str, interval: str, provider: HistoricalDataProvider
) -> None:
    candles = await provider.get_candles(symbol, interval)
    columns = await provider.get_candle_columns(symbol, interval, exact=True)
    assert (columns.symbol, columns.interval, columns.coverage) == (
        symbol,
        candles.interval,
        candles.coverage,
    )
    assert columns.table.column_names == list(Candle._fields[1:])
    assert [tuple(row[name] for name in EXACT) for row in columns.table.to_pylist()] == [
        tuple(getattr(candle, name) for name in EXACT) for candle in candles
    ]


@pytest.mark.parametrize("fill", ["flat", "null"])
@pytest.mark.parametrize("interval", ["1m", "1h", "2h", "3d", "1mo"])
async def test_filled_and_folded_candles_are_those_of_the_provider(
    interval: str, fill: Fill, provider: HistoricalDataProvider, history: History
) -> None:
    asked = history.start - DAY, history.now
    candles = await provider.get_candles("BTC/USD", interval, *asked, fill=fill)
    columns = await provider.get_candle_columns("BTC/USD", interval, *asked, fill=fill, exact=True)
    assert [tuple(row[name] for name in EXACT) for row in columns.table.to_pylist()] == [
        tuple(getattr(candle, name) for name in EXACT) for candle in candles
    ]
    pieces = provider.iter_candle_columns("BTC/USD", interval, *asked, fill=fill, exact=True, rows=700)
    assert pl.concat([piece.to_polars() async for piece in pieces]).equals(columns.to_polars())


async def test_less_than_required_is_refused_before_the_first_piece(
    provider: HistoricalDataProvider, history: History
) -> None:
    asked = history.start - DAY, history.now
    with pytest.raises(IncompleteData, match="is not covered"):
        await provider.get_candle_columns("BTC/USD", "1h", *asked, require="complete")
    with pytest.raises(IncompleteData):
        await anext(provider.iter_candle_columns("BTC/USD", "1h", *asked, require="complete"))


async def test_floats_are_the_nearest_ones(provider: HistoricalDataProvider, history: History) -> None:
    asked = history.fence, history.fence + DAY
    candles = await provider.get_candles("XBTUSD", "1h", *asked)
    frame = (await provider.get_candle_columns("XBTUSD", "1h", *asked)).to_polars()
    assert frame["low"].to_list() == [float(candle.low) for candle in candles]
    assert frame["vwap"].to_list() == [float(candle.vwap or 0) for candle in candles]


async def test_only_the_columns_asked_for_come(provider: HistoricalDataProvider) -> None:
    columns = await provider.get_candle_columns("BTC/USD", "1h", columns=["close"])
    assert columns.table.column_names == ["timestamp", "close"]
    with pytest.raises(ValueError, match="no column 'price'"):
        await provider.get_candle_columns("BTC/USD", "1h", columns=["price"])


async def test_the_forming_candle_comes_only_when_asked_for(provider: HistoricalDataProvider) -> None:
    for include in (False, True):
        candles = await provider.get_candles("BTC/USD", "4h", include_open=include)
        columns = await provider.get_candle_columns("BTC/USD", "4h", include_open=include)
        assert columns.is_forming == (candles.forming is not None) == include
        assert columns.to_polars()["timestamp"][-1] == candles[-1].timestamp


@pytest.mark.parametrize("rows", [1, 7, 1_000, 100_000])
async def test_pieces_make_up_the_whole(
    rows: int, provider: HistoricalDataProvider, history: History
) -> None:
    asked = history.start - HOUR, history.start + 30 * HOUR
    whole = await provider.get_candle_columns("BTC/USD", "1h", *asked)
    pieces = [piece async for piece in provider.iter_candle_columns("BTC/USD", "1h", *asked, rows=rows)]
    assert max(len(piece) for piece in pieces) <= rows
    assert pl.concat([piece.to_polars() for piece in pieces]).equals(whole.to_polars())
    check_division([piece.coverage for piece in pieces], whole.coverage)


async def test_who_holds_a_piece_holds_up_nobody(provider: HistoricalDataProvider, history: History) -> None:
    async with aclosing(provider.iter_candle_columns("BTC/USD", "1m", rows=500)) as pieces:
        first = await anext(pieces)
        async with await AsyncConnection.connect(**history.database, autocommit=True) as other:
            # What a moving fence waits for: that nobody reads.
            await other.execute(
                "SET lock_timeout = '2s'; BEGIN; LOCK TABLE retention_lines IN ACCESS EXCLUSIVE MODE; COMMIT"
            )
            await other.execute("DELETE FROM candles WHERE symbol = 'BTC/USD'")
        rest = [len(piece) async for piece in pieces]
    assert len(first) > 0
    assert sum(rest) == 0


async def test_a_pair_without_data_gives_no_rows_and_a_hole(provider: HistoricalDataProvider) -> None:
    columns = await provider.get_candle_columns("DOGE/USD", "1h")
    assert len(columns) == 0
    assert columns.coverage.holes == (columns.coverage.asked,)
    (piece,) = [piece async for piece in provider.iter_candle_columns("DOGE/USD", "1h")]
    assert piece.coverage == columns.coverage


async def test_what_cannot_be_is_refused(provider: HistoricalDataProvider, history: History) -> None:
    with pytest.raises(UnknownSymbol):
        await provider.get_candle_columns("NOPE/NOPE", "1h")
    with pytest.raises(ValueError, match="has no time zone"):
        await provider.get_candle_columns("BTC/USD", "1h", history.fence.replace(tzinfo=None))
    with pytest.raises(ValueError, match="has no time zone"):
        await provider.get_trade_columns("BTC/USD", history.fence.replace(tzinfo=None))
    with pytest.raises(ValueError, match="rows is 0"):
        provider.iter_candle_columns("BTC/USD", "1h", rows=0)
    with pytest.raises(NotConnectedError):
        await HistoricalDataProvider(history.database).get_candle_columns("BTC/USD", "1h")


async def test_a_number_of_more_digits_than_a_column_holds_is_named(store: Store) -> None:
    price = Decimal("0.1234567890123456789")
    row = ("BTC/USD", FENCE, price, price, price, price, 1, price, 1, 1, 1, True)
    await store.stage([row])
    await record_ids(store, 1, 1, FENCE)
    async with HistoricalDataProvider(store.database, clock=lambda: FENCE + DAY) as provider:
        with pytest.raises(NotExact):
            await provider.get_candle_columns("BTC/USD", "1m", exact=True)
        assert (await provider.get_candle_columns("BTC/USD", "1m")).to_numpy()["open"].tolist() == [
            float(price)
        ]


# --- trades ------------------------------------------------------------------------------------------------


async def test_trades_come_by_time_and_id_exactly(traded: HistoricalDataProvider) -> None:
    columns = await traded.get_trade_columns("XBTUSD", exact=True)
    rows = columns.table.to_pylist()
    assert [row["trade_id"] for row in rows] == [-5, -4, *range(1, 101)]
    assert rows[0] == {
        "timestamp": TRADES_LINE, "trade_id": -5, "price": 7, "volume": 1, "side": None, "order_type": None,
    }  # fmt: skip
    assert [row["timestamp"] for row in rows[2:63]] == [TRADES_LINE + n * A_LITTLE_MORE for n in range(61)]
    assert (rows[3]["price"], rows[3]["volume"]) == (Decimal("1.125"), Decimal("0.00000001"))
    assert (rows[3]["side"], rows[3]["order_type"]) == ("buy", "market")


@pytest.mark.parametrize("rows", [1, 9, 102, 1_000])
async def test_pieces_of_trades_leave_none_out_where_many_share_a_time(
    rows: int, traded: HistoricalDataProvider
) -> None:
    whole = await traded.get_trade_columns("BTC/USD", columns=["price", "volume"])
    pieces = [
        each async for each in traded.iter_trade_columns("BTC/USD", columns=["price", "volume"], rows=rows)
    ]
    assert max(len(piece) for piece in pieces) <= rows
    assert pl.concat([piece.to_polars() for piece in pieces]).equals(whole.to_polars())
    check_division([piece.coverage for piece in pieces], whole.coverage)


async def test_the_end_of_trades_is_out(traded: HistoricalDataProvider) -> None:
    asked = TRADES_LINE + timedelta(seconds=10), TRADES_LINE + timedelta(seconds=12)
    columns = await traded.get_trade_columns("BTC/USD", *asked)
    assert columns.to_numpy()["trade_id"].tolist() == [11, 12]
    assert columns.coverage == Coverage(Stretch(*asked), proven=(Stretch(*asked),))


async def test_trades_that_are_no_longer_stored_are_a_hole(traded: HistoricalDataProvider) -> None:
    columns = await traded.get_trade_columns("BTC/USD", TRADES_LINE - DAY, TRADES_LINE + timedelta(seconds=1))
    assert columns.coverage.holes == (Stretch(TRADES_LINE - DAY, TRADES_LINE),)


def check_division(parts: list[Coverage], whole: Coverage) -> None:
    """The coverages of the pieces join to that of the whole."""
    assert [part.asked.start for part in parts[1:]] == [part.asked.end for part in parts[:-1]]
    assert (parts[0].asked.start, parts[-1].asked.end) == whole.asked
    for kind in ("proven", "provisional", "holes"):
        cut = [each for part in parts for each in getattr(part, kind)]
        total = sum((each.end - each.start for each in cut), timedelta())
        assert total == sum((each.end - each.start for each in getattr(whole, kind)), timedelta())
