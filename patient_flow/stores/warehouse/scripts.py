"""SQL scripts for administrators, per target: schema, access, settings of the database.

The files under ``infra/sql`` are these texts; a test compares them.
"""

from __future__ import annotations

from collections.abc import Sequence

from patient_flow.stores.warehouse.kinds import target_of
from patient_flow.stores.warehouse.schema import ALL_TABLES, TABLES, seed
from patient_flow.stores.warehouse.targets.base import Target
from patient_flow.stores.warehouse.views import definitions


def ddl(kind: str) -> str:
    """The script that creates the warehouse ``kind``: tables, keys, statistics, rows of the load log, views."""
    target = target_of(kind)
    return _script(
        target,
        [
            *target.preparations(),
            *(statement for table in ALL_TABLES for statement in target.table_statements(table)),
            *(target.literal(seed(table)) for table in TABLES.values()),
            *(statement for view in definitions(target) for statement in target.view_statements(view, exists=False)),
        ],
    )


def scripts(kind: str) -> dict[str, str]:
    """All scripts for ``kind``: file name → text."""
    target = target_of(kind)
    optional = {"master.sql": target.master_statements(), "database.sql": target.database_statements()}
    return {
        **{name: _script(target, statements) for name, statements in optional.items() if statements},
        "schema.sql": ddl(kind),
        "access.sql": _script(target, target.access_statements()),
    }


def _script(target: Target, statements: Sequence[str]) -> str:
    return "".join(f"{statement}{target.separator}" for statement in statements).rstrip("\n") + "\n"
