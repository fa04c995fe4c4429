"""One symbol's stored trades as one transaction sees them, in time order, and how complete they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from krakendata.answers import Trades
from krakendata.gaps import SETTLED, Coverage, Ledger, Stretch, coverage_of
from krakendata.held_candles import AFTER_LAST, FURTHER_LOOK
from krakendata.intervals import bucket_of, next_bucket
from krakendata.storage.queries import (
    Bounds,
    Connection,
    Row,
    read_ledger,
    read_newest_trades,
    read_trades,
    read_trades_after,
)
from krakendata.types import INTERVALS, Trade, moment_of, ns_of

__all__ = ["StoredTrades"]

# The newest trades of a busy pair lie in minutes; further back as the candles are looked for.
FIRST_LOOK_AT_TRADES = timedelta(hours=1)
MINUTES = INTERVALS["1m"]


@dataclass(frozen=True, slots=True)
class StoredTrades:
    """The stored trades of one symbol, read over a connection that is in one transaction."""

    connection: Connection
    symbol: str
    bounds: Bounds

    def part(self, asked: Stretch) -> Stretch:
        """What of `asked` can have trades: no longer than they are kept, and up to the newest."""
        start = max(asked.start, self.bounds.trades_line)
        return Stretch(start, max(start, min(asked.end, self._end)))

    @property
    def _end(self) -> datetime:
        """Where no trade is held any more: the ledger tells the last id's moment, and an earlier id may be later."""
        return next_bucket(bucket_of(moment_of(self.bounds.last_ns or 0) + SETTLED, MINUTES), MINUTES)

    @property
    def kept_from(self) -> datetime:
        """Before this trades are stored no longer."""
        return self.bounds.trades_line

    def to_newest(self, asked: Stretch) -> Stretch:
        """`asked`, at least up to the newest trade: the exchange's clock may be ahead of ours."""
        if self.bounds.last_ns is None:
            return asked
        return Stretch(asked.start, max(asked.end, moment_of(self.bounds.last_ns) + AFTER_LAST))

    async def answer(self, asked: Stretch, limit: int | None) -> Trades:
        """The trades in `asked` by time, of one moment by id; `limit` keeps the newest, and the coverage is theirs."""
        rows = await read_trades(self.connection, self.symbol, self.part(asked), limit)
        trades = tuple(self.trade(row) for row in rows)
        if limit is not None and len(trades) == limit:
            asked = asked._replace(start=trades[0].timestamp)
        coverage, ledger = await self.coverage(asked)
        return Trades(self.symbol, trades, ledger, coverage)

    async def page(self, part: Stretch, after: tuple[datetime, int] | None, limit: int) -> list[Trade]:
        """The first `limit` trades of `part`, behind the one of time and id `after`, if any."""
        rows = await read_trades_after(self.connection, self.symbol, part, after, limit)
        return [self.trade(row) for row in rows]

    async def newest(self, since: datetime, limit: int) -> Trades:
        """The newest `limit` trades since `since` that have ids of the exchange, by id."""
        newest = since if self.bounds.last_ns is None else moment_of(self.bounds.last_ns)
        asked = Stretch(since, max(since, newest + AFTER_LAST))
        rows = await self._newest_rows(Stretch(since, max(since, self._end)), limit) if limit else []
        # Without trades to show, the newest run tells from where new ones go on.
        told = Stretch(max(since, min([newest, *(row[1] for row in rows)])), asked.end)
        coverage, ledger = await self.coverage(told)
        trades = sorted(map(self.trade, rows), key=lambda trade: trade.trade_id)
        return Trades(self.symbol, tuple(trades), ledger, coverage)

    async def coverage(self, asked: Stretch) -> tuple[Coverage, Ledger]:
        """How complete the stored trades of a time are: candles prove none, and what is no longer stored is a hole."""
        ledger = await read_ledger(self.connection, self.symbol, asked)
        told = replace(ledger, candle_runs=())
        return coverage_of(asked, told, kept_from=self.kept_from), ledger

    async def _newest_rows(self, held: Stretch, limit: int) -> Sequence[Row]:
        rows: list[Row] = []
        end, reach = held.end, FIRST_LOOK_AT_TRADES
        while len(rows) < limit and held.start < end:
            start = held.start if reach >= end - held.start else end - reach
            look = Stretch(start, end)
            rows = [*await read_newest_trades(self.connection, self.symbol, look, limit - len(rows)), *rows]
            end, reach = start, FURTHER_LOOK * reach
        return rows

    def trade(self, row: Row) -> Trade:
        """The trade that a row tells."""
        trade_id, timestamp, price, volume, side, order_type = row
        return Trade(
            self.symbol, trade_id, ns_of(timestamp), Decimal(price), Decimal(volume), side, order_type
        )
