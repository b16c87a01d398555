"""Look-ups of rows by indexed columns (``Table.indexed``): which data files of a Delta table a scan has to read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from deltalake import DeltaTable

from patient_flow.contracts.tables import Table
from patient_flow.stores.lake.folders import index_folder

if TYPE_CHECKING:
    from patient_flow.stores.lake.key_index import KeyIndex


class PartOfTable(DeltaTable):
    """Some data files of the table ``whole``, for a scan: those with these ``paths``, as the log states them."""

    def __init__(self, whole: DeltaTable, paths: Collection[str]) -> None:
        self.__dict__.update(vars(whole))
        self.storage_options: dict[str, str] | None = vars(whole)["_storage_options"]
        self._whole, self._paths = whole, list(paths)
        wanted = {_name(path): path for path in paths}
        self.files = {uri: wanted[name] for uri in whole.file_uris() if (name := _name(uri)) in wanted}
        """The path that Polars can read → the path that the log states."""

    def file_uris(self, *_: Any, **__: Any) -> list[str]:
        """Paths of the data files that Polars can read."""
        return list(self.files)

    def get_add_actions(self, flatten: bool = False) -> pl.DataFrame:  # type: ignore[override]
        """Statistics of the same files, in the same order."""
        return pl.DataFrame(self._whole.get_add_actions(flatten)).filter(pl.col("path").is_in(self._paths))


def _name(path: str) -> str:
    """Name of a data file, which is the same however the folders above it are written."""
    return path.rpartition("/")[2]


def narrowed(
    table: Table, handle: DeltaTable, sought: Mapping[str, pl.Series], files: pl.DataFrame, *, may_extend: bool
) -> DeltaTable | None:
    """``handle``, or a part of it with every row that has one of the values ``sought`` (column → values).

    None where there is no such row. ``files`` are its data files (``log.data_files``); with ``may_extend``, those that
    the index does not know may be added to it.
    """
    if not sought or files.is_empty():
        return None
    # Files of other writers may have the same name in two partitions.
    is_indexed = sought.keys() <= set(table.indexed) and len(set(map(_name, files["path"]))) == files.height
    index = _index_at(handle.table_uri, table.indexed) if is_indexed else None
    if index is None:
        return handle

    def keys_in(paths: Sequence[str]) -> pl.DataFrame:
        return _keys_in(table, PartOfTable(handle, paths))

    rows: dict[str, int] = dict(files.select("path", "num_records").iter_rows())
    paths = index.candidates(rows, list(sought.values()), keys_in if may_extend else None)
    if not paths:
        return None
    return PartOfTable(handle, paths) if len(paths) < len(rows) else handle


def delete_index(uri: str) -> None:
    """Deletes the index of the table at ``uri`` on this machine, if there is one."""
    if (index := _index_at(uri, ())) is not None:
        index.delete()


def _index_at(uri: str, columns: Sequence[str]) -> KeyIndex | None:
    folder = index_folder(uri)
    if folder is None:
        return None
    from patient_flow.stores.lake.key_index import KeyIndex  # imports NumPy, which few commands need

    return KeyIndex(folder, columns)


def _keys_in(table: Table, part: PartOfTable) -> pl.DataFrame:
    """The indexed columns of some data files, and the ``file`` (its path) that each row is in."""
    found = pl.scan_parquet(
        list(part.files),
        schema={name: table.schema[name] for name in table.indexed},
        missing_columns="insert",
        extra_columns="ignore",
        include_file_paths="file",
        hive_partitioning=False,
        storage_options=part.storage_options,
        credential_provider=None,
    )
    return found.with_columns(pl.col("file").replace_strict(part.files)).collect(engine="streaming")
