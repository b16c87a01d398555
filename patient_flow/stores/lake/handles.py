"""Handles of Delta tables on disk that this process keeps after use.

A run opens its tables some sixty times, and each time delta-rs would read the log from the last checkpoint on. A kept
handle reads only the entries since, and nothing where there are none. It has one user at a time: it comes back when
nothing refers to the user's handle any more, not even a lazy frame. On remote storage each handle is new.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from patient_flow.stores.lake.errors import STORE_ERRORS
from patient_flow.stores.lake.folders import folder_of, open_table

MAX_KEPT = 64
Stamp = tuple[int, int, int]
"""Inode, size and time of change of a file: another one has others."""


@dataclass(frozen=True)
class _Kept:
    """A handle that nobody uses.

    ``entry`` is the log entry by which its table is recognised. delta-rs reads entries since the checkpoint only when
    they are needed; they are there while no newer checkpoint has been written (``checkpoint``).
    """

    handle: DeltaTable
    entry: Path
    stamp: Stamp
    checkpoint: Stamp | None

    def is_usable(self) -> bool:
        """True after reading what was committed since; false where the table was replaced, or has a new checkpoint."""
        if stamp_of(self.entry) != self.stamp or _checkpoint_of(self.entry.parent) != self.checkpoint:
            return False
        try:
            if entry_path(self.entry.parent, self.handle.version() + 1).exists():
                self.handle.update_incremental()
        except STORE_ERRORS:  # a new handle reports what is wrong
            return False
        return True


_kept: dict[str, _Kept] = {}
"""URI of a table → its handle."""


def open_newest(uri: str, storage_options: dict[str, str] | None = None) -> DeltaTable:
    """The Delta table at ``uri``, at its newest version. Raises what delta-rs raises."""
    folder = folder_of(uri)
    if folder is None:
        return open_table(uri, storage_options=storage_options)
    log = folder / "_delta_log"
    checkpoint, kept = _checkpoint_of(log), _kept.pop(uri, None)
    handle = kept.handle if kept and kept.is_usable() else open_table(uri, storage_options=storage_options)
    entry = entry_path(log, handle.version())
    stamp = stamp_of(entry)
    if stamp is None:
        return handle
    lent = copy.copy(handle)
    weakref.finalize(lent, _keep, uri, _Kept(handle, entry, stamp, checkpoint)).atexit = False
    return lent


def _checkpoint_of(log: Path) -> Stamp | None:
    return stamp_of(log / "_last_checkpoint")


def _keep(uri: str, kept: _Kept) -> None:
    _kept[uri] = kept
    while len(_kept) > MAX_KEPT:
        _kept.pop(next(iter(list(_kept))), None)  # a copy: other threads keep handles too


def entry_path(log: Path, version: int) -> Path:
    """The log entry of ``version``."""
    return log / f"{version:020d}.json"


def stamp_of(file: Path) -> Stamp | None:
    """Of a file as it is now; None where it is missing."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
