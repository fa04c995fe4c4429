"""A rejected record taken apart and put together again: its fields by name, and whether it can be true.

No I/O. Archives keep a line of CSV, REST and the WebSocket what they sent as JSON (fields.as_text). What cannot be
taken apart has one field, WHOLE: its text.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from krakendata.errors import CorrectionRefused
from krakendata.fields import as_text
from krakendata.ingest.candle_page import PLACE as OHLC_PLACE
from krakendata.ingest.doubtful_rows import named_fields
from krakendata.ingest.page_writer import PLACES
from krakendata.kraken.archive_layouts import COLUMNS, Layout, Schema
from krakendata.storage.reject_decisions import KeptReject
from krakendata.types import HistoricalCandle, Source, Trade
from krakendata.validation import (
    Reason,
    Rejection,
    validate_archive_candle,
    validate_archive_trade,
    validate_rest_candle,
    validate_rest_trade,
    validate_websocket_candle,
    validate_websocket_trade,
)

# The name of the only field of a record that has none.
WHOLE = "record"

# What REST and the WebSocket keep of minutes (candle_page.py, writer.py).
LIVE_MINUTES = 1

# A record is read by people; one that is longer is no row of a market.
MAX_RAW_CHARACTERS = 20_000

_INTERVAL_OF_NAME = re.compile(r"_(\d{1,5})\.csv$", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)

Verdict = Trade | HistoricalCandle | Rejection


class Shape(StrEnum):
    """What a record is, by where it came from."""

    ARCHIVE_TRADE = "a row of a trades archive"
    ARCHIVE_CANDLE = "a row of a candles archive"
    REST_TRADE = "a row of REST Trades"
    REST_CANDLE = "a row of REST OHLC"
    WEBSOCKET_TRADE = "a trade of the WebSocket"
    WEBSOCKET_CANDLE = "a candle of the WebSocket"


# The fields that a record of each shape has, in the order in which people are shown them.
_JSON_FIELDS = {
    Shape.REST_TRADE: ("price", "volume", "time", "side", "order_type", "misc", "trade_id"),
    Shape.REST_CANDLE: ("time", "open", "high", "low", "close", "vwap", "volume", "count"),
    Shape.WEBSOCKET_TRADE: ("symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp"),
    Shape.WEBSOCKET_CANDLE: (
        "symbol", "open", "high", "low", "close", "trades", "volume", "vwap", "interval_begin", "interval",
    ),
}  # fmt: skip

_RULES: dict[Shape, Callable[..., object]] = {
    Shape.ARCHIVE_TRADE: validate_archive_trade,
    Shape.ARCHIVE_CANDLE: validate_archive_candle,
    Shape.REST_TRADE: validate_rest_trade,
    Shape.REST_CANDLE: validate_rest_candle,
    Shape.WEBSOCKET_TRADE: validate_websocket_trade,
    Shape.WEBSOCKET_CANDLE: validate_websocket_candle,
}


def shape_of(record: KeptReject) -> Shape:
    """What the record is."""
    if record.source == Source.WEBSOCKET:
        is_trade = record.place == PLACES[Source.WEBSOCKET]
        return Shape.WEBSOCKET_TRADE if is_trade else Shape.WEBSOCKET_CANDLE
    if record.source == Source.REST:
        return Shape.REST_CANDLE if record.place == OHLC_PLACE else Shape.REST_TRADE
    return Shape.ARCHIVE_CANDLE if layout_of(record).kind == "candles" else Shape.ARCHIVE_TRADE


def layout_of(record: KeptReject) -> Layout:
    """How an archive's row is read; of one that was kept before its layout was, by its file's name and its fields."""
    columns = tuple(record.layout.split(",")) if record.layout else _usual_columns(record)
    is_candle = "close" in columns
    schema: Schema = "OHLCVT" if is_candle else "D" if "trade_id" in columns else "A"
    return Layout("candles" if is_candle else "trades", columns, False, schema)


def _usual_columns(record: KeptReject) -> tuple[str, ...]:
    if _INTERVAL_OF_NAME.search(record.place):
        return COLUMNS["OHLCVT"]
    return COLUMNS["A"] if record.raw.count(",") < len(COLUMNS["A"]) else COLUMNS["D"]


def interval_of(record: KeptReject) -> int:
    """The length in minutes of the candle that the record is."""
    if record.source != Source.ARCHIVE:
        return LIVE_MINUTES
    found = _INTERVAL_OF_NAME.search(record.place)
    return record.interval_minutes or (int(found[1]) if found else LIVE_MINUTES)


def rule_of(shape: Shape) -> str:
    """The rule's own words: what a record of the shape has to be."""
    return " ".join((inspect.getdoc(_RULES[shape]) or "").split())


def judge(record: KeptReject, text: str, now: datetime, known: Container[str] | None) -> Verdict:
    """Whether `text` can be true in the record's place: by the rule that refused it, as it is today.

    `known` are the symbols that a record of the WebSocket may name; None: any.
    """
    shape = shape_of(record)
    if shape is Shape.ARCHIVE_TRADE:
        return validate_archive_trade(named_fields(text, layout_of(record)), text, record.symbol, now)
    if shape is Shape.ARCHIVE_CANDLE:
        fields = named_fields(text, layout_of(record))
        return validate_archive_candle(fields, text, record.symbol, interval_of(record), now)
    parsed = _parsed(text)
    if shape is Shape.REST_TRADE:
        return validate_rest_trade(parsed, record.symbol, now)
    if shape is Shape.REST_CANDLE:
        return validate_rest_candle(parsed, record.symbol, LIVE_MINUTES, now)
    if shape is Shape.WEBSOCKET_TRADE:
        return validate_websocket_trade(parsed, now, known)
    verdict = validate_websocket_candle(parsed, now, known)
    if isinstance(verdict, HistoricalCandle) and verdict.interval_minutes != LIVE_MINUTES:
        detail = f"Of the live candles only those of {LIVE_MINUTES} minute are kept."
        return Rejection(Source.WEBSOCKET, Reason.UNKNOWN_INTERVAL, detail, text)
    return verdict


