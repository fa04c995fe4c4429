"""What the ledger says of a pair, in sentences for people. Pure; `now` is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from krakendata.gaps import FIRST_TRADE_ID, Gap, IdRange, Ledger, gaps_of, islands_of
from krakendata.types import INTERVALS, moment_of

__all__ = ["ledger_in_words"]

# More gaps than these are counted, not listed.
GAPS_TOLD = 5

_NAMES = {interval.minutes: interval.name for interval in INTERVALS.values()}


def ledger_in_words(
    ledger: Ledger, absent: Iterable[IdRange], rejected: Iterable[IdRange], now: datetime
) -> list[str]:
    """A sentence for each thing that is known: what is in, what is missing, what was answered for, what was checked.

    `ledger` is of the pair's whole life; times are told in UTC.
    """
    return [
        *_held(ledger),
        *_missing(ledger, now),
        *_answered("the exchange itself does not have: it said so twice", absent),
        *_answered("we refused, for a reason that is on record", rejected),
        *_archives(ledger),
        *_checked(ledger),
    ]


def _held(ledger: Ledger) -> list[str]:
    islands = islands_of(ledger)
    without_ids = [run for run in ledger.trade_runs if not run.is_exact]
    said = []
    if len(islands) == 1:
        (only,) = islands
        said.append(
            f"Trades {only.first_id:,} to {only.last_id:,} are in without a step, "
            f"from {_moment(only.first_ns)} to {_moment(only.last_ns)}."
        )
    elif islands:
        ids = sum(each.last_id - each.first_id + 1 for each in islands)
        said.append(
            f"{ids:,} trade ids are in, in {len(islands):,} pieces, "
            f"from {_moment(islands[0].first_ns)} to {_moment(islands[-1].last_ns)}."
        )
    if without_ids:
        first, last = (
            min(run.first_ns for run in without_ids),
            max(run.last_ns for run in without_ids),
        )
        said.append(
            f"Archives without ids gave trades from {_moment(first)} to {_moment(last)}: probably all, "
            "but nothing shows it."
        )
    if not said and not ledger.candle_runs:
        said.append("Nothing was collected yet.")
    return said


def _missing(ledger: Ledger, now: datetime) -> list[str]:
    islands = islands_of(ledger)
    if not islands:
        return []
    said = []
    before = islands[0].first_id - FIRST_TRADE_ID
    if before:
        were = "was" if before == 1 else "were"
        said.append(f"Before the first of them the exchange has {before:,} more that {were} not collected.")
    else:
        said.append("The pair's very first trade is in: before it there is nothing to miss.")
    inside = [gap for gap in gaps_of(ledger, None, now) if gap.after is not None and gap.before is not None]
    said += [_gap(gap) for gap in inside[-GAPS_TOLD:]]
    if older := len(inside[:-GAPS_TOLD]):
        said.append(f"There are {older:,} older gaps." if older > 1 else "There is 1 older gap.")
    if not inside:
        said.append("Between the first and the last no id is missing.")
    return said


def _gap(gap: Gap) -> str:
    after, before = gap.after, gap.before
    if after is None or before is None:
        return ""
    first, last = after.trade_id + 1, before.trade_id - 1
    ids = f"Id {first:,} is" if first == last else f"Ids {first:,} to {last:,} ({last - first + 1:,}) are"
    return f"{ids} missing, between {_moment(after.ns)} and {_moment(before.ns)}."


def _answered(what: str, answers: Iterable[IdRange]) -> list[str]:
    count = sum(answer.last_id - answer.first_id + 1 for answer in answers)
    return [f"{count:,} {'id' if count == 1 else 'ids'} {what}."] if count else []


def _archives(ledger: Ledger) -> list[str]:
    return [
        f"Candles of {_NAMES.get(run.interval_minutes, f'{run.interval_minutes} minutes')} were given from "
        f"{run.stretch.start:%Y-%m-%d %H:%M} to {run.stretch.end:%Y-%m-%d %H:%M}."
        for run in ledger.candle_runs[-GAPS_TOLD:]
    ]


def _checked(ledger: Ledger) -> list[str]:
    if ledger.check is None:
        return []
    moment = _moment(ledger.check.checked_ns)
    if ledger.check.last_id < FIRST_TRADE_ID:
        return [f"At {moment} the exchange had no trade of the pair yet."]
    return [f"At {moment} the exchange's newest trade was {ledger.check.last_id:,}."]


def _moment(ns: int) -> str:
    return f"{moment_of(ns):%Y-%m-%d %H:%M:%S}"
