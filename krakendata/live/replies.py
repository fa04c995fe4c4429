"""What a client is told, as JSON text: numbers exact and in text, times in UTC with a Z."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from krakendata.attention import Desk, attention_lines
from krakendata.live.requests import DESK, DESK_TOPIC, BadRequest, Request, Topic
from krakendata.live_series import SeriesRow
from krakendata.types import Trade

# A quotient has no last digit; the turnover beside it is exact.
VWAP_DIGITS = 16


def encoded(message: object) -> str:
    """The text of a message."""
    return msgspec.json.encode(message).decode()


def candles_message(kind: str, topic: Topic, rows: Iterable[SeriesRow]) -> str:
    """Rows of candles; `kind` is "snapshot" or "update"."""
    return _data_message(kind, topic, [_candle(row) for row in rows])


def trades_message(kind: str, topic: Topic, trades: Iterable[Trade]) -> str:
    """Trades, likewise."""
    return _data_message(kind, topic, [_trade(trade) for trade in trades])


def subscribed(request: Request, topic: Topic, warnings: list[str]) -> str:
    """The answer to a subscribe or unsubscribe, one a symbol."""
    result: dict[str, Any] = _topic(topic)
    if request.method == "subscribe" and topic != DESK_TOPIC:
        result["history"] = request.history
    if warnings:
        result["warnings"] = warnings
    return encoded(
        {"method": request.method, "success": True, "result": result, **_answer_to(request.req_id)}
    )


def refused(method: object, error: BadRequest, req_id: int | None) -> str:
    """The answer to a request, or one symbol of it, that cannot be met."""
    about = {"symbol": error.symbol} if error.symbol is not None else {}
    return encoded(
        {
            "method": method if isinstance(method, str) else None,
            "success": False,
            "error": str(error),
            **about,
            **_answer_to(req_id),
        }
    )


def pong(request: Request, now: datetime) -> str:
    """The answer to a ping."""
    return encoded({"method": "pong", **_answer_to(request.req_id), "time": moment_text(now)})


def feed_state(state: str, since: datetime) -> str:
    """Whether the feed is heard: "live" or "silent", and since when."""
    return encoded({"type": "feed", "state": state, "since": moment_text(since)})


def desk_update(desk: Desk, html: str) -> str:
    """A reading of the desk: its counts, what needs attention, and the HTML that the admin's page shows of it."""
    lines = [
        {"urgency": line.urgency.name.lower(), "subject": line.subject, "sentence": line.sentence}
        for line in attention_lines(desk)
    ]
    data = {
        "now": moment_text(desk.now),
        "fresh": len(desk.fresh),
        "behind": len(desk.behind),
        "with_holes": len(desk.with_holes),
        "failed": len(desk.failures),
        "trades_per_second": desk.trades_per_second,
        "attention": lines,
    }
    # A template gives a subclass of str, which the encoder does not take.
    plain = str.__str__(html)
    return encoded({"channel": DESK, "type": "update", "data": data, "html": plain})


def desk_away(state: str, sentence: str) -> str:
    """The desk cannot be read; it is tried on. `state` says it in two words."""
    return encoded({"channel": DESK, "type": "away", "state": state, "error": sentence})


def slow(lost: int) -> str:
    """The last word to a client that did not read fast enough."""
    sentence = "You read too slowly: what waited for you was dropped. Connect again and subscribe for less."
    return encoded({"type": "slow", "lost": lost, "error": sentence})


def turned_away(sentence: str) -> str:
    """The last word to a client that may not listen."""
    return encoded({"type": "error", "error": sentence})


def moment_text(moment: datetime) -> str:
    """2025-11-24T12:34:00Z, with microseconds where there are any."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def decimal_text(value: Decimal) -> str:
    """Every digit but needless zeros, never 1E+2."""
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _data_message(kind: str, topic: Topic, data: list[dict[str, Any]]) -> str:
    return encoded({"channel": topic.channel, "type": kind, **_topic(topic), "data": data})


def _topic(topic: Topic) -> dict[str, Any]:
    about: dict[str, Any] = {"channel": topic.channel}
    if topic.symbol:
        about["symbol"] = topic.symbol
    if topic.interval is not None:
        about["interval"] = topic.interval.name
    return about


def _candle(row: SeriesRow) -> dict[str, Any]:
    candle = row.candle
    vwap = candle.vwap
    return {
        "timestamp": moment_text(candle.timestamp),
        "end": moment_text(candle.end),
        "open": decimal_text(candle.open),
        "high": decimal_text(candle.high),
        "low": decimal_text(candle.low),
        "close": decimal_text(candle.close),
        "volume": decimal_text(candle.volume),
        "turnover": None if candle.turnover is None else decimal_text(candle.turnover),
        "vwap": None if vwap is None else decimal_text(Decimal(f"{vwap:.{VWAP_DIGITS}g}")),
        "trade_count": candle.trade_count,
        "first_id": candle.first_id,
        "last_id": candle.last_id,
        "state": row.state.value,
        "complete": row.is_complete,
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "timestamp": moment_text(trade.timestamp),
        "price": decimal_text(trade.price),
        "volume": decimal_text(trade.volume),
        "side": trade.side,
        "order_type": trade.order_type,
    }


def _answer_to(req_id: int | None) -> dict[str, int]:
    return {} if req_id is None else {"req_id": req_id}
