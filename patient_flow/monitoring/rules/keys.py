"""Keys and SCD2 versions: unique keys, foreign keys that exist, validity intervals without gap or overlap."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from patient_flow.contracts.tables import DIM_DEPARTMENT, DIM_PATIENT
from patient_flow.monitoring.finding import Finding, error, ok
from patient_flow.monitoring.inputs import ForeignKeys, TableChanges
from patient_flow.wording import plural

c = pl.col

SCD2_MEMBERS = {DIM_PATIENT.path: ("patient_hash",), DIM_DEPARTMENT.path: ("hospital_id", "department")}
"""SCD2 dimension → the columns that identify a member."""
PAUSING = (DIM_DEPARTMENT.path,)
"""Those whose members may end, and begin again later: ``valid_to`` of the department list."""


def keys_unique(changes: TableChanges, key: Sequence[str]) -> Finding:
    """No key occurs twice, neither among the changed rows nor beside them."""
    among_changes = changes.after.height - changes.after.select(key).n_unique()
    beside = changes.grown_by - (changes.after.height - changes.before.height)
    duplicates = max(among_changes, 0) + max(beside, 0)
    figures = {"rows_checked": changes.after.height, "duplicates": duplicates}
    if duplicates:
        return error(f"{plural(duplicates, 'row has', 'rows have')} a key that exists already.", figures)
    return ok("Every key is unique.", figures)


def foreign_keys_exist(keys: ForeignKeys) -> Finding:
    """Every foreign key is in its dimension."""
    missing = {
        column: keys.rows.filter(~c(column).is_in(known.implode())).height if keys.rows.height else 0
        for column, known in keys.known.items()
    }
    figures = {"rows_checked": keys.rows.height, **{f"missing {column}": count for column, count in missing.items()}}
    broken = [
        f"{plural(count, 'row has', 'rows have')} a {column} missing from its dimension"
        for column, count in missing.items()
        if count
    ]
    if broken:
        return error(f"{'; '.join(broken)}.", figures)
    return ok("Every foreign key is in its dimension.", figures)


def scd2_intervals_valid(versions: pl.DataFrame, member: Sequence[str], *, may_pause: bool = False) -> Finding:
    """Each version ends where the next one begins, and exactly the last one is open and current.

    ``versions`` are all versions of some members: ``member`` columns, ``valid_from``, ``valid_to``, ``is_current``.
    Where members ``may_pause`` (a department that closes, and maybe opens again), a version may end before the next
    one, and the last one may have ended.
    """
    names = list(member)
    ordered = versions.sort(*names, "valid_from", "valid_to", nulls_last=True).with_columns(
        next_from=c("valid_from").shift(-1).over(names)
    )
    is_empty = (c("valid_to") <= c("valid_from")).fill_null(value=False)
    has_gap_or_overlap = c("valid_to").ne_missing(c("next_from"))
    if may_pause:
        has_gap_or_overlap = (c("valid_to").is_null() & c("next_from").is_not_null()) | (
            c("valid_to") > c("next_from")
        ).fill_null(value=False)
    is_wrongly_current = c("is_current") != c("valid_to").is_null()
    invalid = ordered.filter(is_empty | has_gap_or_overlap | is_wrongly_current)
    members, broken = versions.select(names).n_unique(), invalid.select(names).n_unique()
    figures = {"members": members, "broken_members": broken, "invalid_versions": invalid.height}
    if invalid.height:
        return error(
            f"{plural(broken, 'member has', 'members have')} versions with a gap, an overlap or not exactly one "
            "current version.",
            figures,
        )
    return ok("Versions have neither gaps nor overlaps.", figures)
