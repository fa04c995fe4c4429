"""What is stored, replayed: the same pages and candles as the exchange that it came from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from krakendata.errors import NothingStored
from krakendata.ingest.backfill import KrakenTradesBackfill
from krakendata.replay import stored_history
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.histories import Bar, History, Row
from krakendata.replay.rest import OHLC_MINUTES
from krakendata.replay.server import ReplayServer
from krakendata.replay.stored_history import StoredHistory
from krakendata.storage.pool import Pool
from krakendata.types import NS_PER_MINUTE, NS_PER_SECOND, ns_of
from tests.archive_files import write_lines
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store
from tests.fix_trading import Replay, as_rest_ns, history

pytestmark = pytest.mark.django_db(transaction=True)

THIN = "BCH/EUR"
DAY = timedelta(days=1)
EVER = 2**62
# A moment within a minute, after the line behind which trades are not kept.
MOMENT = NOW - 20 * DAY + timedelta(minutes=11, seconds=40)


@pytest.fixture
async def pool(store: Store) -> AsyncIterator[Pool]:
    found = await Pool(store.database, min_size=1, max_size=2, is_reader=True).open()
    yield found
    await found.close()


@pytest.fixture
async def replay(replaying: Callable[..., Any]) -> Replay:
    """Give an exchange whose thin pair, half a year of it, is stored to the last trade."""
    found: Replay = await replaying(history(THIN, absent_every=300, activity=0.4))
    report = await KrakenTradesBackfill(**found.deed()).backfill_symbol(THIN)
    assert report.state == "done", report
    return found


async def opened(pool: Pool, replay: Replay, *bounds: datetime | None) -> StoredHistory:
    start, end = bounds or (None, None)
    return await StoredHistory.open(pool, replay.exchange.histories[THIN].pair, start, end)


def as_stored(rows: Sequence[Row]) -> list[Row]:
    """Give rows as they are after REST told their times as doubles, and the store cut them to microseconds."""
    return [row._replace(ns=as_rest_ns(row.ns) // 1_000 * 1_000) for row in rows]


def exact(bars: Sequence[Bar]) -> list[tuple[Any, ...]]:
    return [(bar.start_ns, *map(Decimal, bar[1:7]), bar.trade_count, Decimal(bar.turnover)) for bar in bars]


async def test_trades_are_paged_as_the_exchange_paged_them(replay: Replay, pool: Pool) -> None:
    stored, real = await opened(pool, replay), replay.exchange.histories[THIN]
    wanted = as_stored(await real.oldest(ns_of(TRADES_LINE), ns_of(NOW), 100_000))
    found: dict[int, Row] = {}
    since = 0
    while len(page := await stored.oldest(since, EVER, 300)) == 300:
        found |= {row.trade_id: row for row in page}
        since = page[-1].ns
    found |= {row.trade_id: row for row in page}
    assert len(wanted) > 1_000
    assert list(found.values()) == wanted
    assert await stored.newest(0, EVER, 7) == wanted[-7:]
    assert await stored.newest(0, wanted[50].ns, 5) == wanted[45:50]


async def test_small_blocks_answer_alike(replay: Replay, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = await opened(pool, replay)
    whole = await stored.oldest(0, EVER, 100_000)
    monkeypatch.setattr(stored_history, "BLOCK_ROWS", 3)
    for count in (1, 2, 5, 17):
        cut = await opened(pool, replay)
        for place in (0, 10, 500, 10, len(whole) - 3):
            assert await cut.oldest(whole[place].ns, EVER, count) == whole[place : place + count]
            assert await cut.oldest(whole[place].ns, whole[place].ns, count) == []


async def test_candles_are_those_of_the_exchange_at_any_moment(replay: Replay, pool: Pool) -> None:
    stored, real = await opened(pool, replay), replay.exchange.histories[THIN]
    for minutes in OHLC_MINUTES:
        length = minutes * NS_PER_MINUTE
        first = -(-ns_of(TRADES_LINE) // length) * length
        for moment in (MOMENT, MOMENT + timedelta(days=3, hours=5, seconds=41), NOW):
            now = ns_of(moment)
            assert exact(await stored.bars(minutes, first, now)) == exact(
                await real.bars(minutes, first, now)
            )


async def test_behind_the_fence_the_forming_candle_is_made_of_smaller_ones(
    replay: Replay, pool: Pool
) -> None:
    stored, real = await opened(pool, replay), replay.exchange.histories[THIN]
    now = ns_of(FENCE - 2 * DAY + timedelta(hours=17))
    for minutes in (60, 240, 1440, 10080):
        first = now // (minutes * NS_PER_MINUTE) * minutes * NS_PER_MINUTE
        assert exact(await stored.bars(minutes, first, now)) == exact(await real.bars(minutes, first, now))


async def test_a_day_may_begin_at_any_moment(replay: Replay, pool: Pool) -> None:
    stored, real = await opened(pool, replay), replay.exchange.histories[THIN]
    end = ns_of(MOMENT)
    start = end - 1440 * NS_PER_MINUTE
    assert exact(await stored.bars(1440, start, end)) == exact(await real.bars(1440, start, end))


async def test_the_first_trade_is_served_whatever_its_nanosecond(
    store: Store, pool: Pool, tmp_path: Any
) -> None:
    at = int((NOW - 2 * DAY).timestamp())
    lines = [f"{at}.123456789,10.0,1.0,b,l,,1", f"{at + 1}.5,11.0,1.0,s,m,,2"]
    await store.import_files(write_lines(tmp_path / "BCHEUR.csv", lines))
    stored = await StoredHistory.open(pool, history(THIN).pair, None, None)
    assert [row.trade_id for row in await stored.oldest(0, EVER, 10)] == [1, 2]


async def test_where_retention_dropped_the_trades_candles_remain(replay: Replay, pool: Pool) -> None:
    stored, real = await opened(pool, replay), replay.exchange.histories[THIN]
    start, end = ns_of(TRADES_LINE - 30 * DAY), ns_of(TRADES_LINE)
    assert await stored.oldest(start, end, 10) == []
    for minutes in (60, 1440):
        assert exact(await stored.bars(minutes, start, end)) == exact(await real.bars(minutes, start, end))


async def test_late_trades_are_left_out_of_candles(replay: Replay, pool: Pool) -> None:
    stored, real = await opened(pool, replay), replay.exchange.histories[THIN]
    now = ns_of(MOMENT)
    hidden = (await real.newest(0, now, 3))[:2]
    first = now // (1440 * NS_PER_MINUTE) * (1440 * NS_PER_MINUTE)
    shown = await stored.bars(1440, first - 7 * 1440 * NS_PER_MINUTE, now, as_stored(hidden))
    assert exact(shown) == exact(await real.bars(1440, first - 7 * 1440 * NS_PER_MINUTE, now, hidden))


async def test_a_part_of_the_history_is_all_there_is(replay: Replay, pool: Pool) -> None:
    start, end = MOMENT, MOMENT + 3 * DAY
    stored, real = await opened(pool, replay, start, end), replay.exchange.histories[THIN]
    wanted = as_stored(await real.oldest(ns_of(start), ns_of(end), 100_000))
    assert await stored.oldest(0, EVER, 100_000) == wanted
    assert stored.listed_ns == ns_of(start)
    for bounds in ((NOW + DAY, None), (None, datetime.fromisoformat("2014-01-01T00:00Z")), (end, start)):
        with pytest.raises(NothingStored, match="BCH/EUR"):
            await opened(pool, replay, *bounds)


async def test_pairs_that_nothing_is_stored_of_have_no_history(pool: Pool) -> None:
    other: History = history("DOGE/USD")
    with pytest.raises(NothingStored, match="manage.py coverage DOGE/USD"):
        await StoredHistory.open(pool, other.pair, None, None)


async def test_archives_of_candles_are_told_with_a_middle_price(
    store: Store, pool: Pool, tmp_path: Any
) -> None:
    start = NOW.replace(hour=0, minute=0, second=0) - 2 * DAY
    at = int(start.timestamp())
    lines = [f"{at},10.0,14.0,9.0,12.0,2.0,3", f"{at + 300},12.0,12.0,12.0,12.0,1.0,1"]
    await store.import_files(write_lines(tmp_path / "BCHEUR_1.csv", lines))
    await store.refresh()
    stored = await StoredHistory.open(pool, history(THIN).pair, None, None)
    first, second = await stored.bars(1, 0, EVER)
    assert first == (
        ns_of(start),
        "10.00",
        "14.00",
        "9.00",
        "12.00",
        "11.66",
        "2.00000000",
        3,
        first.turnover,
    )
    assert (second.start_ns, second.vwap) == (ns_of(start) + 300 * NS_PER_SECOND, "12.00")


async def test_a_whole_exchange_serves_it(replay: Replay, pool: Pool) -> None:
    stored = await opened(pool, replay)
    exchange = ReplayExchange([stored], ReplayClock(MOMENT, speed=0), faults=Faults(late_every=7))
    async with (
        ReplayServer(exchange) as server,
        httpx.AsyncClient(base_url=server.rest_url, trust_env=False) as web,
    ):
        trades = (await web.get("/0/public/Trades", params={"pair": "BCHEUR", "since": "0"})).json()["result"]
        candles = (await web.get("/0/public/OHLC", params={"pair": "BCHEUR", "interval": 60})).json()[
            "result"
        ]
        ticker = (await web.get("/0/public/Ticker")).json()["result"]
    assert len(trades["BCHEUR"]) == 1_000
    assert len(candles["BCHEUR"]) == 721
    assert Decimal(ticker["BCHEUR"]["c"][0]) > 0
