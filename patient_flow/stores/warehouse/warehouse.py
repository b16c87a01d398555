"""The warehouse: created, loaded and read through one class, whatever database it is.

A load is one transaction: rows of all its tables and their lines in ``LoadLog``. Each line moves from the version that
the load started from to the version it brings, or nothing is written. That makes a crash at any point, two loaders at
once and a replay harmless. Not here: what to load (the change feed of gold) and how a database wants it (``targets``).
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

from patient_flow.contracts.views import VIEWS
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
from patient_flow.stores.warehouse.schema import ALL_TABLES, LOAD_LOG, TABLES, seed
from patient_flow.stores.warehouse.targets.copyinto import Exporter
from patient_flow.stores.warehouse.views import definition


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
        self._is_complete = False

    def __repr__(self) -> str:
        return f"Warehouse({self.address!r}, {self.kind!r})"

    @property
    def address(self) -> str:
        """Its URL, fit to be shown."""
        return masked(self._url)

    # --- schema -------------------------------------------------------------------------------------------------

    def init(self) -> None:
        """Creates what is missing: tables, lines of the load log, views. What is there stays as it is.

        Safe at any time, also when two processes do it at once. What changed in the declaration since is
        :meth:`migrate`'s to adapt.
        """
        with self._wrap_errors(), self.target.changing_schema(self._engine) as connection:
            names = set(sa.inspect(connection).get_table_names())
            existing = [table for table in ALL_TABLES if table.name in names]
            for table in ALL_TABLES:
                if table not in existing:
                    self._run(connection, self.target.table_statements(table))
            # Looked for first: a loader may not insert lines, and is refused even where none would be.
            logged = set(connection.scalars(sa.select(LOAD_LOG.c.table_name)))
            for table in TABLES.values():
                if table.name not in logged:
                    connection.execute(seed(table))
            if migration.missing_columns_of(connection, existing):
                return  # views may need those columns: the migration makes both
            views = self.target.view_definitions(connection)
            for view in VIEWS:
                if view.name not in views:
                    self._run(connection, self.target.view_statements(definition(view, self.target), exists=False))

    def migrate(self, *, dry_run: bool) -> list[str]:
        """Adapts the warehouse to the declaration: columns that gold has more, views that changed.

        Returns the statements, in order; with ``dry_run`` it only shows them. A table that gets a column is loaded as
        a whole next time, so that its old rows get their values. Nothing is ever dropped or narrowed.
        """
        with self._wrap_errors(), self.target.changing_schema(self._engine) as connection:
            statements = migration.statements(self.target, connection)
            if not dry_run:
                self._run(connection, statements)
                self._is_complete = False
        return statements

    def _run(self, connection: sa.Connection, statements: Sequence[str]) -> None:
        for statement in statements:
            self.target.run_ddl(connection, statement)

    # --- load ---------------------------------------------------------------------------------------------------

    def load(
        self, batches: Sequence[Batch], *, newest_event_at: datetime | None, loaded_at: datetime, run_id: str
    ) -> dict[str, Written]:
        """Loads all ``batches`` and their lines in ``LoadLog`` in one transaction; rows written, by gold table path.

        ``newest_event_at`` is when the hub accepted the newest event in the batches; None leaves what is known.
        Raises :class:`WarehouseConflict` when the warehouse is not at a batch's ``since``, and
        :class:`WarehouseMisconfigured` when it lacks a column.
        """
        self._refuse_incomplete()
        held = self.loaded_versions()
        for batch in batches:
            if held[batch.table.path] != batch.since:
                raise _conflict(batch)
        changes = {batch.table.path: change(batch) for batch in batches}
        with self._wrap_errors():
            with self.target.loading(self._engine, list(changes.values())) as loading:
                # The log first: a second loader waits here, and finds that it came too late before it did any work.
                for batch in batches:
                    self._advance(loading.connection, batch)
                written = {path: loading.apply(staged) for path, staged in changes.items()}
                for path, rows in written.items():
                    self._record(loading.connection, path, rows, newest_event_at, loaded_at, run_id)
            self.target.after_load(self._engine, list(changes.values()))
        return written

    def _refuse_incomplete(self) -> None:
        """Columns are only looked up until they were found complete once: nobody drops them under a running loader."""
        if self._is_complete:
            return
        with self._wrap_errors(), self._engine.connect() as connection:
            missing = migration.missing_columns(connection)
        if missing:
            named = ", ".join(f"{table}.{column}" for table, columns in missing.items() for column in columns)
            raise WarehouseMisconfigured(
                f"the warehouse lacks {named}: see `patient-flow warehouse migrate --dry-run`, then run it without"
            )
        self._is_complete = True

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
                f"LoadLog has {moved.rowcount} lines for {batch.table.warehouse_name}: delete all but one"
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
            .values(loaded_at=_utc(loaded_at), rows_written=written.total, run_id=run_id, **newest)
        )

    # --- read ---------------------------------------------------------------------------------------------------

    def loaded_versions(self) -> dict[str, int | None]:
        """Gold table path → gold version that the warehouse holds; None where nothing was loaded yet."""
        with self._reading() as connection:
            found = connection.execute(sa.select(LOAD_LOG.c.table_name, LOAD_LOG.c.gold_version))
            versions = {str(name): version for name, version in found}
        missing = [table.name for table in TABLES.values() if table.name not in versions]
        if missing:
            raise WarehouseNotInitialised(
                f"LoadLog has no line for {', '.join(missing)}: run `patient-flow warehouse init`"
            )
        return {path: versions[table.name] for path, table in TABLES.items()}

    def loaded_identities(self) -> dict[str, int | None]:
        """Gold table path → identity of the gold table that was loaded; None where no load has recorded one.

        Raises :class:`WarehouseError` when the warehouse lacks a column.
        """
        self._refuse_incomplete()
        with self._reading() as connection:
            found = connection.execute(sa.select(LOAD_LOG.c.table_name, LOAD_LOG.c.gold_table_id))
            identities = {str(name): identity for name, identity in found}
        return {path: identities.get(table.name) for path, table in TABLES.items()}

    def row_counts(self) -> dict[str, int]:
        """Gold table path → rows in the warehouse."""
        with self._reading() as connection:
            return {
                path: int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
                for path, table in TABLES.items()
            }

    def query(self, statement: str | sa.Select[Any], params: Mapping[str, object] | None = None) -> pl.DataFrame:
        """Rows of a query as a frame. ``params`` are bound, never pasted: ``:name`` in a text.

        A selectable (``schema.TABLES``, ``views.TABLES``) comes back in the declared types, instants in UTC, also when
        it is empty; a text as the driver returns it.
        """
        asked = sa.text(statement) if isinstance(statement, str) else statement
        with self._reading() as connection:
            return frame(connection.execute(asked, params), asked)

    def dispose(self) -> None:
        """Closes all connections; the next call opens new ones."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._wrap_errors(), self._engine.connect() as connection:
            yield connection

    @cached_property
    def _engine(self) -> sa.Engine:
        try:
            url = sa.make_url(self._url)
        except (sa.exc.ArgumentError, ValueError):  # the message would hold the URL, and with it a password
            raise WarehouseMisconfigured(
                "PATIENT_FLOW_WAREHOUSE_URL is no SQLAlchemy URL; see the README for its form"
            ) from None
        engine = self.target.engine(url)
        # A micro-batch makes a warehouse per asset and check; none may keep a connection after its own end.
        weakref.finalize(self, engine.dispose)
        return engine

    def _is_initialised(self, error: sa.exc.DBAPIError) -> bool:
        """False when ``error`` comes from a database that has no tables yet."""
        if not self.target.is_missing_table(error):
            return True
        try:
            return sa.inspect(self._engine).has_table(LOAD_LOG.name)
        except sa.exc.SQLAlchemyError:
            return True

    @contextlib.contextmanager
    def _wrap_errors(self) -> Iterator[None]:
        """Raises database errors as a ``WarehouseError``, on one line and without secrets."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            if self.target.is_conflict(error):
                raise WarehouseConflict(f"another load was running: {readable(error)}") from error
            reason = f"{self.address}: {readable(error)}"
            if self._is_initialised(error):
                raise WarehouseUnavailable(reason) from error
            raise WarehouseNotInitialised(
                f"{reason}. Its tables do not exist: run `patient-flow warehouse init`, or load it once"
            ) from error
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise WarehouseUnavailable(f"{self.address}: {readable(error)}") from error


def _conflict(batch: Batch) -> WarehouseConflict:
    return WarehouseConflict(
        f"{batch.table.warehouse_name} is no longer at gold version {batch.since}: another load was faster"
    )


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
