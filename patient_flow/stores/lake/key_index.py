"""Which data files of a table may hold a key: sorted arrays in a folder of this machine, made of the table's own files.

A look-up reads the files that the index names instead of a column of every file, so its cost follows the keys sought,
not the history. An entry is the upper part of a key (a hash) and the number of a data file. Data files never change: an
entry stays true for as long as its file is part of the table, whatever else is committed, and says nothing afterwards.
A file that the index does not know is always a candidate. So an index that is missing, old, or of another table costs
time and never a row; it is a cache, and no part of the lake.

New files are added once they have many rows. Arrays are merged so that each is at least twice as large as the next:
there are few of them, and an entry is copied a few times only. They are read through memory maps.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from patient_flow.stores.lake.exclusion import locked
from patient_flow.stores.lake.handles import Stamp, stamp_of

MAX_UNKNOWN_ROWS = 100_000
"""Rows in data files that the index does not know, each of which every look-up reads, before they are added to it."""
ROWS_AT_ONCE = 500_000
"""Rows whose keys are read at once, and entries of an array that are merged at once: limits memory."""
MANIFEST, LOCK = "manifest.json", "lock"
_LAYOUT = 1
_FILE_BITS = 24
_FILE = np.uint64((1 << _FILE_BITS) - 1)
_ENTRY = np.dtype("<u8")

Entries: TypeAlias = NDArray[np.uint64]
"""Sorted, each once."""
Reader = Callable[[Sequence[str]], pl.DataFrame]
"""Paths of data files → the keys in them, in 64-bit columns, and the ``file`` that each row is in."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Index:
    """One state of the index. ``files`` are the known data files and their numbers; ``next`` is the next one's."""

    columns: tuple[str, ...]
    next: int
    files: Mapping[str, int]
    arrays: Mapping[str, Entries]

    def files_of(self, keys: Iterable[pl.Series]) -> set[str]:
        """The known files that may hold one of ``keys``."""
        sought = _parts_of(keys)
        found = [_files_with(sought, entries) for entries in self.arrays.values()]
        numbers = set(_sorted(found).tolist())
        return {path for path, number in self.files.items() if number in numbers}


_opened: dict[Path, tuple[Stamp, _Index]] = {}
"""Folder → the state that this process has read last."""


