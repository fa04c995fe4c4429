"""The end of a run: the exchange is calm, its clock far enough on that nothing is late, and gaps are filled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from krakendata.candles import bucket_start
from krakendata.ingest.gap_fill import GapFiller, GapReport
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.sessions import connect
from tests.fix_trading import PROVEN_BUT_FOR, Replay

# Faults that are no accidents but how the exchange is.
LASTING = ("since", "malformed_every", "seed")

# Until then a trade may be late, and a missing one is no hole of the exchange's own.
SETTLED = timedelta(minutes=15)


async def calm_down(replay: Replay, symbols: Sequence[str], **options: Any) -> None:
    """No faults any more, and time stands still at a moment that REST can tell the whole truth about; `options` are
    the gap filler's."""
    faults, clock = replay.exchange.faults, replay.exchange.clock
    lasting = {name: getattr(faults, name) for name in LASTING}
    faults.clear()
    faults.change(lasting)
    clock.speed = 0
    let_settle(replay, symbols)
    reports = await _pass(replay, symbols, **options)
    assert [report.state for report in reports] == ["done"] * len(reports), reports
    reports = await _pass(replay, symbols, **options)
    assert [(report.state, report.gaps) for report in reports] == [("done", 0)] * len(reports), reports
    # As beat does every five minutes: who was killed between writing and refreshing left the rollups behind. A worker's
    # clock is the real one, too, and what the exchange's hours have run ahead of it is the future to its refreshes.
    async with connect(replay.store.database) as connection:
        await refresh_rollups(connection, replay.store.edition, replay.now)


def let_settle(replay: Replay, symbols: Sequence[str]) -> None:
    """Move the exchange's clock on until nothing is late and nothing open; it stands still meanwhile."""
    replay.exchange.clock.advance(SETTLED)
    while any(_is_unsettled(replay, symbol) for symbol in symbols):
        replay.exchange.clock.advance(timedelta(minutes=2))


def _is_unsettled(replay: Replay, symbol: str) -> bool:
    """Whether an id that the exchange lacks is young, the newest trade shows no id, or its minute may go on.

    So long a candle that the exchange gave ahead of the trades stays in that minute.
    """
    exchange, young = replay.exchange, replay.now - SETTLED
    trades = exchange.trades(symbol)
    before = [each.trade_id for each in trades if each.timestamp < young]
    absent = exchange.absent_ids(symbol)
    ends = bucket_start(trades[-1].timestamp, 1) + timedelta(minutes=1)
    return (
        exchange.faults.malformation(trades[-1].trade_id) is not None
        or ends > replay.now - PROVEN_BUT_FOR
        or (bool(absent) and (not before or absent[-1] > before[-1]))
    )


async def _pass(replay: Replay, symbols: Sequence[str], **options: Any) -> list[GapReport]:
    """One look of the schedule, which also fetches what was traded before the first trade held."""
    return await GapFiller(**replay.deed(**options)).fill_all_gaps(symbols, before_beginning=True)
