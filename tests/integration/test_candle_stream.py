"""Streams of candles over a real database: time alone is made up, and whoever writes is the store's own verbs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from psycopg import AsyncConnection

from krakendata import candle_stream
from krakendata.candles import fold_candles, fold_trades
from krakendata.errors import NotConnectedError, StorageRefused, UnknownInterval, UnknownSymbol
from krakendata.gaps import Stretch, coverage_of
from krakendata.historical_provider import HistoricalDataProvider, StreamedCandle
from krakendata.ingest.backfill import KrakenTradesBackfill
from krakendata.ingest.gap_fill import GapFiller
from krakendata.storage import pool
from krakendata.storage.bulk import prepare_writer
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH, Candle, Trade, ns_of
from tests.campaign.servers import open_ground
from tests.editions import find_place
from tests.fix_storage import FENCE, NOW, Store
from tests.fix_trading import PROVEN_BUT_FOR, Replay, history

pytestmark = pytest.mark.django_db(transaction=True)

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BUSY = "DOGE/USD"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again and try again at once: how long a test waits proves nothing."""
    monkeypatch.setattr(candle_stream, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(candle_stream, "FIRST_WAIT", 0.005)
    monkeypatch.setattr(candle_stream, "LONGEST_WAIT", 0.05)


@dataclass
class Clock:
    """Stands still until it is moved, and knows how often it was looked at."""

    now: datetime
    looks: int = 0

    def __call__(self) -> datetime:
        self.looks += 1
        return self.now


@dataclass
class Feed:
    """Writes trades of one pair as collectors do: rows, ledger and checks in one transaction."""

    connection: AsyncConnection[Any] = field(repr=False)
    symbol: str = "BTC/USD"

    async def write(self, *trades: tuple[int, datetime], checked: datetime | None = None) -> None:
        """Trades by id and time, contiguous ones; the price is the id, the volume 2."""
        made = [
            Trade(self.symbol, number, ns_of(moment), Decimal(number), Decimal(2))
            for number, moment in trades
        ]
        if made:
            span = [made[0].timestamp, made[-1].timestamp + SECOND]
            await self.connection.execute("SELECT make_partitions('candles', %s, %s)", span)
        async with self.connection.transaction():
            if made:
                await self._write(made)
            if checked is not None:
                await self.connection.execute(
                    "SELECT record_trade_check(%s, (SELECT max(last_id) FROM trade_runs WHERE symbol = %s), %s)",
                    [self.symbol, self.symbol, ns_of(checked)],
                )

    async def _write(self, trades: list[Trade]) -> None:
        async with self.connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO staged_candles VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (each.symbol, each.timestamp, each.open, each.high, each.low, each.close, each.volume)
                    + (each.turnover, each.trade_count, each.first_id, each.last_id)
                    for each in fold_trades(trades)
                ],
            )
        await self.connection.execute("SELECT merge_staged_candles()")
        await self.connection.execute(
            "SELECT record_trade_run(%s, %s, %s, %s, %s, %s, 'websocket', false, NULL)",
            [self.symbol, trades[0].trade_id, trades[-1].trade_id, trades[0].ns, trades[-1].ns, len(trades)],
        )
        await self.connection.execute("SELECT summarize_sync(%s, 'trades')", [self.symbol])


@dataclass
class Heard:
    """What a stream has given so far."""

    clock: Clock
    listening: asyncio.Task[None]
    items: list[StreamedCandle] = field(default_factory=list)

    async def settled(self) -> list[StreamedCandle]:
        """Wait until the stream has looked at the present twice; give what came since the last time."""
        seen = self.clock.looks
        await until(lambda: self.clock.looks >= seen + 3 or self.listening.done())
        if self.listening.done():
            self.listening.result()
        came, self.items = self.items, []
        return came


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 (what is waited for happens in the code under test, which knows no event)
        await asyncio.sleep(0.002)


@asynccontextmanager
async def hearing(
    provider: HistoricalDataProvider, clock: Clock, interval: str = "1m", **options: Any
) -> AsyncIterator[Heard]:
    async def listen() -> None:
        async with aclosing(provider.stream_candles("BTC/USD", interval, **options)) as stream:
            async for each in stream:
                heard.items.append(each)

    heard = Heard(clock, asyncio.create_task(listen()))
    try:
        yield heard
    finally:
        heard.listening.cancel()
        await asyncio.wait([heard.listening])


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def feed(store: Store) -> Feed:
    return Feed(store.connection)


