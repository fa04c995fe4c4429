"""An upload is looked at before it is imported: layouts, pairs, the first bad line, and zips that lie."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from krakendata.errors import ImportFileError
from krakendata.ingest import upload_check
from krakendata.ingest.upload_check import FILES_TOLD, CheckStopped, UploadFindings, check_upload, named_pair
from krakendata.ingest.upload_files import UploadFolder
from krakendata.storage.ledger import Lines
from krakendata.types import Symbols

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINES = Lines(trades=datetime(2025, 9, 1, tzinfo=UTC), candles=datetime(2025, 6, 2, tzinfo=UTC))
TRADES_A = "1672531436,90.54,1.1\n1672531471,90.45,1\n"
TRADES_D = "1672531436.1234,90.54,1.1,b,l,,11\n1672531437.5,90.55,0.2,s,m,,12\n"
CANDLES = "1719792000,3432.23,3433.28,3431.52,3431.82,4.45753564,24\n"
KEPT = "upload-7-0123abcd"
MOST = 10**9


def checked(path: Path, symbol: str | None = None, most: int = MOST) -> UploadFindings:
    return check_upload(path, Symbols(), symbol, LINES, NOW, most)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def write_zip(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"{name}.csv", text)
    return path


def declare(path: Path, name: str, size: int) -> Path:
    """Write another size into the zip's list of members, as a bomb does."""
    with zipfile.ZipFile(path) as archive:
        real = archive.getinfo(name).file_size
    raw = bytearray(path.read_bytes())
    place = raw.rindex(name.encode()) - 46
    assert raw[place : place + 4] == b"PK\x01\x02"
    assert struct.unpack_from("<I", raw, place + 24) == (real,)
    struct.pack_into("<I", raw, place + 24, size)
    path.write_bytes(raw)
    return path


# --- what is in it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "schema"),
    [
        (f"{KEPT}.csv", TRADES_A, "A"),
        (f"{KEPT}.csv", TRADES_D, "D"),
        (f"{KEPT}.csv", "90.54,1.1,1672531436.1234,b,l,,11\n", "C"),
        (f"{KEPT}_60.csv", CANDLES, "OHLCVT"),
    ],
)
def test_every_layout_is_recognised(tmp_path: Path, name: str, text: str, schema: str) -> None:
    findings = checked(write(tmp_path / name, text), "BTC/USD")
    (file,) = findings.files
    assert (file.layout.schema, file.symbol) == (schema, "BTC/USD")
    assert (findings.looked_at, findings.bad, findings.refused) == (text.count("\n"), 0, [])


def test_a_zips_members_are_named_by_themselves_and_bad_ones_left_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_D, ETHUSD_60=CANDLES, readme="what this is\n")
    findings = checked(path)
    assert sorted((file.symbol, file.layout.schema) for file in findings.files) == [
        ("BTC/USD", "D"),
        ("ETH/USD", "OHLCVT"),
    ]
    assert len(findings.refused) == 1
    assert "readme" in findings.refused[0]


def test_the_first_bad_line_is_told_with_the_words_of_an_import(tmp_path: Path) -> None:
    rows = [f"{1672531436 + n}.5,90.5,1,b,l,,{n + 1}\n" for n in range(3_000)]
    rows[2_000] = "1672533436.5,-3,1,b,l,,2001\n"
    rows[2_500] = "1672533936.5,nonsense,1,b,l,,2501\n"
    findings = checked(write(tmp_path / f"{KEPT}.csv", "".join(rows)), "BTC/USD")
    assert (findings.looked_at, findings.bad) == (3_000, 2)
    bad = findings.first_bad
    assert bad is not None
    assert (bad.line, bad.reason, bad.sentence) == (
        2_001,
        "price_not_positive",
        "A price has to be above zero.",
    )
    assert bad.raw == rows[2_000].strip()


def test_a_bad_candle_is_found_too(tmp_path: Path) -> None:
    text = CANDLES + "1719795600,3432,3400,3431,3431,4,24\n"
    bad = checked(write(tmp_path / f"{KEPT}_60.csv", text), "BTC/USD").first_bad
    assert bad is not None
    assert bad.line == 2


