"""Workers as they run: real processes on one queue, against the replay exchange, stopped and killed at their work."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from krakendata.kraken.pacing import Limits
from krakendata.replay.call_counters import CallCounters
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS
from krakendata.replay.server import ReplayServer
from krakendata.storage.sql import query
from tests.archive_files import made_trades, write_trades
from tests.fix_emptied import empty_tables
from tests.free_ports import free_port
from tests.installations import Installation, installed
from tests.workers import LONG, SHORT, Worker, Workshop, wait_until, workshop

DATABASE = "krakendata_tasks"
BTC, ETH, DOGE = "BTC/USD", "ETH/USD", "DOGE/USD"
WATCHED_TRADES = 500
UNPACED = {"KRAKEN_CALLS_PER_SECOND": "0", "KRAKEN_CALLS_PER_SECOND_PER_PAIR": "0"}
# Slow enough to be met in the middle, fast enough to end within seconds.
SLOW = {"KRAKEN_CALLS_PER_SECOND": "0", "KRAKEN_CALLS_PER_SECOND_PER_PAIR": "8"}
# Slow enough that it cannot end before a worker looks whether it is to stop.
SLOWER = {"KRAKEN_CALLS_PER_SECOND": "0", "KRAKEN_CALLS_PER_SECOND_PER_PAIR": "1"}


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


@pytest.fixture(scope="module", autouse=True)
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an archive, written before all tests: it has to lie for a minute."""
    folder = tmp_path_factory.mktemp("watched")
    now = datetime.now(UTC)
    write_trades(folder / "XBTUSD.csv", made_trades(2, now - timedelta(days=1), now, WATCHED_TRADES))
    return folder


@pytest.fixture
def exchange() -> ReplayExchange:
    """Give three pairs that have traded for most of a day, and trade on."""
    start = datetime.now(UTC) - timedelta(hours=18)
    return ReplayExchange([GeneratedHistory(MARKET_PAIRS[symbol], start) for symbol in (BTC, ETH, DOGE)])


Open = Callable[..., AbstractContextManager[Workshop]]


@pytest.fixture
def shop(installation: Installation, exchange: ReplayExchange, tmp_path: Path) -> Iterator[Open]:
    """Give what opens a workshop with these settings on an empty database."""
    with installation.connect() as connection, connection.cursor() as cursor:
        empty_tables(cursor)
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


def collect(shop: Workshop, *symbols: str) -> None:
    """Fetch the pairs' trades, and wait for their end."""
    for symbol in symbols:
        shop.send("backfill", LONG, symbol=symbol)
    wait_until(lambda: all(shop.states(symbol)[-1:] == ["done"] for symbol in symbols), "the trades")


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


def test_a_backfill_that_somebody_stops_waits_until_somebody_resumes_it(
    shop: Open, exchange: ReplayExchange
) -> None:
    with shop(**SLOWER) as opened, opened.installation.connect() as operator:
        operator.autocommit = True
        backfill_half(opened)
        ((run,),) = opened.installation.fetch("SELECT id FROM sync_runs WHERE kind = 'backfill'")
        operator.execute(query("ask_run_to_stop"), {"run": run, "who": "operator"})
        wait_until(lambda: opened.states(BTC) == ["stopped"], "the end of the run")
        # Neither its own message, nor one that comes twice, nor the look for unfinished ones goes on with it.
        superseded = opened.send("backfill", LONG, symbol=BTC, continues=run)
        wait_until(superseded.ready, "the message that came twice")
        assert superseded.result["state"] == "superseded"
        opened.send("resume_backfills")
        wait_until(lambda: opened.waiting(SHORT) == opened.waiting(LONG) == 0, "an empty queue")
        assert opened.states(BTC) == ["stopped"]
        operator.execute(query("let_run_go_on"), {"run": run})
        opened.send("backfill", LONG, symbol=BTC, continues=run)
        wait_until(lambda: opened.states(BTC) == ["stopped", "done"], "the end of the backfill")
        assert_whole(opened, exchange, BTC)


