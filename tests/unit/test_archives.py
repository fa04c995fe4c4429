"""Archives: what is found in folders, zips and slices, what its columns are, and how rows become blocks."""

import io
import os
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from krakendata.errors import ImportFileError
from krakendata.kraken import archive_files
from krakendata.kraken.archives import (
    SNIFF_BYTES,
    ArchiveMember,
    Layout,
    RawBlock,
    blocks,
    find_members,
    sniff,
)
from krakendata.kraken.joined_files import open_joined

TRADES_A = b"1672531436,90.540000,1.10448420\n1672531471,90.450000,1.00000000\n"
TRADES_C = b"90.54,1.1,1672531436.1234,b,l,,11\n90.55,0.2,1672531437.5,s,m,,12\n"
TRADES_D = b"1672531436.1234,90.54,1.1,b,l,,11\n1672531437.5,90.55,0.2,s,m,,12\n"
CANDLES = b"1719792000,3432.23,3433.28,3431.52,3431.82,4.45753564,24\n"

IDS = ("side", "order_type", "misc", "trade_id")
COLUMNS_A = ("timestamp", "price", "volume")
COLUMNS_C = ("price", "volume", "timestamp", *IDS)
COLUMNS_D = ("timestamp", "price", "volume", *IDS)
COLUMNS_OHLCVT = ("timestamp", "open", "high", "low", "close", "volume", "trades")


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def slice_file(path: Path, count: int) -> list[Path]:
    """The file cut into `count` parts named as Kraken names them; the file itself is removed."""
    raw = path.read_bytes()
    length = len(raw) // count + 1
    parts = [path.with_name(f"{path.name}.part{number:02}") for number in range(count)]
    for number, part in enumerate(parts):
        part.write_bytes(raw[number * length : (number + 1) * length])
    path.unlink()
    return parts


def found(*paths: Path) -> list[ArchiveMember]:
    members = list(find_members(paths))
    assert not [error for error in members if isinstance(error, ImportFileError)]
    return [member for member in members if isinstance(member, ArchiveMember)]


def refusals(*paths: Path) -> list[str]:
    return [str(error) for error in find_members(paths) if isinstance(error, ImportFileError)]


def stems(members: Iterable[ArchiveMember | ImportFileError]) -> list[tuple[str, int | None]]:
    return [(member.stem, member.interval_minutes) for member in members if isinstance(member, ArchiveMember)]


def content(member: ArchiveMember, offset: int = 0) -> bytes:
    with member.open(offset) as stream:
        return stream.read()


# --- finding -----------------------------------------------------------------------------------------------


