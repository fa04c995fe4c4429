"""The pairs, by symbol: the exchange's list and whatever else anything was collected of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from krakendata.models import Pair, SyncStatus

FACTS = (
    "key", "altname", "wsname", "base", "quote", "status", "price_decimals", "volume_decimals", "tracked",
)  # fmt: skip


def read_pairs_page(
    after: str, limit: int, *, tracked: bool | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Up to `limit` pairs behind the symbol `after`, and the symbol behind which the next page begins, if there is
    one.
    """
    pairs = Pair.objects.filter(symbol__gt=after)
    if tracked is not None:
        pairs = pairs.filter(tracked=tracked)
    names = pairs.order_by().values_list("symbol")
    if not tracked:
        collected = SyncStatus.objects.filter(symbol__gt=after).exclude(
            symbol__in=Pair.objects.values("symbol")
        )
        names = names.union(collected.order_by().values_list("symbol"))
    found = [name for (name,) in names.order_by("symbol")[: limit + 1]]
    shown = found[:limit]
    known = Pair.objects.in_bulk(shown)
    held = _held(shown)
    rows = [
        {
            "symbol": name,
            **{fact: getattr(known.get(name), fact, None) for fact in FACTS},
            "oldest": held.get(name, (None, None))[0],
            "newest": held.get(name, (None, None))[1],
        }
        for name in shown
    ]
    return rows, shown[-1] if len(found) > limit else None


def _held(symbols: list[str]) -> dict[str, tuple[datetime | None, datetime | None]]:
    """From when to when anything was collected, of either kind."""
    held: dict[str, tuple[datetime | None, datetime | None]] = {}
    for status in SyncStatus.objects.filter(symbol__in=symbols):
        oldest, newest = held.get(status.symbol, (None, None))
        held[status.symbol] = (
            min((each for each in (oldest, status.oldest_timestamp) if each), default=None),
            max((each for each in (newest, status.newest_timestamp) if each), default=None),
        )
    return held
