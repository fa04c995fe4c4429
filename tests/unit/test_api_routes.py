"""The API's answers without a database behind them: a reader that knows a page, and callers by name."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest

from config.asgi import http
from krakendata.api import callers, routes
from krakendata.api.bearers import Caller
from krakendata.api.cursors import Cursor
from krakendata.api.page_reader import Page, Unchanged
from krakendata.api.rate_limit import RateLimit
from krakendata.api.tokens import SCOPES
from krakendata.errors import StorageUnavailable, UnknownSymbol
from krakendata.gaps import Coverage, Stretch

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ETAG = '"kept"'
ROW = (
    "BTC/USD", NOON, Decimal("1E+2"), Decimal("150.50"), Decimal("0.00000001"), Decimal(100), Decimal("2.0"), None,
    3, None, 1, 3, False,
)  # fmt: skip
ASKED = {"symbol": "XBTUSD", "interval": "1h", "start": "2024-01-31T12:00:00Z"}


class Reader:
    """Gives one page, or raises; knows what it was asked."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked: Any = None

    async def candle_page(self, asked: Any, form: str, known: list[str]) -> Page | Unchanged:
        self.asked = asked
        if self.error is not None:
            raise self.error
        if ETAG in known:
            return Unchanged(ETAG)
        frame = Stretch(NOON, NOON + 2 * HOUR)
        coverage = Coverage(frame, (Stretch(NOON, NOON + HOUR),), (), (Stretch(NOON + HOUR, frame.end),))
        return Page("BTC/USD", [ROW], coverage, Cursor(int(NOON.timestamp()) * 10**6), ETAG)

    async def check(self) -> None:
        if self.error is not None:
            raise self.error


class Served:
    """What answering needs, without any of it."""

    def __init__(self) -> None:
        self.read = Reader()
        self.rate_limit = RateLimit(None)

    async def reader(self) -> Reader:
        return self.read


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    found = Served()

    async def find_token(token: str) -> Caller | None:
        scopes = {"all": frozenset(SCOPES), "none": frozenset[str](), "few": frozenset(SCOPES)}
        return Caller(token, scopes[token], 2 if token == "few" else None) if token in scopes else None

    monkeypatch.setattr(callers, "find_token", find_token)
    for module in (callers, routes):
        monkeypatch.setattr(module, "connections", lambda: found)
    return found