def test_a_csv_is_a_member_named_by_its_pair(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD.csv").write_bytes(TRADES_A)
    (member,) = found(tmp_path / "XBTUSD.csv")
    assert (member.stem, member.interval_minutes, member.size) == ("XBTUSD", None, len(TRADES_A))
    assert content(member) == TRADES_A
    assert content(member, 10) == TRADES_A[10:]


@pytest.mark.parametrize("minutes", [1, 5, 15, 30, 60, 240, 720, 1440])
def test_a_name_with_a_published_interval_means_candles(tmp_path: Path, minutes: int) -> None:
    (tmp_path / f"AAPLxUSD_{minutes}.csv").write_bytes(CANDLES)
    assert stems(found(tmp_path)) == [("AAPLxUSD", minutes)]


def test_an_interval_that_kraken_does_not_publish_is_refused(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD_7.csv").write_bytes(CANDLES)
    (sentence,) = refusals(tmp_path)
    assert "names interval 7" in sentence
    assert "1 5 15 30 60 240 720 1440" in sentence


@pytest.mark.parametrize("name", ["_60.csv", " .csv"])
def test_a_name_without_a_pair_is_refused_and_the_others_go_on(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CANDLES)
    (tmp_path / "XBTUSD_60.csv").write_bytes(CANDLES)
    assert "has no pair in its name" in refusals(tmp_path)[0]
    assert stems(find_members([tmp_path])) == [("XBTUSD", 60)]


def test_folders_are_searched_through_in_order(tmp_path: Path) -> None:
    for name in ("b/XBTUSD.csv", "a/c/ETHUSD.csv", "XDGUSD.CSV"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(TRADES_A)
    assert [member.stem for member in found(tmp_path)] == ["XDGUSD", "ETHUSD", "XBTUSD"]


def test_hidden_and_foreign_files_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    for name in (
        ".XBTUSD.csv",
        ".git/XBTUSD.csv",
        "__MACOSX/XBTUSD.csv",
        "README.md",
        "MANIFEST.json",
        "A.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(TRADES_A)
    assert stems(found(tmp_path)) == [("A", None)]


def test_zip_members_match_by_their_last_name_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    members = {"T&S/Combined/XBTUSD.csv": TRADES_A, "__MACOSX/T&S/._XBTUSD.csv": b"?", "T&S/.x.csv": b"?"}
    path = write_zip(
        tmp_path / "K.zip", members | {"MANIFEST.json": b"{}", "sub/": b"", "sub\\ETHUSD_5.csv": CANDLES}
    )
    trades, candles = found(path)
    assert trades.path == f"{path}!T&S/Combined/XBTUSD.csv"
    assert (candles.stem, candles.interval_minutes) == ("ETHUSD", 5)


def test_a_zip_member_opens_at_any_offset(tmp_path: Path) -> None:
    (member,) = found(write_zip(tmp_path / "K.zip", {"XBTUSD.csv": TRADES_A * 50_000}))
    offset = len(TRADES_A) * 40_000
    assert content(member, offset) == TRADES_A * 10_000


def test_a_member_can_be_opened_in_another_process(tmp_path: Path) -> None:
    (member,) = found(write_zip(tmp_path / "K.zip", {"XBTUSD.csv": TRADES_A}))
    sent = pickle.loads(pickle.dumps(member))  # noqa: S301 (our own)
    assert sent == member
    assert content(sent) == TRADES_A


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_packing_that_python_reads_is_read(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "K.zip", "w", method) as archive:
        archive.writestr("XBTUSD.csv", TRADES_A)
    assert content(found(tmp_path)[0], 5) == TRADES_A[5:]


def test_joined_files_read_like_one_file(tmp_path: Path) -> None:
    raw = bytes(range(100))
    (tmp_path / "K.zip").write_bytes(raw)
    with open_joined(slice_file(tmp_path / "K.zip", 7)) as joined:
        for position in (0, 14, 15, 44, 99, 100, 200):
            joined.seek(position)
            assert joined.read(31) == raw[position : position + 31]
        assert joined.seek(-20, io.SEEK_END) == 80
        assert joined.read() == raw[80:]


@pytest.mark.parametrize("given", ["first", "third", "folder", "all"])
def test_slices_of_a_zip_are_read_as_one(tmp_path: Path, given: str) -> None:
    noise = os.urandom(200_000).hex().encode()
    parts = slice_file(
        write_zip(tmp_path / "K.zip", {"XBTUSD.csv": TRADES_A + noise, "ETHUSD.csv": TRADES_A}), 12
    )
    paths = {"first": parts[:1], "third": parts[2:3], "folder": [tmp_path], "all": parts}[given]
    members = found(*paths)
    assert [member.stem for member in members] == ["XBTUSD", "ETHUSD"]
    assert content(members[0]) == TRADES_A + noise
    assert members[0].path == f"{tmp_path / 'K.zip'}!XBTUSD.csv"


def test_a_missing_slice_is_named_and_other_files_go_on(tmp_path: Path) -> None:
    parts = slice_file(write_zip(tmp_path / "K.zip", {"XBTUSD.csv": os.urandom(1000)}), 4)
    parts[1].unlink()
    write_zip(tmp_path / "L.zip", {"ETHUSD.csv": TRADES_A})
    (sentence,) = refusals(tmp_path)
    assert "lacks part01" in sentence
    assert stems(find_members([tmp_path])) == [("ETHUSD", None)]


@pytest.mark.parametrize("present", [1, 3])
def test_missing_last_slices_are_refused(tmp_path: Path, present: int) -> None:
    parts = slice_file(write_zip(tmp_path / "K.zip", {"XBTUSD.csv": os.urandom(1000)}), 4)
    for part in parts[present:]:
        part.unlink()
    (sentence,) = refusals(parts[0])
    assert "a slice is missing or cut short" in sentence


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "K.zip", {"XBTUSD.csv": os.urandom(1000)})
    path.write_bytes(path.read_bytes()[:-100])
    (sentence,) = refusals(path)
    assert "cut short or no zip; download it again" in sentence


def test_a_web_page_under_the_name_of_a_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "K.zip").write_bytes(b"<!DOCTYPE html><title>Quota exceeded</title>")
    assert "is a web page, not a zip" in refusals(tmp_path)[0]


@pytest.mark.parametrize("name", ["/etc/XBTUSD.csv", "../XBTUSD.csv", "a/../../XBTUSD.csv", "C:\\XBTUSD.csv"])
def test_a_name_that_leaves_the_archive_is_refused_and_the_others_go_on(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "K.zip", {name: TRADES_A, "ETHUSD.csv": TRADES_A})
    assert "points outside its archive" in refusals(path)[0]
    assert stems(find_members([path])) == [("ETHUSD", None)]


def test_a_bomb_is_refused_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_files, "RATIO_FLOOR_BYTES", 100_000)
    path = write_zip(tmp_path / "K.zip", {"XBTUSD.csv": bytes(200_000), "ETHUSD.csv": os.urandom(50_000)})
    assert "a bomb; leave it out" in refusals(path)[0]
    assert stems(find_members([path])) == [("ETHUSD", None)]


def test_an_archive_of_many_small_bombs_is_refused_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_files, "RATIO_FLOOR_BYTES", 100_000)
    path = write_zip(tmp_path / "K.zip", {f"P{number}.csv": bytes(90_000) for number in range(5)})
    assert len(refusals(path)) == 1
    assert stems(find_members([path])) == []


