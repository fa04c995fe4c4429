"""What the columns of an archive's CSV are, told by its first lines (kraken-facts 4.1 and 4.2)."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from krakendata.kraken.archive_members import ArchiveMember, refused

Schema = Literal["A", "C", "D", "OHLCVT"]

# How many of a file's first bytes `sniff` wants: several hundred rows, and never more than one read.
SNIFF_BYTES = 64 << 10

# How many lines have a say: enough that a bad row or two at the top do not decide.
_LINES_LOOKED_AT = 20

_SIDES = ("b", "s", "buy", "sell")

_TRADE_DETAILS = ("side", "order_type", "misc", "trade_id")
COLUMNS: dict[Schema, tuple[str, ...]] = {
    "A": ("timestamp", "price", "volume"),
    "C": ("price", "volume", "timestamp", *_TRADE_DETAILS),
    "D": ("timestamp", "price", "volume", *_TRADE_DETAILS),
    "OHLCVT": ("timestamp", "open", "high", "low", "close", "volume", "trades"),
}

# What Kraken and those who re-publish its files write above the columns, in lower case.
_COLUMN_OF_NAME = {
    **{name: name for columns in COLUMNS.values() for name in columns},
    **dict.fromkeys(("time", "unixtime", "unix_time"), "timestamp"),
    **dict.fromkeys(("b/s", "type", "buy/sell"), "side"),
    **dict.fromkeys(("m/l", "ordertype", "market/limit"), "order_type"),
    **dict.fromkeys(("miscellaneous",), "misc"),
    **dict.fromkeys(("tradeid", "id"), "trade_id"),
    **dict.fromkeys(("vol", "qty"), "volume"),
    **dict.fromkeys(("count", "trade_count"), "trades"),
}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)

# Kraken's first trade was in 2013 (1.38e9), and no price of more than a thousand million has been seen.
_FIRST_TIME, _LAST_TIME = 1e9, 1e10


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a file: `columns` are our names in the file's order.

    `schema` is the letter of kraken-facts 4.2: "A" (and B) for trades without ids, "C" and "D" with them.
    """

    kind: Literal["trades", "candles"]
    columns: tuple[str, ...]
    has_header: bool
    schema: Schema


def sniff(first_bytes: bytes, member: ArchiveMember) -> Layout:
    """The layout of `member`, judged by its first SNIFF_BYTES; an empty file has the one its name promises.

    Raises ImportFileError if this is no text, has no columns that Kraken writes, or not those of its name.
    """
    lines = [_cells(line) for line in _first_lines(first_bytes, member)]
    if not lines:
        return _layout("A" if member.interval_minutes is None else "OHLCVT", has_header=False)
    has_header = not any(map(_is_number, lines[0]))
    rows = lines[1:] if has_header else lines
    layout = _by_names(lines[0], rows, member) if has_header else _by_values(rows, member, has_header=False)
    _refuse_other_kind(layout, member)
    return layout


def _first_lines(first_bytes: bytes, member: ArchiveMember) -> list[str]:
    """The first whole, non-blank lines as text."""
    binary = refused(member.path, "is binary, not a CSV in UTF-8; write it as plain CSV or leave it out")
    if b"\0" in first_bytes:
        raise binary
    whole = first_bytes[: first_bytes.rfind(b"\n")] if b"\n" in first_bytes else first_bytes
    try:
        text = whole.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise binary from error
    return [line for line in text.splitlines() if line.strip()][:_LINES_LOOKED_AT]


def _by_names(header: Sequence[str], rows: Sequence[Sequence[str]], member: ArchiveMember) -> Layout:
    """The layout that a header names; if the rows have more fields than it has names, the rows decide (C)."""
    fields = Counter(map(len, rows)).most_common(1)[0][0] if rows else len(header)
    columns = _columns_of(header)
    if fields != len(header):
        if columns and {"timestamp", "price", "volume"} <= set(columns):
            return _by_values(rows, member, has_header=True)
        raise _wrong_columns(header, member)
    known = set(columns)
    if len(known) == len(columns):
        if known == set(COLUMNS["OHLCVT"]):
            return Layout("candles", columns, True, "OHLCVT")
        if {"timestamp", "price", "volume"} <= known <= set(COLUMNS["D"]):
            return Layout("trades", columns, True, _trades_schema(columns))
    raise _wrong_columns(header, member)


def _columns_of(header: Sequence[str]) -> tuple[str, ...]:
    """Our names for a header's, or () if one is unknown; `type` beside a named side is the order's."""
    names = [name.strip().strip('"').lower() for name in header]
    sides = [name for name in names if _COLUMN_OF_NAME.get(name) == "side"]
    aliases = _COLUMN_OF_NAME | ({"type": "order_type"} if len(sides) > 1 else {})
    return tuple(aliases[name] for name in names) if set(names) <= set(aliases) else ()


def _trades_schema(columns: Sequence[str]) -> Schema:
    if "trade_id" not in columns:
        return "A"
    return "D" if columns[0] == "timestamp" else "C"


def _by_values(rows: Sequence[Sequence[str]], member: ArchiveMember, has_header: bool) -> Layout:
    """The layout most of the rows look like."""
    votes = Counter(schema for row in rows if (schema := _schema_of(row)))
    if not votes:
        raise _wrong_columns(rows[0], member)
    return _layout(votes.most_common(1)[0][0], has_header)


def _schema_of(row: Sequence[str]) -> Schema | None:
    """The reader rule of kraken-facts 4.2 for one row; None for a row that fits no schema."""
    if len(row) == len(COLUMNS["A"]):
        return "A" if _is_time(row[0]) and all(map(_is_number, row)) else None
    if len(row) != len(COLUMNS["D"]):
        return None
    if not _is_time(row[0]):
        return "C" if _is_time(row[2]) else None
    if row[3].lower() in _SIDES:
        return "D"
    return "OHLCVT" if all(map(_is_number, row)) else None


def _layout(schema: Schema, has_header: bool) -> Layout:
    return Layout("candles" if schema == "OHLCVT" else "trades", COLUMNS[schema], has_header, schema)


def _refuse_other_kind(layout: Layout, member: ArchiveMember) -> None:
    """Raise ImportFileError if the name says candles and the rows say trades, or the other way round."""
    if layout.kind == "candles" and member.interval_minutes is None:
        raise refused(member.path, "holds candles, but the name says trades; rename it PAIR_INTERVAL.csv")
    if layout.kind == "trades" and member.interval_minutes is not None:
        minutes = member.interval_minutes
        raise refused(member.path, f"holds trades, but the name says {minutes}-minute candles; rename it")


def _wrong_columns(row: Sequence[str], member: ArchiveMember) -> Exception:
    start = ",".join(row)[:80]
    schemas: tuple[Schema, ...] = ("A", "D") if member.interval_minutes is None else ("OHLCVT",)
    wanted = " or ".join(",".join(COLUMNS[schema]) for schema in schemas)
    return refused(member.path, f"begins with {start!r}, not Kraken's columns; it must have {wanted}")


def _cells(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(",")]


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _is_time(cell: str) -> bool:
    return _is_number(cell) and _FIRST_TIME <= float(cell) < _LAST_TIME
