"""REST answers read: from the bytes of a body to rows, cursors and pairs (kraken-facts 1). No I/O.

No number ever becomes a float: prices and volumes are the text they came as, times are Decimals of every digit,
cursors are text. Each function raises the KrakenError that the body stands for, see `refusals.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

from krakendata.errors import Unavailable
from krakendata.kraken.refusals import error_among, error_of_status
from krakendata.types import Pair, pairs_from_asset_pairs

OK = 200


class TradesPage(NamedTuple):
    """Rows of REST Trades as sent, oldest first, and the cursor behind them.

    A row is a tuple of price, volume, time, side, order type, misc, trade id; one of another shape is given as it
    came, lists as tuples, for `validate_rest_trade` to refuse. `last` is None where it was missing.
    """

    rows: tuple[object, ...]
    last: str | None


class CandlesPage(NamedTuple):
    """Rows of REST OHLC as sent, the last one still forming; `last` is the start of the newest closed one."""

    rows: tuple[object, ...]
    last: str | None


class PairList(NamedTuple):
    """The exchange's pairs; `unreadable` says by REST key what is wrong with an entry that is none."""

    pairs: list[Pair]
    unreadable: dict[str, str]


class _Envelope(msgspec.Struct):
    error: list[str]
    result: msgspec.Raw = msgspec.Raw(b"null")


class _ServerTime(msgspec.Struct):
    unixtime: int


class _SystemStatus(msgspec.Struct):
    status: str


_TradeRow = tuple[str, str, Decimal, str, str, str, int]
_CandleRow = tuple[int, str, str, str, str, str, str, int]


def exact(text: str) -> Decimal | str:
    """A number with a point or an exponent; one beyond every bound stays text."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


_envelopes = msgspec.json.Decoder(_Envelope)
_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
_lists = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder(float_hook=exact)
_entries = msgspec.json.Decoder(dict[str, Any], float_hook=exact)
_cursors = msgspec.json.Decoder(str | int)
_times = msgspec.json.Decoder(_ServerTime)
_statuses = msgspec.json.Decoder(_SystemStatus)

# A page of a thousand trades takes 0.8 ms so, and 3 ms as values of any type.
_trade_pages = msgspec.json.Decoder(tuple[_TradeRow, ...])
_trade_rows = msgspec.json.Decoder(_TradeRow)
_candle_pages = msgspec.json.Decoder(tuple[_CandleRow, ...])
_candle_rows = msgspec.json.Decoder(_CandleRow)


def read_trades_page(body: bytes, now: datetime | None = None) -> TradesPage:
    """An answer of Trades. `now` is the exchange's time, if known: see `error_among`."""
    with _strangeness_told(body):
        rows, last = _rows_and_last(_result(body, now))
        return TradesPage(_read_rows(rows, _trade_pages, _trade_rows), last)


def read_candles_page(body: bytes, now: datetime | None = None) -> CandlesPage:
    """An answer of OHLC."""
    with _strangeness_told(body):
        rows, last = _rows_and_last(_result(body, now))
        return CandlesPage(_read_rows(rows, _candle_pages, _candle_rows), last)


def read_pairs(body: bytes, now: datetime | None = None) -> PairList:
    """An answer of AssetPairs, in its order."""
    found = PairList([], {})
    with _strangeness_told(body):
        for key, raw in _objects.decode(_result(body, now)).items():
            try:
                found.pairs.extend(pairs_from_asset_pairs({key: _entries.decode(raw)}))
            except ValueError as error:
                found.unreadable[key] = str(error)
    return found


def read_server_time(body: bytes, now: datetime | None = None) -> datetime:
    """An answer of Time: whole seconds, aware UTC."""
    with _strangeness_told(body):
        return datetime.fromtimestamp(_times.decode(_result(body, now)).unixtime, UTC)


def read_system_status(body: bytes, now: datetime | None = None) -> str:
    """An answer of SystemStatus: "online", "maintenance", "cancel_only" or "post_only"."""
    with _strangeness_told(body):
        return _statuses.decode(_result(body, now)).status


def check_status(
    status: int, body: bytes, now: datetime | None = None, retry_after: str | None = None
) -> None:
    """Raise what an HTTP status other than 200 stands for, in the API's own words where the body has them."""
    if status == OK:
        return
    try:
        told = error_among(_envelopes.decode(body).error, now)
    except ValueError:
        told = None
    raise error_of_status(status, body, told, retry_after)


@contextmanager
def _strangeness_told(body: bytes) -> Iterator[None]:
    """Whatever in a body is not as the API writes it: asked again, it may be."""
    try:
        yield
    except (ValueError, OverflowError, RecursionError) as error:
        raise error_of_status(OK, body) from error


def _result(body: bytes, now: datetime | None) -> msgspec.Raw:
    envelope = _envelopes.decode(body)
    error = error_among(envelope.error, now)
    if error is not None:
        raise error
    return envelope.result


def _rows_and_last(result: msgspec.Raw) -> tuple[msgspec.Raw, str | None]:
    """The one key that is not `last` (it need not be the name asked for), and `last` as text."""
    fields = _objects.decode(result)
    last = fields.pop("last", None)
    if len(fields) != 1:
        raise Unavailable(f"The exchange was asked about one pair and answered about {len(fields)}.")
    return next(iter(fields.values())), None if last is None else _cursor(last)


def _cursor(raw: msgspec.Raw) -> str | None:
    """Text or a whole number, as text; anything else is no cursor, and counts as missing."""
    try:
        return str(_cursors.decode(raw))
    except msgspec.ValidationError:
        return None


def _read_rows(
    raw: msgspec.Raw, pages: msgspec.json.Decoder[Any], rows: msgspec.json.Decoder[Any]
) -> tuple[object, ...]:
    """All rows at once where each has the API's shape; else one by one, so that only the odd ones differ."""
    try:
        return tuple(pages.decode(raw))
    except msgspec.ValidationError:
        return tuple(_read_row(row, rows) for row in _lists.decode(raw))


def _read_row(raw: msgspec.Raw, rows: msgspec.json.Decoder[Any]) -> object:
    try:
        return rows.decode(raw)
    except msgspec.ValidationError:
        row = _anything.decode(raw)
        return tuple(row) if isinstance(row, list) else row
