"""Keys: unique, known to their dimension, and versions of a member that follow each other without gap or overlap.

Each rule takes a change (rows as they were, rows as they are) of a table that was right before. With nothing before and
all rows after, the same rule judges the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from patient_flow.contracts.tables import DIM_DEPARTMENT, DIM_PATIENT, WAREHOUSE_TABLES, Table
from patient_flow.health.findings import Finding, fine, grave

c = pl.col

MEMBER = {DIM_PATIENT.path: ("patient_hash",), DIM_DEPARTMENT.path: ("hospital_id", "department")}
"""Table of versions → the columns that name what it holds versions of."""


def references(table: Table) -> dict[str, Table]:
    """Column → the dimension it points to: it is named as that dimension's key, or ends in it."""
    dimensions = {other.key[0]: other for other in WAREHOUSE_TABLES if len(other.key) == 1 and other is not table}
    return {
        column.name: dimension
        for column in table.columns
        for key, dimension in dimensions.items()
        if key.endswith("_key") and (column.name == key or column.name.endswith(f"_{key}"))
    }


def keys_unique(before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str], grown_by: int) -> Finding:
    """No key is there twice. ``grown_by`` is by how many rows the table really grew."""
    inside = after.height - after.select(key).n_unique()
    beside = grown_by - (after.height - before.height)
    twice = max(inside, 0) + max(beside, 0)
    if twice:
        return grave(f"{twice:,} rows have a key that is there already.", {"judged": after.height, "twice": twice})
    return fine("Every key is there once.", {"judged": after.height, "twice": 0})


def keys_known(rows: pl.DataFrame, known: Mapping[str, pl.Series]) -> Finding:
    """Every value of each column in ``known`` is among the keys of its dimension."""
    unknown = {
        column: rows.filter(~c(column).is_in(keys.implode())).height for column, keys in known.items() if rows.height
    }
    broken = {column: count for column, count in unknown.items() if count}
    figures = {"judged": rows.height, **{f"unknown {column}": count for column, count in unknown.items()}}
    if broken:
        said = ", ".join(f"{column} of {count:,} rows" for column, count in broken.items())
        return grave(f"No dimension knows the {said}.", figures)
    return fine("Every key is known to its dimension.", figures)


def versions_chained(before: pl.DataFrame, after: pl.DataFrame, member: Sequence[str]) -> Finding:
    """Versions of a member follow each other without gap or overlap, and exactly the last one is current.

    Where one version ends the next one begins, so both ends cancel: what is left of a member is the beginning of its
    first version, and a change of a member leaves nothing. So versions that did not change need not be looked at; only
    of the members that :func:`unsettled` names all versions must be given.
    """
    judged = _balance(before, after, member)
    is_changed = (c("points") == 0) & (c("current") == 0)
    is_new = (c("points") == 1) & (c("begun") == 1) & (c("current") == 1)
    broken = judged.filter(~(is_changed | is_new)).height
    odd = after.filter(
        (c("valid_to") <= c("valid_from")).fill_null(value=False) | (c("is_current") != c("valid_to").is_null())
    ).height
    figures = {"members": judged.height, "broken": broken, "odd_versions": odd}
    if broken or odd:
        return grave(
            f"{broken:,} members have versions with a gap, an overlap or no single current one; "
            f"{odd:,} versions end before they begin or are current although they ended.",
            figures,
        )
    return fine("Versions follow each other without gap or overlap.", figures)


def unsettled(before: pl.DataFrame, after: pl.DataFrame, member: Sequence[str]) -> pl.DataFrame:
    """Members that changed rows alone cannot judge: those that begin at another time now, or may be gone."""
    return _balance(before, after, member).filter((c("gone") > 0) | (c("current") < 0)).select(member)


def _balance(before: pl.DataFrame, after: pl.DataFrame, member: Sequence[str]) -> pl.DataFrame:
    """Per member: ends that do not cancel (``points``; ``begun`` added, ``gone`` taken away), current versions more."""
    names = list(member)
    left = (
        pl.concat([_ends(after, names, 1), _ends(before, names, -1)])
        .group_by(*names, "at")
        .agg(c("weight").sum())
        .filter(c("weight") != 0)
        .group_by(names)
        .agg(begun=(c("weight") == 1).sum(), gone=(c("weight") < 0).sum(), points=pl.len())
    )
    return (
        pl.concat([_current(after, names, 1), _current(before, names, -1)])
        .group_by(names)
        .agg(c("current").sum())
        .join(left, on=names, how="left", nulls_equal=True)
        .with_columns(c("begun", "gone", "points").fill_null(0))
    )


def _ends(versions: pl.DataFrame, member: list[str], sign: int) -> pl.DataFrame:
    begins = versions.select(*member, at="valid_from", weight=pl.lit(sign, dtype=pl.Int64))
    finishes = versions.filter(c("valid_to").is_not_null()).select(
        *member, at="valid_to", weight=pl.lit(-sign, dtype=pl.Int64)
    )
    return pl.concat([begins, finishes])


def _current(versions: pl.DataFrame, member: list[str], sign: int) -> pl.DataFrame:
    return versions.select(*member, current=c("is_current").cast(pl.Int64) * sign)
