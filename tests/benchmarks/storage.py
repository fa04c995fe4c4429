"""What a row takes on disk, before and after the columnstore (TimescaleDB Community)."""

from dataclasses import dataclass

from tests.benchmarks.servers import BenchServer


@dataclass(frozen=True)
class StorageResult:
    """Bytes per row of one table."""

    table: str
    rows: int
    before: float
    after: float

    @property
    def saved(self) -> float:
        return 1 - self.after / self.before


def measure_storage(server: BenchServer, table: str) -> StorageResult:
    """Compress every chunk of a table of the database `ours`."""
    with server.connect("ours") as connection:
        rows = _number(server, f"SELECT count(*) FROM {table}")
        before = _number(server, f"SELECT hypertable_size('{table}')")
        connection.execute(f"SELECT compress_chunk(c) FROM show_chunks('{table}') c")
        after = _number(server, f"SELECT hypertable_size('{table}')")
    return StorageResult(table, rows, before / rows, after / rows)


def _number(server: BenchServer, statement: str) -> int:
    return int(server.run_psql("ours", statement).strip())
