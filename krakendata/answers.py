"""What readers get: sequences of candles and trades that say how complete they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args, overload

from krakendata.errors import IncompleteData
from krakendata.gaps import Coverage, Ledger, Stretch
from krakendata.types import EPOCH, Candle, Interval, Trade

__all__ = ["Candles", "Requirement", "Trades", "check_coverage", "checked_requirement"]

# "complete": no hole. "proven": nothing provisional either.
Requirement = Literal["complete", "proven"]

NOTHING_ASKED = Coverage(Stretch(EPOCH, EPOCH))


@dataclass(frozen=True, slots=True, repr=False)
class Candles(Sequence[Candle]):
    """The candles of one answer, oldest first, and how complete the answer is. A slice is a plain tuple.

    `forming` is the last of them where it is not closed yet, which comes only when asked for.
    """

    symbol: str
    interval: Interval
    candles: tuple[Candle, ...]
    coverage: Coverage
    # What of the ledger the coverage was judged by, in the same state of the database.
    ledger: Ledger = field(default=Ledger(), compare=False)
    forming: Candle | None = None

    @overload
    def __getitem__(self, index: int) -> Candle: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Candle, ...]: ...
    def __getitem__(self, index: int | slice) -> Candle | tuple[Candle, ...]:
        return self.candles[index]

    def __len__(self) -> int:
        return len(self.candles)

    def __iter__(self) -> Iterator[Candle]:
        return iter(self.candles)

    def __repr__(self) -> str:
        asked = f"{self.coverage.asked.start:%Y-%m-%d %H:%M} to {self.coverage.asked.end:%Y-%m-%d %H:%M}"
        return f"<Candles {self.symbol} {self.interval.name}: {len(self)} from {asked}>"


@dataclass(frozen=True, slots=True, repr=False)
class Trades(Sequence[Trade]):
    """The trades of one answer, and how complete it is: what is still stored of its time. A slice is a plain tuple."""

    symbol: str
    trades: tuple[Trade, ...]
    # What of the ledger tells of them, in the same state of the database.
    ledger: Ledger = field(default=Ledger(), compare=False)
    coverage: Coverage = NOTHING_ASKED

    @overload
    def __getitem__(self, index: int) -> Trade: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Trade, ...]: ...
    def __getitem__(self, index: int | slice) -> Trade | tuple[Trade, ...]:
        return self.trades[index]

    def __len__(self) -> int:
        return len(self.trades)

    def __iter__(self) -> Iterator[Trade]:
        return iter(self.trades)

    def __repr__(self) -> str:
        return f"<Trades {self.symbol}: {len(self)}>"


def checked_requirement(require: str | None) -> Requirement | None:
    """`require`, if it is one or None; else ValueError."""
    for known in get_args(Requirement):
        if require == known:
            return known  # type: ignore[no-any-return]
    if require is None:
        return None
    raise ValueError(
        f"require is {require!r}; it has to be one of {', '.join(get_args(Requirement))}, or None."
    )


def check_coverage(symbol: str, coverage: Coverage, require: Requirement | None) -> None:
    """Raise IncompleteData, which names the stretches, where the coverage is less than required."""
    provisional = coverage.provisional if require == "proven" else ()
    if require is not None and (coverage.holes or provisional):
        raise IncompleteData(symbol, coverage.holes, provisional)
