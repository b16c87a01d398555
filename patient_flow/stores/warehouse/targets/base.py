"""The interface of targets, and the load of those whose staging is part of the transaction.

A target is stateless: it creates DDL, opens engines and applies changes on connections that it receives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar

import polars as pl
import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from patient_flow.stores.warehouse.batch import Written
from patient_flow.stores.warehouse.changes import Change
from patient_flow.stores.warehouse.connection import readable
from patient_flow.stores.warehouse.schema import FORMER_INDEXES, IS_PRESENT, staging_table

WRITES = "patient_flow_writes"
"""Execution option of connections that will write."""


@dataclass(frozen=True)
class SqlDialect:
    """SQL expressions that differ between targets; ``{0}`` is the first argument, ``{1}`` the second one.

    The last five convert values to integers, for checksums that every engine computes alike.
    """

    now: str
    this_hour: str
    true: str
    flag: str
    hours_since: str
    days_later: str
    microseconds: str
    days: str
    truncated: str
    length: str
    code: str


@dataclass(frozen=True)
class Loading:
    """A load in progress: the connection of its transaction, and the function that applies one change in it."""

    connection: sa.Connection
    apply: Callable[[Change], Written]


@dataclass(frozen=True)
class Definition:
    """A view in the SQL of one target; ``mark`` identifies the definition.

    A reader of a view that ``runs_as_owner`` needs no rights on its tables. A view ``of_kept_tables`` comes with these.
    """

    name: str
    description: str
    select: str
    runs_as_owner: bool = False
    of_kept_tables: bool = False

    @property
    def mark(self) -> str:
        """A comment that the database stores with the view."""
        return f"/* definition {sha256(self.select.encode()).hexdigest()[:12]} */"


class Target(ABC):
    """One kind of warehouse."""

    kind: ClassVar[str]
    sql: ClassVar[SqlDialect]
    separator: ClassVar[str] = ";\n\n"
    """Ends a statement in a script."""
    has_users: ClassVar[bool] = True
    """False where whoever opens the database may do everything."""
    has_transactional_ddl: ClassVar[bool] = True
    """False where each statement of a migration is a transaction of its own."""

    @abstractmethod
    def dialect(self) -> sa.Dialect:
        """The dialect to compile with; needs no driver."""

    def reason_of(self, error: sa.exc.DBAPIError, url: str) -> str:  # noqa: ARG002
        """What the database at ``url`` answered, on one line and without secrets."""
        return readable(error)

    @abstractmethod
    def engine(self, url: sa.URL) -> sa.Engine:
        """An engine for ``url``; no connection is made yet."""

    # --- schema -------------------------------------------------------------------------------------------------

    def compiled(self, element: sa.schema.ExecutableDDLElement) -> str:
        """``element`` as this target's SQL."""
        lines = str(element.compile(dialect=self.dialect())).strip().splitlines()
        return "\n".join(line.rstrip().replace("\t", "    ") for line in lines)

    def literal(self, statement: sa.Update | sa.Insert) -> str:
        """``statement`` as this target's SQL, with literal values, for display and scripts."""
        text = str(statement.compile(dialect=self.dialect(), compile_kwargs={"literal_binds": True}))
        return "\n".join(line.rstrip() for line in text.splitlines())

    def quoted(self, name: str) -> str:
        """``name`` as an identifier."""
        return self.dialect().identifier_preparer.quote(name)

    def preparations(self) -> list[str]:
        """Idempotent statements that must run before the first table is created."""
        return []

    def table_statements(self, table: sa.Table) -> list[str]:
        """Statements that create ``table`` with its indexes or statistics."""
        return [self.compiled(CreateTable(table)), *(self.compiled(CreateIndex(index)) for index in indexes_of(table))]

    def drop_statements(self, view: Definition) -> list[str]:
        """Statements that must run before :meth:`view_statements` where the view exists."""
        return [f"DROP VIEW {self.quoted(view.name)}"]

    def view_statements(self, view: Definition, *, exists: bool) -> list[str]:  # noqa: ARG002
        """Statements that create the view; where it ``exists``, they follow :meth:`drop_statements`."""
        return [f"CREATE VIEW {self.quoted(view.name)} AS\n{view.select}\n{view.mark}"]

    def column_statements(self, table: sa.Table, columns: Sequence[str]) -> list[str]:
        """Statements that add ``columns`` of ``table``. They are nullable, as existing rows have no value."""
        return [
            f"ALTER TABLE {self.quoted(table.name)} ADD {self.quoted(name)} "
            f"{table.c[name].type.compile(dialect=self.dialect())} NULL"
            for name in columns
        ]

    def index_statements(self, connection: sa.Connection, table: sa.Table) -> list[str]:  # noqa: ARG002
        """Statements that create indexes that an existing ``table`` lacks. None where indexes are not compared."""
        return []

    def key_statements(self, connection: sa.Connection, table: sa.Table) -> list[str]:  # noqa: ARG002
        """Statements that change the primary key and indexes of an existing ``table`` into the declared ones.

        They follow :meth:`index_statements`. None where keys and indexes are not compared.
        """
        return []

    def grants(self, connection: sa.Connection, view: str) -> list[str]:  # noqa: ARG002
        """Statements that restore the grants that :meth:`drop_statements` removes from an existing view."""
        return []

    @abstractmethod
    def changing_schema(self, engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
        """A connection for DDL that is safe against concurrent creation by other processes."""

    def run_ddl(self, connection: sa.Connection, statement: str) -> None:
        """Runs one DDL statement."""
        connection.exec_driver_sql(statement)

    @abstractmethod
    def view_definitions(self, connection: sa.Connection) -> Mapping[str, str]:
        """Existing view → a text that contains the mark of its definition."""

    def columns(self, connection: sa.Connection) -> Mapping[str, set[str]]:
        """Existing table → names of its columns."""
        inspector = sa.inspect(connection)
        return {
            table: {column["name"] for column in inspector.get_columns(table)} for table in inspector.get_table_names()
        }

    # --- scripts for an administrator ----------------------------------------------------------------------------

    @abstractmethod
    def access_statements(self) -> Sequence[str]:
        """Statements of ``access.sql``: roles, grants, and rows by hospital and department."""

    def master_statements(self) -> Sequence[str]:
        """Statements of ``master.sql``: database settings that need a connection to master; none by default."""
        return ()

    def database_statements(self) -> Sequence[str]:
        """Statements of ``database.sql``: settings of the database that differ from its defaults; none by default."""
        return ()

    # --- load ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def loading(self, engine: sa.Engine, changes: Sequence[Change]) -> AbstractContextManager[Loading]:
        """One transaction in which each of ``changes`` can be applied; rolled back by an exception."""

    @abstractmethod
    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """True when ``error`` means a conflict with another loader."""

    @abstractmethod
    def is_missing_table(self, error: sa.exc.DBAPIError) -> bool:
        """True when ``error`` means that a table or view does not exist."""

    @abstractmethod
    def after_load(self, engine: sa.Engine, changes: Iterable[Change]) -> None:
        """Maintenance after a committed load that keeps queries fast, such as statistics."""

    def purge_statements(self, tables: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        """Statements that overwrite what deleted rows leave in the files of the database; none by default."""
        return ()

    def staged_rows(self, table: sa.Table, stage: sa.Table) -> sa.ColumnElement[bool]:
        """Condition on ``table``: its key is in ``stage``."""
        keys = [column.name for column in table.primary_key.columns]
        staged = sa.select(*(stage.c[name] for name in keys))
        own = [table.c[name] for name in keys]
        return (own[0] if len(own) == 1 else sa.tuple_(*own)).in_(staged)

    def replace_staged(
        self, connection: sa.Connection, table: sa.Table, stage: sa.Table, *, everything: bool
    ) -> Written:
        """Deletes the rows of ``table`` with keys in ``stage`` (or all rows) and inserts the staged rows."""
        delete = sa.delete(table)
        counted = connection.execution_options(preserve_rowcount=True)
        deleted = counted.execute(delete if everything else delete.where(self.staged_rows(table, stage)))
        names = [column.name for column in table.columns]
        present = sa.select(*(stage.c[name] for name in names)).where(stage.c[IS_PRESENT] == sa.true())
        inserted = counted.execute(sa.insert(table).from_select(names, present))
        return Written(deleted.rowcount, inserted.rowcount)


def indexes_of(table: sa.Table) -> list[sa.Index]:
    """The declared indexes of ``table``, in the order of their names."""
    return sorted(table.indexes, key=lambda index: str(index.name))


def _existing_indexes(connection: sa.Connection, table: sa.Table) -> dict[str, Sequence[str | None]]:
    """Index of an existing ``table`` → its columns; None is an expression."""
    return {str(index["name"]): index["column_names"] for index in sa.inspect(connection).get_indexes(table.name)}


class StagingInside(Target):
    """A target with temporary tables and transactional DDL: staging and load are one transaction."""

    @abstractmethod
    def fill(self, connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
        """Adds ``rows`` (columns as in ``table``) by the fastest method of the database."""

    @abstractmethod
    def temporary(self, table: sa.Table) -> sa.Table:
        """The staging table of ``table``."""

    def index_statements(self, connection: sa.Connection, table: sa.Table) -> list[str]:
        """By name: an index of the same name with other columns is for :meth:`key_statements`."""
        existing = _existing_indexes(connection, table)
        return [self.compiled(CreateIndex(index)) for index in indexes_of(table) if str(index.name) not in existing]

    def key_statements(self, connection: sa.Connection, table: sa.Table) -> list[str]:
        """Indexes with other columns are made again, former ones dropped; subclasses change the primary key.

        Loads and queries work without, and take longer. Indexes that no version of this package has declared stay.
        """
        existing = _existing_indexes(connection, table)
        redefined = [
            index
            for index in indexes_of(table)
            if existing.get(str(index.name), index.columns.keys()) != index.columns.keys()
        ]
        former = sorted(FORMER_INDEXES & existing.keys())
        return [
            *(
                statement
                for index in redefined
                for statement in (f"DROP INDEX {self.quoted(str(index.name))}", self.compiled(CreateIndex(index)))
            ),
            *(f"DROP INDEX {self.quoted(name)}" for name in former),
        ]

    def has_declared_key(self, connection: sa.Connection, table: sa.Table) -> bool:
        """True where the primary key of an existing ``table`` is the declared one."""
        found = sa.inspect(connection).get_pk_constraint(table.name)
        return found["constrained_columns"] == [column.name for column in table.primary_key.columns]

    @contextmanager
    def loading(self, engine: sa.Engine, changes: Sequence[Change]) -> Iterator[Loading]:  # noqa: ARG002
        """One transaction; staging happens in it."""
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            yield Loading(connection, partial(self._apply, connection))

    def _apply(self, connection: sa.Connection, change: Change) -> Written:
        stage = self.stage(connection, change)
        written = self.replace_staged(connection, change.table, stage, everything=change.is_whole_table)
        stage.drop(connection)
        return written

    def stage(self, connection: sa.Connection, change: Change) -> sa.Table:
        """The staging table of ``change``, created and filled."""
        stage = self.temporary(change.table)
        stage.create(connection)
        self.fill(connection, stage, change.staged)
        return stage


@contextmanager
def wrapped(connection: sa.Connection, statement: str) -> Iterator[None]:
    """Raises errors of the driver as SQLAlchemy does."""
    driver: Any = connection.dialect.dbapi
    try:
        yield
    except driver.Error as error:
        raise sa.exc.DBAPIError.instance(
            statement, None, error, driver.Error, hide_parameters=True, dialect=connection.dialect
        ) from error


def temporary_table(table: sa.Table, **options: Any) -> sa.Table:
    """A temporary staging table, private to its connection."""
    return staging_table(table, f"Stage{table.name}", prefixes=["TEMPORARY"], **options)