# --- fields -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: its name, and its value as text; `is_there` unless it is only offered."""

    name: str
    text: str
    is_there: bool = True

    @property
    def has_lines(self) -> bool:
        """Whether one line does not show it."""
        return self.name == WHOLE or "\n" in self.text


def fields_of(record: KeptReject, text: str) -> list[Field]:
    """The fields of `text` in order, with those that a record of its shape lacks behind them."""
    shape = shape_of(record)
    if shape in (Shape.ARCHIVE_TRADE, Shape.ARCHIVE_CANDLE):
        count = text.count(",") + 1
        named = named_fields(text, layout_of(record)).items()
        return [Field(name, value, place < count) for place, (name, value) in enumerate(named)]
    parsed = _parsed(text)
    names = _JSON_FIELDS[shape]
    if isinstance(parsed, list):
        cells = dict(zip(_row_names(names, len(parsed)), parsed, strict=True))
    elif isinstance(parsed, Mapping) and shape in (Shape.WEBSOCKET_TRADE, Shape.WEBSOCKET_CANDLE):
        cells = dict(parsed)
    else:
        return [Field(WHOLE, text)]
    missing = [Field(name, "", is_there=False) for name in names if name not in cells]
    return [*(Field(name, _shown(value)) for name, value in cells.items()), *missing]


def corrected(record: KeptReject, text: str, values: Mapping[str, str]) -> str:
    """`text` with the fields `values` set to these texts; an empty one takes a field that is too much away.

    Raises CorrectionRefused for a field that the record does not have, or a value that its form cannot hold.
    """
    known = {field.name: field for field in fields_of(record, text)}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise CorrectionRefused(f"The record has no field {unknown[0]!r}; it has {', '.join(known)}.")
    changed = {name: value for name, value in values.items() if value != known[name].text}
    if not changed:
        return text
    if WHOLE in known:
        result = changed[WHOLE]
    elif shape_of(record) in (Shape.ARCHIVE_TRADE, Shape.ARCHIVE_CANDLE):
        result = _corrected_line(list(known.values()), changed)
    else:
        result = _corrected_json(_parsed(text), list(known.values()), changed)
    if len(result) > MAX_RAW_CHARACTERS:
        raise CorrectionRefused(f"A record has {MAX_RAW_CHARACTERS:,} characters at most.")
    return as_text(result)


def _corrected_line(fields: list[Field], changed: Mapping[str, str]) -> str:
    for name, value in changed.items():
        if set(",\r\n") & set(value):
            raise CorrectionRefused(f"{name}: a field of a CSV has no comma and no line end.")
    cells = [(field.name, changed.get(field.name, field.text)) for field in fields]
    while cells and not cells[-1][1] and cells[-1][0].startswith("field "):
        cells.pop()
    return ",".join(value for _, value in cells)


def _corrected_json(parsed: Any, fields: list[Field], changed: Mapping[str, str]) -> str:
    if isinstance(parsed, list):
        row = [
            _value(changed[field.name], old) if field.name in changed else old
            for field, old in _cells(fields, parsed)
        ]
        while row and row[-1] == "" and len(row) > len(parsed):
            row.pop()
        return json.dumps(row, ensure_ascii=False, default=str)
    whole = dict(parsed)
    for name, value in changed.items():
        whole[name] = _value(value, whole.get(name, ""))
    return json.dumps(whole, ensure_ascii=False, default=str)


def _cells(fields: list[Field], row: list[Any]) -> list[tuple[Field, Any]]:
    """The fields beside the row's own values; "" where the row has none."""
    return [(field, row[place] if place < len(row) else "") for place, field in enumerate(fields)]


def _value(text: str, old: object) -> object:
    """A field's new value: a number where the old one was none of a text's, and the new one is written as one."""
    is_text = isinstance(old, str) and old != ""
    return int(text) if not is_text and _NUMBER.fullmatch(text) else text


def _row_names(names: tuple[str, ...], length: int) -> list[str]:
    further = [f"field {number + 1}" for number in range(len(names), length)]
    return [*names, *further][:length]


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return (
        f"{value}"
        if isinstance(value, int | Decimal) and not isinstance(value, bool)
        else json.dumps(value, default=str)
    )


def _parsed(text: str) -> Any:
    """The JSON that a record was kept as; the text itself where it is none."""
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return text


# --- identity -----------------------------------------------------------------------------------------------


def same_trade(record: KeptReject, trade: Trade) -> bool:
    """Whether a trade is the one that the record was refused as: a correction makes no other of it."""
    named = record.trade_id if record.trade_id is not None else named_id(record)
    return named is None or trade.trade_id == named


def named_id(record: KeptReject) -> int | None:
    """The exchange's id that the record itself names, where it can be read."""
    for field in fields_of(record, record.raw):
        if (
            field.name == "trade_id"
            and field.text.isascii()
            and field.text.isdigit()
            and len(field.text) < 19
        ):
            return int(field.text) or None
    return None
