"""Workers as they run: real processes on one queue, against the replay exchange, stopped and killed at their work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from krakendata.kraken.pacing import Limits
from krakendata.replay.call_counters import CallCounters
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS
from krakendata.replay.server import ReplayServer
from tests.installations import Installation, installed
from tests.workers import LONG, Worker, Workshop, wait_until, workshop

DATABASE = "krakendata_tasks"
EMPTY = (
    "TRUNCATE trades, candles, candles_history, trade_runs, answered_ids, candle_runs, trade_checks, "
    "data_sync_status, sync_runs, pairs CASCADE"
)
BTC, ETH, DOGE = "BTC/USD", "ETH/USD", "DOGE/USD"
UNPACED = {"KRAKEN_CALLS_PER_SECOND": "0", "KRAKEN_CALLS_PER_SECOND_PER_PAIR": "0"}
# Slow enough to be met in the middle, fast enough to end within seconds.
SLOW = {"KRAKEN_CALLS_PER_SECOND": "0", "KRAKEN_CALLS_PER_SECOND_PER_PAIR": "8"}


class Calls(CallCounters):
    """Remembers each call: when it came, and about which pair."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.seen: list[tuple[float, str | None]] = []

    def refusal(self, address: str, pair: str | None) -> str | None:
        self.seen.append((time.monotonic(), pair))
        return super().refusal(address, pair)


