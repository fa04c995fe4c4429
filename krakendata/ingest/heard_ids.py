"""Which ids a feed has heard, and where it seems to have missed some. No I/O: the ledger says what is missing."""

from collections.abc import Mapping, Sequence
from typing import Any


class HeardIds:
    """The newest id of each symbol, by the ledger at first, then by what was heard."""

    def __init__(self, newest: Mapping[str, int]) -> None:
        self._newest = dict(newest)
        # Since the connection's beginning: only a snapshot tells that nothing was missed before it.
        self._joined: set[str] = set()

    def reconnect(self) -> None:
        """A connection begins: what was traded since the last one ended is not known."""
        self._joined.clear()

    def take(self, elements: Sequence[Any], is_snapshot: bool) -> set[str]:
        """Note the trades of a message; give the symbols of which ids seem to be missing.

        A step between ids may be ids that come late, or that the exchange does not have; ids up to the newest were
        looked at before.
        """
        suspects = set()
        for symbol, ids in _by_symbol(elements).items():
            newest = self._newest.get(symbol)
            new = sorted(number for number in ids if newest is None or number > newest)
            if new:
                before = [new[0] - 1 if newest is None else newest, *new[:-1]]
                if any(number > last + 1 for last, number in zip(before, new, strict=True)):
                    suspects.add(symbol)
                self._newest[symbol] = new[-1]
            if is_snapshot:
                self._joined.add(symbol)
        return suspects

    @property
    def joined(self) -> dict[str, int]:
        """The newest id of each symbol that was heard without a break since its snapshot."""
        return {symbol: self._newest[symbol] for symbol in self._joined if symbol in self._newest}


def _by_symbol(elements: Sequence[Any]) -> dict[str, set[int]]:
    """The ids by symbol; what has neither is for validation.py to refuse."""
    found: dict[str, set[int]] = {}
    for element in elements:
        if isinstance(element, dict):
            symbol, number = element.get("symbol"), element.get("trade_id")
            if isinstance(symbol, str) and type(number) is int and 0 < number < 2**63:
                found.setdefault(symbol, set()).add(number)
    return found
