"""Real workers on a Redis database of their own, working on an installation and against a replay exchange."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from celery import Celery
from redis import Redis

from config import env
from tests.installations import Installation

# Nobody waits so long unless something is wrong.
PATIENCE_SECONDS = 60
LOOK_SECONDS = 0.05
LONG = "krakendata.long"
SHORT = "krakendata"

STATES = "SELECT state FROM sync_runs WHERE kind = 'backfill' AND parameters ->> 'symbol' = %s ORDER BY id"


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    """Return once it is so; fail when patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(LOOK_SECONDS)


@dataclass
class Worker:
    """A worker's main process, which leads a process group; its log is in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def children(self) -> list[int]:
        """The processes that do the tasks."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def kill(self) -> None:
        """End it and its children without a word, as the kernel does when memory is short."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, as a service manager does; give the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_SECONDS)


@dataclass
class Workshop:
    """Where workers work: a database, a queue and an exchange; at the end of its block its workers are killed."""

    installation: Installation
    redis_url: str
    rest_url: str
    home: Path
    settings: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        broker = env.broker_url(self.redis_url)
        self.queue = Celery("tests", broker=broker, backend=broker, set_as_current=False)
        self.redis = Redis.from_url(self.redis_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still works here."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.queue.close()
        self.redis.close()

    def start_worker(self, processes: int = 1, **settings: str) -> Worker:
        """Start a worker and wait until it takes tasks."""
        log = self.home / f"worker-{len(self.workers)}.log"
        arguments = [
            "-A",
            "config",
            "worker",
            "-l",
            "INFO",
            "-c",
            str(processes),
            "-n",
            f"{len(self.workers)}@%h",
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments],
                cwd=env.ROOT,
                env={
                    **os.environ,
                    "DATABASE_URL": self.installation.url,
                    "REDIS_URL": self.redis_url,
                    "KRAKEN_REST_URL": self.rest_url,
                    **self.settings,
                    **settings,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        wait_until(lambda: " ready." in worker.said or process.poll() is not None, "the worker")
        assert process.poll() is None, worker.said
        return worker

    def send(self, name: str, queue: str = SHORT, **arguments: Any) -> Any:
        """Queue a task."""
        return self.queue.send_task(f"krakendata.tasks.{name}", kwargs=arguments, queue=queue)

    def waiting(self, queue: str) -> int:
        """How many messages nobody has taken."""
        length = self.redis.llen(queue)
        assert isinstance(length, int)
        return length

    def states(self, symbol: str) -> list[str]:
        """The states of the pair's backfills, the oldest first."""
        rows = self.installation.fetch(STATES, symbol)
        return [state for (state,) in rows]

    def rows_read(self) -> int:
        ((rows,),) = self.installation.fetch("SELECT coalesce(sum(read), 0) FROM sync_runs")
        return int(rows)

    def stored_ids(self, symbol: str) -> list[int]:
        rows = self.installation.fetch("SELECT trade_id FROM trades WHERE symbol = %s ORDER BY 1", symbol)
        return [number for (number,) in rows]


@contextmanager
def workshop(
    installation: Installation, rest_url: str, home: Path, number: int, **settings: str
) -> Iterator[Workshop]:
    """A workshop on the Redis database of this number, emptied before."""
    url = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl()
    with Workshop(installation, url, rest_url, home, settings) as shop:
        shop.redis.flushdb()
        yield shop
