"""Policies on TimescaleDB Community: what the settings want is what the database does; the others need none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from krakendata.storage.sql import query
from krakendata.storage.upkeep import Refresh, UpkeepSettings
from tests.fix_storage import NOW, TRADES_LINE, Store

# Enough trades that the columns' headers do not count.
TRADES = 200_000
# Measured: 9 to 12 bytes a trade at five million; smaller batches take a little more.
MOST_BYTES_A_TRADE = 16

OTHER = UpkeepSettings(
    trades_days=40,
    candles_days=500,
    compress_trades_after=timedelta(days=2),
    compress_candles_after=timedelta(days=60),
    refresh={"5m": Refresh(timedelta(hours=2), timedelta(minutes=10), timedelta(minutes=7))},
    scheduled=False,
)
USUAL = UpkeepSettings(scheduled=False)


async def apply(store: Store, settings: UpkeepSettings) -> None:
    await store.connection.execute(query("apply_policies"), {"policies": settings.as_json()})


async def drift(store: Store, settings: UpkeepSettings) -> list[Any]:
    cursor = await store.connection.execute(query("policy_drift"), {"policies": settings.as_json()})
    return [tuple(row) for row in await cursor.fetchall()]


@pytest.fixture
async def policed(store: Store) -> Any:
    """A store with the usual policies, and with them again afterwards."""
    await apply(store, USUAL)
    yield store
    await apply(store, USUAL)


async def test_no_edition_drifts_from_settings_just_applied(policed: Store) -> None:
    assert await drift(policed, USUAL) == []


@pytest.mark.community
async def test_a_changed_setting_is_drift_until_it_is_applied(policed: Store) -> None:
    assert sorted(await drift(policed, OTHER)) == [
        ("compress", "candles", str(60 * 86400), str(30 * 86400)),
        ("compress", "trades", str(2 * 86400), str(7 * 86400)),
        ("refresh", "candles_5m", "7200 600 420", "3600 300 300"),
        ("retention", "trades, candles", "40 500", "90 365"),
    ]
    await apply(policed, OTHER)
    assert await drift(policed, OTHER) == []
    assert len(await drift(policed, USUAL)) == 4


@pytest.mark.community
async def test_applied_policies_are_the_databases_own(policed: Store) -> None:
    await apply(policed, OTHER)
    jobs = "SELECT config FROM timescaledb_information.jobs WHERE proc_name = %s"
    assert await policed.fetch(jobs, "krakendata_retention") == [{"trades_days": 40, "candles_days": 500}]
    (compress,) = await policed.fetch(
        "SELECT (config ->> 'compress_after')::interval FROM timescaledb_information.jobs "
        "WHERE hypertable_name = 'trades' AND config ? 'compress_after'"
    )
    assert compress == timedelta(days=2)


@pytest.mark.community
async def test_what_is_right_already_keeps_its_job(policed: Store) -> None:
    jobs = "SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY job_id"
    before = await policed.fetch(jobs)
    await apply(policed, USUAL)
    assert await policed.fetch(jobs) == before


@pytest.mark.community
async def test_jobs_are_paused_where_the_settings_say_so(policed: Store) -> None:
    assert await policed.fetch(
        "SELECT DISTINCT scheduled FROM timescaledb_information.jobs WHERE job_id >= 1000"
    ) == [False]


@pytest.mark.community
async def test_the_retention_job_moves_the_lines(policed: Store) -> None:
    (job,) = await policed.fetch(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'krakendata_retention'"
    )
    await policed.connection.execute("CALL run_job(%s)", [job])
    lines = dict(await policed.fetch("SELECT kind, line FROM retention_lines"))
    wanted = dict(
        await policed.fetch(
            "SELECT 'trades', line_for(now(), 90) UNION SELECT 'candles', line_for(now(), 365)"
        )
    )
    assert lines == {"trades": max(wanted["trades"], TRADES_LINE), "candles": wanted["candles"]}


@pytest.mark.community
async def test_compressed_trades_take_few_bytes_and_still_answer(policed: Store) -> None:
    await policed.connection.execute(
        "INSERT INTO trades SELECT 'BTC/USD', %s::timestamptz + n * interval '1700 milliseconds' "
        "+ (n * 7919 %% 1000) * interval '1 millisecond', n, 60000 + (n * 31 %% 4001) / 10.0, "
        "(n * 104729 %% 99999) / 100000000.0 + 0.00000001, CASE WHEN n * 17 %% 5 < 2 THEN 'buy' ELSE 'sell' END, "
        "CASE WHEN n %% 3 = 0 THEN 'market' ELSE 'limit' END FROM generate_series(1::bigint, %s) n",
        [TRADES_LINE, TRADES],
    )
    question = (
        "SELECT count(*), sum(price), min(trade_id), max(trade_id) FROM trades WHERE symbol = 'BTC/USD'"
    )
    before = await policed.fetch(question)
    await policed.connection.execute("SELECT compress_chunk(c) FROM show_chunks('trades') c")
    (size,) = await policed.fetch("SELECT hypertable_size('trades')")
    assert size / TRADES < MOST_BYTES_A_TRADE
    assert await policed.fetch(question) == before


@pytest.mark.community
async def test_the_past_can_be_written_where_it_is_compressed(policed: Store) -> None:
    minute = NOW.replace(second=0) - timedelta(days=50)
    rows = [("BTC/USD", minute, 5, 5, 5, 5, 1, None, 1, None, None, True)]
    await policed.stage(rows)
    await policed.connection.execute("SELECT compress_chunk(c) FROM show_chunks('candles') c")
    better = [("BTC/USD", minute, 6, 6, 6, 6, 2, None, 2, None, None, True)]
    assert await policed.stage(better) == (1, 0, 0)
    assert await policed.stage(rows) == (0, 0, 1)
    await policed.refresh()
    assert [candle.open for candle in await policed.candles("1d")] == [6]
