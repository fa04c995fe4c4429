"""Markets of one pair by the seed, written by the store's own verbs, on both sides of the fence.

Exact trades with holes between them, archives without ids, candles that were given, days of an archive, ids that the
exchange lacks, late trades that no refresh has seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from krakendata.gaps import CandleRun, IdRange, Ledger, TradeCheck, TradeRun
from krakendata.types import HistoricalCandle, Trade, archive_trade_id, ns_of
from tests.fix_storage import FENCE, Store
from tests.reference_reads import Truth

SYMBOL = "BTC/USD"
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NS_PER_SECOND = 10**9
# Days before the first line to days behind it, in the middle of a day, an hour, five minutes.
BEGINNING, NOW = FENCE - 12 * DAY, FENCE + 24 * DAY + timedelta(hours=9, minutes=37, seconds=21)
TRADES_LINE = FENCE + timedelta(days=7)
LATER_FENCE = FENCE + timedelta(days=14)
DAY_PRICES = Decimal(3), Decimal(9), Decimal(1), Decimal(4)
KINDS = ("exact", "exact", "exact", "hole", "archive", "given")


@dataclass
class Market:
    """What there is to write, and the truth about it."""

    early: list[Trade] = field(default_factory=list)
    late: list[Trade] = field(default_factory=list)
    archives: list[list[Trade]] = field(default_factory=list)
    given: list[list[HistoricalCandle]] = field(default_factory=list)
    days: list[HistoricalCandle] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    check: TradeCheck | None = None
    fence: datetime = FENCE
    is_refreshed_last: bool = False

    @property
    def exact(self) -> list[Trade]:
        return sorted([*self.early, *self.late], key=lambda trade: trade.trade_id)

    def truth(self) -> Truth:
        trades = [*self.exact, *(trade for archive in self.archives for trade in archive)]
        minutes = {minute.timestamp: minute for part in self.given for minute in part}
        minutes |= {start: minute_of(start, inside) for start, inside in by_minute(trades).items()}
        candle_runs = [CandleRun(1, part[0].timestamp, part[-1].timestamp) for part in self.given]
        if self.days:
            candle_runs.append(CandleRun(1440, self.days[0].timestamp, self.days[-1].timestamp))
        runs = [*runs_of(self.exact), *(whole_run(archive) for archive in self.archives)]
        return Truth(
            SYMBOL,
            self.fence,
            TRADES_LINE,
            NOW,
            minutes,
            {day.timestamp: day for day in self.days},
            [trade for trade in trades if trade.timestamp >= TRADES_LINE],
            Ledger(
                tuple(runs),
                tuple(IdRange(number, number) for number in self.absent),
                tuple(candle_runs),
                self.check,
            ),
        )


def made_market(seed: int) -> Market:
    chance = random.Random(seed)
    market = Market(is_refreshed_last=seed % 3 == 0, fence=LATER_FENCE if seed % 4 == 3 else FENCE)
    traded = list(_trades(chance))
    for kind, start, end in _segments(chance):
        inside = [trade for trade in traded if start <= trade.timestamp < end]
        if kind == "exact":
            for trade in inside:
                part = chance.choices(["early", "late", "absent"], [85, 12, 3])[0]
                if part == "absent":
                    market.absent.append(trade.trade_id)
                else:
                    (market.late if part == "late" else market.early).append(trade)
        elif kind == "archive" and inside:
            market.archives.append(_without_ids(inside))
        elif kind == "given" and inside:
            market.given.append([_given(each) for each in minutes_of(inside)])
    # Answers beside no trade that is held say nothing of a time.
    market.days = _days(chance)
    if market.exact and seed % 2:
        last = market.exact[-1]
        market.check = TradeCheck(last.trade_id, min(last.ns + chance.randrange(10**15), ns_of(NOW)))
    return market


def _segments(chance: random.Random) -> Iterator[tuple[str, datetime, datetime]]:
    """Stretches on multiples of five minutes: below the fence a row of five minutes is of one kind."""
    count = int((NOW - BEGINNING) / (5 * MINUTE))
    cuts = sorted({0, count + 1, *(chance.randrange(count) for _ in range(chance.randrange(5, 16)))})
    for first, last in pairwise(cuts):
        yield chance.choice(KINDS), BEGINNING + first * 5 * MINUTE, BEGINNING + last * 5 * MINUTE


def _trades(chance: random.Random) -> Iterator[Trade]:
    """All of the exchange, in bursts; ids rise with the minutes, and not always within one."""
    moments: set[int] = set()
    for _ in range(chance.randrange(15, 60)):
        ns = int(chance.uniform(ns_of(BEGINNING), ns_of(NOW)))
        for _ in range(chance.randrange(1, 40)):
            ns += int(chance.expovariate(1 / 10 ** chance.uniform(9, 12.5)))
            moments.add(ns // 1000 * 1000)
    times = sorted(ns for ns in moments if ns < ns_of(NOW))
    first_id = chance.choice([1, 1001])
    ids = list(range(first_id, first_id + len(times)))
    for place in range(1, len(ids)):
        is_one_minute = times[place] // (60 * NS_PER_SECOND) == times[place - 1] // (60 * NS_PER_SECOND)
        if is_one_minute and chance.random() < 0.3:
            ids[place - 1], ids[place] = ids[place], ids[place - 1]
    for number, ns in zip(ids, times, strict=True):
        price = Decimal(chance.randrange(1, 10**7)).scaleb(-chance.randrange(1, 5))
        volume = Decimal(chance.randrange(1, 10**9)).scaleb(-8)
        yield Trade(SYMBOL, number, ns, price, volume, chance.choice(["buy", "sell"]), "limit")


def _without_ids(trades: Sequence[Trade]) -> list[Trade]:
    """As an archive of three columns tells them: whole seconds."""
    told: list[Trade] = []
    ordinals: dict[int, int] = {}
    for trade in trades:
        second = trade.ns // NS_PER_SECOND
        ordinal = ordinals.get(second, 0)
        ordinals[second] = ordinal + 1
        number = archive_trade_id(second, ordinal)
        told.append(Trade(SYMBOL, number, second * NS_PER_SECOND, trade.price, trade.volume))
    return told


def _given(minute: HistoricalCandle) -> HistoricalCandle:
    """As an archive of candles tells it."""
    prices = minute.open, minute.high, minute.low, minute.close
    return HistoricalCandle(SYMBOL, 1, minute.timestamp, *prices, minute.volume, None, minute.trade_count)


def _days(chance: random.Random) -> list[HistoricalCandle]:
    first = chance.randrange(40)
    return [
        HistoricalCandle(SYMBOL, 1440, BEGINNING + n * DAY, *DAY_PRICES, Decimal(7), None, 5)
        for n in range(first, min(first + chance.randrange(12), 36))
        if chance.random() < 0.9
    ]


def by_minute(trades: Iterable[Trade]) -> dict[datetime, list[Trade]]:
    minutes: dict[datetime, list[Trade]] = {}
    for trade in trades:
        minutes.setdefault(trade.timestamp.replace(second=0, microsecond=0), []).append(trade)
    return minutes


def minutes_of(trades: Iterable[Trade]) -> list[HistoricalCandle]:
    return [minute_of(start, inside) for start, inside in sorted(by_minute(trades).items())]


def minute_of(start: datetime, trades: Sequence[Trade]) -> HistoricalCandle:
    """The trades of one minute, by id."""
    ordered = sorted(trades, key=lambda trade: trade.trade_id)
    prices = [trade.price for trade in ordered]
    return HistoricalCandle(
        SYMBOL, 1, start, prices[0], max(prices), min(prices), prices[-1],
        sum((trade.volume for trade in ordered), Decimal(0)),
        sum((trade.price * trade.volume for trade in ordered), Decimal(0)),
        len(ordered), ordered[0].trade_id, ordered[-1].trade_id,
    )  # fmt: skip


def runs_of(trades: Sequence[Trade]) -> list[TradeRun]:
    """The runs of ids without a step, of trades in the order of their ids."""
    runs: list[TradeRun] = []
    for trade in trades:
        if runs and runs[-1].last_id + 1 == trade.trade_id:
            runs[-1] = runs[-1]._replace(last_id=trade.trade_id, last_ns=trade.ns)
        else:
            runs.append(TradeRun(trade.trade_id, trade.trade_id, trade.ns, trade.ns))
    return runs


def whole_run(trades: Sequence[Trade]) -> TradeRun:
    return TradeRun(trades[0].trade_id, trades[-1].trade_id, trades[0].ns, trades[-1].ns)


async def write_market(store: Store, market: Market) -> None:
    """Write it as collectors do: early, refreshed, late, refreshed again or not; then the fence moves, or does not."""
    await store.draw_lines(trades=TRADES_LINE, candles=FENCE)
    for relation, line in (("trades", TRADES_LINE), ("candles", FENCE)):
        await store.connection.execute("SELECT make_partitions(%s, %s, %s)", [relation, line, NOW + DAY])
    await write_trades(store, sorted(market.early, key=lambda trade: trade.trade_id))
    for archive in market.archives:
        await _write_minutes(store, minutes_of(archive))
        await _write_rows(store, archive)
        await _record(store, whole_run(archive), len(archive), "archive")
    for part in market.given:
        await _write_minutes(store, part)
        span = [part[0].timestamp, part[-1].timestamp]
        await store.fetch("SELECT record_candle_run(%s, 1, %s, %s, %s)", SYMBOL, *span, len(part))
    if market.days:
        await _write_minutes(store, market.days, "merge_coarse_candles(1440)")
        span = [market.days[0].timestamp, market.days[-1].timestamp]
        await store.fetch("SELECT record_candle_run(%s, 1440, %s, %s, %s)", SYMBOL, *span, len(market.days))
    for number in market.absent:
        await store.connection.execute(
            "INSERT INTO answered_ids VALUES (%s, %s, %s, 'absent')", [SYMBOL, number, number]
        )
    await store.refresh(NOW)
    await write_trades(store, sorted(market.late, key=lambda trade: trade.trade_id))
    if market.is_refreshed_last:
        await store.refresh(NOW)
    if market.check is not None:
        await store.fetch("SELECT record_trade_check(%s, %s, %s)", SYMBOL, *market.check)
    if market.fence > FENCE:
        await store.retain(NOW, trades_days=0, candles_days=(NOW - market.fence).days)
        assert await store.fetch("SELECT candles_fence()") == [market.fence]


async def write_trades(store: Store, trades: Sequence[Trade]) -> None:
    await _write_minutes(store, minutes_of(trades))
    await _write_rows(store, trades)
    for run in runs_of(trades):
        await _record(store, run, run.last_id - run.first_id + 1, "rest")


async def _write_minutes(
    store: Store, candles: Sequence[HistoricalCandle], verb: str = "merge_staged_candles()"
) -> None:
    if not candles:
        return
    async with store.connection.transaction(), store.connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO staged_candles VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (each.symbol, each.timestamp, each.open, each.high, each.low, each.close, each.volume)
                + (each.turnover, each.trade_count, each.first_id, each.last_id)
                for each in candles
            ],
        )
        await store.connection.execute(f"SELECT {verb}")


async def _write_rows(store: Store, trades: Sequence[Trade]) -> None:
    rows = [trade for trade in trades if trade.timestamp >= TRADES_LINE]
    if rows:
        async with store.connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO trades VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        SYMBOL,
                        each.timestamp,
                        each.trade_id,
                        each.price,
                        each.volume,
                        each.side,
                        each.order_type,
                    )
                    for each in rows
                ],
            )


async def _record(store: Store, run: TradeRun, trades: int, source: str) -> None:
    await store.fetch(
        "SELECT record_trade_run(%s, %s, %s, %s, %s, %s, %s, false, NULL)", SYMBOL, *run, trades, source
    )
