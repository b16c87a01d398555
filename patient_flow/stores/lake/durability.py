"""Commits that survive a power loss: files on disk, checksums beside them, and damage that is named.

delta-rs writes a table's files without flushing them and offers no hook between the data and the log entry. After each
commit, and before anything is built on a commit that another process made, this module flushes its data files, its log
entry and their folders, and only then writes the commit's checksums to ``<table>/_checksums/<version>.json``. A commit
counts as reported once these exist. One without them that is torn was never reported; one with them that is missing or
differs is damaged. Both are refused by name.

Tables on remote storage are left alone: the service stores an object whole or not at all, and checks it itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from patient_flow.stores.lake.errors import REPAIR, CommitConflict, LakeDamaged
from patient_flow.stores.lake.folders import folder_of
from patient_flow.stores.lake.handles import Stamp, entry_path, stamp_of
from patient_flow.wording import plural

CHECKSUMS = "_checksums"
BASE = "base.json"
"""Checksums of files whose commits have left the log."""
CHECKPOINTS_STATED = "checkpoints"
"""In a commit's metadata: the number of checkpoints in it. They end the log entry, so it was written to its end."""
_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
_READ_BYTES = 1 << 20
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

_settled: dict[tuple[Path, str], tuple[int, Stamp | None]] = {}
"""Folder and id of a table → the version up to which this process has checked its log, and the stamp of its entry."""


@dataclass(frozen=True)
class Entry:
    """One entry of a table's log."""

    actions: tuple[dict[str, Any], ...]

    def paths(self, *kinds: str) -> list[str]:
        """Paths, relative to the table, of the files in actions of these ``kinds`` (add, cdc, remove)."""
        return [unquote(action[kind]["path"]) for action in self.actions for kind in kinds if kind in action]


