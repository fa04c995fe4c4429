"""What a backfill of a stretch of time will ask of the exchange: told before it is begun.

From the ledger's gaps. Between two trades that are held the ids that are missing are counted; of a part of such a gap,
its share of the time. Where one side is open nobody can count: then the pair's own pace beside the gap is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from krakendata.backfill_cost import TRADES_A_CALL
from krakendata.certificate import TAIL_TOLERANCE
from krakendata.gaps import FIRST_TRADE_ID, Gap, Ledger, Stretch, gaps_of, islands_of
from krakendata.types import NS_PER_SECOND

__all__ = ["Preview", "preview_backfill"]

# A gap's pages begin with a trade that is held, and the last one has to meet what is held behind.
CALLS_TO_JOIN = 1


@dataclass(frozen=True, slots=True)
class Preview:
    """What is missing in a stretch, and what it takes to bring it in.

    `lasting` is the time in gaps. `trades` and `calls` are None where nobody can say before asking: nothing of the
    pair is held. `is_exact`: the trades are counted by their ids, not reckoned.
    """

    gaps: int
    lasting: timedelta
    trades: int | None
    calls: int | None
    is_exact: bool


def preview_backfill(ledger: Ledger, asked: Stretch, now: datetime) -> Preview:
    """The gaps in `asked`, up to `now` (both aware UTC). `ledger`: what it takes to judge `asked`.

    A tail that is too young to be missing is no gap.
    """
    end = min(asked.end, now)
    found = [
        (gap, inside)
        for gap in gaps_of(ledger, None, now)
        if not _is_fresh(gap, now)
        and (inside := Stretch(max(gap.stretch.start, asked.start), min(gap.stretch.end, end)))
        and _lasts(inside)
    ]
    numbers = [_missing(gap, inside, ledger) for gap, inside in found]
    lasting = sum((inside.end - inside.start for _, inside in found), timedelta())
    if any(number is None for number in numbers):
        return Preview(len(found), lasting, None, None, is_exact=False)
    trades = [number or 0 for number in numbers]
    return Preview(
        gaps=len(found),
        lasting=lasting,
        trades=sum(trades),
        calls=sum(-(-number // TRADES_A_CALL) + CALLS_TO_JOIN for number in trades),
        is_exact=all(_is_counted(gap, inside) for gap, inside in found),
    )


def _is_fresh(gap: Gap, now: datetime) -> bool:
    return gap.before is None and now - gap.stretch.start <= TAIL_TOLERANCE


def _lasts(stretch: Stretch) -> bool:
    return stretch.start < stretch.end


def _is_counted(gap: Gap, inside: Stretch) -> bool:
    return gap.after is not None and gap.before is not None and inside == gap.stretch


def _missing(gap: Gap, inside: Stretch, ledger: Ledger) -> int | None:
    """About how many trades of a gap lie in the part of it."""
    seconds = (inside.end - inside.start).total_seconds()
    if gap.after is not None and gap.before is not None:
        ids = gap.before.trade_id - gap.after.trade_id - 1
        share = seconds / (gap.stretch.end - gap.stretch.start).total_seconds()
        return round(ids * share)
    pace = _pace_beside(gap, ledger)
    if pace is None:
        return None
    most = gap.before.trade_id - FIRST_TRADE_ID if gap.before is not None else None
    about = round(pace * seconds)
    return about if most is None else min(about, most)


def _pace_beside(gap: Gap, ledger: Ledger) -> float | None:
    """Trades a second in the ids held beside an open gap; None where none are."""
    islands = islands_of(ledger)
    if not islands:
        return None
    beside = islands[-1] if gap.before is None else islands[0]
    seconds = (beside.last_ns - beside.first_ns) / NS_PER_SECOND
    return (beside.last_id - beside.first_id) / seconds if seconds > 0 else None
