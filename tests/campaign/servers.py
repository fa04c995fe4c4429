"""A PostgreSQL and a Redis of the campaign's own, restarted and crashed under its feet, and a database on them."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import psycopg
from redis import Redis

from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.embedded_cluster import USER, Cluster, prepare_cluster
from krakendata.storage.embedded_redis import start_redis
from tests.campaign.hurry import HURRIED_PROGRAM
from tests.editions import Place
from tests.fix_emptied import empty_tables
from tests.free_ports import free_port
from tests.installations import Installation

DATABASE = "krakendata_campaign"
HOST = "127.0.0.1"
LOOK_SECONDS = 0.02
START_SECONDS = 60

# A crash of the server alone loses nothing that it has handed to the kernel: fsync may stay off, this may not.
SAFE = {"synchronous_commit": "on"}


@dataclass
class Postgres:
    """A server that keeps its port over restarts."""

    cluster: Cluster
    port: int
    password: str = field(repr=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def url(self, database: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://{USER}:{quote(self.password, safe='')}@{HOST}:{self.port}/{database}"

    def restart(self, is_crash: bool) -> None:
        """End it, in good order or as a crash does, and start it again; returns once it answers."""
        self.stop(signal.SIGQUIT if is_crash else signal.SIGINT)
        self.start()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait()

    def start(self) -> None:
        """Start it, and return once it answers."""
        self.process = self.cluster.run_server()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(**arguments_from_url(self.url("postgres"))).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None and time.monotonic() < deadline, (
                    self.cluster.log.read_text()
                )
                time.sleep(LOOK_SECONDS)


@dataclass
class Ground:
    """Where runs take place; `url` is the database's, which `clear` empties."""

    edition: str
    home: Path
    installation: Installation
    postgres: Postgres = field(repr=False)
    redis_url: str
    _redis: ExitStack = field(repr=False)

    @property
    def url(self) -> str:
        return self.installation.url

    def restart_redis(self, away_seconds: float = 0.0) -> None:
        """Kill it, and start it on the same address, at once or after a while."""
        with Redis.from_url(self.redis_url) as redis:
            os.kill(redis.info()["process_id"], signal.SIGKILL)
        time.sleep(away_seconds)
        self._redis.callback(start_redis(self.home / "redis").release)

    def flush_redis(self) -> None:
        """Forget all that it holds."""
        with Redis.from_url(self.redis_url) as redis:
            redis.flushall()

    def clear(self, trades_line: datetime, candles_line: datetime) -> None:
        """Forget every run, and put the retention lines where this one wants them."""
        with Redis.from_url(self.redis_url) as redis:
            redis.flushall()
        with psycopg.connect(**arguments_from_url(self.url), autocommit=True) as connection:
            with connection.cursor() as cursor:
                empty_tables(cursor)
            for kind, line in (("trades", trades_line), ("candles", candles_line)):
                connection.execute(
                    "UPDATE retention_lines SET first_line = %s, line = %s WHERE kind = %s",
                    [line, line, kind],
                )
            connection.execute("SELECT draw_all_candles()")


@contextmanager
def open_ground(place: Place) -> Iterator[Ground]:
    """Start servers for a campaign and migrate a database; everything is gone afterwards."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="krakendata-campaign-")))
        # The server of a run as root is another user.
        home.chmod(0o755)
        cluster = prepare_cluster(home / "postgres", place.binaries)
        password = cluster.create_if_missing()
        port = free_port()
        cluster.write_settings({**place.settings, **SAFE, "port": str(port)})
        postgres = Postgres(cluster, port, password)
        stack.callback(lambda: postgres.stop())
        with psycopg.connect(**arguments_from_url(postgres.url("postgres")), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        redis = start_redis(home / "redis")
        stack.callback(redis.release)
        restarted = stack.enter_context(ExitStack())
        installation = Installation(postgres.url(DATABASE, place.scheme), HURRIED_PROGRAM)
        installation.run("migrate", "--no-input", "-v", "0", REDIS_URL=redis.url)
        yield Ground(place.edition, home, installation, postgres, redis.url, restarted)
