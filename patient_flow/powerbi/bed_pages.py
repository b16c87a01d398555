"""The pages of the bed meeting: beds now, beds ahead, and figures over time."""

from __future__ import annotations

from patient_flow.contracts import fullness, measures
from patient_flow.contracts.measure_types import Measure
from patient_flow.powerbi import dax
from patient_flow.powerbi.control_charts import LOWER as LOWER_LIMIT
from patient_flow.powerbi.control_charts import MEAN
from patient_flow.powerbi.control_charts import UPPER as UPPER_LIMIT
from patient_flow.powerbi.layout import (
    DATE,
    DEPARTMENT,
    GAP,
    GENDER,
    HOSPITAL,
    LOWER,
    ROW,
    UPPER,
    Page,
    cards,
    head,
    measure,
    place,
)
from patient_flow.powerbi.visuals import Field, Visual, heading, levelled, slicer

_LEVELS = (
    (fullness.FULL_PCT / 100, fullness.FULL.light),
    (fullness.CRITICAL_PCT / 100, fullness.CRITICAL.light),
    (fullness.HIGH_PCT / 100, fullness.HIGH.light),
    (0.0, fullness.AMPLE.light),
)
"""Lowest occupancy of each level of the dashboard and its color, the highest first."""

NOW = Page(
    "now",
    "Now",
    (
        *head("Beds now"),
        *cards(
            measure("Patients in beds now"),
            measure("Staffed beds now"),
            measure("Free beds now"),
            measure("Expected discharges today"),
            measure("Delayed discharges"),
            measure("Waiting for a bed now"),
            measure("Data age minutes"),
        ),
        Visual(
            "board",
            "tableEx",
            place(3, 0, UPPER, 2 * ROW + GAP, span=2),
            "Table: for each department, the fullest first, occupied, staffed and free beds, expected and delayed "
            "discharges; occupancy has the colors of the dashboard",
            {
                "Values": [
                    HOSPITAL,
                    DEPARTMENT,
                    measure("Patients in beds now", "Occupied"),
                    measure("Staffed beds now", "Staffed"),
                    measure("Free beds now", "Free"),
                    measure("Bed occupancy now %", "Occupancy"),
                    measure("Expected discharges today", "Expected discharges"),
                    measure("Delayed discharges", "Delayed"),
                ]
            },
            "Departments, the fullest first",
            levelled(measure("Bed occupancy now %"), measure("Bed occupancy now %"), _LEVELS),
            falling=measure("Bed occupancy now %"),
        ),
        Visual(
            "patients_by_gender_now",
            "pivotTable",
            place(3, 2, UPPER, ROW),
            "Matrix: patients in beds now of each department, by gender",
            {"Rows": [DEPARTMENT], "Columns": [GENDER], "Values": [measure("Patients in beds now")]},
            "Patients in beds now, by gender",
        ),
        Visual(
            "waiting_for_a_bed",
            "tableEx",
            place(3, 2, LOWER, ROW),
            "Table: for each hospital, patients in the emergency department, waiting for a bed, longest wait",
            {
                "Values": [
                    HOSPITAL,
                    measure("In the emergency department now", "In the ED"),
                    measure("Waiting for a bed now", "Waiting for a bed"),
                    measure("Longest wait for a bed now minutes", "Longest wait, minutes"),
                ]
            },
            "Emergency departments now",
        ),
    ),
)

_TARGET = Field("BedsExpected", "target_at", "Hour (UTC)")
_PLACE = Field("BedsExpected", "department", "Department")

FORECAST = Page(
    "forecast",
    "Forecast",
    (
        heading("heading", place(4, 0, 12, 64), "Beds ahead"),
        slicer("hospital", place(4, 1, 12, 64), HOSPITAL, "Dropdown"),
        slicer("place", place(4, 2, 12, 64), _PLACE, "Dropdown", is_shared=False),
        slicer("target", place(4, 3, 12, 64), _TARGET, "Between", is_shared=False),
        *cards(
            measure("Days judged"),
            measure("Forecast error beds"),
            measure("Forecast error, no change beds"),
            measure("Forecast error, week before beds"),
            measure("Forecast within likely range %"),
            measure("Data age minutes"),
        ),
        Visual(
            "fan",
            "lineChart",
            place(1, 0, UPPER, ROW),
            "Lines: beds to expect at each hour ahead, the range of 8 of 10 and of 38 of 40 cases, and staffed beds. "
            "Choose one hospital, and a department or none for the whole hospital",
            {
                "Category": [_TARGET],
                "Y": [
                    measure("Beds expected, hardly below", "Hardly below"),
                    measure("Beds expected, likely from", "Likely from"),
                    measure("Beds expected", "Expected"),
                    measure("Beds expected, likely to", "Likely to"),
                    measure("Beds expected, hardly above", "Hardly above"),
                    measure("Staffed beds then", "Staffed"),
                ],
            },
            "Occupied beds ahead: 8 of 10 cases lie between likely from and to. Choose one hospital",
        ),
        Visual(
            "free_beds_ahead",
            "tableEx",
            place(1, 0, LOWER, ROW),
            "Table: for each place and hour ahead, free beds, their likely range and the probability of being full",
            {
                "Values": [
                    HOSPITAL,
                    _PLACE,
                    _TARGET,
                    measure("Staffed beds then", "Staffed"),
                    measure("Free beds expected", "Free"),
                    measure("Free beds, likely from", "Likely from"),
                    measure("Free beds, likely to", "Likely to"),
                    measure("Probability of being full", "Probability of being full"),
                    Field("BedsExpected", "source", "Source"),
                ]
            },
            "Free beds ahead. Source persistence or week_ago: the forecast did badly in the last week, so that as many "
            "patients are supposed as now, or as a week before. Less than 28 judged days: no rows",
        ),
    ),
)


def _control_chart(charted: Measure, number: int) -> Visual:
    name = dax.name_of(charted)
    row, column = divmod(number, CHARTS_A_ROW)
    label = charted.label.en
    return Visual(
        f"chart_of_{charted.name}",
        "lineChart",
        place(CHARTS_A_ROW, column, 88 + row * (ROW + 50 + GAP), ROW + 50),
        f"Lines: {label[0].lower()}{label[1:]} of each day, mean, and limits beyond which a point is a special cause",
        {
            "Category": [DATE],
            "Y": [
                measure(name, label),
                measure(f"{name}, {MEAN}", "Mean"),
                measure(f"{name}, {LOWER_LIMIT}", "Lower limit"),
                measure(f"{name}, {UPPER_LIMIT}", "Upper limit"),
            ],
        },
        f"{label} by day: a point outside the limits is a special cause",
    )


def _over_time(name: str, title: str, *topics: str) -> Page:
    """Control charts of the measures of ``topics``."""
    charted = [one for one in measures.CHARTED if one.topic in topics]
    charts = (_control_chart(one, number) for number, one in enumerate(charted))
    return Page(name, title, (*head(_CONTROL_CHARTS), *charts))


CHARTS_A_ROW = 3
_CONTROL_CHARTS = "Control charts; runs and trends: see dashboard"
OVER_TIME = (
    _over_time("over_time", "Over time: beds and waits", "Occupancy", "Waiting", "Length of stay"),
    _over_time("over_time_movements", "Over time: movements", "Movements"),
    _over_time("over_time_emergency", "Over time: emergency", "Emergency"),
)
