"""Conditional questions: 304 for what is final, and never for what may have changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from krakendata.live.replies import moment_text
from krakendata.types import ns_of
from tests.fix_history import History

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def database(history: History) -> AsyncIterator[AsyncConnection[Any]]:
    async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
        yield connection


def hours(history: History, **asked: str) -> dict[str, str]:
    bounds = {"start": moment_text(history.fence), "end": moment_text(history.fence + DAY)}
    return {"symbol": "BTC/USD", "interval": "1h", **bounds, **asked}


async def etag(api: httpx.AsyncClient, asked: dict[str, str], path: str = "candles") -> str | None:
    response = await api.get(path, params=asked)
    assert response.status_code == 200, response.text
    kept = "ETag" in response.headers
    assert response.headers["Cache-Control"] == ("private, no-cache" if kept else "no-store")
    found: str | None = response.headers.get("ETag")
    return found


async def again(api: httpx.AsyncClient, asked: dict[str, str], kept: str, **headers: str) -> httpx.Response:
    return await api.get("candles", params=asked, headers={"If-None-Match": kept, **headers})


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "4h"])
@pytest.mark.parametrize("limit", ["3", "10000"])
async def test_a_proven_page_is_not_sent_twice(
    interval: str, limit: str, api: httpx.AsyncClient, history: History
) -> None:
    asked = hours(history, interval=interval, limit=limit)
    kept = await etag(api, asked)
    assert kept is not None
    response = await again(api, asked, kept)
    assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", kept)
    assert "Authorization" in response.headers["Vary"]


async def test_each_page_and_form_has_an_etag_of_its_own(api: httpx.AsyncClient, history: History) -> None:
    asked = hours(history, limit="5")
    first = await api.get("candles", params=asked)
    second = await api.get("candles", params={**asked, "cursor": first.json()["next"]})
    in_csv = await api.get("candles", params=asked, headers={"Accept": "text/csv"})
    other = await api.get("candles", params={**asked, "limit": "6"})
    assert len({each.headers["ETag"] for each in (first, second, in_csv, other)}) == 4
    assert (await again(api, asked, in_csv.headers["ETag"])).status_code == 200
    assert (await again(api, asked, second.headers["ETag"])).status_code == 200


async def test_pages_back_from_a_fixed_end_are_final(api: httpx.AsyncClient, history: History) -> None:
    asked = {name: value for name, value in hours(history, limit="6").items() if name != "start"}
    kept = await etag(api, asked)
    assert kept is not None
    assert (await again(api, asked, kept)).status_code == 304


async def test_a_full_page_of_an_open_question_is_final(api: httpx.AsyncClient, history: History) -> None:
    asked = {name: value for name, value in hours(history, limit="6").items() if name != "end"}
    kept = await etag(api, asked)
    assert kept is not None
    assert (await again(api, asked, f'"other", W/{kept}')).status_code == 304


@pytest.mark.parametrize(
    "asked",
    [
        {"symbol": "BTC/USD", "interval": "1h", "limit": "5"},
        {"symbol": "ETH/USD", "interval": "1m", "limit": "5"},
        {"symbol": "ADA/USD", "interval": "1d"},
        {"symbol": "DOGE/USD", "interval": "1d"},
    ],
    ids=["the newest, which move on", "provisional", "coarse", "nothing"],
)
async def test_what_may_change_is_not_kept(
    asked: dict[str, str], api: httpx.AsyncClient, history: History
) -> None:
    assert await etag(api, asked) is None


async def test_an_end_that_lies_ahead_is_not_kept(api: httpx.AsyncClient, history: History) -> None:
    assert await etag(api, hours(history, end="2099-01-01")) is None


async def test_minutes_below_the_fence_are_not_kept(api: httpx.AsyncClient, history: History) -> None:
    asked = hours(history, interval="1m", start=moment_text(history.fence - HOUR))
    assert await etag(api, asked) is None


async def test_rows_that_do_not_hold_every_id_are_not_kept(
    api: httpx.AsyncClient, history: History, database: AsyncConnection[Any]
) -> None:
    asked = hours(history, interval="1m", end=moment_text(history.fence + HOUR))
    assert await etag(api, asked) is not None
    lost = [each for each in history.minutes if each >= history.fence][5]
    await database.execute("DELETE FROM candles WHERE symbol = 'BTC/USD' AND timestamp = %s", [lost])
    assert await etag(api, asked) is None


async def test_a_candle_that_was_healed_is_sent_again(
    api: httpx.AsyncClient, history: History, database: AsyncConnection[Any]
) -> None:
    asked = hours(history)
    kept = await etag(api, asked)
    assert kept is not None
    await database.execute(
        "INSERT INTO audit_findings (symbol, interval_minutes, timestamp, compared_with, differences, healed) "
        "VALUES ('BTC/USD', 60, now(), 'trades', '{}', true)"
    )
    response = await again(api, asked, kept)
    assert response.status_code == 200
    assert response.headers["ETag"] != kept


async def test_a_refused_record_that_is_in_after_all_is_sent_again(
    api: httpx.AsyncClient, history: History, database: AsyncConnection[Any]
) -> None:
    asked = hours(history, interval="1m", limit="10")
    (minute,) = [each for each in history.minutes if each >= history.fence][3:4]
    changed = await database.execute(
        "UPDATE candles SET trade_count = 1 WHERE symbol = 'BTC/USD' AND timestamp = %s RETURNING last_id",
        [minute],
    )
    ((refused,),) = await changed.fetchall()
    moment_ns = ns_of(minute)
    await database.execute(
        "WITH run AS (DELETE FROM trade_runs WHERE symbol = 'BTC/USD' RETURNING *) "
        "INSERT INTO trade_runs "
        "SELECT symbol, first_id, %(id)s - 1, first_ns, %(ns)s, %(id)s - first_id, source, stored FROM run UNION ALL "
        "SELECT symbol, %(id)s + 1, last_id, %(ns)s, last_ns, last_id - %(id)s, source, stored FROM run",
        {"id": refused, "ns": moment_ns},
    )
    await database.execute(
        "INSERT INTO answered_ids VALUES ('BTC/USD', %s, %s, 'rejected')", [refused, refused]
    )
    kept = await etag(api, asked)
    assert kept is not None
    await database.execute("DELETE FROM answered_ids")
    await database.execute(
        "SELECT record_trade_run('BTC/USD', %(id)s, %(id)s, %(ns)s, %(ns)s, 1, 'archive', false, NULL)",
        {"id": refused, "ns": moment_ns},
    )
    response = await again(api, asked, kept)
    assert (response.status_code, response.json()["coverage"]["holes"]) == (200, [])


async def test_a_hole_in_the_ledger_ends_what_was_kept(
    api: httpx.AsyncClient, history: History, database: AsyncConnection[Any]
) -> None:
    asked = hours(history)
    kept = await etag(api, asked)
    assert kept is not None
    await database.execute("DELETE FROM trade_runs")
    response = await again(api, asked, kept)
    assert (response.status_code, response.headers.get("ETag")) == (200, None)


async def test_a_page_with_room_for_a_trade_out_of_order_is_not_kept(
    api: httpx.AsyncClient, history: History, database: AsyncConnection[Any]
) -> None:
    # The next trade by id may bear a time a little before this one's, which then is the page's.
    half_a_second_behind = ns_of(history.fence + DAY) + 500_000_000
    await database.execute(
        "UPDATE trade_runs SET last_ns = %(ns)s WHERE symbol = 'BTC/USD' AND first_ns < %(ns)s AND last_ns > %(ns)s",
        {"ns": half_a_second_behind},
    )
    assert await etag(api, hours(history)) is None
    response = await api.get("candles", params=hours(history))
    assert response.headers["Krakendata-Coverage"] == "proven"


async def test_retention_ends_what_was_kept(
    api: httpx.AsyncClient, history: History, database: AsyncConnection[Any]
) -> None:
    asked = hours(history, interval="1m")
    kept = await etag(api, asked)
    assert kept is not None
    await database.execute(
        "UPDATE retention_lines SET line = line + interval '7 days' WHERE kind = 'candles'"
    )
    try:
        response = await again(api, asked, kept)
    finally:
        await database.execute(
            "UPDATE retention_lines SET line = line - interval '7 days' WHERE kind = 'candles'"
        )
    assert (response.status_code, response.headers["Krakendata-Coverage"]) == (200, "holes")


async def test_new_trades_leave_what_was_kept(
    api: httpx.AsyncClient, history: History, database: AsyncConnection[Any]
) -> None:
    asked = hours(history)
    kept = await etag(api, asked)
    assert kept is not None
    await database.execute(
        "UPDATE trade_runs SET last_id = last_id + 10, trades = trades + 10, last_ns = last_ns + 60000000000"
    )
    assert (await again(api, asked, kept)).status_code == 304


@pytest.mark.parametrize("kept", ['"x"', '"ffffffffffffffffffff-0"', "*", '"-1-0"', "W/", '"0-0"'])
async def test_an_etag_that_is_not_ours_is_passed_over(
    kept: str, api: httpx.AsyncClient, history: History
) -> None:
    assert (await again(api, hours(history), kept)).status_code == 200
