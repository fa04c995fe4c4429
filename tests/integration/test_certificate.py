"""The certificate of a real database: imports, holes, retention, candles alone; as table, CSV and JSON."""

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from krakendata.certificate import Certificate, DayState
from krakendata.gaps import IdRange, TradeCheck
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.storage.bulk import Block, write_block
from krakendata.storage.ledger import read_lines
from krakendata.types import Trade, ns_of
from tests.archive_files import made_minutes, made_trades, write_candles, write_idless, write_trades
from tests.fix_history import History
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
PROVEN, HOLE = DayState.PROVEN, DayState.EXCHANGE_HOLE
PROVISIONAL, MISSING = DayState.PROVISIONAL, DayState.MISSING


async def certificate(
    store: Store, *bounds: datetime, symbol: str = "BTC/USD", now: datetime = NOW
) -> Certificate:
    async with HistoricalDataProvider(store.database, clock=lambda: now) as provider:
        return await provider.get_certificate(symbol, *bounds)


async def answer(store: Store, absent: Sequence[IdRange] = (), check: TradeCheck | None = None) -> None:
    lines = await read_lines(store.connection)
    await write_block(store.connection, Block("BTC/USD", lines, 0, absent=absent, check=check), None, 0)


def days_of(trades: Sequence[Trade]) -> dict[str, tuple[int, int, int]]:
    """First id, last id and count by day."""
    found: dict[str, list[int]] = {}
    for trade in trades:
        found.setdefault(f"{trade.timestamp:%Y-%m-%d}", []).append(trade.trade_id)
    return {day: (min(ids), max(ids), len(ids)) for day, ids in found.items()}


def told(found: Certificate) -> dict[str, tuple[int | None, int | None, int]]:
    return {f"{day.day}": (day.first_id, day.last_id, day.trades) for day in found.days if day.trades}


async def test_every_day_of_an_import_on_both_sides_of_both_lines_is_proven(
    store: Store, tmp_path: Path
) -> None:
    trades = made_trades(1, FENCE - 10 * DAY, NOW, 900)
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    await answer(store, check=TradeCheck(900, ns_of(NOW) - 10**9))
    found = await certificate(store)
    assert found.counts[PROVEN] == len(found.days) == (NOW.date() - trades[0].timestamp.date()).days + 1
    assert told(found) == days_of(trades)
    assert all(after.day - before.day == DAY for before, after in pairwise(found.days))
    assert (found.ids_before, found.days[-1].until) == (0, NOW - timedelta(seconds=1))


async def test_what_retention_drops_stays_proven(store: Store, tmp_path: Path) -> None:
    trades = made_trades(2, FENCE, NOW, 500)
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    before = await certificate(store)
    await store.draw_lines(trades=TRADES_LINE, candles=FENCE)
    await store.retain(now=NOW, trades_days=7, candles_days=14)
    (stored,) = await store.fetch("SELECT count(*) FROM trades")
    assert stored < 100
    after = await certificate(store)
    assert after == before
    assert told(after) == days_of(trades)


async def test_a_hole_is_missing_until_the_exchange_says_that_it_is_its_own(
    store: Store, tmp_path: Path
) -> None:
    trades = made_trades(3, TRADES_LINE, TRADES_LINE + 6 * DAY, 600)
    middle = [trade for trade in trades if trade.timestamp.day == 4]
    gone = middle[10:20]
    held = [trade for trade in trades if trade not in gone]
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", held))
    now = trades[-1].timestamp + timedelta(seconds=30)
    found = await certificate(store, now=now)
    assert [day.state for day in found.days] == [PROVEN] * 3 + [MISSING] + [PROVEN] * 2
    assert (found.days[3].missing_ids, found.days[3].unaccounted) == (10, 0)
    assert found.days[3].missing == gone_for(middle)
    await answer(store, absent=[IdRange(gone[0].trade_id, gone[-1].trade_id)])
    found = await certificate(store, now=now)
    assert [day.state for day in found.days] == [PROVEN] * 3 + [HOLE] + [PROVEN] * 2
    assert (found.days[3].absent, found.days[3].missing_ids, found.days[3].trades) == (
        10,
        0,
        len(middle) - 10,
    )


