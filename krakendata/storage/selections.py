"""The one place where the SQL that selects candles is put together: which view, which stretch, folded, filled.

A selection gives the columns of `types.Candle`, in its order. Exact decimals; whoever wants floats casts around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from psycopg.sql import SQL, Composable, Composed, Identifier, Placeholder
from psycopg.sql import Literal as SqlLiteral

from krakendata.gaps import Stretch
from krakendata.intervals import FIRST_MONDAY, base_of
from krakendata.storage.sql import query
from krakendata.types import EPOCH, MINUTES_PER_WEEK, Interval

__all__ = ["Filling", "Selection", "select_candles"]

# What a statement says of itself is not for the server.
_REMARK = re.compile(r"^--.*\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True)
class Selection:
    """A statement with its parameters, by name."""

    statement: Composed
    parameters: dict[str, Any]

    def as_text(self) -> str:
        """The statement with its parameters written into it, for drivers that take them in another style."""
        text = self.statement.as_string(None)
        return _PLACEHOLDER.sub(lambda found: SqlLiteral(self.parameters[found[1]]).as_string(None), text)


@dataclass(frozen=True)
class Filling:
    """How buckets without trades are added (filling.py).

    `quiet`: the stretches of whole buckets that are covered. `breaks`: the buckets from which on prices are known anew.
    `close`: the price before the selection, None where it is not known; of no use to "null".
    """

    mode: Literal["flat", "null"]
    quiet: Sequence[Stretch]
    breaks: Sequence[datetime] = ()
    close: Decimal | None = None


class _Parameters:
    """Gathers the parameters of a statement, each under a name of its own."""

    def __init__(self) -> None:
        self.named: dict[str, Any] = {}

    def add(self, value: Any) -> Placeholder:
        name = f"p{len(self.named)}"
        self.named[name] = value
        return Placeholder(name)


def select_candles(
    interval: Interval,
    symbol: str,
    stretch: Stretch,
    *,
    stale: Sequence[Stretch] = (),
    rollup: str | None = None,
    filling: Filling | None = None,
    limit: int | None = None,
    newest_first: bool = False,
) -> Selection:
    """The candles that start in `stretch`, oldest first unless `newest_first`; with `limit` the first so many.

    `stretch` is of whole buckets. `stale` are its parts, sorted and apart, of whole buckets above the fence, where the
    rollup may be behind its minutes (stale.py): they are folded from these. `rollup` is the relation that answers for
    the other parts, where it can alone: above the fence, without candles of archives; else the interval's view does.
    """
    parameters = _Parameters()
    name = parameters.add(symbol)
    candles = _parts(base_of(interval), name, stretch, stale, rollup, parameters)
    if not interval.is_stored:
        candles = _sql("candles_folded").format(
            symbol=name, bucket=_bucket(interval, parameters), parts=candles
        )
    if filling is not None:
        candles = _filled(interval, name, candles, filling, parameters)
    order = SQL("timestamp DESC" if newest_first else "timestamp")
    statement = SQL("SELECT * FROM ({candles}) candles ORDER BY {order}").format(candles=candles, order=order)
    if limit is not None:
        statement += SQL(" LIMIT {limit}").format(limit=parameters.add(limit))
    return Selection(statement, parameters.named)


def _parts(
    base: Interval,
    symbol: Placeholder,
    stretch: Stretch,
    stale: Iterable[Stretch],
    rollup: str | None,
    parameters: _Parameters,
) -> Composed:
    parts = []
    for part, is_stale in _divided(stretch, stale if base.parent else ()):
        bounds = {"start": parameters.add(part.start), "end": parameters.add(part.end)}
        if is_stale:
            candles: Composable = _sql("candles_of_minutes").format(
                symbol=symbol, minutes=parameters.add(base.minutes), **bounds
            )
        elif rollup is not None:
            candles = _sql("candles_in_rollup").format(rollup=Identifier(rollup), symbol=symbol, **bounds)
        else:
            candles = _sql("candles_in_view").format(view=Identifier(base.view), symbol=symbol, **bounds)
        parts.append(candles)
    return SQL("\nUNION ALL\n").join(parts)


def _divided(stretch: Stretch, stale: Iterable[Stretch]) -> Iterator[tuple[Stretch, bool]]:
    """The parts of a stretch in order, and whether each is stale; at least one."""
    start = stretch.start
    for each in stale:
        if start < each.start:
            yield Stretch(start, each.start), False
        yield each, True
        start = each.end
    if start < stretch.end or start == stretch.start:
        yield Stretch(start, stretch.end), False


def _bucket(interval: Interval, parameters: _Parameters) -> Composed:
    if interval.months:
        return _sql("bucket_of_months").format(months=parameters.add(interval.months))
    origin = EPOCH if interval.minutes % MINUTES_PER_WEEK else FIRST_MONDAY
    return _sql("bucket_of_minutes").format(
        minutes=parameters.add(interval.minutes), origin=parameters.add(origin)
    )


def _filled(
    interval: Interval, symbol: Placeholder, candles: Composed, filling: Filling, parameters: _Parameters
) -> Composed:
    buckets = _sql("quiet_buckets").format(
        starts=parameters.add([each.start for each in filling.quiet]),
        ends=parameters.add([each.end for each in filling.quiet]),
        minutes=parameters.add(interval.minutes),
        months=parameters.add(interval.months),
    )
    parts: dict[str, Composable] = {"symbol": symbol, "candles": candles, "buckets": buckets}
    if filling.mode == "flat":
        parts |= {
            "breaks": parameters.add(list(filling.breaks)),
            "close": parameters.add(filling.close),
        }
    return _sql(f"candles_filled_{filling.mode}").format(**parts)


@cache
def _sql(name: str) -> SQL:
    return SQL(_REMARK.sub("", query(name)))