def most_within(moments: list[float], seconds: float) -> int:
    """The most moments that lie within so many seconds."""
    return max(sum(start <= each < start + seconds for each in moments) for start in moments)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Give a database of their own to processes that are killed."""
    with installed(DATABASE) as made:
        yield made


@pytest.fixture
def exchange() -> ReplayExchange:
    """Give three pairs that have traded for most of a day, and trade on."""
    start = datetime.now(UTC) - timedelta(hours=18)
    return ReplayExchange([GeneratedHistory(MARKET_PAIRS[symbol], start) for symbol in (BTC, ETH, DOGE)])


Open = Callable[..., AbstractContextManager[Workshop]]


@pytest.fixture
def shop(installation: Installation, exchange: ReplayExchange, tmp_path: Path) -> Iterator[Open]:
    """Give what opens a workshop with these settings on an empty database."""
    installation.run(
        "shell", "-c", f"from django.db import connection; connection.cursor().execute('{EMPTY}')"
    )
    with ReplayServer(exchange).in_thread() as server:

        def open_workshop(**settings: str) -> AbstractContextManager[Workshop]:
            return workshop(installation, server.rest_url, tmp_path, 5, **settings)

        yield open_workshop


def assert_whole(shop: Workshop, exchange: ReplayExchange, symbol: str) -> None:
    """Every trade from the first to the newest that is held is there, once."""
    stored = shop.stored_ids(symbol)
    truth = [trade.trade_id for trade in exchange.trades(symbol)]
    assert len(stored) > 1000
    assert stored == truth[: len(stored)]


def backfill_half(shop: Workshop, rows: int = 2_000) -> Worker:
    """Start a worker and a backfill, and give the worker when some of it is written."""
    worker = shop.start_worker()
    shop.send("backfill", LONG, symbol=BTC, newest_first=False)
    wait_until(lambda: shop.rows_read() >= rows, "a part of the backfill")
    assert shop.states(BTC) == ["running"]
    return worker


def test_two_workers_on_one_queue_keep_one_pace_and_never_share_a_pair(
    shop: Open, exchange: ReplayExchange
) -> None:
    per_pair, per_address = 8, 12
    exchange.counters = calls = Calls(Limits(per_pair, per_address))
    limits = {"KRAKEN_CALLS_PER_SECOND": str(per_address), "KRAKEN_CALLS_PER_SECOND_PER_PAIR": str(per_pair)}
    with shop(**limits) as opened:
        workers = [opened.start_worker(processes=2) for _ in range(2)]
        results = [
            opened.send("backfill", LONG, symbol=symbol) for symbol in (BTC, ETH, DOGE) for _ in "twice"
        ]
        wait_until(lambda: all(result.ready() for result in results), "the end of the backfills")
        states = [result.result["state"] for result in results]
        for symbol in (BTC, ETH, DOGE):
            assert_whole(opened, exchange, symbol)
        together = opened.installation.fetch(
            "SELECT a.id, b.id FROM sync_runs a JOIN sync_runs b ON a.id < b.id AND a.kind = b.kind "
            "AND a.parameters ->> 'symbol' = b.parameters ->> 'symbol' AND b.started_at < a.finished_at"
        )
        duplicates = opened.installation.fetch("SELECT sum(duplicate) FROM sync_runs WHERE state <> 'done'")
    assert set(states) <= {"done", "busy"}
    assert states.count("done") >= 3
    assert together == []
    assert duplicates == [(None,)]
    assert all("krakendata.tasks.backfill" in worker.said for worker in workers)
    # The exchange's own counters were never full, and no second had more calls than the limit and the one begun.
    assert exchange.calls["refused"] == 0
    assert len(calls.seen) > 30
    assert most_within([moment for moment, _ in calls.seen], 1.0) <= per_address + 2
    for pair in {pair for _, pair in calls.seen} - {None}:
        assert most_within([moment for moment, about in calls.seen if about == pair], 1.0) <= per_pair + 2


def test_a_killed_worker_s_backfill_is_finished_by_another(shop: Open, exchange: ReplayExchange) -> None:
    with shop(**SLOW) as opened:
        backfill_half(opened).kill()
        opened.start_worker()
        wait_until(lambda: opened.states(BTC)[-1] == "done", "the end of the backfill")
        assert opened.states(BTC) == ["interrupted", "done"]
        assert_whole(opened, exchange, BTC)


def test_a_killed_process_s_message_is_delivered_again(shop: Open, exchange: ReplayExchange) -> None:
    with shop(**SLOW) as opened:
        worker = backfill_half(opened)
        (child,) = worker.children()
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: opened.states(BTC)[-1] == "done", "the end of the backfill")
        assert opened.states(BTC) == ["interrupted", "done"]
        assert_whole(opened, exchange, BTC)


def test_a_worker_that_is_asked_to_end_leaves_the_rest_in_the_queue(
    shop: Open, exchange: ReplayExchange
) -> None:
    with shop(**SLOW) as opened:
        worker = backfill_half(opened)
        assert worker.stop() == 0
        assert opened.states(BTC) == ["stopped"]
        assert opened.waiting(LONG) == 1
        read = opened.rows_read()
        opened.start_worker()
        wait_until(lambda: opened.states(BTC)[-1] == "done", "the end of the backfill")
        # Starting, the worker queued it once more: that message finds its run continued, and ends.
        wait_until(lambda: opened.waiting(LONG) == 0, "an empty queue")
        assert opened.states(BTC) == ["stopped", "done"]
        assert_whole(opened, exchange, BTC)
        ((duplicate,),) = opened.installation.fetch("SELECT duplicate FROM sync_runs WHERE state = 'done'")
        assert duplicate < read / 2


def test_a_long_backfill_is_done_in_shares(shop: Open, exchange: ReplayExchange) -> None:
    with shop(**SLOW, WORKER_SHARE="1s") as opened:
        opened.start_worker()
        opened.send("backfill", LONG, symbol=BTC)
        wait_until(lambda: "done" in opened.states(BTC), "the end of the backfill")
        *shares, last = opened.states(BTC)
        assert len(shares) >= 2
        assert set(shares) == {"stopped"}
        assert last == "done"
        assert_whole(opened, exchange, BTC)


def test_what_the_exchange_refuses_for_good_is_not_tried_again(shop: Open) -> None:
    with shop(**UNPACED) as opened:
        opened.start_worker()
        result = opened.send("backfill", LONG, symbol="FOO/BAR").get(timeout=30)
        assert result["state"] == "failed"
        assert "Unknown asset pair" in result["error"]
        opened.send("resume_backfills")
        opened.send("upkeep")
        wait_until(
            lambda: "tasks.upkeep" in opened.workers[0].said.split("succeeded")[-2], "the end of the look"
        )
        assert opened.states("FOO/BAR") == ["failed"]
        assert opened.waiting(LONG) == 0


def test_a_tracked_pair_fills_itself_and_stays_filled(shop: Open, exchange: ReplayExchange) -> None:
    with shop(**UNPACED) as opened:
        # To the worker it is as if ten minutes passed between the backfill and the gap.
        exchange.clock.advance(timedelta(minutes=-10))
        worker = opened.start_worker(processes=2)
        opened.send("refresh_pairs")
        wait_until(lambda: opened.installation.fetch("SELECT FROM pairs"), "the list of pairs")
        opened.installation.run(
            "shell",
            "-c",
            "from krakendata.models import Pair; Pair.objects.filter(symbol='DOGE/USD').update(tracked=True)",
        )
        opened.send("resume_backfills")
        wait_until(lambda: opened.states(DOGE) == ["done"], "the end of the backfill")
        assert_whole(opened, exchange, DOGE)
        held = len(opened.stored_ids(DOGE))
        exchange.clock.advance(timedelta(minutes=10))
        opened.send("fill_gaps")
        wait_until(lambda: "tasks.fill_gaps" in worker.said.rpartition("succeeded")[0], "the gap's end")
        wait_until(lambda: len(opened.stored_ids(DOGE)) > held, "the newest trades")
        assert_whole(opened, exchange, DOGE)