@pytest.fixture
async def provider(store: Store, clock: Clock) -> AsyncIterator[HistoricalDataProvider]:
    async with HistoricalDataProvider(store.database, clock=clock) as connected:
        yield connected


def told(items: list[StreamedCandle]) -> list[tuple[str, int, str]]:
    """The start, the number of trades, and the flags."""
    return [
        (
            f"{each.candle.timestamp:%H:%M}",
            each.candle.trade_count,
            " ".join(word for word in ("proven", "forming", "late") if getattr(each, f"is_{word}")),
        )
        for each in items
    ]


def every(step: timedelta, start: datetime, count: int, first_id: int = 1) -> Iterator[tuple[int, datetime]]:
    return ((first_id + n, start + n * step) for n in range(count))


# --- from the past to the present ---------------------------------------------------------------------------


async def test_history_comes_first_and_then_each_candle_once(
    provider: HistoricalDataProvider, feed: Feed, clock: Clock
) -> None:
    start = NOW - 10 * MINUTE
    await feed.write(*every(20 * SECOND, start, 30), checked=NOW)
    async with hearing(provider, clock, history=3, patience=None) as heard:
        assert told(await heard.settled()) == [
            ("12:31", 3, "proven"), ("12:32", 3, "proven"), ("12:33", 3, "proven")
        ]  # fmt: skip
        clock.now = NOW + 4 * MINUTE
        assert await heard.settled() == []
        await feed.write(*every(60 * SECOND, NOW, 4, first_id=31), checked=clock.now)
        assert told(await heard.settled()) == [
            ("12:34", 2, "proven"), ("12:35", 1, "proven"), ("12:36", 1, "proven"), ("12:37", 1, "proven")
        ]  # fmt: skip
        assert await heard.settled() == []


async def test_without_history_it_begins_with_the_candle_that_is_open(
    provider: HistoricalDataProvider, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(20 * SECOND, NOW - 10 * MINUTE, 30), checked=NOW)
    async with hearing(provider, clock) as heard:
        assert await heard.settled() == []
        clock.now += MINUTE
        await feed.write(checked=clock.now)
        assert told(await heard.settled()) == [("12:34", 1, "proven")]


async def test_the_candles_are_those_that_the_provider_answers(
    provider: HistoricalDataProvider, store: Store, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(7 * MINUTE, FENCE - 20 * DAY, 5_000), checked=NOW)
    await store.refresh()
    for interval in ("1m", "5m", "1h", "4h", "1d", "1w"):
        asked = await provider.get_latest_candles("BTC/USD", interval, 30)
        async with hearing(provider, clock, interval, history=30) as heard:
            assert [each.candle for each in await heard.settled()] == list(asked)


@pytest.mark.parametrize(("interval", "step"), [("1d", DAY), ("1w", 7 * DAY)])
async def test_days_and_weeks_close_when_they_do(
    interval: str, step: timedelta, provider: HistoricalDataProvider, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(HOUR, NOW - 3 * step, 72), checked=NOW)
    async with hearing(provider, clock, interval, history=1, patience=None) as heard:
        await heard.settled()
        clock.now = datetime.fromisoformat("2025-12-01T00:00:30Z") if interval == "1w" else NOW + DAY
        await feed.write((73, NOW + HOUR), checked=clock.now)
        (closed,) = await heard.settled()
        assert closed.candle.timestamp == datetime.fromisoformat("2025-11-24T00:00Z")
        assert (closed.is_proven, closed.candle.last_id) == (True, 73)


async def test_a_rollup_refreshed_before_the_last_trades_came_does_not_spoil_a_candle(
    provider: HistoricalDataProvider, store: Store, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(MINUTE, NOW - HOUR, 60), checked=NOW)
    async with hearing(provider, clock, "5m") as heard:
        await heard.settled()
        # 12:30 to 12:35 is over, and another pair's import refreshes before the feed writes its last trades.
        clock.now = NOW + 35 * SECOND
        await store.refresh(clock.now)
        await feed.write(*every(SECOND, NOW + 20 * SECOND, 4, first_id=61), checked=clock.now)
        (closed,) = await heard.settled()
        assert (closed.is_proven, closed.candle.last_id, closed.candle.trade_count) == (True, 64, 8)


