"""The replay exchange's REST API: what Kraken's public one answers, to the letter (kraken-facts 1)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import malformed_row
from krakendata.replay.histories import Bar, History, Row
from krakendata.replay.listing import asset_entry, asset_ids, pair_entry
from krakendata.types import NS_PER_MINUTE, NS_PER_SECOND, Pair

__all__ = ["RestApi"]

PAGE_ROWS = 1_000
CLOSED_CANDLES = 720
OHLC_MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
DAY_MINUTES = 1440
TICKER_DECIMALS = 5

# Whole numbers below this are seconds (they last until the year 5138), those above it nanoseconds.
LEAST_NS = 10**11
MOST_NS = 2**63 - 1

UNKNOWN_PAIR = "EQuery:Unknown asset pair"
UNKNOWN_ASSET = "EQuery:Unknown asset"
INVALID = "EGeneral:Invalid arguments"
UNAVAILABLE = "EService:Unavailable"

# What is answered in maintenance too.
ALWAYS_ANSWERED = ("Time", "SystemStatus")

HTML_520 = (
    b"<!DOCTYPE html>\n<html><head><title>api.kraken.com | 520</title></head>\n"
    b"<body><h1>Error 520</h1><p>Web server is returning an unknown error</p></body></html>\n"
)

# The parts of AssetPairs that `info` asks for.
INFO = {
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}


class NotAnswered(Exception):
    """An error string of the API, instead of a result."""


class RestApi:
    """Answers `/0/public/<endpoint>` for an exchange."""

    def __init__(self, exchange: ReplayExchange) -> None:
        self._exchange = exchange
        self._pages: dict[str, bytes] = {}
        self._endpoints: dict[str, Callable[[Mapping[str, str]], Awaitable[bytes]]] = {
            "Trades": self._trades,
            "OHLC": self._ohlc,
            "AssetPairs": self._asset_pairs,
            "Assets": self._assets,
            "Ticker": self._ticker,
            "Time": self._time,
            "SystemStatus": self._system_status,
        }

    async def answer(self, request: Request) -> Response:
        """Answer one call, rightly or, where a fault strikes, as the real one does on bad days."""
        endpoint, asked = request.path_params["endpoint"], request.query_params
        self._exchange.calls[endpoint] += 1
        refused = self._refusal(request, endpoint, asked)
        if refused is not None:
            self._exchange.calls["refused"] += 1
            return refused
        spoiled = await self._instead()
        if spoiled is not None:
            return spoiled
        body = await self._body(endpoint, asked)
        if self._exchange.faults.strikes("truncated"):
            body = body[: len(body) // 2]
        return _json(body)

    def _refusal(self, request: Request, endpoint: str, asked: Mapping[str, str]) -> Response | None:
        pair = asked.get("pair", "") if endpoint in ("Trades", "OHLC") else None
        history = None if pair is None else self._exchange.find(pair)
        address = request.client.host if request.client else ""
        error = self._exchange.counters.refusal(address, history.pair.key if history else pair)
        if error is None:
            return None
        return _json(_error(error), 429 if "Too many" in error else 200)

    async def _instead(self) -> Response | None:
        """What a fault answers in place of the API."""
        faults = self._exchange.faults
        match faults.instead():
            case "rate_limit":
                return _json(_error("EAPI:Rate limit exceeded"))
            case "too_many_requests":
                return _json(_error("EGeneral:Too many requests"), 429)
            case "throttled":
                until = self._exchange.clock.ns / NS_PER_SECOND + faults.throttled_seconds
                return _json(_error(f"EService:Throttled: {int(until) + 1}"))
            case "lockout":
                return _json(_error("EGeneral:Temporary lockout"))
            case "html_520":
                return Response(HTML_520, 520, media_type="text/html; charset=UTF-8")
            case "timeout":
                await _silence(self._exchange.closing, faults.timeout_seconds)
                return Response(HTML_520, 524, media_type="text/html; charset=UTF-8")
            case "unavailable":
                return _json(_error(UNAVAILABLE))
            case "internal_error":
                return _json(_error("EGeneral:Internal error"))
        return None

    async def _body(self, endpoint: str, asked: Mapping[str, str]) -> bytes:
        answer = self._endpoints.get(endpoint)
        if answer is None:
            return _error("EGeneral:Unknown method")
        if self._exchange.faults.maintenance and endpoint not in ALWAYS_ANSWERED:
            return _error(UNAVAILABLE)
        try:
            return b'{"error":[],"result":' + await answer(asked) + b"}"
        except NotAnswered as error:
            return _error(str(error))

    def _find(self, asked: Mapping[str, str]) -> tuple[History, str]:
        """The history asked about, and the name it is answered under: as `BASE/QUOTE` if it was asked so."""
        name = asked.get("pair")
        if not name:
            raise NotAnswered(INVALID)
        history = self._exchange.find(name)
        if history is None:
            raise NotAnswered(UNKNOWN_PAIR)
        return history, name if "/" in name else history.pair.key

    # --- Trades --------------------------------------------------------------------------------------------

    async def _trades(self, asked: Mapping[str, str]) -> bytes:
        history, name = self._find(asked)
        faults = self._exchange.faults
        count = faults.short_count(_count(asked.get("count")))
        since = asked.get("since")
        if since is None:
            rows = await self._exchange.newest(history, count)
        else:
            from_ns = cursor_ns(since) + faults.is_since_exclusive()
            rows = await self._exchange.oldest(history, from_ns, count)
        last = str(rows[-1].ns) if rows else since or "0"
        page = f'{{"{name}":[{self._rows(rows)}]{self._last(last)}}}'.encode()
        if faults.strikes("repeated_page"):
            return self._pages.get(name, page)
        self._pages[name] = page
        return page

    def _rows(self, rows: Sequence[Row]) -> str:
        faults = self._exchange.faults
        if faults.malformed_every:
            return ",".join(
                trade_text(row) if kind is None else malformed_row(row, kind, time_text(row.ns))
                for row, kind in ((row, faults.malformation(row.trade_id)) for row in rows)
            )
        return ",".join(map(trade_text, rows))

    def _last(self, last: str) -> str:
        return "" if self._exchange.faults.strikes("missing_last") else f',"last":"{last}"'

    # --- OHLC ----------------------------------------------------------------------------------------------

    async def _ohlc(self, asked: Mapping[str, str]) -> bytes:
        history, name = self._find(asked)
        minutes = _whole(asked.get("interval", "1"))
        if minutes not in OHLC_MINUTES:
            raise NotAnswered(INVALID)
        length = minutes * NS_PER_MINUTE
        forming = self._exchange.rest_ns // length * length
        from_ns = forming - CLOSED_CANDLES * length
        bars = await self._exchange.bars(history, minutes, from_ns)
        before = await self._exchange.newest(history, 1, before_ns=from_ns)
        rows = _without_gaps(
            bars, before[0].price if before else None, from_ns, forming, length, history.pair
        )
        since = asked.get("since")
        if since is not None:
            since_ns = cursor_ns(since) + self._exchange.faults.is_since_exclusive()
            rows = [bar for bar in rows if bar.start_ns >= since_ns or bar.start_ns == forming]
        texts = ",".join(map(candle_text, rows))
        return f'{{"{name}":[{texts}],"last":{(forming - length) // NS_PER_SECOND}}}'.encode()

    # --- the lists -----------------------------------------------------------------------------------------

    async def _asset_pairs(self, asked: Mapping[str, str]) -> bytes:
        pairs = self._pairs_asked(asked)
        info = asked.get("info", "info")
        if info != "info" and info not in INFO:
            raise NotAnswered(INVALID)
        entries = {pair.key: pair_entry(pair) for pair in pairs}
        if info in INFO:
            entries = {key: {name: entry[name] for name in INFO[info]} for key, entry in entries.items()}
        return _compact(entries)

    def _pairs_asked(self, asked: Mapping[str, str]) -> list[Pair]:
        if not asked.get("pair"):
            return self._exchange.listed()
        found = [self._exchange.find(name) for name in asked["pair"].split(",")]
        if None in found:
            raise NotAnswered(UNKNOWN_PAIR)
        return [history.pair for history in found if history is not None]

    async def _assets(self, asked: Mapping[str, str]) -> bytes:
        ids = dict.fromkeys(each for pair in self._exchange.listed() for each in asset_ids(pair))
        entries = {each: asset_entry(each) for each in ids}
        wanted = asked.get("asset")
        if wanted:
            names = {entry["altname"]: each for each, entry in entries.items()} | {each: each for each in ids}
            if any(name not in names for name in wanted.split(",")):
                raise NotAnswered(UNKNOWN_ASSET)
            entries = {names[name]: entries[names[name]] for name in wanted.split(",")}
        return _compact(entries)

    async def _ticker(self, asked: Mapping[str, str]) -> bytes:
        named = self._pairs_asked(asked)
        return _compact({pair.key: await self._ticker_entry(pair) for pair in named})

    async def _ticker_entry(self, pair: Pair) -> dict[str, Any]:
        history = self._exchange.histories[pair.symbol]
        now = self._exchange.rest_ns
        day = DAY_MINUTES * NS_PER_MINUTE
        today = await self._exchange.bars(history, DAY_MINUTES, now // day * day)
        last_day = await self._exchange.bars(history, DAY_MINUTES, now - day)
        newest = await self._exchange.newest(history, 1)
        last = newest[0] if newest else Row(0, 0, "0.00000", "0.00000000", "b", "m")
        decimals = max(TICKER_DECIMALS, pair.price_decimals)
        sums = [_day_sums(bars, last.price, decimals) for bars in (today, last_day)]
        both = {name: [part[name] for part in sums] for name in sums[0]}
        return {
            "a": [last.price, "1", "1.000"],
            "b": [last.price, "1", "1.000"],
            "c": [last.price, last.volume],
            **both,
            "o": today[0].open if today else last.price,
        }

    # --- the clock and the state ---------------------------------------------------------------------------

    async def _time(self, asked: Mapping[str, str]) -> bytes:
        now = self._exchange.clock.now
        return _compact({"unixtime": int(now.timestamp()), "rfc1123": f"{now:%a, %d %b %y %H:%M:%S} +0000"})

    async def _system_status(self, asked: Mapping[str, str]) -> bytes:
        now = self._exchange.clock.now
        return _compact({"status": self._exchange.system, "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}"})


# --- texts ---------------------------------------------------------------------------------------------------


def time_text(ns: int) -> str:
    """A time as REST writes it: the shortest text of a double of seconds."""
    return repr(ns / 1e9)


def trade_text(row: Row) -> str:
    """A trade as REST writes it."""
    return f'["{row.price}","{row.volume}",{time_text(row.ns)},"{row.side}","{row.order_type}","",{row.trade_id}]'


def candle_text(bar: Bar) -> str:
    """A candle as REST writes it."""
    start, open_, high, low, close, vwap, volume, count, _turnover = bar
    return f'[{start // NS_PER_SECOND},"{open_}","{high}","{low}","{close}","{vwap}","{volume}",{count}]'


def cursor_ns(since: str) -> int:
    """The first nanosecond that `since` asks for: nanoseconds as they are; seconds, even with a fraction, coarse."""
    if not re.fullmatch(r"\d{1,19}(\.\d{1,20})?", since, re.ASCII):
        raise NotAnswered(INVALID)
    whole = int(since.split(".")[0])
    ns = whole * NS_PER_SECOND if "." in since or whole < LEAST_NS else whole
    return min(ns, MOST_NS - 1)


def _count(text: str | None) -> int:
    count = PAGE_ROWS if text is None else _whole(text)
    if count < 1:
        raise NotAnswered(INVALID)
    return min(count, PAGE_ROWS)


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise NotAnswered(INVALID)
    return int(text)


def _without_gaps(
    bars: Sequence[Bar], price_before: str | None, from_ns: int, forming: int, length: int, pair: Pair
) -> list[Bar]:
    """The candles from `from_ns` to the one forming; where nobody traded, four times the close before."""
    by_start = {bar.start_ns: bar for bar in bars}
    close = None if price_before is None else _with_decimals(price_before, pair.price_decimals)
    no_vwap, no_volume = _with_decimals("0", max(1, pair.price_decimals)), "0.00000000"
    rows = []
    for start in range(from_ns, forming + length, length):
        bar = by_start.get(start)
        if bar is None and close is not None:
            bar = Bar(start, close, close, close, close, no_vwap, no_volume, 0, "0")
        if bar is not None:
            close = bar.close
            rows.append(bar)
    return rows


def _with_decimals(number: str, decimals: int) -> str:
    return f"{Decimal(number):.{decimals}f}"


def _day_sums(bars: Sequence[Bar], price: str, decimals: int) -> dict[str, Any]:
    """Ticker's volume, vwap, trades, low and high of a time."""
    volume = sum((Decimal(bar.volume) for bar in bars), Decimal("0.00000000"))
    turnover = sum((Decimal(bar.turnover) for bar in bars), Decimal())
    return {
        "v": f"{volume:f}",
        "p": f"{turnover / volume if volume else 0:.{decimals}f}",
        "t": sum(bar.trade_count for bar in bars),
        "l": min((bar.low for bar in bars), key=Decimal, default=price),
        "h": max((bar.high for bar in bars), key=Decimal, default=price),
    }


def _compact(result: object) -> bytes:
    return json.dumps(result, separators=(",", ":")).encode()


def _error(text: str) -> bytes:
    return (
        _compact({"error": [text], "result": None})
        if text.startswith("EQuery")
        else _compact({"error": [text]})
    )


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


async def _silence(closing: asyncio.Event, seconds: float) -> None:
    """Say nothing for so long, or until the exchange closes."""
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return
