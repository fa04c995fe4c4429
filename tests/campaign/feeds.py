"""Feeds in processes of their own: started, asked to end, killed, also in the middle of a flush."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from config import env
from krakendata.storage.conninfo import arguments_from_url
from tests.campaign.hurried_feed import HURRIED_FEED_PROGRAM
from tests.campaign.live_plan import LivePlan
from tests.campaign.servers import Ground
from tests.fix_trading import Replay

# Nobody waits so long, however busy the machine is, unless something is wrong.
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.01

# A service manager kills whoever is still there after so long.
LEAVE_SECONDS = 10.0

LINES_SHOWN = 40

SUBSCRIBED = """
    SELECT (statistics ->> 'subscribed')::int FROM feed_sessions WHERE name = %s ORDER BY id DESC LIMIT 1
"""
# A feed's connections bear its name.
IN_FLUSH = """
    SELECT application_name FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND application_name = ANY(%s) AND query ~ 'write_staged_trades|sync_runs'
"""


@dataclass
class Feed:
    """A process of `manage.py stream_trades`; what it says is in a file."""

    name: str
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path

    @property
    def said(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-LINES_SHOWN:])

    def kill(self) -> None:
        """End it without a word, as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> tuple[float, dict[str, Any]]:
        """Ask it to end as a service manager does; give the seconds it took, and its facts."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not leave:\n{self.said}") from None
        seconds = time.monotonic() - began
        assert self.process.returncode == 0, f"{self.name} left with {self.process.returncode}:\n{self.said}"
        assert seconds < LEAVE_SECONDS, f"{self.name} took {seconds:.1f} s to leave:\n{self.said}"
        # Its log holds both of its streams, between whose lines there is no order.
        told = [line for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        assert told, f"{self.name} left without its facts:\n{self.said}"
        facts: dict[str, Any] = json.loads(told[-1])
        return seconds, facts


@dataclass
class Feeds:
    """The feeds of a run; at the end of its block those that live are killed."""

    plan: LivePlan
    ground: Ground
    replay: Replay
    alive: list[Feed] = field(default_factory=list)
    _started: int = 0

    def __enter__(self) -> Feeds:
        return self

    def __exit__(self, *_: object) -> None:
        for feed in self.alive:
            feed.kill()

    def start(self) -> Feed:
        """Start one more, and return once it hears every pair."""
        self._started += 1
        name = f"feed-{self.plan.seed}-{self._started}"
        log = self.ground.home / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", HURRIED_FEED_PROGRAM, "stream_trades", "--json", "--name", name],
                cwd=env.ROOT,
                env={**os.environ, **self._settings(), "PGAPPNAME": name},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        feed = Feed(name, process, log)
        self.alive.append(feed)
        wait_until(lambda: self._subscribed(feed) == len(self.plan.symbols), f"{name}'s subscriptions", feed)
        return feed

    def leave(self, feed: Feed) -> tuple[float, dict[str, Any]]:
        """Ask one to end."""
        self.alive.remove(feed)
        return feed.terminate()

    def kill(self, feed: Feed) -> None:
        """Kill one."""
        self.alive.remove(feed)
        feed.kill()

    def kill_in_flush(self, table: str) -> None:
        """Hold up a flush at a table, and kill the feed in it."""
        with psycopg.connect(**arguments_from_url(self.ground.url)) as holder, self._looking() as looking:
            holder.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(table)))
            names = [feed.name for feed in self.alive]
            held: list[str] = []

            def is_held() -> bool:
                held[:] = [name for (name,) in looking.execute(IN_FLUSH, [names])]
                return bool(held)

            wait_until(is_held, f"a flush that waits for {table}")
            self.kill(next(feed for feed in self.alive if feed.name == held[0]))

    def assert_alive(self) -> None:
        """None has left by itself."""
        for feed in self.alive:
            assert feed.process.poll() is None, (
                f"{feed.name} left with {feed.process.returncode}:\n{feed.said}"
            )

    def _looking(self) -> psycopg.Connection[Any]:
        return psycopg.connect(**arguments_from_url(self.ground.url), autocommit=True)

    def _subscribed(self, feed: Feed) -> int:
        assert feed.process.poll() is None, f"{feed.name} did not start:\n{feed.said}"
        with self._looking() as connection:
            row = connection.execute(SUBSCRIBED, [feed.name]).fetchone()
        return row[0] if row else 0

    def _settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.ground.url,
            "REDIS_URL": self.ground.redis_url,
            "KRAKEN_REST_URL": self.replay.server.rest_url,
            "KRAKEN_WEBSOCKET_URL": self.replay.server.websocket_url,
            "MAX_REJECTS_KEPT": str(self.plan.rejects_kept),
            "LIVE_BUFFER_TRADES": str(self.plan.buffer),
            "LIVE_FLUSH_TRADES": str(max(self.plan.buffer // 5, 1)),
            "LIVE_FLUSH_EVERY": "1s",
        }


def wait_until(is_so: Callable[[], bool], what: str, feed: Feed | None = None) -> None:
    """Return once it is so; fail when patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come" + (f":\n{feed.said}" if feed else ""))
        time.sleep(LOOK_SECONDS)
