"""Which rows have to wait: behind the trades line only units of five minutes that are whole are written.

What is folded there cannot be counted again. Where trades of a minute came in two pieces, a candle that was given ahead
of them would stand in the way of the first piece, and of the second.
"""

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from krakendata.gaps import TradeCheck
from krakendata.ingest.takeover import NS_PER_UNIT
from krakendata.ingest.trade_shapes import new_trades
from krakendata.storage.ledger import Holdings


@dataclass(frozen=True, slots=True)
class Parted:
    """Rows to write and rows to keep back. `beside` are ids of rows that the written ones do not share a unit with.

    `unopened` are the first ids of what is kept back for want of its beginning.
    """

    head: pl.DataFrame
    kept: pl.DataFrame
    beside: frozenset[int] = frozenset()
    unopened: frozenset[int] = frozenset()


def part_units(
    frame: pl.DataFrame,
    held: Holdings,
    line_ns: int,
    *,
    next_id: int | None,
    opens_ns: int | None,
    unopened: Collection[int],
    check: TradeCheck | None,
) -> Parted:
    """Keep back the units before `line_ns` in which rows begin or end without being joined to anything.

    A stretch of rows is joined by what is held, by the pair's beginning, by `next_id` (a row of another unit) and by a
    check that names its last id. A beginning without any is taken as it is, unless `opens_ns`, from when on nothing was
    traded before the first row, lies inside its unit, or its id is one of the `unopened`.
    """
    new = new_trades(frame, held)
    units = (new["ns"] // NS_PER_UNIT).to_list()
    line = line_ns // NS_PER_UNIT
    if not units or min(units) >= line:
        return Parted(frame, frame.clear(), frozenset() if next_id is None else frozenset({next_id}))
    ids = new["trade_id"].to_list()
    waiting: list[int] = []
    beside = set() if next_id is None else {next_id}
    still_unopened = set()
    for start, end in _stretches(ids, held):
        first_id, last_id = ids[start], ids[end - 1]
        ends_at = _first_ns_behind(units[end - 1])
        if check is not None and _is_newest(last_id, held, check) and check.checked_ns >= ends_at:
            beside.add(held.id_behind(last_id))
        behind = held.id_behind(last_id)
        is_ended = behind in beside or held.starting_at(behind) is not None
        is_begun = _is_begun(first_id, held) or not _is_doubtful(
            first_id, int(new["ns"][start]), opens_ns if start == 0 else None, unopened
        )
        head_start = start if is_begun or units[start] >= line else _behind_unit(units, start, end)
        head_end = end if is_ended or units[end - 1] >= line else _before_unit(units, start, end)
        if not is_begun and head_start > start:
            still_unopened.add(first_id)
        if head_start >= head_end:
            head_start = head_end = end
        waiting += [*range(start, head_start), *range(head_end, end)]
    kept = new[waiting]
    kept_ids = kept["trade_id"]
    return Parted(
        frame.filter(~pl.col("trade_id").is_in(kept_ids.to_list())),
        kept,
        frozenset({*beside, *kept_ids.to_list()}),
        frozenset(still_unopened),
    )


def _stretches(ids: list[int], held: Holdings) -> list[tuple[int, int]]:
    """Where ids without a step lie, as places [start, end)."""
    steps = [
        place
        for place in range(1, len(ids))
        if ids[place] != ids[place - 1] + 1 and ids[place] != held.id_behind(ids[place - 1])
    ]
    return list(zip([0, *steps], [*steps, len(ids)], strict=True))


def _is_newest(last_id: int, held: Holdings, check: TradeCheck) -> bool:
    return held.id_before(check.last_id + 1) == last_id


def _is_begun(first_id: int, held: Holdings) -> bool:
    before = held.id_before(first_id)
    return before == 0 or held.ending_at(before) is not None


def _is_doubtful(first_id: int, first_ns: int, opens_ns: int | None, unopened: Collection[int]) -> bool:
    """Whether something of the first row's unit is known to be left out, or may be."""
    if opens_ns is not None and opens_ns <= first_ns:
        return opens_ns > first_ns // NS_PER_UNIT * NS_PER_UNIT
    return first_id in unopened


def _first_ns_behind(unit: int) -> int:
    return (unit + 1) * NS_PER_UNIT


def _before_unit(units: list[int], start: int, end: int) -> int:
    """The place up to which rows lie before all units of the last ones; times may fall back."""
    place, unit = end, units[end - 1]
    while True:
        found = next(each for each in range(start, end) if units[each] >= unit)
        if found == place:
            return place
        place, unit = found, min(units[found:end])


def _behind_unit(units: list[int], start: int, end: int) -> int:
    """The place from which on rows lie behind all units of the first ones."""
    place, unit = start, units[start]
    while True:
        found = 1 + max(each for each in range(start, end) if units[each] <= unit)
        if found == place:
            return place
        place, unit = found, max(units[start:found])
