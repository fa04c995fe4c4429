"""What waits to be written, in order and within a limit (REC-001). No I/O, no clock."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from krakendata.types import HistoricalCandle

Record = TypeVar("Record")


class Buffer(Generic[Record]):
    """Records in the order they came; with those that are being written never more than `limit`.

    Beyond that the oldest that waits is dropped and counted.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = 0
        self._waiting: deque[Record] = deque()
        self._taken = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether one more would cost the oldest."""
        return len(self._waiting) + self._taken >= self.limit

    def put(self, record: Record) -> Record | None:
        """Add a record behind the others; give the one that was dropped for it, if one was."""
        self._waiting.append(record)
        if len(self._waiting) + self._taken <= self.limit:
            return None
        self.dropped += 1
        return self._waiting.popleft()

    def take(self, most: int | None = None) -> list[Record]:
        """Take the oldest, up to `most`, to be written: `settle` says what became of them."""
        count = len(self._waiting) if most is None else min(most, len(self._waiting))
        taken = [self._waiting.popleft() for _ in range(count)]
        self._taken += count
        return taken

    def settle(self, taken: int, left: Iterable[Record] = ()) -> None:
        """End with `taken` records: those `left` are not written, and wait again before all others, in their order."""
        self._taken -= taken
        self._waiting.extendleft(reversed(list(left)))


class CandleBuffer:
    """The newest version of each minute's candle, the minute that changed longest ago first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = 0
        self.outdated = 0
        self._waiting: dict[tuple[str, object], HistoricalCandle] = {}
        self._taken = 0

    def __len__(self) -> int:
        """How many minutes wait."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether one more would cost the oldest."""
        return len(self._waiting) + self._taken >= self.limit

    def put(self, candle: HistoricalCandle) -> HistoricalCandle | None:
        """Take a candle, in place of an earlier version of its minute; give the one that was dropped for it."""
        key = candle.symbol, candle.timestamp
        waiting = self._waiting.get(key)
        if waiting is not None:
            self.outdated += 1
            if candle.trade_count >= waiting.trade_count:
                self._waiting[key] = candle
            return None
        self._waiting[key] = candle
        if len(self._waiting) + self._taken <= self.limit:
            return None
        self.dropped += 1
        return self._waiting.pop(next(iter(self._waiting)))

    def take(self, most: int | None = None) -> list[HistoricalCandle]:
        """Take the oldest, up to `most`, to be written: `settle` says what became of them."""
        keys = list(self._waiting)[:most]
        self._taken += len(keys)
        return [self._waiting.pop(key) for key in keys]

    def settle(self, taken: int, left: Iterable[HistoricalCandle] = ()) -> None:
        """End with `taken` candles: those `left` wait again before all others, or newer versions of them."""
        self._taken -= taken
        came = self._waiting
        self._waiting = {}
        for candle in left:
            key = candle.symbol, candle.timestamp
            newer = came.pop(key, None)
            self.outdated += newer is not None
            self._waiting[key] = newer if newer and newer.trade_count >= candle.trade_count else candle
        self._waiting |= came
