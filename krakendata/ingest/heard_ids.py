"""Which ids a feed has heard, and where it seems to have missed some. No I/O: the ledger says what is missing."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


class HeardIds:
    """The newest id of each symbol, by the ledger at first, then by what was heard."""

    def __init__(self, newest: Mapping[str, int]) -> None:
        self._newest = dict(newest)
        # Only a snapshot tells that nothing was missed before it, and only on the connection that it came by.
        self._joined: set[str] = set()
        # Something of theirs could not be read: it may have been a trade newer than the newest.
        self._doubtful: set[str] = set()

    def reconnect(self) -> None:
        """A connection begins: what was traded since the last one ended is not known."""
        self._joined.clear()
        self._doubtful.clear()

    def leave(self, others_than: Collection[str]) -> None:
        """Of all symbols but these nothing is heard any more; only a new snapshot joins them again."""
        self._joined.intersection_update(others_than)

    def doubt(self) -> None:
        """Something could not be read at all: it may have been a trade of any symbol."""
        self._doubtful |= self._joined

    def take(self, elements: Sequence[Any], is_snapshot: bool) -> set[str]:
        """Note the trades of a message; give the symbols of which ids seem to be missing.

        A step between ids may be ids that come late, or that the exchange does not have; ids up to the newest were
        looked at before.
        """
        suspects = set()
        by_symbol, doubts = self._by_symbol(elements)
        for symbol, ids in by_symbol.items():
            newest = self._newest.get(symbol)
            new = sorted(number for number in ids if newest is None or number > newest)
            if new:
                before = [new[0] - 1 if newest is None else newest, *new[:-1]]
                if any(number > last + 1 for last, number in zip(before, new, strict=True)):
                    suspects.add(symbol)
                self._newest[symbol] = new[-1]
                self._doubtful.discard(symbol)
            if is_snapshot:
                self._joined.add(symbol)
        # An id that was read settles older doubts, not one beside it.
        self._doubtful |= doubts
        return suspects

    @property
    def joined(self) -> dict[str, int]:
        """The newest id of each symbol that was heard without a break or a doubt since its snapshot."""
        return {
            symbol: self._newest[symbol] for symbol in self._joined - self._doubtful if symbol in self._newest
        }

    def _by_symbol(self, elements: Sequence[Any]) -> tuple[dict[str, set[int]], set[str]]:
        """The ids by symbol, and the symbols that are in doubt, for something of theirs has no id that can be read."""
        found: dict[str, set[int]] = {}
        doubts: set[str] = set()
        for element in elements:
            fields = element if isinstance(element, Mapping) else {}
            symbol, number = fields.get("symbol"), fields.get("trade_id")
            if not isinstance(symbol, str):
                doubts |= self._joined
            elif type(number) is not int or not 0 < number < 2**63:
                doubts.add(symbol)
            else:
                found.setdefault(symbol, set()).add(number)
        return found, doubts
