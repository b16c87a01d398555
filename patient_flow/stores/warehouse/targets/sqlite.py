"""SQLite: the embedded default. One file in WAL mode, so that readers are not blocked by a load."""

from __future__ import annotations

import getpass
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from patient_flow.stores.lake.exclusion import locked
from patient_flow.stores.warehouse.batch import Written
from patient_flow.stores.warehouse.changes import Change
from patient_flow.stores.warehouse.connection import readable
from patient_flow.stores.warehouse.errors import WarehouseMisconfigured
from patient_flow.stores.warehouse.schema import LOAD_LOG, forget
from patient_flow.stores.warehouse.targets.base import (
    WRITES,
    SqlDialect,
    StagingInside,
    indexes_of,
    temporary_table,
)

c = pl.col

BUSY_TIMEOUT_MS = 30_000
ROWS_PER_WRITE = 10_000
WAL_LIMIT_BYTES = 64 * 2**20
"""The log is truncated to this size after a load."""

PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    # Safe against a killed process; a power cut may lose the newest commits, but never a part of one.
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
    # Overwrites deleted rows with zeros.
    "PRAGMA secure_delete = ON",
)

_PRIMARY_CODE = 0xFF
"""Mask of the primary error code; an extended code has more bits."""

# Without the fraction of a second, which SQLite would round to milliseconds.
_SECONDS = "substr({0}, 1, 19)"


_ACCESS = (
    "-- SQLite has no users: whoever may read the file reads everything. Give the loader's account the folder,\n"
    "-- the readers' group read access to the file and its -wal and -shm companions, and open it with mode=ro.\n"
    "PRAGMA query_only = ON"
)


