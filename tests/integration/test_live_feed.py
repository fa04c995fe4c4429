"""The feed against the replay exchange: what is traded is held, whatever the socket loses, says twice or says wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from krakendata.gaps import Stretch, coverage_of
from krakendata.ingest.backfill import KrakenTradesBackfill
from krakendata.ingest.gap_fill import GapFiller
from krakendata.ingest.pair_list import track_pairs, untrack_pairs
from krakendata.replay.faults import Faults
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH
from tests.campaign.calm import let_settle
from tests.fix_feed import Feeding, feeding, wait_until
from tests.fix_storage import NOW
from tests.fix_trading import Replay, history

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("hasty_feed"),
]

BTC, ETH, THIN = "BTC/USD", "ETH/USD", "BCH/EUR"
EARLIER = NOW - timedelta(hours=3)

Replaying = Callable[..., Any]


async def backfilled(replaying: Replaying, *symbols: str, **options: Any) -> Replay:
    """An exchange of these pairs, all of whose past is held."""
    replay: Replay = await replaying(*(history(symbol, start=EARLIER) for symbol in symbols), **options)
    for symbol in symbols:
        report = await KrakenTradesBackfill(**replay.deed()).backfill_symbol(symbol)
        assert report.state == "done", report
    return replay


async def settled(replay: Replay, *symbols: str) -> None:
    """Long after, nothing is late any more: the schedule has looked after the pairs, and all is as it has to be."""
    replay.exchange.faults.change({"late_every": 0})
    let_settle(replay, symbols)
    for _ in range(2):
        reports = await GapFiller(**replay.deed()).fill_all_gaps(symbols)
        assert [each.state for each in reports] == ["done"] * len(reports), reports
    for symbol in symbols:
        await replay.assert_held(symbol)


async def test_what_is_traded_is_heard_and_held(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC, ETH)
    async with feeding(replay, track=(BTC, ETH)) as feed:
        await _listening(feed, BTC, ETH)
        calls = replay.exchange.calls["Trades"]
        await feed.trade(BTC, ETH, minutes=30)
        # Nothing was missed, so REST was not asked.
        assert replay.exchange.calls["Trades"] == calls
        assert await feed.holes(BTC) == await feed.holes(ETH) == []
        rows = await replay.store.fetch("SELECT count(*) FROM trade_runs WHERE source = 'websocket'")
        assert rows == [2]
        assert feed.writer.statistics.trades.stored > 20
        assert feed.writer.statistics.trades.dropped == 0
    await settled(replay, BTC, ETH)


async def test_quiet_is_proven_by_listening(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC)
    async with feeding(replay, track=(BTC,)) as feed:
        await _listening(feed, BTC)
        await feed.trade(BTC, minutes=3)
        calls = replay.exchange.calls["Trades"]
        newest = replay.sound(BTC)[-1].timestamp
        replay.exchange.clock.speed = 1

        async def is_proven() -> bool:
            # By the exchange's own clock, which its answers to pings tell.
            now = replay.now
            ledger = await read_ledger(replay.store.connection, BTC, Stretch(EPOCH, now))
            asked = Stretch(newest, newest + timedelta(microseconds=1))
            check = ledger.check
            return bool(
                check
                and coverage_of(asked, ledger).is_proven
                and check.last_id == replay.sound(BTC)[-1].trade_id
            )

        await wait_until(is_proven, "the proof")
        assert replay.exchange.calls["Trades"] == calls


async def test_what_was_traded_while_the_feed_was_away_comes_with_it(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC)
    # More than a snapshot tells.
    replay.exchange.clock.advance(timedelta(hours=3))
    async with feeding(replay, track=(BTC,)) as feed:
        await _listening(feed, BTC)
        await feed.caught_up(BTC)

        async def is_whole() -> bool:
            return await feed.holes(BTC) == []

        await wait_until(is_whole, "the repair")
        await wait_until(lambda: feed.feed.statistics.repaired == 1, "its count")
    await settled(replay, BTC)


@pytest.mark.parametrize(
    "faults",
    [
        {"socket_drop": 0.05},
        {"socket_duplicate": 0.5},
        {"malformed_every": 15},
        {"late_every": 20, "late_seconds": 40},
        {"socket_drop": 0.03, "socket_duplicate": 0.2, "malformed_every": 40, "late_every": 50},
    ],
    ids=lambda faults: "+".join(faults),
)
async def test_faults_of_the_socket_cost_nothing(replaying: Replaying, faults: dict[str, Any]) -> None:
    lasting = {name: value for name, value in faults.items() if name in ("malformed_every", "late_every")}
    replay = await backfilled(replaying, BTC, ETH, faults=Faults(seed=7, **lasting))
    replay.exchange.faults.change(faults)
    async with feeding(replay, track=(BTC, ETH)) as feed:
        await feed.trade(minutes=60, speed=600)
        replay.exchange.faults.clear()
        replay.exchange.faults.change(lasting)
        for symbol in (BTC, ETH):
            await feed.caught_up(symbol)
        counts = feed.writer.statistics.trades
    assert counts.received == counts.stored + counts.duplicate + counts.rejected + counts.dropped
    assert counts.dropped == 0
    if "socket_drop" in faults:
        assert feed.feed.statistics.disconnections > 0
    if "socket_duplicate" in faults:
        assert counts.duplicate > 0
    if "malformed_every" in faults:
        assert counts.rejected > 0
        kept = await replay.store.fetch("SELECT count(*) FROM rejected_records WHERE source = 'websocket'")
        assert kept == [counts.rejected]
    await settled(replay, BTC, ETH)


async def test_a_silent_socket_is_left_and_what_it_kept_to_itself_comes(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC)
    async with feeding(replay, track=(BTC,)) as feed:
        await _listening(feed, BTC)
        replay.exchange.faults.change({"socket_silence": 1.0})
        await feed.trade(minutes=20)
        replay.exchange.faults.clear()
        await wait_until(lambda: feed.feed.statistics.connections > 1, "another connection")
        await feed.caught_up(BTC)
    await settled(replay, BTC)


async def test_what_was_heard_when_the_feed_is_asked_to_end_is_handed_on(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC)
    takes = asyncio.Event()
    taken: list[Any] = []

    async def take_slowly(message: dict[str, Any]) -> None:
        await takes.wait()
        taken.extend(message["elements"])

    async with feeding(replay, track=(BTC,), deliver=take_slowly) as feed:
        await _listening(feed, BTC)
        await feed.trade(minutes=10)
        await asyncio.sleep(0.3)
        asyncio.get_running_loop().call_later(0.3, takes.set)
    newest = replay.sound(BTC)[-1].trade_id
    ids = [each["trade_id"] for each in taken]
    assert ids == list(range(ids[0], newest + 1))


async def test_two_feeds_of_the_same_pairs_cost_nothing(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC, ETH)
    async with feeding(replay, track=(BTC, ETH), name="one") as one, feeding(replay, name="two") as two:
        await _listening(one, BTC, ETH)
        await _listening(two, BTC, ETH)
        await one.trade(BTC, ETH, minutes=30)
    stored = one.writer.statistics.trades.stored + two.writer.statistics.trades.stored
    ((rows,),) = [
        await replay.store.fetch("SELECT sum(trades)::int FROM trade_runs WHERE source = 'websocket'")
    ]
    assert stored == rows
    names = await replay.store.fetch("SELECT name FROM feed_sessions ORDER BY name")
    assert names == ["one", "two"]
    rates = await replay.store.fetch("SELECT (statistics ->> 'trades_per_second')::float8 FROM feed_sessions")
    assert all(rate >= 0 for rate in rates)
    assert await replay.store.fetch("SELECT count(*) FROM feed_sessions WHERE ended_at IS NULL") == [0]
    await settled(replay, BTC, ETH)


async def test_pairs_are_followed_without_a_new_connection(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC, ETH)
    async with feeding(replay, track=(BTC,)) as feed:
        await _listening(feed, BTC)
        await track_pairs(replay.store.database, [ETH])
        await untrack_pairs(replay.store.database, [BTC])
        await _listening(feed, ETH)
        await feed.trade(ETH, minutes=20)
        assert feed.feed.statistics.connections == 1
        assert feed.feed.listening == {ETH}


async def test_a_refused_symbol_hurts_no_other(replaying: Replaying) -> None:
    replay = await backfilled(replaying, BTC)
    await replay.store.connection.execute(
        "INSERT INTO pairs (symbol, key, altname, wsname, base, quote, status, price_decimals, volume_decimals, "
        "tracked) VALUES ('NO/SUCH', 'NOSUCH', 'NOSUCH', 'NO/SUCH', 'NO', 'SUCH', 'online', 1, 8, true)"
    )
    async with feeding(replay, track=(BTC,)) as feed:
        await wait_until(lambda: feed.feed.statistics.refused == 1, "the refusal")
        await feed.trade(BTC, minutes=20)
    await settled(replay, BTC)


async def test_a_pair_may_be_kept_by_its_candles_alone(replaying: Replaying) -> None:
    replay: Replay = await replaying(history(BTC, start=EARLIER))
    await track_pairs(replay.store.database, [BTC], candles_only=True)
    async with feeding(replay) as feed:
        await _listening(feed, BTC)
        await feed.trade(minutes=30)
        await wait_until(lambda: feed.writer.statistics.candles.stored > 5, "candles")
    assert await replay.store.fetch("SELECT count(*) FROM trades") == [0]
    # The feed was there for half an hour; what was before it and since, the schedule brings, again as candles alone.
    (report,) = await GapFiller(**replay.deed()).fill_all_gaps()
    assert (report.state, report.trades.read) == ("done", 0)
    replay.exchange.clock.advance(timedelta(minutes=5))
    (report,) = await GapFiller(**replay.deed()).fill_all_gaps()
    assert report.state == "done"
    candles = await replay.store.candles("1m")
    closed = [each for each in candles if each.end <= replay.now - timedelta(minutes=1)]
    whole = {each.timestamp: each for each in _minutes(replay)}
    assert len(closed) > 20
    for each in closed:
        assert each.first_id is None
        wanted = whole[each.timestamp]
        assert (each.open, each.high, each.low, each.close, each.volume, each.trade_count) == (
            wanted.open, wanted.high, wanted.low, wanted.close, wanted.volume, wanted.trade_count,
        )  # fmt: skip
    ledger = await read_ledger(replay.store.connection, BTC, Stretch(EPOCH, replay.now))
    asked = Stretch(closed[0].timestamp, closed[-1].end)
    coverage = coverage_of(asked, ledger)
    assert not coverage.holes
    assert not coverage.proven


def _minutes(replay: Replay) -> list[Any]:
    from krakendata.candles import fold_trades

    return fold_trades(replay.exchange.trades(BTC))


async def _listening(feed: Feeding, *symbols: str) -> None:
    """Wait until the feed hears these."""
    await wait_until(lambda: feed.feed.listening == frozenset(symbols), "the list of pairs")
    await wait_until(lambda: feed.feed.subscribed == {*symbols}, "the subscriptions")
