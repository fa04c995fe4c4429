"""Gaps of a replayed exchange, found in the ledger and filled: which are due, with what, and what is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from krakendata.gaps import Stretch, coverage_of, gaps_of
from krakendata.ingest.backfill import KrakenTradesBackfill
from krakendata.ingest.gap_fill import SHORT_GAP, GapFiller, GapProgress, GapReport
from krakendata.replay.faults import Faults
from krakendata.replay.generated_market import THIN
from krakendata.replay.histories import GeneratedHistory
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH, Trade
from tests.fix_storage import NOW, TRADES_LINE
from tests.fix_trading import PROVEN_BUT_FOR, Replay, history, list_pairs

pytestmark = pytest.mark.django_db(transaction=True)

BUSY, OTHER, THIRD = "DOGE/USD", "ETH/USD", "BCH/EUR"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DAYS_BACK = NOW - timedelta(days=4)
# Enough trades in an hour that a gap of some hours is more than one page.
LIVELY = 6.0


def busy(symbol: str = BUSY, **options: Any) -> GeneratedHistory:
    return history(symbol, start=DAYS_BACK, **options)


async def collect(replay: Replay, since: datetime | None = None, until: datetime | None = None) -> None:
    reports = await KrakenTradesBackfill(**replay.deed()).backfill_symbols(
        list(replay.exchange.histories), since, until
    )
    assert {report.state for report in reports} == {"done"}


async def fill(
    replay: Replay, *symbols: str, before_beginning: bool = False, **options: Any
) -> list[GapReport]:
    """Fill the gaps of these pairs, or of all there are."""
    filler = GapFiller(**replay.deed(**options))
    return await filler.fill_all_gaps(
        symbols or list(replay.exchange.histories), before_beginning=before_beginning
    )


async def runs(replay: Replay) -> list[str]:
    return await replay.store.fetch("SELECT state FROM sync_runs WHERE kind = 'gap_fill' ORDER BY id")


async def is_proven(replay: Replay, symbol: str, start: datetime, end: datetime) -> bool:
    asked = Stretch(start, end)
    return coverage_of(asked, await read_ledger(replay.store.connection, symbol, asked)).is_proven


async def minutes_of(replay: Replay, symbol: str) -> dict[datetime, tuple[int, int | None]]:
    """The stored minutes: how many trades, and the first one's id (None: a candle of OHLC's)."""
    rows = await replay.store.fetch(
        "SELECT timestamp, trade_count, first_id FROM candles WHERE symbol = %s ORDER BY 1", symbol
    )
    return {start: (count, first_id) for start, count, first_id in rows}


def traded(trades: Sequence[Trade], start: datetime, end: datetime) -> set[datetime]:
    """The minutes between two times in which something was traded."""
    return {
        each.timestamp.replace(second=0, microsecond=0) for each in trades if start <= each.timestamp < end
    }


# --- the tail ------------------------------------------------------------------------------------------------


async def test_a_tail_is_a_gap_once_it_is_two_minutes_old(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy())
    await collect(replay)
    calls = replay.exchange.calls["Trades"]
    # What is proven ends ten seconds before the question.
    replay.exchange.clock.advance(timedelta(seconds=105))
    (young,) = await fill(replay)
    assert (young.state, young.gaps, replay.exchange.calls["Trades"]) == ("done", 0, calls)
    replay.exchange.clock.advance(timedelta(seconds=10))
    (due,) = await fill(replay)
    assert (due.state, due.gaps, replay.exchange.calls["Trades"]) == ("done", 1, calls + 1)
    await replay.assert_held(BUSY)


async def test_the_usual_tail_leaves_no_run_behind(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy())
    await collect(replay)
    for _ in range(3):
        replay.exchange.clock.advance(5 * MINUTE)
        (report,) = await fill(replay)
        assert (report.state, report.gaps, report.candles) == ("done", 1, 0)
    assert await runs(replay) == []
    await replay.assert_held(BUSY)


async def test_a_rejected_trade_of_the_usual_tail_is_kept_with_a_run(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(), faults=Faults(malformed_every=20))
    await collect(replay)
    replay.exchange.clock.advance(HOUR)
    (report,) = await fill(replay)
    assert report.trades.rejected > 0
    assert await runs(replay) == ["done"]


async def test_a_quiet_pair_has_no_gap(replaying: Callable[..., Any]) -> None:
    quiet = GeneratedHistory(THIN, NOW - timedelta(days=20))
    replay = await replaying(quiet)
    await collect(replay)
    held = len(replay.sound(THIN.symbol))
    for step in (3 * MINUTE, HOUR, 7 * HOUR, 2 * MINUTE, DAY):
        replay.exchange.clock.advance(step)
        (report,) = await fill(replay)
        assert report.state == "done"
        ledger = await read_ledger(replay.store.connection, THIN.symbol, Stretch(EPOCH, replay.now))
        assert gaps_of(ledger, None, replay.now - PROVEN_BUT_FOR) == []
        assert await is_proven(replay, THIN.symbol, EPOCH, replay.now - PROVEN_BUT_FOR)
    assert await runs(replay) == []
    assert await replay.store.fetch("SELECT FROM answered_ids") == []
    assert len(replay.sound(THIN.symbol)) > held
    await replay.assert_held(THIN.symbol)


# --- inside, and before the beginning ------------------------------------------------------------------------


async def test_holes_inside_are_found_and_filled(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    await collect(replay, until=DAYS_BACK + HOUR)
    await collect(replay, DAYS_BACK + 30 * HOUR, DAYS_BACK + 31 * HOUR)
    await collect(replay, NOW - 6 * HOUR)
    (report,) = await fill(replay)
    assert (report.state, report.gaps) == ("done", 2)
    assert await runs(replay) == ["done"]
    await replay.assert_held(BUSY)
    (again,) = await fill(replay)
    assert (again.gaps, again.trades.read) == (0, 0)


async def test_a_gap_that_cannot_be_filled_is_told_and_begins_no_run(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    # So young that it may be late: it is not called absent.
    hidden = replay.sound(BUSY)[-3].trade_id
    original = replay.rest.trades

    async def trades(pair: str, since: str | None = None) -> Any:
        answer = await original(pair, since)
        rows = tuple(row for row in answer.page.rows if row[-1] != hidden)
        return answer._replace(page=answer.page._replace(rows=rows))

    replay.rest.trades = trades
    await collect(replay)
    for _ in range(2):
        (report,) = await fill(replay)
        assert (report.state, report.gaps, report.left, report.trades.stored) == ("done", 1, 1, 0)
    assert await runs(replay) == []


async def test_what_is_before_the_beginning_is_filled_when_asked_for(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    await collect(replay, NOW - 6 * HOUR)
    (report,) = await fill(replay)
    assert (report.state, report.gaps) == ("done", 0)
    (asked,) = await fill(replay, before_beginning=True)
    assert (asked.state, asked.gaps) == ("done", 1)
    await replay.assert_held(BUSY)


async def test_a_pair_of_which_nothing_is_held_is_left_to_a_backfill_unless_asked_for(
    replaying: Callable[..., Any],
) -> None:
    replay = await replaying(busy())
    assert [(each.state, each.gaps) for each in await fill(replay)] == [("done", 0)]
    assert replay.exchange.calls["Trades"] == 0
    assert [(each.state, each.gaps) for each in await fill(replay, before_beginning=True)] == [("done", 1)]
    await replay.assert_held(BUSY)


async def test_what_retention_dropped_is_no_gap(replaying: Callable[..., Any]) -> None:
    replay = await replaying(history(THIRD, activity=0.3))
    await collect(replay)
    await replay.store.retain(trades_days=30)
    dropped = [each for each in replay.sound(THIRD) if each.timestamp >= TRADES_LINE]
    (stored,) = await replay.store.fetch("SELECT count(*) FROM trades")
    assert stored < len(dropped)
    calls = replay.exchange.calls["Trades"]
    assert [(each.state, each.gaps) for each in await fill(replay, before_beginning=True)] == [("done", 0)]
    assert replay.exchange.calls["Trades"] == calls


async def test_one_gap_is_filled_between_two_times_and_no_other(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    await collect(replay, until=DAYS_BACK + HOUR)
    await collect(replay, NOW - HOUR)
    start, end = NOW - 30 * HOUR, NOW - 28 * HOUR
    report = await GapFiller(**replay.deed()).fill_gap(BUSY, start, end)
    assert (report.state, report.gaps) == ("done", 1)
    assert await is_proven(replay, BUSY, start, end)
    assert not await is_proven(replay, BUSY, DAYS_BACK + 2 * HOUR, NOW - 40 * HOUR)


# --- candles first -------------------------------------------------------------------------------------------


async def test_a_short_gap_gets_candles_at_once_and_its_trades_then(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    begins = NOW - 8 * HOUR
    await collect(replay, until=begins)
    held = max(each for each in await minutes_of(replay, BUSY))
    at_once: dict[datetime, tuple[int, int | None]] = {}

    async def look() -> None:
        at_once.update(await minutes_of(replay, BUSY))
        asked = Stretch(held + 2 * MINUTE, NOW - 2 * MINUTE)
        coverage = coverage_of(asked, await read_ledger(replay.store.connection, BUSY, asked))
        assert (coverage.is_proven, coverage.is_complete) == (False, True)

    looks: list[asyncio.Task[None]] = []

    def report(progress: GapProgress) -> None:
        if "at once" in progress.message:
            looks.append(asyncio.create_task(look()))

    # Nothing is written while the test looks: the exchange's next answer waits for it.
    original = replay.rest.trades

    async def trades(*arguments: Any) -> Any:
        await asyncio.gather(*looks)
        return await original(*arguments)

    replay.rest.trades = trades
    (found,) = await fill(replay, report=report)
    forming = NOW.replace(second=0, microsecond=0)
    given = {start for start, (_, first_id) in at_once.items() if first_id is None}
    assert len(looks) == 1
    assert found.candles == len(given) > 100
    # Closed minutes with trades, and nothing else: neither the forming one nor those without trades.
    everything = traded(replay.sound(BUSY), held + MINUTE, forming)
    assert everything <= given <= everything | {held}
    assert forming not in at_once
    # In the end every one of them is built from its trades.
    assert all(first_id is not None for _, first_id in (await minutes_of(replay, BUSY)).values())
    await replay.assert_held(BUSY)


async def test_a_gap_of_twelve_hours_or_more_is_filled_by_trades_alone(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    await collect(replay, until=NOW - SHORT_GAP - 8 * HOUR)
    (report,) = await fill(replay)
    assert (report.state, report.gaps, report.candles) == ("done", 1, 0)
    assert replay.exchange.calls["OHLC"] == 0
    await replay.assert_held(BUSY)


async def test_a_short_gap_that_candles_do_not_reach_is_filled_by_trades_alone(
    replaying: Callable[..., Any],
) -> None:
    replay = await replaying(busy(activity=LIVELY))
    await collect(replay, until=NOW - 40 * HOUR)
    await collect(replay, NOW - 34 * HOUR)
    (report,) = await fill(replay)
    assert (report.state, report.gaps, report.candles) == ("done", 1, 0)
    assert replay.exchange.calls["OHLC"] == 0
    await replay.assert_held(BUSY)


async def test_a_gap_of_one_page_is_filled_by_that_page(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy())
    await collect(replay, until=NOW - 5 * HOUR)
    calls = replay.exchange.calls["Trades"]
    (report,) = await fill(replay)
    assert (report.state, report.gaps, report.candles) == ("done", 1, 0)
    assert (replay.exchange.calls["OHLC"], replay.exchange.calls["Trades"]) == (0, calls + 1)
    await replay.assert_held(BUSY)


@pytest.mark.parametrize("seconds", [65, 120])
async def test_the_last_minute_of_a_fill_is_built_from_its_trades_once_it_is_known_to_be_whole(
    replaying: Callable[..., Any], seconds: int
) -> None:
    """Known by the exchange's word that nothing came after it, ten seconds later, or by the trade that did."""
    lately = history(BUSY, start=NOW - 14 * HOUR, activity=4)
    replay = await replaying(lately)
    # A minute that has closed is the last one in which anything was traded.
    minutes = sorted(traded(replay.sound(BUSY), NOW - HOUR, NOW))
    last = next(one for one, other in pairwise(minutes) if other - one > 2 * MINUTE)
    await collect(replay, until=NOW - 13 * HOUR)
    replay.exchange.clock.set(last + timedelta(seconds=seconds))
    (report,) = await fill(replay)
    assert report.candles > 0
    is_built = (await minutes_of(replay, BUSY))[last][1] is not None
    assert is_built == (seconds >= 70)
    replay.exchange.clock.set(NOW)
    await fill(replay)
    assert (await minutes_of(replay, BUSY))[last][1] is not None
    await replay.assert_held(BUSY)


