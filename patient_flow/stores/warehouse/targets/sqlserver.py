"""SQL Server and Azure SQL: enforced keys, ordinary indexes, bulk rows by arrays of parameters."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc

from patient_flow.stores.warehouse.targets.tsql import TransactSQL

ROWS_PER_ARRAY = 10_000


class SQLServer(TransactSQL):
    """SQL Server 2016 or newer, Azure SQL Database, Managed Instance."""

    kind = "mssql"
    isolation_level = "READ COMMITTED"

    def dialect(self) -> sa.Dialect:
        """SQLAlchemy's dialect for SQL Server."""
        return MSDialect_pyodbc()  # type: ignore[no-untyped-call]

    def engine_options(self) -> dict[str, bool]:
        """Arrays of parameters instead of a round trip per row."""
        return {"fast_executemany": True}

    def fill(self, connection: sa.Connection, stage: sa.Table, rows: pl.DataFrame) -> None:
        """``executemany`` in arrays; a real table, because the driver cannot describe parameters of a ``#temp`` one."""
        for chunk in rows.iter_slices(ROWS_PER_ARRAY):
            connection.execute(sa.insert(stage), chunk.to_dicts())