async def test_what_collectors_bring_is_streamed_as_the_exchange_has_it(
    replaying: Callable[..., Any],
) -> None:
    replay: Replay = await replaying(history(BUSY, start=NOW - 2 * DAY, absent_every=500))
    await KrakenTradesBackfill(**replay.deed()).backfill_symbol(BUSY)
    clock = Clock(NOW)
    heard: dict[str, list[StreamedCandle]] = {"1m": [], "5m": [], "1h": []}
    async with HistoricalDataProvider(replay.store.database, max_size=2, clock=clock) as provider:

        async def listen(interval: str) -> None:
            stream = provider.stream_candles(BUSY, interval, history=20, patience=None)
            async with aclosing(stream):
                async for each in stream:
                    heard[interval].append(each)

        tasks = [asyncio.create_task(listen(interval)) for interval in heard]
        await until(lambda: all(len(items) >= 20 for items in heard.values()))
        for step in (3 * MINUTE, 47 * MINUTE, 2 * HOUR, 13 * HOUR, 2 * MINUTE + 5 * SECOND):
            replay.exchange.clock.advance(step)
            clock.now = replay.now
            (report,) = await GapFiller(**replay.deed()).fill_all_gaps([BUSY])
            assert report.state == "done"
        # The last candle that ends a second before what REST has proven.
        proven = replay.now - PROVEN_BUT_FOR
        truths = {
            interval: [
                each for each in fold_candles(fold_trades(replay.sound(BUSY)), interval) if each.end <= proven
            ]
            for interval in heard
        }
        await until(
            lambda: (
                any(task.done() for task in tasks)
                or all(
                    heard[interval][-1].candle.timestamp >= truth[-1].timestamp
                    for interval, truth in truths.items()
                )
            )
        )
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for interval, items in heard.items():
        candles = [(each.candle.timestamp, each.candle.close, each.candle.last_id) for each in items]
        truth = [(each.timestamp, each.close, each.last_id) for each in truths[interval]]
        assert candles == truth[truth.index(candles[0]) :]
        assert {(each.is_proven, each.is_late) for each in items} == {(True, False)}


# --- what is not proven -------------------------------------------------------------------------------------


async def test_a_hole_is_waited_for_then_given_as_it_is_and_its_truth_comes_late(
    provider: HistoricalDataProvider, store: Store, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(10 * SECOND, NOW - 5 * MINUTE, 30), checked=NOW)
    async with hearing(provider, clock, "5m") as heard:
        await heard.settled()
        clock.now = NOW + 45 * SECOND
        await feed.write((41, NOW + 40 * SECOND))
        assert await heard.settled() == []
        clock.now = NOW + 90 * SECOND
        assert told(await heard.settled()) == [("12:30", 27, "")]
        await store.refresh(clock.now)
        await feed.write(*every(3 * SECOND, NOW, 10, first_id=31))
        assert told(await heard.settled()) == [("12:30", 37, "proven late")]
        assert await heard.settled() == []


async def test_minutes_of_candles_alone_come_when_patience_ends(
    provider: HistoricalDataProvider, store: Store, clock: Clock
) -> None:
    minute = NOW.replace(second=0)
    await store.stage([("BTC/USD", minute, 1, 3, 1, 2, 5, None, 4, None, None, True)])
    await store.connection.execute(
        "SELECT record_candle_run('BTC/USD', 1, %s, %s, 1), summarize_sync('BTC/USD', 'candles')",
        [minute, minute],
    )
    async with hearing(provider, clock, patience=30 * SECOND) as heard:
        await heard.settled()
        clock.now = NOW + 59 * SECOND
        assert await heard.settled() == []
        clock.now = NOW + MINUTE
        assert told(await heard.settled()) == [("12:34", 4, "")]


async def test_without_an_end_of_patience_a_candle_is_waited_for(
    provider: HistoricalDataProvider, feed: Feed, clock: Clock
) -> None:
    await feed.write((1, NOW - MINUTE), (2, NOW))
    async with hearing(provider, clock, patience=None) as heard:
        await heard.settled()
        clock.now = NOW + 3 * DAY
        assert await heard.settled() == []
        await feed.write((3, NOW + SECOND), checked=clock.now)
        assert told(await heard.settled()) == [("12:34", 2, "proven")]


