"""Finds tables, columns, keys, indexes and views that a warehouse lacks, and adds them. No column is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from patient_flow.stores.warehouse.errors import WarehouseNotInitialised
from patient_flow.stores.warehouse.schema import ALL_TABLES, LOAD_LOG, LOADED_TABLES, TABLES, forget, seed
from patient_flow.stores.warehouse.targets.base import Target
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
    """Name of each of ``tables`` → its declared columns that are not among the ``existing`` ones, where there are any.

    ``existing`` has the columns of every one of ``tables``.
    """
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
    present = [table for table in ALL_TABLES if table.name in existing]
    loaded = [table for table in TABLES.values() if table.name in existing]
    missing = missing_columns(existing, present)
    absent = [table for table in ALL_TABLES if table.name not in existing]
    logged = set(connection.scalars(sa.select(LOAD_LOG.c.table_name)))
    dropped, created = _changed_views(target, connection)
    reset = {table.name: target.literal(forget(table)) for table in loaded if table.name in missing}
    return [
        # The log first, as loads do: a migration that waits for a load holds up no reader meanwhile. Repeated after the
        # columns, for a load of an earlier version in between where each statement is a transaction.
        *reset.values(),
        # Views before what locks their tables: a reader locks a view, then its tables. One that had locked the view and
        # waited for a table would hold up the migration, which had locked the table and waited for the view.
        *(dropped if missing else []),
        *(
            statement
            for table in present
            if table.name in missing
            for statement in target.column_statements(table, missing[table.name])
        ),
        *reset.values(),
        *(statement for table in absent for statement in target.table_statements(table)),
        *(target.literal(seed(table)) for table in TABLES.values() if table.name not in logged),
        *(statement for table in loaded for statement in target.index_statements(connection, table)),
        # Not before the indexes where there is no need: readers of these views wait from here.
        *([] if missing else dropped),
        *created,
        *(statement for table in loaded for statement in target.key_statements(connection, table)),
    ]


def _existing(target: Target, connection: sa.Connection) -> Mapping[str, set[str]]:
    """Table → its columns, of a warehouse that ``warehouse init`` has made, by whatever version."""
    existing = target.columns(connection)
    if LOAD_LOG.name not in existing:
        raise WarehouseNotInitialised(f"the warehouse has no table {LOAD_LOG.name}: run `patient-flow warehouse init`")
    return existing


def _changed_views(target: Target, connection: sa.Connection) -> tuple[list[str], list[str]]:
    """Statements that drop views of another definition, and those that create them and the missing ones."""
    existing = target.view_definitions(connection)
    dropped: list[str] = []
    created: list[str] = []
    for wanted in definitions(target):
        exists = wanted.name in existing
        if wanted.mark in existing.get(wanted.name, ""):
            continue
        created += target.view_statements(wanted, exists=exists)
        if exists:
            dropped += target.drop_statements(wanted)
            created += target.grants(connection, wanted.name)
    return dropped, created
