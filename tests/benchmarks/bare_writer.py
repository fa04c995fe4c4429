"""What bare psycopg reaches with the batches that live_load wrote: the same rows and sizes, a transaction each.

`python -m tests.benchmarks.bare_writer WAY LOAD`, the sizes of the batches on stdin, into the tables of a fresh
database at DATABASE_URL; prints the seconds. Making the rows is not counted. The ways:

    rows       trades by COPY, each row given as Python values: the loop anybody would write
    text       trades by COPY of text that is ready: the least that the database can be asked for
    candles    candles by COPY into a temporary table and INSERT ... ON CONFLICT DO UPDATE
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import psycopg

from krakendata.storage.conninfo import arguments_from_url
from tests.benchmarks.live_market import Element, Load, taking

COPY_TRADES = "COPY trades (symbol, timestamp, trade_id, price, volume, side, order_type) FROM STDIN"
STAGE = (
    "CREATE TEMP TABLE staged (symbol text, timestamp timestamptz, open numeric, high numeric, low numeric, "
    "close numeric, volume numeric, turnover numeric, trade_count bigint) ON COMMIT DELETE ROWS"
)
COLUMNS = ("open", "high", "low", "close", "volume", "turnover", "trade_count")
COPY_CANDLES = f"COPY staged (symbol, timestamp, {', '.join(COLUMNS)}) FROM STDIN"
UPSERT = (
    f"INSERT INTO candles (symbol, timestamp, {', '.join(COLUMNS)}) SELECT * FROM staged "
    "ON CONFLICT (symbol, interval_minutes, timestamp) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)
)

Write = Callable[[psycopg.Cursor[Any], Sequence[Element]], float]


def main(way: str, load: Load, sizes: Iterable[int]) -> float:
    """Write the batches; the seconds that it took."""
    take, write = batches_of(load), WAYS[way]
    with psycopg.connect(**arguments_from_url(os.environ["DATABASE_URL"]), autocommit=True) as connection:
        connection.execute(STAGE)
        with connection.cursor() as cursor:
            return sum(write(cursor, take(size)) for size in sizes)


def batches_of(load: Load) -> Callable[[int], list[Element]]:
    """Gives exactly so many of the load's elements at a time."""
    take = taking(load)
    waiting: list[Element] = []

    def take_exactly(size: int) -> list[Element]:
        while len(waiting) < size:
            waiting.extend(take(size - len(waiting)))
        taken = waiting[:size]
        del waiting[:size]
        return taken

    return take_exactly


def write_rows(cursor: psycopg.Cursor[Any], elements: Sequence[Element]) -> float:
    rows = [trade_row(each) for each in elements]
    began = time.monotonic()
    with cursor.connection.transaction(), cursor.copy(COPY_TRADES) as copy:
        for row in rows:
            copy.write_row(row)
    return time.monotonic() - began


def write_text(cursor: psycopg.Cursor[Any], elements: Sequence[Element]) -> float:
    text = "".join("\t".join(map(str, trade_row(each))) + "\n" for each in elements)
    began = time.monotonic()
    with cursor.connection.transaction(), cursor.copy(COPY_TRADES) as copy:
        copy.write(text)
    return time.monotonic() - began


def upsert_candles(cursor: psycopg.Cursor[Any], elements: Sequence[Element]) -> float:
    rows = [candle_row(each) for each in elements]
    began = time.monotonic()
    with cursor.connection.transaction():
        with cursor.copy(COPY_CANDLES) as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(UPSERT)
    return time.monotonic() - began


def trade_row(element: Element) -> tuple[Any, ...]:
    moment = datetime.fromisoformat(element["timestamp"])
    names = ("trade_id", "price", "qty", "side", "ord_type")
    return (element["symbol"], moment, *(element[name] for name in names))


def candle_row(element: Element) -> tuple[Any, ...]:
    moment = datetime.fromisoformat(element["interval_begin"])
    prices = (element[name] for name in ("open", "high", "low", "close", "volume"))
    return (element["symbol"], moment, *prices, element["vwap"] * element["volume"], element["trades"])


WAYS: dict[str, Write] = {"rows": write_rows, "text": write_text, "candles": upsert_candles}


if __name__ == "__main__":
    way, load = sys.argv[1:]
    print(main(way, Load(**json.loads(load)), json.load(sys.stdin)))
