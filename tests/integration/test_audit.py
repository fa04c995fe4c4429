"""The audit: what is right stays untouched, what is wrong is found in every interval, healed, and recorded."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from krakendata.candles import bucket_start, fold_candles, fold_trades
from krakendata.gaps import Stretch
from krakendata.ingest.audit import Audit, AuditReport
from krakendata.models import Trade as StoredTrade
from krakendata.types import INTERVALS, HistoricalCandle, Interval, Trade, interval_of, ns_of
from tests.archive_files import made_minutes, made_trades, write_candles, write_idless, write_trades
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# More than there are buckets in the short stretches: every one is drawn.
ALL = 400
LONGER = [name for name in INTERVALS if name != "1m"]


async def audit(store: Store, buckets: int = ALL, now: datetime = NOW, **options: Any) -> AuditReport:
    return await Audit(store.database, clock=lambda: now, seed=1, **options).run(["BTC/USD"], buckets)


async def import_trades(store: Store, folder: Path, trades: Sequence[Trade]) -> None:
    await store.import_files(write_trades(folder / "XBTUSD.csv", trades))


async def assert_right(store: Store, trades: Sequence[Trade]) -> None:
    """Every timeframe is what candles.py makes of these trades."""
    minutes = fold_trades(trades)
    assert await store.candles("1m") == [each for each in minutes if each.timestamp >= FENCE]
    for name in LONGER:
        assert await store.candles(name) == fold_candles(minutes, name), name


async def storing_relation(store: Store, interval: Interval) -> str:
    """The table in which the buckets of an interval are, above the fence."""
    if interval.parent is None:
        return "candles"
    if store.edition.rollups == "tables":
        return f"{interval.relation}_closed"
    (found,) = await store.fetch(
        "SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name) "
        "FROM timescaledb_information.continuous_aggregates WHERE view_name = %s",
        interval.relation,
    )
    return str(found)


async def tamper(
    store: Store, interval: Interval, start: datetime, change: str, symbol: str = "BTC/USD"
) -> None:
    """Change a bucket behind everybody's back: no refresh will take it for stale."""
    relation = await storing_relation(store, interval)
    verb = f"DELETE FROM {relation}" if change == "DELETE" else f"UPDATE {relation} SET {change}"  # noqa: S608
    cursor = await store.connection.execute(f"{verb} WHERE symbol = %s AND timestamp = %s", [symbol, start])
    assert cursor.rowcount == 1


async def findings(store: Store) -> list[tuple[Any, ...]]:
    return await store.fetch(
        "SELECT interval_minutes, timestamp, compared_with, differences, healed FROM audit_findings ORDER BY id"
    )


async def test_a_right_history_has_nothing_to_find(store: Store, tmp_path: Path) -> None:
    trades = made_trades(1, FENCE - 14 * DAY, NOW, 600)
    await import_trades(store, tmp_path, trades)
    report = await audit(store, buckets=20)
    assert report.findings == []
    assert report.compared["trades"] > 100 < report.compared["minutes"]
    minutes = sum(FENCE <= each.timestamp < TRADES_LINE for each in fold_trades(trades))
    fives = sum(each.timestamp < FENCE for each in fold_candles(fold_trades(trades), "5m"))
    assert report.pairs[0].dropped == minutes + fives
    assert await findings(store) == []
    (run,) = await store.fetch(
        "SELECT kind, state, done, total, unit, error FROM sync_runs WHERE kind = 'audit'"
    )
    assert run == ("audit", "done", len(INTERVALS), len(INTERVALS), "steps", "")


