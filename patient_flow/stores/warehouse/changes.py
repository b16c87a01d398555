"""Gold rows → rows as the warehouse stores them: one frame per table, ready to be staged.

Pure. Instants lose their zone (they are UTC), lists become text, keys become unique.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import sqlalchemy as sa

from patient_flow.contracts.columns import INSTANT, TEXTS, Column
from patient_flow.contracts.tables import Table
from patient_flow.stores.warehouse.batch import Batch
from patient_flow.stores.warehouse.errors import WarehouseMisconfigured
from patient_flow.stores.warehouse.schema import IS_PRESENT, STORED_BY, TABLES
from patient_flow.wording import plural

c = pl.col


@dataclass(frozen=True)
class Change:
    """The change of one warehouse table: rows with keys in ``staged`` are deleted, present rows are inserted.

    ``staged`` has the table's columns and ``is_present``; each key once, in the order in which rows are stored.
    """

    table: sa.Table
    staged: pl.DataFrame
    is_whole_table: bool

    @property
    def rows(self) -> pl.DataFrame:
        """The inserted rows, in the table's columns."""
        return self.staged.filter(IS_PRESENT).drop(IS_PRESENT)


def change(batch: Batch) -> Change:
    """``batch`` as the warehouse stores it.

    Raises :class:`WarehouseMisconfigured` when a text is longer than declared: texts are never truncated.
    """
    table, target = batch.table, TABLES[batch.table.path]
    key = target.primary_key.columns.keys()
    rows = stored(table, batch.rows).unique(table.key, keep="last").with_columns(pl.lit(True).alias(IS_PRESENT))
    _check_lengths(table, rows)
    gone = (
        batch.removed.select(c(name).cast(table.schema[name]) for name in key)
        .unique()
        .join(rows, on=key, how="anti")
        .with_columns(pl.lit(False).alias(IS_PRESENT))
    )
    staged = pl.concat([rows, gone], how="diagonal").sort(STORED_BY.get(target.name, key))
    return Change(target, staged, batch.is_whole_table)


def stored(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` of gold in the columns and values of the warehouse.

    Raises :class:`WarehouseMisconfigured` when gold lacks a declared column.
    """
    missing = [column.name for column in table.warehouse_columns if column.name not in rows.columns]
    if missing:
        raise WarehouseMisconfigured(
            f"{table.path} has no column {', '.join(missing)}: materialize it again before loading"
        )
    return rows.select(stored_value(column) for column in table.warehouse_columns)


def stored_value(column: Column) -> pl.Expr:
    """The value of ``column`` as the warehouse stores it."""
    value = c(column.name).cast(column.dtype)
    if column.dtype == INSTANT:
        return value.dt.replace_time_zone(None)
    if column.dtype == TEXTS:
        return _joined(value, column.length)
    return value


def _joined(texts: pl.Expr, length: int) -> pl.Expr:
    """``texts`` separated by commas, without those that do not fit into ``length`` characters."""
    joined = texts.list.join(",")
    cut = joined.str.head(length + 1).str.replace(r",[^,]*$", "").str.head(length)
    return pl.when(joined.str.len_chars() > length).then(cut).otherwise(joined)


def _check_lengths(table: Table, rows: pl.DataFrame) -> None:
    texts = [column for column in table.warehouse_columns if column.dtype == pl.String()]
    longest = rows.select(c(column.name).str.len_chars().max() for column in texts)
    for column in texts:
        found = longest[column.name].item()
        if found is not None and found > column.length:
            raise WarehouseMisconfigured(
                f"{table.path}.{column.name} contains a text of {plural(found, 'character')}, its declared length is "
                f"{column.length}: shorten it at the source or raise the length in contracts.tables and migrate"
            )