def test_more_than_any_kraken_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_files, "MAX_UNPACKED_BYTES", 100)
    assert "more than Kraken publishes" in refusals(write_zip(tmp_path / "K.zip", {"A.csv": TRADES_A * 2}))[0]


def test_an_encrypted_member_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "K.zip", {"XBTUSD.csv": TRADES_A, "ETHUSD.csv": TRADES_A})
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    assert "is encrypted" in refusals(path)[0]
    assert stems(find_members([path])) == [("ETHUSD", None)]


def test_damage_inside_a_member_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "K.zip", {"XBTUSD.csv": os.urandom(500)})
    raw = bytearray(path.read_bytes())
    raw[200] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ImportFileError, match=r"K.zip!XBTUSD.csv: it cannot be read .*download it again"):
        content(found(path)[0])


def test_a_file_that_is_gone_is_told_when_it_is_opened(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "K.zip", {"XBTUSD.csv": TRADES_A})
    (member,) = found(path)
    path.unlink()
    with pytest.raises(ImportFileError, match="cannot be read"):
        member.open()


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path / "XBTUSD.csv") == [
        f"{tmp_path / 'XBTUSD.csv'}: it does not exist; check the path."
    ]


def test_a_file_of_another_kind_is_refused_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "is no .csv, .zip or .zip.partNN" in refusals(tmp_path / "notes.txt")[0]


def test_a_folder_and_a_zip_without_csvs_say_so(tmp_path: Path) -> None:
    assert "holds no PAIR.csv" in refusals(tmp_path)[0]
    assert "holds no PAIR.csv" in refusals(write_zip(tmp_path / "K.zip", {"README": b"hello"}))[0]


