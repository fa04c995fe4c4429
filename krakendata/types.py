"""The words everybody speaks: intervals, pairs and their four spellings, trades and candles."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import repeat
from typing import Any, NamedTuple, Self

from krakendata.errors import Refused, UnknownInterval, UnknownSymbol

__all__ = [
    "EPOCH",
    "GONE",
    "INTERVALS",
    "Candle",
    "HistoricalCandle",
    "Interval",
    "Pair",
    "Source",
    "Symbols",
    "Trade",
    "archive_position",
    "archive_trade_id",
    "bucket_start_ns",
    "interval_of",
    "is_symbol",
    "ns_of",
    "pairs_from_asset_pairs",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
MINUTES_PER_WEEK = 7 * 24 * 60

# The epoch was a Thursday; our weeks start on Monday, and the first one after it was four days later.
FIRST_MONDAY_NS = 4 * 24 * 60 * NS_PER_MINUTE


class Source(StrEnum):
    """Where a record came from."""

    ARCHIVE = "archive"
    REST = "rest"
    WEBSOCKET = "websocket"


# --- intervals ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """One length of candle.

    `relation` is the table or aggregate that holds it, `view` the one to read (both sides of the fence),
    `parent` the name of the interval it is built from: `INTERVALS[interval.parent].relation`.

    One in between (`is_stored` False, intervals.py) is folded when it is read: relation and view are those of its
    parent. Calendar months are `months`, and their `minutes` 0: they differ in length.
    """

    name: str
    minutes: int
    relation: str
    view: str
    parent: str | None
    months: int = 0
    is_stored: bool = True

    @property
    def length(self) -> timedelta:
        """The same as a duration; months, which have none, raise ValueError."""
        if self.months:
            raise ValueError(f"{self.name} has no one length: months differ.")
        return timedelta(minutes=self.minutes)


def _interval(name: str, minutes: int, parent: str | None) -> Interval:
    relation = f"candles_{name}" if parent else "candles"
    return Interval(name, minutes, relation, f"all_candles_{name}", parent)


INTERVALS: dict[str, Interval] = {
    interval.name: interval
    for interval in (
        _interval("1m", 1, None),
        _interval("5m", 5, "1m"),
        _interval("15m", 15, "1m"),
        _interval("30m", 30, "1m"),
        _interval("1h", 60, "1m"),
        _interval("4h", 240, "1h"),
        _interval("12h", 720, "1h"),
        _interval("1d", 1440, "1h"),
        _interval("1w", MINUTES_PER_WEEK, "1h"),
    )
}

_BY_MINUTES = {interval.minutes: interval for interval in INTERVALS.values()}


def interval_of(value: str | int | Interval) -> Interval:
    """The interval called `value`: a name ("1h"), minutes (60), or an interval already.

    Raises UnknownInterval, which lists the known ones.
    """
    if isinstance(value, Interval):
        return value
    found = INTERVALS.get(value) if isinstance(value, str) else _BY_MINUTES.get(value)
    if found is None:
        raise UnknownInterval(value, INTERVALS)
    return found


# --- time --------------------------------------------------------------------------------------------------


def ns_of(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware `moment`; a naive one raises ValueError."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; give an aware datetime, in UTC.")
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


def moment_of(ns: int) -> datetime:
    """The UTC moment `ns` nanoseconds after the epoch, cut to microseconds, never rounded up."""
    return EPOCH + timedelta(microseconds=ns // 1_000)


def bucket_start_ns(ns: int, minutes: int) -> int:
    """Where the bucket of `minutes` that contains `ns` starts; weeks start on Monday, all in UTC."""
    offset = FIRST_MONDAY_NS if minutes % MINUTES_PER_WEEK == 0 else 0
    return ns - (ns - offset) % (minutes * NS_PER_MINUTE)


# --- trades ------------------------------------------------------------------------------------------------

# Archives without ids count the trades within a second. A million of them is a thousand times the largest
# burst known (kraken-facts 1.3), and the smallest id, -(2**53), still is an exact double and a bigint.
ORDINALS_PER_SECOND = 2**20
SECONDS_BELOW_ZERO = 2**33


def archive_trade_id(second: int, ordinal: int) -> int:
    """The id of the trade that is `ordinal`th (from 0, in file order) within the epoch `second`.

    Negative, and rising in file order; equal for the same row of an overlapping archive.
    """
    if not 0 <= second < SECONDS_BELOW_ZERO or not 0 <= ordinal < ORDINALS_PER_SECOND:
        raise ValueError(f"No archive trade id for second {second} and ordinal {ordinal}.")
    return (second - SECONDS_BELOW_ZERO) * ORDINALS_PER_SECOND + ordinal


def archive_position(trade_id: int) -> tuple[int, int]:
    """The (second, ordinal) that `archive_trade_id` made `trade_id` from."""
    if not -SECONDS_BELOW_ZERO * ORDINALS_PER_SECOND <= trade_id < 0:
        raise ValueError(f"{trade_id} is not the id of an archive trade.")
    second, ordinal = divmod(trade_id, ORDINALS_PER_SECOND)
    return second + SECONDS_BELOW_ZERO, ordinal


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade of one pair.

    `symbol` is the v2 spelling. `trade_id` is Kraken's per pair, negative for a row of an archive without
    ids (`archive_trade_id`), 0 while it has none yet. `ns` is the time in nanoseconds since the epoch.
    `side` is the taker's, "buy" or "sell"; `order_type` is "market" or "limit"; None: not known.
    """

    symbol: str
    trade_id: int
    ns: int
    price: Decimal
    volume: Decimal
    side: str | None = None
    order_type: str | None = None

    @property
    def timestamp(self) -> datetime:
        """The time as stored: aware UTC, cut to microseconds."""
        return moment_of(self.ns)


