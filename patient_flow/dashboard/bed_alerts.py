"""The open bed alerts of a page: by the rules of the alert sensor, so that page and message say the same.

Filters by gender and age do not apply. What is about a whole hospital is for viewers of all its departments.
"""

from __future__ import annotations

import polars as pl

from patient_flow.contracts.escalation import Thresholds
from patient_flow.contracts.fullness import Limits
from patient_flow.dashboard.leaving import Leaving
from patient_flow.dashboard.rows import PageRows
from patient_flow.monitoring.bed_alerts import BedAlert, by_urgency
from patient_flow.monitoring.rules.forecasts import beds_full_ahead
from patient_flow.monitoring.rules.occupancy import Delays, delayed_hospitals, full_departments
from patient_flow.monitoring.thresholds import delayed_limit

c = pl.col


def open_alerts(rows: PageRows, limits: Limits, thresholds: Thresholds) -> list[BedAlert]:
    """The alerts of the departments and hospitals that filters and viewer leave, the worst first."""
    return by_urgency(
        [
            *_full(rows, limits),
            *delayed_hospitals(_delays(rows), delayed_limit(thresholds), rows.now),
            *beds_full_ahead(rows.ahead.chances),
        ]
    )


def _full(rows: PageRows, limits: Limits) -> list[BedAlert]:
    if rows.covered is None:
        return []
    last = rows.covered[1]
    occupied = (
        rows.snapshot.census.filter(c("hour_at") >= last - limits.window)
        .group_by("department_key", "hour_at")
        .agg(c("occupied_beds").sum())
    )
    staffed = rows.chosen.filter(c("staffed_beds") > 0)
    hours = occupied.join(staffed, on="department_key").select(
        "department",
        hospital=c("hospital_name"),
        at=c("hour_at"),
        occupancy_pct=100.0 * c("occupied_beds") / c("staffed_beds"),
    )
    return full_departments(hours, limits, rows.snapshot.zone, newest=last)


def _delays(rows: PageRows) -> list[Delays]:
    if rows.viewer.departments is not None or rows.selection.department:
        return []
    by_hospital = (
        Leaving(rows)
        .stays.group_by("hospital_name")
        .agg(in_beds=pl.len(), due_at=c("due_at").filter(c("delay_hours") > 0))
    )
    return [Delays(*row) for row in by_hospital.select("hospital_name", "in_beds", "due_at").iter_rows()]
