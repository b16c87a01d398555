"""Searches tables for damaged files: the log, its checkpoints, data files and change data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from patient_flow.contracts.tables import Table
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.durability import TableFolder, checksum, table_folder
from patient_flow.stores.lake.errors import (
    REPAIR,
    UNDECODABLE,
    LakeDamaged,
    LakeError,
    LakeUnavailable,
    is_undecodable,
    wrap_errors,
)
from patient_flow.stores.lake.leftovers import replacement_of
from patient_flow.stores.lake.table import LakeTable
from patient_flow.wording import plural

CHANGE_DATA = "_change_data/"


@dataclass(frozen=True)
class Damage:
    """One damaged file of ``table``. ``needs_copy`` is False where the table is complete without the file."""

    table: Table
    path: str
    why: str
    needs_copy: bool = True

    def __str__(self) -> str:
        return f"{self.table.path}: {self.path} {self.why}"


def check(lake: Lake, table: Table) -> Iterator[Damage]:
    """The damaged files of ``table``. Reads every file of the table once.

    Raises ``LakeUnavailable`` when the storage cannot be reached.
    """
    folder = table_folder(table.path, lake.uri(table))
    if folder is None:
        if lake.exists(table):
            yield from _undecodable(table, lake.open(table))
    elif folder.folder.exists() or replacement_of(folder.folder) is not None:
        yield from _check_folder(lake, table, folder)


def require_readable(lake: Lake, table: Table) -> None:
    """Raises :class:`LakeDamaged` for the first damaged data file or log file of ``table``."""
    for damage in check(lake, table):
        if damage.needs_copy:
            raise LakeDamaged(f"{damage}. {REPAIR}")


def name_damage(lake: Lake, tables: tuple[Table, ...]) -> LakeDamaged:
    """The error for a read that failed because some data file of ``tables`` cannot be decoded."""
    found = next((damage for table in tables for damage in check(lake, table)), None)
    return LakeDamaged(f"{found or 'a data file cannot be decoded'}. {REPAIR}")


def _check_folder(lake: Lake, table: Table, folder: TableFolder) -> Iterator[Damage]:
    found = list(folder.damage_of_log()) if folder.log.exists() else []
    yield from (Damage(table, str(path), why, needs_copy=not is_spare) for path, why, is_spare in found)
    if found:
        return
    try:
        opened = lake.open(table)
    except LakeDamaged as error:
        yield Damage(table, error.path or str(folder.log), error.why or str(error))
        return
    except LakeError as error:
        yield Damage(table, str(folder.log), f"cannot be read: {error}")
        return
    recorded = folder.file_checksums()
    live = {unquote(path): size for path, size in opened.file_sizes().items()}
    for relative, size in live.items():
        if (why := _fault(folder.folder / relative, size, recorded.get(relative))) is not None:
            yield Damage(table, str(folder.folder / relative), why)
    for relative in recorded.keys() - live.keys():
        path = folder.folder / relative
        if path.exists() and checksum(path) != recorded[relative]:
            yield Damage(table, str(path), "is not what was written", needs_copy=False)


def _fault(path: Path, size: int, recorded: str | None) -> str | None:
    """The fault of a data file."""
    if not path.exists():
        return "is missing"
    if path.stat().st_size != size:
        return f"has {plural(path.stat().st_size, 'byte')}, not {size:,}"
    if recorded is not None:
        return None if checksum(path) == recorded else "is not what was written"
    return None if decode(path) is not None else "cannot be decoded"


def decode(path: Path | str) -> pl.DataFrame | None:
    """All rows of a Parquet file, without partition columns; None where it cannot be decoded."""
    try:
        return pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PanicException, pl.exceptions.PolarsError, OSError):
        return None


def _undecodable(table: Table, opened: LakeTable) -> Iterator[Damage]:
    for path in opened.file_sizes():
        uri = f"{opened.uri.rstrip('/')}/{unquote(path)}"
        if (why := _remote_fault(uri)) is not None:
            yield Damage(table, uri, why)


def _remote_fault(uri: str) -> str | None:
    """What is wrong with a data file on remote storage. Raises ``LakeUnavailable`` when that cannot be known now."""
    with wrap_errors("read", uri):
        try:
            pl.read_parquet(uri, glob=False, hive_partitioning=False)
        except FileNotFoundError:
            return "is missing"
        except UNDECODABLE as error:
            if is_undecodable(error):
                return "cannot be decoded"
            raise LakeUnavailable(f"cannot read {uri}: {' '.join(str(error).split())}") from error
    return None
