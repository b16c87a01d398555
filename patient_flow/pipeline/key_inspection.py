"""Reads the keys of the star for its checks: foreign keys of changed rows, and all versions of changed members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from patient_flow.contracts.tables import Table
from patient_flow.monitoring.inputs import ForeignKeys
from patient_flow.pipeline.checkpoints import consumed
from patient_flow.pipeline.incremental import is_one_of
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import Changes
from patient_flow.stores.lake.errors import ChangeFeedExpired
from patient_flow.stores.lake.snapshot import Snapshot
from patient_flow.stores.lake.table import LakeTable

c = pl.col

Loaded = Mapping[str, int | None]
"""Table → the gold version that the warehouse has loaded."""


def foreign_keys(
    lake: Lake, changes: Changes, table: Table, references: Mapping[str, Table], loaded: Loaded
) -> ForeignKeys:
    """Foreign keys of changed rows and of rows whose key a dimension deleted, and the existing keys of dimensions.

    A dimension is read as ``table`` has consumed it: an import or another micro-batch may have committed a newer one,
    and its rows of ``table`` later.
    """
    opened = lake.open(table)
    rows = [changes.after.select(list(references))]
    known: dict[str, pl.Series] = {}
    dimensions = {dimension.path: dimension for dimension in references.values()}
    read = {path: _as_consumed(opened, lake.open(dimension)) for path, dimension in dimensions.items()}
    added: dict[str, pl.Series] = {}
    for path, dimension in dimensions.items():
        if changes.is_whole_table:
            break
        key = dimension.key[0]
        moved = read[path].changes_or_all(loaded.get(path), [key])
        added[path] = moved.after[key]
        dropped = moved.before.join(moved.after, on=key, how="anti")[key]
        if dropped.len():
            refers = pl.any_horizontal(is_one_of(column, dropped) for column in _columns_of(references, path))
            rows.append(opened.scan().filter(refers).select(list(references)).collect())
    checked = pl.concat(rows)
    for path, dimension in dimensions.items():
        columns = _columns_of(references, path)
        wanted = pl.concat([checked[column].rename("") for column in columns]).unique()
        existing = _existing(read[path], dimension.key[0], wanted, added.get(path))
        known |= dict.fromkeys(columns, existing)
    return ForeignKeys(checked, known)


def _columns_of(references: Mapping[str, Table], dimension: str) -> list[str]:
    return [column for column, referenced in references.items() if referenced.path == dimension]


def _existing(dimension: Snapshot, key: str, wanted: pl.Series, added: pl.Series | None) -> pl.Series:
    """Those of ``wanted`` that the dimension has. Rows that it ``added`` need not be found in its files again."""
    new = wanted.filter(wanted.is_in(added.implode())) if added is not None else wanted.clear()
    others = wanted.filter(~wanted.is_in(new.implode()))
    if others.is_empty():
        return new
    found = dimension.having({key: others}).select(key).collect()[key]
    return pl.concat([new, found.unique().rename(new.name)])


def _as_consumed(table: LakeTable, dimension: LakeTable) -> Snapshot:
    version = consumed(table, dimension)
    if version is None or version >= dimension.version:
        return dimension
    try:
        return dimension.as_of(version)
    except ChangeFeedExpired:  # so old that nobody is about to consume the newest
        return dimension


def member_versions(lake: Lake, changes: Changes, table: Table, member: Sequence[str]) -> pl.DataFrame:
    """All versions of the members of an SCD2 dimension that ``changes`` touch."""
    columns = [*member, "valid_from", "valid_to", "is_current"]
    if changes.is_whole_table:
        return changes.after.select(columns)
    touched = pl.concat([changes.before.select(member), changes.after.select(member)]).unique()
    # The first column selects candidate files; the join is exact, also for null.
    opened, name = lake.open(table), member[0]
    firsts = touched[name]
    is_candidate = is_one_of(name, firsts) | c(name).is_null()
    candidates = opened.scan().filter(is_candidate) if firsts.null_count() else opened.having({name: firsts})
    versions = candidates.select(columns)
    return versions.join(touched.lazy(), on=list(member), how="semi", nulls_equal=True).collect()
