"""Tables into files, piece by piece: under another name until they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

__all__ = ["UNFINISHED", "Format", "TableFile", "open_table_file"]

# What an export that was killed leaves, and the next one removes.
UNFINISHED = ".krakendata-unfinished"


class Format(StrEnum):
    """What a file is; the member's name is its ending."""

    PARQUET = "parquet"
    CSV = "csv"
    FEATHER = "feather"
    ARROW = "arrow"


class TableFile(Protocol):
    """A file that takes tables of one schema."""

    def write_table(self, table: pa.Table) -> None:
        """Append the rows."""


@contextmanager
def open_table_file(path: Path, schema: pa.Schema, kind: Format) -> Iterator[TableFile]:
    """A new file at `path`, which is there when the block has ended well, and otherwise is as it was.

    Feather is Arrow's file format compressed by LZ4, arrow the same uncompressed, to be mapped into memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            with _writer(file, schema, kind) as writer:
                yield writer
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _writer(file: object, schema: pa.Schema, kind: Format) -> pyarrow.parquet.ParquetWriter:
    match kind:
        case Format.PARQUET:
            return pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")
        case Format.CSV:
            return pyarrow.csv.CSVWriter(file, schema)
        case Format.FEATHER:
            return pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        case Format.ARROW:
            return pa.ipc.new_file(file, schema)
