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
    dimensions = {dimension.path: _as_consumed(opened, lake.open(dimension)) for dimension in references.values()}
    for column, dimension in references.items():
        if changes.is_whole_table:
            break
        key = dimension.key[0]
        moved = dimensions[dimension.path].changes_or_all(loaded.get(dimension.path), [key])
        dropped = moved.before.join(moved.after, on=key, how="anti")[key]
        if dropped.len():
            rows.append(opened.scan().filter(is_one_of(column, dropped)).select(list(references)).collect())
    checked = pl.concat(rows)
    known = {}
    for column, dimension in references.items():
        key = dimension.key[0]
        found = dimensions[dimension.path].scan().select(key).filter(is_one_of(key, checked[column])).collect()
        known[column] = found[key].unique()
    return ForeignKeys(checked, known)


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
    candidates = is_one_of(member[0], touched[member[0]]) | c(member[0]).is_null()
    versions = lake.open(table).scan().filter(candidates).select(columns)
    return versions.join(touched.lazy(), on=list(member), how="semi", nulls_equal=True).collect()
