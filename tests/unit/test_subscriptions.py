"""What is asked, answered, refused and asked again: without a socket, by a clock of numbers."""

from __future__ import annotations

from math import inf

import pytest

from krakendata.kraken.messages import SubscriptionAnswer
from krakendata.kraken.subscriptions import (
    MAX_SYMBOLS,
    REFUSED_SECONDS,
    UNCERTAIN_SECONDS,
    Request,
    Subscribed,
    Subscription,
    SubscriptionRefused,
    Subscriptions,
)

NOT_SUPPORTED = "Currency pair not supported XBT/USD"


def wanting(*symbols: str, candles: tuple[str, ...] = ()) -> Subscriptions:
    subscriptions = Subscriptions()
    want(subscriptions, *symbols, candles=candles)
    return subscriptions


def want(subscriptions: Subscriptions, *symbols: str, candles: tuple[str, ...] = ()) -> bool:
    named = [("trade", symbol) for symbol in symbols] + [("ohlc", symbol) for symbol in candles]
    return subscriptions.want(Subscription(*each) for each in named)


def requests_of(subscriptions: Subscriptions, now: float = 0.0) -> list[Request]:
    """Take every request that may go out at a moment."""
    taken: list[Request] = []
    while (request := subscriptions.next_request(now)) is not None:
        taken.append(request)
    return taken


def asked(subscriptions: Subscriptions, now: float = 0.0) -> list[tuple[str, str, tuple[str, ...]]]:
    return [each[:3] for each in requests_of(subscriptions, now)]


def acknowledged(channel: str, symbol: str, method: str = "subscribe") -> SubscriptionAnswer:
    return SubscriptionAnswer(method, channel, symbol, None, None, None)


def refused(
    error: str, symbol: str = "", request_id: int | None = None, method: str = "subscribe"
) -> SubscriptionAnswer:
    return SubscriptionAnswer(method, "", symbol, request_id, error, None)


# --- asking -------------------------------------------------------------------------------------------------


def test_a_request_is_for_one_channel_and_a_hundred_symbols() -> None:
    symbols = [f"A{number}/USD" for number in range(250)]
    requests = requests_of(wanting(*symbols, candles=("A1/USD",)))
    assert [(each.channel, len(each.symbols)) for each in requests] == [
        ("trade", MAX_SYMBOLS), ("trade", MAX_SYMBOLS), ("trade", 50), ("ohlc", 1),
    ]  # fmt: skip
    assert [name for each in requests[:3] for name in each.symbols] == symbols
    assert len({each.request_id for each in requests}) == 4


def test_what_is_heard_is_not_asked_for_again() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    assert subscriptions.answered(acknowledged("trade", "BTC/USD"), 1.0) == [Subscribed("trade", "BTC/USD")]
    assert not want(subscriptions, "BTC/USD")
    assert requests_of(subscriptions, 1e9) == []
    assert subscriptions.overdue(1e9) == []
    assert (subscriptions.overdue_in(1e9), subscriptions.ask_in(1e9)) == (inf, inf)


def test_only_the_difference_is_asked_for() -> None:
    subscriptions = wanting("BTC/USD", "ETH/USD")
    requests_of(subscriptions)
    for symbol in ("BTC/USD", "ETH/USD"):
        subscriptions.answered(acknowledged("trade", symbol), 0.0)
    assert want(subscriptions, "ETH/USD", "SOL/USD", candles=("BTC/USD",))
    assert asked(subscriptions) == [
        ("unsubscribe", "trade", ("BTC/USD",)),
        ("subscribe", "trade", ("SOL/USD",)),
        ("subscribe", "ohlc", ("BTC/USD",)),
    ]


@pytest.mark.parametrize("error", [None, "Subscription Not Found"])
def test_what_is_wanted_again_is_asked_for_when_its_end_is_over(error: str | None) -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0)
    want(subscriptions)
    assert asked(subscriptions) == [("unsubscribe", "trade", ("BTC/USD",))]
    want(subscriptions, "BTC/USD")
    assert asked(subscriptions) == []
    ended = acknowledged("trade", "BTC/USD", "unsubscribe")
    assert subscriptions.answered(ended._replace(error=error), 0.0) == []
    assert asked(subscriptions) == [("subscribe", "trade", ("BTC/USD",))]


def test_what_is_no_longer_wanted_is_ended_before_it_is_answered() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    want(subscriptions)
    assert asked(subscriptions) == [("unsubscribe", "trade", ("BTC/USD",))]
    assert subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0) == []
    subscriptions.answered(acknowledged("trade", "BTC/USD", "unsubscribe"), 0.0)
    assert not subscriptions.is_listening


def test_a_new_connection_hears_nothing_yet() -> None:
    subscriptions = wanting("BTC/USD", "XBT/USD")
    first = requests_of(subscriptions)
    subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0)
    subscriptions.answered(refused(NOT_SUPPORTED, "XBT/USD"), 0.0)
    subscriptions.restart()
    assert not subscriptions.is_listening
    (again,) = requests_of(subscriptions)
    assert again.symbols == ("BTC/USD",)
    assert again.request_id > first[0].request_id


# --- answers ------------------------------------------------------------------------------------------------


def test_an_answer_may_come_twice_or_to_nobody() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    assert len(subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0)) == 1
    assert subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0) == []
    assert subscriptions.answered(acknowledged("trade", "ETH/USD"), 0.0) == []
    assert subscriptions.answered(acknowledged("book", "BTC/USD"), 0.0) == []
    assert subscriptions.answered(refused("Malformed request", method="ping", request_id=9), 0.0) == []