# --- candles -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistoricalCandle:
    """What a pair did in the half-open time from `timestamp` (aware UTC) to `end`.

    `volume` is in the base currency; `turnover`, the sum of price × volume, in the quote currency, None when
    not known (OHLCVT archives). `first_id` and `last_id` are None when the candle was not built from
    trades, negative when from an archive without ids, positive when exact.
    """

    symbol: str
    interval_minutes: int
    timestamp: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal | None
    trade_count: int
    first_id: int | None = None
    last_id: int | None = None

    @property
    def vwap(self) -> Decimal | None:
        """The volume-weighted average price, turnover / volume; None without turnover or volume."""
        if self.turnover is None or not self.volume:
            return None
        return self.turnover / self.volume

    @property
    def end(self) -> datetime:
        """The first moment after the candle."""
        return self.timestamp + timedelta(minutes=self.interval_minutes)

    @property
    def range(self) -> Decimal:
        """High minus low."""
        return self.high - self.low

    @property
    def body(self) -> Decimal:
        """The distance between open and close, never negative."""
        return abs(self.close - self.open)

    @property
    def upper_wick(self) -> Decimal:
        """From the top of the body up to the high."""
        return self.high - max(self.open, self.close)

    @property
    def lower_wick(self) -> Decimal:
        """From the low up to the bottom of the body."""
        return min(self.open, self.close) - self.low

    @property
    def is_bullish(self) -> bool:
        """It closed above its open."""
        return self.close > self.open

    @property
    def is_bearish(self) -> bool:
        """It closed below its open."""
        return self.close < self.open

    @property
    def is_doji(self) -> bool:
        """It closed exactly at its open."""
        return self.close == self.open

    @property
    def change(self) -> Decimal:
        """Close minus open."""
        return self.close - self.open

    @property
    def change_percent(self) -> Decimal:
        """The change in percent of the open."""
        return self.change / self.open * 100

    @property
    def typical_price(self) -> Decimal:
        """(high + low + close) / 3."""
        return (self.high + self.low + self.close) / 3

    @property
    def median_price(self) -> Decimal:
        """(high + low) / 2."""
        return (self.high + self.low) / 2

    @property
    def weighted_close(self) -> Decimal:
        """(high + low + 2 × close) / 4."""
        return (self.high + self.low + 2 * self.close) / 4

    @property
    def is_exact(self) -> bool:
        """Its own ids prove that no trade is missing: exact ones, as many as the trades."""
        if self.first_id is None or self.last_id is None:
            return False
        return self.first_id > 0 and self.last_id - self.first_id + 1 == self.trade_count


class Candle(NamedTuple):
    """One candle as the database has it (REC-006; `HistoricalCandle` is the rich one).

    `timestamp` is the start, aware UTC. `volume` is in the base currency; `turnover`, Σ price × volume, in
    the quote currency, and `vwap` = turnover / volume, both None where an archive does not tell. `first_id`
    and `last_id` as in HistoricalCandle. `coarse`: given by an archive at this interval, not built from
    minutes. The order is that of the columns in sql/reads.sql. Of a synthetic candle the prices are None where the
    reader asked for `fill="null"`, which the types do not tell.
    """

    symbol: str
    timestamp: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    vwap: Decimal | None
    trade_count: int
    turnover: Decimal | None
    first_id: int | None
    last_id: int | None
    coarse: bool

    @property
    def is_synthetic(self) -> bool:
        """It has no trade: a reader asked for the quiet buckets too (`fill`), or a stream takes a candle back."""
        return self.trade_count == 0

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Self:
        """Make a candle of a database row whose columns are in this order."""
        return tuple.__new__(cls, row)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[Any, ...]]) -> tuple[Self, ...]:
        """The same of many rows, without a call of ours for each."""
        return tuple(map(tuple.__new__, repeat(cls), rows))