def test_an_import_that_somebody_stops_is_not_gone_on_with(shop: Open, tmp_path: Path) -> None:
    trades = made_trades(1, datetime.now(UTC) - timedelta(days=3), datetime.now(UTC), 1_000)
    path = write_trades(tmp_path / "XBTUSD.csv", trades)
    runs = "SELECT id, state FROM sync_runs WHERE kind = 'import'"
    with shop() as opened, opened.installation.connect() as operator:
        operator.autocommit = True
        # While another works on the pair, the import waits, and cannot end before it is stopped.
        operator.execute("SELECT pg_advisory_lock(hashtext('krakendata job'), hashtext(%s))", [BTC])
        opened.start_worker()
        result = opened.queue.send_task("krakendata.tasks.import_files", args=[str(path)], queue=LONG)
        wait_until(lambda: opened.installation.fetch(runs), "the beginning of the import")
        ((run, _),) = opened.installation.fetch(runs)
        operator.execute(query("ask_run_to_stop"), {"run": run, "who": "operator"})
        wait_until(result.ready, "the end of the import")
        assert result.result == {"state": "stopped"}
        assert opened.installation.fetch(runs) == [(run, "stopped")]
        assert opened.waiting(LONG) == 0


def test_how_far_a_backfill_is_can_be_seen_while_it_runs(shop: Open) -> None:
    with shop(**SLOW) as opened:
        opened.start_worker()
        result = opened.send("backfill", LONG, symbol=BTC, newest_first=False)
        wait_until(lambda: result.state == "PROGRESS", "the progress")
        told = result.info
        assert told["symbol"] == BTC
        assert 0 < told["done"] == told["stored"] < told["total"]
        wait_until(result.ready, "the end of the backfill")
        assert result.result["stored"] >= told["total"]


def test_a_backfill_of_a_pair_that_is_worked_on_comes_back_to_it(
    shop: Open, exchange: ReplayExchange
) -> None:
    with shop(**UNPACED) as opened, opened.installation.connect() as other:
        other.execute("SELECT pg_advisory_lock(hashtext('krakendata job'), hashtext(%s))", [DOGE])
        worker = opened.start_worker()
        opened.send("backfill", LONG, symbol=DOGE)
        wait_until(lambda: f"gap fill of {DOGE} is at work" in worker.said, "the pair to be found busy")
        assert opened.stored_ids(DOGE) == []
        other.close()
        wait_until(lambda: opened.states(DOGE) == ["done"], "the end of the backfill")
        assert_whole(opened, exchange, DOGE)


def test_what_fails_for_a_time_is_tried_again_and_each_time_later(shop: Open) -> None:
    with shop(**UNPACED) as opened:
        away = urlsplit(opened.installation.url)._replace(netloc=f"nobody:nothing@127.0.0.1:{free_port()}")
        worker = opened.start_worker(DATABASE_URL=away.geturl())
        waits = re.compile(r"retry task=krakendata\.tasks\.refresh_pairs seconds=(\d+)")
        opened.send("refresh_pairs")
        wait_until(lambda: len(waits.findall(worker.said)) == 2, "two tries")
        first, second = map(int, waits.findall(worker.said))
        assert 7 <= first <= 10
        assert 15 <= second <= 20


def test_a_long_backfill_is_done_in_shares(shop: Open, exchange: ReplayExchange) -> None:
    with shop(**SLOW, WORKER_SHARE="1s") as opened:
        opened.start_worker()
        opened.send("backfill", LONG, symbol=BTC)
        wait_until(lambda: "done" in opened.states(BTC), "the end of the backfill")
        *shares, last = opened.states(BTC)
        assert len(shares) >= 2
        # On a busy machine a share's last page can outlast its grace; then it is cancelled, which loses nothing either.
        assert set(shares) <= {"stopped", "interrupted"}
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