@pytest.mark.parametrize("change", ["volume = volume + 1", "DELETE", "close = close * 2, trade_count = 0"])
async def test_a_wrong_candle_of_every_interval_is_found_healed_and_recorded(
    change: str, store: Store, tmp_path: Path
) -> None:
    start = TRADES_LINE + 14 * DAY
    trades = made_trades(2, start, start + 7 * DAY, 40)
    await import_trades(store, tmp_path, trades)
    wrong = []
    for trade, interval in zip(trades[3::4], INTERVALS.values(), strict=False):
        bucket = bucket_start(trade.timestamp, interval.minutes)
        await tamper(store, interval, bucket, change)
        wrong.append((interval.minutes, bucket, "trades", True))
    report = await audit(store)
    assert [
        (each.interval.minutes, each.timestamp, each.compared_with, each.healed) for each in report.findings
    ] == wrong
    assert [row[:3] + row[4:] for row in await findings(store)] == wrong
    await assert_right(store, trades)
    assert (await audit(store)).findings == []


async def test_of_a_stretch_only_the_candles_that_touch_it_are_looked_at(
    store: Store, tmp_path: Path
) -> None:
    start, hour = TRADES_LINE + 14 * DAY, interval_of("1h")
    # Two weeks: the one around the hour that is healed is folded again from all its hours, the other one's not.
    trades = made_trades(9, start, start + 14 * DAY, 300)
    await import_trades(store, tmp_path, trades)
    outside, inside = (bucket_start(trades[place].timestamp, hour.minutes) for place in (20, 250))
    for bucket in (outside, inside):
        await tamper(store, hour, bucket, "volume = volume + 1")
    within = Stretch(inside, inside + hour.length)
    deed = Audit(store.database, clock=lambda: NOW, seed=1)
    report = await deed.run(["BTC/USD"], ALL, within)
    assert [(each.interval.name, each.timestamp, each.healed) for each in report.findings] == [
        ("1h", inside, True)
    ]
    # The hour itself, and the half day, day and week around it, among what is shorter.
    assert report.compared["trades"] < 60
    (facts,) = await store.fetch("SELECT parameters FROM sync_runs WHERE kind = 'audit'")
    assert (facts["since"], facts["until"]) == (within.start.isoformat(), within.end.isoformat())
    left = (await audit(store)).findings
    assert (left[0].interval.name, left[0].timestamp) == ("1h", outside)
    # An aggregate hears of a change in the one below it: what is above that hour may have been folded of it meanwhile.
    assert all(each.timestamp <= outside < each.timestamp + each.interval.length for each in left)


async def test_a_stretch_in_which_nothing_is_held_has_nothing_to_look_at(
    store: Store, tmp_path: Path
) -> None:
    await import_trades(store, tmp_path, made_trades(9, TRADES_LINE, TRADES_LINE + DAY, 30))
    within = Stretch(TRADES_LINE + 7 * DAY, TRADES_LINE + 8 * DAY)
    report = await Audit(store.database, clock=lambda: NOW, seed=1).run(["BTC/USD"], ALL, within)
    assert (report.state, report.compared.total()) == ("done", 0)


async def test_a_candle_without_a_trade_is_found_and_taken_away(store: Store, tmp_path: Path) -> None:
    start = TRADES_LINE + 14 * DAY
    trades = made_trades(3, start, start + DAY, 20)
    await import_trades(store, tmp_path, trades)
    traded = {each.timestamp for each in fold_trades(trades)}
    quiet = next(
        moment
        for n in range(1440)
        if (moment := trades[5].timestamp.replace(second=0, microsecond=0) + n * MINUTE) not in traded
    )
    await store.connection.execute(
        "INSERT INTO candles VALUES ('BTC/USD', 1, %s, 1, 1, 1, 1, 1, 1, 1, 99, 99)",
        [quiet],
    )
    report = await audit(store)
    found = [each for each in report.findings if each.interval.name == "1m"]
    assert [(each.timestamp, each.healed) for each in found] == [(quiet, True)]
    assert found[0].fields["trade_count"] == (1, None)
    await assert_right(store, trades)


