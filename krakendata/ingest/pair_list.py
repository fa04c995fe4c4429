"""The exchange's list of pairs taken over: what is new, renamed, delisted and back; and which pairs are tracked.

A pair that is gone keeps its row and its history, with the status `delisted`, or `renamed` and the symbol listed in its
place. A list that is too short to be true changes nothing.
"""

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from krakendata.errors import NotListed, Unavailable
from krakendata.kraken.rest import KrakenRest
from krakendata.kraken.wire import PairList
from krakendata.storage.pairs import (
    PairChanges,
    TrackedPair,
    lock_pairs,
    read_renamed_pairs,
    write_pairs,
)
from krakendata.storage.pairs import track_pairs as mark_tracked
from krakendata.storage.pairs import untrack_pairs as mark_untracked
from krakendata.storage.queries import read_pairs
from krakendata.storage.sessions import connect
from krakendata.types import Pair, Symbols

logger = logging.getLogger(__name__)

# Kraken has never delisted more than a few dozen pairs in a day, of more than a thousand; an answer that lacks half
# of them is a fault on the way or another exchange's.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class PairListReport:
    """What taking over a list changed, by symbol.

    `listed` counts the pairs of the list. `renamed` leads from old symbols to new, `unreadable` from REST keys to what
    is wrong with the entry: what was known of that pair stays. `tracking` are the new symbols that are tracked in the
    place of a renamed one. `changed` were listed before, with other names, decimals or another status.
    """

    listed: int
    new: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    delisted: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    tracking: tuple[str, ...] = ()

    @property
    def is_change(self) -> bool:
        """Whether anything is other than it was."""
        return bool(self.new or self.renamed or self.delisted or self.returned or self.changed)


async def refresh_pairs(
    database: str | Mapping[str, Any], rest: KrakenRest, *, accept_short: bool = False
) -> PairListReport:
    """Ask the exchange for its list and take it over.

    Raises KrakenError when there is no list to be had, Unavailable also for one that is absurdly short, unless
    `accept_short`: then what is not in it is gone.
    """
    return await take_pairs(database, await rest.asset_pairs(), accept_short=accept_short)


async def take_pairs(
    database: str | Mapping[str, Any], answer: PairList, *, accept_short: bool = False
) -> PairListReport:
    """Take over a list that was asked for before; likewise."""
    async with connect(database) as connection, connection.transaction():
        await lock_pairs(connection)
        known = await read_pairs(connection)
        if not accept_short:
            refuse_short_list(known, answer)
        changes, report = compare_lists(known, answer)
        tracking = await write_pairs(connection, changes)
    told = {"new": report.new, "delisted": report.delisted, "returned": report.returned}
    logger.info(
        "refreshed pairs listed=%d %s renamed=%s unreadable=%d",
        report.listed,
        " ".join(f"{name}={len(symbols)}" for name, symbols in told.items()),
        dict(report.renamed),
        len(report.unreadable),
    )
    return PairListReport(**{**vars(report), "tracking": tuple(tracking)})


def refuse_short_list(known: Iterable[Pair], answer: PairList) -> None:
    """Raise Unavailable for a list with less than half of what is listed, by what is known, or with nothing."""
    listed = sum(not pair.is_gone for pair in known)
    given = len(answer.pairs) + len(answer.unreadable)
    if given >= max(1, LEAST_SHARE * listed):
        return
    raise Unavailable(
        f"The list has {given:,} pairs where {listed:,} are known as listed: too few to be believed, and nothing was "
        "changed. Try again later; if it is right, run manage.py import_pairs --accept-short."
    )


