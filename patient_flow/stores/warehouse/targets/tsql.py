"""The common part of SQL Server, Synapse and Fabric.

DDL runs outside transactions, and each load fills its staging tables, ordinary tables in a schema of their own, before
the transaction starts: dedicated pools support neither inside one, and the transaction stays short on the others.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.schema import CreateTable

from patient_flow.stores.warehouse import entra
from patient_flow.stores.warehouse.batch import Written
from patient_flow.stores.warehouse.changes import Change
from patient_flow.stores.warehouse.schema import CASE_SENSITIVE, CASE_SENSITIVE_COLUMNS, staging_table
from patient_flow.stores.warehouse.targets.base import Definition, Loading, SqlDialect, Target

STAGING_SCHEMA = "staging"
LOGIN_TIMEOUT_SECONDS = "10"
"""Limits how long the Microsoft driver retries a dead server: well within a minute."""

ALREADY_EXISTS, INVALID_OBJECT_NAME = 2714, 208
CONFLICTS = {1205, 1222, 3960, 24556, 24706}
"""Deadlock, lock timeout, and update conflicts under snapshot isolation."""

COLUMNS = "SELECT TABLE_NAME, COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = SCHEMA_NAME()"

READ_COMMITTED_SNAPSHOT = (
    "-- Readers see the last committed load, whole, while the next one is under way; without it a dashboard can see\n"
    "-- the gap between delete and insert. Run connected to master, when nobody else is connected to the database.\n"
    "ALTER DATABASE [patient_flow] SET READ_COMMITTED_SNAPSHOT ON"
)
BULK_GRANT = "GRANT ADMINISTER DATABASE BULK OPERATIONS"

_NUMBER = re.compile(r"\((\d{3,5})\)")


class _Dialect(MSDialect_pyodbc):
    """SQLAlchemy's dialect for logins without the right to read the isolation level of their session.

    A pool requires VIEW DATABASE STATE for it. SQLAlchemy needs the level to reset autocommit connections.
    """

    supports_statement_cache = True

    def __init__(self, default_level: str = "READ COMMITTED", **options: Any) -> None:
        # not keyword-only: SQLAlchemy would not recognise it
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._default_level = default_level

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        """The level that the server reports, otherwise its default."""
        try:
            return super().get_default_isolation_level(dbapi_conn)  # type: ignore[no-untyped-call]
        except NotImplementedError:
            return self._default_level


PYODBC = ("mssql", "mssql+pyodbc")
_DRIVER = "patient_flow"
registry.register(f"mssql.{_DRIVER}", __name__, _Dialect.__name__)


class TransactSQL(Target):
    """Base class of the family; subclasses define table shapes and how staging tables are filled."""

    isolation_level: ClassVar[str]
    """Default isolation level of a session."""
    separator = "\nGO\n\n"
    has_transactional_ddl = False
    sql = SqlDialect(
        now="SYSUTCDATETIME()",
        this_hour="(CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME()))",
        true="1",
        flag="CAST(CASE WHEN {0} THEN 1 ELSE 0 END AS BIT)",
        hours_since="(CAST(DATEDIFF_BIG(MICROSECOND, {0}, SYSUTCDATETIME()) AS FLOAT) / 3600000000)",
        days_later="DATEADD(DAY, {1}, {0})",
        microseconds="DATEDIFF_BIG(MICROSECOND, CAST('1970-01-01' AS DATETIME2(6)), {0})",
        days="DATEDIFF(DAY, CAST('1970-01-01' AS DATE), {0})",
        truncated="CAST({0} AS BIGINT)",
        # LEN ignores trailing blanks.
        length="(LEN({0} + '.') - 1)",
        code="COALESCE(UNICODE(SUBSTRING({0}, {1}, 1)), 0)",
    )

    @abstractmethod
    def fill(self, connection: sa.Connection, stage: sa.Table, rows: pl.DataFrame) -> None:
        """Adds ``rows`` to a staging table on a connection that commits each statement."""

    def engine(self, url: sa.URL) -> sa.Engine:
        """An engine that signs in with Entra ID where the URL names no login."""
        if "LoginTimeout" not in url.query:
            url = url.update_query_dict({"LoginTimeout": LOGIN_TIMEOUT_SECONDS})
        engine = sa.create_engine(
            url.set(drivername=f"mssql+{_DRIVER}") if url.drivername in PYODBC else url,
            hide_parameters=True,
            pool_pre_ping=True,
            default_level=self.isolation_level,
            **self.engine_options(),
        )
        if entra.is_wanted(url):
            entra.sign_in(engine)
        return engine

    @abstractmethod
    def engine_options(self) -> dict[str, bool]:
        """Options for ``create_engine``."""

    def preparations(self) -> list[str]:
        """The schema of staging tables."""
        return [f"IF SCHEMA_ID('{STAGING_SCHEMA}') IS NULL EXEC('CREATE SCHEMA {STAGING_SCHEMA}')"]

    @contextmanager
    def changing_schema(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A connection outside transactions; :meth:`run_ddl` tolerates concurrent creation."""
        with _outside_transactions(engine) as connection:
            for statement in self.preparations():
                self.run_ddl(connection, statement)
            yield connection

    def run_ddl(self, connection: sa.Connection, statement: str) -> None:
        """Runs ``statement``; ignores that another process has just created the same object."""
        try:
            connection.exec_driver_sql(statement)
        except sa.exc.DBAPIError as error:
            if ALREADY_EXISTS not in _numbers(error):
                raise

    def drop_statements(self, view: Definition) -> list[str]:  # noqa: ARG002
        """None: an existing view is altered."""
        return []

    def view_statements(self, view: Definition, *, exists: bool) -> list[str]:
        """ALTER keeps the permissions, and the view exists at all times."""
        verb = "ALTER" if exists else "CREATE"
        return [f"{verb} VIEW {self.quoted(view.name)} AS\n{view.select}\n{view.mark}"]

    def view_definitions(self, connection: sa.Connection) -> Mapping[str, str]:
        """Views with their text."""
        found = connection.exec_driver_sql(
            "SELECT v.name, m.definition FROM sys.views v JOIN sys.sql_modules m ON m.object_id = v.object_id"
        )
        return {str(name): str(text) for name, text in found}

    def columns(self, connection: sa.Connection) -> Mapping[str, set[str]]:
        """One question to a view that every engine of the family has.

        SQLAlchemy's reflection joins ``sys.extended_properties``, which a dedicated pool lacks. Views are included.
        """
        found: dict[str, set[str]] = {}
        for table, column in connection.exec_driver_sql(COLUMNS):
            found.setdefault(str(table), set()).add(str(column))
        return found

    def staged_rows(self, table: sa.Table, stage: sa.Table) -> sa.ColumnElement[bool]:
        """A semi-join, as T-SQL has no row values."""
        keys = [column.name for column in table.primary_key.columns]
        same = sa.and_(*(self.as_given(stage.c[name]) == table.c[name] for name in keys))
        return sa.exists(sa.select(sa.literal(1)).where(same).select_from(stage).correlate(table))

    def as_given(self, name: sa.Column[Any]) -> sa.ColumnElement[Any]:
        """``name`` compared case-sensitively: a table of an earlier version has another collation than its staging."""
        return name.collate(CASE_SENSITIVE) if name.name in CASE_SENSITIVE_COLUMNS else name

    @contextmanager
    def loading(self, engine: sa.Engine, changes: Sequence[Change]) -> Iterator[Loading]:
        """Fills staging tables, runs one transaction, and drops the staging tables."""
        load = uuid4().hex[:12]
        stages = {
            change.table.name: staging_table(
                change.table, f"{change.table.name}_{load}", schema=STAGING_SCHEMA, info=dict(change.table.info)
            )
            for change in changes
            if not change.staged.is_empty()
        }
        with _outside_transactions(engine) as outside:
            self._sweep(outside)
            try:
                for change in changes:
                    if change.table.name in stages:
                        stage = stages[change.table.name]
                        outside.exec_driver_sql(self.compiled(CreateTable(stage)))
                        self.fill(outside, stage, change.staged)
                with engine.begin() as connection:
                    yield Loading(connection, partial(self._apply, connection, stages))
            finally:
                for stage in stages.values():
                    self._drop_staging(outside, stage.name)

    def _apply(self, connection: sa.Connection, stages: Mapping[str, sa.Table], change: Change) -> Written:
        stage = stages.get(change.table.name)
        if stage is not None:
            return self.replace_staged(connection, change.table, stage, everything=change.is_whole_table)
        if change.is_whole_table:
            return Written(connection.execute(sa.delete(change.table)).rowcount, 0)
        return Written(0, 0)

    def _sweep(self, connection: sa.Connection) -> None:
        """Drops staging tables of killed loads: those older than a day."""
        left = connection.exec_driver_sql(
            f"SELECT name FROM sys.tables WHERE schema_id = SCHEMA_ID('{STAGING_SCHEMA}') "  # noqa: S608
            "AND create_date < DATEADD(DAY, -1, GETDATE())"
        )
        for name in [str(row[0]) for row in left]:
            self._drop_staging(connection, name)

    def _drop_staging(self, connection: sa.Connection, name: str) -> None:
        stage = f"{STAGING_SCHEMA}.{self.quoted(name)}"
        connection.exec_driver_sql(f"IF OBJECT_ID('{stage}', 'U') IS NOT NULL DROP TABLE {stage}")

    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """The server ended this load because of a concurrent one."""
        return bool(_numbers(error) & CONFLICTS)

    def is_missing_table(self, error: sa.exc.DBAPIError) -> bool:
        """The server's error number for an invalid object name."""
        return INVALID_OBJECT_NAME in _numbers(error)

    def after_load(self, engine: sa.Engine, changes: Iterable[Change]) -> None:
        """Nothing: the server updates its statistics automatically."""


@contextmanager
def _outside_transactions(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def _numbers(error: sa.exc.DBAPIError) -> set[int]:
    """Server error numbers in the driver's message."""
    return {int(number) for number in _NUMBER.findall(str(error.orig))}