async def test_between_the_lines_rollups_are_healed_from_minutes(store: Store, tmp_path: Path) -> None:
    start = FENCE + 28 * DAY
    trades = made_trades(4, start, start + 7 * DAY, 60)
    await import_trades(store, tmp_path, trades)
    interval = interval_of("1d")
    wrong = bucket_start(trades[30].timestamp, interval.minutes)
    await tamper(store, interval, wrong, "high = high + 1")
    report = await audit(store)
    assert [(each.interval.name, each.compared_with, each.healed) for each in report.findings][:1] == [
        ("1d", "minutes", True)
    ]
    await assert_right(store, trades)


@pytest.mark.parametrize("name", ["15m", "1h", "12h", "1w"])
async def test_below_the_fence_longer_candles_are_healed_from_five_minutes(
    name: str, store: Store, tmp_path: Path
) -> None:
    trades = made_trades(5, FENCE - 14 * DAY, FENCE - 7 * DAY, 60)
    await import_trades(store, tmp_path, trades)
    interval = interval_of(name)
    wrong = bucket_start(trades[30].timestamp, interval.minutes)
    await store.connection.execute(
        "UPDATE candles_history SET low = low / 2 WHERE interval_minutes = %s AND timestamp = %s",
        [interval.minutes, wrong],
    )
    report = await audit(store)
    assert [
        (each.interval.name, each.timestamp, each.compared_with, each.healed) for each in report.findings
    ][-1:] == [(name, wrong, "minutes", True)]
    await assert_right(store, trades)


async def test_five_minutes_below_the_fence_are_left_alone(store: Store, tmp_path: Path) -> None:
    trades = made_trades(6, FENCE - 14 * DAY, FENCE - 13 * DAY, 20)
    await import_trades(store, tmp_path, trades)
    report = await audit(store)
    fives = len(fold_candles(fold_trades(trades), "5m"))
    assert (report.findings, report.pairs[0].dropped) == ([], fives)


async def test_without_healing_only_the_record_is_made(store: Store, tmp_path: Path) -> None:
    start = TRADES_LINE + 14 * DAY
    trades = made_trades(7, start, start + DAY, 20)
    await import_trades(store, tmp_path, trades)
    wrong = bucket_start(trades[5].timestamp, 60)
    await tamper(store, interval_of("1h"), wrong, "volume = 7")
    report = await audit(store, heal=False)
    (row,) = [row for row in await findings(store) if row[0] == 60]
    hour = next(each for each in fold_candles(fold_trades(trades), "1h") if each.timestamp == wrong)
    assert row[3] == {"volume": {"stored": "7", "expected": f"{hour.volume:f}"}}
    assert ("1h", wrong, False) in [
        (each.interval.name, each.timestamp, each.healed) for each in report.findings
    ]
    assert {row[4] for row in await findings(store)} == {False}
    again = [each for each in (await audit(store, heal=False)).findings if each.interval.name == "1h"]
    assert again == [each for each in report.findings if each.interval.name == "1h"] != []


async def test_candles_of_archives_are_nobodys_mistake(store: Store, tmp_path: Path) -> None:
    start = TRADES_LINE + 14 * DAY
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", made_minutes(start, start + DAY)))
    await store.import_files(
        write_candles(tmp_path / "XBTUSD_60.csv", made_minutes(start, start + 3 * DAY, 60, interval=60))
    )
    await store.import_files(
        write_idless(tmp_path / "XBTUSD.csv", made_trades(8, start + 7 * DAY, start + 8 * DAY, 40))
    )
    report = await audit(store, buckets=60)
    assert report.findings == []
    assert report.compared["trades"] > 200


async def test_a_rollup_that_was_not_told_yet_is_no_finding(store: Store, tmp_path: Path) -> None:
    start = TRADES_LINE + 14 * DAY
    trades = made_trades(9, start, start + DAY, 40)
    await import_trades(store, tmp_path, trades[:20] + trades[21:])
    late = fold_trades(trades)
    known = {each.timestamp: each for each in await store.candles("1m")}
    (minute,) = (each for each in late if known.get(each.timestamp) != each)
    trade = trades[20]
    async with store.connection.transaction():
        await store.connection.execute(
            "INSERT INTO trades VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                trade.symbol,
                trade.timestamp,
                trade.trade_id,
                trade.price,
                trade.volume,
                trade.side,
                trade.order_type,
            ],
        )
        (single,) = fold_trades([trade])
        await store.stage([_staged(single)])
    report = await audit(store)
    assert report.findings == []
    assert minute in await store.candles("1m")
    await assert_right(store, trades)


