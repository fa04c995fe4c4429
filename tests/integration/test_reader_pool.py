"""A reader's connections: what their transactions may do, and that a restarted server is not noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from krakendata.errors import StorageRefused
from krakendata.storage.pool import Pool
from tests.fix_storage import Store


@pytest.fixture
async def pool(store: Store) -> AsyncIterator[Pool]:
    opened = await Pool(store.database, 2, 2, is_reader=True).open()
    yield opened
    await opened.close()


async def backend_of(pool: Pool) -> int:
    async with pool.connection() as connection:
        return connection.info.backend_pid


async def test_a_transaction_sees_one_state_and_writes_nothing(pool: Pool, store: Store) -> None:
    async with pool.connection() as connection:
        before = await (await connection.execute("SELECT count(*) FROM data_sync_status")).fetchone()
        await store.connection.execute(
            "INSERT INTO data_sync_status (symbol, kind) VALUES ('X/USD', 'trades')"
        )
        assert await (await connection.execute("SELECT count(*) FROM data_sync_status")).fetchone() == before
    with pytest.raises(StorageRefused, match="read-only"):
        async with pool.connection() as connection:
            await connection.execute("DELETE FROM data_sync_status")


async def test_it_is_over_when_the_connection_is_given_back(pool: Pool, store: Store) -> None:
    await asyncio.gather(backend_of(pool), backend_of(pool))
    with pytest.raises(StorageRefused):
        async with pool.connection() as connection:
            await connection.execute("SELECT 1 / 0")
    locked = "SELECT count(*) FROM pg_locks WHERE relation = 'retention_lines'::regclass AND pid <> pg_backend_pid()"
    assert await store.fetch(locked) == [0]


async def test_a_connection_that_the_server_has_closed_is_not_lent(pool: Pool, store: Store) -> None:
    pids = set(await asyncio.gather(backend_of(pool), backend_of(pool)))
    await store.fetch("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::integer[]) pid", list(pids))
    assert not pids & set(await asyncio.gather(backend_of(pool), backend_of(pool)))


async def test_one_caller_does_not_wait_for_ten_dead_connections(store: Store) -> None:
    pool = await Pool(store.database, 2, 10, is_reader=True).open()
    try:
        pids: set[int] = set()
        async with AsyncExitStack() as lent:
            for _ in range(10):
                connection = await lent.enter_async_context(pool.connection())
                pids.add(connection.info.backend_pid)
        await store.fetch("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::integer[]) pid", list(pids))
        # With the library's pauses it took half a minute.
        async with asyncio.timeout(15):
            assert await backend_of(pool) not in pids
        assert len(pids) == 10
    finally:
        await pool.close()


async def test_another_reader_sees_the_state_of_a_snapshot(pool: Pool, store: Store) -> None:
    async with pool.connection() as connection:
        ((name,),) = await (await connection.execute("SELECT pg_export_snapshot()")).fetchall()
        await store.connection.execute(
            "INSERT INTO data_sync_status (symbol, kind) VALUES ('X/USD', 'trades')"
        )
        async with pool.connection(name) as other:
            assert await (await other.execute("SELECT count(*) FROM data_sync_status")).fetchone() == (0,)
    async with pool.connection() as connection:
        assert await (await connection.execute("SELECT count(*) FROM data_sync_status")).fetchone() == (1,)
