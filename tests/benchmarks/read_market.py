"""What reads are measured on: five years of minutes of four pairs, and behind them twenty million trades, imported."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from krakendata.gaps import Stretch
from tests.benchmarks.files import TRADES_START, write_candles_csv, write_trades_csv
from tests.benchmarks.servers import BenchServer

PAIRS = ("XBTUSD", "ETHUSD", "SOLUSD", "ADAUSD")
SYMBOL = "BTC/USD"

# Five years and a leap day or two of minutes a pair; its trades follow without a gap.
MINUTES = 2_630_880
TRADES = 5_000_000

# Fewer would not have the 200 hours that are asked for.
LEAST_MINUTES, LEAST_TRADES = 20_000, 50_000

# As the policies leave an installation that is older than its data (TimescaleDB Community).
COMPRESSED = "SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('{table}') c"


def make_archives(directory: Path, scale: float) -> tuple[Path, ...]:
    """Two folders, of candles and of trades, with a file a pair; all pairs have the same rows."""
    folders = directory / "candles", directory / "trades"
    for folder in folders:
        folder.mkdir()
    candles, trades = (folder / PAIRS[0] for folder in folders)
    candles, trades = candles.with_name(f"{PAIRS[0]}_1.csv"), trades.with_suffix(".csv")
    write_candles_csv(candles, minutes_of(scale), years(scale).start)
    write_trades_csv(trades, max(int(TRADES * scale), LEAST_TRADES))
    for pair in PAIRS[1:]:
        os.link(candles, candles.with_name(f"{pair}_1.csv"))
        os.link(trades, trades.with_name(f"{pair}.csv"))
    return folders


def minutes_of(scale: float) -> int:
    """How many minutes a pair has."""
    return max(int(MINUTES * scale), LEAST_MINUTES)


def years(scale: float) -> Stretch:
    """The time of the minutes."""
    return Stretch(TRADES_START - timedelta(minutes=minutes_of(scale)), TRADES_START)


def import_archives(server: BenchServer, folders: tuple[Path, ...]) -> None:
    """Into the fresh database `ours`, its rollups refreshed, old chunks compressed where the edition does that."""
    server.make_database("ours")
    for folder in folders:
        server.manage("ours", "import_csv", str(folder), "--json")
    settle(server, "ours")


def settle(server: BenchServer, database: str) -> None:
    """Leave a database as upkeep and autovacuum would."""
    if server.edition == "community":
        for table in ("candles", "trades"):
            server.run_psql(database, COMPRESSED.format(table=table))
    server.run_psql(database, "VACUUM (ANALYZE)", "CHECKPOINT")
