"""Writers, importers and retention wait for each other where they must, and never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from krakendata.candles import fold_candles, fold_trades
from krakendata.storage.bulk import Block, BlockOutdated, write_block
from krakendata.storage.ledger import Lines
from krakendata.storage.runs import finish_run, release_job_lock, start_run, try_job_lock
from krakendata.storage.sql import query
from krakendata.storage.writers import Writers
from tests.archive_files import made_trades, write_trades
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

WEEK = timedelta(weeks=1)
# Long enough for a statement that does not wait, on a busy machine.
PATIENCE = 0.5
PAIRS = ("XBTUSD", "ETHUSD", "SOLUSD", "ADAUSD")


@pytest.fixture
async def other(store: Store) -> AsyncIterator[AsyncConnection[Any]]:
    """Another process's connection."""
    async with await AsyncConnection.connect(**store.database, autocommit=True) as connection:
        yield connection


async def is_waiting(task: asyncio.Task[Any]) -> bool:
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    return not done


async def test_one_import_holds_a_pair_and_gives_it_back(store: Store, other: AsyncConnection[Any]) -> None:
    assert await try_job_lock(store.connection, "BTC/USD")
    assert not await try_job_lock(other, "BTC/USD")
    assert await try_job_lock(other, "ETH/USD")
    await release_job_lock(store.connection, "BTC/USD")
    assert await try_job_lock(other, "BTC/USD")


async def test_a_killed_connection_gives_its_pair_back(store: Store) -> None:
    connection = await AsyncConnection.connect(**store.database, autocommit=True)
    assert await try_job_lock(connection, "BTC/USD")
    await connection.close()
    async with asyncio.timeout(5):
        while not await try_job_lock(store.connection, "BTC/USD"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_retention_waits_for_a_writer_and_a_writer_for_retention(
    store: Store, other: AsyncConnection[Any]
) -> None:
    async with other.transaction():
        await other.execute(query("share_lines"))
        moving = asyncio.create_task(store.retain(NOW, trades_days=30, candles_days=100))
        assert await is_waiting(moving)
    await moving
    async with store.connection.transaction():
        await store.connection.execute("SELECT lock_lines()")
        sharing = asyncio.create_task(other.execute(query("share_lines")))
        assert await is_waiting(sharing)
    await sharing


async def test_two_writers_share_the_lines(store: Store, other: AsyncConnection[Any]) -> None:
    async with store.connection.transaction(), other.transaction():
        await store.connection.execute(query("share_lines"))
        async with asyncio.timeout(5):
            await other.execute(query("share_lines"))


async def test_a_block_shaped_for_an_older_line_is_not_written(store: Store) -> None:
    run_id = await start_run(store.connection, "import", {}, None)
    old = Lines(trades=TRADES_LINE - WEEK, candles=FENCE)
    with pytest.raises(BlockOutdated):
        await write_block(store.connection, Block("BTC/USD", old, read=3), run_id, 10)
    assert await store.fetch("SELECT read FROM sync_runs") == [0]


async def test_a_line_that_moves_while_a_block_waits_is_noticed(
    store: Store, other: AsyncConnection[Any]
) -> None:
    run_id = await start_run(store.connection, "import", {}, None)
    lines = Lines(trades=TRADES_LINE, candles=FENCE)
    async with other.transaction():
        await other.execute("SELECT apply_retention(%s, 30, 100)", [NOW])
        writing = asyncio.create_task(
            write_block(store.connection, Block("BTC/USD", lines, read=3), run_id, 10)
        )
        assert await is_waiting(writing)
    with pytest.raises(BlockOutdated):
        await writing


async def test_a_run_whose_process_is_gone_is_interrupted(store: Store) -> None:
    connection = await AsyncConnection.connect(**store.database, autocommit=True)
    lost = await start_run(connection, "import", {}, None)
    await connection.close()
    await asyncio.sleep(0.2)
    mine = await start_run(store.connection, "import", {}, None)
    states = dict(await store.fetch("SELECT id, state FROM sync_runs"))
    assert states == {lost: "interrupted", mine: "running"}


async def test_a_run_at_work_is_not_interrupted(store: Store, other: AsyncConnection[Any]) -> None:
    working = await start_run(other, "import", {}, None)
    await start_run(store.connection, "import", {}, None)
    assert dict(await store.fetch("SELECT id, state FROM sync_runs"))[working] == "running"
    await finish_run(other, working, "done")
    await start_run(store.connection, "import", {}, None)
    assert dict(await store.fetch("SELECT id, state FROM sync_runs"))[working] == "done"


@pytest.mark.plain
async def test_many_makers_of_one_partition_agree(store: Store) -> None:
    connections = [await AsyncConnection.connect(**store.database, autocommit=True) for _ in range(4)]
    made = await asyncio.gather(
        *(
            connection.execute("SELECT make_partitions('trades', %s, %s)", [NOW + 90 * WEEK, NOW + 95 * WEEK])
            for connection in connections
        )
    )
    assert sum([(await cursor.fetchone() or (0,))[0] for cursor in made]) == 6
    for connection in connections:
        await connection.close()


async def test_pairs_side_by_side_with_retention_and_refreshes_end_without_deadlock(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    markets = {
        name: made_trades(seed, FENCE - WEEK, FENCE + 26 * WEEK - WEEK * 2, 700, symbol=name)
        for seed, name in enumerate(PAIRS)
    }
    for name, trades in markets.items():
        write_trades(tmp_path / f"{name}.csv", trades)
    importing = asyncio.create_task(store.import_files(tmp_path, parallel_files=4))
    weeks = 20
    while not importing.done():
        await store.retain(NOW, trades_days=weeks * 7 // 3, candles_days=weeks * 7)
        await store.refresh()
        weeks = max(weeks - 1, 8)
        await asyncio.sleep(0.05)
    report = await importing
    await store.refresh()
    assert report.counts.read == report.counts.stored + report.counts.folded == 4 * 700
    symbols = await store.fetch("SELECT DISTINCT symbol FROM trade_runs ORDER BY symbol")
    assert len(symbols) == 4
    answered = sum(
        [candle.trade_count for symbol in symbols for candle in await store.candles("1d", symbol)],
    )
    assert answered == 4 * 700
    minutes = fold_trades(markets["ETHUSD"])
    assert [(each.timestamp, each.volume) for each in await store.candles("1h", "ETH/USD")] == [
        (each.timestamp, each.volume) for each in fold_candles(minutes, "1h")
    ]


@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_lock_that_went_with_its_connection_is_not_believed(
    store: Store, other: AsyncConnection[Any], is_taken: bool
) -> None:
    async with Writers(store.database, 1) as writers:
        assert await writers.try_job_lock("BTC/USD")
        await store.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND classid = (hashtext('krakendata job')::bigint & 4294967295)::oid "
            # The test beside this one has its database on the same server.
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert not is_taken or await try_job_lock(other, "BTC/USD")
        assert await writers.try_job_lock("BTC/USD") is not is_taken
        assert await try_job_lock(other, "BTC/USD") is is_taken
