"""The ledger's answer: proven, provisional, hole."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from krakendata.gaps import (
    CandleRun,
    Coverage,
    Edge,
    Gap,
    IdRange,
    Ledger,
    Stretch,
    TradeCheck,
    TradeRun,
    coverage_of,
    gaps_of,
)
from krakendata.types import NS_PER_MINUTE, NS_PER_SECOND, archive_trade_id, ns_of

DAY = datetime(2024, 3, 4, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return DAY + timedelta(minutes=minutes)


def between(start: float, end: float) -> Stretch:
    return Stretch(at(start), at(end))


def run(first_id: int, last_id: int, start: float, end: float) -> TradeRun:
    return TradeRun(first_id, last_id, ns_of(at(start)), ns_of(at(end)))


def archive_run(start: float, end: float) -> TradeRun:
    """A run of an archive without ids, which tells whole seconds."""
    first, last = ns_of(at(start)), ns_of(at(end))
    return TradeRun(
        archive_trade_id(first // NS_PER_SECOND, 0), archive_trade_id(last // NS_PER_SECOND, 3), first, last
    )


def test_an_empty_ledger_leaves_one_hole() -> None:
    assert coverage_of(between(0, 60), Ledger()) == Coverage(between(0, 60), holes=(between(0, 60),))


def test_a_run_proves_the_time_between_its_first_and_last_trade() -> None:
    coverage = coverage_of(between(0, 60), Ledger((run(10, 20, 5, 30),)))
    assert coverage.proven == (between(5, 30),)
    assert coverage.holes == (between(0, 5), between(30, 60))


def test_neighbouring_ids_prove_the_quiet_time_between_their_runs() -> None:
    coverage = coverage_of(between(10, 50), Ledger((run(10, 20, 0, 20), run(21, 30, 40, 60))))
    assert coverage.is_proven
    assert coverage.proven == (between(10, 50),)


def test_a_missing_id_leaves_a_hole_between_its_neighbours() -> None:
    coverage = coverage_of(between(10, 50), Ledger((run(10, 20, 0, 20), run(22, 30, 40, 60))))
    assert coverage.holes == (between(20, 40),)


def test_answered_ids_bridge_two_runs() -> None:
    ledger = Ledger((run(10, 20, 0, 20), run(24, 30, 40, 60)), (IdRange(21, 22), IdRange(23, 23)))
    assert coverage_of(between(10, 50), ledger).is_proven


def test_an_answer_that_does_not_reach_the_next_run_bridges_nothing() -> None:
    ledger = Ledger((run(10, 20, 0, 20), run(24, 30, 40, 60)), (IdRange(21, 22),))
    assert coverage_of(between(10, 50), ledger).holes == (between(20, 40),)


def test_before_the_first_trade_of_all_there_is_nothing_to_miss() -> None:
    coverage = coverage_of(between(-1000, 30), Ledger((run(1, 20, 10, 30),)))
    assert coverage.is_proven


def test_a_first_trade_that_was_rejected_still_is_the_first() -> None:
    coverage = coverage_of(between(-1000, 30), Ledger((run(3, 20, 10, 30),), (IdRange(1, 2),)))
    assert coverage.is_proven


def test_answers_without_trades_prove_no_time() -> None:
    assert coverage_of(between(0, 60), Ledger((), (IdRange(1, 5),))).holes == (between(0, 60),)


def test_a_lone_trade_proves_nothing() -> None:
    assert coverage_of(between(0, 60), Ledger((run(7, 7, 30, 30),))).holes == (between(0, 60),)


def test_trades_without_ids_are_provisional_to_the_end_of_their_last_second() -> None:
    coverage = coverage_of(between(0, 60), Ledger((archive_run(5, 30),)))
    assert coverage.provisional == (Stretch(at(5), at(30) + timedelta(seconds=1)),)
    assert coverage.is_proven is False


def test_minutes_and_the_interval_itself_count_of_candle_archives() -> None:
    ledger = Ledger(
        (), (), (CandleRun(1, at(0), at(9)), CandleRun(5, at(20), at(25)), CandleRun(60, DAY, DAY))
    )
    coverage = coverage_of(between(0, 60), ledger, interval_minutes=5)
    assert coverage.provisional == (between(0, 10), between(20, 30))


def test_proven_outranks_provisional() -> None:
    ledger = Ledger((run(10, 20, 10, 20),), (), (CandleRun(1, at(0), at(29)),))
    coverage = coverage_of(between(0, 30), ledger)
    assert (coverage.proven, coverage.provisional) == ((between(10, 20),), (between(0, 10), between(20, 30)))
    assert coverage.is_complete
    assert not coverage.is_proven


def test_what_is_no_longer_stored_is_a_hole_in_the_answer() -> None:
    coverage = coverage_of(between(0, 60), Ledger((run(1, 20, 0, 60),)), kept_from=at(20))
    assert (coverage.holes, coverage.proven) == ((between(0, 20),), (between(20, 60),))


def test_an_empty_question_has_an_empty_answer() -> None:
    assert coverage_of(between(5, 5), Ledger((run(1, 20, 0, 60),))) == Coverage(between(5, 5))


MINUTES = st.integers(min_value=0, max_value=120)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Trades at rising times in runs, with steps between some ids, some answered; archives anywhere."""
    runs, answers, next_id, minute = [], [], draw(st.integers(1, 2)), draw(MINUTES)
    for _ in range(draw(st.integers(0, 6))):
        missing, answered = draw(st.integers(0, 2)), draw(st.booleans())
        if missing and answered:
            answers.append(IdRange(next_id, next_id + missing - 1))
        next_id += missing
        trades, length, pause = draw(st.integers(1, 9)), draw(st.integers(0, 20)), draw(st.integers(0, 20))
        runs.append(run(next_id, next_id + trades - 1, minute, minute + length))
        next_id, minute = next_id + trades, minute + length + pause
    spans = draw(st.lists(st.tuples(MINUTES, MINUTES).map(sorted), max_size=4))
    archives = [archive_run(*span) for span in spans]
    candles = [CandleRun(draw(st.sampled_from([1, 5, 60])), at(a), at(b)) for a, b in spans]
    return Ledger((*archives, *runs), tuple(answers), tuple(candles))