def compare_lists(known: Iterable[Pair], answer: PairList) -> tuple[PairChanges, PairListReport]:
    """What a list does to what is known, for the table and for people.

    A known pair that is missing was renamed if another symbol bears its key now, or else its altname; the exchange
    reuses the names of long gone pairs, which therefore stay as they are.
    """
    by_symbol = {pair.symbol: pair for pair in known}
    unreadable = dict(answer.unreadable)
    kept = {symbol for symbol, pair in by_symbol.items() if not pair.is_gone and pair.key in unreadable}
    listed = _without_doubles(answer.pairs, [by_symbol[symbol] for symbol in kept], unreadable)
    owner = {pair.altname: symbol for symbol, pair in listed.items()}
    owner |= {pair.key: symbol for symbol, pair in listed.items()}
    missing = [
        pair
        for symbol, pair in by_symbol.items()
        if not pair.is_gone and symbol not in listed and symbol not in kept
    ]
    renamed = {
        pair.symbol: new for pair in missing if (new := owner.get(pair.key) or owner.get(pair.altname))
    }
    delisted = [pair.symbol for pair in missing if pair.symbol not in renamed]
    before = {symbol: by_symbol[symbol] for symbol in listed if symbol in by_symbol}
    report = PairListReport(
        listed=len(listed),
        new=tuple(sorted(listed.keys() - before.keys())),
        renamed=renamed,
        delisted=tuple(sorted(delisted)),
        returned=tuple(sorted(symbol for symbol, pair in before.items() if pair.is_gone)),
        changed=tuple(sorted(s for s, pair in before.items() if not pair.is_gone and pair != listed[s])),
        unreadable=unreadable,
    )
    freed = [s for s, pair in before.items() if not pair.is_gone and _names(pair) != _names(listed[s])]
    return PairChanges(list(listed.values()), freed, renamed, delisted), report


def _without_doubles(
    pairs: Sequence[Pair], kept: Sequence[Pair], unreadable: dict[str, str]
) -> dict[str, Pair]:
    """The pairs by symbol; of two with a name in common the first, the other one is told as unreadable."""
    owners = {name: pair for pair in kept for name in _names(pair)}
    listed: dict[str, Pair] = {}
    for pair in pairs:
        owner = next((owners[name] for name in _names(pair) if name in owners), None)
        if owner is not None:
            unreadable[pair.key] = f"AssetPairs entry {pair.key!r} shares a name with {owner.key!r}."
            continue
        listed[pair.symbol] = pair
        owners |= dict.fromkeys(_names(pair), pair)
    return listed


def _names(pair: Pair) -> tuple[tuple[str, str], ...]:
    """Its names, each with its kind: one pair's key may be another's altname."""
    return tuple((kind, getattr(pair, kind)) for kind in ("symbol", "key", "altname", "wsname"))


async def track_pairs(
    database: str | Mapping[str, Any],
    names: Sequence[str],
    since: datetime | None = None,
    *,
    candles_only: bool = False,
) -> list[TrackedPair]:
    """Collect pairs (any spelling) from now on, and their past from `since` on, None: from their first trade.

    With `candles_only` only the minutes that the exchange gives are collected, from now on. A pair that is tracked
    already keeps its beginning unless `since` is given. All or none: raises UnknownSymbol for what is no pair's name,
    and NotListed for a pair that the exchange does not list (any more).
    """
    async with connect(database) as connection, connection.transaction():
        await lock_pairs(connection)
        symbols = Symbols(await read_pairs(connection))
        renamed = await read_renamed_pairs(connection)
        wanted = [_listed_symbol(name, symbols, renamed) for name in dict.fromkeys(names)]
        tracked = await mark_tracked(connection, wanted, since, candles_only)
    logger.info("tracked pairs symbols=%s since=%s candles_only=%s", wanted, since, candles_only)
    return sorted(tracked)


async def untrack_pairs(database: str | Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Collect pairs no more; what was collected stays. Gives the symbols of those that were tracked."""
    async with connect(database) as connection:
        symbols = Symbols(await read_pairs(connection))
        wanted = [symbols.resolve(name) for name in names]
        untracked = await mark_untracked(connection, wanted)
    logger.info("untracked pairs symbols=%s", untracked)
    return sorted(untracked)


def _listed_symbol(name: str, symbols: Symbols, renamed: Mapping[str, str]) -> str:
    symbol = symbols.resolve(name)
    pair = symbols.pair(symbol)
    if pair is None:
        closest = difflib.get_close_matches(symbol, [each.symbol for each in symbols.pairs], n=3)
        hint = f" Closest listed: {', '.join(closest)}." if closest else ""
        raise NotListed(symbol, f"the exchange's list does not have it (manage.py import_pairs --api).{hint}")
    if symbol in renamed:
        raise NotListed(symbol, f"the exchange lists it as {renamed[symbol]} today; track that.")
    if pair.is_gone:
        raise NotListed(symbol, "the exchange has delisted it. What was collected stays.")
    return symbol
