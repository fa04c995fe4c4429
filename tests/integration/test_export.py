"""The export on a real database: the provider's rows in files, written once, and again when they change."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.csv
import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command
from psycopg import AsyncConnection

from krakendata.errors import ExportError, UnknownInterval, UnknownSymbol
from krakendata.export.exporter import LOCK, Exporter, ExportProgress, ExportReport, Form
from krakendata.export.files import UNFINISHED, Format
from krakendata.export.layouts import LAYOUTS
from krakendata.export.parts import By
from krakendata.historical_provider import HistoricalDataProvider, utc_now
from krakendata.replay.listing import named_pair
from krakendata.types import Symbols
from tests.fix_history import History
from tests.fix_storage import TRADES_LINE

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLAIN = Form(LAYOUTS["plain"], Format.PARQUET, By.MONTH)

Export = Callable[..., Any]


@pytest.fixture
async def provider(history: History) -> AsyncIterator[HistoricalDataProvider]:
    async with HistoricalDataProvider(history.database, clock=history.clock) as connected:
        yield connected


@pytest.fixture
def export(provider: HistoricalDataProvider, tmp_path: Path) -> Export:
    """Export BTC/USD's candles of an hour, unless said otherwise, into the test's folder."""

    async def run(*kinds: str, form: Form = PLAIN, symbol: str = "BTC/USD", **options: Any) -> ExportReport:
        report = options.pop("report", lambda progress: None)
        clock = options.pop("clock", utc_now)
        exporter = Exporter(options.pop("provider", provider), tmp_path, form, report=report, clock=clock)
        return await exporter.export([symbol], kinds or ["1h"], **options)

    return run


def rows_of(folder: Path, pattern: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob(pattern))])


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def left_in(folder: Path) -> list[Path]:
    return list(folder.rglob(f"*{UNFINISHED}"))


@pytest.mark.parametrize("by", [By.YEAR, By.MONTH, By.ALL])
async def test_the_files_hold_the_rows_of_the_provider(
    by: By, export: Export, provider: HistoricalDataProvider, tmp_path: Path
) -> None:
    report = await export("1m", "1h", form=replace(PLAIN, by=by))
    for kind in ("1m", "1h"):
        whole = await provider.get_candle_columns("BTC/USD", kind)
        assert rows_of(tmp_path, f"BTC_USD/{kind}/*.parquet").equals(whole.to_polars())
    assert sorted(report.written) == sorted(bytes_of(tmp_path))
    assert report.rows == sum(pl.read_parquet(tmp_path / path).height for path in report.written)


async def test_only_the_time_asked_for_is_written(export: Export, history: History, tmp_path: Path) -> None:
    await export("1h", start=history.fence, end=history.fence + 5 * HOUR)
    times = rows_of(tmp_path, "BTC_USD/1h/*")["timestamp"].to_list()
    assert times == [history.fence + n * HOUR for n in range(5)]


async def test_a_second_export_writes_nothing(export: Export, tmp_path: Path) -> None:
    first = await export("1m", "1h")
    before = bytes_of(tmp_path)
    second = await export("1m", "1h")
    assert (second.written, second.rows, sorted(second.unchanged)) == ([], 0, sorted(first.written))
    assert bytes_of(tmp_path) == before


async def test_what_has_changed_is_written_again(
    export: Export, provider: HistoricalDataProvider, history: History, tmp_path: Path
) -> None:
    first = await export("1m")
    async with await AsyncConnection.connect(**history.database, autocommit=True) as other:
        await other.execute(
            "UPDATE candles SET close = 123 WHERE symbol = 'BTC/USD' AND timestamp = %s", [history.fence]
        )
    second = await export("1m")
    assert second.written == [f"BTC_USD/1m/{history.fence:%Y-%m}.parquet"]
    assert sorted(second.written + second.unchanged) == sorted(first.written)
    found = rows_of(tmp_path, "BTC_USD/1m/*")
    assert found.filter(pl.col("timestamp") == history.fence)["close"].to_list() == [123.0]


async def test_what_has_closed_since_is_added(export: Export, history: History, tmp_path: Path) -> None:
    first = await export()
    async with HistoricalDataProvider(history.database, clock=lambda: history.now + HOUR) as later:
        second = await export(provider=later)
        whole = await later.get_candle_columns("BTC/USD", "1h")
    assert second.rows == pl.read_parquet(tmp_path / first.written[-1]).height
    assert rows_of(tmp_path, "BTC_USD/1h/*").equals(whole.to_polars())


@pytest.mark.parametrize("harm", ["cut", "gone"])
async def test_a_harmed_file_is_written_again(harm: str, export: Export, tmp_path: Path) -> None:
    path = (await export()).written[0]
    good = (tmp_path / path).read_bytes()
    if harm == "gone":
        (tmp_path / path).unlink()
    else:
        (tmp_path / path).write_bytes(good[:-1])
    assert (await export()).written == [path]
    assert (tmp_path / path).read_bytes() == good


async def test_another_form_is_written_again(export: Export, tmp_path: Path) -> None:
    first = await export()
    second = await export(form=replace(PLAIN, exact=True, columns=("close",)))
    assert second.written == first.written
    schema = pl.read_parquet_schema(tmp_path / second.written[0])
    assert schema == {"timestamp": pl.Datetime("us", "UTC"), "close": pl.Decimal(38, 18)}


async def test_what_retention_has_dropped_stays_in_the_files(
    export: Export, history: History, tmp_path: Path
) -> None:
    await export("1m", form=replace(PLAIN, by=By.ALL))
    before = bytes_of(tmp_path)
    async with await AsyncConnection.connect(**history.database, autocommit=True) as other:
        await other.execute(
            "DELETE FROM candles WHERE symbol = 'BTC/USD' AND timestamp < %s", [history.fence + DAY]
        )
    report = await export("1m", form=replace(PLAIN, by=By.ALL))
    assert (report.written, report.kept, report.lacking) == ([], ["BTC_USD/1m/all.parquet"], [])
    assert bytes_of(tmp_path) == before


async def test_what_has_come_to_a_file_that_retention_has_cut_is_not_passed_over(
    export: Export, history: History
) -> None:
    await export("1m", form=replace(PLAIN, by=By.ALL), clock=lambda: history.fence + 2 * DAY)
    async with await AsyncConnection.connect(**history.database, autocommit=True) as other:
        await other.execute(
            "DELETE FROM candles WHERE symbol = 'BTC/USD' AND timestamp < %s", [history.fence + DAY]
        )
    report = await export("1m", form=replace(PLAIN, by=By.ALL))
    assert report.kept == report.lacking == ["BTC_USD/1m/all.parquet"]


@pytest.mark.parametrize("ends", [KeyboardInterrupt, asyncio.CancelledError])
async def test_an_interrupted_export_goes_on_behind_the_files_that_are_whole(
    ends: type[BaseException], export: Export, tmp_path: Path
) -> None:
    def stop_in_the_second_file(progress: ExportProgress) -> None:
        if "/1h/" in progress.path:
            raise ends

    with pytest.raises(ends):
        await export("1m", "1h", report=stop_in_the_second_file)
    assert left_in(tmp_path) == []
    whole = bytes_of(tmp_path)
    assert {path.split("/")[1] for path in whole} == {"1m"}
    report = await export("1m", "1h")
    assert sorted(report.unchanged) == sorted(whole)
    assert {path.split("/")[1] for path in report.written} == {"1h"}


async def test_an_export_that_was_interrupted_has_the_bytes_of_one_that_was_not(
    export: Export, tmp_path: Path
) -> None:
    await export("1h")
    before = bytes_of(tmp_path)
    for path in before:
        (tmp_path / path).unlink()
    await export("1h")
    assert bytes_of(tmp_path) == before


async def test_what_a_killed_export_left_is_removed(export: Export, tmp_path: Path) -> None:
    left = tmp_path / "BTC_USD" / "1h" / f"2024.parquet{UNFINISHED}"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    await export()
    assert not left.exists()


async def test_two_exports_do_not_write_into_one_folder(export: Export, tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ExportError, match="Another export is writing"):
            await export()


async def test_a_folder_that_is_a_file_is_told(provider: HistoricalDataProvider, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ExportError, match="cannot be written"):
        await Exporter(provider, tmp_path / "x", PLAIN).export(["BTC/USD"], ["1h"])


async def test_what_cannot_be_is_refused(export: Export, history: History) -> None:
    with pytest.raises(UnknownSymbol):
        await export(symbol="NOPE/NOPE")
    with pytest.raises(UnknownInterval):
        await export("7x")
    with pytest.raises(ValueError, match="is after end"):
        await export(start=history.now, end=history.fence)
    with pytest.raises(ExportError, match="frames has no place for trades"):
        await export("trades", form=Form(LAYOUTS["frames"], Format.CSV, By.ALL))


async def test_the_manifest_says_how_complete_each_file_is(
    export: Export, tmp_path: Path, history: History
) -> None:
    await export(start=history.start - 2 * DAY, end=history.start + DAY, form=replace(PLAIN, by=By.ALL))
    facts = json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))["files"][
        "BTC_USD/1h/all.parquet"
    ]
    (hole,), (proven,) = facts["holes"], facts["proven"]
    assert (hole[0], hole[1]) == (facts["start"], proven[0])
    assert (facts["rows"], facts["provisional"], proven[1]) == (24, [], facts["end"])


async def test_the_progress_reaches_its_end(export: Export) -> None:
    told: list[ExportProgress] = []
    report = await export("1m", "1h", report=told.append)
    assert all(each.done <= each.total for each in told)
    assert (told[-1].done, told[-1].rows) == (told[-1].total, report.rows)
    assert [each.done for each in told] == sorted(each.done for each in told)


async def test_freqtrade_gets_one_file_a_pair_and_interval(
    export: Export, provider: HistoricalDataProvider, tmp_path: Path
) -> None:
    await export("4h", form=Form(LAYOUTS["freqtrade"], Format.FEATHER, By.ALL))
    frame = pl.read_ipc(tmp_path / "BTC_USD-4h.feather")
    candles = await provider.get_candles("BTC/USD", "4h")
    assert frame["date"].to_list() == [candle.timestamp for candle in candles]
    assert frame["close"].to_list() == [float(candle.close) for candle in candles]


async def test_trades_are_written_with_their_ids(traded: HistoricalDataProvider, tmp_path: Path) -> None:
    form = replace(PLAIN, exact=True)
    report = await Exporter(traded, tmp_path, form).export(["XBTUSD"], ["trades"])
    (path,) = report.written
    assert path == f"BTC_USD/trades/{TRADES_LINE:%Y-%m}.parquet"
    frame = pl.read_parquet(tmp_path / path)
    assert frame["trade_id"].to_list() == [-5, -4, *range(1, 101)]
    assert frame["volume"][-1] == Decimal("0.00000001")
    assert (await Exporter(traded, tmp_path, form).export(["XBTUSD"], ["trades"])).unchanged == [path]


async def test_a_catalog_of_other_decimals_is_written_again(
    export: Export, history: History, tmp_path: Path
) -> None:
    form = Form(LAYOUTS["nautilus"], Format.PARQUET, By.YEAR, exact=True, price_decimals=10)
    listed = Symbols([named_pair("BTC/USD", price_decimals=1, volume_decimals=8)])
    async with HistoricalDataProvider(history.database, symbols=listed, clock=history.clock) as provider:
        first = await export(form=form, provider=provider)
        assert (await export(form=form, provider=provider)).unchanged == first.written
        second = await export(form=replace(form, price_decimals=11), provider=provider)
    assert second.written == first.written
    for path in second.written:
        assert pyarrow.parquet.read_schema(tmp_path / path).metadata[b"price_precision"] == b"11"


# --- the command -------------------------------------------------------------------------------------------


def output_of(*arguments: str) -> list[str]:
    stdout = StringIO()
    call_command("export", *arguments, stdout=stdout)
    return stdout.getvalue().splitlines()


def test_the_command_says_what_it_wrote(history: History, tmp_path: Path) -> None:
    asked = ("XBTUSD", "ADAUSD", "--interval=1d", f"--out={tmp_path}", "--format=csv", "--by=all")
    text, line = output_of(*asked, "--json")
    facts = json.loads(line)
    assert text.startswith(f"2 files written ({facts['rows']} rows")
    assert facts["written"] == ["BTC_USD/1d/all.csv", "ADA_USD/1d/all.csv"]
    assert pyarrow.csv.read_csv(tmp_path / "ADA_USD/1d/all.csv").num_rows == 12
    assert output_of(*asked)[0].endswith("2 unchanged.")


def test_the_command_says_when_there_is_nothing(history: History, tmp_path: Path) -> None:
    assert output_of("DOGE/USD", f"--out={tmp_path}") == [
        "Nothing is stored of that time: manage.py coverage shows what is."
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("NOPE",), "Unknown symbol 'NOPE'"),
        (("XBTUSD", "--interval=7x"), "Unknown interval '7x'"),
        (("XBTUSD", "--columns=price"), "no column 'price'"),
        (("XBTUSD", "--layout=freqtrade", "--format=csv"), "is for feather, parquet, not csv"),
        (("XBTUSD", "--layout=freqtrade", "--exact"), "has columns of its own"),
        (("XBTUSD", "--layout=frames", "--by=year"), "files of its own length"),
        (("XBTUSD", "--price-decimals=5"), "--price-decimals is not for the layout plain"),
        (("XBTUSD", "--layout=nautilus", "--interval=1mo"), "months differ"),
        (("XBTUSD", "--start=2025-01-02", "--end=2025-01-01"), "is after end"),
    ],
)
def test_the_command_refuses_what_cannot_be(
    arguments: tuple[str, ...], sentence: str, history: History, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=sentence) as raised:
        output_of(*arguments, f"--out={tmp_path}")
    assert raised.value.returncode == 2