@given(ledgers(), st.tuples(MINUTES, MINUTES).map(sorted), st.none() | MINUTES)
def test_the_three_kinds_divide_the_time_asked_for(
    ledger: Ledger, asked: list[int], kept_from: int | None
) -> None:
    stretch = between(*asked)
    coverage = coverage_of(stretch, ledger, 5, None if kept_from is None else at(kept_from))
    for kind in (coverage.proven, coverage.provisional, coverage.holes):
        assert all(before.end < after.start for before, after in pairwise(kind))
    parts = sorted((*coverage.proven, *coverage.provisional, *coverage.holes))
    assert all(part.start < part.end for part in parts)
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]]
    ends = (parts[0].start, parts[-1].end) if parts else (stretch.start, stretch.start)
    assert ends == stretch


@given(ledgers(), MINUTES)
def test_a_moment_is_proven_where_the_trades_on_both_sides_are_linked(ledger: Ledger, minute: int) -> None:
    known = {i for run in ledger.trade_runs if run.is_exact for i in range(run.first_id, run.last_id + 1)}
    answered = {i for span in ledger.answered_ids for i in range(span.first_id, span.last_id + 1)}
    # Half a minute in, so that no trade lies at the moment itself.
    ns = ns_of(at(minute)) + NS_PER_MINUTE // 2
    exact = sorted(run for run in ledger.trade_runs if run.is_exact)
    begun = [run.first_id if run.last_ns > ns else run.last_id for run in exact if run.first_ns < ns]
    to_end = [run.last_id if run.first_ns < ns else run.first_id for run in exact if run.last_ns > ns]
    before, after = max(begun, default=0), min(to_end, default=0)
    is_linked = bool(after) and set(range(before + 1, after)) <= known | answered
    moment = between(minute + 0.5, minute + 0.6)
    assert coverage_of(moment, ledger).proven == ((moment,) if is_linked else ())


def test_a_run_at_the_end_of_the_question_still_links_its_end() -> None:
    coverage = coverage_of(between(25, 35), Ledger((run(1, 20, 0, 20), run(21, 30, 40, 60))))
    assert coverage.proven == (between(25, 35),)


def test_each_of_thousands_of_runs_counts() -> None:
    count = 5_000
    runs = tuple(run(10 * n, 10 * n + 5, n, n + 0.5) for n in range(1, count))
    archives = tuple(CandleRun(1, at(n), at(n)) for n in range(1, count, 2))
    assert len(coverage_of(between(0, count), Ledger(runs, (), archives)).proven) == count - 1


def test_a_tail_that_is_known_from_before_the_time_asked_for_goes_on_from_the_trade_that_is_held() -> None:
    ledger = Ledger((run(5, 9, 0, 10),), check=TradeCheck(9, ns_of(at(50))))
    held = Edge(9, ns_of(at(10)))
    assert gaps_of(ledger, at(40), at(60)) == [Gap(held, None, between(50, 60), is_begun=True)]


def test_a_gap_across_the_time_asked_for_begins_there_and_is_no_beginning() -> None:
    ledger = Ledger((run(5, 9, 0, 10), run(20, 29, 30, 40)), check=TradeCheck(29, ns_of(at(60))))
    ends = Edge(20, ns_of(at(30)))
    assert gaps_of(ledger, at(20), at(60)) == [Gap(None, ends, between(20, 30), is_begun=True)]
    assert gaps_of(Ledger(ledger.trade_runs), at(50), at(60)) == [
        Gap(None, None, between(50, 60), is_begun=True)
    ]
    assert gaps_of(Ledger(ledger.trade_runs[1:]), at(20), at(40)) == [Gap(None, ends, between(20, 30))]


def test_what_lies_behind_the_end_is_no_gap() -> None:
    ledger = Ledger((run(1, 9, 0, 10), run(20, 29, 30, 40), run(50, 59, 60, 70)))
    (gap,) = gaps_of(ledger, None, at(20))
    assert gap.stretch == between(10, 20)
    assert gap.before == Edge(20, ns_of(at(30)))