async def test_candles_of_trades_that_are_refused_do_not_stay(replaying: Callable[..., Any]) -> None:
    """The exchange's candle counts a malformed trade, ours lacks it: what is left is what the sound trades say."""
    lately = history(BUSY, start=NOW - 12 * HOUR, activity=4)
    replay = await replaying(lately, faults=Faults(malformed_every=5))
    await collect(replay, until=NOW - 11 * HOUR)
    (report,) = await fill(replay)
    assert report.candles > 0
    await replay.assert_held(BUSY)


# --- several pairs -------------------------------------------------------------------------------------------


async def test_a_pair_that_fails_stops_no_other_and_is_reported(replaying: Callable[..., Any]) -> None:
    gone = busy(until=NOW + HOUR)
    replay = await replaying(gone, busy(OTHER), busy(THIRD))
    await collect(replay)
    replay.exchange.clock.advance(2 * HOUR)
    await list_pairs(replay.store, gone.pair, *replay.exchange.listed())
    reports = {each.symbol: each for each in await fill(replay, concurrency=1)}
    assert {symbol: each.state for symbol, each in reports.items()} == {
        BUSY: "failed", OTHER: "done", THIRD: "done",
    }  # fmt: skip
    assert "Unknown asset pair" in reports[BUSY].error
    assert not reports[BUSY].transient
    errors = await replay.store.fetch("SELECT symbol FROM data_sync_status WHERE last_error <> ''")
    assert errors == [BUSY]
    for symbol in (OTHER, THIRD):
        await replay.assert_held(symbol)


