"""What a backfill will ask of the exchange, told before it is begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from krakendata.backfill_preview import Preview, preview_backfill
from krakendata.gaps import IdRange, Ledger, Stretch, TradeCheck, TradeRun
from krakendata.types import ns_of

DAY = datetime(2024, 3, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = DAY + 30 * HOUR


def at(hours: float) -> datetime:
    return DAY + hours * HOUR


def run(first_id: int, last_id: int, start: float, end: float) -> TradeRun:
    return TradeRun(first_id, last_id, ns_of(at(start)), ns_of(at(end)))


def preview(ledger: Ledger, start: float, end: float) -> Preview:
    return preview_backfill(ledger, Stretch(at(start), at(end)), NOW)


def test_where_nothing_is_missing_nothing_is_asked() -> None:
    ledger = Ledger((run(1, 1000, 0, 10), run(1001, 2000, 12, 20)))
    assert preview(ledger, 0, 20) == Preview(0, timedelta(), 0, 0, is_exact=True)


def test_a_gap_between_two_trades_is_counted_by_its_ids() -> None:
    ledger = Ledger((run(1, 1000, 0, 10), run(3501, 4000, 12, 20)))
    assert preview(ledger, 0, 20) == Preview(1, 2 * HOUR, 2500, 4, is_exact=True)


def test_of_a_part_of_a_gap_its_share_is_reckoned() -> None:
    ledger = Ledger((run(1, 1000, 0, 10), run(3001, 4000, 12, 20)))
    assert preview(ledger, 11, 20) == Preview(1, HOUR, 1000, 2, is_exact=False)


def test_of_an_open_tail_the_pairs_own_pace_is_taken() -> None:
    ledger = Ledger((run(1, 36_001, 0, 10),))
    assert preview(ledger, 10, 40) == Preview(1, 20 * HOUR, 72_000, 73, is_exact=False)


def test_before_the_first_trade_held_there_are_no_more_than_its_id_says() -> None:
    ledger = Ledger((run(501, 36_501, 10, 20),))
    assert preview(ledger, 0, 15) == Preview(1, 10 * HOUR, 500, 2, is_exact=False)


def test_of_a_pair_of_which_nothing_is_held_nobody_can_say() -> None:
    assert preview(Ledger(), 0, 10) == Preview(1, 10 * HOUR, None, None, is_exact=False)


def test_answers_and_checks_leave_nothing_to_ask() -> None:
    ledger = Ledger(
        (run(1, 10, 0, 10), run(13, 20, 12, 20)), (IdRange(11, 12),), check=TradeCheck(20, ns_of(NOW))
    )
    assert preview(ledger, 0, 40).gaps == 0


def test_a_tail_of_seconds_is_no_gap() -> None:
    ledger = Ledger((run(1, 10, 0, 30 - 1 / 3600),))
    assert preview(ledger, 0, 40).gaps == 0
    assert preview(Ledger((run(1, 10, 0, 30 - 5 / 60),)), 0, 40).gaps == 1


def test_what_lies_outside_the_stretch_is_not_asked_for() -> None:
    ledger = Ledger((run(1, 10, 0, 2), run(13, 20, 3, 10), run(41, 50, 12, 29)))
    assert preview(ledger, 4, 9).gaps == 0
    assert preview(ledger, 4, 12).gaps == 1


@given(st.integers(0, 20), st.integers(1, 20), st.integers(2, 10_000))
def test_the_parts_of_a_gap_add_up_to_the_whole(first: int, length: int, missing: int) -> None:
    ledger = Ledger((run(1, 10, -1, 0), run(11 + missing, 30 + missing, 24, 25)))
    end = min(24, first + length)
    parts = [preview(ledger, *part) for part in ((0, first), (first, end), (end, 24))]
    whole = preview(ledger, 0, 24)
    assert whole.trades == missing
    assert sum((part.lasting for part in parts), timedelta()) == whole.lasting
    assert abs(sum(part.trades or 0 for part in parts) - missing) <= len(parts)