@pytest.fixture
async def api(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    application: Any = http
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    headers = {"Authorization": "Bearer all"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost/api/v1/", headers=headers
    ) as client:
        yield client


async def test_json_has_numbers_as_text_and_says_what_is_missing(api: httpx.AsyncClient) -> None:
    response = await api.get("candles", params=ASKED)
    told = response.json()
    assert told["candles"] == [
        {
            "timestamp": "2024-01-31T12:00:00Z", "open": "100", "high": "150.5", "low": "0.00000001", "close": "100",
            "volume": "2", "vwap": None, "trade_count": 3, "turnover": None, "first_id": 1, "last_id": 3,
            "coarse": False,
        }
    ]  # fmt: skip
    assert (told["symbol"], told["interval"], told["coverage"]["state"]) == ("BTC/USD", "1h", "holes")
    assert told["coverage"]["holes"] == [{"start": "2024-01-31T13:00:00Z", "end": "2024-01-31T14:00:00Z"}]
    assert response.headers["Krakendata-Coverage"] == "holes"


async def test_the_next_page_is_asked_for_with_the_cursor_or_the_link(
    api: httpx.AsyncClient, served: Served
) -> None:
    first = await api.get("candles", params=ASKED)
    expected = Cursor(int(NOON.timestamp()) * 10**6)
    await api.get("candles", params={**ASKED, "cursor": first.json()["next"]})
    assert served.read.asked.cursor == expected
    served.read.asked = None
    await api.get(f"http://localhost{first.links['next']['url']}")
    assert served.read.asked.cursor == expected


async def test_csv_and_arrow_have_the_same_row(api: httpx.AsyncClient) -> None:
    in_csv = await api.get("candles", params=ASKED, headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(in_csv.text))
    assert (row["symbol"], row["timestamp"], row["low"], row["coarse"]) == (
        "BTC/USD", "2024-01-31T12:00:00Z", "0.00000001", "false",
    )  # fmt: skip
    in_arrow = await api.get(
        "candles", params=ASKED, headers={"Accept": "application/vnd.apache.arrow.stream"}
    )
    table = pa.ipc.open_stream(in_arrow.content).read_all()
    assert [column[0].as_py() for column in table.columns] == list(ROW)
    assert in_csv.links["next"]["url"] == in_arrow.links["next"]["url"]


async def test_what_is_kept_is_not_sent(api: httpx.AsyncClient) -> None:
    first = await api.get("candles", params=ASKED)
    again = await api.get(
        "candles", params=ASKED, headers={"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
    )
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", ETAG)
    assert {first.headers["Cache-Control"], again.headers["Cache-Control"]} == {"private, no-cache"}
    for name in ("Accept", "Authorization", "Cookie"):
        assert name in again.headers["Vary"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnknownSymbol("NOPE", ["BTC/USD"]), 404, "unknown_symbol"),
        (StorageUnavailable("connection to 10.0.0.1 failed"), 503, "unavailable"),
        (TimeoutError(), 503, "unavailable"),
        (RuntimeError("a secret"), 500, "internal"),
    ],
)
async def test_what_goes_wrong_is_told_in_shape(
    error: Exception, status: int, code: str, api: httpx.AsyncClient, served: Served
) -> None:
    served.read.error = error
    response = await api.get("candles", params=ASKED)
    assert (response.status_code, response.json()["error"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert "secret" not in response.text
    assert "10.0.0.1" not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    ("token", "status"),
    [("all", 200), ("none", 403), ("unknown", 401), ("", 401)],
    ids=lambda each: str(each) or "no",
)
async def test_a_token_opens_what_its_scopes_say(token: str, status: int, api: httpx.AsyncClient) -> None:
    response = await api.get("candles", params=ASKED, headers={"Authorization": f"Bearer {token}".strip()})
    assert response.status_code == status


async def test_who_asks_too_often_waits(api: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer few"}
    found = [await api.get("candles", params=ASKED, headers=headers) for _ in range(3)]
    assert [each.status_code for each in found] == [200, 200, 429]
    assert [each.headers["RateLimit-Remaining"] for each in found[:2]] == ["1", "0"]
    assert 1 <= int(found[2].headers["Retry-After"]) <= 30


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_everything_but_get_is_refused_in_shape(method: str, api: httpx.AsyncClient) -> None:
    response = await api.request(method, "candles")
    assert (response.status_code, response.json()["error"]) == (405, "not_allowed")


async def test_head_has_the_headers_of_get(api: httpx.AsyncClient) -> None:
    head, whole = await api.head("candles", params=ASKED), await api.get("candles", params=ASKED)
    for name in ("ETag", "Link", "Krakendata-Coverage", "Content-Type"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({"interval": "1h"}, 422, "symbol"),
        ({**ASKED, "limit": "0"}, 422, "limit"),
        ({**ASKED, "limit": "many"}, 422, "limit"),
        ({**ASKED, "start": "2024-01-31T12:00"}, 422, "start"),
        ({**ASKED, "interval": "7m"}, 422, "interval"),
        ({**ASKED, "from": "2024"}, 400, "from"),
        ({**ASKED, "cursor": "x"}, 400, "cursor"),
    ],
)
async def test_a_refusal_names_its_parameter(
    asked: dict[str, str], status: int, field: str, api: httpx.AsyncClient
) -> None:
    response = await api.get("candles", params=asked)
    assert (response.status_code, response.json()["field"]) == (status, field)


async def test_health_is_for_everybody(api: httpx.AsyncClient, served: Served) -> None:
    del api.headers["Authorization"]
    assert (await api.get("health")).json()["status"] == "ok"
    served.read.error = StorageUnavailable()
    assert (await api.get("health")).status_code == 503
