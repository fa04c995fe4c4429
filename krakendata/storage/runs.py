"""The record of every long deed: its run, its files, its errors."""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from krakendata.storage.sql import query

Connection = AsyncConnection[Any]

# The runs that the deed of this context has begun, where somebody collects them: a deed does not tell its run before
# it ends, and who is asked to stop it has to know it by then.
BEGUN: ContextVar[set[int] | None] = ContextVar("runs begun", default=None)


async def start_run(
    connection: Connection, kind: str, parameters: dict[str, Any], total: int | None, unit: str = "bytes"
) -> int:
    """Record that a deed begins and return its id. `connection` keeps the run's lock as long as it lives.

    Runs of the same kind that say they are running while nobody holds their lock are marked as interrupted.
    """
    await connection.execute(query("mark_interrupted_runs"), {"kind": kind})
    async with connection.transaction():
        # Held before others can see it: they would take it for one whose process is gone.
        cursor = await connection.execute(
            query("start_run"), {"kind": kind, "parameters": Jsonb(parameters), "total": total, "unit": unit}
        )
        ((run_id,),) = await cursor.fetchall()
        await hold_run(connection, run_id)
    begun = BEGUN.get()
    if begun is not None:
        begun.add(int(run_id))
    return int(run_id)


async def hold_run(connection: Connection, run_id: int) -> None:
    """Show that somebody is at work on the run, as long as the connection lives."""
    await connection.execute(query("hold_run"), {"run": run_id})


async def set_run_total(connection: Connection, run_id: int, done: int, total: int) -> None:
    """Record how much a run has to do, and how much of that was done before it."""
    await connection.execute(query("set_run_total"), {"run": run_id, "done": done, "total": total})


async def finish_run(connection: Connection, run_id: int, state: str, error: str = "") -> None:
    """Record how a run ended: `done`, `failed` or `stopped`."""
    await connection.execute(query("finish_run"), {"run": run_id, "state": state, "error": error})


async def is_asked_to_stop(connection: Connection, run_ids: Iterable[int]) -> bool:
    """Whether somebody has asked one of these runs to stop."""
    cursor = await connection.execute(query("runs_asked_to_stop"), {"runs": list(run_ids)})
    return await cursor.fetchone() is not None


async def report_sync_error(connection: Connection, symbol: str, kind: str, error: str) -> None:
    """Note an error where the operator looks first: in the symbol's sync status."""
    await connection.execute(query("report_sync_error"), {"symbol": symbol, "kind": kind, "error": error})


async def try_job_lock(connection: Connection, symbol: str) -> bool:
    """Try to become the only import or backfill of a symbol, for as long as the connection lives."""
    cursor = await connection.execute(query("try_job_lock"), {"symbol": symbol})
    return await cursor.fetchone() == (True,)


async def release_job_lock(connection: Connection, symbol: str) -> None:
    """Let the next one go on."""
    await connection.execute(query("release_job_lock"), {"symbol": symbol})