async def test_a_late_fill_changes_what_was_in_doubt_and_not_what_was_proven(
    provider: HistoricalDataProvider, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(20 * SECOND, NOW - 10 * MINUTE, 31, first_id=1000), checked=NOW)
    async with hearing(provider, clock, "5m", history=5) as heard:
        assert told(await heard.settled()) == [("12:20", 2, ""), ("12:25", 15, "proven")]
        await feed.write(*every(20 * SECOND, NOW - 15 * MINUTE, 15, first_id=985))
        assert told(await heard.settled()) == [("12:20", 15, "proven late")]
        assert await heard.settled() == []


async def test_the_fence_may_move_between_two_looks(
    provider: HistoricalDataProvider, store: Store, feed: Feed, clock: Clock
) -> None:
    start = NOW - 40 * DAY
    await feed.write(*every(HOUR, start, 240))
    await feed.write(*every(HOUR, NOW - 25 * DAY, 600, first_id=500), checked=NOW)
    async with hearing(provider, clock, "1d", history=100) as heard:
        past = await heard.settled()
        assert [each.candle.timestamp for each in past if not each.is_proven][-1] < NOW - 24 * DAY
        await store.refresh()
        await store.retain(candles_days=20)
        (fence,) = await store.fetch("SELECT candles_fence()")
        assert fence > NOW - 25 * DAY
        assert await heard.settled() == []
        # The hole is filled below the fence, and a day ends above it.
        await feed.write(*every(27 * MINUTE, start + 240 * HOUR, 259, first_id=241))
        clock.now = NOW + DAY
        await feed.write(checked=clock.now)
        came = await heard.settled()
        assert [each.candle.timestamp for each in came if not each.is_late] == [
            NOW.replace(hour=0, minute=0, second=0)
        ]
        late = {each.candle.timestamp: each for each in came if each.is_late}
        asked = await provider.get_candles("BTC/USD", "1d", min(late), fence)
        assert [late[each.timestamp].candle for each in asked if each.timestamp in late] == [
            each for each in asked if each.timestamp in late
        ]
        assert all(each.is_proven for each in late.values())


# --- forming ------------------------------------------------------------------------------------------------


async def test_the_open_candle_comes_whenever_it_has_changed_and_then_closed(
    provider: HistoricalDataProvider, feed: Feed, clock: Clock
) -> None:
    await feed.write((1, NOW - MINUTE), (2, NOW), checked=NOW)
    async with hearing(provider, clock, forming=True, history=1) as heard:
        assert told(await heard.settled()) == [("12:33", 1, "proven"), ("12:34", 1, "forming")]
        assert await heard.settled() == []
        await feed.write((3, NOW + SECOND))
        assert told(await heard.settled()) == [("12:34", 2, "forming")]
        # Closed, and not proven yet: no candle comes before it.
        clock.now = NOW + 31 * SECOND
        await feed.write((4, NOW + 29 * SECOND), (5, NOW + 30 * SECOND))
        assert told(await heard.settled()) == [("12:34", 3, "forming")]
        await feed.write(checked=NOW + 32 * SECOND)
        assert told(await heard.settled()) == [("12:34", 3, "proven"), ("12:35", 1, "forming")]


# --- who listens, and who is away ---------------------------------------------------------------------------


async def test_what_is_asked_wrongly_is_refused_at_the_call(
    provider: HistoricalDataProvider, store: Store, clock: Clock
) -> None:
    with pytest.raises(NotConnectedError):
        HistoricalDataProvider(store.database).stream_candles("BTC/USD", "1m")
    with pytest.raises(UnknownInterval):
        provider.stream_candles("BTC/USD", "7m")
    with pytest.raises(UnknownSymbol):
        provider.stream_candles("btc/usd", "1m")
    with pytest.raises(ValueError, match="at least 0"):
        provider.stream_candles("BTC/USD", "1m", history=-1)
    with pytest.raises(ValueError, match="at least 0"):
        provider.stream_candles("BTC/USD", "1m", patience=-SECOND)
    with pytest.raises(UnknownSymbol):
        await anext(provider.stream_candles("NOT/HERE", "1m"))