def test_what_is_named_twice_is_found_once(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD.csv").write_bytes(TRADES_A)
    assert len(found(tmp_path / "XBTUSD.csv", tmp_path, tmp_path)) == 1


def test_the_version_changes_with_the_content(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD.csv"
    path.write_bytes(TRADES_A)
    before = found(path)[0].version
    os.utime(path, ns=(0, 0))
    assert found(path)[0].version != before
    zipped = [found(write_zip(tmp_path / "K.zip", {"A.csv": text}))[0].version for text in (b"1", b"2", b"1")]
    assert zipped[0] == zipped[2] != zipped[1]


# --- layouts -----------------------------------------------------------------------------------------------


def member_named(name: str) -> ArchiveMember:
    stem, _, minutes = name.removesuffix(".csv").partition("_")
    return ArchiveMember(name, stem, int(minutes) if minutes else None, 0, "", ())


def layout_of(first_bytes: bytes, name: str = "XBTUSD.csv") -> Layout:
    return sniff(first_bytes, member_named(name))


def refusal_of(first_bytes: bytes, name: str = "XBTUSD.csv") -> str:
    with pytest.raises(ImportFileError) as caught:
        layout_of(first_bytes, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rows", "schema", "columns"),
    [(TRADES_A, "A", COLUMNS_A), (TRADES_C, "C", COLUMNS_C), (TRADES_D, "D", COLUMNS_D)],
)
def test_trades_without_a_header_are_told_by_their_values(
    rows: bytes, schema: str, columns: tuple[str, ...]
) -> None:
    layout = layout_of(rows)
    assert (layout.kind, layout.schema, layout.columns) == ("trades", schema, columns)
    assert not layout.has_header


def test_candles_without_a_header_are_told_by_their_values() -> None:
    assert layout_of(CANDLES, "ETHUSD_5.csv") == Layout("candles", COLUMNS_OHLCVT, False, "OHLCVT")


def test_scientific_notation_is_a_number() -> None:
    assert layout_of(b"1672531436,7.314e-05,4.944399E+7\n").schema == "A"
    assert (
        layout_of(b"1719792000,1.1e-05,1.1e-05,1.1e-05,1.1e-05,4E+7,1\n", "PEPEUSD_1.csv").schema == "OHLCVT"
    )


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        (b"timestamp,price,volume,type,order_type,misc,trade_id", TRADES_D, COLUMNS_D),
        (b"Price,Volume,Timestamp,b/s,m/l,misc,trade_id", TRADES_C, COLUMNS_C),
        (b"time,price,volume,side,type,misc,id", TRADES_D, COLUMNS_D),
        (b'"Timestamp","Price","Volume"', TRADES_A, COLUMNS_A),
        (b"timestamp,volume,price", TRADES_A, ("timestamp", "volume", "price")),
    ],
)
def test_a_header_is_mapped_by_its_names(header: bytes, rows: bytes, columns: tuple[str, ...]) -> None:
    layout = layout_of(header + b"\n" + rows)
    assert (layout.columns, layout.has_header) == (columns, True)


@pytest.mark.parametrize("rows", [TRADES_C, TRADES_D])
def test_with_fewer_names_than_fields_the_values_decide(rows: bytes) -> None:
    layout = layout_of(b"Price,Volume,Timestamp,b/s,m/l,misc\n" + rows)
    assert (layout.columns, layout.has_header) == (layout_of(rows).columns, True)


def test_candles_may_have_a_header() -> None:
    layout = layout_of(b"Timestamp,Open,High,Low,Close,Volume,Trades\n" + CANDLES, "ETHUSD_5.csv")
    assert layout == Layout("candles", COLUMNS_OHLCVT, True, "OHLCVT")


def test_a_header_alone_is_enough() -> None:
    assert layout_of(b"timestamp,price,volume\n") == Layout("trades", COLUMNS_A, True, "A")