class KeyIndex:
    """The index of some ``columns`` of one table, in ``folder``."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder = folder
        self._columns = tuple(columns)

    def candidates(self, files: Mapping[str, int], keys: Sequence[pl.Series], read: Reader | None) -> set[str]:
        """Those of ``files`` (path → rows) that may have one of ``keys``, 64-bit integers, in one of the columns.

        With ``read``, files with many rows that the index does not know are added to it.
        """
        index = self._open()
        if read is not None and _unknown_rows(files, index) > MAX_UNKNOWN_ROWS:
            try:
                index = self._extend(files, read)
            except OSError as error:  # a full disk, or a folder that this process may not write
                _log.warning("The index %s could not be written, so whole tables are read: %s", self._folder, error)
        return index.files_of(keys) & files.keys() | (files.keys() - index.files.keys())

    def delete(self) -> None:
        """Deletes the index."""
        _opened.pop(self._folder, None)
        if self._folder.is_dir():
            with locked(self._folder / LOCK):
                (self._folder / MANIFEST).unlink(missing_ok=True)
                self._remove_others(())

    def _open(self) -> _Index:
        """The index; without a file where there is none, or none that can be used."""
        manifest = self._folder / MANIFEST
        stamp, (known, index) = stamp_of(manifest), _opened.pop(self._folder, (None, None))
        if stamp is None:
            return _Index(self._columns, 0, {}, {})
        if index is None or known != stamp or index.columns != self._columns:
            try:
                index = self._load(json.loads(manifest.read_bytes()))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):  # another layout, or damaged
                return _Index(self._columns, 0, {}, {})
        _opened[self._folder] = (stamp, index)
        return index

    def _load(self, stated: dict[str, object]) -> _Index:
        if stated["layout"] != _LAYOUT or stated["columns"] != list(self._columns):
            raise ValueError(self._folder)
        files, arrays = stated["files"], stated["arrays"]
        if not isinstance(files, dict) or not isinstance(arrays, dict):
            raise TypeError(self._folder)
        return _Index(
            self._columns,
            int(str(stated["next"])),
            files,
            {name: _mapped(self._folder / name, int(length)) for name, length in arrays.items()},
        )

    def _extend(self, files: Mapping[str, int], read: Reader) -> _Index:
        """Adds those of ``files`` that the index lacks. Raises ``OSError`` where it cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / LOCK):
            index = self._open()
            if _unknown_rows(files, index) <= MAX_UNKNOWN_ROWS:  # another process was faster
                return index
            former = index.arrays
            self._remove_others(former)  # a process that died may have left some
            known = {path: number for path, number in index.files.items() if path in files}
            new = [path for path in files if path not in known]
            if not known or index.next + len(new) > int(_FILE):
                known, index, new = {}, _Index(self._columns, 0, {}, {}), list(files)
            numbers = {path: index.next + count for count, path in enumerate(new)}
            next_number = index.next + len(new)
            is_known = np.zeros(next_number, dtype=bool)
            is_known[[*known.values(), *numbers.values()]] = True
            arrays = dict(index.arrays)
            try:
                for group in _groups(new, files):
                    name = self._write([_entries(read(group), self._columns, numbers)])
                    arrays = self._merge({**arrays, name: self._mapped(name)}, is_known, keep=former)
                grown = _Index(self._columns, next_number, {**known, **numbers}, arrays)
                self._commit(grown)
            except BaseException:  # on a full disk the room is needed for commits
                self._remove_others(former)
                raise
            self._remove_others(arrays)
            return grown

    def _merge(
        self, arrays: dict[str, Entries], is_known: NDArray[np.bool_], keep: Iterable[str]
    ) -> dict[str, Entries]:
        """``arrays``, the last ones merged until each is at least twice as large as the next; not deleting ``keep``."""
        names = list(arrays)
        while len(names) > 1 and arrays[names[-2]].size < 2 * arrays[names[-1]].size:
            last = names.pop(), names.pop()
            merged = self._write(_merged([arrays[name] for name in last], is_known))
            arrays[merged] = self._mapped(merged)
            for name in last:
                del arrays[name]
                if name not in keep:
                    _unlink(self._folder / name)
            names.append(merged)
        return {name: arrays[name] for name in names}

    def _write(self, chunks: Iterable[Entries]) -> str:
        """A new array on disk; returns its name."""
        name = f"{uuid.uuid4().hex}.keys"
        with (self._folder / name).open("wb") as file:
            for chunk in chunks:
                file.write(chunk.tobytes())
            _flush(file.fileno(), file.flush)
        return name

    def _mapped(self, name: str) -> Entries:
        path = self._folder / name
        return _mapped(path, path.stat().st_size // _ENTRY.itemsize)

    def _commit(self, index: _Index) -> None:
        stated = {
            "layout": _LAYOUT,
            "columns": list(index.columns),
            "next": index.next,
            "arrays": {name: entries.size for name, entries in index.arrays.items()},
            "files": dict(index.files),
        }
        draft = self._folder / f"{uuid.uuid4().hex}.draft"
        with draft.open("w") as file:
            json.dump(stated, file)
            _flush(file.fileno(), file.flush)
        draft.replace(self._folder / MANIFEST)

    def _remove_others(self, kept: Iterable[str]) -> None:
        for path in self._folder.iterdir():
            if path.name not in {*kept, MANIFEST, LOCK}:
                _unlink(path)


def _unknown_rows(files: Mapping[str, int], index: _Index) -> int:
    return sum(rows for path, rows in files.items() if path not in index.files)


def _groups(paths: Iterable[str], rows: Mapping[str, int]) -> Iterator[list[str]]:
    """``paths`` in groups of at most ``ROWS_AT_ONCE`` rows, at least one file each."""
    group: list[str] = []
    height = 0
    for path in paths:
        if group and height + rows[path] > ROWS_AT_ONCE:
            yield group
            group, height = [], 0
        group.append(path)
        height += rows[path]
    if group:
        yield group


def _parts_of(keys: Iterable[pl.Series]) -> Entries:
    """The part of each key that entries have, as the entry of file 0."""
    parts = [values.drop_nulls().to_numpy().astype(np.int64).view(np.uint64) & ~_FILE for values in keys]
    return _sorted(parts)


def _entries(rows: pl.DataFrame, columns: Iterable[str], numbers: Mapping[str, int]) -> Entries:
    file = rows.select(number=pl.col("file").cast(pl.String).replace_strict(dict(numbers), return_dtype=pl.UInt64))
    of_file = file["number"].to_numpy()
    found = []
    for column in columns:
        is_key = rows[column].is_not_null().to_numpy()
        keys = rows[column].drop_nulls().to_numpy().astype(np.int64).view(np.uint64)
        found.append((keys & ~_FILE) | of_file[is_key])
    return _sorted(found)


def _sorted(pieces: Sequence[NDArray[np.uint64]]) -> Entries:
    """All entries of ``pieces``, each once. Faster than ``np.unique``, which hashes integers."""
    entries: Entries = np.concatenate([np.empty(0, _ENTRY), *pieces])
    entries.sort()
    is_last = np.ones(entries.size, dtype=bool)
    is_last[:-1] = entries[:-1] != entries[1:]
    return entries[is_last]


def _files_with(sought: Entries, entries: Entries) -> Entries:
    """Numbers of the files that one of ``sought`` has an entry for."""
    first = np.searchsorted(entries, sought)
    counts = np.searchsorted(entries, sought | _FILE, side="right") - first
    positions = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    return _sorted([entries[positions] & _FILE])


def _merged(arrays: Sequence[Entries], is_known: NDArray[np.bool_]) -> Iterator[Entries]:
    """The entries of all ``arrays`` whose files are known, in sorted chunks."""
    starts = [0] * len(arrays)
    while left := [number for number, array in enumerate(arrays) if starts[number] < array.size]:
        bound = min(arrays[number][min(starts[number] + ROWS_AT_ONCE, arrays[number].size) - 1] for number in left)
        ends = [int(np.searchsorted(array, bound, side="right")) for array in arrays]
        pieces = [array[start:end] for array, start, end in zip(arrays, starts, ends, strict=True)]
        chunk = _sorted(pieces)
        yield chunk[is_known[chunk & _FILE]]
        starts = ends


def _mapped(path: Path, length: int) -> Entries:
    """The array of ``length`` entries in ``path``. Raises ``ValueError`` where the file has another size."""
    if path.stat().st_size != length * _ENTRY.itemsize:
        raise ValueError(path)
    return np.asarray(np.memmap(path, _ENTRY, "r")) if length else np.empty(0, _ENTRY)


def _flush(number: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(number)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # Windows keeps a file that a process has mapped: the next one removes it
        path.unlink(missing_ok=True)
