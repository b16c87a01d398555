"""Query results → Polars frames in the declared types."""

from __future__ import annotations

from collections.abc import Sequence
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
PART_ROWS = 1_000
"""Rows that become columns at once: other threads of the process wait meanwhile, and more do not stay in its caches."""


def frame(result: sa.CursorResult[Any], statement: sa.Executable) -> pl.DataFrame:
    """All rows of ``result``; columns of a typed ``statement`` in their types, others as found."""
    names = list(result.keys())
    if not isinstance(statement, sa.Select):
        return pl.DataFrame([tuple(row) for row in result], schema=names, orient="row", infer_schema_length=None)
    types = [_dtype(described["type"]) for described in statement.column_descriptions]
    # The driver's own rows: SQLAlchemy would turn each text of SQLite into a datetime of Python.
    cursor = result.cursor
    parts = [_part(names, types, [])]
    while cursor is not None and (rows := cursor.fetchmany(PART_ROWS)):
        parts.append(_part(names, types, rows))
    result.close()
    return pl.concat(parts[1:] or parts, how="vertical_relaxed", rechunk=True)


def _part(names: Sequence[str], types: Sequence[pl.DataType | None], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    found = (pl.Series(name, column, strict=False) for name, column in zip(names, columns, strict=True))
    return pl.DataFrame([_cast(values, dtype) for values, dtype in zip(found, types, strict=True)])


def _dtype(sql: sa.types.TypeEngine[Any]) -> pl.DataType | None:
    return next((dtype for kind, dtype in _DTYPES if isinstance(sql, kind)), None)


def _cast(values: pl.Series, dtype: pl.DataType | None) -> pl.Series:
    if dtype is None:
        return values
    if values.dtype == pl.String() and dtype == pl.Date():
        return values.str.to_date("%Y-%m-%d")
    if dtype == INSTANT:
        if values.dtype == pl.String():
            values = values.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return values.cast(dtype)
