"""More patients than beds: some is life, far more is a mistake, fewer than one is ours."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts.tables import FACT_BED_CENSUS
from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.rules import occupancy
from patient_flow.monitoring.thresholds import OCCUPANCY_PLAUSIBLE

DEPARTMENTS = pl.DataFrame(
    {
        "department_key": [1, 2, 3],
        "hospital_id": ["1", "1", "2"],
        "department": ["ICU", "Surgery", "Sugery"],
        "staffed_beds": [10, 20, None],
    }
)


def census(*rows: tuple[int, int, str, int]) -> pl.DataFrame:
    """(hour, department, gender, beds)"""
    complete = [(*row, "2026-03") for row in rows]
    return pl.DataFrame(complete, schema=FACT_BED_CENSUS.schema, orient="row")


def occupancy_plausible(census: pl.DataFrame, departments: pl.DataFrame, *, since: int = 0) -> Finding:
    return occupancy.occupancy_plausible(census, departments, OCCUPANCY_PLAUSIBLE, since=since)


def test_a_department_may_be_over_its_beds() -> None:
    finding = occupancy_plausible(census((2026032010, 1, "Female", 8), (2026032010, 1, "Male", 7)), DEPARTMENTS)
    assert finding.is_ok
    assert finding.figures["highest_pct"] == 150.0


def test_far_over_its_beds_it_warns_by_name() -> None:
    finding = occupancy_plausible(census((2026032010, 1, "Female", 8), (2026032010, 1, "Male", 8)), DEPARTMENTS)
    assert not finding.is_ok
    assert not finding.is_error
    assert finding.rows[0]["department"] == "ICU"
    assert finding.rows[0]["occupancy_pct"] == 160.0


def test_too_many_patients_warn_in_recent_hours_only_and_an_empty_hour_is_always_an_error() -> None:
    crowded = (2026032010, 1, "Female", 16)
    assert not occupancy_plausible(census(crowded), DEPARTMENTS, since=2026032010).is_ok
    assert occupancy_plausible(census(crowded), DEPARTMENTS, since=2026032011).is_ok
    assert occupancy_plausible(census((2026032010, 1, "Female", 0)), DEPARTMENTS, since=2026032011).is_error


def test_a_department_without_beds_is_not_judged() -> None:
    assert occupancy_plausible(census((2026032010, 3, "Female", 99)), DEPARTMENTS).is_ok
    assert occupancy_plausible(census(), DEPARTMENTS).is_ok


def test_an_hour_with_a_count_below_one_is_an_error() -> None:
    assert occupancy_plausible(census((2026032010, 1, "Female", -1)), DEPARTMENTS).is_error
