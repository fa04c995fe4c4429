"""A block of CSV bytes as a frame of text columns, and the readings of one column that are certain.

Whole columns are read at once for speed. A reading is null wherever it is not certain: those rows go one by one
through validation.py, which alone decides. So nothing here may accept what validation.py refuses.
"""

import polars as pl

from krakendata.kraken.archives import Layout, RawBlock

# Prices and volumes as integers of this many decimals. The product of two then has twice as many, and a minute's
# turnover up to 10^14 still fits the 38 digits of a 128-bit integer.
SCALE = 12

# Decimals read at first, so that a number finer than SCALE is noticed rather than rounded.
READ_SCALE = 18
FINER = 10 ** (READ_SCALE - SCALE)

# A number this short has at most READ_SCALE decimals.
MAX_PLAIN_LENGTH = READ_SCALE + 1
SHORT_EXPONENT = r"^[0-9](\.[0-9]{1,8})?[eE][+-]?0?[0-9]$"

# Plain digits only: the reader takes signs and spaces that deserve a second look.
SECONDS = r"^[0-9]{10}$"
FRACTION = r"^[0-9]{1,9}$"

OVERFLOW = "overflow"

# Columns that no good row leaves empty: with one of them last, a missing field cannot hide.
NEVER_EMPTY = frozenset(
    {"timestamp", "price", "volume", "trade_id", "trades", "open", "high", "low", "close"}
)


def read_fields(raw: RawBlock, layout: Layout) -> pl.DataFrame:
    """One row a line of the block, every field as text, empty or missing ones null.

    `line` counts from the file's first line; `fits` says that the line has exactly the layout's fields.
    """
    schema = dict.fromkeys((*layout.columns, OVERFLOW), pl.String)
    frame = pl.read_csv(
        raw.data,
        has_header=False,
        schema=schema,
        quote_char=None,
        encoding="utf8" if raw.data.isascii() else "utf8-lossy",
        missing_columns="insert",
        extra_columns="ignore",
        truncate_ragged_lines=True,
    )
    return frame.with_columns(_fits(raw, layout, frame)).with_row_index("line", offset=raw.first_line)


def _fits(raw: RawBlock, layout: Layout, frame: pl.DataFrame) -> pl.Expr:
    """Counting the block's commas once settles it if no line has too few; otherwise they are counted line by line."""
    rows, commas = frame.height, len(layout.columns) - 1
    last = layout.columns[-1]
    if raw.data.count(b",") == rows * commas and last in NEVER_EMPTY and frame[last].null_count() == 0:
        fits = pl.lit(value=True)
    else:
        counts = [line.count(b",") == commas for line in raw.data.split(b"\n")[:rows]]
        fits = pl.lit(pl.Series(counts, dtype=pl.Boolean))
    return fits.alias("fits")


def scaled(column: str) -> pl.Expr:
    """The number as a 128-bit integer of READ_SCALE decimals; null unless it is positive and exactly that."""
    text = pl.col(column)
    certain = (text.str.len_bytes() <= MAX_PLAIN_LENGTH) & (
        ~text.str.contains_any(["e", "E"]) | text.str.contains(SHORT_EXPONENT)
    )
    number = text.cast(pl.Decimal(38, READ_SCALE), strict=False).to_physical()
    return pl.when(certain & (number > 0)).then(number)


def nanoseconds(column: str) -> pl.Expr:
    """Unix seconds, whole or with a fraction of up to nine digits, as integer nanoseconds; null otherwise."""
    parts = pl.col(column).str.splitn(".", 2)
    whole, fraction = parts.struct.field("field_0"), parts.struct.field("field_1")
    seconds = pl.when(whole.str.contains(SECONDS)).then(whole).cast(pl.Int64, strict=False)
    rest = (
        pl.when(fraction.is_null())
        .then(pl.lit("0"))
        .when(fraction.str.contains(FRACTION))
        .then(fraction)
        .str.pad_end(9, "0")
        .cast(pl.Int64, strict=False)
    )
    return seconds * 1_000_000_000 + rest


def lines_of(raw: RawBlock, numbers: list[int]) -> list[str]:
    """The text of the lines with these numbers."""
    if not numbers:
        return []
    lines = raw.data.split(b"\n")
    return [lines[number - raw.first_line].decode("utf-8", "replace") for number in numbers]
