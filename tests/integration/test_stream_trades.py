"""The feed's process as a service manager has it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from krakendata.ingest.writer import CLOSE_SECONDS
from krakendata.management.commands.stream_trades import LEAVE_SECONDS
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS
from krakendata.replay.server import ReplayServer
from tests.installations import Installation, installed

PATIENCE_SECONDS = 60
# Far from a service manager's ten seconds: this one is to find a feed that does not leave at all.
HANGING_SECONDS = 30
NAME = "frozen"


@pytest.mark.skipif(
    "TEST_DATABASE_URL" in os.environ, reason="the server's processes may be another machine's"
)
def test_who_is_to_end_leaves_a_frozen_database() -> None:
    history = GeneratedHistory(MARKET_PAIRS["BTC/USD"], datetime.now(UTC) - timedelta(hours=1))
    with (
        installed("krakendata_frozen") as installation,
        ReplayServer(ReplayExchange([history])).in_thread() as server,
    ):
        exchange = {"KRAKEN_REST_URL": server.rest_url, "KRAKEN_WEBSOCKET_URL": server.websocket_url}
        installation.run("track", "BTC/USD", **exchange)
        feed = installation.start("stream_trades", "--name", NAME, **exchange, PGAPPNAME=NAME)
        frozen: list[int] = []
        try:
            wait_for_pairs(installation, feed)
            frozen = backends(installation)
            for pid in frozen:
                send(pid, signal.SIGSTOP)
            feed.terminate()
            said, _ = feed.communicate(timeout=HANGING_SECONDS)
        finally:
            feed.kill()
            for pid in frozen:
                send(pid, signal.SIGCONT)
        assert feed.returncode == 1
        assert "The database does not answer" in said


def test_who_is_to_end_is_gone_before_a_service_manager_kills() -> None:
    assert CLOSE_SECONDS < LEAVE_SECONDS < 10


def wait_for_pairs(installation: Installation, feed: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not installation.fetch("SELECT FROM feed_sessions WHERE (statistics ->> 'subscribed')::int = 1"):
        assert feed.poll() is None and time.monotonic() < deadline, "the feed hears nothing"
        time.sleep(0.1)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; some of the feed's connections last for moments only."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def backends(installation: Installation) -> list[int]:
    """The processes of the server that serve the feed."""
    found = installation.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = %s", NAME)
    assert found
    return [pid for (pid,) in found]
