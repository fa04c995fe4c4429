"""Which symbol a name means, by the list of pairs and by what was ever collected, and where its data lie."""

from __future__ import annotations

import difflib

from krakendata.errors import UnknownSymbol
from krakendata.held_candles import held_range
from krakendata.storage.queries import Bounds, Connection, read_bounds, read_symbols_with_data
from krakendata.types import LONGEST_NAME, Interval, Symbols

__all__ = ["find_symbol"]

CLOSEST_NAMED = 5


async def find_symbol(
    connection: Connection, symbols: Symbols, name: str, interval: Interval
) -> tuple[str, Bounds]:
    """The symbol called `name` and where its data lie; an unheard-of one raises UnknownSymbol."""
    try:
        symbol = symbols.resolve(name, find_closest=False)
    except UnknownSymbol as error:
        raise await _unknown(connection, symbols, name) from error
    bounds = await read_bounds(connection, interval, symbol)
    if held_range(interval, bounds) is not None or symbols.pair(symbol) is not None:
        return symbol, bounds
    if symbol in await read_symbols_with_data(connection):
        return symbol, bounds
    raise await _unknown(connection, symbols, name)


async def _unknown(connection: Connection, symbols: Symbols, name: str) -> UnknownSymbol:
    listed = {pair.symbol for pair in symbols.pairs}
    known = sorted(listed.union(await read_symbols_with_data(connection)))
    closest = difflib.get_close_matches(name[:LONGEST_NAME].upper(), known, n=CLOSEST_NAMED)
    return UnknownSymbol(name, closest or known[:CLOSEST_NAMED])
