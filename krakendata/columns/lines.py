"""From lines of comma-separated values to Arrow tables: which columns there are, and of which types."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv

from krakendata.errors import NotExact

__all__ = ["CANDLE_COLUMNS", "TRADE_COLUMNS", "schema_of", "table_of"]

# The database keeps microseconds.
TIME = pa.timestamp("us", tz="UTC")
# Kraken publishes prices with ten decimals at most and volumes with eight, so that a turnover has eighteen. 38 digits
# are what Polars and most readers of Parquet can hold, and leave twenty before the point.
EXACT = pa.decimal128(38, 18)
FLOAT = pa.float64()
# Stands for EXACT or FLOAT, as the caller wants it.
NUMBER = None

# A vwap is a quotient, which has no last decimal: always a float.
CANDLE_COLUMNS: Mapping[str, Any] = {
    "timestamp": TIME,
    "open": NUMBER,
    "high": NUMBER,
    "low": NUMBER,
    "close": NUMBER,
    "volume": NUMBER,
    "vwap": FLOAT,
    "trade_count": pa.int64(),
    "turnover": NUMBER,
    "first_id": pa.int64(),
    "last_id": pa.int64(),
    "coarse": pa.bool_(),
}
TRADE_COLUMNS: Mapping[str, Any] = {
    "timestamp": TIME,
    "trade_id": pa.int64(),
    "price": NUMBER,
    "volume": NUMBER,
    "side": pa.string(),
    "order_type": pa.string(),
}


def schema_of(known: Mapping[str, Any], names: Sequence[str] | None, *, exact: bool) -> pa.Schema:
    """The columns `names` of the `known` ones in this order, the time always first; all of them for None.

    Raises ValueError for a name that is not known.
    """
    wanted = (
        ["timestamp", *(name for name in names if name != "timestamp")] if names is not None else [*known]
    )
    for name in wanted:
        if name not in known:
            raise ValueError(f"There is no column {name!r}; there are {', '.join(known)}.")
    number = EXACT if exact else FLOAT
    return pa.schema(
        [(name, number if known[name] is NUMBER else known[name]) for name in dict.fromkeys(wanted)]
    )


def table_of(text: bytes, schema: pa.Schema) -> pa.Table:
    """The lines as a table; times come as microseconds since 1970, what is empty is null.

    Raises NotExact where a number has more digits than an exact column holds.
    """
    types = {field.name: pa.int64() if field.type == TIME else field.type for field in schema}
    reading = pyarrow.csv.ReadOptions(column_names=schema.names)
    converting = pyarrow.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    try:
        table = pyarrow.csv.read_csv(pa.BufferReader(text), read_options=reading, convert_options=converting)
        # The reader takes a digit more than the type has, where 128 bits allow it.
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        if "decimal" not in str(error).lower():
            raise
        raise NotExact from error
    return table.cast(schema)
