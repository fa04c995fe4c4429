"""What may be asked: candles, trades, coverage, symbols, health; all GET, all bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from inspect import signature
from typing import Annotated, Any, TypeVar

import msgspec
from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query
from pydantic import WithJsonSchema

from krakendata.api.callers import Bearer
from krakendata.api.connections import connections
from krakendata.api.cursors import cursor_text
from krakendata.api.description import answers, in_every_form, make_api
from krakendata.api.etags import etags_known
from krakendata.api.formats import (
    CANDLE_COLUMNS,
    TRADE_COLUMNS,
    Format,
    as_arrow,
    as_csv,
    as_objects,
    format_asked,
)
from krakendata.api.page_reader import Page, PageReader, Unchanged
from krakendata.api.pairs import read_pairs_page
from krakendata.api.problems import Problem, unavailable
from krakendata.api.questions import (
    DEFAULT_ROWS,
    MAX_ROWS,
    CandleQuestion,
    CoverageQuestion,
    TradeQuestion,
    check_names,
)
from krakendata.api.schemas import CandlesOut, CoverageAnswer, HealthOut, SymbolsOut, TradesOut
from krakendata.api.tokens import READ_CANDLES, READ_COVERAGE, READ_TRADES
from krakendata.gaps import Coverage, Stretch
from krakendata.live.replies import moment_text
from krakendata.storage.queries import SyncStatus
from krakendata.types import INTERVALS, LONGEST_NAME

# A page takes milliseconds; a database that takes so long has something else to do.
READ_SECONDS = 30.0
# A balancer wants to know now.
HEALTH_SECONDS = 2.0
# A page of holes; who needs all of more than these asks for a part of the time.
MAX_STRETCHES = 1_000
ALL_FORMS = tuple(Format)
JSON_ALONE = (Format.JSON,)
USUAL = (400, 401, 403, 406, 422, 429, 503)

Symbol = Annotated[
    str, Query(description="A pair in any spelling", examples=["BTC/USD"], min_length=1, max_length=64)
]
# Told and not checked, so that what is wrong is said in a sentence of ours. Ninja wants the Query first.
LENGTH = WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,5}(m|h|d|w|mo)$", "examples": ["1h"]})
IntervalName = Annotated[
    str,
    Query(
        description=f"The candles' length: {', '.join(INTERVALS)}, or one in between such as 45m, 3d, 1mo",
        examples=["1h"],
        max_length=16,
    ),
    LENGTH,
]
MOMENT = WithJsonSchema({"type": "string", "format": "date-time"})
Start = Annotated[
    str | None,
    Query(
        description="From when on, UTC: 2024-01-31T15:00:00Z or 2024-01-31. Without it the newest come first",
        max_length=40,
    ),
    MOMENT,
]
End = Annotated[str | None, Query(description="Until when, itself left out", max_length=40), MOMENT]
Limit = Annotated[int, Query(description="Rows of a page at most", ge=1, le=MAX_ROWS)]
Place = Annotated[str | None, Query(description="`next` of the page before", max_length=200)]

api = make_api()
Answer = TypeVar("Answer")
View = Callable[..., Awaitable[HttpResponse]]


def exactly(view: View) -> View:
    """Have a view refuse parameters that it does not have, and those that are given twice."""
    known = frozenset(signature(view).parameters) - {"request"}

    @wraps(view)
    async def checked(request: HttpRequest, **asked: Any) -> HttpResponse:
        check_names(request.GET, known)
        return await view(request, **asked)

    return checked


@api.get(
    "/candles",
    auth=Bearer(READ_CANDLES),
    response=answers(CandlesOut, 404, *USUAL),
    openapi_extra=in_every_form("candles"),
    operation_id="candles",
    summary="Candles of one pair",
)
@exactly
async def candles(
    request: HttpRequest,
    symbol: Symbol,
    interval: IntervalName,
    start: Start = None,
    end: End = None,
    limit: Limit = DEFAULT_ROWS,
    cursor: Place = None,
    include_open: Annotated[bool, Query(description="The one that is still forming too")] = False,
) -> HttpResponse:
    """Oldest first. With `start` the pages go forward from it; without it the newest come first, then those before
    them.
    """
    form = format_asked(request.headers.get("Accept"), ALL_FORMS)
    asked = CandleQuestion.of(symbol, interval, start, end, limit, cursor, include_open)
    known = etags_known(request.headers.get("If-None-Match"))
    page = await _read(lambda reader: reader.candle_page(asked, form, known))
    return await _answer(request, page, form, asked.binding, "candles", {"interval": asked.interval.name})


@api.get(
    "/trades",
    auth=Bearer(READ_TRADES),
    response=answers(TradesOut, 404, *USUAL),
    openapi_extra=in_every_form("trades"),
    operation_id="trades",
    summary="Stored trades of one pair",
)
@exactly
async def trades(
    request: HttpRequest,
    symbol: Symbol,
    start: Start = None,
    end: End = None,
    limit: Limit = DEFAULT_ROWS,
    cursor: Place = None,
) -> HttpResponse:
    """By time and id. With `start` the pages go forward from it; without it the newest come first, then those
    before.
    """
    form = format_asked(request.headers.get("Accept"), ALL_FORMS)
    asked = TradeQuestion.of(symbol, start, end, limit, cursor)
    known = etags_known(request.headers.get("If-None-Match"))
    page = await _read(lambda reader: reader.trade_page(asked, form, known))
    return await _answer(request, page, form, asked.binding, "trades", {})


@api.get(
    "/coverage",
    auth=Bearer(READ_COVERAGE),
    response=answers(CoverageAnswer, 404, *USUAL),
    operation_id="coverage",
    summary="How complete one pair's data are",
)
@exactly
async def coverage(
    request: HttpRequest, symbol: Symbol, interval: IntervalName = "1m", start: Start = None, end: End = None
) -> HttpResponse:
    """By the ledger, up to the candle that is forming; without bounds from Kraken's beginning."""
    format_asked(request.headers.get("Accept"), JSON_ALONE)
    asked = CoverageQuestion.of(symbol, interval, start, end)
    name, found, held = await _read(lambda reader: reader.coverage_of(asked))
    told = {
        "symbol": name,
        "interval": asked.interval.name,
        "coverage": _coverage(found),
        "trades": _held(held.get("trades")),
        "candles": _held(held.get("candles")),
    }
    return _json(told)


