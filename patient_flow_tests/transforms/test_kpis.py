"""Measures by local date, department and gender, each as section 5 of the contract defines it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts.tables import KPI_DEPARTMENT_DAY
from patient_flow.transforms import kpis
from patient_flow.transforms.staffing import staffing
from patient_flow_tests.builders import ZONE, at, deliveries, department, department_list, event
from patient_flow_tests.scenarios.agreement import computed

LISTED = department_list(
    department(staffed_beds=10, expected_los_hours=5.0),
    department(department="Surgery", staffed_beds=4, expected_los_hours=48.0),
)
DAY = date(2026, 3, 20)


def visit(number: int, *moments: tuple[str, str, str | None], **said: Any) -> list[dict[str, Any]]:
    """One visit: (event type, time, department) each."""
    named = {"visit_id": f"v{number}", "patient_id": f"p{number}", **said}
    return [event(event_type=kind, event_time=at(time), department=place, **named) for kind, time, place in moments]


def measured(*visits: list[dict[str, Any]], **where: Any) -> dict[str, Any]:
    """The one row of measures that matches."""
    frames = computed(deliveries([body for bodies in visits for body in bodies]), LISTED)
    named = frames["gold/kpi_department_day"].join(
        frames["gold/dim_department"].select("department_key", "department"), on="department_key"
    )
    rows = named.filter(**{"date": DAY, "department": "ICU", "gender": "Female", **where}).to_dicts()
    assert len(rows) == 1, rows
    return rows[0]


def admitted_after(number: int, minutes: float) -> list[dict[str, Any]]:
    arrival = at("06:00")
    said = {"visit_id": f"v{number}", "patient_id": f"p{number}"}
    return [
        event(event_type="arrival", event_time=arrival, **said),
        event(event_time=arrival + timedelta(minutes=minutes), **said),
    ]


def test_admissions_transfers_and_discharges_are_starts_moves_and_ends() -> None:
    there_and_back = visit(
        1,
        ("admission", "06:00", "ICU"),
        ("transfer", "08:00", "Surgery"),
        ("transfer", "10:00", "ICU"),
        ("discharge", "12:00", None),
    )
    row = measured(there_and_back)
    assert (row["admissions"], row["transfers_in"], row["discharges"]) == (1, 1, 1)
    row = measured(there_and_back, department="Surgery")
    assert (row["admissions"], row["transfers_in"], row["discharges"]) == (0, 1, 0)


def test_waits_have_mean_median_and_90th_percentile_straight_between_neighbours() -> None:
    row = measured(*(admitted_after(number, wait) for number, wait in enumerate((30, 60, 90))))
    assert row["wait_minutes_sum"] / row["waits"] == 60
    assert (row["wait_minutes_p50"], row["wait_minutes_p90"]) == (60, 84)


@pytest.mark.parametrize(("minutes", "within"), [(239.9, 1), (240, 1), (240.001, 0)])
def test_a_wait_of_exactly_240_minutes_meets_the_standard(minutes: float, within: int) -> None:
    assert measured(admitted_after(1, minutes))["waits_within_240"] == within


def test_a_visit_without_a_known_arrival_has_no_wait() -> None:
    row = measured(visit(1, ("admission", "10:00", "ICU")))
    assert (row["waits"], row["wait_minutes_sum"], row["wait_minutes_p50"]) == (0, None, None)


def test_length_of_stay_is_that_of_ended_visits() -> None:
    """Two ended ones of 2 and 6 hours; the open one does not count."""
    row = measured(
        visit(1, ("admission", "06:00", "ICU"), ("discharge", "08:00", None)),
        visit(2, ("admission", "06:00", "ICU"), ("discharge", "12:00", None)),
        visit(3, ("admission", "06:00", "ICU")),
    )
    assert (row["discharges"], row["length_of_stay_hours_sum"], row["length_of_stay_hours_median"]) == (2, 8, 4)


def test_the_length_of_a_visit_is_counted_once_where_it_ends() -> None:
    moved = visit(1, ("admission", "06:00", "ICU"), ("transfer", "08:00", "Surgery"), ("discharge", "12:00", None))
    assert measured(moved)["length_of_stay_hours_sum"] is None
    assert measured(moved, department="Surgery")["length_of_stay_hours_sum"] == 6


@pytest.mark.parametrize(("until", "overstays"), [("11:00", 0), ("11:01", 1)])
def test_an_overstay_is_longer_than_expected(until: str, overstays: int) -> None:
    assert measured(visit(1, ("admission", "06:00", "ICU"), ("discharge", until, None)))["overstays"] == overstays


def test_occupied_bed_hours_are_the_sum_of_the_census_and_midnight_is_local() -> None:
    """20 March begins in Paris at 23:00 UTC of the day before."""
    row = measured(visit(1, ("admission", "22:00 -1", "ICU"), ("discharge", "02:00", None)))
    assert (row["occupied_bed_hours"], row["midnight_beds"]) == (3, 1)


@pytest.mark.parametrize(
    ("day", "hours"),
    [(datetime(2026, 3, 29, tzinfo=UTC), 23), (datetime(2026, 10, 25, tzinfo=UTC), 25), (at("00:00"), 24)],
)
def test_beds_are_staffed_for_as_many_hours_as_the_local_day_has(day: datetime, hours: int) -> None:
    whole = [
        event(event_time=day - timedelta(days=1)),
        event(event_type="discharge", event_time=day + timedelta(days=2), department=None),
    ]
    frames = computed(deliveries(whole, start=datetime(2026, 11, 20, tzinfo=UTC)), LISTED)
    rows = frames["gold/kpi_department_day"].filter(date=day.date(), gender="Female", occupied_bed_hours=hours)
    assert rows["staffed_bed_hours"].to_list() == [10 * hours]
    assert rows["midnight_beds"].to_list() == [1]


@pytest.mark.parametrize(
    ("zone", "day"), [("Atlantic/Azores", date(2026, 10, 25)), ("America/Havana", date(2026, 3, 8)), (ZONE, DAY)]
)
def test_a_day_has_one_midnight_also_when_the_clocks_have_two_or_none(zone: str, day: date) -> None:
    """The first hour of the local date counts."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    lying = [
        event(event_time=noon - timedelta(days=2)),
        event(event_type="discharge", event_time=noon + timedelta(days=2), department=None),
    ]
    frames = computed(deliveries(lying, start=datetime(2026, 11, 20, tzinfo=UTC)), LISTED)
    departments = frames["gold/dim_department"]
    rows = kpis.kpi_department_day(
        frames["gold/fact_patient_flow"].select(kpis.FACT_COLUMNS),
        frames["gold/fact_ed_attendance"].select(kpis.ATTENDANCE_COLUMNS),
        frames["gold/fact_bed_census"],
        departments,
        wanted=kpis.every_department([day - timedelta(days=1), day, day + timedelta(days=1)], departments),
        staffed=staffing(frames["gold/fact_bed_census"], departments, zone),
        until=None,
        zone=zone,
    )
    assert rows["midnight_beds"].to_list() == [1, 1, 1]


