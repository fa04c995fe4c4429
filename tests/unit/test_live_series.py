"""The rules of live series: every trade counts once, every candle closes once, whatever the order of things."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakendata.candles import fold_candles, fold_trades
from krakendata.gaps import IdRange, Ledger, Stretch, TradeRun, coverage_of
from krakendata.live_series import (
    CandleSeries,
    CandleSnapshot,
    MinuteParts,
    SeriesRow,
    State,
    TradeSeries,
)
from krakendata.types import (
    EPOCH,
    HistoricalCandle,
    Interval,
    Trade,
    bucket_start_ns,
    interval_of,
    moment_of,
    ns_of,
)

SYMBOL = "BTC/USD"
START = datetime(2025, 11, 24, 12, tzinfo=UTC)
START_NS = ns_of(START)
SECOND = 10**9
MINUTE = 60 * SECOND


def trade(trade_id: int, seconds: float, price: str = "100", volume: str = "1") -> Trade:
    return Trade(SYMBOL, trade_id, START_NS + int(seconds * SECOND), Decimal(price), Decimal(volume))


def fold(trades: Iterable[Trade], interval: Interval) -> list[HistoricalCandle]:
    minutes = fold_trades(trades)
    return minutes if interval.minutes == 1 else fold_candles(minutes, interval)


@dataclass
class Stored:
    """What a database would hold: trades by id, and ids that are answered without one."""

    interval: Interval = interval_of("1m")
    trades: dict[int, Trade] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)

    def write(self, trades: Iterable[Trade]) -> None:
        self.trades.update({each.trade_id: each for each in trades})

    @property
    def ledger(self) -> Ledger:
        runs: list[TradeRun] = []
        for number in sorted(self.trades):
            ns = self.trades[number].ns
            if runs and runs[-1].last_id == number - 1:
                runs[-1] = runs[-1]._replace(last_id=number, last_ns=ns)
            else:
                runs.append(TradeRun(number, number, ns, ns))
        return Ledger(tuple(runs), tuple(IdRange(each, each) for each in sorted(self.absent)))

    def snapshot(self, start_ns: int = 0) -> CandleSnapshot:
        candles = [
            each for each in fold(self.trades.values(), self.interval) if ns_of(each.timestamp) >= start_ns
        ]
        runs = self.ledger.trade_runs
        newest = moment_of(runs[-1].last_ns) if runs else EPOCH
        asked = Stretch(moment_of(start_ns) if start_ns else EPOCH, START + timedelta(days=400))
        holes = [
            Stretch(hole.start, min(hole.end, newest))
            for hole in coverage_of(asked, self.ledger).holes
            if hole.start < newest
        ]
        return CandleSnapshot(start_ns, tuple(candles), self.ledger, tuple(holes), ns_of(newest))


class Client:
    """What somebody makes of the rows: the newest of each bucket, and how often each was told closed."""

    def __init__(self, rows: Sequence[SeriesRow] = ()) -> None:
        self.rows: dict[datetime, SeriesRow] = {}
        self.closings: dict[datetime, int] = {}
        self.take(rows)

    def take(self, rows: Sequence[SeriesRow]) -> None:
        for row in rows:
            start = row.candle.timestamp
            before = self.rows.get(start)
            if row.state is State.CLOSED:
                self.closings[start] = self.closings.get(start, 0) + 1
            else:
                was_closed = before is not None and before.is_closed
                assert was_closed == (row.state is State.REVISED)
            assert before is None or (before.candle, before.state, before.is_complete) != tuple(row)
            self.rows[start] = row

    @property
    def candles(self) -> list[HistoricalCandle]:
        return [self.rows[start].candle for start in sorted(self.rows)]


def started(stored: Stored, *, is_late: bool = True, depth: int = 1000) -> tuple[CandleSeries, Client]:
    series = CandleSeries(SYMBOL, stored.interval, depth)
    assert series.load(stored.snapshot(), [], START_NS, is_fresh=False, is_late=is_late) == []
    return series, Client(series.newest(depth))


# --- one step after the other ---


def test_a_trade_changes_the_forming_candle() -> None:
    series, client = started(Stored())
    client.take(series.take([trade(7, 1, "100"), trade(8, 2, "110.5", "0.25")]))
    (row,) = client.rows.values()
    assert (row.state, row.is_complete) == (State.FORMING, True)
    assert row.candle == fold_trades([trade(7, 1, "100"), trade(8, 2, "110.5", "0.25")])[0]


def test_the_same_trade_counts_once() -> None:
    series, _ = started(Stored())
    assert series.take([trade(7, 1)])
    assert series.take([trade(7, 1)]) == []


def test_a_trade_that_is_stored_counts_no_second_time() -> None:
    stored = Stored()
    stored.write([trade(7, 1), trade(8, 2)])
    series, _ = started(stored)
    assert series.take([trade(8, 2)]) == []


def test_a_candle_closes_with_a_trade_of_a_later_bucket() -> None:
    series, _ = started(Stored())
    series.take([trade(1, 1)])
    rows = series.take([trade(2, 61)])
    assert [(row.candle.first_id, row.state) for row in rows] == [(1, State.CLOSED), (2, State.FORMING)]
    assert all(row.is_complete for row in rows)


def test_a_candle_closes_when_the_feed_heard_the_exchange_after_its_end() -> None:
    series, _ = started(Stored())
    series.take([trade(1, 1)])
    assert series.hear(START_NS + 62 * SECOND) == []
    (row,) = series.hear(START_NS + 63 * SECOND)
    assert row.state is State.CLOSED
    assert series.hear(START_NS + 64 * SECOND) == []


def test_a_late_trade_revises_a_closed_candle() -> None:
    series, _ = started(Stored())
    series.take([trade(1, 1), trade(2, 61)])
    (row,) = series.take([trade(3, 59, "99")])
    assert (row.state, row.candle.close, row.candle.trade_count) == (State.REVISED, Decimal(99), 2)


def test_nothing_closes_by_the_clock_while_trades_may_be_unheard() -> None:
    stored = Stored()
    stored.write([trade(1, 1)])
    series, client = started(stored, is_late=False)
    assert [(row.state, row.is_complete) for row in client.rows.values()] == [(State.FORMING, False)]
    assert series.hear(START_NS + 90 * SECOND) == []
    stored.write([trade(2, 2)])
    (row,) = series.load(stored.snapshot(), [], START_NS, is_fresh=False, is_late=True)
    assert (row.state, row.is_complete, row.candle.trade_count) == (State.CLOSED, True, 2)


def test_a_step_between_ids_is_waited_for() -> None:
    stored = Stored()
    stored.write([trade(1, 1)])
    series, _ = started(stored)
    rows = series.take([trade(4, 61)])
    assert [(row.state, row.is_complete) for row in rows] == [(State.FORMING, False)] * 2
    assert series.is_waiting
    assert series.hear(START_NS + 64 * SECOND) == []
    stored.write([trade(2, 2), trade(3, 3)])
    rows = series.load(stored.snapshot(), [trade(4, 61)], START_NS, is_fresh=True, is_late=True)
    assert [(row.state, row.is_complete) for row in rows] == [(State.CLOSED, True), (State.FORMING, True)]
    assert not series.is_waiting


def test_a_step_that_is_not_filled_is_not_waited_for_for_ever() -> None:
    stored = Stored()
    stored.write([trade(1, 1)])
    series, _ = started(stored)
    series.take([trade(4, 61)])
    rows = series.hear(START_NS + 80 * SECOND)
    assert [(row.candle.first_id, row.state, row.is_complete) for row in rows] == [(1, State.CLOSED, False)]
    stored.write([trade(2, 2), trade(3, 3), trade(4, 61)])
    rows = series.load(stored.snapshot(), [], START_NS, is_fresh=True, is_late=True)
    assert [(row.candle.last_id, row.state, row.is_complete) for row in rows] == [
        (3, State.REVISED, True),
        (4, State.FORMING, True),
    ]


def test_ids_the_exchange_does_not_have_are_no_step() -> None:
    stored = Stored()
    stored.write([trade(1, 1)])
    stored.absent = {2}
    series, _ = started(stored)
    series.take([trade(3, 61)])
    assert not series.is_waiting


def test_a_young_step_within_the_ledger_is_waited_for_too() -> None:
    stored = Stored()
    stored.write([trade(1, 1), trade(4, 9)])
    series, client = started(stored)
    assert series.is_waiting
    assert [row.is_complete for row in client.rows.values()] == [False]
    old = CandleSeries(SYMBOL, "1m", 10)
    old.load(stored.snapshot(), [], START_NS + 90 * SECOND, is_fresh=False, is_late=True)
    assert not old.is_waiting


def test_weeks_start_on_monday() -> None:
    series, _ = started(Stored(interval_of("1w")))
    (row,) = series.take([trade(1, 0)])
    assert row.candle.timestamp == datetime(2025, 11, 24, tzinfo=UTC)


def test_what_was_whole_when_it_closed_stays_so_when_the_feed_falls_silent() -> None:
    stored = Stored()
    stored.write([trade(1, 1)])
    series, _ = started(stored)
    series.hear(START_NS + 70 * SECOND)
    series.doubt()
    assert series.load(stored.snapshot(), [], START_NS, is_fresh=False, is_late=False) == []


def test_a_deeper_past_is_told_to_nobody_who_did_not_ask() -> None:
    stored = Stored()
    stored.write([trade(n, 60 * n) for n in range(1, 9)])
    series = CandleSeries(SYMBOL, "1m", 2)
    series.load(stored.snapshot(START_NS + 7 * MINUTE), [], START_NS, is_fresh=True, is_late=True)
    assert len(series.newest(5)) == 2
    assert series.load(stored.snapshot(), [], START_NS, is_fresh=True, is_late=True) == []
    assert len(series.newest(5)) == 6
    assert [row.state for row in series.newest(1)] == [State.CLOSED, State.FORMING]


def test_the_past_is_forgotten_beyond_its_depth() -> None:
    series, _ = started(Stored(), depth=3)
    for n in range(1, 400):
        series.take([trade(n, 60 * n)])
    assert 3 < len(series._candles) == len(series._told) == len(series._starts) < 120
    assert len(series.newest(3)) == 4


def test_what_was_forgotten_is_told_to_nobody_again() -> None:
    stored = Stored()
    series, _ = started(stored, depth=3)
    for n in range(1, 400):
        stored.write([trade(n, 60 * n)])
        series.take([trade(n, 60 * n)])
    forgotten = START_NS + 100 * MINUTE
    assert forgotten < series._starts[0]
    # Somebody else wants a deeper past.
    series.depth = 350
    assert series.load(stored.snapshot(forgotten), [], START_NS, is_fresh=True, is_late=True) == []
    assert len(series.newest(350)) == 300


def test_a_candle_without_ids_goes_on_with_trades() -> None:
    given = HistoricalCandle(
        SYMBOL, 5, START, Decimal(10), Decimal(12), Decimal(9), Decimal(11), Decimal(2), None, 4
    )
    series = CandleSeries(SYMBOL, "5m", 10)
    ledger = Ledger((TradeRun(5, 5, START_NS, START_NS),))
    series.load(CandleSnapshot(START_NS, (given,), ledger), [], START_NS, is_fresh=True, is_late=True)
    (row,) = series.take([trade(7, 20, "13"), trade(6, 21, "8")])
    candle = row.candle
    assert [int(each) for each in (candle.open, candle.high, candle.low, candle.close)] == [10, 13, 8, 13]
    assert (candle.volume, candle.trade_count, candle.first_id) == (Decimal(4), 6, None)


# --- pairs that have candles only ---


def minute(n: int, count: int, close: str = "100", volume: str = "1") -> HistoricalCandle:
    price = Decimal(close)
    start = START + timedelta(minutes=n)
    return HistoricalCandle(SYMBOL, 1, start, Decimal(100), max(price, Decimal(100)), min(price, Decimal(100)), price,
                            Decimal(volume), None, count)  # fmt: skip


def test_a_minute_is_told_again_and_again_and_closed_by_the_next() -> None:
    series, client = started(Stored())
    client.take(series.take_minutes([minute(0, 1)]))
    client.take(series.take_minutes([minute(0, 3, "101")]))
    client.take(series.take_minutes([minute(0, 2)]))
    client.take(series.take_minutes([minute(1, 1)]))
    assert [row.state for row in client.rows.values()] == [State.CLOSED, State.FORMING]
    assert client.candles[0] == minute(0, 3, "101")


def test_longer_candles_of_minutes_ask_for_the_minutes_first() -> None:
    series, client = started(Stored(interval_of("5m")))
    assert series.take_minutes([minute(1, 2)]) == []
    assert series.is_waiting
    parts = MinuteParts(START_NS, START_NS, None, {START_NS: minute(0, 5)})
    snapshot = CandleSnapshot(START_NS, (replace(minute(0, 5), interval_minutes=5),), Ledger(), parts=parts)
    client.take(series.load(snapshot, [], START_NS, is_fresh=False, is_late=True))
    assert not series.is_waiting
    client.take(series.take_minutes([minute(1, 4, "103")]))
    client.take(series.take_minutes([minute(5, 1)]))
    assert client.candles == fold_candles([minute(0, 5), minute(1, 4, "103"), minute(5, 1)], "5m")


def test_after_a_doubt_the_minutes_of_the_forming_bucket_are_read_again() -> None:
    series, client = started(Stored(interval_of("5m")))
    parts = MinuteParts(START_NS, START_NS, None, {START_NS: minute(0, 5)})
    whole = replace(minute(0, 5), interval_minutes=5)
    snapshot = CandleSnapshot(START_NS, (whole,), Ledger(), parts=parts)
    client.take(series.load(snapshot, [], START_NS, is_fresh=False, is_late=True))
    series.doubt()
    assert series.needs_minutes
    parts = MinuteParts(START_NS, START_NS, None, {START_NS: minute(0, 5), START_NS + MINUTE: minute(1, 2)})
    whole = replace(whole, volume=Decimal(2), trade_count=7)
    snapshot = CandleSnapshot(START_NS, (whole,), Ledger(), parts=parts)
    client.take(series.load(snapshot, [], START_NS, is_fresh=False, is_late=True))
    assert not series.is_waiting
    client.take(series.take_minutes([minute(2, 1)]))
    assert client.candles == fold_candles([minute(0, 5), minute(1, 2), minute(2, 1)], "5m")


def test_a_pair_of_trades_reads_no_minutes_after_a_doubt() -> None:
    series, _ = started(Stored(interval_of("5m")))
    series.doubt()
    assert not series.needs_minutes


def test_a_long_bucket_keeps_few_minutes_apart() -> None:
    parts = MinuteParts(START_NS, START_NS)
    for n in range(400):
        parts.put(minute(n, 1))
        parts.put(minute(n, 2, "101"))
    assert len(parts.minutes) <= 120
    assert parts.candle(interval_of("1w")) == replace(
        fold_candles([minute(n, 2, "101") for n in range(400)], "12h")[0],
        interval_minutes=10080,
        timestamp=START,
    )


# --- trades ---


def test_trades_are_told_once_and_missing_ones_from_the_database() -> None:
    stored = Stored()
    stored.write([trade(1, 1), trade(2, 2)])
    series = TradeSeries(SYMBOL, 10)
    assert series.load(list(stored.trades.values()), stored.ledger, [trade(2, 2), trade(3, 3)]) == []
    assert [each.trade_id for each in series.newest(2)] == [2, 3]
    assert [each.trade_id for each in series.take([trade(3, 3), trade(6, 6)])] == [6]
    assert series.is_waiting
    stored.write([trade(n, n) for n in (3, 4)])
    stored.absent = {5}
    told = series.load(list(stored.trades.values()), stored.ledger, [trade(6, 6)])
    assert [each.trade_id for each in told] == [4]
    assert not series.is_waiting
    assert [each.trade_id for each in series.newest(9)] == [1, 2, 3, 4, 6]


def test_a_deeper_past_of_trades_holds_only_what_was_told() -> None:
    stored = Stored()
    stored.write([trade(n, n) for n in range(1, 6)])
    series = TradeSeries(SYMBOL)
    series.load([], stored.ledger, [])
    stored.write([trade(6, 6)])
    series.deepen(list(stored.trades.values()), 3)
    assert [each.trade_id for each in series.newest(3)] == [3, 4, 5]
    assert [each.trade_id for each in series.load(list(stored.trades.values()), stored.ledger, [])] == [6]


# --- whatever happens ---


@dataclass
class Course:
    """A market, a database that lags behind it, two feeds that tell of it, and one who subscribes in the middle."""

    chance: random.Random
    interval: Interval

    def __post_init__(self) -> None:
        chance = self.chance
        ns, self.trades = START_NS, []
        for number in range(1, chance.randint(2, 60)):
            ns += int(chance.choice([0, 0, 1, 5, 30, 100]) * chance.random() * self.interval.minutes * SECOND)
            # Times go back a little now and then.
            at = ns - chance.choice([0, 0, 0, 2 * SECOND])
            price = Decimal(chance.randint(1, 999)).scaleb(-chance.randint(0, 3))
            self.trades.append(Trade(SYMBOL, number, at, price, Decimal(chance.randint(1, 99)).scaleb(-2)))
        self.absent = {each.trade_id for each in self.trades[1:] if chance.random() < 0.05}
        self.trades = [each for each in self.trades if each.trade_id not in self.absent]

    def run(self) -> tuple[Client, CandleSeries]:
        chance, stored = self.chance, Stored(self.interval)
        begin = chance.randint(0, len(self.trades))
        written = chance.randint(0, begin)
        stored.write(self.trades[:written])
        # What the network loses is fetched by REST, and is in the database later; the tape has what was heard.
        heard: list[Trade] = []
        series = CandleSeries(SYMBOL, self.interval, 1000)
        now = max((each.ns for each in self.trades[:begin]), default=START_NS)
        series.load(stored.snapshot(), [], now, is_fresh=False, is_late=False)
        client = Client(series.newest(1000))
        place = begin
        while place < len(self.trades) or chance.random() < 0.5:
            batch = self.trades[place : place + chance.randint(0, 5)]
            place += len(batch)
            told = [each for each in batch if chance.random() < 0.9]
            told += [each for each in heard[-5:] if chance.random() < 0.3]
            chance.shuffle(told) if chance.random() < 0.3 else None
            heard += [each for each in told if each not in heard]
            client.take(series.take(told))
            now = max([now, *(each.ns for each in batch)])
            if chance.random() < 0.3:
                flushed = chance.randint(0, place)
                stored.write(each for each in self.trades[:flushed] if chance.random() < 0.9)
            if chance.random() < 0.3:
                stored.absent |= {number for number in self.absent if number <= place}
            if chance.random() < 0.3:
                start = (
                    bucket_start_ns(series.stale_from_ns, self.interval.minutes)
                    if chance.random() < 0.7
                    else 0
                )
                client.take(
                    series.load(
                        stored.snapshot(start),
                        heard,
                        now,
                        is_fresh=bool(heard),
                        is_late=chance.random() < 0.3,
                    )
                )
            if chance.random() < 0.3:
                client.take(series.hear(now))
            if chance.random() < 0.1:
                series.doubt()
        stored.write(self.trades)
        stored.absent |= self.absent
        client.take(series.load(stored.snapshot(), heard, now, is_fresh=True, is_late=True))
        client.take(series.hear(now + 3 * SECOND + self.interval.minutes * MINUTE))
        return client, series


@pytest.mark.parametrize("name", ["1m", "5m", "1h"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150)
def test_in_the_end_every_candle_is_told_closed_once_and_is_that_of_all_trades(name: str, seed: int) -> None:
    course = Course(random.Random(seed), interval_of(name))
    client, series = course.run()
    wanted = fold(course.trades, course.interval)
    assert client.candles == wanted
    assert client.closings == {each.timestamp: 1 for each in wanted}
    assert all(row.is_complete for row in client.rows.values())
    assert [row.candle for row in series.newest(1000)] == wanted


@given(seed=st.integers(0, 2**32))
@settings(max_examples=150)
def test_in_the_end_every_trade_is_told_once(seed: int) -> None:
    chance = random.Random(seed)
    trades = [trade(n, n // 3) for n in range(1, chance.randint(2, 50))]
    stored, series = Stored(), TradeSeries(SYMBOL, 100)
    begin = chance.randint(1, len(trades))
    stored.write(trades[: chance.randint(1, begin)])
    series.load(list(stored.trades.values()), stored.ledger, [])
    told = series.newest(100)
    heard: list[Trade] = []
    for place in range(begin, len(trades)):
        some = [each for each in trades[max(place - 3, begin) : place + 1] if chance.random() < 0.6]
        heard += [each for each in some if each not in heard]
        told += series.take(some)
        stored.write(each for each in trades[: place + 1] if chance.random() < 0.3)
        if chance.random() < 0.3:
            since = series.stale_from_ns
            recent = [each for each in stored.trades.values() if each.ns >= since]
            told += series.load(recent, stored.ledger, heard)
    stored.write(trades)
    told += series.load(list(stored.trades.values()), stored.ledger, heard)
    assert sorted(each.trade_id for each in told) == [each.trade_id for each in trades]
