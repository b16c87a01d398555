"""The warehouse: one class to create, load and read it on any database.

A load is one transaction over the rows of all its tables and their rows in ``LoadLog``. It writes only if each row of
``LoadLog`` still has the version that the load started from (compare-and-set). Crashes, concurrent loaders and replays
are therefore harmless. Not here: what to load (the change feed of gold) and the SQL of each database (``targets``).
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import polars as pl
import sqlalchemy as sa

from patient_flow.contracts.figure_changes import CURRENT
from patient_flow.stores.warehouse import migration
from patient_flow.stores.warehouse.batch import Batch, Written
from patient_flow.stores.warehouse.changes import change
from patient_flow.stores.warehouse.connection import masked, readable
from patient_flow.stores.warehouse.errors import (
    WarehouseConflict,
    WarehouseMisconfigured,
    WarehouseNotInitialised,
    WarehouseUnavailable,
)
from patient_flow.stores.warehouse.frames import frame
from patient_flow.stores.warehouse.kinds import target_of
from patient_flow.stores.warehouse.schema import ALL_TABLES, KEPT_TABLES, LOAD_LOG, TABLES, seed
from patient_flow.stores.warehouse.targets.base import WRITES
from patient_flow.stores.warehouse.targets.copyinto import Exporter
from patient_flow.stores.warehouse.views import definitions, view_names
from patient_flow.wording import plural

_LOADING = "another load is running"


class Warehouse:
    """One warehouse at ``url`` (an SQLAlchemy URL), of one of the kinds in ``settings.WAREHOUSE_KINDS``.

    ``export(table_name, frame)`` writes a frame as Parquet where the warehouse can read it and returns its https URL;
    Synapse and Fabric need it for big loads, the others never call it. Every method raises a
    ``WarehouseError`` when the database cannot be reached or rejects the request.
    """

    def __init__(self, url: str, kind: str, *, export: Exporter | None = None) -> None:
        self.kind = kind
        self.target = target_of(kind, export)
        self._url = url
        self._has_all_columns = False

    def __repr__(self) -> str:
        return f"Warehouse({self.address!r}, {self.kind!r})"

    @property
    def address(self) -> str:
        """Its URL without secrets."""
        return masked(self._url)

    # --- schema -------------------------------------------------------------------------------------------------

    def init(self) -> None:
        """Creates missing tables, rows of the load log and views, and leaves existing ones unchanged.

        Safe at any time, also from two processes at once. :meth:`migrate` applies changes of the declaration.
        """
        with self._wrap_errors(), self.target.changing_schema(self._engine) as connection:
            columns = self.target.columns(connection)
            existing = [table for table in ALL_TABLES if table.name in columns]
            # A warehouse of an earlier version may lack tables that no load needs. Where it has users, the loader may
            # not create them: migrate does.
            is_older = LOAD_LOG in existing and self.target.has_users
            left_out = [table for table in KEPT_TABLES if is_older and table not in existing]
            for table in ALL_TABLES:
                if table not in existing and table not in left_out:
                    self._run(connection, self.target.table_statements(table))
            # Queried first: a loader lacks the right to insert, even if no row were inserted.
            logged = set(connection.scalars(sa.select(LOAD_LOG.c.table_name)))
            for table in TABLES.values():
                if table.name not in logged:
                    connection.execute(seed(table))
            if migration.missing_columns(columns, existing):
                return  # views may need those columns: the migration creates both
            views = self.target.view_definitions(connection)
            if not view_names() <= views.keys():
                for view in definitions(self.target):
                    if view.name not in views and not (view.of_kept_tables and left_out):
                        self._run(connection, self.target.view_statements(view, exists=False))
        self._has_all_columns = True

    def migrate(self, *, dry_run: bool) -> list[str]:
        """Adapts the warehouse to the declaration: new columns, tables, keys and indexes, and changed views.

        Returns the statements, in order; with ``dry_run`` it does not execute them. The next load replaces a table with
        a new column completely, so that existing rows get their values. No column is ever dropped or narrowed.
        Raises :class:`WarehouseConflict` when the database ended it for the sake of a load or a reader.
        """
        unchanged = "; nothing was changed" if self.target.has_transactional_ddl else ""
        again = f"a load or a reader was in the way{unchanged}: run `patient-flow warehouse migrate` again"
        conflict = _LOADING if dry_run else again
        with self._wrap_errors(conflict), self.target.changing_schema(self._engine) as connection:
            statements = migration.statements(self.target, connection)
            if not dry_run:
                self._run(connection, statements)
                self._has_all_columns = False
        return statements

    def _run(self, connection: sa.Connection, statements: Sequence[str]) -> None:
        for statement in statements:
            self.target.run_ddl(connection, statement)

    # --- load ---------------------------------------------------------------------------------------------------

    def load(
        self, batches: Sequence[Batch], *, newest_event_at: datetime | None, loaded_at: datetime, run_id: str
    ) -> dict[str, Written]:
        """Loads all ``batches`` and updates ``LoadLog`` in one transaction; returns rows written by gold table path.

        ``newest_event_at`` is when the hub accepted the newest event in the batches; None keeps the recorded one.
        Raises :class:`WarehouseConflict` when the warehouse is not at a batch's ``since``, and
        :class:`WarehouseMisconfigured` when it lacks a column.
        """
        self._require_all_columns()
        loaded = self.loaded_versions()
        for batch in batches:
            if loaded[batch.table.path] != batch.since:
                raise _conflict(batch)
        changes = {batch.table.path: change(batch) for batch in batches}
        with self._wrap_errors():
            with self.target.loading(self._engine, list(changes.values())) as loading:
                # The log first: a concurrent loader waits here and fails before it has done any work.
                for batch in batches:
                    self._advance(loading.connection, batch)
                written = {path: loading.apply(staged) for path, staged in changes.items()}
                for path, rows in written.items():
                    self._record(loading.connection, path, rows, newest_event_at, loaded_at, run_id)
            self.target.after_load(self._engine, list(changes.values()))
        return written

    def _require_all_columns(self) -> None:
        """Raises :class:`WarehouseMisconfigured` if a declared column is missing. Queries the schema until none is."""
        if self._has_all_columns:
            return
        with self._wrap_errors(), self._engine.connect() as connection:
            missing = migration.incomplete_tables(self.target, connection)
        if missing:
            named = ", ".join(f"{table}.{column}" for table, columns in missing.items() for column in columns)
            raise WarehouseMisconfigured(
                f"the warehouse lacks {named}: run `patient-flow warehouse migrate --dry-run`, then without --dry-run"
            )
        self._has_all_columns = True

    def _advance(self, connection: sa.Connection, batch: Batch) -> None:
        """Compare-and-set of the loaded version."""
        version = LOAD_LOG.c.gold_version
        identity = {} if batch.identity is None else {"gold_table_id": batch.identity}
        moved = connection.execute(
            sa.update(LOAD_LOG)
            .where(LOAD_LOG.c.table_name == batch.table.warehouse_name)
            .where(version.is_(None) if batch.since is None else version == batch.since)
            .values(gold_version=batch.version, **identity)
        )
        if moved.rowcount == 0:
            raise _conflict(batch)
        if moved.rowcount > 1:
            raise WarehouseMisconfigured(
                f"LoadLog has {plural(moved.rowcount, 'row')} for {batch.table.warehouse_name}: delete all but one"
            )

    def _record(
        self,
        connection: sa.Connection,
        path: str,
        written: Written,
        newest_event_at: datetime | None,
        loaded_at: datetime,
        run_id: str,
    ) -> None:
        newest = (
            {}
            if newest_event_at is None
            else {
                "newest_event_at": _utc(newest_event_at),
                "lag_seconds": (loaded_at - newest_event_at).total_seconds(),
            }
        )
        connection.execute(
            sa.update(LOAD_LOG)
            .where(LOAD_LOG.c.table_name == TABLES[path].name)
            .values(
                loaded_at=_utc(loaded_at),
                rows_written=written.total,
                run_id=run_id,
                figures_version=CURRENT.version,
                figures_changed_at=_changed_at(loaded_at),
                **newest,
            )
        )

    def purge(self) -> None:
        """Overwrites what deleted rows leave in the files of the database, as far as the database can."""
        autocommit = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with self._wrap_errors(), autocommit as connection:
            for statement in self.target.purge_statements([table.name for table in TABLES.values()]):
                connection.exec_driver_sql(statement)

    # --- read ---------------------------------------------------------------------------------------------------

    def loaded_versions(self) -> dict[str, int | None]:
        """Gold table path → loaded gold version; None where nothing was loaded yet."""
        with self.reading() as connection:
            found = connection.execute(sa.select(LOAD_LOG.c.table_name, LOAD_LOG.c.gold_version))
            versions = {str(name): version for name, version in found}
        missing = [table.name for table in TABLES.values() if table.name not in versions]
        if missing:
            raise WarehouseNotInitialised(
                f"LoadLog has no row for {', '.join(missing)}: run `patient-flow warehouse init`"
            )
        return {path: versions[table.name] for path, table in TABLES.items()}

    def loaded_identities(self) -> dict[str, int | None]:
        """Gold table path → identity of the loaded gold table; None where no load has recorded one.

        Raises :class:`WarehouseError` when the warehouse lacks a column.
        """
        self._require_all_columns()
        with self.reading() as connection:
            found = connection.execute(sa.select(LOAD_LOG.c.table_name, LOAD_LOG.c.gold_table_id))
            identities = {str(name): identity for name, identity in found}
        return {path: identities.get(table.name) for path, table in TABLES.items()}

    def row_counts(self) -> dict[str, int]:
        """Gold table path → rows in the warehouse."""
        with self.reading() as connection:
            return {
                path: int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
                for path, table in TABLES.items()
            }

    def query(self, statement: str | sa.Select[Any], params: Mapping[str, object] | None = None) -> pl.DataFrame:
        """Rows of a query as a frame. ``params`` are bound to ``:name`` in a text.

        The result of a selectable (``schema.TABLES``, ``views.TABLES``) has the declared types, also when it is empty;
        instants are in UTC. The result of a text has the driver's types.
        """
        asked = sa.text(statement) if isinstance(statement, str) else statement
        with self.reading() as connection:
            return frame(connection.execute(asked, params), asked)

    def dispose(self) -> None:
        """Closes all connections; the next call opens new ones."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction for rows that no load writes."""
        with self._wrap_errors(), self._engine.execution_options(**{WRITES: True}).begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read from."""
        with self._wrap_errors(), self._engine.connect() as connection:
            yield connection

    @cached_property
    def _engine(self) -> sa.Engine:
        try:
            url = sa.make_url(self._url)
        except (sa.exc.ArgumentError, ValueError):  # the message would contain the URL with its password
            raise WarehouseMisconfigured(
                "PATIENT_FLOW_WAREHOUSE_URL is not a SQLAlchemy URL; see the README for its format"
            ) from None
        engine = self.target.engine(url)
        # A micro-batch creates a warehouse per asset and check; each must close its connections at its end.
        weakref.finalize(self, engine.dispose)
        return engine

    def _is_initialised(self, error: sa.exc.DBAPIError) -> bool:
        """False when ``error`` comes from a database without tables."""
        if not self.target.is_missing_table(error):
            return True
        try:
            return sa.inspect(self._engine).has_table(LOAD_LOG.name)
        except sa.exc.SQLAlchemyError:
            return True

    @contextlib.contextmanager
    def _wrap_errors(self, conflict: str = _LOADING) -> Iterator[None]:
        """Raises database errors as a ``WarehouseError``, on one line and without secrets."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            if self.target.is_conflict(error):
                raise WarehouseConflict(f"{conflict} ({readable(error)})") from error
            reason = f"{self.address}: {self.target.reason_of(error, self._url)}"
            if self._is_initialised(error):
                hint = ". Run `patient-flow warehouse migrate`" if self.target.is_missing_table(error) else ""
                raise WarehouseUnavailable(f"{reason}{hint}") from error
            raise WarehouseNotInitialised(
                f"{reason}. Its tables do not exist: run `patient-flow warehouse init`, or load it once"
            ) from error
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise WarehouseUnavailable(f"{self.address}: {readable(error)}") from error


def _conflict(batch: Batch) -> WarehouseConflict:
    return WarehouseConflict(
        f"{batch.table.warehouse_name} is no longer at gold version {batch.since}: another load committed first"
    )


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _changed_at(loaded_at: datetime) -> sa.ColumnElement[datetime]:
    """When figures of another version of the rules were replaced by this load; else as it was."""
    is_of_another = LOAD_LOG.c.figures_version.is_(None) | (LOAD_LOG.c.figures_version != CURRENT.version)
    changed = sa.and_(LOAD_LOG.c.loaded_at.is_not(None), is_of_another)
    return sa.case(
        (changed, sa.literal(_utc(loaded_at), LOAD_LOG.c.loaded_at.type)), else_=LOAD_LOG.c.figures_changed_at
    )
