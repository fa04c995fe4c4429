"""One question to the exchange: how many trades a pair has had, and how fast the newest ones came."""

from datetime import timedelta

from krakendata.backfill_cost import NewestTrades
from krakendata.ingest.page_rows import read_page
from krakendata.kraken.rest import KrakenRest
from krakendata.types import NS_PER_SECOND, ns_of


async def ask_newest_trades(rest: KrakenRest, symbol: str, altname: str) -> NewestTrades:
    """Ask once, without patience: somebody waits for it. Raises KrakenError.

    A pair's trades are numbered from 1 on, so that the newest one's number counts them all.
    """
    answer = await rest.trades(altname)
    now = answer.answered_at or answer.asked_at
    trades = read_page(answer.page.rows, symbol, now).frame.sort("trade_id")
    if trades.is_empty():
        return NewestTrades(0, 0, timedelta(0))
    oldest_ns, newest_ns = int(trades["ns"][0]), int(trades["ns"][-1])
    # Up to now, not to the newest: a pair that has been quiet for days is a slow one.
    seconds = (max(ns_of(now), newest_ns) - oldest_ns) / NS_PER_SECOND
    return NewestTrades(int(trades["trade_id"][-1]), trades.height, timedelta(seconds=seconds))
