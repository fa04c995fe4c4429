"""What needs attention: which facts become lines, in which order, with which remedy, and that the list stays short."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.attention import (
    BEHIND_AFTER,
    ERROR_CHARACTERS,
    MOST_LINES,
    BeatFacts,
    Deed,
    Desk,
    FeedFacts,
    Line,
    PairFacts,
    Place,
    RunFacts,
    TableFacts,
    UpkeepFacts,
    Urgency,
    WorkerFacts,
    attention_lines,
)

NOW = datetime(2025, 11, 24, 12, 34, 30, tzinfo=UTC)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


WORKER = WorkerFacts("celery@here", ago(days=1), NOW)
BEAT = BeatFacts(ago(minutes=1), timedelta(minutes=1))
FEED = FeedFacts(7, "main", ago(days=1), NOW, heard_at=NOW, symbols=2, trades_per_second=3.5)
FRESH = PairFacts("BTC/USD", known_to=ago(seconds=2))
OLD = PairFacts("ETH/USD", known_to=ago(hours=3))
FAILED = RunFacts(12, "backfill", "failed", ago(hours=1), "BTC/USD", "Refused: unknown pair\ntraceback")


def desk(*pairs: PairFacts, **facts: object) -> Desk:
    """A desk where everything is well but for what is given."""
    given = {"workers": [WORKER], "beat": BEAT, "feeds": [FEED], **facts}
    return Desk(NOW, pairs or (FRESH,), **given)  # type: ignore[arg-type]


def line_of(found: Desk) -> Line:
    (line,) = attention_lines(found)
    return line


# --- pairs ---


def test_nothing_needs_attention_where_everything_is_fresh_and_whole() -> None:
    assert attention_lines(desk()) == []


def test_a_new_installation_needs_nothing() -> None:
    assert attention_lines(Desk(NOW, beat=BeatFacts(None, timedelta(minutes=1)))) == []


def test_a_pair_that_is_behind_says_since_when_and_is_filled_by_a_click() -> None:
    line = line_of(desk(FRESH, OLD))
    assert line.sentence == "Nothing newer than 2025-11-24 09:34 UTC is held."
    assert (line.subject, line.urgency) == ("ETH/USD", Urgency.MISSING)
    remedy = line.remedy
    assert (remedy.deed, remedy.target, remedy.command) == (
        Deed.FILL_GAPS, "ETH/USD", "manage.py fill_gaps ETH/USD",
    )  # fmt: skip


@pytest.mark.parametrize(("late", "count"), [(0, 0), (1, 1)])
def test_a_pair_is_behind_from_five_minutes_on(late: int, count: int) -> None:
    pair = PairFacts("BTC/USD", known_to=NOW - BEHIND_AFTER - timedelta(microseconds=late))
    assert len(attention_lines(desk(pair))) == count
    assert len(desk(pair).behind) == count


def test_a_pair_of_which_nothing_is_held_gets_its_past_fetched() -> None:
    assert line_of(desk(PairFacts("NEW/USD"))).remedy.deed is Deed.BACKFILL
    assert line_of(desk(PairFacts("NEW/USD", candles_only=True))).remedy.deed is Deed.FILL_GAPS


def test_a_pair_that_is_worked_on_mends_itself() -> None:
    at_work = RunFacts(1, "backfill", "running", NOW, "ETH/USD", is_held=True)
    assert attention_lines(desk(FRESH, OLD, runs=[at_work])) == []


def test_an_untracked_pair_may_be_old_but_not_torn() -> None:
    old = replace(OLD, is_tracked=False)
    assert attention_lines(desk(FRESH, old)) == []
    assert (
        line_of(desk(FRESH, replace(old, holes=1))).sentence
        == "It has 1 hole between the trades that are held."
    )


def test_of_a_pair_that_is_gone_nothing_can_be_had() -> None:
    gone = PairFacts(
        "OLD/USD", is_tracked=False, known_to=ago(days=900), holes=3, error="unknown", is_gone=True
    )
    assert attention_lines(desk(FRESH, gone)) == []
    assert desk(FRESH, gone).with_holes == [gone]


def test_what_failed_at_the_last_try_comes_before_what_is_only_behind() -> None:
    failing = replace(OLD, symbol="ZZZ/USD", error="Kraken refuses.\nand more")
    first, second = attention_lines(desk(OLD, failing))
    assert (first.subject, first.urgency) == ("ZZZ/USD", Urgency.FAILED)
    assert first.sentence.endswith("The last try failed: Kraken refuses.")
    assert second.subject == "ETH/USD"


def test_a_thousand_pairs_behind_are_told_in_six_lines_the_oldest_first() -> None:
    pairs = [PairFacts(f"P{n:03}/USD", known_to=ago(hours=n + 1)) for n in range(1000)]
    lines = attention_lines(desk(*pairs))
    assert [line.subject for line in lines] == [f"P{n}/USD" for n in range(999, 994, -1)] + ["Pairs"]
    assert lines[-1].sentence == "995 more pairs are behind."
    assert (lines[-1].remedy.deed, lines[-1].remedy.target) == (Deed.FILL_GAPS, "")


def test_one_line_more_is_told_rather_than_folded() -> None:
    pairs = [PairFacts(f"P{n}/USD", known_to=ago(hours=1)) for n in range(MOST_LINES + 1)]
    assert "Pairs" not in [line.subject for line in attention_lines(desk(*pairs))]


# --- runs ---


def test_a_failed_run_is_started_again_by_a_click() -> None:
    line = line_of(desk(runs=[FAILED]))
    assert line.subject == "Run 12: backfill BTC/USD"
    assert line.sentence == "It failed at 2025-11-24 11:34 UTC: Refused: unknown pair"
    assert (line.remedy.deed, line.remedy.target) == (Deed.RESTART, "12")


def test_a_run_that_was_made_good_since_is_a_failure_and_no_line() -> None:
    found = desk(runs=[replace(FAILED, is_answered=True)])
    assert attention_lines(found) == []
    assert len(found.failures) == 1


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_a_run_that_nobody_is_at_was_killed(state: str) -> None:
    line = line_of(desk(runs=[replace(FAILED, state=state)]))
    assert line.sentence == "It was killed; it was last heard of at 2025-11-24 11:34 UTC."


def test_a_feeds_own_runs_are_told_by_its_session() -> None:
    assert attention_lines(desk(runs=[replace(FAILED, kind="live", symbol="")])) == []


def test_an_error_is_told_in_a_line() -> None:
    line = line_of(desk(runs=[replace(FAILED, error="x" * 5000)]))
    assert len(line.sentence) < ERROR_CHARACTERS + 60


# --- feeds, workers, the timetable ---


@pytest.mark.parametrize(
    ("feed", "state"),
    [
        (FEED, "live"),
        (replace(FEED, heard_at=None, started_at=ago(seconds=20)), "live"),
        (replace(FEED, heard_at=ago(minutes=1)), "deaf"),
        (replace(FEED, alive_at=ago(minutes=1)), "silent"),
        (replace(FEED, alive_at=ago(minutes=1), ended_at=ago(minutes=1)), "ended"),
    ],
)
def test_a_feed_is_judged_by_its_heartbeats(feed: FeedFacts, state: str) -> None:
    assert feed.state(NOW) == state
    assert len(attention_lines(desk(feeds=[feed]))) == (state in ("deaf", "silent"))


def test_only_living_feeds_count_for_the_rate() -> None:
    silent = replace(FEED, name="other", alive_at=ago(minutes=1))
    assert desk(feeds=[FEED, silent]).trades_per_second == 3.5


def test_without_a_worker_tracked_pairs_wait() -> None:
    line = line_of(desk(workers=[]))
    assert (line.urgency, line.subject) == (Urgency.STOPPED, "Workers")
    assert line.remedy.command == "celery -A config worker"


def test_one_of_two_workers_that_is_gone_can_be_forgotten() -> None:
    gone = WorkerFacts("celery@there", ago(days=2), ago(hours=1))
    line = line_of(desk(workers=[WORKER, gone]))
    assert (line.remedy.deed, line.remedy.target) == (Deed.FORGET_WORKER, "celery@there")


@pytest.mark.parametrize(
    ("beat", "lines"),
    [
        (None, 0),
        (BEAT, 0),
        (BeatFacts(ago(minutes=4.9), timedelta(minutes=1)), 0),
        (BeatFacts(ago(minutes=5.1), timedelta(minutes=1)), 1),
        (BeatFacts(None, timedelta(minutes=1)), 1),
        (BeatFacts(ago(hours=23), timedelta(days=1)), 0),
    ],
)
def test_the_timetable_is_judged_by_what_is_due_most_often(beat: BeatFacts | None, lines: int) -> None:
    assert len(attention_lines(desk(beat=beat))) == lines


def test_a_timetable_has_time_for_its_first_task_while_the_first_worker_is_new() -> None:
    never = BeatFacts(None, timedelta(minutes=1))
    assert attention_lines(desk(beat=never, workers=[WorkerFacts("new", ago(minutes=2), NOW)])) == []
    assert line_of(desk(beat=never, workers=[WorkerFacts("new", ago(minutes=6), NOW)])).subject == "Timetable"


# --- upkeep, storage ---


def test_late_upkeep_is_told_last_and_once() -> None:
    late = [UpkeepFacts(name, ago(hours=hours), timedelta(minutes=5)) for name, hours in (("a", 1), ("b", 2))]
    lines = attention_lines(desk(OLD, upkeep=late))
    assert [line.urgency for line in lines] == [Urgency.MISSING, Urgency.LATE]
    assert lines[-1].sentence.startswith("b was brought up to date last at 2025-11-24 10:34 UTC, and 1 more.")


@pytest.mark.parametrize(
    ("upkeep", "is_late"),
    [
        (UpkeepFacts("a", None, timedelta(minutes=5)), False),
        (UpkeepFacts("a", ago(minutes=20), timedelta(minutes=5)), False),
        (UpkeepFacts("a", ago(minutes=21), timedelta(minutes=5)), True),
        (UpkeepFacts("a", ago(minutes=4), timedelta(minutes=5), is_failing=True), False),
        (UpkeepFacts("a", ago(minutes=6), timedelta(minutes=5), is_failing=True), True),
        (UpkeepFacts("a", None, timedelta(minutes=5), is_failing=True), True),
    ],
)
def test_upkeep_is_late_when_it_was_missed_four_times_or_once_by_failing(
    upkeep: UpkeepFacts, is_late: bool
) -> None:
    assert upkeep.is_late(NOW) is is_late


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (1, "1 waits to be corrected and replayed, or dismissed."),
        (1_234, "1,234 wait to be corrected and replayed, or dismissed."),
    ],
)
def test_rejected_records_that_wait_are_told_in_one_line_that_leads_to_them(
    count: int, sentence: str
) -> None:
    line = line_of(desk(waiting_rejects=count))
    assert (line.subject, line.sentence, line.urgency) == ("Rejected records", sentence, Urgency.UNDECIDED)
    assert (line.remedy.deed, line.remedy.place) == (None, Place.REJECTS)


def test_compression_saves_a_part_of_what_was_there() -> None:
    assert TableFacts("trades", 1, 50, before=1000, after=60).saved == 0.94
    assert TableFacts("trades", 1, 50).saved is None


# --- whatever the facts ---

moments = st.integers(0, 2_000_000).map(lambda seconds: NOW - timedelta(seconds=seconds))
names = st.text("ABC<&\"' /", min_size=1, max_size=5)
pairs = st.builds(
    PairFacts,
    names, st.booleans(), st.booleans(), st.none() | moments, st.integers(0, 9), st.sampled_from(["", "no\nno"]),
)  # fmt: skip
feeds = st.builds(
    FeedFacts, st.integers(1, 99), names, moments, moments, st.none() | moments, st.none() | moments
)
workers = st.builds(WorkerFacts, names, moments, moments)
runs = st.builds(
    RunFacts,
    st.integers(1, 99), st.sampled_from(["backfill", "gap_fill", "import", "audit", "live", "other"]),
    st.sampled_from(["running", "failed", "interrupted"]), moments, names, st.just(""), st.booleans(), st.booleans(),
)  # fmt: skip
upkeeps = st.builds(UpkeepFacts, names, st.none() | moments, st.just(timedelta(minutes=5)), st.booleans())
desks = st.builds(
    Desk,
    st.just(NOW),
    st.lists(pairs, max_size=30, unique_by=lambda pair: pair.symbol),
    st.lists(feeds, max_size=9),
    st.lists(workers, max_size=9),
    st.none() | st.builds(BeatFacts, st.none() | moments, st.just(timedelta(minutes=1))),
    st.lists(runs, max_size=30),
    st.lists(upkeeps, max_size=9),
    waiting_rejects=st.integers(0, 3),
)


@given(desks)
def test_every_line_has_its_remedy_and_the_most_urgent_come_first(found: Desk) -> None:
    lines = attention_lines(found)
    assert [line.urgency for line in lines] == sorted(line.urgency for line in lines)
    for line in lines:
        assert line.remedy.command
        assert line.sentence.endswith((".", "no")) or ": " in line.sentence
        assert (line.remedy.deed is None) == (line.subject in ("Workers", "Rejected records"))
        assert bool(line.remedy.label) == (line.remedy.deed is not None or line.remedy.place is not None)


@given(desks)
def test_the_list_is_short_whatever_went_wrong(found: Desk) -> None:
    # Workers, feeds, runs; pairs behind, torn, failing: of each so many and one for the rest; three single lines.
    assert len(attention_lines(found)) <= 6 * (MOST_LINES + 1) + 3


@given(desks)
def test_every_tracked_pair_is_either_fresh_or_behind(found: Desk) -> None:
    assert sorted([*found.fresh, *found.behind], key=lambda pair: pair.symbol) == sorted(
        found.tracked, key=lambda pair: pair.symbol
    )


@given(desks)
def test_no_pair_is_told_twice_and_none_is_forgotten(found: Desk) -> None:
    lines = [line for line in attention_lines(found) if line.remedy.deed in (Deed.FILL_GAPS, Deed.BACKFILL)]
    told = [line.subject for line in lines if line.remedy.target]
    assert len(told) == len(set(told))
    folded = sum(
        int(re.split(r"\D", line.sentence)[0])
        for line in lines
        if line.subject == "Pairs" and not line.remedy.target
    )
    at_work = {run.symbol for run in found.running}
    wanted = {pair.symbol for pair in [*found.behind, *found.with_holes]}
    wanted |= {pair.symbol for pair in found.pairs if pair.error}
    assert len(told) + folded == len(wanted - at_work)


@given(desks)
def test_the_lines_do_not_change_with_the_clock_alone(found: Desk) -> None:
    later = replace(found, now=found.now + timedelta(milliseconds=1))
    same = [each.state(found.now) == each.state(later.now) for each in found.feeds]
    same += [each.is_alive(found.now) == each.is_alive(later.now) for each in found.workers]
    same += [each.is_late(found.now) == each.is_late(later.now) for each in found.upkeep]
    same += [
        found.behind == later.behind,
        found.beat is None or found.beat.is_alive(NOW) == found.beat.is_alive(later.now),
    ]
    if all(same):
        assert attention_lines(found) == attention_lines(later)