class SQLite(StagingInside):
    """SQLite 3.35 or newer."""

    kind = "sqlite"
    has_users = False
    sql = SqlDialect(
        now="strftime('%Y-%m-%d %H:%M:%f000', 'now')",
        this_hour="CAST(strftime('%Y%m%d%H', 'now') AS INTEGER)",
        true="1",
        flag="CASE WHEN {0} THEN 1 ELSE 0 END",
        hours_since="((julianday('now') - julianday({0})) * 24.0)",
        days_later=f"(strftime('%Y-%m-%d %H:%M:%S', {_SECONDS}, '+{{1}} days') || substr({{0}}, 20))",
        microseconds=(
            f"(CAST(strftime('%s', {_SECONDS}) AS INTEGER) * 1000000 + CAST(substr({{0}}, 21, 6) AS INTEGER))"
        ),
        days="CAST(julianday({0}) - 2440587.5 AS INTEGER)",
        truncated="CAST({0} AS INTEGER)",
        length="length({0})",
        code="COALESCE(unicode(substr({0}, {1}, 1)), 0)",
    )

    def access_statements(self) -> Sequence[str]:
        """SQLite leaves access to the file system."""
        return (_ACCESS,)

    def dialect(self) -> sa.Dialect:
        """SQLAlchemy's dialect for Python's own driver."""
        return sqlite_dialect()

    def engine(self, url: sa.URL) -> sa.Engine:
        """An engine with explicit transactions; creates the folder of the file."""
        if url.database and url.database != ":memory:":
            folder = Path(url.database).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WarehouseMisconfigured(
                    f"PATIENT_FLOW_WAREHOUSE_URL: the folder {folder} cannot be created ({error.strerror})"
                ) from error
        engine = sa.create_engine(url, hide_parameters=True)
        sa.event.listen(engine, "connect", _configure)
        sa.event.listen(engine, "begin", _begin)
        if url.database and url.database != ":memory:":
            if "uri" not in url.query:
                _clear_leftovers(engine, Path(url.database))
            _follow(engine, Path(url.database))
        return engine

    @contextmanager
    def changing_schema(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A write transaction: SQLite has one at a time, and DDL is part of it."""
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            yield connection

    def key_statements(self, connection: sa.Connection, table: sa.Table) -> list[str]:
        """The next load changes the key, with all rows: SQLite cannot change that of an existing table.

        A table with columns of others keeps its key, because they would be lost.
        """
        statements = super().key_statements(connection, table)
        is_loaded = LOAD_LOG.c.gold_version.is_not(None) & (LOAD_LOG.c.table_name == table.name)
        if _is_to_be_made_again(self, connection, table) and connection.scalar(sa.select(sa.exists().where(is_loaded))):
            statements.append(self.literal(forget(table)))
        return statements

    def view_definitions(self, connection: sa.Connection) -> Mapping[str, str]:
        """Views with their text."""
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'view'")
        return {str(name): str(sql) for name, sql in found}

    def temporary(self, table: sa.Table) -> sa.Table:
        """A table in the connection's own temporary database: it does not grow the log."""
        return _stage_of(table)

    def fill(self, connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
        """One prepared statement over all rows, in the driver itself."""
        for part in rows.iter_slices(ROWS_PER_WRITE):
            values = _bindable(part)
            columns = ", ".join(self.quoted(name) for name in values.columns)
            marks = ", ".join("?" for _ in values.columns)
            insert = f"INSERT INTO {self.quoted(table.name)} ({columns}) VALUES ({marks})"  # noqa: S608
            connection.exec_driver_sql(insert, values.rows())

    def _apply(self, connection: sa.Connection, change: Change) -> Written:
        return (self._replace_all if change.is_whole_table else self._replace_keys)(connection, change)

    def _replace_keys(self, connection: sa.Connection, change: Change) -> Written:
        """Deletes by staged keys, then inserts the rows where they belong instead of staging them."""
        if change.staged.is_empty():
            return Written(0, 0)
        table, stage = change.table, self.temporary(change.table)
        stage.create(connection)
        self.fill(connection, stage, change.staged.select(column.name for column in table.primary_key.columns))
        deleted = connection.execute(sa.delete(table).where(self.staged_rows(table, stage)))
        stage.drop(connection)
        rows = change.rows
        self.fill(connection, table, rows)
        return Written(deleted.rowcount, rows.height)

    def _replace_all(self, connection: sa.Connection, change: Change) -> Written:
        """Replaces all rows without staging; creates the indexes at the end, which is faster than updating them.

        A table that has another primary key than the declared one is created again, with the indexes and triggers that
        others made; one with columns of others is not. Triggers run for each deleted and each inserted row.
        """
        table = change.table
        declared = {str(index.name) for index in table.indexes}
        existing = connection.exec_driver_sql(
            "SELECT type, name, sql FROM sqlite_master "
            "WHERE type IN ('index', 'trigger') AND tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid",
            (table.name,),
        ).all()
        indexes = {str(name): str(sql) for kind, name, sql in existing if kind == "index"}
        for name in declared & indexes.keys():
            connection.exec_driver_sql(f"DROP INDEX {self.quoted(name)}")
        deleted = connection.execute(sa.delete(table))
        missing = [self.compiled(CreateIndex(index)) for index in indexes_of(table)]
        if _is_to_be_made_again(self, connection, table):
            connection.execute(DropTable(table))
            connection.execute(CreateTable(table))
            for trigger in (str(sql) for kind, _, sql in existing if kind == "trigger"):
                connection.exec_driver_sql(trigger)
            missing += [sql for name, sql in indexes.items() if name not in declared]
        rows = change.rows
        self.fill(connection, table, rows)
        for index in missing:
            connection.exec_driver_sql(index)
        return Written(deleted.rowcount, rows.height)

    def reason_of(self, error: sa.exc.DBAPIError, url: str) -> str:
        """SQLite's message, and what is wrong with the file or its folder, which SQLite does not say."""
        code = getattr(error.orig, "sqlite_errorcode", 0) & _PRIMARY_CODE
        file = Path(sa.make_url(url).database or "")
        text = readable(error)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return (
                f"{text}: the file is damaged. Move it away with its -wal and -shm files and keep it, since only it "
                "holds the access log: the next load makes a new one from gold"
            )
        if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
            return text
        if file.is_dir():
            return f"{text}: {file} is a folder"
        for place in (file.parent, file):
            if not os.access(place, os.W_OK) and (place == file.parent or file.exists()):
                why = f"user {_user()} may not write it" if place.exists() else "it does not exist"
                return f"{text}: {place}: {why}"
        return text

    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Another writer kept the file locked."""
        code = getattr(error.orig, "sqlite_errorcode", 0)
        return (code & _PRIMARY_CODE) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

    def is_missing_table(self, error: sa.exc.DBAPIError) -> bool:
        """By the message, as SQLite has one error code for all faults of a statement."""
        return "no such table" in str(error.orig)

    def after_load(self, engine: sa.Engine, changes: Iterable[Change]) -> None:
        """Updates the statistics of replaced tables."""
        tables = [change.table.name for change in changes if change.is_whole_table and not change.staged.is_empty()]
        if not tables:
            return
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            for name in tables:
                connection.exec_driver_sql(f"ANALYZE {self.quoted(name)}")

    def purge_statements(self, tables: Sequence[str]) -> Sequence[str]:  # noqa: ARG002  (they are one file)
        """Writes the file again without free pages, and empties the log beside it."""
        return ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")


def _is_to_be_made_again(target: SQLite, connection: sa.Connection, table: sa.Table) -> bool:
    """True where an existing ``table`` lacks the declared key and has no column that making it again would lose."""
    if target.has_declared_key(connection, table):
        return False
    existing = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    return existing <= set(table.columns.keys())


@cache
def _stage_of(table: sa.Table) -> sa.Table:
    """Made once per process: a table of SQLAlchemy takes longer to make than to fill with a few rows."""
    return temporary_table(table)


def _configure(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
    connection.isolation_level = None  # _begin starts transactions, not the driver
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _clear_leftovers(engine: sa.Engine, file: Path) -> None:
    """Deletes what is left of a file that somebody deleted without its ``-wal`` and ``-shm``, before one is made.

    While another process keeps the deleted file open, SQLite would take its ``-shm`` for that of the new file, and
    each load would end with a disk I/O error.
    """

    def clear(*_: object) -> None:
        if file.exists():
            return
        place = file.resolve()  # as SQLite does: the other files are beside that of a link
        with suppress(OSError), locked(place.with_name(f"{place.name}.lock")):  # SQLite names what is not allowed here
            if place.exists():
                return
            for ending in ("-wal", "-shm"):
                place.with_name(place.name + ending).unlink(missing_ok=True)
            # Made under another name: to close it here would end the locks of this process on it.
            empty = place.with_name(f"{place.name}.new")
            empty.touch(0o644)
            empty.replace(place)

    sa.event.listen(engine, "do_connect", clear)


def _follow(engine: sa.Engine, file: Path) -> None:
    """Lets kept connections end when the file is not the one that they opened: deleted, moved or replaced.

    They would read the deleted file for ever, while loads fill the new one.
    """

    def remember(_: sa.engine.interfaces.DBAPIConnection, record: sa.pool.ConnectionPoolEntry) -> None:
        record.info["file"] = _identity(file)

    def compare(_: object, record: sa.pool.ConnectionPoolEntry, __: object) -> None:
        if record.info["file"] != _identity(file):
            raise sa.exc.DisconnectionError(f"{file} was replaced")

    sa.event.listen(engine, "connect", remember)
    sa.event.listen(engine, "checkout", compare)


def _user() -> str:
    """Name of the process's account, else its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _identity(file: Path) -> tuple[int, int] | None:
    """Device and number of the file; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin(connection: sa.Connection) -> None:
    # A read transaction could fail when it starts to write; BEGIN IMMEDIATE waits for other writers instead.
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    writes = options.get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _bindable(rows: pl.DataFrame) -> pl.DataFrame:
    """Instants and dates as the texts that SQLAlchemy writes and reads, without columns that have no value.

    The driver binds a truth value or null in several times the time of a number: it looks for an adapter first.
    """
    rows = rows.select(column for column in rows if column.null_count() < rows.height)
    return rows.with_columns(
        c(pl.Boolean).cast(pl.Int8),
        *(c(name).dt.strftime("%Y-%m-%d %H:%M:%S%.6f") for name, dtype in rows.schema.items() if dtype == pl.Datetime),
        *(c(name).dt.strftime("%Y-%m-%d") for name, dtype in rows.schema.items() if dtype == pl.Date),
    )
