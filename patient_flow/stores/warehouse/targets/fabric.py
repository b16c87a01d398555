"""Microsoft Fabric Warehouse: no physical options, keys by ALTER, UTF-8 texts, snapshot isolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mssql.base import MSDDLCompiler, MSTypeCompiler
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.schema import CreateTable

from patient_flow.stores.warehouse import access
from patient_flow.stores.warehouse.targets.copyinto import CopyInto
from patient_flow.stores.warehouse.targets.tsql import BULK_GRANT

BYTES_PER_UNIT = 2
"""VARCHAR counts bytes of UTF-8: at most four for a character, which counts as two units in lengths."""


class _FabricDDL(MSDDLCompiler):
    def visit_primary_key_constraint(self, constraint: sa.PrimaryKeyConstraint, **_: Any) -> str:  # noqa: ARG002
        return ""


class _FabricTypes(MSTypeCompiler):
    # Without a collation: a warehouse compares bytes unless its workspace is configured differently.
    def visit_unicode(self, type_: sa.Unicode, **_: Any) -> str:
        return f"VARCHAR({(type_.length or 1) * BYTES_PER_UNIT})"


class _FabricDialect(MSDialect_pyodbc):
    ddl_compiler = _FabricDDL
    type_compiler_cls = _FabricTypes
    supports_statement_cache = True


class Fabric(CopyInto):
    """A Fabric Warehouse."""

    kind = "fabric"
    isolation_level = "SNAPSHOT"

    def access_statements(self) -> Sequence[str]:
        """Roles and a security policy."""
        # Without groups: a Fabric Warehouse does not document IS_MEMBER.
        return access.transact_sql("VARCHAR(384)", (BULK_GRANT,), is_one_of="IS_ROLEMEMBER")

    def dialect(self) -> sa.Dialect:
        """SQL Server's dialect without keys in CREATE TABLE and without NVARCHAR."""
        return _FabricDialect()  # type: ignore[no-untyped-call]

    def table_statements(self, table: sa.Table) -> list[str]:
        """The table, then its key; the warehouse creates statistics automatically and has no indexes."""
        columns = ", ".join(self.quoted(column.name) for column in table.primary_key.columns)
        key = (
            f"ALTER TABLE {self.quoted(table.name)} ADD CONSTRAINT {self.quoted(f'pk_{table.name}')} "
            f"PRIMARY KEY NONCLUSTERED ({columns}) NOT ENFORCED"
        )
        return [self.compiled(CreateTable(table)), key]

    def as_given(self, name: sa.Column[Any]) -> sa.ColumnElement[Any]:
        """Unchanged: all texts of a warehouse have the same collation."""
        return name

    def copy_options(self) -> str:
        """No credential: the warehouse reads OneLake or the lake as the user who loads."""
        return "FILE_TYPE = 'PARQUET'"
