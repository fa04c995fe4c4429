"""The generated market written as Kraken would publish it: one zip of candles, one zip of trades."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Protocol

from krakendata.candles import fold_candles, fold_trades
from krakendata.replay.market import MARKET_PAIRS, Market, MarketPair
from krakendata.types import NS_PER_SECOND, HistoricalCandle, Trade

CANDLES_ZIP = "Kraken_OHLCVT_sample.zip"
TRADES_ZIP = "Kraken_Trades_sample.zip"

# As in the real archives, members lie in a folder that means nothing (kraken-facts 4.2).
CANDLES_FOLDER = "OHLCVT"
TRADES_FOLDER = "TimeAndSales_Combined"

CANDLE_MINUTES = (1, 60, 1440)
SCHEMA_D_HEADER = "timestamp,price,volume,type,order_type,misc,trade_id"

# Enough to look at in every interval, and written within ten seconds on a small machine.
MONTHS = 2
TRADE_DAYS = 7

DAYS_PER_MONTH = 30
DAY = timedelta(days=1)

# A bad row follows every tenth good one until there are enough: early, where a reader of the file sees them.
BAD_ROW_EVERY = 10


@dataclass(frozen=True)
class SampleFile:
    """One CSV that was written: its archive, its name inside, its rows, and how many of those are bad."""

    archive: Path
    name: str
    rows: int
    bad_rows: int


@dataclass(frozen=True)
class Period:
    """From `start` to `until` there are candles, from `trades_start` on there are trades too."""

    start: datetime
    trades_start: datetime
    until: datetime

    def listed_at(self, pair: MarketPair) -> datetime:
        """When a pair appears."""
        return self.start + (self.until - self.start) * pair.listed_at


class Trading(Protocol):
    """What a pair traded, told once: each call goes on where the one before ended."""

    def trades(self, until: datetime) -> Iterable[Trade]:
        """Every trade up to there, in order."""

    def candles(self, until: datetime) -> Iterable[HistoricalCandle]:
        """Its minutes, instead."""


def write_sample_archive(
    directory: Path,
    seed: int,
    until: datetime,
    pairs: Sequence[MarketPair] = tuple(MARKET_PAIRS.values()),
    months: int = MONTHS,
    trade_days: int = TRADE_DAYS,
    bad_rows: int = 4,
    market_of: Callable[[MarketPair, datetime, int], Trading] = Market,
    by_trades_alone: Collection[str] = (),
) -> list[SampleFile]:
    """Write both zips into `directory`, replacing what is there, and tell what is in them.

    All ends at `until` (aware, cut to its minute). Candles of 1, 60 and 1440 minutes begin at the midnight
    `months` of 30 days before, trades at the midnight `trade_days` before; where there are trades, the
    candles are exactly theirs. Trades are in schema D, those of the last of several pairs in schema A.
    The first pair's minutes and its trades have `bad_rows` bad rows each. Equal arguments give equal bytes.
    `market_of` gives a pair's trading from a moment on, by a seed. Candles of the symbols `by_trades_alone` end where
    their trades begin.
    """
    directory.mkdir(parents=True, exist_ok=True)
    period = period_to(until, months, trade_days)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".sample-") as work:
        written = []
        for place, pair in enumerate(pairs):
            schema = "A" if 0 < place == len(pairs) - 1 else "D"
            trading = market_of(pair, period.listed_at(pair), seed)
            bad, ends = bad_rows if place == 0 else 0, pair.symbol in by_trades_alone
            written += _write_pair(Path(work), pair, trading, period, schema, bad, candles_end=ends)
        return [
            *_pack(directory / CANDLES_ZIP, CANDLES_FOLDER, [f for f in written if f.is_candles], until),
            *_pack(directory / TRADES_ZIP, TRADES_FOLDER, [f for f in written if not f.is_candles], until),
        ]


def write_mistyped_archive(
    archive: Path, pair: MarketPair, trades: Sequence[Trade], moment: datetime, mistyped: int
) -> SampleFile:
    """Write a zip of one pair's trades in schema D, replacing what is there, and tell what is in it.

    In `mistyped` rows, evenly strewn, the price's zeros are the letter O: what was meant is seen at once. The
    archive's member is dated the aware `moment`.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".sample-") as work:
        with _CsvFile(Path(work) / f"{pair.altname}.csv", header=SCHEMA_D_HEADER) as file:
            spoiled = {len(trades) * (place + 1) // (mistyped + 1) for place in range(mistyped)}
            for place, trade in enumerate(trades):
                time, price, *rest = _fields_d(trade)
                file.write(
                    [time, price.replace("0", "O"), *rest] if place in spoiled else [time, price, *rest]
                )
            file.bad_rows = len(spoiled)
        (written,) = _pack(archive, TRADES_FOLDER, [file], moment)
    return written


def period_to(until: datetime, months: int = MONTHS, trade_days: int = TRADE_DAYS) -> Period:
    """The period of archives that end at the aware `until`, which is cut to its minute."""
    until = until.astimezone(UTC).replace(second=0, microsecond=0)
    midnight = until.replace(hour=0, minute=0)
    start = midnight - months * DAYS_PER_MONTH * DAY
    return Period(start, max(start, midnight - trade_days * DAY), until)


class _CsvFile:
    """A CSV being written, with bad rows strewn in."""

    def __init__(self, path: Path, bad_rows: int = 0, header: str | None = None) -> None:
        self.path = path
        self.is_candles = "_" in path.stem
        self.rows = self.bad_rows = 0
        self._bad_rows_wanted = bad_rows
        self._file = path.open("w", encoding="ascii", newline="\n")
        if header:
            self._file.write(header + "\n")

    def __enter__(self) -> "_CsvFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, fields: Sequence[str]) -> None:
        self._write(fields)
        if self.bad_rows < self._bad_rows_wanted and (self.rows - self.bad_rows) % BAD_ROW_EVERY == 0:
            self._write(_spoiled(fields, self.bad_rows))
            self.bad_rows += 1

    def _write(self, fields: Sequence[str]) -> None:
        self._file.write(",".join(fields) + "\n")
        self.rows += 1


def _spoiled(fields: Sequence[str], number: int) -> Sequence[str]:
    """`fields` with one of four faults in turn: a zero price, NaN, a missing field, a bad time."""
    time, price, amount, *rest = fields
    zero_price, nan = [time, "0", amount, *rest], [time, price, "NaN", *rest]
    missing_field, bad_time = fields[:-1], ["soon", price, amount, *rest]
    return (zero_price, nan, missing_field, bad_time)[number % 4]


def _write_pair(
    work: Path,
    pair: MarketPair,
    market: Trading,
    period: Period,
    schema: str,
    bad_rows: int,
    *,
    candles_end: bool,
) -> list[_CsvFile]:
    """Write one pair's CSVs into `work`, a day at a time: memory stays small however long the period."""
    header = SCHEMA_D_HEADER if schema == "D" else None
    with ExitStack() as stack:
        candle_files = [
            stack.enter_context(_CsvFile(work / f"{pair.altname}_{length}.csv", bad_rows * (length == 1)))
            for length in CANDLE_MINUTES
        ]
        trades_file = stack.enter_context(_CsvFile(work / f"{pair.altname}.csv", bad_rows, header))
        for day_end in _day_ends(period.listed_at(pair), period.until):
            if day_end <= period.trades_start:
                minutes = list(market.candles(day_end))
            else:
                trades = list(market.trades(day_end))
                minutes = [] if candles_end else fold_trades(trades)
                for trade in trades:
                    trades_file.write(_fields_a(trade) if schema == "A" else _fields_d(trade))
            _write_candles(candle_files, minutes)
    return [*candle_files, trades_file]


def _day_ends(start: datetime, until: datetime) -> Iterator[datetime]:
    """Each midnight after `start`, and `until` itself."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    while midnight < until:
        yield midnight
        midnight += DAY
    yield until


def _write_candles(files: Sequence[_CsvFile], minutes: list[HistoricalCandle]) -> None:
    hours = fold_candles(minutes, 60)
    for file, candles in zip(files, (minutes, hours, fold_candles(hours, 1440)), strict=True):
        for candle in candles:
            file.write(_fields_ohlcvt(candle))


def _fields_ohlcvt(candle: HistoricalCandle) -> Sequence[str]:
    prices = map(_shortest, (candle.open, candle.high, candle.low, candle.close))
    volume = _shortest(candle.volume).removesuffix(".0")
    return [str(int(candle.timestamp.timestamp())), *prices, volume, str(candle.trade_count)]


def _shortest(number: Decimal) -> str:
    """The text Kraken's archives have for it, that of a double: 122.0, 1.188e-05 (kraken-facts 4.1)."""
    return repr(float(number))


def _fields_a(trade: Trade) -> Sequence[str]:
    return [str(trade.ns // NS_PER_SECOND), _shortest(trade.price), str(trade.volume)]


def _fields_d(trade: Trade) -> Sequence[str]:
    seconds, nanoseconds = divmod(trade.ns, NS_PER_SECOND)
    side, order_type = (trade.side or "")[:1], (trade.order_type or "")[:1]
    time = f"{seconds}.{nanoseconds:09}"
    return [time, f"{trade.price:f}", f"{trade.volume:f}", side, order_type, "", str(trade.trade_id)]


def _pack(archive: Path, folder: str, files: Sequence[_CsvFile], moment: datetime) -> list[SampleFile]:
    """Move `files` into the new zip `archive`, which takes the place of an old one only when it is whole."""
    unfinished = files[0].path.with_name(archive.name)
    with zipfile.ZipFile(unfinished, "w") as target:
        for file in files:
            entry = zipfile.ZipInfo(f"{folder}/{file.path.name}", moment.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.path.open("rb") as source, target.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed)
    unfinished.replace(archive)
    return [SampleFile(archive, f"{folder}/{file.path.name}", file.rows, file.bad_rows) for file in files]
