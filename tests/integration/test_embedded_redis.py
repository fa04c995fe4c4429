"""The private Redis: on no port, started once, shared, stopped by the last, what it held kept."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from redis.asyncio import Redis as AsyncRedis

from config import env
from krakendata.errors import StorageUnavailable
from krakendata.kraken.pacers import RedisPacer
from krakendata.storage import embedded_redis
from krakendata.storage.embedded_redis import RedisServer, start_redis

PROJECT = env.ROOT
HOLD = """
    import sys
    from pathlib import Path
    from krakendata.storage.embedded_redis import start_redis
    server = start_redis(Path(sys.argv[1]))
    print(server.url, flush=True)
    sys.stdin.readline()
    server.release()
"""
# What a process of the project does with its two private servers before its settings are used.
SETTINGS = """
    from config import settings
    import redis
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        print(settings.REDIS_URL, client.incr("starts"), flush=True)
"""

pytestmark = [
    pytest.mark.skipif(os.environ["TEST_EDITION"] != "plain", reason="the same on every edition"),
    # A server that another process stops stays our child until this one ends.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a directory that is not there yet, in a path with a space; nothing is left running in it."""
    with tempfile.TemporaryDirectory(prefix="private redis ") as directory:
        found = Path(directory) / "redis data"
        yield found
        if found.exists():
            start_redis(found).release()


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
        assert process.stdout is not None
        assert process.stdout.readline().startswith("unix://")
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def client_of(server: RedisServer) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True)


def process_of(server: RedisServer) -> int:
    with client_of(server) as client:
        return int(client.info("server")["process_id"])


def is_alive(pid: int) -> bool:
    """Whether it runs; the dead may linger until their parent asks after them."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_it_listens_on_no_port_and_lets_nobody_else_in(home: Path) -> None:
    server = start_redis(home)
    try:
        with client_of(server) as client:
            assert client.config_get("port") == {"port": "0"}
        assert server.socket.stat().st_mode & 0o777 == 0o700
        assert home.stat().st_mode & 0o777 == 0o700
    finally:
        server.release()


def test_what_it_holds_stays_between_runs(home: Path) -> None:
    server = start_redis(home)
    with client_of(server) as client:
        client.lpush("queue", "a task")
    server.release()
    assert not server.socket.exists()
    server = start_redis(home)
    try:
        with client_of(server) as client:
            assert client.lrange("queue", 0, -1) == ["a task"]
    finally:
        server.release()


def test_releasing_twice_is_once(home: Path) -> None:
    one, other = start_redis(home), start_redis(home)
    one.release()
    one.release()
    with client_of(other) as client:
        assert client.ping()
    other.release()
    assert not other.socket.exists()


def test_processes_share_it_and_the_last_one_stops_it(
    home: Path, holders: Callable[[], "subprocess.Popen[str]"]
) -> None:
    first, second = holders(), holders()
    server = start_redis(home)
    pid = process_of(server)
    server.release()
    first.communicate("done\n")
    assert is_alive(pid)
    second.communicate("done\n")
    assert not is_alive(pid)


def test_a_killed_holder_does_not_count(home: Path, holders: Callable[[], "subprocess.Popen[str]"]) -> None:
    holder = holders()
    holder.kill()
    holder.communicate()
    server = start_redis(home)
    pid = process_of(server)
    server.release()
    assert not is_alive(pid)


def test_a_killed_server_is_started_again_where_its_users_look_for_it(home: Path) -> None:
    first = start_redis(home)
    with client_of(first) as client:
        client.set("kept", "7")
    os.kill(process_of(first), signal.SIGKILL)
    second = start_redis(home)
    try:
        with client_of(first) as client:
            assert client.get("kept") == "7"
    finally:
        first.release()
        second.release()


def test_a_home_whose_name_is_too_long_for_a_socket_is_served_from_a_private_folder(home: Path) -> None:
    home.mkdir()
    server = start_redis(home / ("long" * 30))
    try:
        assert not server.socket.is_relative_to(home)
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        with client_of(server) as client:
            assert client.ping()
    finally:
        server.release()
        server.socket.parent.rmdir()


def test_a_folder_that_others_can_open_is_not_used_for_the_socket(home: Path) -> None:
    home.mkdir()
    long = home / ("long" * 30)
    long.mkdir()
    folder = embedded_redis._socket_of(long.resolve()).parent
    folder.chmod(0o755)
    try:
        with pytest.raises(StorageUnavailable, match="is another account's"):
            start_redis(long)
    finally:
        folder.rmdir()


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    home.mkdir()
    (home / "appendonly.aof").mkdir()
    with pytest.raises(StorageUnavailable, match=r"did not start\. Its log, .*appendonly\.aof|append"):
        start_redis(home)
    (home / "appendonly.aof").rmdir()


async def test_pacing_and_the_task_queue_reach_it(home: Path) -> None:
    server = start_redis(home)
    try:
        async with RedisPacer(server.url, exchange="a") as pacer:
            await pacer.wait("XBTUSD")
        async with AsyncRedis.from_url(server.url) as client:
            assert await client.exists("krakendata:pacing:a:pair:XBTUSD")
        queue = Celery("test", broker=env.broker_url(server.url))
        queue.send_task("some.task", queue="waiting")
        queue.close()
        with client_of(server) as client:
            assert client.llen("waiting") == 1
    finally:
        server.release()


def test_the_settings_start_it_beside_the_private_database_and_stop_it() -> None:
    with tempfile.TemporaryDirectory(prefix="private ") as directory:
        Path(directory).chmod(0o755)
        environment = {
            "PATH": os.environ["PATH"], "KRAKENDATA_ENV_FILE": os.devnull,
            "DATABASE_URL": f"embedded:{directory}/pg",
        }  # fmt: skip
        said = [
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(SETTINGS)],
                cwd=PROJECT, env=environment, capture_output=True, text=True, check=True,
            ).stdout.split()
            for _ in range(2)
        ]  # fmt: skip
        assert [starts for _, starts in said] == ["1", "2"]
        assert said[0][0] == said[1][0]
        assert not (Path(directory) / "pg" / "redis" / "redis.sock").exists()
