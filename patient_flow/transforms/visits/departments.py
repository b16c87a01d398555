"""F5, F13, F17: what the department list states of a department at an instant."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts import events
from patient_flow.transforms.names import fold_names
from patient_flow.transforms.visits.model import EMERGENCY, SIDE, WARD

Version = tuple[str | None, int | None]
"""Class and unconfirmed days."""
_UNLISTED: Version = (None, None)
_EVER = datetime(1, 1, 1, tzinfo=UTC)
_WITHOUT_BED = frozenset(events.CLASSES_WITHOUT_BED)


class DepartmentList:
    """Versions of the departments of hospitals, found by instant."""

    def __init__(self, departments: pl.DataFrame) -> None:
        """``departments`` are rows of DimDepartment."""
        self._single: dict[tuple[str, str], Version] = {}
        self._many: dict[tuple[str, str], tuple[list[int], list[Version]]] = {}
        stated = departments.filter(pl.col("class").is_not_null() | pl.col("unconfirmed_days").is_not_null())
        pairs = stated.select("hospital_id", "department").unique()
        rows = departments.join(pairs, on=["hospital_id", "department"], how="semi").sort("valid_from")
        columns = ("hospital_id", "department", pl.col("valid_from").dt.epoch("us"), "class", "unconfirmed_days")
        for hospital, department, since, name, days in rows.select(*columns).iter_rows():
            beginnings, versions = self._many.setdefault((hospital, department), ([], []))
            beginnings.append(since)
            versions.append((name, days))
        for key, (_, versions) in list(self._many.items()):
            if len(set(versions)) == 1:
                self._single[key] = versions[0]
                del self._many[key]

    def at(self, hospital: str, department: str | None, instant: int) -> Version:
        """Class and unconfirmed days of the version valid at ``instant``; before the first one, of the first."""
        key = (hospital, department or "")
        if key in self._single:
            return self._single[key]
        if key not in self._many:
            return _UNLISTED
        beginnings, versions = self._many[key]
        return versions[max(0, bisect_right(beginnings, instant) - 1)]

    def takes_bed(self, visit_class: str | None, hospital: str, department: str | None, instant: int) -> bool:
        """F5: whether a placement under ``visit_class`` takes a bed; unstated does."""
        if visit_class not in _WITHOUT_BED:
            return True
        return visit_class == "outpatient" and self.at(hospital, department, instant)[0] == EMERGENCY

    def kind(self, visit_class: str | None, hospital: str, department: str, instant: int) -> str:
        """F13: emergency, ward or side stay."""
        listed = self.at(hospital, department, instant)[0]
        if listed is None:
            return EMERGENCY if visit_class == EMERGENCY else WARD
        return {"emergency": EMERGENCY, "other": SIDE}.get(listed, WARD)


def with_department_names(silver: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """``silver`` with every department as DimDepartment (``departments``) spells it, in ``stays`` too.

    Names with the same folded form are one department. One that DimDepartment lacks gets its smallest spelling here.
    """
    place = ["hospital_id", "department"]
    named = pl.concat([silver.select(place), _listed_names(silver)]).drop_nulls().unique()
    known = departments.select(place).unique(maintain_order=True)
    known = known.with_columns(fold_names(known["department"]).alias("folded"))
    known = known.unique(["hospital_id", "folded"], keep="first", maintain_order=True).rename({"department": "known"})
    spelled = (
        named.with_columns(fold_names(named["department"]).alias("folded"))
        .join(known, on=["hospital_id", "folded"], how="left")
        .with_columns(name=pl.coalesce("known", pl.col("department").min().over("hospital_id", "folded")))
        .filter(pl.col("name") != pl.col("department"))
        .select(*place, "name")
    )
    if spelled.is_empty():
        return silver
    names = {(hospital, department): name for hospital, department, name in spelled.iter_rows()}
    found = silver.join(spelled, on=place, how="left", maintain_order="left")
    listed = found.select("hospital_id", "stays").drop_nulls().unique()
    texts = [_with_names(hospital, text, names) for hospital, text in listed.iter_rows()]
    listed = listed.with_columns(pl.Series("new_stays", texts, dtype=pl.String))
    return (
        found.join(listed, on=["hospital_id", "stays"], how="left", maintain_order="left")
        .with_columns(department=pl.coalesce("name", "department"), stays=pl.coalesce("new_stays", "stays"))
        .drop("name", "new_stays")
    )


def _listed_names(silver: pl.DataFrame) -> pl.DataFrame:
    """hospital_id and department of the placements that ``stays`` of snapshots list."""
    rows = [
        (hospital, entry["department"])
        for hospital, text in silver.select("hospital_id", "stays").drop_nulls().unique().iter_rows()
        for entry in json.loads(text)
    ]
    return pl.DataFrame(rows, schema={"hospital_id": pl.String, "department": pl.String}, orient="row")


def _with_names(hospital: str, stays: str, names: Mapping[tuple[str, str], str]) -> str:
    entries = json.loads(stays)
    for entry in entries:
        entry["department"] = names.get((hospital, entry["department"]), entry["department"])
    return json.dumps(entries)


def with_versions(rows: pl.DataFrame, departments: pl.DataFrame, department: str, at: str) -> pl.DataFrame:
    """``rows`` with ``listed_class`` and ``listed_days``: :meth:`DepartmentList.at` of every row.

    ``rows`` have hospital_id, and the columns that ``department`` and ``at`` (an instant) name.
    """
    place = ["hospital_id", "department"]
    stated = departments.filter(pl.col("class").is_not_null() | pl.col("unconfirmed_days").is_not_null())
    is_first = pl.int_range(pl.len()).over(place) == 0
    versions = (
        departments.join(stated.select(place).unique(), on=place, how="semi")
        .sort("valid_from")
        .select(
            *place,
            since=pl.when(is_first).then(pl.lit(_EVER)).otherwise("valid_from").cast(departments.schema["valid_from"]),
            listed_class="class",
            listed_days=pl.col("unconfirmed_days").cast(pl.Int64),
        )
        .sort("since", maintain_order=True)
    )
    numbered = rows.with_row_index("_row")
    found = (
        numbered.select("_row", "hospital_id", department=department, since=at)
        .drop_nulls()
        .sort("since")
        .join_asof(versions, on="since", by=place, strategy="backward", check_sortedness=False)
        .select("_row", "listed_class", "listed_days")
    )
    return numbered.join(found, on="_row", how="left", maintain_order="left").drop("_row")