def staffed_hours(*visits: list[dict[str, Any]], listed: Any = LISTED) -> dict[tuple[date, str], float]:
    """Staffed bed hours by day and department."""
    frames = computed(deliveries([body for bodies in visits for body in bodies]), listed)
    rows = frames["gold/kpi_department_day"].join(frames["gold/dim_department"], on="department_key")
    counted = rows.filter(gender="Female").drop_nulls("staffed_bed_hours")
    return {
        (row["date"], row["department"]): row["staffed_bed_hours"]
        for row in counted.select("date", "department", "staffed_bed_hours").iter_rows(named=True)
    }


IN_THE_MORNING = visit(1, ("admission", "06:00", "ICU"), ("discharge", "09:30", None))
HOURS_FROM_SIX = 17
"""From 06:00 UTC to the midnight of Paris."""


def test_beds_are_staffed_from_the_first_patient_hour_on_also_in_empty_hours() -> None:
    row = measured(IN_THE_MORNING)
    assert (row["occupied_bed_hours"], row["staffed_bed_hours"]) == (4, 10 * HOURS_FROM_SIX)


def test_a_department_of_which_nothing_is_known_has_no_staffed_hours() -> None:
    """Nor has any department on a day on which its hospital has no patient."""
    assert staffed_hours(IN_THE_MORNING) == {(DAY, "ICU"): 10.0 * HOURS_FROM_SIX}


def test_a_ward_that_opens_after_the_first_patient_is_staffed_though_it_is_empty() -> None:
    listed = department_list(
        department(staffed_beds=10, expected_los_hours=5.0),
        department(department="Surgery", staffed_beds=4, valid_from=at("20:00")),
    )
    assert staffed_hours(IN_THE_MORNING, listed=listed)[DAY, "Surgery"] == 4 * 3


