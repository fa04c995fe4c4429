"""The HTTP API in this process: the provider's answers, page by page, in every form, and problems in one shape."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest
from psycopg import AsyncConnection

from krakendata.api import routes
from krakendata.historical_provider import Candles, HistoricalDataProvider
from krakendata.live.replies import moment_text
from krakendata.types import ns_of
from tests.fix_history import History, is_quiet

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CSV, ARROW = {"Accept": "text/csv"}, {"Accept": "application/vnd.apache.arrow.stream"}


async def get(api: httpx.AsyncClient, path: str, **asked: Any) -> dict[str, Any]:
    """Give the answer to a question that is met."""
    response = await api.get(path, params={name: _text(value) for name, value in asked.items()})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def _text(value: Any) -> Any:
    return moment_text(value) if isinstance(value, datetime) else value


async def pages(api: httpx.AsyncClient, path: str, **asked: Any) -> list[dict[str, Any]]:
    """Give every page, by the cursors."""
    found = [await get(api, path, **asked)]
    while found[-1]["next"] is not None:
        assert len(found) < 1000
        found.append(await get(api, path, **asked, cursor=found[-1]["next"]))
    return found


async def provided(history: History, interval: str, start: datetime | None, end: datetime | None) -> Candles:
    async with HistoricalDataProvider(history.database) as provider:
        return await provider.get_candles("BTC/USD", interval, start, end)


def same(told: list[dict[str, Any]], expected: Candles) -> bool:
    """Whether rows of JSON say what the provider does, to the last digit."""
    return [
        (row["timestamp"], *(row[name] and Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")))
        for row in told
    ] == [
        (moment_text(each.timestamp), each.open, each.high, each.low, each.close, each.volume)
        for each in expected
    ]  # fmt: skip


# --- candles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "4h", "1d", "1w"])
async def test_pages_forward_are_together_what_the_provider_gives(
    interval: str, api: httpx.AsyncClient, history: History
) -> None:
    start, end = history.fence - DAY, history.fence + 2 * DAY
    found = await pages(api, "candles", symbol="XBTUSD", interval=interval, start=start, end=end, limit=700)
    rows = [row for page in found for row in page["candles"]]
    assert same(rows, await provided(history, interval, start, end))
    assert {(page["symbol"], page["interval"]) for page in found} == {("BTC/USD", interval)}


@pytest.mark.parametrize("interval", ["1m", "1h"])
async def test_pages_without_a_start_go_back_from_the_newest(
    interval: str, api: httpx.AsyncClient, history: History
) -> None:
    found = await pages(
        api, "candles", symbol="BTC/USD", interval=interval, limit=1500 if interval == "1m" else 50
    )
    rows = [row for page in reversed(found) for row in page["candles"]]
    assert len(found) > 1
    assert same(rows, await provided(history, interval, None, None))


async def test_the_page_size_may_change_on_the_way(api: httpx.AsyncClient, history: History) -> None:
    asked = {"symbol": "BTC/USD", "interval": "1h", "start": history.fence, "end": history.fence + DAY}
    first = await get(api, "candles", **asked, limit=5)
    rest = await get(api, "candles", **asked, cursor=first["next"], limit=1000)
    assert same(
        [*first["candles"], *rest["candles"]],
        await provided(history, "1h", history.fence, history.fence + DAY),
    )
    assert rest["next"] is None


async def test_a_page_tells_how_complete_it_is(api: httpx.AsyncClient, history: History) -> None:
    asked = {"symbol": "BTC/USD", "interval": "1m"}
    start, end = history.fence - HOUR, history.fence + HOUR
    found = (await get(api, "candles", **asked, start=start, end=end))["coverage"]
    assert found["state"] == "holes"
    assert found["holes"] == [{"start": moment_text(start), "end": moment_text(history.fence)}]
    assert found["proven"] == [{"start": moment_text(history.fence), "end": moment_text(end)}]
    provisional = await get(
        api,
        "candles",
        symbol="ETHUSD",
        interval="1m",
        start=history.fence + DAY,
        end=history.fence + DAY + HOUR,
    )
    assert provisional["coverage"]["state"] == "provisional"
    assert provisional["candles"][0]["first_id"] is None


async def test_the_coverage_is_of_the_page_and_not_of_the_question(
    api: httpx.AsyncClient, history: History
) -> None:
    found = await get(api, "candles", symbol="BTC/USD", interval="1h", start=history.fence, limit=3)
    assert (found["coverage"]["start"], found["coverage"]["end"]) == (
        moment_text(history.fence), moment_text(history.fence + 3 * HOUR),
    )  # fmt: skip
    assert found["coverage"]["state"] == "proven"


async def test_a_pair_that_has_nothing_has_an_empty_page(api: httpx.AsyncClient, history: History) -> None:
    found = await get(api, "candles", symbol="XDGUSD", interval="1d")
    assert (found["symbol"], found["candles"], found["next"]) == ("DOGE/USD", [], None)


async def test_csv_has_the_same_rows_and_the_next_page_in_a_header(
    api: httpx.AsyncClient, history: History
) -> None:
    asked = {"symbol": "BTC/USD", "interval": "1h", "start": moment_text(history.fence), "limit": "4"}
    response = await api.get("candles", params=asked, headers=CSV)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    told = (await get(api, "candles", **asked))["candles"]
    assert [row["close"] for row in rows] == [row["close"] for row in told]
    assert {row["symbol"] for row in rows} == {"BTC/USD"}
    assert response.headers["Krakendata-Coverage"] == "proven"
    following = await api.get(f"http://localhost{response.links['next']['url']}", headers=CSV)
    assert following.text.splitlines()[1].split(",")[1] == moment_text(history.fence + 4 * HOUR)


async def test_arrow_has_the_same_rows_exactly(api: httpx.AsyncClient, history: History) -> None:
    start, end = history.fence, history.fence + HOUR
    asked = {"symbol": "BTC/USD", "interval": "1m", "start": moment_text(start), "end": moment_text(end)}
    response = await api.get("candles", params=asked, headers=ARROW)
    table = pa.ipc.open_stream(response.content).read_all()
    expected = await provided(history, "1m", start, end)
    assert table["timestamp"].to_pylist() == [each.timestamp for each in expected]
    assert table["close"].to_pylist() == [each.close for each in expected]
    assert table["turnover"].to_pylist() == [each.turnover for each in expected]
    assert table.schema.metadata == {b"symbol": b"BTC/USD", b"interval": b"1m", b"coverage": b"proven"}
    empty = await api.get("candles", params={**asked, "end": moment_text(start)}, headers=ARROW)
    assert pa.ipc.open_stream(empty.content).read_all().schema.names == table.schema.names


# --- trades -------------------------------------------------------------------------------------------------


@pytest.fixture
async def traded(history: History) -> list[tuple[int, datetime]]:
    """Write trades of BTC/USD, seven at each moment, and an archive's two without ids; give ids and times in order."""
    start = history.fence + DAY
    # The trades' line stands where the fence does, in this history.
    rows = [(101 + n, start + timedelta(seconds=n // 7)) for n in range(100)]
    rows = [(-2, start - HOUR), (-1, start - HOUR), *rows]
    async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
        cursor = await connection.execute("SELECT line FROM retention_lines WHERE kind = 'trades'")
        (line,) = (await cursor.fetchall())[0]
        shift = max(timedelta(0), line - (start - HOUR))
        rows = [(trade_id, moment + shift) for trade_id, moment in rows]
        await connection.execute(
            "SELECT make_partitions('trades', %s, %s)", [rows[0][1], rows[-1][1] + MINUTE]
        )
        await connection.cursor().executemany(
            "INSERT INTO trades VALUES ('ETH/USD', %s, %s, 0.00001188, 1.50, 'buy', 'limit')",
            [(moment, trade_id) for trade_id, moment in rows],
        )
        times = [ns_of(moment) for _, moment in rows]
        await connection.execute(
            "SELECT record_trade_run('ETH/USD', -2, -1, %s, %s, 2, 'archive', true, NULL), "
            "record_trade_run('ETH/USD', 101, 200, %s, %s, 100, 'rest', true, NULL)",
            [times[0], times[1], times[2], times[-1]],
        )
    return rows


@pytest.mark.parametrize("limit", [1, 7, 30, 102, 1000])
async def test_trades_come_once_each_by_time_and_id(
    limit: int, api: httpx.AsyncClient, traded: list[tuple[int, datetime]]
) -> None:
    expected = [(trade_id, moment_text(moment)) for trade_id, moment in traded]
    start = traded[0][1] - DAY
    forward = await pages(api, "trades", symbol="ETH/USD", start=start, limit=limit)
    assert [(row["trade_id"], row["timestamp"]) for page in forward for row in page["trades"]] == expected
    back = await pages(api, "trades", symbol="ETH/USD", limit=limit)
    assert [
        (row["trade_id"], row["timestamp"]) for page in reversed(back) for row in page["trades"]
    ] == expected


async def test_a_range_of_trades_leaves_out_its_end(
    api: httpx.AsyncClient, traded: list[tuple[int, datetime]]
) -> None:
    start = traded[2][1]
    found = await get(api, "trades", symbol="ETH/USD", start=start, end=start + timedelta(seconds=2))
    assert [row["trade_id"] for row in found["trades"]] == list(range(101, 115))
    assert found["trades"][0] == {
        "trade_id": 101, "timestamp": moment_text(start), "price": "0.00001188", "volume": "1.5", "side": "buy",
        "order_type": "limit",
    }  # fmt: skip
    assert found["coverage"]["state"] == "proven"


# --- coverage, symbols, health ------------------------------------------------------------------------------


async def test_coverage_divides_the_time_asked_for(api: httpx.AsyncClient, history: History) -> None:
    found = await get(api, "coverage", symbol="XBTUSD", start=history.fence - HOUR, end=history.fence + HOUR)
    assert (found["symbol"], found["interval"], found["coverage"]["state"]) == ("BTC/USD", "1m", "holes")
    assert found["trades"]["collected"] == 2 * len(history.minutes)
    assert found["candles"] is None
    hourly = await get(
        api, "coverage", symbol="XBTUSD", interval="1h", start=history.fence - HOUR, end=history.fence
    )
    assert hourly["coverage"]["state"] == "proven"


async def test_symbols_are_paged_and_told_with_what_is_held(api: httpx.AsyncClient, history: History) -> None:
    found = await pages(api, "symbols", limit=3)
    rows = {row["symbol"]: row for page in found for row in page["symbols"]}
    assert list(rows) == ["ADA/USD", "BTC/USD", "DOGE/USD", "ETH/USD"]
    assert rows["BTC/USD"]["altname"] == "XBTUSD"
    assert (rows["DOGE/USD"]["oldest"], rows["ETH/USD"]["oldest"]) == (None, moment_text(history.fence + DAY))
    assert (await get(api, "symbols", tracked="true"))["symbols"] == []


async def test_a_pair_that_is_in_no_list_is_told_where_something_is_held(
    api: httpx.AsyncClient, history: History
) -> None:
    async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
        await connection.execute("DELETE FROM pairs WHERE symbol = 'BTC/USD'")
    rows = {row["symbol"]: row for row in (await get(api, "symbols"))["symbols"]}
    assert (rows["BTC/USD"]["altname"], rows["BTC/USD"]["oldest"]) == (None, rows["BTC/USD"]["oldest"])
    assert rows["BTC/USD"]["oldest"] is not None


async def test_health_needs_no_token(api: httpx.AsyncClient) -> None:
    response = await api.get("health", headers={"Authorization": ""})
    assert (response.status_code, response.json()["status"]) == (200, "ok")


async def test_health_is_told_before_a_balancer_gives_up(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "HEALTH_SECONDS", 0.0)
    response = await api.get("health")
    assert (response.status_code, response.json()["error"]) == (503, "unavailable")


# --- problems -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked", "status", "error", "field"),
    [
        ("candles", {"symbol": "NOPE", "interval": "1h"}, 404, "unknown_symbol", "symbol"),
        ("candles", {"symbol": "ABC/XYZ", "interval": "1h"}, 404, "unknown_symbol", "symbol"),
        ("candles", {"symbol": "BTC/USD\0", "interval": "1h"}, 404, "unknown_symbol", "symbol"),
        ("candles", {"symbol": "BTC/USD", "interval": "7m"}, 422, "unknown_interval", "interval"),
        ("candles", {"interval": "1h"}, 422, "invalid", "symbol"),
        ("candles", {"symbol": "BTC/USD", "interval": "1h", "limit": "0"}, 422, "invalid", "limit"),
        ("candles", {"symbol": "BTC/USD", "interval": "1h", "limit": "many"}, 422, "invalid", "limit"),
        ("candles", {"symbol": "BTC/USD", "interval": "1h", "from": "2024"}, 400, "malformed", "from"),
        ("candles", {"symbol": "BTC/USD", "interval": "1h", "cursor": "x"}, 400, "bad_cursor", "cursor"),
        ("trades", {"symbol": "BTC/USD", "start": "2024-01-01T00:00"}, 422, "invalid", "start"),
        ("symbols", {"cursor": "\0"}, 400, "bad_cursor", "cursor"),
        ("nothing", {}, 404, "not_found", None),
    ],
)  # fmt: skip
async def test_a_problem_says_what_it_is_about(
    path: str,
    asked: dict[str, str],
    status: int,
    error: str,
    field: str | None,
    api: httpx.AsyncClient,
    history: History,
) -> None:
    response = await api.get(path, params=asked)
    told = response.json()
    assert (response.status_code, told["error"], told.get("field")) == (status, error, field)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert told["message"].endswith(".")


async def test_a_form_that_is_not_given_is_406(api: httpx.AsyncClient, history: History) -> None:
    response = await api.get("symbols", headers=CSV)
    assert (response.status_code, response.json()["error"]) == (406, "not_acceptable")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_everything_but_get_is_refused_in_shape(method: str, api: httpx.AsyncClient) -> None:
    response = await api.request(method, "candles")
    assert (response.status_code, response.json()["error"]) == (405, "not_allowed")


async def test_head_is_answered_as_get(api: httpx.AsyncClient, history: History) -> None:
    asked = {"symbol": "BTC/USD", "interval": "1h", "start": moment_text(history.fence), "limit": "2"}
    head, whole = await api.head("candles", params=asked), await api.get("candles", params=asked)
    for name in ("ETag", "Link", "Krakendata-Coverage", "Content-Type"):
        assert head.headers[name] == whole.headers[name]


async def test_what_nobody_foresaw_is_told_without_a_word_of_it(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(routes, "connections", fail)
    response = await api.get("health")
    assert (response.status_code, response.json()["error"]) == (500, "internal")
    assert "secret" not in response.text


async def test_a_database_that_takes_too_long_is_503(
    api: httpx.AsyncClient, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "READ_SECONDS", 0.0)
    response = await api.get("candles", params={"symbol": "BTC/USD", "interval": "1h"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


def test_the_history_has_quiet_minutes() -> None:
    assert any(map(is_quiet, range(60)))
