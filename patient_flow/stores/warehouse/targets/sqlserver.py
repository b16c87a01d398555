"""SQL Server and Azure SQL: enforced keys, ordinary indexes, bulk rows by arrays of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc

from patient_flow.stores.warehouse import access
from patient_flow.stores.warehouse.schema import CASE_SENSITIVE
from patient_flow.stores.warehouse.targets.tsql import READ_COMMITTED_SNAPSHOT, TransactSQL

ROWS_PER_ARRAY = 10_000


class SQLServer(TransactSQL):
    """SQL Server 2016 or newer, Azure SQL Database, Managed Instance."""

    kind = "mssql"
    isolation_level = "READ COMMITTED"

    def access_statements(self) -> Sequence[str]:
        """Roles and a security policy."""
        return access.transact_sql("NVARCHAR(128)", (), collation=CASE_SENSITIVE)

    def master_statements(self) -> Sequence[str]:
        """Readers are not blocked by loads."""
        return (READ_COMMITTED_SNAPSHOT,)

    def dialect(self) -> sa.Dialect:
        """SQLAlchemy's dialect for SQL Server."""
        return MSDialect_pyodbc()  # type: ignore[no-untyped-call]

    def engine_options(self) -> dict[str, bool]:
        """Parameter arrays instead of a round trip per row."""
        return {"fast_executemany": True}

    def fill(self, connection: sa.Connection, stage: sa.Table, rows: pl.DataFrame) -> None:
        """``executemany`` in arrays; a real table, because the driver cannot describe parameters of a ``#temp`` one."""
        for chunk in rows.iter_slices(ROWS_PER_ARRAY):
            connection.execute(sa.insert(stage), chunk.to_dicts())

    def purge_statements(self, tables: Sequence[str]) -> Sequence[str]:
        """Writes the tables again, and overwrites the pages that they leave."""
        rebuilt = [f"ALTER INDEX ALL ON {self.quoted(name)} REBUILD" for name in tables]
        return [*rebuilt, "DECLARE @name sysname = DB_NAME(); EXEC sys.sp_clean_db_free_space @name"]