def attendance(number: int, minutes: float | None, **left: Any) -> list[dict[str, Any]]:
    """An emergency arrival at 06:00 that is discharged after ``minutes``, if it is."""
    said = {"visit_id": f"v{number}", "patient_id": f"p{number}", "visit_class": "emergency"}
    arrival = event(event_type="arrival", event_time=at("06:00"), **said)
    if minutes is None:
        return [arrival]
    end = at("06:00") + timedelta(minutes=minutes)
    return [arrival, event(event_type="discharge", event_time=end, department=None, **said, **left)]


def test_an_attendance_counts_on_its_arrival_and_what_became_of_it_once_it_departed() -> None:
    row = measured(
        attendance(1, 240),
        attendance(2, 240.5, discharge_status="left_without_being_seen"),
        attendance(3, 721),
        attendance(4, None),
    )
    assert (row["attendances"], row["ed_departed"], row["admissions"]) == (4, 3, 0)
    assert (row["ed_within_240"], row["ed_over_720"], row["ed_left_without_being_seen"]) == (1, 1, 1)
    assert row["minutes_in_department_p50"] == 240.5


@pytest.mark.parametrize(("end", "early"), [("15:59", 1), ("16:00", 0)])
def test_a_discharge_at_17_00_local_time_is_no_early_one(end: str, early: int) -> None:
    row = measured(visit(1, ("admission", "06:00", "ICU"), ("discharge", end, None)))
    assert (row["discharges"], row["early_discharges"]) == (1, early)


def test_day_cases_and_observation_stand_beside_admissions_and_discharges() -> None:
    stayed = [visit(n, ("admission", "06:00 -1", "ICU"), ("discharge", "12:00", None)) for n in (1, 2, 3)]
    frames = computed(deliveries([body for bodies in stayed for body in bodies]), LISTED)
    facts = (
        frames["gold/fact_patient_flow"]
        .sort("visit_id")
        .with_columns(is_day_case=pl.Series([True, False, False]), is_observation=pl.Series([False, True, False]))
    )
    rows = (
        kpis.kpi_department_day(
            facts.select(kpis.FACT_COLUMNS),
            frames["gold/fact_ed_attendance"].select(kpis.ATTENDANCE_COLUMNS),
            frames["gold/fact_bed_census"].clear(),
            frames["gold/dim_department"],
            wanted=kpis.every_department([DAY - timedelta(days=1), DAY], frames["gold/dim_department"]),
            staffed=staffing(frames["gold/fact_bed_census"], frames["gold/dim_department"], ZONE),
            until=at("23:00"),
            zone=ZONE,
        )
        .filter(pl.col("admissions") + pl.col("discharges") > 0)
        .sort("date")
    )
    assert rows.select("day_cases", "admissions", "discharges").rows() == [(1, 1, 0), (0, 0, 1)]
    assert rows.select("nights_sum", "in_bed_hours_sum", "length_of_stay_hours_sum").rows()[1] == (1, 30, 30)


def test_measures_do_not_depend_on_the_order_of_the_rows() -> None:
    """0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 in floating point; in a table they must be one number all the same."""
    waits = (0.1, 0.2, 0.3, 12.7, 133.37, 1e-4, 77.77, 4_000.1)
    frames = computed(deliveries([body for turn in enumerate(waits) for body in admitted_after(*turn)]), LISTED)
    facts = frames["gold/fact_patient_flow"].select(kpis.FACT_COLUMNS)
    tables = {
        kpis.kpi_department_day(
            facts.sample(fraction=1, shuffle=True, seed=seed),
            frames["gold/fact_ed_attendance"].select(kpis.ATTENDANCE_COLUMNS),
            frames["gold/fact_bed_census"],
            frames["gold/dim_department"],
            wanted=kpis.every_department([DAY], frames["gold/dim_department"]),
            staffed=staffing(frames["gold/fact_bed_census"], frames["gold/dim_department"], ZONE),
            until=None,
            zone=ZONE,
        )
        .sort(KPI_DEPARTMENT_DAY.key)
        .write_json()
        for seed in range(60)
    }
    assert len(tables) == 1


def test_no_events_have_no_measures() -> None:
    frames = computed([], LISTED)
    assert frames["gold/kpi_department_day"].schema == KPI_DEPARTMENT_DAY.schema
    assert frames["gold/kpi_department_day"].is_empty()