def test_no_more_than_the_first_rows_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_check, "LOOK_BYTES", 1_000)
    monkeypatch.setattr(upload_check, "LEAST_LOOK_BYTES", 1_000)
    text = "".join(f"{1672531436 + n},90.5,1\n" for n in range(2_000)) + "nonsense,1,1\n"
    findings = checked(write(tmp_path / f"{KEPT}.csv", text), "BTC/USD")
    assert 10 < findings.looked_at < 200
    assert findings.first_bad is None


def test_what_people_are_told_has_the_name_they_know(tmp_path: Path) -> None:
    path = write(tmp_path / f"{KEPT}.csv", TRADES_A + "1,2,3\n")
    told = checked(path, "BTC/USD").as_json(path, "XBTUSD.csv")
    assert told["files"][0]["name"] == told["first_bad"]["file"] == "XBTUSD.csv"
    assert str(tmp_path) not in str(told)


def test_a_file_of_another_kind_than_its_name_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="holds candles, but the name says trades"):
        checked(write(tmp_path / f"{KEPT}.csv", CANDLES), "BTC/USD")


@pytest.mark.parametrize("content", [b"\0\1\2" * 100, b"PK\3\4 and nothing else", b"<html>no</html>"])
@pytest.mark.parametrize("suffix", ["csv", "zip"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"{KEPT}.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ImportFileError):
        checked(path, "BTC/USD")


def test_it_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_D)
    with pytest.raises(CheckStopped):
        check_upload(path, Symbols(), None, LINES, NOW, MOST, lambda: True)


# --- zips that lie ----------------------------------------------------------------------------------------------


def test_more_than_may_be_unpacked_is_refused_by_what_is_declared(tmp_path: Path) -> None:
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_D, ETHUSD=TRADES_D)
    with pytest.raises(ImportFileError, match="would unpack to .*UPLOAD_MAX_UNPACKED_BYTES"):
        checked(path, most=2 * len(TRADES_D) - 1)


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("krakendata.kraken.archive_files.RATIO_FLOOR_BYTES", 100_000)
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_A * 10_000)
    with pytest.raises(ImportFileError, match="a bomb"):
        checked(path)


@pytest.mark.parametrize("declared", [len(TRADES_A), 200_000, 399_999])
def test_a_bomb_is_refused_by_its_real_size(tmp_path: Path, declared: int) -> None:
    """Readers stop at the declared size: only who unpacks it sees that there is more."""
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_A * 10_000)
    with pytest.raises(ImportFileError, match="unpacks to more than the .* bytes it declares, a bomb"):
        checked(declare(path, "XBTUSD.csv", declared))


def test_a_member_that_is_shorter_than_it_declares_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_A)
    with pytest.raises(ImportFileError, match="is damaged"):
        checked(declare(path, "XBTUSD.csv", 2 * len(TRADES_A)))


def test_a_member_with_another_checksum_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_A, ETHUSD=TRADES_A)
    raw = bytearray(path.read_bytes())
    place = raw.rindex(b"XBTUSD.csv") - 46
    raw[place + 16] ^= 1
    path.write_bytes(raw)
    findings = checked(path)
    assert [file.symbol for file in findings.files] == ["ETH/USD"]
    assert "is damaged" in findings.refused[0]


@pytest.mark.parametrize(("limit", "most"), [("MAX_DIRECTORY_BYTES", 100), ("MAX_MEMBERS", 1)])
def test_a_list_of_members_that_would_fill_the_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(upload_check, limit, most)
    monkeypatch.setattr(upload_check, "find_members", lambda _: pytest.fail("it was read"))
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_A, ETHUSD=TRADES_A)
    with pytest.raises(ImportFileError, match="lists more members"):
        checked(path)


def test_more_members_than_any_archive_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{KEPT}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("XBTUSD.csv", TRADES_A)
    raw = bytearray(path.read_bytes())
    place = raw.rindex(b"PK\x05\x06")
    # The length of the list, of which zipfile reads as much: 8 MiB and a byte.
    struct.pack_into("<I", raw, place + 12, (8 << 20) + 1)
    path.write_bytes(raw)
    with pytest.raises(ImportFileError, match="lists more members"):
        checked(path)


def test_of_many_refusals_the_first_are_told_and_all_are_counted(tmp_path: Path) -> None:
    bad = {f"nothing{number}": "what this is\n" for number in range(60)}
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_A, **bad)
    findings = checked(path)
    assert (len(findings.refused), findings.refused_count) == (FILES_TOLD, 60)
    told = findings.as_json(path, "mine.zip")
    assert (len(told["refused"]), told["refused_count"]) == (FILES_TOLD, 60)