async def test_a_provider_that_is_closed_ends_its_streams(store: Store, feed: Feed, clock: Clock) -> None:
    await feed.write((1, NOW))
    provider = HistoricalDataProvider(store.database, clock=clock)
    await provider.connect()
    async with hearing(provider, clock) as heard:
        await heard.settled()
        await provider.close()
        with pytest.raises(NotConnectedError):
            await heard.listening


async def test_what_the_database_refuses_is_raised(
    provider: HistoricalDataProvider, store: Store, feed: Feed, clock: Clock
) -> None:
    await feed.write((1, NOW))
    async with hearing(provider, clock) as heard:
        await heard.settled()
        await store.connection.execute("ALTER TABLE trade_checks RENAME TO checks_elsewhere")
        try:
            clock.now += HOUR
            with pytest.raises(StorageRefused):
                await heard.listening
        finally:
            await store.connection.execute("ALTER TABLE checks_elsewhere RENAME TO trade_checks")


@pytest.mark.parametrize("how", ["closed", "left", "cancelled"])
async def test_a_stream_that_ends_leaves_nothing_behind(
    how: str, store: Store, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(20 * SECOND, NOW - 10 * MINUTE, 30), checked=NOW)
    async with HistoricalDataProvider(store.database, min_size=2, max_size=2, clock=clock) as provider:
        before = asyncio.all_tasks()
        if how == "cancelled":
            async with hearing(provider, clock, history=5) as heard:
                await heard.settled()
        else:
            async with aclosing(provider.stream_candles("BTC/USD", "1m", 5)) as stream:
                async for _ in stream:
                    if how == "left":
                        break
                    await stream.aclose()
        assert asyncio.all_tasks() == before
        # Both connections can be had at once.
        answers = (provider.get_latest_candles("BTC/USD", "1m", 2) for _ in range(2))
        assert [len(each) for each in await asyncio.gather(*answers)] == [2, 2]


async def test_many_streams_share_two_connections_with_who_asks(
    store: Store, feed: Feed, clock: Clock
) -> None:
    await feed.write(*every(20 * SECOND, NOW - 10 * MINUTE, 30), checked=NOW)
    async with HistoricalDataProvider(store.database, min_size=2, max_size=2, clock=clock) as provider:
        async with asyncio.TaskGroup() as group:
            streams = [provider.stream_candles("BTC/USD", "1m", 2, forming=True) for _ in range(30)]
            firsts = [group.create_task(anext(stream)) for stream in streams]
            asked = [group.create_task(provider.get_latest_candles("BTC/USD", "1m", 3)) for _ in range(30)]
        assert {told([task.result()])[0][0] for task in firsts} == {"12:32"}
        assert {len(task.result()) for task in asked} == {3}
        for stream in streams:
            await stream.aclose()


@pytest.mark.slow
async def test_a_stream_outlives_a_restart_and_a_crash_of_the_database(
    edition: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.5)
    place = find_place(edition)
    assert not isinstance(place, str)
    clock = Clock(NOW)
    caplog.set_level("INFO", logger="krakendata.candle_stream")

    def said() -> list[str]:
        """The first word of each of the stream's own messages; the pool has its own."""
        return [
            each.getMessage().split()[0] for each in caplog.records if each.name == candle_stream.__name__
        ]

    with open_ground(place) as ground:

        async def write(*trades: tuple[int, datetime]) -> None:
            address = arguments_from_url(ground.url)
            async with await AsyncConnection.connect(**address, autocommit=True) as connection:
                await prepare_writer(connection)
                await Feed(connection).write(*trades, checked=clock.now)

        await write(*every(20 * SECOND, NOW - 10 * MINUTE, 30))
        async with (
            HistoricalDataProvider(ground.url, clock=clock) as provider,
            hearing(provider, clock, history=1, forming=True) as heard,
        ):
            assert told(await heard.settled()) == [("12:33", 3, "proven"), ("12:34", 1, "forming")]
            for number, is_crash in ((31, False), (32, True)):
                ground.postgres.stop(*([signal.SIGQUIT] if is_crash else []))
                clock.now += 10 * MINUTE
                await until(lambda: len(said()) % 2 == 1)
                ground.postgres.start()
                # It is back before its writers are: they have patience's time from now.
                await until(lambda: len(said()) % 2 == 0)
                assert await heard.settled() == []
                await write((number, clock.now - 9 * MINUTE))
                closed = [each for each in await heard.settled() if not each.is_forming]
                assert {(each.is_proven, each.is_late) for each in closed} == {(True, False)}
    assert said() == ["wait", "resume", "wait", "resume"]


