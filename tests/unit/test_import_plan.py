"""Before an import starts it says what it will do with which file, and with the rows behind the retention."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from krakendata.ingest.import_plan import ImportPlan, file_key, plan_import
from krakendata.kraken.archives import find_members
from krakendata.storage.ledger import Lines
from krakendata.types import Symbols

LINES = Lines(trades=datetime(2025, 9, 1, tzinfo=UTC), candles=datetime(2025, 6, 2, tzinfo=UTC))
TRADE = "1.5,2.5,b,l,,"


def planned(
    *paths: Path, symbol: str | None = None, imported: dict[str, tuple[str, str]] | None = None
) -> ImportPlan:
    return plan_import(paths, Symbols(), symbol, LINES, imported or {})


def write_minutes(path: Path, first: datetime, count: int) -> Path:
    rows = (f"{(first + timedelta(minutes=n)).timestamp():.0f},1,1,1,1,5,2\n" for n in range(count))
    path.write_text("".join(rows), encoding="utf-8")
    return path


def write_trades(path: Path, first: datetime, count: int) -> Path:
    rows = (f"{(first + timedelta(minutes=n)).timestamp():.0f}.25,{TRADE}{n + 1}\n" for n in range(count))
    path.write_text("".join(rows), encoding="utf-8")
    return path


def test_files_are_named_by_pair_and_imported_finest_first(tmp_path: Path) -> None:
    write_minutes(tmp_path / "XBTUSD_1440.csv", LINES.candles, 1)
    write_minutes(tmp_path / "XBTUSD_1.csv", LINES.candles, 1)
    (tmp_path / "ETHUSD.csv").write_text("1756684800,5,1\n", encoding="utf-8")
    write_trades(tmp_path / "XBTUSD.csv", LINES.trades, 1)
    files = sorted(planned(tmp_path).files, key=lambda file: file.order)
    assert [(file.symbol, file.layout.schema) for file in files] == [
        ("BTC/USD", "D"),
        ("ETH/USD", "A"),
        ("BTC/USD", "OHLCVT"),
        ("BTC/USD", "OHLCVT"),
    ]
    assert [file.is_coarse for file in files] == [False, False, False, True]


def test_an_unchanged_file_is_passed_over(tmp_path: Path) -> None:
    (member,) = find_members([write_trades(tmp_path / "XBTUSD.csv", LINES.trades, 3)])
    plan = planned(tmp_path, imported={file_key(member): (member.version, "BTC/USD")})  # type: ignore[arg-type,union-attr]
    assert (plan.files, plan.unchanged) == ([], [str(tmp_path / "XBTUSD.csv")])


def test_a_changed_file_is_imported_again(tmp_path: Path) -> None:
    write_trades(tmp_path / "XBTUSD.csv", LINES.trades, 3)
    plan = planned(tmp_path, imported={str(tmp_path / "XBTUSD.csv"): ("an older version", "BTC/USD")})
    assert len(plan.files) == 1


def test_an_unchanged_file_of_another_pair_is_imported(tmp_path: Path) -> None:
    (member,) = find_members([write_trades(tmp_path / "XBTUSD.csv", LINES.trades, 3)])
    imported = {file_key(member): (member.version, "BTC/USD")}  # type: ignore[arg-type,union-attr]
    assert len(planned(tmp_path, symbol="ETH/USD", imported=imported).files) == 1


def test_a_name_that_is_no_pair_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write_trades(tmp_path / "notes.csv", LINES.trades, 3)
    (error,) = planned(tmp_path).refused
    assert "--symbol" in str(error)


def test_a_named_symbol_overrides_the_file_name(tmp_path: Path) -> None:
    write_trades(tmp_path / "notes.csv", LINES.trades, 3)
    (file,) = planned(tmp_path, symbol="BTC/USD").files
    assert file.symbol == "BTC/USD"


def test_a_binary_file_is_refused_and_its_neighbour_planned(tmp_path: Path) -> None:
    (tmp_path / "ETHUSD.csv").write_bytes(b"\x00\x01\x02")
    write_trades(tmp_path / "XBTUSD.csv", LINES.trades, 3)
    plan = planned(tmp_path)
    assert [file.symbol for file in plan.files] == ["BTC/USD"]
    assert [error.file for error in plan.refused] == [str(tmp_path / "ETHUSD.csv")]


@pytest.mark.parametrize("behind", [0, 1, 2500, 5000])
def test_rows_behind_the_candles_line_are_counted_roughly(tmp_path: Path, behind: int) -> None:
    write_minutes(tmp_path / "XBTUSD_1.csv", LINES.candles - timedelta(minutes=behind), 5000)
    (file,) = planned(tmp_path).files
    assert file.rows == pytest.approx(5000, abs=5)
    assert file.rows_behind == pytest.approx(behind, abs=5)


def test_rows_behind_the_trades_line_are_counted_roughly(tmp_path: Path) -> None:
    write_trades(tmp_path / "XBTUSD.csv", LINES.trades - timedelta(minutes=4000), 9000)
    (file,) = planned(tmp_path).files
    assert file.rows == pytest.approx(9000, rel=0.02)
    assert file.rows_behind == pytest.approx(4000, rel=0.02)


def test_coarse_rows_have_no_line(tmp_path: Path) -> None:
    write_minutes(tmp_path / "XBTUSD_1440.csv", LINES.candles - timedelta(days=9), 3)
    (file,) = planned(tmp_path).files
    assert file.rows_behind == 0


def test_a_zip_member_that_begins_behind_the_line_may_lie_there_whole(tmp_path: Path) -> None:
    path = write_minutes(tmp_path / "XBTUSD_1.csv", LINES.candles - timedelta(minutes=10), 50)
    with zipfile.ZipFile(tmp_path / "Kraken.zip", "w") as archive:
        archive.write(path, "deep/XBTUSD_1.csv")
    (file,) = planned(tmp_path / "Kraken.zip").files
    assert file.rows_behind == file.rows
    assert file.key == f"{tmp_path / 'Kraken.zip'}!deep/XBTUSD_1.csv"


def test_an_empty_file_is_planned(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD.csv").write_bytes(b"")
    (file,) = planned(tmp_path).files
    assert file.rows_behind == 0
