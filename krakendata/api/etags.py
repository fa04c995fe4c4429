"""ETags: when an answer is final, and how it is known again without being read.

What is proven and closed does not change: the ids are the exchange's own, and all are in. Three things can change the
answer after all, and all of them are in the tag or looked at before it is believed: retention, which leaves the time
unproven; a refused record that is taken in later, which changes the answered ids; an audit, whose findings, healed or
not, end what was kept. Rows that do not hold every id of the ledger's (`are_whole`) get no tag to begin with: they were
damaged, and will be mended. What is provisional, forming or unproven has no tag and is never kept.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from krakendata.gaps import IdRange, Ledger
from krakendata.types import moment_of, ns_of

__all__ = ["IdSpan", "are_whole", "edge_of", "etag_of", "etags_known"]

# A later release that forms its answers otherwise counts this up.
FORM = 1


class IdSpan(NamedTuple):
    """The ids of a row, both ends included, and how many trades it has."""

    first_id: int
    last_id: int
    trades: int


def are_whole(spans: Sequence[IdSpan], ledger: Ledger) -> bool:
    """Whether rows with these ids, in order, hold every trade from the first to the last of them.

    Ids that are answered for without a trade are missing rightly. Rows of archives without ids show nothing.
    """
    count = _Counter(ledger.answered_ids)
    full = all(
        row.first_id > 0 and row.last_id - row.first_id + 1 == row.trades + count(row.first_id, row.last_id)
        for row in spans
    )
    return full and all(
        row.last_id < following.first_id
        and following.first_id - row.last_id - 1 == count(row.last_id + 1, following.first_id - 1)
        for row, following in pairwise(spans)
    )


def etag_of(question: Sequence[object], edge: datetime, ledger: Ledger, finding: int) -> str:
    """The ETag of an answer to `question` (all that its bytes depend on) that reaches to `edge`.

    `finding` is the number of an audit's newest one. The edge stands in the tag: whoever shows the tag again
    tells with it how far the answer reached.
    """
    facts = [FORM, *map(str, question), str(edge), ledger.answered_ids, finding]
    digest = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:32]
    return f'"{ns_of(edge) // 1000:x}-{digest}"'


def edge_of(etag: str) -> datetime | None:
    """How far the answer with this ETag reached; None for one that is not ours."""
    try:
        microseconds, _ = etag.strip('"').split("-")
        return moment_of(int(microseconds, 16) * 1000)
    except (ValueError, OverflowError):
        return None


def etags_known(header: str | None) -> list[str]:
    """What the header If-None-Match names, no more than a few: answers that the asker has kept."""
    named = [part.strip().removeprefix("W/") for part in (header or "").split(",")[:_MOST_LOOKED_AT]]
    return [each for each in named if each.startswith('"') and each.endswith('"')]


# Nobody keeps more than one of an address; each costs a look into the ledger.
_MOST_LOOKED_AT = 4


class _Counter:
    """Counts how many ids of a range are answered for without a trade; the ranges lie apart."""

    def __init__(self, answered: Iterable[IdRange]) -> None:
        ranges = sorted(answered)
        self._firsts = [each.first_id for each in ranges]
        self._lasts = [each.last_id for each in ranges]
        self._before = [0, *accumulate(each.last_id - each.first_id + 1 for each in ranges)]

    def __call__(self, first: int, last: int) -> int:
        if last < first:
            return 0
        begin, end = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        if begin >= end:
            return 0
        whole = self._before[end] - self._before[begin]
        return whole - max(0, first - self._firsts[begin]) - max(0, self._lasts[end - 1] - last)
