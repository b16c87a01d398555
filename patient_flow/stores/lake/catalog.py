"""All tables of the lake: where they are stored, opened, created and migrated."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, Field, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from patient_flow.contracts.tables import LAKE_TABLES, Table
from patient_flow.stores.lake import durability, exclusion, leftovers
from patient_flow.stores.lake.errors import LakeMisconfigured, SchemaDrift, wrap_errors
from patient_flow.stores.lake.folders import folder_of, open_table, readable_path
from patient_flow.stores.lake.handles import open_newest
from patient_flow.stores.lake.log import CHECKPOINT_EVERY, commit_properties, table_properties
from patient_flow.stores.lake.purge import Files
from patient_flow.stores.lake.remote_exclusion import room_at
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.staging import Staging
from patient_flow.wording import plural

EXPORTS = "_exports"
"""Folder beside gold's tables for files that a warehouse copies; ``infra/bicep/modules/lake.bicep`` expires them."""


class Lake:
    """All tables below one URI pattern such as ``data/{layer}`` or ``abfss://{layer}@ACCOUNT.dfs.core.windows.net``."""

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        folder = folder_of(uri)
        self._uri = uri if folder is None else str(folder)
        self._storage_options = dict(storage_options or {}) or None

    def uri(self, table: Table) -> str:
        """URI of ``table``."""
        return f"{self._layer(table.layer)}/{table.name}"

    def exists(self, table: Table) -> bool:
        """True when ``table`` has been created."""
        uri = self.uri(table)
        with wrap_errors("look for", f"{table.path} at {uri}"):
            return DeltaTable.is_deltatable(uri, self._storage_options)

    def open(self, table: Table) -> LakeTable:
        """``table`` at its newest version; created, with its final properties, if it does not exist yet.

        Columns that are declared but not stored are added. Raises ``LakeUnavailable`` when the storage cannot be
        reached, and :class:`SchemaDrift` when a column has another type.
        """
        uri = self.uri(table)
        with wrap_errors("open", f"{table.path} at {uri}"):
            try:
                handle = open_newest(uri, self._storage_options)
            except TableNotFoundError:
                # Checked only now: is_deltatable blocks all threads of the process, for minutes if the storage does
                # not answer.
                if not self.exists(table):
                    self._create(table, uri)
                handle = open_newest(uri, self._storage_options)
            except DeltaError:
                self._name_damage(table)
                raise
            durability.settle(table.path, handle)
            missing, drifted = _drift(table, handle)
            if drifted:
                raise SchemaDrift(f"{table.path} differs from this version: {drifted}. Run `patient-flow migrate`")
            if missing:
                handle.alter.add_columns(missing)
                handle.update_incremental()
                durability.settle(table.path, handle)
            return LakeTable(table, handle, self._storage_options)

    def open_all(self, tables: Iterable[Table]) -> dict[str, LakeTable]:
        """Each of ``tables`` that exists, by path."""
        return {table.path: self.open(table) for table in tables if self.exists(table)}

    def migrate(self, table: Table) -> str | None:
        """Rewrites ``table`` with the declared types where they differ; returns a report, or None if nothing differed.

        Checkpoints are kept. Raises :class:`LakeMisconfigured`, and changes nothing, when a value does not fit its new
        type.
        """
        if not self.exists(table):
            return None
        with wrap_errors("migrate", f"{table.path} at {self.uri(table)}"):
            handle = open_table(self.uri(table), storage_options=self._storage_options)
            durability.settle(table.path, handle)
            _, drifted = _drift(table, handle)
            if not drifted:
                return None
            stored = pl.scan_delta(handle).collect()
            try:
                rows = stored.select(
                    (pl.col(name) if name in stored.columns else pl.lit(None)).cast(dtype).alias(name)
                    for name, dtype in table.schema.items()
                )
            except pl.exceptions.PolarsError as error:
                raise LakeMisconfigured(f"{table.path} cannot be converted: {error}") from error
            write_deltalake(
                handle,
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=commit_properties({}, retries=0),
            )
            handle.update_incremental()
            durability.settle(table.path, handle)
        return f"{table.path}: {drifted}; {plural(rows.height, 'row')} rewritten"

    def export(self, name: str, rows: pl.DataFrame) -> str:
        """Writes ``rows`` as one Parquet file beside gold, for a warehouse to copy; returns its https address.

        The container's lifecycle rule deletes it. Raises :class:`LakeMisconfigured` for a lake on the local
        disk, which no remote warehouse could read.
        """
        account = re.fullmatch(r"abfss?://([^@/]+)@([^/]+)(/.*)?", self._layer("gold"))
        if account is None:
            raise LakeMisconfigured(
                "the warehouse copies from the lake: PATIENT_FLOW_LAKE_URI must be an abfss:// address"
            )
        path = f"{EXPORTS}/{name}.parquet"
        uri = f"{self._layer('gold')}/{path}"
        with wrap_errors("write", uri):
            rows.write_parquet(uri, storage_options=self._storage_options)
        container, host, folder = account.groups()
        return f"https://{host}/{container}{folder or ''}/{path}"

    def remove_leftovers(self, now: datetime) -> Iterator[str]:
        """Removes what killed processes left in the folders of the lake, once it is old; yields the path of each.

        Nothing on remote storage, which has rules for that.
        """
        for layer in dict.fromkeys(table.layer for table in LAKE_TABLES):
            if (folder := folder_of(self._layer(layer))) is not None:
                yield from leftovers.remove(folder, now)

    @property
    def folder(self) -> Path | None:
        """Folder of the locks of a local lake; None on remote storage."""
        return folder_of(self._layer("bronze"))

    def writing(self) -> AbstractContextManager[None]:
        """For as long as a step writes: waits while another process works alone on the lake."""
        folder = self.folder
        return room_at(self._layer("bronze")).shared() if folder is None else exclusion.shared(folder)

    def alone(self, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        """For work that no other writer may see half done; ``on_wait`` is called once where it has to wait."""
        folder = self.folder
        return room_at(self._layer("bronze")).alone(on_wait) if folder is None else exclusion.alone(folder, on_wait)

    def files(self, layer: str) -> Files:
        """All files of a layer, those beside its tables too."""
        return Files(self._layer(layer), self._storage_options)

    def staging(self, layer: str, run_id: str) -> Staging:
        """URI of a run's staged results beside the tables of ``layer``."""
        return Staging(self._layer(layer), run_id, self._storage_options)

    def _layer(self, layer: str) -> str:
        place = self._uri.replace("{layer}", layer).rstrip("/")
        return place if "://" in place else readable_path(place)

    def _name_damage(self, table: Table) -> None:
        """Raises :class:`LakeDamaged` where a damaged file explains why a table cannot be opened."""
        if (folder := durability.table_folder(table.path, self.uri(table))) is not None:
            for path, why, _ in folder.damage_of_log():
                raise folder.damaged(path, why)

    def _create(self, table: Table, uri: str) -> None:
        # Properties are final at creation: changing one later makes every concurrent writer fail.
        if (folder := durability.table_folder(table.path, uri)) is not None:
            folder.require_new()
            if leftovers.replacement_of(folder.folder) is not None:
                raise folder.damaged(folder.folder, "is missing, because a repair was interrupted")
        # If another process creates the table at the same moment, its table is used.
        with contextlib.suppress(CommitFailedError):
            DeltaTable.create(
                uri,
                schema=Schema.from_arrow(table.schema),
                mode="ignore",
                partition_by=list(table.partition_by),
                name=table.name,
                description=table.description,
                configuration={
                    "delta.enableChangeDataFeed": "true",
                    "delta.checkpointInterval": CHECKPOINT_EVERY,
                    **table_properties(table),
                    **table.configuration,
                },
                storage_options=self._storage_options,
            )


def _drift(table: Table, handle: DeltaTable) -> tuple[list[Field], str]:
    """Declared columns that are missing, and a description of columns with another type or without a declaration."""
    declared = {field.name: field for field in Schema.from_arrow(table.schema).fields}
    stored = {field.name: field for field in handle.schema().fields}
    missing = [field for name, field in declared.items() if name not in stored]
    drifted = [
        f"{name} is {_type(stored[name])}, not {_type(field)}"
        for name, field in declared.items()
        if name in stored and stored[name].type != field.type
    ]
    unknown = [f"{name} is not known" for name in stored if name not in declared]
    return missing, "; ".join(drifted + unknown)


def _type(field: Field) -> str:
    return str(json.loads(field.type.to_json()))
