"""The ledgers of a page of pairs, read over the admin's own connection in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from krakendata.gaps import Stretch
from krakendata.storage.queries import KnownLedger, ledgers_of_rows, ledgers_statement
from krakendata.types import ns_of

NOTHING_KNOWN = KnownLedger()


def ledgers_around(symbols: Sequence[str], stretch: Stretch) -> dict[str, KnownLedger]:
    """What it takes to judge `stretch` of each of the symbols, in their order."""
    if not symbols:
        return {}
    asked: dict[str, Any] = {
        "symbols": list(symbols),
        "start_ns": ns_of(stretch.start),
        "end_ns": ns_of(stretch.end),
    }
    with connection.cursor() as cursor:
        cursor.execute(ledgers_statement(), asked)
        found = ledgers_of_rows(cursor.fetchall())
    return {symbol: found.get(symbol, NOTHING_KNOWN) for symbol in symbols}
