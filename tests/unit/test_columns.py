"""Lines of text become Arrow columns, and these what the caller wants; exact is exact."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.columns.lines import CANDLE_COLUMNS, TRADE_COLUMNS, schema_of, table_of
from krakendata.columns.reading import windows
from krakendata.columns.tables import CandleColumns, TradeColumns
from krakendata.errors import NotExact, NotInstalled
from krakendata.gaps import Coverage, Ledger, Stretch
from krakendata.intervals import any_interval_of, bucket_starts, next_bucket
from krakendata.types import interval_of, ns_of

START = datetime(2024, 1, 1, tzinfo=UTC)
MICROSECONDS = ns_of(START) // 1_000
# A candle built from trades, and one of an archive.
CANDLES = (
    f"{MICROSECONDS},42000.1,42010,41999.9,42005,0.12345678,42002.5,7,5185.49,11,17,0\n"
    f"{MICROSECONDS + 60_000_000},42005,42006,42004,42005.5,1,,3,,,,1"
).encode()
TRADES = f"{MICROSECONDS},-5,42000.1,0.5,,\n{MICROSECONDS},9,42000.1,0.5,buy,market\n".encode()
COVERAGE = Coverage(Stretch(START, START + timedelta(minutes=2)))


def candles(*, exact: bool = False, names: list[str] | None = None) -> CandleColumns:
    schema = schema_of(CANDLE_COLUMNS, None, exact=exact)
    table = table_of(CANDLES, schema).select(names or schema.names)
    return CandleColumns("BTC/USD", COVERAGE, table, Ledger(), interval_of("1m"))


def trades() -> TradeColumns:
    return TradeColumns(
        "BTC/USD", COVERAGE, table_of(TRADES, schema_of(TRADE_COLUMNS, None, exact=False)), Ledger()
    )


def test_arrow_has_aware_times_doubles_and_nulls() -> None:
    first, second = candles().to_arrow().to_pylist()
    assert first["timestamp"] == START
    assert first["timestamp"].utcoffset() == timedelta(0)
    assert (first["volume"], first["vwap"], first["first_id"]) == (0.12345678, 42002.5, 11)
    assert (second["vwap"], second["turnover"], second["last_id"], second["coarse"]) == (
        None,
        None,
        None,
        True,
    )


def test_exact_columns_have_the_decimals_as_they_were_written() -> None:
    table = candles(exact=True).to_arrow()
    assert table.schema.field("volume").type == pa.decimal128(38, 18)
    assert table["volume"].to_pylist() == [Decimal("0.12345678"), Decimal(1)]
    assert table.schema.field("vwap").type == pa.float64()


@given(st.decimals(min_value=0, max_value=10**19, allow_nan=False, places=18))
def test_every_number_of_eighteen_decimals_is_exact(number: Decimal) -> None:
    schema = schema_of(CANDLE_COLUMNS, ["timestamp", "open"], exact=True)
    assert table_of(f"0,{number:f}".encode(), schema)["open"].to_pylist() == [number]


@given(st.decimals(min_value=0, max_value=10**19, allow_nan=False, places=18))
def test_a_double_is_the_nearest_there_is(number: Decimal) -> None:
    schema = schema_of(CANDLE_COLUMNS, ["open"], exact=False)
    assert table_of(f"0,{number:f}".encode(), schema)["open"].to_pylist() == [float(number)]


@pytest.mark.parametrize("number", ["0.1234567890123456789", "123456789012345678901.5"])
def test_more_digits_than_a_column_holds_are_refused(number: str) -> None:
    with pytest.raises(NotExact, match="18 decimals"):
        table_of(f"0,{number}".encode(), schema_of(CANDLE_COLUMNS, ["open"], exact=True))


def test_columns_come_as_named_behind_the_time_and_once() -> None:
    assert schema_of(CANDLE_COLUMNS, ["close", "timestamp", "close"], exact=False).names == [
        "timestamp",
        "close",
    ]


def test_a_column_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no column 'price'; there are timestamp, open"):
        schema_of(CANDLE_COLUMNS, ["price"], exact=False)


def test_polars_has_the_same_rows_and_types() -> None:
    frame = candles(exact=True).to_polars()
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert frame.schema["close"] == pl.Decimal(38, 18)
    assert frame["close"].to_list() == [Decimal(42005), Decimal("42005.5")]


def test_pandas_is_indexed_by_time_and_has_no_objects() -> None:
    frame = candles().to_pandas()
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert (frame.index.name, str(frame.index.tz), frame.index[0]) == ("timestamp", "UTC", START)
    assert (frame["close"].dtype, frame["trade_count"].dtype) == (np.dtype("float64"), np.dtype("int64"))
    assert frame["first_id"].tolist() == [11, pd.NA]
    assert np.isnan(frame["vwap"].iloc[1])
    for each in (frame, candles(exact=True).to_pandas(), trades().to_pandas()):
        assert object not in set(each.dtypes)


def test_pandas_keeps_exact_numbers_exact() -> None:
    assert candles(exact=True).to_pandas()["low"].tolist() == [Decimal("41999.9"), Decimal(42004)]


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NotInstalled, match=r"pip install 'krakendata\[pandas\]'"):
        candles().to_pandas()
    assert candles().to_polars().height == 2


def test_numpy_has_an_array_a_column() -> None:
    arrays = candles().to_numpy()
    assert arrays["timestamp"].dtype == np.dtype("datetime64[us]")
    assert arrays["timestamp"][0] == np.datetime64("2024-01-01T00:00")
    assert arrays["close"].tolist() == [42005.0, 42005.5]
    assert arrays["first_id"].tolist() == [11, 0]
    assert np.isnan(arrays["turnover"][1])
    assert arrays["coarse"].tolist() == [False, True]


def test_numpy_has_words_without_an_object_each() -> None:
    side = trades().to_numpy()["side"]
    assert (side.dtype.kind, side.tolist()) == ("U", ["", "buy"])


def test_numpy_refuses_exact_numbers() -> None:
    with pytest.raises(ValueError, match="NumPy has no exact decimals, as open is"):
        candles(exact=True).to_numpy()


@pytest.mark.parametrize("exact", [False, True])
def test_no_rows_have_the_same_types(exact: bool) -> None:
    full = candles(exact=exact)
    empty = CandleColumns("BTC/USD", COVERAGE, full.table.slice(0, 0), Ledger(), full.interval)
    assert empty.to_polars().schema == full.to_polars().schema
    assert empty.to_pandas().dtypes.equals(full.to_pandas().dtypes)


def test_an_answer_shows_what_it_is() -> None:
    assert repr(candles()) == "<CandleColumns BTC/USD 1m: 2 from 2024-01-01 00:00 to 2024-01-01 00:02>"
    assert repr(trades()) == "<TradeColumns BTC/USD: 2 from 2024-01-01 00:00 to 2024-01-01 00:02>"


@given(st.integers(0, 3_000), st.integers(1, 700), st.sampled_from(["1m", "45m", "1w", "1mo", "3mo"]))
def test_windows_divide_a_stretch_and_hold_no_more_than_so_many_buckets(
    count: int, rows: int, name: str
) -> None:
    interval = any_interval_of(name)
    end = START
    for _ in range(count):
        end = next_bucket(end, interval)
    parts = list(windows(Stretch(START, end), interval, rows))
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert (parts[0].start, parts[-1].end) == (START, end)
    counts = [len(list(bucket_starts(part, interval))) for part in parts]
    assert sum(counts) == count
    assert max(counts) <= rows
    assert all(counts) or count == 0


def test_windows_may_be_longer_than_the_calendar() -> None:
    stretch = Stretch(START, START + timedelta(weeks=1))
    assert list(windows(stretch, interval_of("1w"), 10**12)) == [stretch]
