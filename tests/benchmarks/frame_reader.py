"""One way of reading a pair's minutes into a frame, in a process of its own, which tells how long it took.

`python -m tests.benchmarks.frame_reader WAY ISO_START ISO_END DIRECTORY`: DIRECTORY holds the files to read, or, for
the way "write", those to be written. Imports come before the clock is started.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from krakendata.storage.conninfo import arguments_from_url
from tests.benchmarks.read_market import SYMBOL

NUMBERS = ("open", "high", "low", "close", "volume")
COLUMNS = (*NUMBERS, "trade_count")
FEATHER, PARQUET = "minutes.feather", "minutes.parquet"

# What anybody would ask of the view, numbers as doubles.
FLOATS = (
    f"SELECT timestamp, {', '.join(f'{name}::float8' for name in NUMBERS)}, trade_count FROM all_candles_1m "
    "WHERE symbol = '{symbol}' AND timestamp >= '{start}' AND timestamp < '{end}' ORDER BY timestamp"
)
# Of COPY's binary format: a signature and two numbers before the rows, and behind them the end.
COPY_HEAD_BYTES, COPY_END_BYTES = 19, 2
# PostgreSQL counts its microseconds from the year 2000.
POSTGRES_EPOCH_US = 946_684_800_000_000


@dataclass(frozen=True)
class Asked:
    """Where and what to read."""

    url: str
    start: datetime
    end: datetime
    directory: Path

    @property
    def statement(self) -> str:
        return FLOATS.format(symbol=SYMBOL, start=self.start.isoformat(), end=self.end.isoformat())


# Imports what it needs, and gives what reads: a frame, or anything that knows its length.
Way = Callable[[Asked], Callable[[], Any]]


def provider(asked: Asked, *, exact: bool = False) -> Callable[[], Any]:
    """The provider's columns."""
    from krakendata.historical_provider import HistoricalDataProvider

    async def read() -> Any:
        async with HistoricalDataProvider(asked.url) as connected:
            return await connected.get_candle_columns(
                SYMBOL, "1m", asked.start, asked.end, columns=COLUMNS, exact=exact
            )

    return lambda: asyncio.run(read())


def provider_polars(asked: Asked) -> Callable[[], Any]:
    read = provider(asked)
    return lambda: read().to_polars()


def provider_exact(asked: Asked) -> Callable[[], Any]:
    read = provider(asked, exact=True)
    return lambda: read().to_polars()


def provider_pandas(asked: Asked) -> Callable[[], Any]:
    import pandas  # noqa: F401

    read = provider(asked)
    return lambda: read().to_pandas()


def copy_polars(asked: Asked) -> Callable[[], Any]:
    """The bare binary path without a driver for it: COPY's binary rows are records of NumPy."""
    import numpy as np
    import polars as pl
    import psycopg

    names = ("timestamp", *COLUMNS)
    types = {name: ">f8" if name in NUMBERS else ">i8" for name in names}
    record = np.dtype(
        [("fields", ">i2")]
        + [part for name in names for part in ((f"{name}_size", ">i4"), (name, types[name]))]
    )

    def read() -> Any:
        with psycopg.connect(**arguments_from_url(asked.url)) as connection:
            statement = f"COPY ({asked.statement}) TO STDOUT (FORMAT binary)"
            with connection.cursor().copy(statement.encode()) as copy:
                data = b"".join(copy)
        count = (len(data) - COPY_HEAD_BYTES - COPY_END_BYTES) // record.itemsize
        rows = np.frombuffer(data, record, count, COPY_HEAD_BYTES)
        columns = {name: rows[name].astype(types[name].replace(">", "=")) for name in names}
        columns["timestamp"] = (columns["timestamp"] + POSTGRES_EPOCH_US).view("datetime64[us]")
        return pl.DataFrame(columns)

    return read


def adbc_polars(asked: Asked) -> Callable[[], Any]:
    """ADBC's driver, which reads the same binary rows in C."""
    import adbc_driver_postgresql.dbapi as adbc
    import polars as pl

    known = arguments_from_url(asked.url)
    names = {"user": "user", "password": "password", "host": "host", "port": "port", "dbname": "dbname"}
    address = " ".join(f"{name}={known[key]}" for key, name in names.items() if known.get(key))

    def read() -> Any:
        with adbc.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute(asked.statement)
            return pl.from_arrow(cursor.fetch_arrow_table())

    return read


def orm_polars(asked: Asked) -> Callable[[], Any]:
    """Django's ORM as most would use it."""
    import polars as pl

    _set_up_django()
    from krakendata.models import Candle

    def read() -> Any:
        rows = Candle.objects.filter(
            symbol=SYMBOL, interval_minutes=1, timestamp__gte=asked.start, timestamp__lt=asked.end
        ).order_by("timestamp")
        return pl.DataFrame(
            list(rows.values_list("timestamp", *COLUMNS)), schema=["timestamp", *COLUMNS], orient="row"
        )

    return read


def queryset_polars(asked: Asked) -> Callable[[], Any]:
    """Our models' own way out of the ORM."""
    import polars  # noqa: F401

    _set_up_django()
    from krakendata.models import Candle

    def read() -> Any:
        rows = Candle.objects.for_symbol(SYMBOL).between(asked.start, asked.end).values("timestamp", *COLUMNS)
        return rows.to_polars(exact=False)

    return read


def feather_polars(asked: Asked) -> Callable[[], Any]:
    import polars as pl

    return lambda: pl.read_ipc(asked.directory / FEATHER)


def feather_pandas(asked: Asked) -> Callable[[], Any]:
    """As freqtrade reads its history."""
    import pandas as pd

    return lambda: pd.read_feather(asked.directory / FEATHER)


def parquet_polars(asked: Asked) -> Callable[[], Any]:
    import polars as pl

    return lambda: pl.read_parquet(asked.directory / PARQUET)


def parquet_pandas(asked: Asked) -> Callable[[], Any]:
    import pandas as pd

    return lambda: pd.read_parquet(asked.directory / PARQUET)


def write(asked: Asked) -> Callable[[], Any]:
    """The files that are read: Feather and Parquet as pyarrow writes them unless told otherwise."""
    import pyarrow.feather as feather
    import pyarrow.parquet as parquet

    read = provider(asked)

    def write_both() -> Any:
        table = read().to_arrow()
        feather.write_feather(table, asked.directory / FEATHER)
        parquet.write_table(table, asked.directory / PARQUET)
        return table

    return write_both


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        provider_polars, provider_pandas, provider_exact, copy_polars, adbc_polars, orm_polars, queryset_polars,
        feather_polars, feather_pandas, parquet_polars, parquet_pandas, write,
    )
}  # fmt: skip


def _set_up_django() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()


def main() -> None:
    """Read once and print how many rows, and in how many seconds."""
    way, start, end, directory = sys.argv[1:]
    asked = Asked(
        os.environ["DATABASE_URL"],
        datetime.fromisoformat(start),
        datetime.fromisoformat(end),
        Path(directory),
    )
    read = WAYS[way](asked)
    started = time.perf_counter()
    rows = len(read())
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