def test_what_one_member_holds_is_not_kept_while_the_others_are_looked_at(tmp_path: Path) -> None:
    """A refusal that kept its traceback would keep the first 64 KiB of every refused member."""
    text = "no,trades\n" * 6_400
    path = write_zip(tmp_path / f"{KEPT}.zip", XBTUSD=TRADES_A, **{f"ETHUSD{n}": text for n in range(300)})
    tracemalloc.start()
    try:
        assert checked(path, "BTC/USD").refused_count == 300
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 12 << 20


@pytest.mark.parametrize("member", ["", "not a csv"], ids=["empty", "refused"])
def test_it_asks_at_every_member_whether_to_stop(tmp_path: Path, member: str) -> None:
    path = write_zip(tmp_path / f"{KEPT}.zip", **{f"nothing{number}": member for number in range(20)})
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 30

    # Once when it is found, once when it is unpacked.
    with pytest.raises(CheckStopped):
        check_upload(path, Symbols(), None, LINES, NOW, MOST, should_stop)


@pytest.mark.parametrize("name", ["../../etc/XBTUSD.csv", "/etc/XBTUSD.csv"])
def test_a_member_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / f"{KEPT}.zip", "w") as archive:
        archive.writestr(name, TRADES_A)
    with pytest.raises(ImportFileError, match="points outside its archive"):
        checked(tmp_path / f"{KEPT}.zip")


# --- before a byte is there -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "symbol", "pair"),
    [
        ("XBTUSD.csv", None, ("BTC/USD", None)),
        ("XBTUSD_60.csv", None, ("BTC/USD", 60)),
        ("mine_60.csv", "XBTUSD", ("BTC/USD", 60)),
        ("Kraken_OHLCVT.zip", None, (None, None)),
        ("mine.ZIP", "ETH/USD", ("ETH/USD", None)),
    ],
)
def test_the_pair_is_told_by_the_name_or_by_the_person(
    name: str, symbol: str | None, pair: tuple[str | None, int | None]
) -> None:
    assert named_pair(name, Symbols(), symbol) == pair


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mine.csv", "is not named after a pair"),
        ("XBTUSD_7.csv", "names interval 7"),
        ("_60.csv", "has no pair"),
    ],
)
def test_a_name_that_tells_no_pair_is_refused_before_anything_is_sent(name: str, told: str) -> None:
    with pytest.raises(ImportFileError, match=told):
        named_pair(name, Symbols(), None)


# --- the folder -------------------------------------------------------------------------------------------------


def test_a_file_grows_where_it_ends_and_goes(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path / "of its own")
    folder.begin(f"{KEPT}.csv")
    folder.write(f"{KEPT}.csv", 0, b"abc")
    folder.write(f"{KEPT}.csv", 3, b"def")
    assert folder.file(f"{KEPT}.csv").read_bytes() == b"abcdef"
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.file(f"{KEPT}.csv").stat().st_mode & 0o777 == 0o600
    folder.remove(f"{KEPT}.csv")
    folder.remove(f"{KEPT}.csv")
    assert not folder.has(f"{KEPT}.csv")


@pytest.mark.parametrize("name", ["../x.csv", "/etc/passwd", "XBTUSD.csv", "upload-1-0123abcd.csv/../x"])
def test_no_name_but_ours_is_opened(tmp_path: Path, name: str) -> None:
    folder = UploadFolder(tmp_path)
    for deed in (
        folder.begin,
        folder.has,
        folder.remove,
        folder.file,
        lambda each: folder.write(each, 0, b"x"),
    ):
        with pytest.raises(ValueError, match="no name of an upload"):
            deed(name)


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", "untouched")
    folder = UploadFolder(tmp_path / "uploads")
    folder.path.mkdir()
    folder.file(f"{KEPT}.csv").symlink_to(outside)
    assert not folder.has(f"{KEPT}.csv")
    with pytest.raises(FileExistsError):
        folder.begin(f"{KEPT}.csv")
    with pytest.raises(OSError, match="symbolic links"):
        folder.write(f"{KEPT}.csv", 0, b"overwritten")
    assert outside.read_text(encoding="utf-8") == "untouched"