def test_a_bom_and_crlf_do_not_matter() -> None:
    assert layout_of(b"\xef\xbb\xbf" + TRADES_D.replace(b"\n", b"\r\n")).schema == "D"
    assert layout_of(b"\xef\xbb\xbftimestamp,price,volume\r\n1672531436,1,1\r\n").has_header


@pytest.mark.parametrize(
    "bad", [b"soon,90.1,1.0\n", b"1672531436,90.1\n", b"1672531436,nan,1\n", b"1,2,3,4\n"]
)
def test_bad_first_rows_do_not_decide(bad: bytes) -> None:
    layout = layout_of(bad + bad + TRADES_A * 2)
    assert (layout.schema, layout.has_header) == ("A", False)


def test_a_line_cut_by_the_end_of_the_first_bytes_does_not_count() -> None:
    assert layout_of(TRADES_A + b"1672531437,90.4,1.0,b,l,\xc3").schema == "A"


def test_an_empty_file_has_the_layout_of_its_name() -> None:
    assert layout_of(b"").schema == "A"
    assert layout_of(b"\r\n", "XBTUSD_60.csv").schema == "OHLCVT"


@pytest.mark.parametrize("raw", [b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe1\0", b"\xc0\xc1,1,2\n"])
def test_binary_content_is_refused(raw: bytes) -> None:
    assert (
        refusal_of(raw)
        == "XBTUSD.csv: it is binary, not a CSV in UTF-8; write it as plain CSV or leave it out."
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"1672531436;90.5;1.1\n",
        b"date,headline\n2024-01-01,hello\n",
        b"timestamp,price\n1672531436,1\n",
        b"timestamp,price,price\n1672531436,1,1\n",
        b"1,2,3\n4,5,6\n",
        b"hello world\n",
    ],
)
def test_wrong_columns_are_refused_with_the_right_ones(raw: bytes) -> None:
    sentence = refusal_of(raw)
    assert sentence.startswith("XBTUSD.csv: it begins with ")
    assert "it must have timestamp,price,volume or timestamp,price,volume,side" in sentence


def test_candles_under_the_name_of_trades_are_refused_and_the_other_way_round() -> None:
    assert "holds candles, but the name says trades" in refusal_of(CANDLES)
    assert "holds trades, but the name says 60-minute candles" in refusal_of(TRADES_D, "XBTUSD_60.csv")


# --- blocks ------------------------------------------------------------------------------------------------

PLAIN = Layout("trades", COLUMNS_A, False, "A")
WITH_HEADER = Layout("trades", COLUMNS_A, True, "A")


def cut(raw: bytes, layout: Layout = PLAIN, target_bytes: int = 1 << 20) -> list[RawBlock]:
    return list(blocks(io.BytesIO(raw), layout, 0, 1, target_bytes))


def data_of(raw: bytes, layout: Layout = PLAIN, target_bytes: int = 1 << 20) -> bytes:
    return b"".join(block.data for block in cut(raw, layout, target_bytes))


def test_blocks_are_whole_lines_that_add_up_to_the_file() -> None:
    raw = b"".join(b"%d,1,1\n" % number for number in range(500))
    found_blocks = cut(raw, target_bytes=100)
    assert len(found_blocks) > 20
    assert all(block.data.endswith(b"\n") and len(block.data) <= 100 for block in found_blocks)
    assert b"".join(block.data for block in found_blocks) == raw


def test_blocks_know_their_lines_and_their_place() -> None:
    raw = b"".join(b"%d,1,1\n" % number for number in range(1, 500))
    for block in cut(raw, target_bytes=64):
        assert raw[block.offset : block.end_offset] == block.data
        assert block.data.startswith(b"%d," % block.first_line)
        assert block.next_line == block.first_line + block.data.count(b"\n")


def test_a_last_line_without_an_end_gets_one() -> None:
    (block,) = cut(b"1,1,1\n2,2,2")
    assert (block.data, block.end_offset) == (b"1,1,1\n2,2,2\n", 11)


@pytest.mark.parametrize("target_bytes", [1, 6, 7, 8, 9, 100])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n\n\n\n", b"\n", b""])
def test_blank_lines_at_the_end_do_not_count(target_bytes: int, end: bytes) -> None:
    assert data_of(b"1,1,1\n2,2,2" + end, PLAIN, target_bytes) == b"1,1,1\n2,2,2\n"


@pytest.mark.parametrize("target_bytes", [1, 6, 7, 8, 100])
def test_a_blank_line_between_rows_stays_so_that_it_is_rejected(target_bytes: int) -> None:
    assert data_of(b"1,1,1\n\n2,2,2\n", PLAIN, target_bytes) == b"1,1,1\n\n2,2,2\n"


@pytest.mark.parametrize("target_bytes", [1, 7, 8, 100])
def test_crlf_becomes_lf(target_bytes: int) -> None:
    assert data_of(b"1,1,1\r\n2,2,2\r\n", PLAIN, target_bytes) == b"1,1,1\n2,2,2\n"


def test_a_bom_is_dropped() -> None:
    (block,) = cut(b"\xef\xbb\xbf1,1,1\n")
    assert (block.data, block.offset, block.first_line) == (b"1,1,1\n", 3, 1)


@pytest.mark.parametrize("target_bytes", [1, 15, 100])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_header_is_left_out_and_counted(target_bytes: int, start: bytes) -> None:
    header = start + b"timestamp,price,volume\r\n"
    first, *_ = cut(header + b"1,1,1\n2,2,2\n", WITH_HEADER, target_bytes)
    assert (first.offset, first.first_line) == (len(header), 2)
    assert first.data.startswith(b"1,1,1\n")


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"timestamp,price,volume", b"timestamp,price,volume\n\n"])
def test_a_file_without_rows_has_no_blocks(raw: bytes) -> None:
    assert cut(raw, WITH_HEADER if raw.startswith(b"t") else PLAIN) == []


