"""Write the exchange's list of pairs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from psycopg import AsyncConnection

from krakendata.storage.sql import query
from krakendata.types import Pair


async def write_pairs(connection: AsyncConnection[Any], pairs: Sequence[Pair]) -> None:
    """Take over the exchange's list; pairs that are gone from it stay, with the status `delisted`."""
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute(query("retire_pairs"), {"symbols": [pair.symbol for pair in pairs]})
        await cursor.executemany(query("write_pair"), [asdict(pair) for pair in pairs])
