"""Backfills of a replayed exchange over a real socket: what is stored in the end is what was traded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from krakendata.candles import fold_trades
from krakendata.gaps import Stretch, gaps_of
from krakendata.ingest.backfill import BackfillProgress, BackfillReport, KrakenTradesBackfill
from krakendata.kraken.rest import KrakenRest
from krakendata.replay.faults import Faults
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH
from tests.archive_files import write_candles
from tests.fix_storage import FENCE, NOW, TRADES_LINE
from tests.fix_trading import LISTED, Replay, history, list_pairs

pytestmark = pytest.mark.django_db(transaction=True)

THIN, BUSY = "BCH/EUR", "DOGE/USD"


async def backfill(replay: Replay, symbol: str, *args: Any, **options: Any) -> BackfillReport:
    (report,) = await KrakenTradesBackfill(**replay.deed(**options)).backfill_symbols([symbol], *args)
    return report


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("since", ["inclusive", "exclusive"])
async def test_a_whole_life_comes_in_folded_and_stored(
    replaying: Callable[..., Any], newest_first: bool, since: str
) -> None:
    pair = history(THIN, absent_every=700, activity=0.5)
    replay = await replaying(pair, faults=Faults(since=since))
    report = await backfill(replay, THIN, None, None, newest_first)
    assert (report.state, report.error) == ("done", "")
    trades = replay.sound(THIN)
    folded = sum(each.timestamp < TRADES_LINE for each in trades)
    assert (report.counts.stored, report.counts.folded) == (len(trades) - folded, folded)
    await replay.assert_held(THIN)
    again = await backfill(replay, THIN)
    assert (again.state, again.counts.read, again.calls) == ("done", 0, 2)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
async def test_an_exchange_that_errs_costs_calls_and_nothing_else(
    replaying: Callable[..., Any], newest_first: bool, seed: int
) -> None:
    faults = Faults(
        seed=seed, rate_limit=0.05, html_520=0.05, unavailable=0.05, truncated=0.05, missing_last=0.1,
        short_page=0.2, repeated_page=0.1, since="mixed", malformed_every=97,
    )  # fmt: skip
    replay = await replaying(history(THIN, seed, absent_every=300, activity=0.4), faults=faults)
    report = await backfill(replay, THIN, None, None, newest_first)
    assert (report.state, report.error) == ("done", "")
    assert report.counts.rejected == len(replay.exchange.malformed_ids(THIN))
    faults.clear()
    faults.malformed_every = 97
    # The newest page may have been an old one: the next look brings what came since.
    await backfill(replay, THIN)
    await replay.assert_held(THIN)


async def test_pairs_side_by_side_do_not_mix(replaying: Callable[..., Any]) -> None:
    week = NOW - timedelta(days=5)
    replay = await replaying(
        history(THIN), history(BUSY, start=week), history("ETH/USD", start=NOW - timedelta(days=1))
    )
    symbols = [THIN, BUSY, "ETH/USD"]
    reports = await KrakenTradesBackfill(**replay.deed(parallel_pairs=2)).backfill_symbols(symbols)
    assert [(each.symbol, each.state) for each in reports] == [(symbol, "done") for symbol in symbols]
    for symbol in symbols:
        await replay.assert_held(symbol)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_from_a_date_on_nothing_before_it_is_asked_for_but_the_trade_that_joins(
    replaying: Callable[..., Any], newest_first: bool
) -> None:
    since = NOW - timedelta(days=20)
    replay = await replaying(history(THIN))
    report = await backfill(replay, THIN, since, None, newest_first)
    assert report.state == "done"
    after = [each for each in replay.sound(THIN) if each.timestamp >= since]
    assert len(after) <= report.counts.stored < len(after) + 300
    ledger = await read_ledger(replay.store.connection, THIN, Stretch(EPOCH, NOW))
    assert gaps_of(ledger, since, NOW - timedelta(seconds=11)) == []
    again = await backfill(replay, THIN, since)
    assert (again.counts.read, again.calls) == (0, 2)


async def test_until_a_date_leaves_the_rest_for_later(replaying: Callable[..., Any]) -> None:
    replay = await replaying(history(THIN, activity=0.5))
    until = FENCE + timedelta(days=30)
    await backfill(replay, THIN, None, until)
    (newest,) = await replay.store.fetch("SELECT max(last_ns) FROM trade_runs")
    assert newest // 1_000_000_000 < (until + timedelta(days=20)).timestamp()
    report = await backfill(replay, THIN)
    assert report.state == "done"
    await replay.assert_held(THIN)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("fence", [FENCE, NOW.replace(hour=0, minute=0, second=0)])
async def test_pieces_that_end_inside_a_minute_replace_given_ones_where_no_trades_are_stored(
    replaying: Callable[..., Any], tmp_path: Path, newest_first: bool, fence: datetime
) -> None:
    midnight = NOW.replace(hour=0, minute=0, second=0)
    replay = await replaying(history(BUSY, start=midnight - timedelta(hours=9), activity=6.0))
    await replay.store.draw_lines(trades=midnight, candles=fence)
    trades = [each for each in replay.sound(BUSY) if each.timestamp < midnight]
    given = [replace(each, trade_count=each.trade_count + 3) for each in fold_trades(trades)]
    await replay.store.import_files(write_candles(tmp_path / "XDGUSD_1.csv", given))
    for place in (len(trades) // 5, len(trades) // 3, len(trades) // 2):
        await backfill(replay, BUSY, None, trades[place].timestamp, newest_first)
    report = await backfill(replay, BUSY, None, None, newest_first)
    assert (report.state, report.error) == ("done", "")
    await replay.assert_held(BUSY)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_pair_that_has_long_been_quiet_comes_in_to_its_last_trade(
    replaying: Callable[..., Any], tmp_path: Path, newest_first: bool
) -> None:
    replay = await replaying(history(THIN, start=FENCE - timedelta(days=3), activity=0.02))
    # A line before which every trade is, the newest of all too.
    monday = NOW.replace(hour=0, minute=0, second=0) + timedelta(days=7)
    await replay.store.draw_lines(trades=monday, candles=FENCE)
    given = [replace(each, trade_count=each.trade_count + 3) for each in fold_trades(replay.sound(THIN))]
    await replay.store.import_files(write_candles(tmp_path / "BCHEUR_1.csv", given))
    report = await backfill(replay, THIN, None, None, newest_first)
    assert (report.state, report.error) == ("done", "")
    await replay.assert_held(THIN)
    again = await backfill(replay, THIN)
    assert (again.state, again.counts.read, again.calls) == ("done", 0, 2)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_stopped_at_any_page_it_goes_on_from_the_ledger(
    replaying: Callable[..., Any], newest_first: bool
) -> None:
    replay = await replaying(history(THIN, activity=0.6, absent_every=500))
    states = []
    for pages in (1, 2, 3, 5, 8, 13, 100):
        asked = iter(range(pages))
        report = await backfill(
            replay, THIN, None, None, newest_first, should_stop=lambda asked=asked: next(asked, None) is None
        )
        states.append(report.state)
        if report.state == "done":
            break
    assert states[0] == "stopped"
    assert states[-1] == "done"
    await replay.assert_held(THIN)


async def test_a_pair_that_was_never_traded_is_known_to_be_empty(replaying: Callable[..., Any]) -> None:
    replay = await replaying(
        history(THIN, start=NOW + timedelta(days=1)), history(BUSY, start=NOW - timedelta(hours=3))
    )
    pair = replay.exchange.histories[THIN]
    pair._start_ns = 0
    report = await backfill(replay, THIN)
    assert (report.state, report.counts.read) == ("done", 0)
    assert await replay.store.fetch("SELECT last_id FROM trade_checks WHERE symbol = %s", THIN) == [0]


async def test_a_pair_that_the_exchange_refuses_fails_alone_with_a_sentence(
    replaying: Callable[..., Any],
) -> None:
    gone = history(THIN, until=NOW - timedelta(days=2))
    replay = await replaying(gone, history(BUSY, start=NOW - timedelta(hours=6)))
    await list_pairs(replay.store, gone.pair, replay.exchange.histories[BUSY].pair)
    failed, done = await KrakenTradesBackfill(**replay.deed()).backfill_symbols([THIN, BUSY])
    assert (failed.state, failed.transient, done.state) == ("failed", False, "done")
    assert "Unknown asset pair" in failed.error
    (error,) = await replay.store.fetch("SELECT last_error FROM data_sync_status WHERE symbol = %s", THIN)
    assert "Unknown asset pair" in error
    await replay.assert_held(BUSY)


async def test_the_run_tells_how_far_it_is(replaying: Callable[..., Any]) -> None:
    replay = await replaying(history(THIN, start=LISTED + timedelta(days=60)))
    seen: list[BackfillProgress] = []
    report = await backfill(replay, THIN, report=seen.append)
    ids = replay.sound(THIN)[-1].trade_id
    assert seen[-1].done == seen[-1].total == ids == report.counts.stored + report.counts.folded
    (run,) = await replay.store.fetch(
        "SELECT kind, state, done, total, unit, stored, parameters ->> 'symbol' FROM sync_runs WHERE id = %s",
        report.run_id,
    )
    assert run == ("backfill", "done", ids, ids, "trades", report.counts.stored, THIN)


async def test_a_second_backfill_of_a_pair_leaves_it_to_the_first(replaying: Callable[..., Any]) -> None:
    replay = await replaying(history(THIN))
    others = []

    async def other() -> None:
        others.append(await backfill(replay, THIN, waits=False))

    tasks: list[asyncio.Task[None]] = []

    def start_other(_progress: BackfillProgress) -> None:
        if not tasks:
            tasks.append(asyncio.create_task(other()))

    report = await backfill(replay, THIN, report=start_other)
    await tasks[0]
    assert (report.state, others[0].state) == ("done", "busy")
    await replay.assert_held(THIN)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_nothing_in_the_database_waits_for_the_exchange(
    replaying: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    replay = await replaying(history(BUSY, start=NOW - timedelta(days=2)))
    ask, waiting = KrakenRest.trades, []

    async def ask_slowly(rest: KrakenRest, pair: str, since: str | None = None) -> Any:
        # Whatever was being written is written by then.
        await asyncio.sleep(0.4)
        waiting.extend(
            await replay.store.fetch(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() "
                "AND state LIKE 'idle in transaction%%' AND state_change < clock_timestamp() - INTERVAL '0.3 s'"
            )
        )
        return await ask(rest, pair, since)

    monkeypatch.setattr(KrakenRest, "trades", ask_slowly)
    report = await backfill(replay, BUSY, None, None, newest_first)
    assert report.state == "done"
    assert report.calls > 3
    assert waiting == []