@dataclass(frozen=True)
class TableFolder:
    """The files of one Delta table in a folder. ``name`` is the table's path in the lake, for messages."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """The folder of the log."""
        return self.folder / "_delta_log"

    def entry_path(self, version: int) -> Path:
        """The log entry of ``version``."""
        return entry_path(self.log, version)

    def damaged(self, path: Path, why: str) -> LakeDamaged:
        """The error for a damaged file."""
        return LakeDamaged(
            f"{self.name} is damaged: {path} {why}. {REPAIR}",
            why,
            str(path),
        )

    def settle(self, version: int, table_id: str) -> None:
        """Checks the log up to ``version`` and makes sure that it is on disk, with everything it refers to.

        Raises :class:`LakeDamaged` for a torn, missing or changed file of the log, or a torn data file of a commit that
        was not reported yet.
        """
        key, stamp = (self.folder, table_id), stamp_of(self.entry_path(version))
        known, known_stamp = _settled.get(key, (-1, None))
        if known == version and known_stamp == stamp is not None and not self._has_any_of(version + 1):
            return
        recorded = self.recorded_versions()
        entries, checkpoints = self.log_versions()
        if recorded and recorded[-1] > max(version, *entries, *checkpoints, -1):
            raise self.damaged(self.entry_path(recorded[-1]), "is missing, although that commit was reported")
        start = max((number for number in checkpoints if number <= version), default=-1)
        tail = {
            number: self.read_entry(number) for number in range(max(start + 1, min(known + 1, version)), version + 1)
        }
        for number in tail.keys() & set(recorded):
            if checksum(self.entry_path(number)) != self.checksums(f"{number:020d}.json").get("entry"):
                raise self.damaged(self.entry_path(number), "is not what was written")
        new = [number for number in tail if number not in set(recorded)]
        if new:
            self._make_durable({number: tail[number] for number in new}, set(self._removed(tail.values())))
        _settled[key] = version, stamp

    def _has_any_of(self, version: int) -> bool:
        """True where the log or the checksums know a commit."""
        return self.entry_path(version).exists() or (self.folder / CHECKSUMS / f"{version:020d}.json").exists()

    def _removed(self, entries: Iterable[Entry]) -> Iterator[str]:
        for entry in entries:
            yield from entry.paths("remove")

    def _make_durable(self, entries: dict[int, Entry], removed: set[str]) -> None:
        """Flushes commits and what they added, oldest first, and records their checksums. ``removed`` may be gone."""
        folders = {self.log, self.folder, *self._parents()}
        found: dict[int, dict[str, str]] = {}
        for version, entry in entries.items():
            found[version] = {}
            sizes = {unquote(a[k]["path"]): a[k]["size"] for a in entry.actions for k in ("add", "cdc") if k in a}
            for relative, size in sizes.items():
                path = self.folder / relative
                if not path.exists() or path.stat().st_size != size:
                    if relative in removed and not path.exists():
                        continue
                    raise self.damaged(path, "is missing or cut off")
                found[version][relative] = flush(path)
                folders |= {path.parent, path.parent.parent}
        for folder in sorted(folders):
            flush_folder(folder)
        digests = {version: flush(self.entry_path(version)) for version in entries}
        self.flush_log()
        try:
            for version, files in found.items():
                self._write(f"{version:020d}.json", {"entry": digests[version], "files": files})
            flush_folder(self.folder / CHECKSUMS)
            flush_folder(self.folder)
        except OSError as error:
            if error.errno not in _READ_ONLY:  # who may not write here cannot commit anything either
                raise

    def _parents(self) -> list[Path]:
        """Folders above a table that was just created; later commits leave them as they are."""
        return [] if (self.folder / CHECKSUMS).exists() else list(self.folder.parents)[:3]

    # --- the log

    def log_versions(self) -> tuple[list[int], list[int]]:
        """Versions with a log entry, and versions with a checkpoint, in order."""
        names = [path.name for path in self.log.iterdir()]
        entries = sorted(int(match[1]) for name in names if (match := _ENTRY.fullmatch(name)))
        return entries, sorted(int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name)))

    def read_entry(self, version: int) -> Entry:
        """The log entry of ``version``. Raises :class:`LakeDamaged` when it is missing or was cut off."""
        path = self.entry_path(version)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise self.damaged(path, "is missing") from None
        if not data.strip(b"\0"):
            raise self.damaged(path, f"is torn: it has {plural(len(data), 'byte')}, and no commit")
        try:
            actions = tuple(json.loads(line) for line in data.decode().split("\n") if line)
            stated = int(next((a["commitInfo"].get(CHECKPOINTS_STATED, 0) for a in actions if "commitInfo" in a), 0))
        except (ValueError, AttributeError, TypeError):
            raise self.damaged(path, "is torn or overwritten: it is no JSON") from None
        if sum("txn" in action for action in actions) < stated or not actions:
            raise self.damaged(path, "is torn: its end is missing")
        return Entry(actions)

    def damage_of_log(self) -> Iterator[tuple[Path, str, bool]]:
        """Damaged files of the log that opening the table needs, why, and whether the table is complete without one.

        It is without a checkpoint, while the entries before it are there, and without a last entry that was torn before
        the commit was reported.
        """
        entries, checkpoints = self.log_versions()
        for number in checkpoints:
            path = self.log / f"{number:020d}.checkpoint.parquet"
            try:
                pl.read_parquet(path, glob=False)
            except (pl.exceptions.PanicException, pl.exceptions.PolarsError, OSError):
                yield path, "cannot be decoded", True
        with contextlib.suppress(FileNotFoundError):
            try:
                stated = json.loads((self.log / "_last_checkpoint").read_bytes())["version"]
            except (ValueError, KeyError, TypeError):
                stated = None
            if stated not in checkpoints:
                yield self.log / "_last_checkpoint", "names no checkpoint that is there", True
        recorded = self.recorded_versions()
        newest = max([*entries, *recorded], default=-1)
        for number in range(max(checkpoints, default=-1) + 1, newest + 1):
            path, is_recorded = self.entry_path(number), number in recorded
            try:
                self.read_entry(number)
            except LakeDamaged as damage:
                yield path, damage.why, not is_recorded and number == newest
                continue
            if is_recorded and checksum(path) != self.checksums(f"{number:020d}.json").get("entry"):
                yield path, "is not what was written", False

    def require_new(self) -> None:
        """Raises :class:`LakeDamaged` when the folder, which has no log, has data files all the same."""
        if self.recorded_versions() or next(self.folder.rglob("*.parquet"), None) is not None:
            raise self.damaged(self.log, "has no entries, and there are data files beside it")

    def require_sizes(self, sizes: dict[str, int], version: int) -> None:
        """Raises :class:`LakeDamaged` for a data file of ``version`` that is missing or has another size."""
        for relative, size in sizes.items():
            path = self.folder / unquote(relative)
            try:
                if path.stat().st_size == size:
                    continue
                why = f"has {plural(path.stat().st_size, 'byte')}, not {size:,}"
            except FileNotFoundError:
                why = "is missing"
            entries, _ = self.log_versions()
            if entries and entries[-1] > version:
                raise CommitConflict(f"{self.name} was changed while it was read: {path} {why}")
            raise self.damaged(path, why)

    def flush_log(self) -> None:
        """Waits until the newest checkpoint is on disk."""
        _, checkpoints = self.log_versions()
        for name in ["_last_checkpoint", *(f"{number:020d}.checkpoint.parquet" for number in checkpoints[-1:])]:
            if (self.log / name).exists():
                flush(self.log / name)
        flush_folder(self.log)

    # --- checksums

    def recorded_versions(self) -> list[int]:
        """Versions whose checksums are recorded, in order."""
        with contextlib.suppress(FileNotFoundError):
            names = [path.name for path in (self.folder / CHECKSUMS).iterdir()]
            return sorted(int(match[1]) for name in names if (match := _ENTRY.fullmatch(name)))
        return []

    def checksums(self, name: str) -> dict[str, Any]:
        """One file of checksums; an unreadable one states nothing."""
        try:
            stored = json.loads((self.folder / CHECKSUMS / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def file_checksums(self) -> dict[str, str]:
        """Path of each data file, relative to the table, → its recorded checksum."""
        found: dict[str, str] = {}
        for name in [BASE, *(f"{version:020d}.json" for version in self.recorded_versions())]:
            found |= self.checksums(name).get("files", {})
        return found

    def forget_old(self) -> None:
        """Joins the checksums of commits that have left the log; those of deleted files go."""
        entries, _ = self.log_versions()
        old = [version for version in self.recorded_versions() if entries and version < entries[0]]
        if not old:
            return
        kept = self.checksums(BASE).get("files", {})
        for version in old:
            kept |= self.checksums(f"{version:020d}.json").get("files", {})
        self._write(BASE, {"files": {path: sum_ for path, sum_ in kept.items() if (self.folder / path).exists()}})
        flush_folder(self.folder / CHECKSUMS)
        for version in old:
            (self.folder / CHECKSUMS / f"{version:020d}.json").unlink(missing_ok=True)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        folder = self.folder / CHECKSUMS
        folder.mkdir(exist_ok=True)
        draft = folder / f".{uuid.uuid4().hex}"
        try:
            draft.write_text(json.dumps(content))
            flush(draft)
            draft.replace(folder / name)
        finally:
            draft.unlink(missing_ok=True)


def table_folder(name: str, uri: str) -> TableFolder | None:
    """The folder of the table at ``uri``; None on remote storage."""
    folder = folder_of(uri)
    return None if folder is None else TableFolder(name, folder)


def settle(name: str, handle: DeltaTable) -> None:
    """Makes sure that the version of ``handle`` is whole and on disk. Raises :class:`LakeDamaged` and ``OSError``."""
    folder = table_folder(name, handle.table_uri)
    if folder is not None:
        folder.settle(handle.version(), str(handle.metadata().id))


def flush(path: Path) -> str:
    """Waits until a file is on disk; returns the checksum of its content."""
    with path.open("rb" if os.name == "posix" else "r+b") as file:
        digest = _checksum_of(file)
        os.fsync(file.fileno())
    return digest


def flush_folder(folder: Path) -> None:
    """Waits until a folder's names are on disk."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, and need not be flushed
        return
    with contextlib.suppress(PermissionError):  # a folder above the lake, which somebody else made
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def checksum(path: Path) -> str:
    """Of the content of a file."""
    with path.open("rb") as file:
        return _checksum_of(file)


def _checksum_of(file: BinaryIO) -> str:
    digest = hashlib.blake2b(digest_size=16)
    while block := file.read(_READ_BYTES):
        digest.update(block)
    return digest.hexdigest()
