"""Compares warehouse and lake by figures that both compute of the same rows.

The figures are row counts, sums and one checksum per column. A checksum combines each value with its row's key, so that
swapped values are found too. It uses integer arithmetic that every engine computes alike; of a text it includes the
length, the first four characters and the last one, which finds errors of loads at the cost of one scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any, Protocol

import polars as pl
import sqlalchemy as sa

from patient_flow.contracts.columns import INSTANT, TEXTS, Column
from patient_flow.contracts.tables import WAREHOUSE_TABLES, Table
from patient_flow.stores.warehouse.changes import stored_value
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.targets.base import SqlDialect, Target

c = pl.col

PRIME = 1_000_003
"""Values are taken modulo this, so that a product of two fits and sums of a billion rows do."""

NOTHING = 999_983
"""The number that stands for null."""

_LENGTH_WEIGHT = 7
_PLACE_WEIGHTS = (11, 13, 17, 19)
_LAST_WEIGHT = 41
_KEY_WEIGHT = 31
_THOUSANDTHS = 1000
_INTEGERS = (pl.Int64(), pl.Int32(), pl.Int16())


@dataclass(frozen=True)
class Difference:
    """One figure that is not the same: ``rows``, ``duplicated keys``, ``sum of COLUMN`` or ``checksum of COLUMN``."""

    table: str
    figure: str
    lake: float
    warehouse: float


class _Readable(Protocol):
    """The part of ``Warehouse`` that is used here."""

    @property
    def target(self) -> Target: ...

    def query(self, statement: sa.Select[Any]) -> pl.DataFrame: ...


def verify(warehouse: _Readable, gold_frames: Mapping[str, pl.LazyFrame], *, thorough: bool = True) -> list[Difference]:
    """Figures that differ between the lake and the warehouse; none when they agree.

    ``gold_frames`` are the gold tables by path, each at the version that ``loaded_versions`` names; other tables
    are not compared. Without ``thorough`` only row counts are compared: cheap enough for every load.
    """
    return [
        difference
        for table in WAREHOUSE_TABLES
        if table.path in gold_frames
        for difference in _differences(warehouse, table, gold_frames[table.path], thorough=thorough)
    ]


def _differences(warehouse: _Readable, table: Table, gold: pl.LazyFrame, *, thorough: bool) -> Iterable[Difference]:
    dialect = warehouse.target.sql
    quoted = {column.name: warehouse.target.quoted(column.name) for column in table.warehouse_columns}
    sql = {"rows": "COUNT(*)"}
    expressions: dict[str, pl.Expr] = {"rows": pl.len()}
    if thorough:
        key_sql = _combined_sql([_number_sql(column, quoted, dialect) for column in _key(table)])
        key = _combined([_number(column) for column in _key(table)])
        for column in table.warehouse_columns:
            if _is_measure(column, table):
                sql[f"sum of {column.name}"] = f"SUM({quoted[column.name]})"
                expressions[f"sum of {column.name}"] = c(column.name).sum()
            name = f"checksum of {column.name}"
            sql[name] = f"SUM(({key_sql} * ({_number_sql(column, quoted, dialect)} + 1)) % {PRIME})"
            expressions[name] = (key * (_number(column) + 1) % PRIME).sum()
    found = warehouse.query(_one_row(TABLES[table.path], sql)).row(0, named=True)
    stored = gold.select(stored_value(column) for column in table.warehouse_columns)
    expected = stored.select(**expressions).collect(engine="streaming").row(0, named=True)
    for figure in sql:
        lake, loaded = float(expected[figure] or 0), float(found[figure] or 0)
        if not isclose(lake, loaded, rel_tol=1e-9, abs_tol=1e-9):
            yield Difference(table.path, figure, lake, loaded)
    if thorough:
        duplicated = warehouse.query(_duplicates(table)).item()
        if duplicated:
            yield Difference(table.path, "duplicated keys", 0, float(duplicated))


def _one_row(table: sa.Table, figures: Mapping[str, str]) -> sa.Select[Any]:
    columns: list[sa.ColumnElement[Any]] = [sa.literal_column(text).label(name) for name, text in figures.items()]
    return sa.select(*columns).select_from(table)


def _duplicates(table: Table) -> sa.Select[Any]:
    """Number of keys that occur more than once: no target enforces all of them."""
    keys = [TABLES[table.path].c[name] for name in table.key]
    repeated = sa.select(keys[0]).group_by(*keys).having(sa.func.count() > 1).subquery()
    return sa.select(sa.func.count()).select_from(repeated)


def _key(table: Table) -> list[Column]:
    return [column for column in table.warehouse_columns if column.name in table.key]


def _is_measure(column: Column, table: Table) -> bool:
    is_number = column.dtype in (*_INTEGERS, pl.Float64())
    return is_number and column.name not in table.key and not column.name.endswith("_key")


# --- a value as an integer below PRIME, in SQL and in Polars ---------------------------------------------------------


def _number_sql(column: Column, quoted: Mapping[str, str], dialect: SqlDialect) -> str:
    return f"COALESCE(ABS(CAST({_integer_sql(column, quoted[column.name], dialect)} AS BIGINT)) % {PRIME}, {NOTHING})"


def _number(column: Column) -> pl.Expr:
    return (_integer(column).abs() % PRIME).fill_null(NOTHING)


def _integer_sql(column: Column, name: str, dialect: SqlDialect) -> str:
    if column.dtype in _INTEGERS:
        return name
    if column.dtype == pl.Float64():
        return dialect.truncated.format(f"({name} * {_THOUSANDTHS})")
    if column.dtype == pl.Boolean():
        return f"CASE WHEN {name} = {dialect.true} THEN 1 WHEN {name} IS NOT NULL THEN 0 END"
    if column.dtype == pl.Date():
        return dialect.days.format(name)
    if column.dtype == INSTANT:
        return dialect.microseconds.format(name)
    length = dialect.length.format(name)
    codes = [f"{dialect.code.format(name, place)} * {weight}" for place, weight in enumerate(_PLACE_WEIGHTS, start=1)]
    last = f"{dialect.code.format(name, length)} * {_LAST_WEIGHT}"
    return f"({' + '.join([f'{length} * {_LENGTH_WEIGHT}', *codes, last])})"


def _integer(column: Column) -> pl.Expr:
    value = c(column.name)
    if column.dtype == pl.Float64():
        return (value * _THOUSANDTHS).cast(pl.Int64)
    if column.dtype == INSTANT:
        return value.dt.epoch("us")
    if column.dtype in (pl.String(), TEXTS):
        characters = [value.str.slice(place, 1) for place in range(len(_PLACE_WEIGHTS))]
        weighted = [_code(character) * weight for character, weight in zip(characters, _PLACE_WEIGHTS, strict=True)]
        length = value.str.len_chars().cast(pl.Int64) * _LENGTH_WEIGHT
        return pl.sum_horizontal(length, *weighted, _code(value.str.slice(-1)) * _LAST_WEIGHT, ignore_nulls=False)
    return value.cast(pl.Int64)


def _code(character: pl.Expr) -> pl.Expr:
    return character.map_batches(_codes, return_dtype=pl.Int64, is_elementwise=True)


def _codes(characters: pl.Series) -> pl.Series:
    """Code points; 0 where there is no character."""
    known = {character: ord(character) if character else 0 for character in characters.unique().drop_nulls()}
    if not known:
        return pl.Series(characters.name, [None] * characters.len(), dtype=pl.Int64)
    return characters.replace_strict(known, return_dtype=pl.Int64)


def _combined_sql(numbers: list[str]) -> str:
    combined = numbers[0]
    for number in numbers[1:]:
        combined = f"({combined} * {_KEY_WEIGHT} + {number}) % {PRIME}"
    return f"({combined})"


def _combined(numbers: list[pl.Expr]) -> pl.Expr:
    combined = numbers[0]
    for number in numbers[1:]:
        combined = (combined * _KEY_WEIGHT + number) % PRIME
    return combined
