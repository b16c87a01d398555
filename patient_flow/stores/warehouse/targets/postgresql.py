"""PostgreSQL 15 or newer: transactional DDL, COPY, and views that keep row-level security."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from patient_flow.stores.warehouse import access
from patient_flow.stores.warehouse.changes import Change
from patient_flow.stores.warehouse.targets.base import Definition, SqlDialect, StagingInside, temporary_table, wrapped

SCHEMA_LOCK = 0x70666C6F77
"""Advisory lock of schema changes."""
CONNECT_TIMEOUT_SECONDS = 10
KEEPALIVE_OPTIONS = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
"""Detects a server that vanished within a minute, instead of the hours of the defaults."""
ROWS_PER_WRITE = 100_000
SERIALIZATION_FAILURE, DEADLOCK, UNDEFINED_TABLE = "40001", "40P01", "42P01"


_KEY_IN_USE = """
SELECT key.conname AS name, (SELECT indisreplident FROM pg_index WHERE indexrelid = key.conindid) OR EXISTS (
    SELECT FROM pg_depend
    WHERE ((refclassid = 'pg_constraint'::regclass AND refobjid = key.oid)
        OR (refclassid = 'pg_class'::regclass AND refobjid = key.conindid))
    AND NOT (classid = 'pg_class'::regclass AND objid = key.conindid)
) AS is_used
FROM pg_constraint key
WHERE key.contype = 'p' AND key.conrelid = (
    SELECT oid FROM pg_class WHERE relname = %(table)s AND relnamespace = current_schema()::regnamespace
)
"""
"""The primary key of a table, and whether foreign keys, views, functions or a replication depend on it."""


class PostgreSQL(StagingInside):
    """PostgreSQL through psycopg 3."""

    kind = "postgresql"
    sql = SqlDialect(
        now="(now() AT TIME ZONE 'UTC')",
        this_hour="CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT)",
        true="TRUE",
        flag="CASE WHEN {0} THEN TRUE ELSE FALSE END",
        hours_since="CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - {0}) / 3600 AS FLOAT)",
        days_later="({0} + INTERVAL '{1} days')",
        microseconds="CAST(EXTRACT(EPOCH FROM {0}) * 1000000 AS BIGINT)",
        days="({0} - DATE '1970-01-01')",
        truncated="CAST(TRUNC({0}) AS BIGINT)",
        length="length({0})",
        code="ascii(substr({0}, {1}, 1))",
    )

    def access_statements(self) -> Sequence[str]:
        """Roles and row-level security."""
        return access.postgresql()

    def dialect(self) -> sa.Dialect:
        """SQLAlchemy's dialect for psycopg 3."""
        return PGDialect_psycopg()  # type: ignore[no-untyped-call]

    def engine(self, url: sa.URL) -> sa.Engine:
        """An engine whose sessions use UTC."""
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        options = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "options": "-c timezone=UTC", **KEEPALIVE_OPTIONS}
        return sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=options)

    def view_statements(self, view: Definition, *, exists: bool) -> list[str]:  # noqa: ARG002
        """The view runs with its reader's rights unless it says otherwise.

        Its comment stores the mark, as PostgreSQL rewrites the text.
        """
        name = self.quoted(view.name)
        options = "security_barrier" if view.runs_as_owner else "security_invoker"
        comment = f"{view.description} {view.mark}".replace("'", "''")
        return [
            f"CREATE VIEW {name} WITH ({options} = true) AS\n{view.select}",
            f"COMMENT ON VIEW {name} IS '{comment}'",
        ]

    def key_statements(self, connection: sa.Connection, table: sa.Table) -> list[str]:
        """In place: readers and loads of ``table`` wait from the first of these statements to the commit.

        A key on which something else depends stays as it is, because PostgreSQL would refuse the whole migration.
        """
        statements = super().key_statements(connection, table)
        if self.has_declared_key(connection, table) or not _can_be_key(connection, table):
            return statements
        found = connection.exec_driver_sql(_KEY_IN_USE, {"table": table.name}).one_or_none()
        if found is not None and found.is_used:
            return statements
        drop = "" if found is None else f"DROP CONSTRAINT {self.quoted(found.name)}, "
        key = ", ".join(self.quoted(column.name) for column in table.primary_key.columns)
        # The indexes last: to drop one needs a lock on the table, which the key needs too.
        return [f"ALTER TABLE {self.quoted(table.name)} {drop}ADD PRIMARY KEY ({key})", *statements]

    def grants(self, connection: sa.Connection, view: str) -> list[str]:
        """The grants of the view, which it loses when it is dropped."""
        found = connection.exec_driver_sql(
            "SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(grantee::regrole AS TEXT) END "
            "FROM pg_class CROSS JOIN aclexplode(relacl) WHERE relname = %(view)s "
            "AND relnamespace = current_schema()::regnamespace AND grantee <> relowner ORDER BY 2, 1",
            {"view": view},
        )
        return [f"GRANT {privilege} ON {self.quoted(view)} TO {grantee}" for privilege, grantee in found]

    @contextmanager
    def changing_schema(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A transaction with an advisory lock, so that one process at a time changes the schema."""
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            yield connection

    def view_definitions(self, connection: sa.Connection) -> Mapping[str, str]:
        """Views of the current schema with their comment."""
        found = connection.exec_driver_sql(
            "SELECT relname, COALESCE(obj_description(oid, 'pg_class'), '') FROM pg_class "
            "WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace"
        )
        return {str(name): str(comment) for name, comment in found}

    def temporary(self, table: sa.Table) -> sa.Table:
        """A temporary table that ends with the transaction."""
        return temporary_table(table, postgresql_on_commit="DROP")

    def fill(self, connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
        """COPY, which is used for staging only: tables with row-level security accept it from their owner only."""
        columns = ", ".join(self.quoted(name) for name in rows.columns)
        statement = f"COPY {self.quoted(table.name)} ({columns}) FROM STDIN WITH (FORMAT csv)"
        driver: Any = connection.connection.driver_connection
        with wrapped(connection, statement), driver.cursor() as cursor, cursor.copy(statement) as copy:
            for chunk in rows.iter_slices(ROWS_PER_WRITE):
                # Texts are quoted, nulls are not: this distinguishes an empty text from null.
                copy.write(chunk.write_csv(include_header=False, quote_style="non_numeric", null_value=""))

    def stage(self, connection: sa.Connection, change: Change) -> sa.Table:
        """With statistics: without them the delete would scan its whole target."""
        stage = super().stage(connection, change)
        connection.exec_driver_sql(f"ANALYZE {self.quoted(stage.name)}")
        return stage

    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """The server ended this load because of a concurrent one."""
        return getattr(error.orig, "sqlstate", None) in (SERIALIZATION_FAILURE, DEADLOCK)

    def is_missing_table(self, error: sa.exc.DBAPIError) -> bool:
        """The server's SQLSTATE for an undefined table."""
        return getattr(error.orig, "sqlstate", None) == UNDEFINED_TABLE

    def after_load(self, engine: sa.Engine, changes: Iterable[Change]) -> None:
        """Updates the statistics of replaced tables; autovacuum frees space."""
        tables: Sequence[str] = [change.table.name for change in changes if change.is_whole_table]
        if not tables:
            return
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for name in tables:
                connection.exec_driver_sql(f"ANALYZE {self.quoted(name)}")

    def purge_statements(self, tables: Sequence[str]) -> Sequence[str]:
        """Writes the tables again: until then deleted rows stay in their files. Readers of a table wait meanwhile."""
        return [f"VACUUM (FULL, ANALYZE) {self.quoted(name)}" for name in tables]


def _can_be_key(connection: sa.Connection, table: sa.Table) -> bool:
    """False where a column of the declared key may be null: one that a migration added has no values yet."""
    required = {column["name"] for column in sa.inspect(connection).get_columns(table.name) if not column["nullable"]}
    return {column.name for column in table.primary_key.columns} <= required
