"""The SQL that an administrator runs or reads, per target: schema, access, settings of the database.

Deterministic: the files under ``infra/sql`` are these texts, and a test keeps them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse import access
from patient_flow.stores.warehouse.kinds import target_of
from patient_flow.stores.warehouse.schema import ALL_TABLES, CASE_SENSITIVE, TABLES, seed
from patient_flow.stores.warehouse.targets.base import Target
from patient_flow.stores.warehouse.views import definition

_READ_COMMITTED_SNAPSHOT = (
    "-- Readers see the last committed load, whole, while the next one is under way; without it a dashboard can see\n"
    "-- the gap between delete and insert. Run connected to master, when nobody else is connected to the database.\n"
    "ALTER DATABASE [patient_flow] SET READ_COMMITTED_SNAPSHOT ON"
)

MASTER: Mapping[str, tuple[str, ...]] = {"synapse": (_READ_COMMITTED_SNAPSHOT,), "mssql": (_READ_COMMITTED_SNAPSHOT,)}
"""Settings of the database that a pool takes from a connection to master only."""

DATABASE: Mapping[str, tuple[str, ...]] = {
    "synapse": (
        "ALTER DATABASE [patient_flow] SET AUTO_CREATE_STATISTICS ON",
        "-- The load has its own share of the pool, whatever the dashboards ask.\n"
        "CREATE WORKLOAD GROUP patient_flow_load WITH (\n"
        "    MIN_PERCENTAGE_RESOURCE = 20,\n    CAP_PERCENTAGE_RESOURCE = 40,\n"
        "    REQUEST_MIN_RESOURCE_GRANT_PERCENT = 10,\n    IMPORTANCE = ABOVE_NORMAL\n)",
        "CREATE WORKLOAD CLASSIFIER patient_flow_loader WITH (\n"
        f"    WORKLOAD_GROUP = 'patient_flow_load',\n    MEMBERNAME = '{access.LOADER}'\n)",
    ),
}
"""Settings of the database itself, where the defaults would not do."""

_BULK = "GRANT ADMINISTER DATABASE BULK OPERATIONS"
# A session's own isolation level is in a view that asks for it.
_STATE = "GRANT VIEW DATABASE STATE"
# UPDATE STATISTICS asks for ALTER on the table; nothing less will do.
_STATISTICS = tuple(f"GRANT ALTER ON OBJECT::dbo.{table.name}" for table in TABLES.values())

ACCESS: Mapping[str, Callable[[], Sequence[str]]] = {
    "synapse": lambda: access.transact_sql("NVARCHAR(128)", (_BULK, _STATE, *_STATISTICS), collation=CASE_SENSITIVE),
    "mssql": lambda: access.transact_sql("NVARCHAR(128)", (), collation=CASE_SENSITIVE),
    # No groups: IS_MEMBER is not among the functions that are listed for a Fabric Warehouse.
    "fabric": lambda: access.transact_sql("VARCHAR(384)", (_BULK,), is_one_of="IS_ROLEMEMBER"),
    "postgresql": access.postgresql,
    "sqlite": lambda: (
        "-- SQLite has no users: whoever may read the file reads everything. Give the loader's account the folder,\n"
        "-- the readers' group read access to the file and its -wal and -shm companions, and open it with mode=ro.\n"
        "PRAGMA query_only = ON",
    ),
}


def ddl(kind: str) -> str:
    """The script that creates the warehouse ``kind``: tables, keys, statistics, lines of the load log, views."""
    target = target_of(kind)
    return _script(
        target,
        [
            *target.preparations(),
            *(statement for table in ALL_TABLES for statement in target.table_statements(table)),
            *(target.literal(seed(table)) for table in TABLES.values()),
            *(
                statement
                for view in VIEWS
                for statement in target.view_statements(definition(view, target), exists=False)
            ),
        ],
    )


def scripts(kind: str) -> dict[str, str]:
    """All scripts for ``kind``: file name → text."""
    target = target_of(kind)
    settings = {
        f"{name}.sql": _script(target, statements[kind])
        for name, statements in (("master", MASTER), ("database", DATABASE))
        if kind in statements
    }
    return {**settings, "schema.sql": ddl(kind), "access.sql": _script(target, ACCESS[kind]())}


def _script(target: Target, statements: Sequence[str]) -> str:
    return "".join(f"{statement}{target.separator}" for statement in statements).rstrip("\n") + "\n"