# --- pairs and their names ---------------------------------------------------------------------------------

# The two assets whose v2 name is not the one in `wsname`; no others in 1,450 pairs (kraken-facts 3).
_V2_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
_REST_NAMES = {v2: old for old, v2 in _V2_NAMES.items()}

# Every quote currency of the full pair list of July 2025 (kraken-facts 1.6), longest first: ETHPYUSD is
# ETH/PYUSD, not ETHPY/USD.
# "BTC" is not among the exchange's; people type it.
QUOTES = (
    *("PYUSD", "RLUSD"),
    *("USDC", "USDD", "USDQ", "USDR", "USDT"),
    *("USD", "EUR", "XBT", "GBP", "ETH", "AUD", "JPY", "CAD", "CHF", "SOL", "DAI", "BTC"),
)

# Bases whose end and a quote's beginning make a longer quote: MERLUSD is MERL/USD, not ME/RLUSD.
SWALLOWED_BASES = ("MERL", "JPY")

# The REST keys of old assets, X for crypto and Z for fiat (AssetPairs of 2025 and Assets of 2020). Letters
# are never stripped by rule: XTZ, XCN, ZRX are real names.
_OLD_CRYPTO = ("ETC", "ETH", "LTC", "MLN", "REP", "XBT", "XDG", "XLM", "XMR", "XRP", "ZEC")
_OLD_FIAT = ("AUD", "CAD", "EUR", "GBP", "JPY", "USD")
_OLD_IDS = {f"X{name}": name for name in _OLD_CRYPTO} | {f"Z{name}": name for name in _OLD_FIAT}

# The one key that joins a new base and an old quote. USDTZUSD read by suffix would be USDTZ/USD.
_ODD_KEYS = {"USDTZUSD": ("USDT", "USD")}

# Dark pools were listed as "ETHCAD.d" and had no wsname (kraken-facts 1.6); theirs are markets of their own.
_DARK_POOL = ".d"

# Bases may hold lower case (AAPLx); a quote never does, so that "btc/usd" is not taken for a pair.
_SYMBOL = re.compile(r"[A-Z0-9][A-Za-z0-9.]{0,31}/[A-Z0-9]{1,16}(\.d)?", re.ASCII)

# No name is as long; looking for names like one takes time in proportion to it.
LONGEST_NAME = 64


def is_symbol(text: str) -> bool:
    """Whether `text` has the shape of a v2 symbol or a wsname: BASE/QUOTE."""
    return _SYMBOL.fullmatch(text) is not None


# What we call a pair that the exchange lists no more, or by another symbol; its other words stay as it says them.
DELISTED, RENAMED = "delisted", "renamed"
GONE = (DELISTED, RENAMED)


@dataclass(frozen=True)
class Pair:
    """One market of the exchange in its four spellings.

    `symbol` is the v2 name and ours (BTC/USD), `key` REST's (XXBTZUSD), `altname` also the stem of archive
    files (XBTUSD), `wsname` the old WebSocket's (XBT/USD). `base` and `quote` are the two halves of
    `symbol`. `status` is the exchange's word as it came ("online"), "unknown" when it gave none, or ours, one of
    GONE, when it is listed no more.
    """

    symbol: str
    key: str
    altname: str
    wsname: str
    base: str
    quote: str
    status: str
    price_decimals: int
    volume_decimals: int

    @property
    def is_gone(self) -> bool:
        """Whether the exchange lists it no more; its key, altname and wsname may be another's today."""
        return self.status in GONE


def pairs_from_asset_pairs(result: Mapping[str, Mapping[str, object]]) -> list[Pair]:
    """The pairs of an AssetPairs `result` (kraken-facts 1.6), in its order; bad shapes raise ValueError."""
    return [_pair(key, facts) for key, facts in result.items()]


