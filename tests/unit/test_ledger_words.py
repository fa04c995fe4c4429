"""The ledger in sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from krakendata.gaps import CandleRun, IdRange, Ledger, TradeCheck, TradeRun
from krakendata.ledger_words import ledger_in_words
from krakendata.types import archive_trade_id, ns_of

DAY = datetime(2024, 3, 4, tzinfo=UTC)
NOW = DAY + timedelta(days=2)


def at(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


def run(first_id: int, last_id: int, start: float, end: float) -> TradeRun:
    return TradeRun(first_id, last_id, ns_of(at(start)), ns_of(at(end)))


def test_nothing_is_said_to_be_nothing() -> None:
    assert ledger_in_words(Ledger(), (), (), NOW) == ["Nothing was collected yet."]


def test_a_whole_history_is_one_piece_from_its_first_trade() -> None:
    ledger = Ledger((run(1, 1500, 0, 10), run(1501, 2000, 12, 20)), check=TradeCheck(2000, ns_of(at(21))))
    assert ledger_in_words(ledger, (), (), NOW) == [
        "Trades 1 to 2,000 are in without a step, from 2024-03-04 00:00:00 to 2024-03-04 20:00:00.",
        "The pair's very first trade is in: before it there is nothing to miss.",
        "Between the first and the last no id is missing.",
        "At 2024-03-04 21:00:00 the exchange's newest trade was 2,000.",
    ]


def test_gaps_answers_and_what_is_before_are_told() -> None:
    ledger = Ledger((run(1001, 1500, 0, 10), run(1502, 2000, 12, 20), run(2011, 2020, 21, 22)))
    said = ledger_in_words(ledger, [IdRange(5, 6)], [IdRange(7, 7)], NOW)
    assert said == [
        "1,009 trade ids are in, in 3 pieces, from 2024-03-04 00:00:00 to 2024-03-04 22:00:00.",
        "Before the first of them the exchange has 1,000 more that were not collected.",
        "Id 1,501 is missing, between 2024-03-04 10:00:00 and 2024-03-04 12:00:00.",
        "Ids 2,001 to 2,010 (10) are missing, between 2024-03-04 20:00:00 and 2024-03-04 21:00:00.",
        "2 ids the exchange itself does not have: it said so twice.",
        "1 id we refused, for a reason that is on record.",
    ]


def test_many_gaps_are_counted() -> None:
    ledger = Ledger(tuple(run(10 * n + 1, 10 * n + 5, n, n + 0.5) for n in range(9)))
    said = ledger_in_words(ledger, (), (), NOW)
    assert sum("are missing" in sentence for sentence in said) == 5
    assert "There are 3 older gaps." in said


def test_one_is_told_as_one() -> None:
    ledger = Ledger(tuple(run(10 * n + 2, 10 * n + 5, n, n + 0.5) for n in range(7)))
    said = ledger_in_words(ledger, (), (), NOW)
    assert "Before the first of them the exchange has 1 more that was not collected." in said
    assert "There is 1 older gap." in said


def test_archives_are_told_by_their_time() -> None:
    second = ns_of(at(3)) // 10**9
    idless = TradeRun(
        archive_trade_id(second, 0), archive_trade_id(second + 60, 0), ns_of(at(3)), ns_of(at(4))
    )
    ledger = Ledger((idless,), candle_runs=(CandleRun(60, at(0), at(5)),))
    assert ledger_in_words(ledger, (), (), NOW) == [
        "Archives without ids gave trades from 2024-03-04 03:00:00 to 2024-03-04 04:00:00: probably all, but nothing "
        "shows it.",
        "Candles of 1h were given from 2024-03-04 00:00 to 2024-03-04 06:00.",
    ]


def test_a_pair_that_was_never_traded_is_told_so() -> None:
    ledger = Ledger(check=TradeCheck(0, ns_of(at(5))))
    assert "At 2024-03-04 05:00:00 the exchange had no trade of the pair yet." in ledger_in_words(
        ledger, (), (), NOW
    )