def test_an_audit_looks_at_every_pair_in_shares_and_heals_what_differs(shop: Open) -> None:
    with shop(**UNPACED) as opened:
        collector = opened.start_worker(processes=3)
        collect(opened, BTC, DOGE, ETH)
        assert collector.stop() == 0
        ((minute,),) = opened.installation.fetch(
            "UPDATE candles SET volume = volume + 1 WHERE (symbol, timestamp) = (SELECT symbol, timestamp FROM candles "
            "WHERE symbol = %s AND interval_minutes = 1 AND timestamp < now() - interval '1 hour' "
            "ORDER BY timestamp DESC LIMIT 1) RETURNING timestamp",
            ETH,
        )
        opened.start_worker(WORKER_SHARE="1s")
        # So many that every minute is drawn, and the pairs take longer than a share.
        opened.send("audit", LONG, buckets=2_000)
        healed = "SELECT FROM audit_findings WHERE (symbol, interval_minutes, timestamp, healed) = (%s, 1, %s, true)"
        wait_until(lambda: opened.installation.fetch(healed, ETH, minute), "the finding")
        audits = "SELECT state, parameters FROM sync_runs WHERE kind = 'audit' ORDER BY id"
        wait_until(lambda: opened.installation.fetch(audits)[-1][0] != "running", "the end of the audit")
        runs = opened.installation.fetch(audits)
        others = opened.installation.fetch("SELECT symbol FROM audit_findings WHERE symbol <> %s", ETH)
    assert others == []
    assert {facts["by"] for _, facts in runs} == {"worker"}
    pairs = [facts["symbols"] for _, facts in runs]
    assert len(pairs) > 1
    # Each goes on behind the pairs of the one before.
    assert pairs[0] == [BTC, DOGE, ETH]
    for before, after in itertools.pairwise(pairs):
        assert len(after) < len(before)
        assert before[-len(after) :] == after


def test_an_audit_asks_the_exchange_and_waits_for_another_audit_to_end(shop: Open) -> None:
    with shop(**UNPACED) as opened, opened.installation.connect() as other:
        worker = opened.start_worker()
        collect(opened, DOGE)
        other.execute("SELECT pg_advisory_lock(hashtext('krakendata deed'), hashtext('audit'))")
        result = opened.send("audit", LONG)
        wait_until(lambda: "another audit is at work" in worker.said, "the other audit to be noticed")
        assert opened.installation.fetch("SELECT FROM sync_runs WHERE kind = 'audit'") == []
        other.close()
        wait_until(result.ready, "the end of the audit")
    assert result.result["state"] == "done"
    assert result.result["compared"]["exchange"] > 100
    assert result.result["compared"]["trades"] > 10
    assert (result.result["differed"], result.result["healed"]) == (0, 0)


def test_files_are_imported_and_the_rest_after_a_stop(shop: Open, tmp_path: Path) -> None:
    trades = made_trades(1, datetime.now(UTC) - timedelta(days=3), datetime.now(UTC), 60_000)
    path = write_trades(tmp_path / "XBTUSD.csv", trades)
    with shop() as opened:
        worker = opened.start_worker()
        opened.queue.send_task("krakendata.tasks.import_files", args=[str(path)], queue=LONG)
        wait_until(lambda: 0 < opened.rows_read() < len(trades), "a part of the import")
        assert worker.stop() == 0
        assert opened.waiting(LONG) == 1
        part = opened.rows_read()
        opened.start_worker()
        states = "SELECT state, read FROM sync_runs WHERE kind = 'import' ORDER BY id"
        wait_until(lambda: opened.installation.fetch(states)[-1][0] == "done", "the end of the import")
        (first, _), (_, rest) = opened.installation.fetch(states)
        assert first == "stopped"
        assert part + rest == len(trades)
        assert opened.stored_ids(BTC) == [trade.trade_id for trade in trades]


def test_the_watched_folder_is_imported_once_its_files_have_settled(
    shop: Open, watched: Path, exchange: ReplayExchange
) -> None:
    with shop(WATCH_FOLDER=str(watched)) as opened:
        opened.start_worker()
        looks = [opened.send("import_watched_folder", LONG)]

        def has_imported() -> bool:
            if not looks[-1].ready():
                return False
            if looks[-1].result["state"] == "done":
                return True
            looks.append(opened.send("import_watched_folder", LONG))
            return False

        # The files are a minute old by the end of the second wait at the latest.
        with suppress(AssertionError):
            wait_until(has_imported, "a look at settled files")
        wait_until(has_imported, "a look at settled files")
        assert looks[-1].result["stored"] == WATCHED_TRADES
        again = opened.send("import_watched_folder", LONG)
        wait_until(again.ready, "another look")
        assert again.result == {"state": "empty"}
        assert len(opened.stored_ids(BTC)) == WATCHED_TRADES
