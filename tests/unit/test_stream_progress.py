"""What a stream gives next: every candle once and in order, whatever the ledger learns, and in which order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakendata import stream_progress
from krakendata.candles import bucket_start
from krakendata.gaps import SETTLED, CandleRun, Ledger, Stretch, TradeCheck, TradeRun, coverage_of
from krakendata.stream_progress import StreamedCandle, StreamProgress, widened
from krakendata.types import INTERVALS, Candle, Interval, ns_of

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
DAY = datetime(2025, 3, 3, tzinfo=UTC)
PATIENCE = timedelta(seconds=60)


@dataclass
class Database:
    """A pair as the exchange has it, what of it is held, and the ledger of that; ids count from 1, a trade each."""

    interval: Interval
    times: Sequence[datetime]
    held: set[int] = field(default_factory=set)
    check: TradeCheck | None = None
    archives: tuple[CandleRun, ...] = ()
    given: dict[datetime, Candle] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        ids = sorted(self.held)
        starts = [number for number in ids if number - 1 not in self.held]
        ends = [number for number in ids if number + 1 not in self.held]
        runs = [
            TradeRun(first, last, ns_of(self.times[first - 1]), ns_of(self.times[last - 1]))
            for first, last in zip(starts, ends, strict=True)
        ]
        return Ledger(tuple(runs), candle_runs=self.archives, check=self.check)

    def candles(self, ids: Iterable[int] | None = None) -> dict[datetime, Candle]:
        """The candles of some trades, by default of those held, where nothing was given by an archive."""
        found = dict(self.given) if ids is None else {}
        buckets: dict[datetime, list[int]] = {}
        for number in self.held if ids is None else ids:
            start = bucket_start(self.times[number - 1], self.interval.minutes)
            buckets.setdefault(start, []).append(number)
        return found | {start: candle_of(start, numbers) for start, numbers in buckets.items()}

    def truth(self) -> dict[datetime, Candle]:
        return self.candles(range(1, len(self.times) + 1))

    def read(self, stretch: Stretch) -> list[Candle]:
        return [
            candle for start, candle in sorted(self.candles().items()) if stretch.start <= start < stretch.end
        ]

    def look(self, progress: StreamProgress, now: datetime) -> list[StreamedCandle]:
        """What CandleStream does in a look."""
        wanted = progress.wanted(now)
        if wanted is None:
            return []
        coverage = coverage_of(widened(wanted), self.ledger, self.interval.minutes)
        doubtful = progress.reconsidered(coverage)
        reached = progress.reach(now, coverage)
        again = [candle for stretch in doubtful for candle in self.read(stretch)]
        candles = self.read(Stretch(progress.position, reached))
        return [
            *progress.reconsider(doubtful, coverage, again),
            *progress.go_on(reached, coverage, candles),
        ]


def candle_of(start: datetime, ids: Iterable[int]) -> Candle:
    numbers = sorted(ids)
    price, volume = Decimal(numbers[0]), Decimal(len(numbers))
    high, low, close = Decimal(numbers[-1]), Decimal(numbers[0]), Decimal(numbers[-1])
    turnover = sum(map(Decimal, numbers), Decimal())
    return Candle(
        *("BTC/USD", start, price, high, low, close, volume, turnover / volume),
        *(len(numbers), turnover, numbers[0], numbers[-1], False),
    )


def at(seconds: float) -> datetime:
    return DAY + timedelta(seconds=seconds)


def database(*seconds: float, interval: str = "1m", held: Iterable[int] = ()) -> Database:
    return Database(INTERVALS[interval], [at(each) for each in seconds], set(held))


def stream(
    start: datetime = DAY, patience: timedelta | None = PATIENCE, interval: str = "1m"
) -> StreamProgress:
    return StreamProgress(INTERVALS[interval], start, patience)


def told(items: Iterable[StreamedCandle]) -> list[tuple[float, int, str]]:
    """The start in seconds, the number of trades, and the flags."""
    return [
        (
            (each.candle.timestamp - DAY).total_seconds(),
            each.candle.trade_count,
            " ".join(word for word in ("proven", "forming", "late") if getattr(each, f"is_{word}")),
        )
        for each in items
    ]


# --- in order -----------------------------------------------------------------------------------------------


def test_a_candle_is_given_once_it_is_closed_and_proven() -> None:
    base, progress = database(5, 30, 61.5, held=[1, 2]), stream()
    assert base.look(progress, at(59)) == []
    assert base.look(progress, at(62)) == []
    base.held.add(3)
    assert told(base.look(progress, at(63))) == [(0, 2, "proven")]
    assert base.look(progress, at(64)) == []


def test_a_trade_at_the_very_end_does_not_prove_it_yet() -> None:
    # The next trade may bear a time a little before that of this one.
    base, progress = database(5, 60.5, 59.9, held=[1, 2]), stream()
    assert base.look(progress, at(61)) == []
    base.held.add(3)
    base.check = TradeCheck(3, ns_of(at(60) + SETTLED))
    assert told(base.look(progress, at(62))) == [(0, 2, "proven")]


def test_a_quiet_bucket_is_passed_without_a_candle() -> None:
    base, progress = database(5, 200, held=[1, 2]), stream()
    assert told(base.look(progress, at(239))) == [(0, 1, "proven")]
    assert progress.position == at(180)
    assert progress.wanted(at(239)) is None


def test_many_at_once_come_in_order() -> None:
    base, progress = database(*range(5, 3605, 30), held=range(1, 121)), stream()
    given = base.look(progress, at(3590))
    assert [start for start, _, _ in told(given)] == [60 * n for n in range(59)]


def test_more_than_fit_into_one_look_come_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_progress, "BUCKETS_AT_ONCE", 10)
    base, progress = database(*range(5, 3605, 30), held=range(1, 121)), stream()
    starts = told(base.look(progress, at(3590)))
    while progress.has_more:
        starts += told(base.look(progress, at(3590)))
    assert [start for start, _, _ in starts] == [60 * n for n in range(59)]
    assert progress.wanted(at(3590)) is None
    assert not progress.has_more


# --- patience -----------------------------------------------------------------------------------------------


def test_a_candle_that_is_not_proven_is_given_as_it_is_when_patience_ends() -> None:
    base, progress = database(5, 30, 90, held=[1, 3]), stream()
    assert base.look(progress, at(119)) == []
    assert told(base.look(progress, at(120))) == [(0, 1, "")]


def test_without_an_end_of_patience_it_is_waited_for() -> None:
    base, progress = database(5, 30, 90, 200, held=[1, 3, 4]), stream(patience=None)
    assert base.look(progress, at(100_000)) == []
    base.held.add(2)
    assert told(base.look(progress, at(100_001))) == [(0, 2, "proven"), (60, 1, "proven")]


def test_who_waits_for_ever_far_behind_does_not_look_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_progress, "BUCKETS_AT_ONCE", 10)
    base, progress = database(5, 30, 90, held=[1, 3]), stream(patience=None)
    assert base.look(progress, at(100_000)) == []
    assert not progress.has_more


def test_patience_begins_anew_when_the_database_was_away() -> None:
    base, progress = database(5, held=[1]), stream()
    progress.be_patient_from(at(600))
    assert base.look(progress, at(659)) == []
    assert told(base.look(progress, at(660))) == [(0, 1, "")]


def test_what_an_archive_covers_waits_for_its_proof_as_well() -> None:
    base, progress = database(), stream()
    base.archives, base.given = (CandleRun(1, at(0), at(60)),), {at(0): candle_of(at(0), [1, 2])}
    assert base.look(progress, at(119)) == []
    assert told(base.look(progress, at(120))) == [(0, 2, "")]


# --- late ---------------------------------------------------------------------------------------------------


def in_doubt() -> tuple[Database, StreamProgress]:
    """A minute given by one of its two trades, one of which nothing is held, and a third that is whole."""
    base, progress = database(5, 30, 90, 150, 250, held=[1, 4, 5]), stream()
    assert told(base.look(progress, at(260))) == [(0, 1, ""), (120, 1, "")]
    return base, progress


def test_what_was_missing_comes_late_and_once_and_what_was_right_does_not() -> None:
    base, progress = in_doubt()
    base.held |= {2, 3}
    assert told(base.look(progress, at(261))) == [(0, 2, "proven late"), (60, 1, "proven late")]
    assert base.look(progress, at(262)) == []


def test_a_look_that_failed_is_taken_again() -> None:
    base, progress = in_doubt()
    base.held |= {2, 3}
    wanted = progress.wanted(at(261))
    assert wanted is not None
    # Between the question what to read and its answer the database goes away.
    assert progress.reconsidered(coverage_of(widened(wanted), base.ledger)) == [Stretch(at(0), at(180))]
    assert len(base.look(progress, at(262))) == 2


def test_a_piece_of_a_hole_is_given_late_once_and_its_whole_once() -> None:
    base, progress = database(5, 61, 70, 80, 100, 150, held=[1, 6]), stream()
    assert told(base.look(progress, at(240))) == [(0, 1, ""), (120, 1, "")]
    base.held |= {2, 3}
    assert told(base.look(progress, at(241))) == [(60, 2, "late")]
    base.held.add(4)
    assert base.look(progress, at(242)) == []
    base.held.add(5)
    assert told(base.look(progress, at(243))) == [(60, 4, "proven late")]


def test_a_minute_of_an_archive_is_replaced_by_its_trades() -> None:
    base, progress = database(5, 30, 90, 150), stream()
    base.archives, base.given = (CandleRun(1, at(0), at(0)),), {at(0): candle_of(at(0), [1])}
    assert told(base.look(progress, at(150))) == [(0, 1, "")]
    base.held |= {1, 2, 3, 4}
    assert told(base.look(progress, at(151)))[0] == (0, 2, "proven late")


def test_a_given_candle_that_was_none_is_taken_back() -> None:
    base, progress = database(90, 150), stream()
    base.archives, base.given = (CandleRun(1, at(0), at(0)),), {at(0): candle_of(at(0), [1])}
    assert told(base.look(progress, at(130))) == [(0, 1, "")]
    base.held, base.given = {1, 2}, {}
    assert told(base.look(progress, at(130)))[0] == (0, 0, "proven late")


def test_what_lies_far_back_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_progress, "BUCKETS_AT_ONCE", 5)
    base, progress = database(5, 30, 90, held=[1, 3]), stream()
    base.look(progress, at(1200))
    while progress.has_more:
        base.look(progress, at(1200))
    base.held.add(2)
    assert base.look(progress, at(1200)) == []
    wanted = progress.wanted(at(1200))
    assert wanted is not None and wanted.start >= progress.position - 5 * MINUTE


# --- forming ------------------------------------------------------------------------------------------------


def test_the_open_candle_is_given_whenever_it_changes() -> None:
    progress = stream()
    one, two = candle_of(at(0), [1]), candle_of(at(0), [1, 2])
    given = [*progress.form(one), *progress.form(one), *progress.form(two)]
    assert told(given) == [(0, 1, "forming"), (0, 2, "forming")]
    assert progress.wanted(at(30)) is None
    assert progress.wanted(at(30), forming=True) == Stretch(at(0), at(60))


# --- whatever happens ---------------------------------------------------------------------------------------

# Seconds to the next trade, or from the next minute's start: the edges of buckets are where things go wrong.
PAUSES = st.one_of(st.tuples(st.just(False), st.floats(0, 40)), st.tuples(st.just(True), st.floats(0, 0.8)))
# A trade's time is up to 0.9 seconds before its arrival, so that times do not rise with the ids.
EARLINESS = st.sampled_from([0, 0, 0.3, 0.9])
SHARES = st.integers(0, 20)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 130)),
        # From which share of the trades so far on how many are fetched.
        st.tuples(st.just("hold"), st.tuples(SHARES, st.integers(1, 6))),
        st.tuples(st.just("feed"), st.integers(1, 3)),
        st.tuples(st.just("check"), st.none()),
        st.tuples(st.just("restart"), st.none()),
    ),
    min_size=5,
    max_size=40,
)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[float], list[datetime]]:
    """Arrivals in seconds, and the times that the trades bear."""
    arrivals, now = [], 1.0
    for is_edge, seconds in draw(st.lists(PAUSES, min_size=3, max_size=40)):
        now = (now // 60 + 1) * 60 + seconds if is_edge else now + seconds
        arrivals.append(now)
    return arrivals, [at(each - draw(EARLINESS)) for each in arrivals]


@settings(max_examples=200)
@given(
    market=markets(),
    steps=STEPS,
    patience=st.one_of(st.none(), st.integers(0, 180).map(lambda seconds: timedelta(seconds=seconds))),
    interval=st.sampled_from(["1m", "5m"]),
)
def test_no_candle_is_missing_none_comes_twice_and_what_is_proven_stays(
    market: tuple[list[float], list[datetime]],
    steps: list[tuple[str, object]],
    patience: timedelta | None,
    interval: str,
) -> None:
    arrivals, times = market
    base = Database(INTERVALS[interval], times)
    progress, now, given = stream(patience=patience, interval=interval), 0.0, list[StreamedCandle]()
    end = [("wait", 10_000), ("hold", (0, len(arrivals))), ("check", None), ("wait", 1)]
    for step, value in [*steps, *end]:
        traded = bisect_right(arrivals, now)
        match step, value:
            case "wait", int(seconds):
                now += seconds
            case "hold", (int(share), int(count)):
                first = 1 + traded * share // 20
                base.held |= set(range(first, min(first + count, traded + 1)))
            case "feed", int(count):
                base.held |= set(range(max(1, traded - count + 1), traded + 1))
            case "check", None:
                base.check = TradeCheck(traded, ns_of(at(now)))
            case "restart", None:
                progress.be_patient_from(at(now))
        given += base.look(progress, at(now))
    assert_whole(given, base.truth())


def assert_whole(given: Sequence[StreamedCandle], truth: dict[datetime, Candle]) -> None:
    in_order = [each.candle.timestamp for each in given if not each.is_late]
    assert all(one < other for one, other in pairwise(in_order))
    proven = {each.candle.timestamp: each.candle for each in given if each.is_proven}
    assert len(proven) == sum(each.is_proven for each in given)
    assert all(truth[start] == candle for start, candle in proven.items())
    # Inserted or replaced by their timestamps they are the truth.
    assert {each.candle.timestamp: each.candle for each in given} == truth
    for start in truth:
        assert sum(each.candle.timestamp == start for each in given) <= 3
