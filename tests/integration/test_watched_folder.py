"""The watched folder: what lies in it is due once it has stopped changing, and never again until it changes."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from krakendata.ingest.watched_folder import settled_archives
from krakendata.storage.sql import query
from tests.archive_files import made_trades, write_lines, write_trades
from tests.fix_storage import NOW, Store

SECOND = timedelta(seconds=1)
TRADES = made_trades(1, NOW - timedelta(days=1), NOW, 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "watched"
    found.mkdir()
    return found


async def due(store: Store, folder: Path, after: timedelta = 61 * SECOND) -> list[Path]:
    """What is due so long after this moment."""
    return await settled_archives(store.database, folder, datetime.now(UTC) + after)


async def test_a_file_is_due_when_it_has_not_changed_for_a_minute(store: Store, folder: Path) -> None:
    path = write_trades(folder / "XBTUSD.csv", TRADES)
    assert await due(store, folder, 0 * SECOND) == []
    assert await due(store, folder, 50 * SECOND) == []
    assert await due(store, folder) == [path]


async def test_what_lies_deeper_counts_and_what_is_no_archive_does_not(store: Store, folder: Path) -> None:
    (folder / "2025").mkdir()
    path = write_trades(folder / "2025" / "XBTUSD.csv", TRADES)
    write_lines(folder / "notes.txt", ["to do"])
    assert await due(store, folder) == [path]


async def test_slices_wait_for_the_one_that_is_still_being_copied(store: Store, folder: Path) -> None:
    slices = [folder / f"Kraken_Trades.zip.part{number}" for number in (1, 2)]
    for path in slices:
        write_lines(path, ["PK"])
    assert await due(store, folder) == slices
    # As a copy that goes on: written to half a minute after now.
    coming = (datetime.now(UTC) + 30 * SECOND).timestamp()
    os.utime(slices[1], (coming, coming))
    assert await due(store, folder) == []
    assert await due(store, folder, 91 * SECOND) == slices


async def test_a_file_that_was_imported_is_left_alone_until_it_changes(store: Store, folder: Path) -> None:
    path = write_trades(folder / "XBTUSD.csv", TRADES[:10])
    await store.import_files(*await due(store, folder))
    assert await due(store, folder) == []
    write_trades(path, TRADES)
    assert await due(store, folder) == [path]
    await store.import_files(*await due(store, folder))
    assert await store.fetch("SELECT count(*) FROM trades") == [len(TRADES)]


async def test_a_file_that_was_refused_is_not_tried_again_until_it_changes(
    store: Store, folder: Path
) -> None:
    path = write_lines(folder / "NOTAPAIR.csv", ["1,2,3"])
    good = write_trades(folder / "XBTUSD.csv", TRADES)
    report = await store.import_files(*await due(store, folder))
    assert len(report.plan.refused) == 1
    assert await due(store, folder) == []
    better = write_lines(path, ["1,2,3", "2,2,3"])
    assert await due(store, folder) == [better]
    assert good.exists()


async def test_a_file_whose_import_was_cut_off_is_due_again(store: Store, folder: Path) -> None:
    path = write_trades(folder / "XBTUSD.csv", TRADES)
    await store.import_files(path)
    await store.connection.execute("UPDATE sync_runs SET state = 'interrupted'")
    assert await due(store, folder) == [path]


async def test_a_file_whose_import_somebody_stopped_waits_for_it_to_be_resumed(
    store: Store, folder: Path
) -> None:
    path = write_trades(folder / "XBTUSD.csv", TRADES)
    report = await store.import_files(path, by="worker")
    run = {"run": report.run_id, "who": "somebody"}
    await store.connection.execute("UPDATE sync_runs SET state = 'running'")
    await store.connection.execute(query("ask_run_to_stop"), run)
    await store.connection.execute("UPDATE sync_runs SET state = 'stopped'")
    other = write_trades(folder / "ETHUSD.csv", TRADES)
    assert await due(store, folder) == [other]
    await store.connection.execute(query("let_run_go_on"), run)
    assert await due(store, folder) == [other, path]


async def test_a_file_whose_import_somebody_stopped_is_due_again_when_it_changes(
    store: Store, folder: Path
) -> None:
    path = write_trades(folder / "XBTUSD.csv", TRADES[:10])
    await store.import_files(path)
    await store.connection.execute(
        "UPDATE sync_runs SET state = 'stopped', parameters = parameters || '{\"stopped_by\": \"somebody\"}'"
    )
    assert await due(store, folder) == []
    write_trades(path, TRADES)
    assert await due(store, folder) == [path]
