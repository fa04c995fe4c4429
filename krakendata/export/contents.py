"""What one file of an export is to hold."""

from __future__ import annotations

from dataclasses import dataclass

from krakendata.gaps import Stretch
from krakendata.types import Pair

__all__ = ["TRADES", "Contents"]

TRADES = "trades"


@dataclass(frozen=True, slots=True)
class Contents:
    """Candles of an interval, or trades, of one pair and one part of the time.

    `kind` is the interval's name or "trades". `part` is the calendar's year or month, uncut, and `label` its name.
    `pair` is what the exchange's list says of the symbol, None where it is not listed.
    """

    symbol: str
    kind: str
    label: str
    part: Stretch
    pair: Pair | None = None

    @property
    def pair_name(self) -> str:
        """The symbol where a slash cannot be: BTC_USD."""
        return self.symbol.replace("/", "_")
