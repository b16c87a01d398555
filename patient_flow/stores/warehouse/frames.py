"""Query results → Polars frames in the declared types."""

from __future__ import annotations

from typing import Any

import polars as pl
import sqlalchemy as sa

from patient_flow.contracts.columns import INSTANT

_DTYPES: tuple[tuple[type[sa.types.TypeEngine[Any]], pl.DataType], ...] = (
    (sa.Boolean, pl.Boolean()),
    (sa.Integer, pl.Int64()),
    (sa.Float, pl.Float64()),
    (sa.String, pl.String()),
    (sa.DateTime, INSTANT),
    (sa.Date, pl.Date()),
)


def frame(result: sa.CursorResult[Any], statement: sa.Executable) -> pl.DataFrame:
    """All rows of ``result``; columns of a typed ``statement`` in their types, others as found."""
    names = list(result.keys())
    rows = [tuple(row) for row in result]
    found = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    if not isinstance(statement, sa.Select):
        return found
    types = [_dtype(described["type"]) for described in statement.column_descriptions]
    return found.select(_cast(pl.col(name), dtype) for name, dtype in zip(names, types, strict=True))


def _dtype(sql: sa.types.TypeEngine[Any]) -> pl.DataType | None:
    return next((dtype for kind, dtype in _DTYPES if isinstance(sql, kind)), None)


def _cast(value: pl.Expr, dtype: pl.DataType | None) -> pl.Expr:
    if dtype is None:
        return value
    if dtype == INSTANT:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return value.cast(dtype)
