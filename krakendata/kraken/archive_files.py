"""Finding the CSV files in what an operator points at: files, folders, zips, and the slices of one zip."""

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from krakendata.errors import ImportFileError
from krakendata.kraken.archive_members import DAMAGED, ArchiveMember, damaged, name_of_csv, refused
from krakendata.kraken.joined_files import open_joined

# Kraken's own files unpack to 4–10 times their size (XBTUSD.csv: 603 MB to 2.7 GB, kraken-facts 4.2), and the
# dullest price list to perhaps 100. Deflate itself ends at 1032, which only a bomb comes near.
MAX_UNPACK_RATIO = 200

# Below this a bomb does no harm, and a tiny file of equal rows may well be packed tightly.
RATIO_FLOOR_BYTES = 64 << 20

# The full history of trades is 47 GB unpacked today and grows by a few GB a quarter; with ids and sides about
# three times that. One tebibyte is room for years and still refuses what could only waste days.
MAX_UNPACKED_BYTES = 1 << 40

# Python's zipfile cannot name this bit: the entry is encrypted (APPNOTE 4.4.4, bit 0).
_ENCRYPTED = 0x1
_UNPACKABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

_PART_NAME = re.compile(r"(?P<zip>.+\.zip)\.part(?P<number>\d+)", re.IGNORECASE)

_KIND_OF_SUFFIX: dict[str, Literal["csv", "zip"]] = {".csv": "csv", ".zip": "zip"}

Found = ArchiveMember | ImportFileError


def find_members(paths: Iterable[Path]) -> Iterator[Found]:
    """Every CSV under `paths`, and in its place an ImportFileError for each thing that cannot be read.

    A path is a CSV, a folder (searched through), a zip, or the slices of one zip (any slice or their folder).
    Nothing is unpacked to disk. What is named twice, as by `X.zip.part*`, is found once.
    Hidden entries, `__MACOSX` and files that are neither CSV nor zip are passed over.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path, seen)
        elif not path.exists():
            yield refused(path, "does not exist; check the path")
        elif _kind_of(path) is None:
            yield refused(path, "is no .csv, .zip or .zip.partNN; give one of these or a folder")
        else:
            yield from _in_file(path, seen)


def archive_files(folder: Path) -> dict[Path, list[Path]]:
    """The files below `folder` that `find_members` would read, by archive: the slices of one zip together."""
    found: dict[Path, list[Path]] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for path in (Path(parent, name) for name in sorted(names)):
            if not _is_hidden(path.name) and _kind_of(path):
                part = _PART_NAME.fullmatch(path.name)
                found.setdefault(path.with_name(part["zip"]) if part else path, []).append(path)
    return found


def _in_folder(folder: Path, seen: set[Path]) -> Iterator[Found]:
    is_empty = True
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(names):
            path = Path(parent, name)
            if not _is_hidden(name) and _kind_of(path):
                is_empty = False
                yield from _in_file(path, seen)
    if is_empty:
        yield _nothing_found(folder)


def _in_file(path: Path, seen: set[Path]) -> Iterator[Found]:
    """What one file holds: itself if it is a CSV, else the members of the zip it is or belongs to."""
    part = _PART_NAME.fullmatch(path.name)
    whole = path.with_name(part["zip"]) if part else path
    if whole.resolve() in seen:
        return
    seen.add(whole.resolve())
    try:
        if _kind_of(path) == "csv":
            yield _plain_member(path)
        else:
            yield from _in_zip(whole, _slices(whole) if part else (path,))
    except ImportFileError as error:
        yield error
    except DAMAGED as error:
        yield damaged(path, error)


def _plain_member(path: Path) -> ArchiveMember:
    stem, minutes = name_of_csv(str(path), path.name)
    facts = path.stat()
    version = f"{facts.st_size}+{facts.st_mtime_ns}"
    return ArchiveMember(str(path), stem, minutes, facts.st_size, version, (path,))


def _slices(whole: Path) -> tuple[Path, ...]:
    """The slices of the zip `whole` in order; raises ImportFileError if one between them is missing."""
    parts = ((path, _PART_NAME.fullmatch(path.name)) for path in whole.parent.iterdir())
    by_number = {int(part["number"]): path for path, part in parts if part and part["zip"] == whole.name}
    missing = sorted(set(range(max(by_number) + 1)) - set(by_number))
    if missing:
        names = ", ".join(f"part{number:02}" for number in missing)
        raise refused(whole, f"lacks {names}; download what is missing and put it beside the other slices")
    return tuple(by_number[number] for number in sorted(by_number))


def _in_zip(shown: Path, files: tuple[Path, ...]) -> Iterator[Found]:
    """The members of the zip that `files` are, shown to people as `shown`."""
    entries = _directory(shown, files)
    _refuse_bomb(shown, sum(entry.file_size for entry in entries), sum(path.stat().st_size for path in files))
    is_empty = True
    for entry in entries:
        name = entry.filename.replace("\\", "/")
        if not _is_passed_over(name):
            is_empty = False
            try:
                yield _zip_member(f"{shown}!{name}", PurePosixPath(name), entry, files)
            except ImportFileError as error:
                yield error
    if is_empty:
        yield _nothing_found(shown)


def _directory(shown: Path, files: tuple[Path, ...]) -> list[zipfile.ZipInfo]:
    """The zip's own list of entries; raises ImportFileError if it is cut short or no zip at all."""
    with open_joined(files) as stream:
        if stream.read(1) == b"<":
            raise refused(shown, "is a web page, not a zip; the download was refused, so repeat it")
        try:
            with zipfile.ZipFile(stream) as archive:
                return archive.infolist()
        except DAMAGED as error:
            is_sliced = files[0] != shown
            cause = "a slice is missing or cut short" if is_sliced else "it is cut short or no zip"
            raise refused(shown, f"cannot be opened ({error}): {cause}; download it again") from error


