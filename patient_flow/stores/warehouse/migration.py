"""Finds declared columns and views that a warehouse lacks, and adds them. Nothing is dropped or narrowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.errors import WarehouseNotInitialised
from patient_flow.stores.warehouse.schema import ALL_TABLES, LOAD_LOG, TABLES
from patient_flow.stores.warehouse.targets.base import Target
from patient_flow.stores.warehouse.views import definition


def missing_columns(target: Target, connection: sa.Connection) -> dict[str, list[str]]:
    """Warehouse table → declared columns that it does not have, where there are any.

    Raises :class:`WarehouseNotInitialised` when a whole table is missing: that is for ``warehouse init`` to create.
    """
    existing = target.columns(connection)
    absent = [table.name for table in ALL_TABLES if table.name not in existing]
    if absent:
        raise WarehouseNotInitialised(
            f"the warehouse has no table {', '.join(absent)}: run `patient-flow warehouse init`"
        )
    return missing_columns_of(existing, ALL_TABLES)


def missing_columns_of(existing: Mapping[str, set[str]], tables: Iterable[sa.Table]) -> dict[str, list[str]]:
    """The same for ``tables``, which are among the ``existing`` ones."""
    missing = {
        table.name: [column.name for column in table.columns if column.name not in existing[table.name]]
        for table in tables
    }
    return {table: columns for table, columns in missing.items() if columns}


def statements(target: Target, connection: sa.Connection) -> list[str]:
    """Statements that adapt the warehouse to the declaration: first columns, then the views that changed."""
    missing = missing_columns(target, connection)
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
        *_changed_views(target, connection),
    ]


def _reset_loaded_version(target: Target, table: sa.Table) -> list[str]:
    """Makes the next load replace a table with a new column, so that existing rows get their values."""
    if table.name not in {known.name for known in TABLES.values()}:
        return []
    reset = sa.update(LOAD_LOG).where(LOAD_LOG.c.table_name == table.name).values(gold_version=None)
    return [target.literal(reset)]


def _changed_views(target: Target, connection: sa.Connection) -> list[str]:
    existing = target.view_definitions(connection)
    changed: list[str] = []
    for view in VIEWS:
        wanted = definition(view, target)
        if wanted.mark not in existing.get(view.name, ""):
            changed += target.view_statements(wanted, exists=view.name in existing)
            changed += target.grants(connection, view.name) if view.name in existing else []
    return changed