def gone_for(middle: Sequence[Trade]) -> timedelta:
    return middle[20].timestamp - middle[9].timestamp


async def test_days_nobody_collected_are_not_empty_ones(store: Store, tmp_path: Path) -> None:
    first = made_trades(4, TRADES_LINE, TRADES_LINE + DAY, 50, first_id=7)
    quiet = made_trades(5, TRADES_LINE + 3 * DAY, TRADES_LINE + 4 * DAY, 50, first_id=57)
    later = made_trades(6, TRADES_LINE + 6 * DAY, TRADES_LINE + 7 * DAY, 50, first_id=157)
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", [*first, *quiet, *later]))
    found = await certificate(store, now=later[-1].timestamp)
    # The first day begins with id 7; ids 107 to 156 lie somewhere between the fourth and the seventh.
    assert [day.state for day in found.days] == [MISSING, PROVEN, PROVEN, MISSING, MISSING, MISSING, MISSING]
    assert [day.trades for day in found.days] == [50, 0, 0, 50, 0, 0, 50]
    assert found.ids_before == 6


async def test_candles_alone_and_trades_without_ids_are_provisional(store: Store, tmp_path: Path) -> None:
    week = TRADES_LINE + 7 * DAY
    minutes = made_minutes(TRADES_LINE, TRADES_LINE + 2 * DAY)
    hours = made_minutes(TRADES_LINE + 2 * DAY, TRADES_LINE + 3 * DAY, 60, interval=60)
    idless = made_trades(7, week, week + DAY, 80)
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", minutes))
    await store.import_files(write_candles(tmp_path / "XBTUSD_60.csv", hours))
    await store.import_files(write_idless(tmp_path / "XBTUSD.csv", idless))
    found = await certificate(store, TRADES_LINE, week + DAY)
    assert [day.state for day in found.days][:3] == [PROVISIONAL] * 3
    assert [day.state for day in found.days][3:7] == [MISSING] * 4
    assert (found.days[0].trades, found.days[0].first_id) == (
        sum(each.trade_count for each in minutes[:1440]),
        None,
    )
    # An archive without ids says nothing about the hours before its first and behind its last row.
    assert found.days[7].provisional > found.days[7].missing > timedelta()
    assert (found.days[7].trades, found.days[7].first_id, found.days[7].missing_ids) == (80, None, None)
    assert found.ids_before is None


async def test_a_day_candle_that_was_tampered_with_is_not_certified(store: Store, tmp_path: Path) -> None:
    trades = made_trades(8, FENCE - 7 * DAY, FENCE, 300)
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    await store.connection.execute(
        "UPDATE candles_history SET trade_count = trade_count - 1 WHERE interval_minutes = 1440 AND timestamp = %s",
        [FENCE - 5 * DAY],
    )
    await store.connection.execute(
        "DELETE FROM candles_history WHERE interval_minutes = 1440 AND timestamp = %s", [FENCE - 3 * DAY]
    )
    found = await certificate(store, FENCE - 7 * DAY, FENCE - DAY)
    assert [day.state for day in found.days] == [PROVEN, PROVEN, MISSING, PROVEN, MISSING, PROVEN]
    lost = days_of(trades)[f"{FENCE - 3 * DAY:%Y-%m-%d}"][2]
    assert [day.unaccounted for day in found.days] == [0, 0, 1, 0, lost, 0]