@api.get(
    "/symbols",
    auth=Bearer(),
    response=answers(SymbolsOut, *USUAL),
    operation_id="symbols",
    summary="The pairs",
)
@exactly
async def symbols(
    request: HttpRequest,
    tracked: Annotated[
        bool | None, Query(description="Only those that are kept complete here, or only the others")
    ] = None,
    limit: Limit = DEFAULT_ROWS,
    cursor: Place = None,
) -> HttpResponse:
    """By symbol: the exchange's list, and pairs that are in it no more. Any token may ask this."""
    format_asked(request.headers.get("Accept"), JSON_ALONE)
    if cursor is not None and (len(cursor) > LONGEST_NAME or "\0" in cursor):
        raise Problem(400, "bad_cursor", "The cursor is no `next` of a page before.", "cursor")
    rows, following = await database_sync_to_async(read_pairs_page)(cursor or "", limit, tracked=tracked)
    return _json({"symbols": rows, "next": following})


@api.get(
    "/health",
    auth=None,
    response=answers(HealthOut, 400, 406, 503),
    operation_id="health",
    summary="Whether the API and its database answer",
)
@exactly
async def health(request: HttpRequest) -> HttpResponse:
    """For balancers and monitors: no token is needed, and it tells nothing else."""
    format_asked(request.headers.get("Accept"), JSON_ALONE)
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            await (await connections().reader()).check()
    except TimeoutError:
        raise unavailable() from None
    return _json({"status": "ok", "time": timezone.now()})


async def _read(ask: Callable[[PageReader], Awaitable[Answer]]) -> Answer:
    async with asyncio.timeout(READ_SECONDS):
        return await ask(await connections().reader())


async def _answer(
    request: HttpRequest, page: Page | Unchanged, form: Format, binding: str, kind: str, about: dict[str, str]
) -> HttpResponse:
    """The page in the form asked for, written beside the event loop; 304 for one that the asker has."""
    if isinstance(page, Unchanged):
        return HttpResponse(status=304, headers={"ETag": page.etag, "Cache-Control": _REVALIDATED})
    following = None if page.following is None else cursor_text(page.following, binding)
    columns, facts = _COLUMNS[kind], {"symbol": page.symbol, **about}
    write: Callable[[], bytes]
    match form:
        case Format.JSON:
            write = partial(_series_json, page, kind, facts, following)
        case Format.CSV:
            write = partial(as_csv, columns, page.rows)
        case Format.ARROW:
            write = partial(as_arrow, columns, page.rows, {**facts, "coverage": _state(page.coverage)})
    response = HttpResponse(await asyncio.to_thread(write), content_type=_content_type(form))
    response["Krakendata-Coverage"] = _state(page.coverage)
    if following is not None:
        query = request.GET.copy()
        query["cursor"] = following
        response["Link"] = f'<{request.path}?{query.urlencode()}>; rel="next"'
    if page.etag is not None:
        response["ETag"], response["Cache-Control"] = page.etag, _REVALIDATED
    return response


def _series_json(page: Page, kind: str, facts: dict[str, str], following: str | None) -> bytes:
    # The symbol is told once.
    names = dict(list(_COLUMNS[kind].items())[1:])
    rows = as_objects(names, (row[1:] for row in page.rows))
    return msgspec.json.encode({**facts, kind: rows, "next": following, "coverage": _coverage(page.coverage)})


_COLUMNS = {"candles": CANDLE_COLUMNS, "trades": TRADE_COLUMNS}
# Whoever keeps it asks each time whether it still holds, which costs a look into the ledger; no one keeps it for
# others.
_REVALIDATED = "private, no-cache"


def _content_type(form: Format) -> str:
    return f"{form}; charset=utf-8; header=present" if form is Format.CSV else form.value


def _state(found: Coverage) -> str:
    if found.is_proven:
        return "proven"
    return "provisional" if found.is_complete else "holes"


def _coverage(found: Coverage) -> dict[str, Any]:
    kinds = {"proven": found.proven, "provisional": found.provisional, "holes": found.holes}
    return {
        **_stretch(found.asked),
        "state": _state(found),
        **{kind: [_stretch(each) for each in stretches[:MAX_STRETCHES]] for kind, stretches in kinds.items()},
        "truncated": any(len(stretches) > MAX_STRETCHES for stretches in kinds.values()),
    }


def _stretch(stretch: Stretch) -> dict[str, str]:
    return {"start": moment_text(stretch.start), "end": moment_text(stretch.end)}


def _held(status: SyncStatus | None) -> dict[str, Any] | None:
    if status is None:
        return None
    return {
        "oldest": status.oldest,
        "newest": status.newest,
        "collected": status.collected,
        "stored": status.stored,
        "holes": status.holes,
    }


def _json(told: object) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(told), content_type=Format.JSON.value)