def _zip_member(
    path: str, name: PurePosixPath, entry: zipfile.ZipInfo, files: tuple[Path, ...]
) -> ArchiveMember:
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise refused(path, "points outside its archive; do not trust this archive, download it from Kraken")
    if entry.flag_bits & _ENCRYPTED:
        raise refused(path, "is encrypted; unpack the archive with its password and import the folder")
    if entry.compress_type not in _UNPACKABLE:
        raise refused(
            path, f"is packed by method {entry.compress_type}, which needs another tool; unpack it first"
        )
    _refuse_bomb(path, entry.file_size, entry.compress_size)
    stem, minutes = name_of_csv(path, name.name)
    version = f"{entry.file_size}+{entry.CRC:08x}"
    return ArchiveMember(path, stem, minutes, entry.file_size, version, files, entry)


def _refuse_bomb(path: str | Path, unpacked: int, packed: int) -> None:
    """Raise ImportFileError if the sizes cannot be those of prices; overlapping entries show in their sum."""
    if unpacked > MAX_UNPACKED_BYTES:
        raise refused(path, f"would unpack to {unpacked:,} bytes, more than Kraken publishes; leave it out")
    if unpacked > RATIO_FLOOR_BYTES and unpacked > packed * MAX_UNPACK_RATIO:
        raise refused(path, f"would unpack from {packed:,} to {unpacked:,} bytes, a bomb; leave it out")


def _nothing_found(path: Path) -> ImportFileError:
    return refused(path, "holds no PAIR.csv or PAIR_INTERVAL.csv; check that it is a Kraken archive")


def _kind_of(path: Path) -> Literal["part", "csv", "zip"] | None:
    if _PART_NAME.fullmatch(path.name):
        return "part"
    return _KIND_OF_SUFFIX.get(path.suffix.lower())


def _is_hidden(name: str) -> bool:
    return name == "__MACOSX" or (name.startswith(".") and name != "..")


def _is_passed_over(name: str) -> bool:
    path = PurePosixPath(name)
    return name.endswith("/") or path.suffix.lower() != ".csv" or any(_is_hidden(part) for part in path.parts)
