"""From a queryset to a Polars frame, by COPY: the database writes the rows as CSV, Polars reads them, both in bulk."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import connections

from krakendata.storage.sql import query

if TYPE_CHECKING:
    import polars as pl

# PostgreSQL's numbers of its types.
BOOLEAN, BIGINT, SMALLINT, INTEGER, DOUBLE, MOMENT, NUMERIC = 16, 20, 21, 23, 701, 1184, 1700
# As many as Polars and Arrow have in 128 bits, and as many behind the point as a price times a volume has.
PRECISION, SCALE = 38, 18


def frame_of(rows: Any, *, exact: bool) -> pl.DataFrame:
    """The rows of a queryset, its order kept; see `SeriesQuerySet.to_polars`."""
    import polars as pl

    names = [*_columns_of(rows.model), *rows.query.annotation_select]
    # The model's composite key is no column of its own.
    asked = rows if rows._fields else rows.values(*names)
    connection = connections[asked.db]
    copied = io.BytesIO()
    try:
        statement, parameters = asked.query.get_compiler(asked.db).as_sql()
        is_empty = False
    except EmptyResultSet:
        # Django knows that there are no rows; what columns they would have the database tells.
        asked = asked.all()
        asked.query.clear_where()
        statement, parameters = asked.query.get_compiler(asked.db).as_sql()
        is_empty = True
    with connection.cursor() as cursor:
        cursor.execute(query("rows_described").format(rows=statement), parameters)
        described = [(column.name, column.type_code) for column in cursor.description]
        columns = ", ".join(_cast(connection.ops.quote_name(name), kind) for name, kind in described)
        if not is_empty:
            with cursor.copy(
                query("rows_copied").format(columns=columns, rows=statement), parameters
            ) as copy:
                for block in copy:
                    copied.write(block)
    types = {
        BOOLEAN: pl.Boolean,
        BIGINT: pl.Int64,
        SMALLINT: pl.Int16,
        INTEGER: pl.Int32,
        DOUBLE: pl.Float64,
        MOMENT: pl.Int64,
        NUMERIC: pl.String if exact else pl.Float64,
    }
    schema = {name: types.get(kind, pl.String) for name, kind in described}
    copied.seek(0)
    frame = (
        pl.read_csv(copied, has_header=False, schema=schema, null_values=[""])
        if copied.getbuffer().nbytes
        else pl.DataFrame(schema=schema)
    )
    return frame.with_columns(
        *(pl.col(name).cast(pl.Datetime("us", "UTC")) for name, kind in described if kind == MOMENT),
        *(
            pl.col(name).cast(pl.Decimal(PRECISION, SCALE))
            for name, kind in described
            if exact and kind == NUMERIC
        ),
    )


def _columns_of(model: Any) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields if field.column]


def _cast(column: str, kind: int) -> str:
    if kind == MOMENT:
        return f"(extract(epoch FROM {column}) * 1000000)::bigint"
    if kind == BOOLEAN:
        return f"{column}::text"
    return column