@pytest.mark.parametrize("target_bytes", [1, 17, 64, 1000])
def test_resuming_after_any_block_yields_exactly_the_blocks_that_follow(target_bytes: int) -> None:
    rows = b"".join(b"%d,1,1\r\n" % (number * number) + b"\n" * (number % 7 == 0) for number in range(99))
    raw = b"timestamp,price,volume\n" + rows + b"\n\n"
    whole = cut(raw, WITH_HEADER, target_bytes)
    for number, block in enumerate(whole, start=1):
        rest = io.BytesIO(raw)
        rest.seek(block.end_offset)
        again = blocks(rest, WITH_HEADER, block.end_offset, block.next_line, target_bytes)
        assert list(again) == whole[number:]


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(ImportFileError, match="has no line end for"):
        cut(b"1,1,1\n" + b"1" * (3 << 20), target_bytes=1000)


def test_short_reads_make_no_difference() -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(3, size) if size and size > 0 else size)

    assert b"".join(block.data for block in blocks(Dribble(TRADES_A), PLAIN, 0, 1, 50)) == TRADES_A


# --- the real thing ----------------------------------------------------------------------------------------


def test_the_recorded_archives_are_read_to_the_last_line(samples: Path) -> None:
    rows = {}
    for member in found(samples / "archives"):
        with member.open() as stream:
            layout = sniff(stream.read(SNIFF_BYTES), member)
        with member.open() as stream:
            rows[member.stem, layout.schema] = sum(
                block.data.count(b"\n") for block in blocks(stream, layout, 0, 1, 100_000)
            )
    assert rows == {
        ("ETHUSD", "OHLCVT"): 52_943,
        ("XDGUSD", "OHLCVT"): 52_578,
        ("XBTUSD", "OHLCVT"): 70_253,
        ("BCHEUR", "A"): 148,
    }
