"""Parts, layouts, files and the manifest of an export, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.columns.lines import EXACT, TIME
from krakendata.errors import ExportError
from krakendata.export.contents import Contents
from krakendata.export.files import UNFINISHED, Format, open_table_file
from krakendata.export.layouts import LAYOUTS
from krakendata.export.manifest import Entry, Manifest
from krakendata.export.parts import By, parts_of
from krakendata.gaps import Stretch
from krakendata.intervals import any_interval_of
from krakendata.types import Pair

START = datetime(2024, 1, 1, tzinfo=UTC)
TABLE = pa.table(
    {
        "timestamp": pa.array([START, START + timedelta(hours=1)], TIME),
        "open": [1.5, 2.0],
        "high": [3.0, 4.0],
        "low": [0.5, 1.0],
        "close": [2.0, 2.5],
        "volume": [10.0, 0.25],
    }
)
TRADES = pa.table(
    {
        "timestamp": pa.array([START, START + timedelta(microseconds=1999)], TIME),
        "trade_id": pa.array([-5, 9]),
        "price": [2.0, 3.0],
        "volume": [0.5, 2.0],
        "side": pa.array([None, "buy"], pa.string()),
        "order_type": pa.array([None, "limit"], pa.string()),
    }
)


def read(path: Path, kind: Format) -> pa.Table:
    match kind:
        case Format.PARQUET:
            return pyarrow.parquet.read_table(path)
        case Format.CSV:
            return pyarrow.csv.read_csv(path)
        case Format.FEATHER | Format.ARROW:
            return pyarrow.feather.read_table(path)


# --- parts -------------------------------------------------------------------------------------------------


@given(
    st.datetimes(datetime(2013, 9, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(0), timedelta(days=1500)),
    st.sampled_from([By.YEAR, By.MONTH]),
)
def test_parts_are_the_calendar_that_a_stretch_touches(start: datetime, length: timedelta, by: By) -> None:
    parts = list(parts_of(Stretch(start, start + length), by))
    stretches = [part for _, part in parts]
    assert [each.start for each in stretches[1:]] == [each.end for each in stretches[:-1]]
    assert [f"{each.start:{'%Y' if by is By.YEAR else '%Y-%m'}}" for each in stretches] == [
        name for name, _ in parts
    ]
    if length:
        assert stretches[0].start <= start < stretches[0].end
        assert stretches[-1].start < start + length <= stretches[-1].end


def test_one_part_is_the_whole_stretch() -> None:
    stretch = Stretch(START, START + timedelta(days=700))
    assert list(parts_of(stretch, By.ALL)) == [("all", stretch)]


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Format)
def test_a_file_holds_the_pieces_that_were_written(kind: Format, tmp_path: Path) -> None:
    path = tmp_path / "deep" / f"x.{kind}"
    with open_table_file(path, TABLE.schema, kind) as file:
        file.write_table(TABLE.slice(0, 1))
        assert not path.exists()
        file.write_table(TABLE.slice(1))
    assert read(path, kind).to_pydict() == TABLE.to_pydict()
    assert list(tmp_path.rglob(f"*{UNFINISHED}")) == []


@pytest.mark.parametrize("kind", [Format.PARQUET, Format.FEATHER, Format.ARROW])
def test_exact_numbers_stay_exact(kind: Format, tmp_path: Path) -> None:
    table = pa.table({"open": pa.array([Decimal("0.000000000000000001"), None], EXACT)})
    with open_table_file(tmp_path / "x", table.schema, kind) as file:
        file.write_table(table)
    assert read(tmp_path / "x", kind).equals(table)


@pytest.mark.parametrize("kind", Format)
def test_what_was_not_finished_leaves_the_old_file(kind: Format, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), open_table_file(path, TABLE.schema, kind) as file:
        file.write_table(TABLE)
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# --- layouts -----------------------------------------------------------------------------------------------

PAIR = Pair("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD", "BTC", "USD", "online", 1, 8)


def contents(kind: str = "1h", pair: Pair | None = PAIR) -> Contents:
    return Contents("BTC/USD", kind, "2024", Stretch(START, datetime(2025, 1, 1, tzinfo=UTC)), pair)


def trades_of(layout: str, table: pa.Table) -> pa.Table:
    make = LAYOUTS[layout].trades
    assert make is not None
    return make(table, contents("trades"))


def exact(table: pa.Table) -> pa.Table:
    """The same with decimals for floats."""
    kinds = [pa.field(each.name, EXACT if each.type == pa.float64() else each.type) for each in table.schema]
    return table.cast(pa.schema(kinds))


def test_plain_files_lie_in_folders() -> None:
    assert LAYOUTS["plain"].path(contents()) == "BTC_USD/1h/2024"
    assert LAYOUTS["plain"].path(contents("trades")) == "BTC_USD/trades/2024"


def test_freqtrade_gets_its_columns_and_milliseconds() -> None:
    table = LAYOUTS["freqtrade"].candles(TABLE, contents())
    assert table.column_names == ["date", "open", "high", "low", "close", "volume"]
    assert table.schema.field("date").type == pa.timestamp("ms", tz="UTC")
    assert LAYOUTS["freqtrade"].path(contents()) == "BTC_USD-1h"
    assert LAYOUTS["freqtrade"].path(contents("1mo")) == "BTC_USD-1Mo"


def test_freqtrade_gets_trades_with_times_cut_to_milliseconds() -> None:
    first, second = trades_of("freqtrade", TRADES).to_pylist()
    assert list(first) == ["timestamp", "id", "type", "side", "price", "amount", "cost"]
    assert (first["id"], first["side"], first["type"]) == ("-5", "", "")
    milliseconds = int(START.timestamp() * 1000) + 1
    assert (second["timestamp"], second["id"], second["cost"]) == (milliseconds, "9", 6.0)


def test_frames_have_the_names_that_backtesting_tools_expect(tmp_path: Path) -> None:
    table = LAYOUTS["frames"].candles(TABLE, contents())
    with open_table_file(tmp_path / "x.parquet", table.schema, Format.PARQUET) as file:
        file.write_table(table)
    frame = pd.read_parquet(tmp_path / "x.parquet").set_index("Date")
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert list(frame.columns) == ["Open", "High", "Low", "Close", "Volume"]
    assert pl.read_parquet(tmp_path / "x.parquet")["Close"].to_list() == [2.0, 2.5]


def units(number: bytes) -> Decimal:
    """What 128 bits say in units of 10^-16."""
    return Decimal(int.from_bytes(number, "little", signed=True)).scaleb(-16)


def test_nautilus_gets_bars_at_the_time_they_close_at() -> None:
    table = LAYOUTS["nautilus"].candles(exact(TABLE), contents())
    first, second = table.to_pylist()
    assert [units(first[name]) for name in ("open", "high", "low", "close", "volume")] == [
        Decimal(text) for text in ("1.5", "3", "0.5", "2", "10")
    ]
    closes = int(START.timestamp()) * 10**9 + 3600 * 10**9
    assert (first["ts_event"], second["ts_init"]) == (closes, closes + 3600 * 10**9)
    assert table.schema.metadata == {
        b"bar_type": b"BTC/USD.KRAKEN-1-HOUR-LAST-EXTERNAL",
        b"instrument_id": b"BTC/USD.KRAKEN",
        b"price_precision": b"1",
        b"size_precision": b"8",
    }
    assert LAYOUTS["nautilus"].path(contents()) == (
        "data/bar/BTCUSD.KRAKEN-1-HOUR-LAST-EXTERNAL/2024-01-01T01-00-00-000000000Z_2025-01-01T00-59-59-999999000Z"
    )


@pytest.mark.parametrize("kind", ["1m", "1h", "1d", "1w", "3d"])
def test_nautilus_files_are_named_by_when_their_bars_close(kind: str) -> None:
    length = any_interval_of(kind).length
    closes = [
        START + n * length + length for n in range(3 * 366 * 24 * 60) if n * length < timedelta(days=800)
    ]
    years = [
        Contents("BTC/USD", kind, "", part, PAIR) for _, part in parts_of(Stretch(START, closes[-1]), By.YEAR)
    ]
    for contents_of_year in years:
        name = LAYOUTS["nautilus"].path(contents_of_year).rpartition("/")[2]
        first, last = (
            datetime.strptime(f"{text[:-4]}Z", "%Y-%m-%dT%H-%M-%S-%f%z") for text in name.split("_")
        )
        held = [
            close
            for close in closes
            if contents_of_year.part.start <= close - length < contents_of_year.part.end
        ]
        assert first <= held[0]
        assert held[-1] <= last < first + (contents_of_year.part.end - contents_of_year.part.start)


def test_nautilus_gets_trade_ticks() -> None:
    first, second = trades_of("nautilus", exact(TRADES)).to_pylist()
    assert (first["aggressor_side"], first["trade_id"], units(first["price"])) == (0, "-5", Decimal(2))
    assert (second["aggressor_side"], units(second["size"])) == (1, Decimal(2))
    assert second["ts_event"] == int(START.timestamp()) * 10**9 + 1_999_000
    assert LAYOUTS["nautilus"].path(contents("trades")) == (
        "data/trade_tick/BTCUSD.KRAKEN/2024-01-01T00-00-00-000000000Z_2024-12-31T23-59-59-999999000Z"
    )


def test_nautilus_numbers_of_a_part_of_a_table_are_that_parts() -> None:
    table = LAYOUTS["nautilus"].candles(exact(TABLE).slice(1), contents())
    assert [units(number) for number in table["open"].to_pylist()] == [Decimal(2)]


def test_nautilus_needs_the_pairs_decimals_and_loses_none_of_a_price() -> None:
    with pytest.raises(ExportError, match="is not in the list of pairs"):
        LAYOUTS["nautilus"].candles(exact(TABLE), contents(pair=None))
    whole = replace(PAIR, price_decimals=0)
    with pytest.raises(ExportError, match=r"prices of more than 0 decimals \(2024-01-01 00:00\)"):
        LAYOUTS["nautilus"].candles(exact(TABLE), contents(pair=whole))


def test_nautilus_rounds_the_noise_of_archives_off_a_volume() -> None:
    noisy = exact(TABLE).set_column(
        5, "volume", pa.array([Decimal("602211.3999999999"), Decimal("0.00000001")], EXACT)
    )
    volumes = LAYOUTS["nautilus"].candles(noisy, contents())["volume"].to_pylist()
    assert [units(number) for number in volumes] == [Decimal("602211.4"), Decimal("0.00000001")]


# --- the manifest ------------------------------------------------------------------------------------------


def entry() -> Entry:
    return Entry("BTC/USD", "1h", None, None, ["parquet"], 2, "2024-01-01T00:00:00Z", "ff", bytes=3)


def test_a_manifest_is_read_as_it_was_saved(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    Manifest(tmp_path, "plain").save("a", entry())
    found = Manifest.load(tmp_path, "plain")
    assert found.entries == {"a": entry()}
    assert found.whole("a") == entry()


def test_a_file_of_another_size_is_not_whole(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, "plain")
    manifest.save("a", entry())
    assert manifest.whole("a") is None
    (tmp_path / "a").write_bytes(b"ab")
    assert manifest.whole("a") is None


def test_another_layouts_folder_is_refused(tmp_path: Path) -> None:
    Manifest(tmp_path, "freqtrade").save("a", entry())
    with pytest.raises(ExportError, match="holds an export of the layout freqtrade"):
        Manifest.load(tmp_path, "plain")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "layout": "plain", "files": {"a": {}}}'])
def test_what_is_no_manifest_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(text, encoding="utf-8")
    with pytest.raises(ExportError, match="is not the manifest of an export"):
        Manifest.load(tmp_path, "plain")
