"""Reasons of rejected events → details for the sender: the field and the kind of value in it.

Never the value itself: a wrong field may contain anything, also a patient's name.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from patient_flow.contracts import events, rules
from patient_flow.contracts.columns import TEXTS

_FIELDS = {rule.name: rule.fields for rule in rules.QUARANTINE_RULES}
_DESCRIBING = {
    *("reasons", "kinds", "enqueued_at"),
    *(f"{field}{mark}" for fields in _FIELDS.values() for field in fields for mark in ("", "_unusable", "_too_old")),
}
"""Columns that details are made of."""
_ABOUT_THE_FUTURE = "_in_the_future"


def describe(validated: pl.DataFrame) -> pl.Series:
    """One text per reason of each row, in their order; "" if the reason needs no detail."""
    numbered = validated.select(name for name in validated.columns if name in _DESCRIBING).with_row_index("row")
    one_each = numbered.filter(pl.col("reasons").list.len() > 0).explode("reasons")
    texts = pl.Series("detail", [_of_reason(row) for row in one_each.iter_rows(named=True)], dtype=pl.String)
    lists = one_each.select("row").with_columns(texts).group_by("row", maintain_order=True).agg("detail")
    found = numbered.select("row").join(lists, on="row", how="left", maintain_order="left")
    return found.select(details=pl.col("detail").fill_null(pl.lit([], TEXTS))).to_series()


def _of_reason(row: dict[str, Any]) -> str:
    """The detail of the reason in ``reasons``."""
    reason = row["reasons"]
    kinds = dict(item.split("=", 1) for item in (row["kinds"] or "").split(";") if item)
    said = [(field, _kind(field, reason, row, kinds)) for field in _FIELDS.get(reason, ())]
    return ", ".join(f"{field}: {kind}" for field, kind in said if kind)


def _kind(field: str, reason: str, row: dict[str, Any], kinds: dict[str, str]) -> str:
    """The fault of ``field``; "" if it has none."""
    is_time = field in events.TIME_FIELDS
    if is_time and row[f"{field}_too_old"]:
        return f"before {events.EARLIEST_TIME:%Y}"
    if reason == "time_is_too_old":
        return ""
    if field in kinds:
        return kinds[field]
    if row[field] is None:
        return "text that is no timestamp" if row.get(f"{field}_unusable") else "absent"
    if reason.endswith(_ABOUT_THE_FUTURE):
        return f"{_ahead(row[field] - row['enqueued_at'])} later than the hub's clock"
    return "timestamp" if is_time else "unknown value"


def _ahead(span: Any) -> str:
    """A duration in its largest unit: enough to recognise the mistake, without data of the patient."""
    for unit, seconds in (("days", 86_400), ("hours", 3_600)):
        if span.total_seconds() >= 2 * seconds:
            return f"{int(span.total_seconds() // seconds)} {unit}"
    return f"{int(span.total_seconds() // 60)} minutes"
