"""Deletes the history of a Delta table: every file but those of its newest version.

Older versions can no longer be read afterwards, nor the changes between them, so every consumer must have read the
newest version. No commit is made: the version stays as it is.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake._internal import DeltaFileSystemHandler

from patient_flow.stores.lake.durability import CHECKSUMS, table_folder
from patient_flow.stores.lake.errors import wrap_errors
from patient_flow.stores.lake.folders import INDEX
from patient_flow.stores.lake.log import data_files

_LOG = "_delta_log"
_LAST_CHECKPOINT = f"{_LOG}/_last_checkpoint"
_OTHERS = (f"{CHECKSUMS}/", f"{INDEX}/")
"""Folders that others remove files from."""
_MISSING_ENTRIES = 100
"""Versions without a file after which the log counts as ended; there is a checkpoint every 50."""


class Files:
    """Files below a folder of a lake; paths are relative to it. On remote storage only whole folders are deleted."""

    def __init__(self, uri: str, storage_options: dict[str, str] | None = None) -> None:
        place = uri.removeprefix("file://")
        self._folder = None if "://" in place else Path(unquote(place) if place != uri else place)
        self._remote = None if self._folder else DeltaFileSystemHandler(uri, storage_options)

    def paths(self) -> list[str]:
        """All files on disk."""
        if self._folder is None:
            return []
        found = (path for path in self._folder.rglob("*") if path.is_file() or path.is_symlink())
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def delete(self, path: str) -> None:
        """Deletes a file on disk; one that is gone already is none of our concern."""
        if self._folder is not None:
            (self._folder / path).unlink(missing_ok=True)

    def delete_folder(self, name: str) -> int:
        """Deletes a folder with all that is in it; returns the number of its files on disk."""
        found = [path for path in self.paths() if path.startswith(f"{name}/")]
        if self._folder is not None:
            shutil.rmtree(self._folder / name, ignore_errors=True)
        elif self._remote is not None:
            with contextlib.suppress(FileNotFoundError):
                self._remote.delete_dir(name)
        return len(found)


def purge(handle: DeltaTable, name: str, storage_options: dict[str, str] | None) -> int:
    """Deletes all files but those of the version of ``handle``, which must be the newest; returns how many."""
    with wrap_errors("delete the history of", name):
        handle.create_checkpoint()
        folder = table_folder(name, handle.table_uri)
        if folder is None:
            return _purge_remote(handle, DeltaFileSystemHandler(handle.table_uri, storage_options))
        kept = {*_live(handle, name), *_log_of(handle.version()), _LAST_CHECKPOINT}
        files = Files(handle.table_uri)
        folder.flush_log()
        old = [path for path in files.paths() if path not in kept and not path.startswith(_OTHERS)]
        # The log last: what it names and no longer is there would look like damage.
        for path in sorted(old, key=lambda path: path.startswith(f"{_LOG}/")):
            files.delete(path)
        folder.forget_old()
    return len(old)


def _purge_remote(handle: DeltaTable, store: DeltaFileSystemHandler) -> int:
    """The same where a listing would need another library: vacuum names the data files, the versions the log's."""
    deleted = 0
    for path in handle.vacuum(0, dry_run=True, enforce_retention_duration=False, full=True):
        deleted += _delete(store, path)
    missing, version = 0, handle.version()
    while version > 0 and missing < _MISSING_ENTRIES:
        version -= 1
        entry, checkpoint = (_delete(store, path) for path in _log_of(version))
        missing = 0 if entry or checkpoint else missing + 1
        deleted += entry + checkpoint
    return deleted


def _delete(store: DeltaFileSystemHandler, path: str) -> int:
    try:
        store.delete_file(path)
    except FileNotFoundError:
        return 0
    return 1


def _live(handle: DeltaTable, name: str) -> Iterable[str]:
    """Paths of data files, as they are stated and decoded."""
    found = data_files(handle, name)
    stated = [] if found.is_empty() else found["path"].to_list()
    return {*stated, *map(unquote, stated)}


def _log_of(version: int) -> tuple[str, str]:
    return f"{_LOG}/{version:020d}.json", f"{_LOG}/{version:020d}.checkpoint.parquet"
