"""A market of many trades a second, for as long as a run's feeds listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from krakendata.replay import histories
from krakendata.replay.histories import GeneratedHistory
from krakendata.types import NS_PER_SECOND

# A hundred trades a second are made an hour at a time: a week of them takes a minute.
CHUNK_NS = 3_600 * NS_PER_SECOND


class ClosingHistory(GeneratedHistory):
    """A pair that stays listed when it is traded no more: what is young at the end of a run can then become old."""

    @property
    def delisted_ns(self) -> int | None:
        return None

    def close(self, ns: int, is_sound: Callable[[int], bool]) -> None:
        """Let a sound trade, the next one after `ns`, be the last."""
        for trade, further in pairwise(self.trades(ns, ns + CHUNK_NS)):
            if is_sound(trade.trade_id) and further.ns > trade.ns:
                self._until_ns = trade.ns + 1
                return
        raise AssertionError(f"{self.pair.symbol} has no sound trade in an hour")


@contextmanager
def made_by_the_hour() -> Iterator[None]:
    """Let histories be made an hour at a time."""
    before = histories.CHUNK_NS
    histories.CHUNK_NS = CHUNK_NS
    try:
        yield
    finally:
        histories.CHUNK_NS = before
