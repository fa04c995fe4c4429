"""The words of the live path: what the feed says comes back as it was, and the documentation shows what clients see."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from config import env
from krakendata.attention import Desk, FeedFacts, PairFacts, RunFacts, WorkerFacts
from krakendata.live import replies
from krakendata.live.requests import (
    DEFAULT_HISTORY,
    MAX_HISTORY,
    MAX_REQUEST_CHARACTERS,
    MAX_SUBSCRIPTIONS,
    BadRequest,
    Topic,
    decoded,
    request_id_of,
    request_of,
    topic_of,
)
from krakendata.live_messages import (
    candles_message,
    candles_of,
    heard_at_of,
    pulse_message,
    subscribed_of,
    trades_message,
    trades_of,
)
from krakendata.live_series import SeriesRow, State
from krakendata.types import INTERVALS, HistoricalCandle, Symbols, Trade, interval_of

DOC = (env.ROOT / "docs/reference/live-socket.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", DOC, re.DOTALL)]

NOW = datetime(2025, 11, 24, 12, 34, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRADE = Trade("BTC/USD", 7, 1_763_987_640_123_456_000, Decimal("0.00001188"), Decimal("1E+2"), "buy", None)
CANDLE = HistoricalCandle(
    symbol="BTC/USD",
    interval_minutes=1,
    timestamp=NOW,
    open=Decimal("83744.3"),
    high=Decimal("83744.3"),
    low=Decimal("83744.3"),
    close=Decimal("83744.3"),
    volume=Decimal("0.00044780"),
    turnover=Decimal("37.50069754"),
    trade_count=1,
    first_id=109116694,
    last_id=109116694,
)
TOPIC = Topic("candles", "BTC/USD", INTERVALS["1m"])


def told(message: dict[str, Any]) -> dict[str, Any]:
    """What the channel layer makes of it on the way: it knows lists and text, no tuples and no decimals."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message))  # type: ignore[no-any-return]


def test_trades_come_back_as_they_were() -> None:
    assert trades_of(told(trades_message("feed", [TRADE])), {"BTC/USD"}) == [TRADE]


def test_trades_that_nobody_follows_are_passed_over() -> None:
    message = told(trades_message("feed", [TRADE, replace(TRADE, symbol="ETH/USD")]))
    assert [each.symbol for each in trades_of(message, {"ETH/USD"})] == ["ETH/USD"]


def test_candles_come_back_without_ids() -> None:
    (found,) = candles_of(told(candles_message("feed", [CANDLE])), {"BTC/USD"})
    assert found == replace(CANDLE, first_id=None, last_id=None)


def test_a_pulse_comes_back_in_utc() -> None:
    message = told(pulse_message("feed", NOW, {"ETH/USD", "BTC/USD"}))
    assert heard_at_of(message) == NOW
    assert subscribed_of(message) == {"BTC/USD", "ETH/USD"}


# --- the documentation's messages ---


def row(start: datetime, state: State, **changes: Any) -> SeriesRow:
    return SeriesRow(replace(CANDLE, timestamp=start, **changes), state, True)


def desk() -> Desk:
    """A thousand pairs of which one needs attention: another is worked on, and a run that failed was done again."""
    now, day = NOW.replace(second=56), timedelta(days=1)
    behind = datetime(2025, 11, 24, 9, 34, tzinfo=UTC)
    return Desk(
        now,
        [
            *(PairFacts(f"P{number}/USD", known_to=now) for number in range(998)),
            *(PairFacts(symbol, known_to=behind) for symbol in ("ETH/USD", "SOL/USD")),
        ],
        [FeedFacts(1, "feed", now - day, now, heard_at=now, trades_per_second=41.5)],
        [WorkerFacts("worker", now - day, now)],
        runs=[
            RunFacts(1, "audit", "failed", now - HOUR, is_answered=True),
            RunFacts(2, "gap_fill", "running", now, "SOL/USD", is_held=True),
        ],
    )


