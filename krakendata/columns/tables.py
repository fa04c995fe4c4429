"""The answers in columns, and what they turn into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from krakendata.errors import NotInstalled
from krakendata.gaps import Coverage, Ledger
from krakendata.types import Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CandleColumns", "Columns", "TradeColumns"]

# Null where a candle was not built from trades.
IDS = ("first_id", "last_id")
# Kraken's ids begin at 1 and those of archives are negative.
NO_ID = 0


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Columns:
    """The rows of one answer in columns, oldest first, and how complete it is.

    `table` is an Arrow table. Its times are aware UTC, to the microsecond; numbers are float64, of an `exact` answer
    decimal128(38, 18). The other forms share its memory where they can: change none in place.
    """

    symbol: str
    coverage: Coverage
    table: pa.Table
    # What of the ledger the coverage was judged by, in the same state of the database.
    ledger: Ledger

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        asked = f"{self.coverage.asked.start:%Y-%m-%d %H:%M} to {self.coverage.asked.end:%Y-%m-%d %H:%M}"
        return f"<{type(self).__name__} {self._what}: {len(self):,} from {asked}>"

    @property
    def _what(self) -> str:
        return self.symbol

    def to_arrow(self) -> pa.Table:
        """The table itself."""
        return self.table

    def to_polars(self) -> pl.DataFrame:
        """A Polars frame of the same columns and types."""
        return cast(pl.DataFrame, pl.from_arrow(self.table))

    def to_pandas(self) -> pd.DataFrame:
        """A pandas frame, by time: its index is a DatetimeIndex in UTC named `timestamp`.

        Numbers are float64, exact ones Arrow's decimals; `first_id` and `last_id` are Int64, which knows NA.
        Raises NotInstalled without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise NotInstalled("pandas") from error
        exact = {
            field.type: pd.ArrowDtype(field.type) for field in self.table.schema if _is_decimal(field.type)
        }
        frame = self.table.to_pandas(types_mapper=exact.get)
        for name in IDS:
            if name in frame:
                nullable = {pa.int64(): pd.Int64Dtype()}
                frame[name] = self.table.column(name).to_pandas(types_mapper=nullable.get)
        return cast("pd.DataFrame", frame.set_index("timestamp"))

    def to_numpy(self) -> dict[str, npt.NDArray[Any]]:
        """One array a column, by name.

        Times are datetime64[us] in UTC, which NumPy does not say of them; unknown numbers are NaN, unknown ids 0,
        unknown texts empty. Raises ValueError for exact numbers, which NumPy has not.
        """
        return {name: _array(name, self.table.column(name)) for name in self.table.column_names}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class CandleColumns(Columns):
    """Candles in columns: those of `types.Candle`, or as many of them as were asked for, without the symbol.

    `is_forming`: the last row is of a bucket that is not over. There is none unless `include_open` asked for it.
    """

    interval: Interval
    is_forming: bool = False

    @property
    def _what(self) -> str:
        return f"{self.symbol} {self.interval.name}"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TradeColumns(Columns):
    """Trades in columns: by time and, within one time, by id. Trades of archives without ids have negative ones."""


def _array(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if _is_decimal(column.type):
        raise ValueError(f"NumPy has no exact decimals, as {name} is: ask for floats.")
    if pa.types.is_timestamp(column.type):
        return cast(npt.NDArray[Any], column.cast(pa.timestamp("us")).to_numpy())
    if pa.types.is_integer(column.type):
        return cast(npt.NDArray[Any], pc.fill_null(column, NO_ID).to_numpy())
    if pa.types.is_string(column.type):
        # A handful of words: looked up by their numbers instead of made anew for every cell.
        encoded = pc.fill_null(column, "").combine_chunks().dictionary_encode()
        words = np.array(encoded.dictionary.to_pylist(), dtype=str)
        return cast(npt.NDArray[Any], words[encoded.indices.to_numpy()])
    return cast(npt.NDArray[Any], column.to_numpy())


def _is_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind))
