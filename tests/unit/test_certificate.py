"""The certificate: what the ledger and the candles of the days prove together."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.certificate import Certificate, Day, DayCandle, DayState, certify
from krakendata.gaps import CandleRun, IdRange, Ledger, TradeCheck, TradeRun
from krakendata.types import NS_PER_SECOND, archive_trade_id, ns_of

MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PROVEN, HOLE = DayState.PROVEN, DayState.EXCHANGE_HOLE
PROVISIONAL, MISSING = DayState.PROVISIONAL, DayState.MISSING


def at(days: float) -> datetime:
    return MONDAY + days * DAY


def run(first_id: int, last_id: int, start: float, end: float) -> TradeRun:
    return TradeRun(first_id, last_id, ns_of(at(start)), ns_of(at(end)))


def candle(day: int, first_id: int, last_id: int, trades: int | None = None) -> DayCandle:
    return DayCandle(at(day), last_id - first_id + 1 if trades is None else trades, first_id, last_id)


def given_candle(day: int, trades: int = 9) -> DayCandle:
    return DayCandle(at(day), trades, None, None)


def check(last_id: int, days: float) -> TradeCheck:
    return TradeCheck(last_id, ns_of(at(days)))


def certificate(
    ledger: Ledger,
    candles: Sequence[DayCandle],
    now: float,
    absent: Sequence[IdRange] = (),
    rejected: Sequence[IdRange] = (),
    since: float | None = None,
) -> Certificate:
    return certify(
        "BTC/USD", ledger, candles, absent, rejected, at(now), None if since is None else at(since)
    )


def test_a_day_whose_candle_has_no_ids_is_not_proven() -> None:
    ledger = Ledger((run(1, 99, 0.1, 2.9),), (), (), None)
    found = certificate(ledger, [candle(0, 1, 30), given_candle(1), candle(2, 61, 99)], now=2.9)
    assert found.days[1].state == PROVISIONAL


def states(found: Certificate) -> list[DayState]:
    return [day.state for day in found.days]


def test_nothing_known_is_no_day() -> None:
    assert certificate(Ledger(), [], 3) == Certificate("BTC/USD", (), None)


def test_contiguous_ids_prove_their_days_and_the_check_the_rest() -> None:
    ledger = Ledger((run(1, 30, 0.5, 2.25),), check=check(30, 2.5))
    found = certificate(ledger, [candle(0, 1, 10), candle(1, 11, 20), candle(2, 21, 30)], 2.5)
    assert states(found) == [PROVEN] * 3
    assert found.days[1] == Day(
        date(2024, 3, 5), at(2), PROVEN, 11, 20, 10, 0, 0, 0, 0, DAY, timedelta(), timedelta()
    )
    assert (found.days[2].until, found.days[2].proven) == (at(2.5), DAY / 2)
    assert found.ids_before == 0


def test_a_day_without_a_trade_is_proven_by_the_ids_around_it() -> None:
    found = certificate(Ledger((run(1, 20, 0, 2.5),)), [candle(0, 1, 10), candle(2, 11, 20)], 2.5)
    assert states(found) == [PROVEN] * 3
    assert (found.days[1].trades, found.days[1].first_id, found.days[1].missing_ids) == (0, None, 0)


def test_a_day_that_was_not_collected_is_missing_and_nobody_knows_how_much() -> None:
    ledger = Ledger((run(1, 10, 0, 0.5), run(40, 50, 2.5, 3)))
    found = certificate(ledger, [candle(0, 1, 10), candle(2, 40, 50)], 3)
    assert states(found) == [MISSING] * 3
    assert [day.missing_ids for day in found.days] == [None] * 3
    assert [day.missing for day in found.days] == [DAY / 2, DAY, DAY / 2]


def test_ids_missing_between_trades_of_one_day_are_counted() -> None:
    ledger = Ledger((run(1, 10, 0, 1.25), run(15, 30, 1.5, 2)))
    found = certificate(ledger, [candle(0, 1, 5), candle(1, 6, 30, 21)], 2)
    assert states(found) == [PROVEN, MISSING]
    assert (found.days[1].missing_ids, found.days[1].missing) == (4, DAY / 4)
    assert found.days[1].unaccounted == 0


def test_a_gap_within_one_microsecond_is_missing_though_it_takes_no_time() -> None:
    ledger = Ledger((run(1, 10, 0, 0.5), run(12, 30, 0.5, 1)))
    found = certificate(ledger, [candle(0, 1, 30, 29)], 1)
    assert (found.days[0].state, found.days[0].missing_ids) == (MISSING, 1)
    assert found.days[0].missing == timedelta()


def test_what_the_exchange_lacks_is_its_own_hole() -> None:
    absent = IdRange(11, 14)
    ledger = Ledger((run(1, 10, 0, 1.25), run(15, 30, 1.5, 2)), (absent,))
    found = certificate(ledger, [candle(0, 1, 5), candle(1, 6, 30, 21)], 2, [absent])
    assert states(found) == [PROVEN, HOLE]
    assert (found.days[1].absent, found.days[1].missing_ids, found.days[1].unaccounted) == (4, 0, 0)


def test_absent_ids_between_two_days_belong_to_the_day_of_the_trade_before() -> None:
    absent = IdRange(11, 12)
    ledger = Ledger((run(1, 10, 0, 0.9), run(13, 20, 1.1, 2)), (absent,))
    found = certificate(ledger, [candle(0, 1, 10), candle(1, 13, 20)], 2, [absent])
    assert states(found) == [HOLE, PROVEN]


def test_absent_ids_before_the_first_trade_leave_nothing_to_miss() -> None:
    absent = IdRange(1, 2)
    found = certificate(Ledger((run(3, 20, 0.5, 1),), (absent,)), [candle(0, 3, 20)], 1, [absent])
    assert states(found) == [HOLE]
    assert found.ids_before == 0


def test_a_rejected_trade_is_told_and_no_gap() -> None:
    rejected = IdRange(11, 11)
    ledger = Ledger((run(1, 10, 0, 0.5), run(12, 20, 0.6, 1)), (rejected,))
    found = certificate(ledger, [candle(0, 1, 20, 19)], 1, rejected=[rejected])
    assert (found.days[0].state, found.days[0].rejected, found.days[0].missing_ids) == (PROVEN, 1, 0)


def test_an_absurd_rejected_id_belongs_to_no_day() -> None:
    rejected = IdRange(10**15, 10**15)
    found = certificate(Ledger((run(1, 10, 0, 1),), (rejected,)), [candle(0, 1, 10)], 1, rejected=[rejected])
    assert (states(found), found.days[0].rejected) == ([PROVEN], 0)


def test_candles_without_ids_are_provisional() -> None:
    ledger = Ledger(candle_runs=(CandleRun(1, at(0), at(2) - MINUTE), CandleRun(1440, at(2), at(2))))
    found = certificate(ledger, [given_candle(0), given_candle(1), given_candle(2)], 3)
    assert states(found) == [PROVISIONAL] * 3
    assert found.days[0].missing_ids is None
    assert found.ids_before is None


def test_trades_without_ids_are_provisional_and_show_no_ids() -> None:
    first, last = (int(at(days).timestamp()) for days in (0, 1))
    ids = archive_trade_id(first, 0), archive_trade_id(last, 0)
    archive = TradeRun(*ids, first * NS_PER_SECOND, last * NS_PER_SECOND)
    found = certificate(Ledger((archive,)), [DayCandle(at(0), 50, ids[0], ids[1] - 1)], 1)
    assert states(found) == [PROVISIONAL]
    assert (found.days[0].first_id, found.days[0].last_id, found.days[0].trades) == (None, None, 50)


def test_candles_ahead_of_their_trades_make_a_day_provisional() -> None:
    ledger = Ledger(
        (run(1, 10, 0, 0.5), run(50, 60, 0.75, 1)), (), (CandleRun(1, at(0.5), at(0.75) - MINUTE),)
    )
    found = certificate(ledger, [given_candle(0, 60)], 1)
    assert (found.days[0].state, found.days[0].missing_ids) == (PROVISIONAL, 39)
    assert (found.days[0].proven, found.days[0].provisional) == (DAY * 0.75, DAY * 0.25)


def test_a_pair_that_never_traded_is_proven_empty_up_to_the_check() -> None:
    found = certificate(Ledger(check=check(0, 0.5)), [], 0.5)
    assert (states(found), found.days[0].until, found.days[0].trades) == ([PROVEN], at(0.5), 0)


def test_days_since_a_time_before_the_first_trade_of_all_are_proven_empty() -> None:
    found = certificate(Ledger((run(1, 10, 2, 3),)), [candle(2, 1, 10)], 3, since=0.5)
    assert states(found) == [PROVEN] * 3


def test_days_since_a_time_before_the_first_trade_held_are_missing() -> None:
    found = certificate(Ledger((run(5, 10, 2, 3),)), [candle(2, 5, 10)], 3, since=0.5)
    assert states(found) == [MISSING, MISSING, PROVEN]
    assert found.ids_before == 4


def test_today_is_judged_up_to_the_check() -> None:
    ledger = Ledger((run(1, 10, 0, 1.2),), check=check(10, 1.25))
    found = certificate(ledger, [candle(0, 1, 5), candle(1, 6, 10)], 1.5)
    assert states(found) == [PROVEN, PROVEN]
    assert (found.days[1].until, found.days[1].proven) == (at(1.25), DAY / 4)


def test_a_day_that_ended_unchecked_is_missing() -> None:
    found = certificate(Ledger((run(1, 10, 0, 1.2),)), [candle(0, 1, 5), candle(1, 6, 10)], 2.5)
    assert states(found) == [PROVEN, MISSING, MISSING]
    assert found.days[1].missing == DAY - DAY * 0.2


@pytest.mark.parametrize("seconds", [-30, 0, 60])
def test_just_after_midnight_the_day_before_waits_for_its_check(seconds: int) -> None:
    last = (at(1) - timedelta(seconds=30) - MONDAY) / DAY
    now = (at(1) + timedelta(seconds=seconds) - MONDAY) / DAY
    found = certificate(Ledger((run(1, 10, 0, last),)), [candle(0, 1, 10)], now)
    assert (states(found), found.days[0].until) == ([PROVEN], at(1) - timedelta(seconds=30))


def test_a_day_candle_that_lacks_trades_of_the_ledger_is_not_certified() -> None:
    found = certificate(Ledger((run(1, 20, 0, 2),)), [candle(0, 1, 10), candle(1, 11, 20, 8)], 2)
    assert states(found) == [PROVEN, MISSING]
    assert [day.unaccounted for day in found.days] == [0, 2]


@pytest.mark.parametrize(
    ("candles", "blamed"),
    [
        ([candle(0, 1, 10), candle(2, 21, 30)], 1),
        ([candle(0, 1, 10), candle(1, 14, 20), candle(2, 21, 30)], 1),
        ([candle(0, 1, 10), candle(1, 11, 20)], 2),
        ([candle(1, 11, 20), candle(2, 21, 30)], 0),
    ],
)
def test_trades_that_no_candle_shows_are_found(candles: list[DayCandle], blamed: int) -> None:
    found = certificate(Ledger((run(1, 30, 0, 2.9),)), candles, 2.9)
    shown = sum(each.trade_count for each in candles)
    assert [day.unaccounted for day in found.days] == [30 - shown if day == blamed else 0 for day in range(3)]
    assert found.days[blamed].state is MISSING


def test_no_candle_at_all_accounts_for_nothing() -> None:
    found = certificate(Ledger((run(1, 30, 0, 1),)), [], 1)
    assert (found.days[0].state, found.days[0].unaccounted) == (MISSING, 30)


def test_beside_a_candle_without_ids_nothing_is_counted() -> None:
    ledger = Ledger((run(1, 10, 0, 1.2), run(20, 30, 1.5, 3)), (), (CandleRun(1, at(1), at(2) - MINUTE),))
    found = certificate(ledger, [candle(0, 1, 8), given_candle(1), candle(2, 25, 30)], 3)
    assert states(found) == [PROVEN, PROVISIONAL, PROVEN]
    assert [day.unaccounted for day in found.days] == [0, 0, 0]


def test_ids_that_interlock_at_midnight_are_counted_together() -> None:
    found = certificate(Ledger((run(1, 20, 0, 2),)), [candle(0, 1, 11, 10), candle(1, 10, 20, 10)], 2)
    assert states(found) == [PROVEN, PROVEN]


def test_a_part_of_the_days_can_be_cut_out() -> None:
    found = certificate(
        Ledger((run(1, 30, 0, 3),)), [candle(n, 10 * n + 1, 10 * n + 10) for n in range(3)], 3
    )
    assert [day.first_id for day in found.between(at(1.5), at(2)).days] == [11]
    assert found.between(None, None) == found
    assert found.counts == {PROVEN: 3, HOLE: 0, PROVISIONAL: 0, MISSING: 0}


def test_ten_years_of_a_torn_ledger_are_judged_at_once() -> None:
    days = 3650
    runs = tuple(run(100 * n + 1, 100 * n + 99, n, n + 0.9) for n in range(days))
    found = certificate(Ledger(runs), [candle(n, 100 * n + 1, 100 * n + 99) for n in range(days)], days - 0.1)
    assert found.counts[MISSING] == days - 1
    assert sum(day.trades for day in found.days) == 99 * days


@st.composite
def collected(draw: st.DrawFn) -> tuple[list[tuple[int, float]], set[int], set[int]]:
    """Trades as (id, days since the beginning), the ids that are held, and the ids that the exchange lacks."""
    steps = draw(st.lists(st.integers(1, 40), min_size=1, max_size=40))
    trades, hours = [], 0
    for trade_id, step in enumerate(steps, start=1):
        hours += step
        # Between the hours, so that no trade lies on midnight.
        trades.append((trade_id, (hours + 0.5) / 24))
    kinds = [draw(st.sampled_from("hhhma")) for _ in trades]
    held = {id_ for (id_, _), kind in zip(trades, kinds, strict=True) if kind == "h"}
    absent = {id_ for (id_, _), kind in zip(trades, kinds, strict=True) if kind == "a"}
    return trades, held, absent


@given(collected())
def test_a_day_is_proven_if_and_only_if_every_id_around_it_is_answered(
    drawn: tuple[list[tuple[int, float]], set[int], set[int]],
) -> None:
    trades, held, absent = drawn
    times = dict(trades)
    runs = [run(id_, id_, times[id_], times[id_]) for id_ in sorted(held)]
    by_day: dict[int, list[int]] = {}
    for id_ in sorted(held):
        by_day.setdefault(int(times[id_]), []).append(id_)
    candles = [candle(day, ids[0], ids[-1], len(ids)) for day, ids in by_day.items()]
    holes = [IdRange(id_, id_) for id_ in sorted(absent)]
    now = max(times.values())
    found = certificate(Ledger(tuple(runs), tuple(holes)), candles, now, holes)
    assert sum(day.trades for day in found.days) == len(held)
    for day in found.days:
        assert day.unaccounted == 0
        assert day.proven + day.provisional + day.missing == day.until - datetime.combine(
            day.day, datetime.min.time(), UTC
        )
        # The ids from the last one held before the day (the beginning: 0) to the first one held behind it.
        start, end = (day.day - MONDAY.date()).days, (day.until - MONDAY) / DAY
        before = max((id_ for id_ in held if times[id_] < start), default=0)
        behind = min((id_ for id_ in held if times[id_] >= end - 1e-9), default=None)
        inside = set(range(before + 1, behind if behind is not None else max(times) + 1))
        is_proven = behind is not None and inside <= held | absent
        assert (day.state in (PROVEN, HOLE)) == is_proven, day