async def test_ten_years_are_judged_by_one_row_a_day(store: Store) -> None:
    start, days = datetime(2015, 1, 5, tzinfo=UTC), 3650
    await store.connection.execute(
        "INSERT INTO candles_history (symbol, interval_minutes, timestamp, open, high, low, close, volume, "
        "trade_count, first_id, last_id) SELECT 'BTC/USD', 1440, %s + n * interval '1 day', 1, 1, 1, 1, 1, "
        "10, 10 * n + 1, 10 * n + 10 FROM generate_series(0, %s - 1) n",
        [start, days],
    )
    await store.connection.execute(
        "SELECT record_trade_run('BTC/USD', 1, %s, %s, %s, %s, 'rest', false, NULL)",
        [10 * days, ns_of(start), ns_of(start + days * DAY) - 10**9, 10 * days],
    )
    await store.connection.execute("SELECT summarize_sync('BTC/USD', 'trades')")
    found = await certificate(store, start, start + days * DAY)
    assert (len(found.days), found.counts[PROVEN]) == (days, days - 1)


def output_of(*arguments: str) -> str:
    stdout = StringIO()
    call_command(*arguments, stdout=stdout)
    return stdout.getvalue()


def object_of(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output_of(*arguments).splitlines()[-1])
    return found


def test_the_table_tells_the_newest_days_and_counts_all(history: History) -> None:
    lines = output_of("coverage", "XBTUSD", f"--until={history.now:%Y-%m-%d}").splitlines()
    (head,) = (line for line in lines if line.startswith("day "))
    assert " ".join(head.split()) == "day state first id last id trades absent rejected missing ids until"
    assert any(line.startswith("BTC/USD: 5 days (4 proven, 1 missing)") for line in lines)
    assert "ids before: 1,000" in lines
    assert [line.split()[:2] for line in lines[-4:]] == [
        [f"{history.start + n * DAY:%Y-%m-%d}", "proven"] for n in range(1, 5)
    ]


def test_csv_and_json_have_the_same_days_of_every_pair(history: History) -> None:
    rows = list(csv.DictReader(output_of("coverage", "--format=csv").splitlines()))
    symbols = object_of("coverage", "--days", "--json")["symbols"]
    days = [day for facts in symbols for day in facts["days"]]
    assert [(row["symbol"], row["day"], row["state"]) for row in rows] == [
        (day["symbol"], day["day"], day["state"]) for day in days
    ]
    assert {row["symbol"] for row in rows} == {"ADA/USD", "BTC/USD", "ETH/USD"}
    of_ada = [row["state"] for row in rows if row["symbol"] == "ADA/USD"]
    assert of_ada[:12] == ["provisional"] * 12
    first = next(row for row in rows if row["symbol"] == "BTC/USD")
    assert (first["first_id"], first["state"], first["missing_seconds"]) == ("1001", "missing", "1.0")
    assert sum(symbol["states"]["provisional"] for symbol in symbols) == 13


def test_days_can_be_chosen_by_state_and_time(history: History) -> None:
    bounds = (f"--since={history.fence:%Y-%m-%d}", f"--until={history.fence + 2 * DAY:%Y-%m-%d}")
    (facts,) = object_of("coverage", "XBTUSD", *bounds, "--format=json")["symbols"]
    assert [day["state"] for day in facts["days"]] == ["proven", "proven"]
    (facts,) = object_of("coverage", "XBTUSD", "--state=missing", "--format=json")["symbols"]
    assert facts["days"][0]["day"] == f"{history.start:%Y-%m-%d}"
    assert {day["state"] for day in facts["days"]} == {"missing"}
    assert facts["states"]["proven"] == 4


def test_without_a_pair_json_has_no_days(history: History) -> None:
    assert all("days" not in facts for facts in object_of("coverage", "--json")["symbols"])


@pytest.mark.parametrize("symbol", ["DOGE/USD"])
def test_a_pair_without_anything_has_no_day(history: History, symbol: str) -> None:
    (facts,) = object_of("coverage", symbol, "--json")["symbols"]
    assert (facts["days"], facts["ids_before"]) == ([], None)