def test_a_snapshot_is_an_answer_and_the_late_one_is_none() -> None:
    subscriptions = wanting("BTC/USD", candles=("BTC/USD",))
    requests_of(subscriptions)
    told = subscriptions.snapshot_came("trade", ["BTC/USD", "BTC/USD", "ETH/USD"])
    assert told == [Subscribed("trade", "BTC/USD")]
    assert subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0) == []
    assert subscriptions.is_asking


def test_a_missing_answer_is_asked_for_once_more_and_then_told() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    assert subscriptions.overdue_in(4.0) == 6.0
    assert subscriptions.overdue(9.0) == []
    assert asked(subscriptions, 9.0) == []
    assert subscriptions.overdue(10.0) == []
    assert asked(subscriptions, 10.0) == [("subscribe", "trade", ("BTC/USD",))]
    (told,) = subscriptions.overdue(20.0)
    assert told == SubscriptionRefused("trade", "BTC/USD", "The exchange did not answer 2 requests for it.")
    assert not subscriptions.is_listening
    assert subscriptions.ask_in(20.0) == UNCERTAIN_SECONDS
    assert asked(subscriptions, 20.0 + UNCERTAIN_SECONDS) == [("subscribe", "trade", ("BTC/USD",))]


def test_an_end_that_is_not_answered_is_over_after_a_while() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0)
    want(subscriptions)
    requests_of(subscriptions)
    assert subscriptions.overdue(10.0) == []
    assert asked(subscriptions, 10.0) == [("unsubscribe", "trade", ("BTC/USD",))]
    assert subscriptions.overdue(20.0) == []
    assert not subscriptions.is_listening
    assert asked(subscriptions, 20.0) == []


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_refused_symbol_is_told_hurts_no_other_and_is_asked_for_in_an_hour() -> None:
    subscriptions = wanting("BTC/USD", "XBT/USD")
    requests_of(subscriptions)
    told = subscriptions.answered(refused(NOT_SUPPORTED, "XBT/USD"), 0.0)
    assert told == [SubscriptionRefused("trade", "XBT/USD", f"The exchange answered: {NOT_SUPPORTED}.")]
    assert subscriptions.answered(acknowledged("trade", "BTC/USD"), 0.0) == [Subscribed("trade", "BTC/USD")]
    assert asked(subscriptions, REFUSED_SECONDS - 1) == []
    assert asked(subscriptions, REFUSED_SECONDS) == [("subscribe", "trade", ("XBT/USD",))]


def test_a_refusal_for_an_unknown_reason_lasts_a_minute() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    assert len(subscriptions.answered(refused("Service unavailable", "BTC/USD"), 0.0)) == 1
    assert asked(subscriptions, UNCERTAIN_SECONDS) == [("subscribe", "trade", ("BTC/USD",))]


def test_whoever_wants_something_new_asks_for_what_was_refused_too() -> None:
    subscriptions = wanting("XBT/USD")
    requests_of(subscriptions)
    subscriptions.answered(refused(NOT_SUPPORTED, "XBT/USD"), 0.0)
    assert not want(subscriptions, "XBT/USD")
    assert asked(subscriptions) == []
    assert want(subscriptions, "XBT/USD", "BTC/USD")
    assert asked(subscriptions) == [("subscribe", "trade", ("XBT/USD", "BTC/USD"))]


def test_a_refusal_without_a_channel_is_of_the_request_it_names() -> None:
    subscriptions = wanting("XBT/USD", candles=("XBT/USD",))
    _trades, candles = requests_of(subscriptions)
    (told,) = subscriptions.answered(refused(NOT_SUPPORTED, "XBT/USD", candles.request_id), 0.0)
    assert told[:2] == ("ohlc", "XBT/USD")
    (told,) = subscriptions.answered(refused(NOT_SUPPORTED, "XBT/USD"), 0.0)
    assert told[:2] == ("trade", "XBT/USD")


def test_who_hears_it_already_is_told_so() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    told = subscriptions.answered(refused("Already subscribed to BTC/USD", "BTC/USD"), 0.0)
    assert told == [Subscribed("trade", "BTC/USD")]


def test_a_refused_request_is_divided_until_the_bad_symbol_is_alone() -> None:
    symbols = [f"A{number}/USD" for number in range(13)]
    subscriptions = wanting(*symbols)
    told: list[Subscribed | SubscriptionRefused] = []
    for _ in range(50):
        request = subscriptions.next_request(0.0)
        if request is None:
            break
        if "A5/USD" in request.symbols:
            told += subscriptions.answered(refused("Symbol(s) not found", "", request.request_id), 0.0)
        else:
            for symbol in request.symbols:
                told += subscriptions.answered(acknowledged("trade", symbol), 0.0)
    assert [each.symbol for each in told if isinstance(each, SubscriptionRefused)] == ["A5/USD"]
    assert {each.symbol for each in told} == set(symbols)


def test_a_refusal_of_nothing_in_particular_is_told_and_undoes_nothing() -> None:
    subscriptions = wanting("BTC/USD")
    requests_of(subscriptions)
    (told,) = subscriptions.answered(refused("Private data and trading are unavailable"), 0.0)
    assert told[:2] == ("", "")
    assert subscriptions.is_asking


@pytest.mark.parametrize("has_id", [True, False])
def test_what_was_asked_for_too_fast_is_asked_for_again_without_counting(has_id: bool) -> None:
    subscriptions = wanting("BTC/USD")
    for _ in range(5):
        (request,) = requests_of(subscriptions)
        answer = refused("Exceeded msg rate", "", request.request_id if has_id else None, "")
        assert subscriptions.answered(answer, 0.0) == []
    assert asked(subscriptions) == [("subscribe", "trade", ("BTC/USD",))]