def _staged(candle: HistoricalCandle) -> tuple[Any, ...]:
    return (
        candle.symbol, candle.timestamp, candle.open, candle.high, candle.low, candle.close, candle.volume,
        candle.turnover, candle.trade_count, candle.first_id, candle.last_id, True,
    )  # fmt: skip


async def test_equal_seeds_draw_equal_buckets(store: Store, tmp_path: Path) -> None:
    trades = made_trades(10, TRADES_LINE + 7 * DAY, NOW, 300)
    await import_trades(store, tmp_path, trades)
    await store.connection.execute("UPDATE candles SET volume = volume + 1")
    await store.refresh()
    first = await audit(store, buckets=5, heal=False)
    second = await audit(store, buckets=5, heal=False)
    assert first.findings == second.findings != []
    other = await Audit(store.database, clock=lambda: NOW, seed=2, heal=False).run(["XBTUSD"], 5)
    assert other.findings != first.findings


async def test_an_audit_that_is_told_to_stop_says_so(store: Store, tmp_path: Path) -> None:
    await import_trades(store, tmp_path, made_trades(11, NOW - DAY, NOW, 20))
    asked = iter([False, False, True, True, True, True, True])
    report = await audit(store, should_stop=lambda: next(asked))
    assert report.state == "stopped"
    assert await store.fetch("SELECT state, done FROM sync_runs WHERE kind = 'audit'") == [("stopped", 1)]


async def test_an_audit_that_is_told_to_stop_names_the_pairs_it_did_not_begin_with(
    store: Store, tmp_path: Path
) -> None:
    for place, symbol in enumerate(("BTC/USD", "ETH/USD", "SOL/USD")):
        path = tmp_path / f"{symbol.replace('/', '')}.csv"
        await store.import_files(write_trades(path, made_trades(place, NOW - DAY, NOW, 20, symbol=symbol)))
    begun: list[str] = []
    audit = Audit(
        store.database, clock=lambda: NOW, seed=1,
        report=lambda progress: begun.append(progress.symbol), should_stop=lambda: "ETH/USD" in begun,
    )  # fmt: skip
    report = await audit.run(buckets=1)
    assert [pair.symbol for pair in report.pairs] == ["BTC/USD", "ETH/USD"]
    assert report.left == ("SOL/USD",)
    begun.clear()
    assert (await audit.run(report.left, 1)).left == ()


def test_the_command_heals_says_what_it_found_and_ends_with_1(
    conninfo: dict[str, Any], trades: list[StoredTrade]
) -> None:
    """The fixture's trades are in no candle, and no ledger."""
    first, last = trades[0], trades[-1]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT record_trade_run('BTC/USD', %s, %s, %s, %s, %s, 'rest', true, NULL)",
            [first.trade_id, last.trade_id, ns_of(first.timestamp), ns_of(last.timestamp), len(trades)],
        )
    stdout = StringIO()
    with pytest.raises(
        CommandError, match="were not what they have to be; 0 of them still are not"
    ) as raised:
        call_command("audit", "XBTUSD", "--buckets=1", "--seed=5", "--json", stdout=stdout)
    assert raised.value.returncode == 1
    lines = stdout.getvalue().splitlines()
    facts = json.loads(lines[-1])
    assert {each["healed"] for each in facts["findings"]} == {True}
    assert facts["seed"] == 5
    assert facts["findings"][0]["differences"]["trade_count"]["stored"] is None
    assert any("(healed)" in line for line in lines)
