"""Staging of results beside the tables of one layer: ``<layer>/_rebuild/<run>/``.

A cluster writes complete Delta tables there, so that a partial result is never visible; the process that owns the lake
commits them part by part, and removes them. Leftovers of a run that died do no harm.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import polars as pl
from deltalake import DeltaTable
from deltalake._internal import DeltaFileSystemHandler
from deltalake.exceptions import DeltaError

from patient_flow.errors import OperatorError

FOLDER = "_rebuild"


class StagingExpired(OperatorError):
    """The staged results were removed; the message says what to do."""


class Staging:
    """The staging folder of one run in one layer of the lake."""

    def __init__(self, layer_uri: str, run_id: str, storage_options: Mapping[str, str] | None = None) -> None:
        place = layer_uri.rstrip("/")
        self._layer = place if "://" in place else Path(place).absolute().as_uri()
        self._run_id = run_id
        self._storage_options = dict(storage_options or {}) or None

    def uri(self, name: str) -> str:
        """URI to which the result ``name`` is written."""
        return f"{self._layer}/{FOLDER}/{self._run_id}/{name}"

    def open(self, name: str) -> Staged:
        """The result ``name``. Raises :class:`StagingExpired` when it was removed."""
        with _wrap_errors():
            return Staged(DeltaTable(self.uri(name), storage_options=self._storage_options))

    def clear(self) -> None:
        """Removes the results of all runs. Others have died, or fail with :class:`StagingExpired` from now on."""
        if self._layer.startswith("file://"):
            shutil.rmtree(Path(unquote(urlsplit(self._layer).path)) / FOLDER, ignore_errors=True)
            return
        with contextlib.suppress(FileNotFoundError):
            DeltaFileSystemHandler(self._layer, self._storage_options).delete_dir(FOLDER)


class Staged:
    """One result, written in parts (its Delta partitions)."""

    def __init__(self, handle: DeltaTable) -> None:
        self._handle = handle

    def parts(self, column: str, **where: str) -> list[int]:
        """Sorted values of the partition column ``column``, in files whose other partitions match ``where``."""
        files = self._files(where)
        return [] if files.is_empty() else sorted(int(part) for part in files[f"partition.{column}"].unique())

    def part(self, column: str, value: int, schema: pl.Schema, **where: str) -> pl.DataFrame:
        """All rows of one part, cast to ``schema``."""
        wanted = [pl.col(name) == other for name, other in where.items()]
        rows = pl.scan_delta(self._handle).filter(pl.col(column) == value, *wanted)
        with _wrap_errors():
            return rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items()).collect()

    def row_count(self, **where: str) -> int:
        """Rows of all parts."""
        files = self._files(where)
        return 0 if files.is_empty() else int(files["num_records"].sum())

    def _files(self, where: Mapping[str, str]) -> pl.DataFrame:
        with _wrap_errors():
            files = pl.DataFrame(self._handle.get_add_actions(flatten=True))
        wanted = [pl.col(f"partition.{name}") == value for name, value in where.items()]
        return files if files.is_empty() else files.filter(pl.all_horizontal(pl.lit(True), *wanted))


@contextlib.contextmanager
def _wrap_errors() -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError) as error:
        raise StagingExpired(
            "the staged results of the cluster were removed, because another rebuild has started; restart this one "
            "when that has ended"
        ) from error