def replies_shown() -> list[str]:
    """Make every message of the documentation with the code that makes them."""
    asked = request_of(EXAMPLES[0])
    trades_asked = request_of(EXAMPLES[1])
    minute = NOW.replace(minute=33)
    numbers = {
        "open": Decimal("83744.3"), "high": Decimal("83745.2"), "low": Decimal("83729.40"),
        "close": Decimal("83744.30"), "volume": Decimal("0.21155628"), "turnover": Decimal("17715.600"),
        "trade_count": 33, "first_id": 109116661, "last_id": 109116693,
    }  # fmt: skip
    later = {
        "high": Decimal("83750.00"), "close": Decimal(83750), "volume": Decimal("0.5004478"),
        "turnover": Decimal("41912.50069754"), "trade_count": 2, "last_id": 109116695,
    }  # fmt: skip
    trade = replace(
        TRADE, trade_id=109116695, ns=1_763_987_666_844_359_000, price=Decimal("83750"), volume=Decimal("0.50"),
        order_type="limit",
    )  # fmt: skip
    nope = BadRequest("Unknown symbol 'NOPE': write it as BASE/QUOTE, such as BTC/USD.", "NOPE")
    return [
        replies.subscribed(asked, TOPIC, []),
        replies.subscribed(
            trades_asked, Topic("trades", "ETH/USD"), ["Nothing of ETH/USD is collected yet."]
        ),
        replies.subscribed(request_of(EXAMPLES[2]), TOPIC, []),
        replies.pong(request_of(EXAMPLES[3]), datetime(2025, 11, 24, 12, 34, 56, 789012, tzinfo=UTC)),
        replies.refused("subscribe", nope, 5),
        replies.candles_message(
            "snapshot", TOPIC, [row(minute, State.CLOSED, **numbers), row(NOW, State.FORMING)]
        ),
        replies.candles_message("update", TOPIC, [row(NOW, State.CLOSED, **later)]),
        replies.trades_message("update", Topic("trades", "BTC/USD"), [trade]),
        replies.desk_update(desk(), "…"),
        replies.feed_state("live", NOW.replace(minute=0)),
        replies.feed_state("silent", NOW.replace(second=56)),
        replies.slow(1001),
        replies.turned_away("Log in to the admin first and send its session cookie, or show a token."),
    ]


def test_the_documentation_shows_every_message_as_it_is() -> None:
    assert EXAMPLES[4:] == [json.loads(text) for text in replies_shown()]


def test_the_documentation_tells_the_limits() -> None:
    for number in (MAX_SUBSCRIPTIONS, MAX_REQUEST_CHARACTERS, MAX_HISTORY):
        assert f"{number:,}" in DOC
    assert all(f"`{name}`" in DOC for name in INTERVALS)
    assert DEFAULT_HISTORY == {"candles": 100, "trades": 0}


# --- requests ---


def test_what_is_left_out_has_a_default() -> None:
    request = request_of({"method": "subscribe", "params": {"channel": "candles", "symbol": "XBTUSD"}})
    assert (request.names, request.interval, request.history) == (("XBTUSD",), INTERVALS["1m"], 100)
    assert topic_of(request, "XBTUSD", Symbols()) == TOPIC


@pytest.mark.parametrize("interval", ["1h", 60])
def test_intervals_are_names_or_minutes(interval: object) -> None:
    params = {"channel": "candles", "symbol": ["BTC/USD"], "interval": interval}
    assert request_of({"method": "subscribe", "params": params}).interval == interval_of("1h")


@pytest.mark.parametrize("interval", [True, 2, "", None, [], 1.5])
def test_other_intervals_are_refused(interval: object) -> None:
    params = {"channel": "candles", "symbol": ["BTC/USD"], "interval": interval}
    with pytest.raises(BadRequest, match="Known intervals"):
        request_of({"method": "subscribe", "params": params})


@pytest.mark.parametrize("history", [-1, 1001, True, "5", None])
def test_other_histories_are_refused(history: object) -> None:
    params = {"channel": "trades", "symbol": ["BTC/USD"], "history": history}
    with pytest.raises(BadRequest, match="from 0 to 1,000"):
        request_of({"method": "subscribe", "params": params})


@pytest.mark.parametrize(
    "text", ['{"method": "\\ud800"}', '{"params": {"symbol": ["\\ud800/USD"]}}', '{"\\udfff": 1}']
)
def test_half_a_character_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="surrogate"):
        decoded(text)


def test_a_request_id_that_no_answer_can_carry_is_left_out() -> None:
    assert request_id_of({"req_id": 2**63 - 1}) == 2**63 - 1
    assert request_id_of({"req_id": 2**63}) is None
