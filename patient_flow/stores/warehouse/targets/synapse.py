"""Azure Synapse dedicated SQL pool: sixty distributions, keys that are not enforced, explicit statistics.

The pool does not enforce keys. The load keeps them unique: each batch is deduplicated before staging and replaces
complete keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mssql.base import MSDDLCompiler
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.schema import CreateTable

from patient_flow.stores.warehouse import access
from patient_flow.stores.warehouse.changes import Change
from patient_flow.stores.warehouse.schema import CASE_SENSITIVE, INDEXES, TABLES
from patient_flow.stores.warehouse.targets.copyinto import CopyInto
from patient_flow.stores.warehouse.targets.tsql import BULK_GRANT, READ_COMMITTED_SNAPSHOT, STAGING_SCHEMA

LAYOUT: Mapping[str, str] = {
    # Read by every query and almost never written: a copy on every node.
    "DimTime": "DISTRIBUTION = REPLICATE, CLUSTERED INDEX (time_key)",
    "DimDepartment": "DISTRIBUTION = REPLICATE, CLUSTERED INDEX (department_key)",
    # Written every minute: replicated copies would be rebuilt every minute.
    "DimPatient": "DISTRIBUTION = HASH(patient_key), CLUSTERED INDEX (patient_key)",
    # The largest table. Its key is evenly distributed and never updated. Loads delete by hour and key, queries read
    # hours. No columnstore before sixty million rows: loads of a minute would only fill its open row groups.
    "FactPatientFlow": "DISTRIBUTION = HASH(stay_key), CLUSTERED INDEX (admission_time_key, stay_key)",
    # A few million rows a year, far below the sixty million from which a columnstore pays off; there are too few
    # departments to distribute by.
    "FactBedCensus": "DISTRIBUTION = HASH(time_key), CLUSTERED INDEX (time_key, department_key)",
    "FactEdAttendance": "DISTRIBUTION = HASH(attendance_key), CLUSTERED INDEX (arrival_time_key, attendance_key)",
    "KpiDepartmentDay": "DISTRIBUTION = ROUND_ROBIN, CLUSTERED INDEX (date, department_key)",
}
"""Distribution and index of each table; :data:`SMALL` for the others."""

SMALL = "DISTRIBUTION = ROUND_ROBIN, HEAP"

ASCENDING = ("admission_time_key", "discharge_time_key", "time_key", "date")
"""Columns whose newest values are missing from old statistics although most queries filter by them."""


class _SynapseDDL(MSDDLCompiler):
    def visit_primary_key_constraint(self, constraint: sa.PrimaryKeyConstraint, **_: Any) -> str:
        columns = ", ".join(self.preparer.quote(column.name) for column in constraint)
        return f"PRIMARY KEY NONCLUSTERED ({columns}) NOT ENFORCED" if columns else ""

    def post_create_table(self, table: sa.Table) -> str:
        layout = SMALL if table.schema == STAGING_SCHEMA else LAYOUT.get(table.name, SMALL)
        return f"\nWITH ({layout})"


class _SynapseDialect(MSDialect_pyodbc):
    ddl_compiler = _SynapseDDL
    supports_statement_cache = True


class Synapse(CopyInto):
    """A dedicated SQL pool."""

    kind = "synapse"
    isolation_level = "READ UNCOMMITTED"

    def access_statements(self) -> Sequence[str]:
        """Roles and a security policy."""
        # VIEW DATABASE STATE lets a session read its own isolation level; UPDATE STATISTICS needs ALTER on the table.
        grants = (
            BULK_GRANT,
            "GRANT VIEW DATABASE STATE",
            *(f"GRANT ALTER ON OBJECT::dbo.{table.name}" for table in TABLES.values()),
        )
        return access.transact_sql("NVARCHAR(128)", grants, collation=CASE_SENSITIVE)

    def master_statements(self) -> Sequence[str]:
        """Readers are not blocked by loads."""
        return (READ_COMMITTED_SNAPSHOT,)

    def database_statements(self) -> Sequence[str]:
        """Automatic statistics, and a workload group for the load."""
        return (
            "ALTER DATABASE [patient_flow] SET AUTO_CREATE_STATISTICS ON",
            "-- The load has its own share of the pool, whatever the dashboards ask. A request gets all of it:\n"
            "-- 25 % is the smallest grant of a DW100c, where a smaller reservation counts as none.\n"
            "CREATE WORKLOAD GROUP patient_flow_load WITH (\n"
            "    MIN_PERCENTAGE_RESOURCE = 25,\n    CAP_PERCENTAGE_RESOURCE = 50,\n"
            "    REQUEST_MIN_RESOURCE_GRANT_PERCENT = 25,\n    IMPORTANCE = ABOVE_NORMAL\n)",
            "CREATE WORKLOAD CLASSIFIER patient_flow_loader WITH (\n"
            f"    WORKLOAD_GROUP = 'patient_flow_load',\n    MEMBERNAME = '{access.LOADER}'\n)",
        )

    def dialect(self) -> sa.Dialect:
        """SQL Server's dialect with the pool's CREATE TABLE."""
        return _SynapseDialect()  # type: ignore[no-untyped-call]

    def table_statements(self, table: sa.Table) -> list[str]:
        """The table and its statistics; secondary indexes do not pay off here."""
        return [
            self.compiled(CreateTable(table)),
            *(
                f"CREATE STATISTICS {self.quoted(_statistics(table, column))} "
                f"ON {self.quoted(table.name)} ({self.quoted(column)})"
                for column in statistics_columns(table)
            ),
        ]

    def copy_options(self) -> str:
        """The pool reads the lake with its workspace's managed identity."""
        return "FILE_TYPE = 'PARQUET', CREDENTIAL = (IDENTITY = 'Managed Identity')"

    def after_load(self, engine: sa.Engine, changes: Iterable[Change]) -> None:
        """Fresh statistics: all of a replaced table, else those of ascending columns."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for change in changes:
                if not change.staged.is_empty():
                    connection.exec_driver_sql(self.refresh_statement(change))

    def purge_statements(self, tables: Sequence[str]) -> Sequence[str]:
        """Writes the tables again: heaps and columnstores keep deleted rows until then."""
        return [f"ALTER TABLE {self.quoted(name)} REBUILD" for name in tables]

    def refresh_statement(self, change: Change) -> str:
        """UPDATE STATISTICS for the table of ``change``."""
        table = change.table
        update = f"UPDATE STATISTICS {self.quoted(table.name)}"
        ascending = [column for column in statistics_columns(table) if column in ASCENDING]
        if change.is_whole_table or not ascending:
            return update
        return f"{update} ({', '.join(self.quoted(_statistics(table, column)) for column in ascending)})"


def statistics_columns(table: sa.Table) -> list[str]:
    """Columns of joins, filters and loads; of an index of other targets the first two columns."""
    searched = {column for columns in INDEXES.get(table.name, ()) for column in columns[:2]}
    wanted = {*searched, "date", "hospital_id", "department", "gender", "valid_from", "admission_at"}
    return [
        column.name
        for column in table.columns
        if column.primary_key or column.name in wanted or column.name.endswith("_key")
    ]


def _statistics(table: sa.Table, column: str) -> str:
    return f"st_{table.name}_{column}"