async def test_a_pair_whose_name_is_anothers_today_stops_no_other(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(), busy(OTHER))
    await replay.store.connection.execute(
        "UPDATE pairs SET status = 'delisted', altname = (SELECT altname FROM pairs WHERE symbol = %s) "
        "WHERE symbol = %s",
        [OTHER, BUSY],
    )
    backfills = await KrakenTradesBackfill(**replay.deed()).backfill_symbols([BUSY, OTHER])
    fills = await fill(replay, BUSY, OTHER, before_beginning=True)
    for refused, other in (backfills, fills):
        assert (refused.state, refused.transient, other.state) == ("failed", False, "done")
        assert OTHER in refused.error
    await replay.assert_held(OTHER)


async def test_an_exchange_in_maintenance_is_a_failure_that_another_try_may_mend(
    replaying: Callable[..., Any],
) -> None:
    replay = await replaying(busy())
    await collect(replay)
    replay.exchange.clock.advance(HOUR)
    replay.exchange.faults.maintenance = True
    (report,) = await fill(replay)
    assert (report.state, report.transient) == ("failed", True)
    replay.exchange.faults.maintenance = False
    assert [each.state for each in await fill(replay)] == ["done"]
    await replay.assert_held(BUSY)


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_no_more_pairs_are_filled_side_by_side_than_allowed(
    replaying: Callable[..., Any], concurrency: int
) -> None:
    replay = await replaying(busy(), busy(OTHER), busy(THIRD))
    await collect(replay)
    replay.exchange.clock.advance(HOUR)
    asking: set[str] = set()
    most = 0
    # The first ones wait for each other, so that whoever may ask at the same time does.
    met: set[str] = set()
    meeting = asyncio.Barrier(concurrency)
    original = replay.rest.trades

    async def trades(pair: str, *since: Any) -> Any:
        nonlocal most
        asking.add(pair)
        most = max(most, len(asking))
        try:
            if len(met) < concurrency and pair not in met:
                met.add(pair)
                await meeting.wait()
            return await original(pair, *since)
        finally:
            asking.discard(pair)

    replay.rest.trades = trades
    reports = await fill(replay, concurrency=concurrency)
    assert [each.gaps for each in reports] == [1, 1, 1]
    assert most == concurrency


