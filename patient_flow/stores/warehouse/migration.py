"""Finds tables, columns, keys, indexes and views that a warehouse lacks, and adds them. No column is dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa

from patient_flow.stores.warehouse.errors import WarehouseNotInitialised
from patient_flow.stores.warehouse.schema import ALL_TABLES, LOAD_LOG, LOADED_TABLES, TABLES, forget, seed
from patient_flow.stores.warehouse.targets.base import StagingInside, Target
from patient_flow.stores.warehouse.views import definitions


def incomplete_tables(target: Target, connection: sa.Connection) -> dict[str, list[str]]:
    """Warehouse table → declared columns that it does not have, where there are any.

    Raises :class:`WarehouseNotInitialised` when a table that loads need is missing.
    """
    existing = _existing(target, connection)
    absent = [table.name for table in LOADED_TABLES if table.name not in existing]
    if absent:
        raise WarehouseNotInitialised(
            f"the warehouse has no table {', '.join(absent)}: run `patient-flow warehouse migrate`"
        )
    return missing_columns(existing, [table for table in ALL_TABLES if table.name in existing])


def missing_columns(existing: Mapping[str, set[str]], tables: Iterable[sa.Table]) -> dict[str, list[str]]:
    """The same for ``tables``, which are among the ``existing`` ones."""
    missing = {
        table.name: [column.name for column in table.columns if column.name not in existing[table.name]]
        for table in tables
    }
    return {table: columns for table, columns in missing.items() if columns}


def statements(target: Target, connection: sa.Connection) -> list[str]:
    """Statements that adapt the warehouse to the declaration: columns, new tables, indexes, changed views, keys.

    Raises :class:`WarehouseNotInitialised` when it has no table at all.
    """
    existing = _existing(target, connection)
    missing = missing_columns(existing, [table for table in ALL_TABLES if table.name in existing])
    absent = [table for table in ALL_TABLES if table.name not in existing]
    logged = set(connection.scalars(sa.select(LOAD_LOG.c.table_name)))
    return [
        *(
            statement
            for table in ALL_TABLES
            if table.name in missing
            for statement in [
                *target.column_statements(table, missing[table.name]),
                *_reset_loaded_version(target, table),
            ]
        ),
        *(statement for table in absent for statement in target.table_statements(table)),
        *(target.literal(seed(table)) for table in TABLES.values() if table.name not in logged),
        *_of_compared(target, existing, lambda inside, table: inside.index_statements(connection, table)),
        # Views before keys, in the order in which a reader locks them: one that has locked a view and waits for its
        # table would hold up the migration, which has locked the table and waits for the view.
        *_changed_views(target, connection),
        *_of_compared(target, existing, lambda inside, table: inside.key_statements(connection, table)),
    ]


def _existing(target: Target, connection: sa.Connection) -> Mapping[str, set[str]]:
    """Table → its columns, of a warehouse that ``warehouse init`` has made, by whatever version."""
    existing = target.columns(connection)
    if LOAD_LOG.name not in existing:
        raise WarehouseNotInitialised(f"the warehouse has no table {LOAD_LOG.name}: run `patient-flow warehouse init`")
    return existing


def _reset_loaded_version(target: Target, table: sa.Table) -> list[str]:
    """Makes the next load replace a table with a new column, so that existing rows get their values."""
    if table.name not in {known.name for known in TABLES.values()}:
        return []
    return [target.literal(forget(table))]


def _of_compared(
    target: Target, existing: Mapping[str, set[str]], statements_of: Callable[[StagingInside, sa.Table], list[str]]
) -> list[str]:
    """Statements on each existing table; none on targets whose keys and indexes are not compared."""
    if not isinstance(target, StagingInside):
        return []
    tables = [table for table in TABLES.values() if table.name in existing]
    return [statement for table in tables for statement in statements_of(target, table)]


def _changed_views(target: Target, connection: sa.Connection) -> list[str]:
    existing = target.view_definitions(connection)
    changed: list[str] = []
    for wanted in definitions(target):
        if wanted.mark not in existing.get(wanted.name, ""):
            changed += target.view_statements(wanted, exists=wanted.name in existing)
            changed += target.grants(connection, wanted.name) if wanted.name in existing else []
    return changed