# --- what a look reads --------------------------------------------------------------------------------------


async def test_the_ledger_around_a_stretch_judges_it_as_the_whole_ledger_does(store: Store) -> None:
    chance, number, moment = Random(4), 1, NOW - 3 * DAY
    for _ in range(120):
        last, end = number + chance.randrange(5), moment + chance.randrange(1, 900) * SECOND
        await store.connection.execute(
            "INSERT INTO trade_runs VALUES (%s, %s, %s, %s, %s, %s, 'rest', true)",
            ["BTC/USD", number, last, ns_of(moment), ns_of(end), last - number + 1],
        )
        number, moment = last + 1 + chance.randrange(3), end + chance.randrange(-1, 900) * SECOND
        if number > last + 1 and chance.random() < 0.7:
            await store.connection.execute(
                "INSERT INTO answered_ids VALUES ('BTC/USD', %s, %s, 'absent')", [last + 1, number - 1]
            )
    await store.connection.execute(
        "SELECT record_candle_run('BTC/USD', 1, %s, %s, 9), record_candle_run('BTC/USD', 1, %s, %s, 9), "
        "record_trade_check('BTC/USD', %s, %s)",
        [NOW - 3 * DAY, NOW - 2 * DAY, NOW - DAY, NOW, last, ns_of(moment + HOUR)],
    )
    everything = await read_ledger(store.connection, "BTC/USD", Stretch(EPOCH, NOW + DAY))
    for _ in range(200):
        start = NOW - 4 * DAY + chance.randrange(5 * 86_400) * SECOND
        asked = Stretch(start, start + chance.randrange(1, 40_000) * SECOND)
        around = await read_ledger(store.connection, "BTC/USD", asked)
        assert coverage_of(asked, around) == coverage_of(asked, everything)


# --- what the documentation shows ---------------------------------------------------------------------------

HOW_TO = Path(__file__).parents[2] / "docs/how-to/stream-candles.md"


async def test_the_bot_of_the_how_to_warms_up_and_acts_on_what_is_new(
    provider: HistoricalDataProvider, feed: Feed, clock: Clock
) -> None:
    names: dict[str, Any] = {}
    exec(HOW_TO.read_text(encoding="utf-8").split("```python")[1].split("```")[0], names)  # noqa: S102
    orders: list[tuple[str, str]] = []

    async def act(side: str, candle: Candle) -> None:
        orders.append((side, f"{candle.timestamp:%H:%M}"))

    await feed.write(*every(MINUTE, NOW - 60 * MINUTE, 60), checked=NOW)
    bot = asyncio.create_task(names["follow"](provider, clock, act))
    heard = Heard(clock, bot)
    await heard.settled()
    # Prices rise with the ids; the last of the past is new enough to act on.
    assert orders == [("buy", "12:33")]
    clock.now += MINUTE
    await feed.write((61, NOW), checked=clock.now)
    await heard.settled()
    assert orders == [("buy", "12:33"), ("buy", "12:34")]
    bot.cancel()
    await asyncio.wait([bot])


async def test_the_loop_of_the_reference_runs(
    provider: HistoricalDataProvider, feed: Feed, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    await feed.write(*every(HOUR, NOW - 3 * HOUR, 4), checked=NOW)
    text = (HOW_TO.parents[1] / "reference/provider.md").read_text(encoding="utf-8")
    code = text.split("## Streamed candles")[1].split("```python")[1].split("```")[0]
    names: dict[str, Any] = {"aclosing": aclosing, "provider": provider}
    exec("async def show():" + code.replace("\n", "\n    "), names)  # noqa: S102
    shown = asyncio.create_task(names["show"]())
    await Heard(clock, shown).settled()
    shown.cancel()
    await asyncio.wait([shown])
    assert capsys.readouterr().out.splitlines()[-1] == "2025-11-24 11:00:00+00:00 3 True"
