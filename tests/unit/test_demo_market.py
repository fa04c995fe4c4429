"""What the demo leaves to a newcomer: a hole in archived trades, and an archive whose typing errors can be mended."""

import asyncio
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from krakendata.replay.demo_market import HOLE, MISTYPED_ROWS, TORN, UPLOADED, DemoMarket
from krakendata.replay.sample_archive import TRADES_ZIP
from krakendata.types import NS_PER_SECOND, ns_of

UNTIL = datetime(2026, 1, 31, 12, 34, tzinfo=UTC)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("archives")
    market = DemoMarket(UNTIL)
    market.write_archives(made, asyncio.run(market.minutes()))
    return made


def rows_of(archive: Path, altname: str) -> list[list[str]]:
    """The rows of a pair's trades, without the header."""
    with zipfile.ZipFile(archive) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(f"/{altname}.csv"))
        return [row.split(",") for row in opened.read(name).decode().splitlines()[1:]]


async def test_one_pair_has_one_hole_which_its_exchange_can_fill(directory: Path) -> None:
    rows = rows_of(directory / TRADES_ZIP, TORN.altname)
    ids = [int(row[-1]) for row in rows]
    ((before, after),) = [pair for pair in zip(ids, ids[1:], strict=False) if pair[1] != pair[0] + 1]
    times = {int(row[-1]): int(row[0].replace(".", "")) for row in rows}
    assert times[after] - times[before] > HOLE.total_seconds() * NS_PER_SECOND
    exchange = DemoMarket.of_archives(directory).exchange()
    history = exchange.find(TORN.symbol)
    assert history is not None
    found = await exchange.between(history, times[before] + 1, times[after])
    assert [row.trade_id for row in found] == list(range(before + 1, after))


def test_the_archive_to_upload_lacks_nothing_but_its_typing_errors(tmp_path: Path) -> None:
    archive = tmp_path / "made" / "upload.zip"
    market = DemoMarket(UNTIL)
    written = market.write_upload(archive)
    rows = rows_of(archive, UPLOADED.altname)
    assert (written.rows, written.bad_rows) == (len(rows), MISTYPED_ROWS)
    assert len([row for row in rows if "O" in row[1]]) == MISTYPED_ROWS
    history = market.exchange().find(UPLOADED.symbol)
    assert history is not None
    first, end = int(rows[0][0].replace(".", "")), ns_of(UNTIL)
    meant = [(int(row[0].replace(".", "")), row[1].replace("O", "0"), int(row[-1])) for row in rows]
    assert meant == [(each.ns, f"{each.price:f}", each.trade_id) for each in history.trades(first, end)]  # type: ignore[attr-defined]
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
