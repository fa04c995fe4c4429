"""What an import would do, told before it starts: the files, their pairs, and the rows behind the retention."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from krakendata.errors import ImportFileError, UnknownSymbol
from krakendata.kraken.archive_files import Found
from krakendata.kraken.archives import SNIFF_BYTES, ArchiveMember, Layout, find_members, sniff
from krakendata.storage.ledger import Lines
from krakendata.types import Symbols


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file to import. `key` names it in import_files; `rows` and `rows_behind` are estimates.

    `rows_behind` counts the rows before the retention line, which are folded rather than stored; for a member of a
    zip, which cannot be looked into without unpacking it, it is the most there can be.
    """

    key: str
    member: ArchiveMember
    symbol: str
    layout: Layout
    rows: int
    rows_behind: int

    @property
    def is_coarse(self) -> bool:
        """Whether its candles are longer than a minute."""
        return self.member.interval_minutes not in (None, 1)

    @property
    def order(self) -> tuple[bool, int]:
        """Finest first: trades with ids, trades without, then candles by length."""
        return ("trade_id" not in self.layout.columns, self.member.interval_minutes or 0)


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Every file found: to import, unchanged since it was imported, or refused with a sentence."""

    files: list[PlannedFile]
    unchanged: list[str]
    refused: list[ImportFileError]

    @property
    def total_bytes(self) -> int:
        return sum(file.member.size for file in self.files)


def file_key(member: ArchiveMember) -> str:
    """The member's name in import_files: the absolute path of its container, and the name inside a zip."""
    container = str(member.files[0].resolve())
    return f"{container}!{member.entry.filename}" if member.entry is not None else container


def plan_import(
    paths: Iterable[Path],
    symbols: Symbols,
    symbol: str | None,
    lines: Lines,
    imported: Mapping[str, tuple[str, str]],
) -> ImportPlan:
    """Look at every member of `paths`.

    `symbol` overrides the file names. `imported` has the version and pair of every file that is wholly in.
    """
    return plan_members(find_members(paths), symbols, symbol, lines, imported)


def plan_members(
    members: Iterable[Found],
    symbols: Symbols,
    symbol: str | None,
    lines: Lines,
    imported: Mapping[str, tuple[str, str]],
) -> ImportPlan:
    """Look at members that were found before; what was refused there is refused here."""
    plan = ImportPlan([], [], [])
    for found in members:
        if isinstance(found, ImportFileError):
            plan.refused.append(found)
            continue
        key = file_key(found)
        try:
            pair = symbol or _symbol_of(found, symbols)
            if imported.get(key) == (found.version, pair):
                plan.unchanged.append(key)
            else:
                plan.files.append(_planned(found, key, pair, lines))
        except ImportFileError as error:
            plan.refused.append(error)
    return plan


def _symbol_of(member: ArchiveMember, symbols: Symbols) -> str:
    try:
        return symbols.resolve(member.stem)
    except UnknownSymbol as error:
        raise ImportFileError(
            f"{member.path}: {member.stem!r} is not the name of a pair; name it with --symbol BASE/QUOTE.",
            file=member.path,
        ) from error


def _planned(member: ArchiveMember, key: str, symbol: str, lines: Lines) -> PlannedFile:
    with member.open() as stream:
        first_bytes = stream.read(SNIFF_BYTES)
    layout = sniff(first_bytes, member)
    line = lines.trades if layout.kind == "trades" else lines.candles
    sample_rows = max(first_bytes.count(b"\n"), 1)
    bytes_a_row = max(min(len(first_bytes), member.size) / sample_rows, 1.0)
    rows = round(member.size / bytes_a_row)
    behind = (
        0 if member.interval_minutes not in (None, 1) else _bytes_before(member, layout, first_bytes, line)
    )
    return PlannedFile(key, member, symbol, layout, rows, round(behind / bytes_a_row))


def _bytes_before(member: ArchiveMember, layout: Layout, first_bytes: bytes, line: datetime) -> int:
    """How many bytes of the file lie before a moment: found by bisection in a file, at most all of it in a zip."""
    column = layout.columns.index("timestamp")
    limit = Decimal(line.timestamp())
    first_line = first_bytes.splitlines()[int(layout.has_header) :][:1]
    if not first_line or _second(first_line[0], column, limit) >= limit:
        return 0
    if member.entry is not None:
        return member.size
    low, high = 0, member.size
    with member.open() as stream:
        while high - low > SNIFF_BYTES:
            middle = (low + high) // 2
            stream.seek(middle)
            stream.readline()
            if _second(stream.readline(), column, limit) < limit:
                low = middle
            else:
                high = middle
        stream.seek(low)
        tail = io.BytesIO(stream.read(high - low))
        tail.readline()
        return low + sum(len(row) for row in tail if _second(row, column, limit) < limit)


def _second(row: bytes, column: int, otherwise: Decimal) -> Decimal:
    """The time of a row in Unix seconds; `otherwise` where it has none (the end of the file, a bad row)."""
    cells = row.split(b",")
    try:
        return Decimal(cells[column].decode().strip()) if len(cells) > column else otherwise
    except (InvalidOperation, UnicodeDecodeError):
        return otherwise
