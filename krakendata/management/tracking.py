"""Tracking a pair, the one way of doing it: for the command `track` and the admin alike."""

from collections.abc import Sequence
from datetime import datetime

from krakendata.errors import NotListed
from krakendata.ingest.pair_list import refresh_pairs, track_pairs
from krakendata.management.command import database_arguments
from krakendata.management.exchange import open_exchange
from krakendata.storage.pairs import TrackedPair


async def track(
    names: Sequence[str], since: datetime | None = None, *, candles_only: bool = False
) -> list[TrackedPair]:
    """Collect pairs (any spelling) from now on, and their past from `since` (aware UTC) or their first trade.

    One that our list lacks is looked up at the exchange. Nothing is queued yet: `queueing.queue_backfills` does that.
    Raises UnknownSymbol, and NotListed for what the exchange does not list either.
    """
    try:
        return await track_pairs(database_arguments(), names, since, candles_only=candles_only)
    except NotListed:
        # Listed since we last asked, perhaps; only the exchange's own list can say no.
        async with open_exchange() as rest:
            await refresh_pairs(database_arguments(), rest)
        return await track_pairs(database_arguments(), names, since, candles_only=candles_only)