async def test_a_pair_that_is_backfilled_is_left_to_the_backfill(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    found: list[GapReport] = []
    tasks: list[asyncio.Task[None]] = []

    async def other() -> None:
        found.extend(await fill(replay, before_beginning=True))

    def begin(_progress: object) -> None:
        if not tasks:
            tasks.append(asyncio.create_task(other()))

    await KrakenTradesBackfill(**replay.deed(report=begin)).backfill_symbol(BUSY)
    await tasks[0]
    assert [each.state for each in found] == ["busy"]
    await replay.assert_held(BUSY)


async def test_asked_to_stop_it_keeps_what_it_has_and_goes_on_the_next_time(
    replaying: Callable[..., Any],
) -> None:
    replay = await replaying(busy(activity=LIVELY))
    await collect(replay, until=DAYS_BACK + HOUR)
    pages = iter(range(6))
    (report,) = await fill(replay, should_stop=lambda: next(pages, None) is None)
    assert report.state == "stopped"
    assert await runs(replay) == ["stopped"]
    (rest,) = await fill(replay)
    assert (rest.state, rest.gaps) == ("done", 1)
    assert await runs(replay) == ["stopped", "done"]
    await replay.assert_held(BUSY)


async def test_every_page_that_came_before_it_was_stopped_is_kept(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(activity=LIVELY))
    await collect(replay, until=DAYS_BACK + HOUR)
    shown: list[int] = []
    original = replay.rest.trades

    async def trades(pair: str, since: str | None = None) -> Any:
        answer = await original(pair, since)
        if since is not None:
            shown.extend(row[-1] for row in answer.page.rows)
        return answer

    replay.rest.trades = trades
    pages = iter(range(7))
    await fill(replay, should_stop=lambda: next(pages, None) is None)
    assert await replay.store.fetch("SELECT max(trade_id) FROM trades") == [max(shown)]


async def test_a_pair_that_is_tracked_from_after_its_newest_trade_on_is_kept_complete(
    replaying: Callable[..., Any],
) -> None:
    quiet = GeneratedHistory(THIN, NOW - timedelta(days=20))
    replay = await replaying(quiet)
    since = replay.sound(THIN.symbol)[-1].timestamp + 30 * MINUTE
    replay.exchange.clock.set(since + MINUTE)
    await collect(replay, since)
    await replay.store.connection.execute("UPDATE pairs SET tracked = true, tracked_since = %s", [since])
    replay.exchange.clock.advance(5 * DAY)
    (report,) = await GapFiller(**replay.deed()).fill_all_gaps()
    assert (report.state, report.gaps) == ("done", 1)
    assert await is_proven(replay, THIN.symbol, since, replay.now - PROVEN_BUT_FOR)


async def test_without_names_the_tracked_pairs_are_filled(replaying: Callable[..., Any]) -> None:
    replay = await replaying(busy(), busy(OTHER))
    await collect(replay)
    await replay.store.connection.execute("UPDATE pairs SET tracked = true WHERE symbol = %s", [OTHER])
    replay.exchange.clock.advance(HOUR)
    reports = await GapFiller(**replay.deed()).fill_all_gaps()
    assert [(each.symbol, each.state, each.gaps) for each in reports] == [(OTHER, "done", 1)]