def _pair(key: str, facts: Mapping[str, object]) -> Pair:
    try:
        altname = str(facts["altname"])
        wsname = str(facts.get("wsname") or _wsname(altname) or "")
        symbol = _v2_symbol(wsname)
        base, quote = symbol.split("/")
        return Pair(
            symbol=symbol,
            key=key,
            altname=altname,
            wsname=wsname,
            base=base,
            quote=quote,
            status=str(facts.get("status") or "unknown"),
            price_decimals=int(str(facts["pair_decimals"])),
            volume_decimals=int(str(facts["lot_decimals"])),
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"AssetPairs entry {key!r} cannot be read: {error!r}.") from error


def _v2_symbol(wsname: str) -> str:
    """BTC/USD from XBT/USD."""
    return "/".join(_V2_NAMES.get(side, side) for side in wsname.split("/"))


def _wsname(name: str) -> str | None:
    """XBT/USD from XBTUSD or XXBTZUSD, by the exchange's quote currencies; None: not derivable."""
    if name.endswith(_DARK_POOL):
        lit = _wsname(name.removesuffix(_DARK_POOL))
        return lit and lit + _DARK_POOL
    sides = _ODD_KEYS.get(name) or _split_old_key(name) or _split_altname(name)
    return "/".join(sides) if sides else None


def _split_old_key(key: str) -> tuple[str, str] | None:
    """XXBTZUSD and XXBTUSDQ: an old base, then an old or a new quote."""
    base = _OLD_IDS.get(key[:4])
    quote = _OLD_IDS.get(key[4:], key[4:])
    return (base, quote) if base and quote in QUOTES else None


def _split_altname(altname: str) -> tuple[str, str] | None:
    """ETHPYUSD: the longest quote it ends with, unless a base is known to reach into that quote."""
    for base in SWALLOWED_BASES:
        if altname.startswith(base) and altname.removeprefix(base) in QUOTES:
            return base, altname.removeprefix(base)
    for quote in QUOTES:
        base = altname.removesuffix(quote)
        if base and base != altname:
            return base, quote
    return None


class Symbols:
    """Any spelling of a pair to its symbol: by the exchange's list, else by rule."""

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self.pairs = tuple(pairs)
        self._by_symbol = {pair.symbol: pair for pair in self.pairs}
        self._by_name = {
            name: pair.symbol
            # The last one wins: of two pairs with one name, that which is listed today.
            for pair in sorted(self.pairs, key=lambda pair: not pair.is_gone)
            for name in (pair.wsname, pair.altname, pair.key, pair.symbol)
        }

    def resolve(self, name: str, *, find_closest: bool = True) -> str:
        """The v2 symbol of `name`, given in any of the four spellings.

        Names missing from the list (delisted, renamed) are read by the exchange's quote currencies; one that
        has the shape BASE/QUOTE is taken as it is. Letters keep their case (AAPLxUSD).
        Raises UnknownSymbol, which names the remedy and the closest known names, if wanted: they take a while.
        """
        listed = self._by_name.get(name)
        if listed is not None:
            return listed
        wsname = name if "/" in name else _wsname(name)
        if wsname is None or not is_symbol(wsname):
            alike = name[:LONGEST_NAME].upper()
            closest = difflib.get_close_matches(alike, self._by_name, n=3) if find_closest else ()
            raise UnknownSymbol(name, closest)
        return _v2_symbol(wsname)

    def pair(self, name: str) -> Pair | None:
        """What the list says of `name` (any spelling); None when it is not listed."""
        return self._by_symbol.get(self._by_name.get(name, name))

    def altname(self, symbol: str) -> str:
        """The name to ask REST with: XBTUSD for BTC/USD. A pair that is not listed gets its name by rule.

        Raises UnknownSymbol for what is no pair's name, and Refused where the name is another pair's today:
        its trades would be taken for those of `symbol`.
        """
        pair = self.pair(symbol)
        asked = pair.symbol if pair else self.resolve(symbol)
        altname = pair.altname if pair else _altname(asked)
        owner = self._by_name.get(altname, asked)
        if owner != asked:
            raise Refused(
                f"The exchange lists {asked} no more, and its name {altname} is {owner} today: ask for {owner}. "
                f"What was collected of {asked} stays."
            )
        return altname


def _altname(symbol: str) -> str:
    """XBTUSD from BTC/USD, ETHCAD.d from ETH/CAD.d."""
    dark = _DARK_POOL if symbol.endswith(_DARK_POOL) else ""
    sides = symbol.removesuffix(_DARK_POOL).split("/")
    return "".join(_REST_NAMES.get(side, side) for side in sides) + dark
