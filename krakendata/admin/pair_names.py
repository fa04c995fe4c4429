"""Any spelling of a pair, by the exchange's list as the table `pairs` has it."""

from __future__ import annotations

from dataclasses import fields

from krakendata.models import Pair
from krakendata.types import Pair as ListedPair
from krakendata.types import Symbols

NAMES = [field.name for field in fields(ListedPair)]


def pair_called(symbol: str) -> Pair | None:
    """The pair of exactly that symbol, whatever a browser has sent: PostgreSQL takes no NUL in a text."""
    return Pair.objects.filter(symbol=symbol).first() if "\0" not in symbol else None


def listed_symbols() -> Symbols:
    """The names of every listed pair, in one query of about a thousand short rows."""
    return Symbols(ListedPair(*row) for row in Pair.objects.values_list(*NAMES))
