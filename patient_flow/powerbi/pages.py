"""The report's pages: what stands where. How it is written: ``visuals`` and ``report``.

Overview is what a hospital's reference dashboard shows; Operations is for bed management; Emergency is for the
emergency department; Quality shows
how far the numbers may be trusted. Hospital, gender and period are chosen once for all pages.
"""

from __future__ import annotations

from dataclasses import dataclass

from patient_flow.powerbi.measures import BY_NAME
from patient_flow.powerbi.visuals import Field, Place, Visual, card, heading, shaded, slicer

WIDTH, HEIGHT = 1280, 720
_MARGIN, _GAP = 16, 12
_FULL = WIDTH - 2 * _MARGIN


@dataclass(frozen=True)
class Page:
    """One page; ``name`` is its folder, ``title`` what readers see."""

    name: str
    title: str
    visuals: tuple[Visual, ...]


def _measure(name: str, caption: str = "") -> Field:
    return Field(BY_NAME[name].table, name, caption, is_measure=True)


_DATE = Field("DimDate", "date", "Date")
_HOUR = Field("DimTime", "hour", "Hour")
_SHIFT = Field("DimTime", "shift", "Shift")
_HOSPITAL = Field("DimHospital", "hospital_name", "Hospital")
_DEPARTMENT = Field("DimDepartment", "department", "Department")
_ORIGIN = Field("DimOrigin", "department", "From")
_GENDER = Field("DimGender", "gender", "Gender")
_RULE = Field("DataQualityDay", "rule", "Rule")


def _column(of: int, first: int, span: int = 1) -> tuple[int, int]:
    """Left edge and width of ``span`` of ``of`` equal columns, the ``first`` of which is 0."""
    width = (_FULL - (of - 1) * _GAP) // of
    return _MARGIN + first * (width + _GAP), span * width + (span - 1) * _GAP


def _place(of: int, first: int, y: int, height: int, span: int = 1) -> Place:
    x, width = _column(of, first, span)
    return Place(x, y, width, height)


def _head(title: str) -> tuple[Visual, ...]:
    """Headline and the filters that all pages share."""
    return (
        heading("heading", _place(4, 0, 12, 64), title),
        slicer("hospital", _place(4, 1, 12, 64), _HOSPITAL, "Dropdown"),
        slicer("gender", _place(4, 2, 12, 64), _GENDER, "Dropdown"),
        slicer("period", _place(4, 3, 12, 64), _DATE, "Between"),
    )


def _cards(*measures: Field) -> tuple[Visual, ...]:
    return tuple(
        card(f"card_{number}", _place(len(measures), number, 88, 92), measure)
        for number, measure in enumerate(measures)
    )


_UPPER, _LOWER, _ROW = 192, 454, 250
"""Top of the two rows of charts, and their height."""

OVERVIEW = Page(
    "overview",
    "Overview",
    (
        *_head("Patient flow"),
        *_cards(
            _measure("Patients in beds now"),
            _measure("Headline bed occupancy %"),
            _measure("Patients"),
            _measure("Admissions"),
            _measure("Median wait minutes"),
            _measure("Mean length of stay hours"),
        ),
        Visual(
            "occupancy_by_department_and_gender",
            "barChart",
            _place(2, 0, _UPPER, _ROW),
            "Stacked bars: bed occupancy of each department, split by gender",
            {"Category": [_DEPARTMENT], "Series": [_GENDER], "Y": [_measure("Bed occupancy %")]},
            "Bed occupancy by department and gender",
        ),
        Visual(
            "movements_by_day",
            "lineChart",
            _place(2, 1, _UPPER, _ROW),
            "Lines: admissions and discharges of each day",
            {"Category": [_DATE], "Y": [_measure("Admissions"), _measure("Discharges")]},
            "Admissions and discharges by day",
        ),
        Visual(
            "waits_by_day",
            "lineChart",
            _place(2, 0, _LOWER, _ROW),
            "Lines: median and 90th percentile of the waits of each day",
            {
                "Category": [_DATE],
                "Y": [
                    _measure("Median wait minutes", "Median"),
                    _measure("90th percentile wait minutes", "90th percentile"),
                ],
            },
            "Waiting time by day, minutes",
        ),
        Visual(
            "length_of_stay_by_department",
            "clusteredBarChart",
            _place(4, 2, _LOWER, _ROW),
            "Bars: mean and median length of stay of each department",
            {
                "Category": [_DEPARTMENT],
                "Y": [
                    _measure("Mean length of stay hours", "Mean"),
                    _measure("Median length of stay hours", "Median"),
                ],
            },
            "Length of stay, hours",
        ),
        Visual(
            "patients_by_gender",
            "clusteredColumnChart",
            _place(4, 3, _LOWER, _ROW),
            "Columns: number of patients of each gender",
            {"Category": [_GENDER], "Y": [_measure("Patients")]},
            "Patients by gender",
        ),
    ),
)

_OCCUPANCY_COLORS = (("#FFFFFF", 0.5), ("#F2C14E", 0.9), ("#C8553D", 1.1))
"""Nothing to see below half full; alarming beyond the staffed beds."""

OPERATIONS = Page(
    "operations",
    "Operations",
    (
        *_head("Operations"),
        *_cards(
            _measure("Patients in beds now"),
            _measure("Bed occupancy now %"),
            _measure("Overstays open"),
            _measure("Waits within 240 minutes %"),
            _measure("Readmission within 30 days %"),
            _measure("Data age minutes"),
        ),
        Visual(
            "occupancy_by_hour",
            "pivotTable",
            _place(1, 0, _UPPER, _ROW),
            "Matrix: bed occupancy of each department at each hour of the day, shaded by value",
            {"Rows": [_DEPARTMENT], "Columns": [_HOUR], "Values": [_measure("Bed occupancy %")]},
            "Bed occupancy by department and hour of the day",
            shaded(_measure("Bed occupancy %"), _OCCUPANCY_COLORS),
        ),
        Visual(
            "departments",
            "tableEx",
            _place(4, 0, _LOWER, _ROW, span=2),
            "Table: movements, overstays and bed turnover of each department",
            {
                "Values": [
                    _DEPARTMENT,
                    _measure("Patients in beds now", "In beds now"),
                    _measure("Admissions"),
                    _measure("Transfers", "Transfers in"),
                    _measure("Discharges"),
                    _measure("Overstays"),
                    _measure("Bed turnover"),
                ]
            },
            "Departments",
        ),
        Visual(
            "transfers",
            "pivotTable",
            _place(4, 2, _LOWER, _ROW),
            "Matrix: transfers from each department, in rows, to each department, in columns",
            {"Rows": [_ORIGIN], "Columns": [_DEPARTMENT], "Values": [_measure("Transfers")]},
            "Transfers from and to",
        ),
        Visual(
            "arrivals_by_shift",
            "clusteredColumnChart",
            _place(4, 3, _LOWER, _ROW),
            "Columns: arrivals in each shift",
            {"Category": [_SHIFT], "Y": [_measure("Arrivals")]},
            "Arrivals by shift",
        ),
    ),
)

EMERGENCY = Page(
    "emergency",
    "Emergency",
    (
        *_head("Emergency department"),
        *_cards(
            _measure("In the emergency department now"),
            _measure("Waiting for a bed now"),
            _measure("Longest wait for a bed now minutes"),
            _measure("Attendances"),
            _measure("Departed within four hours %"),
            _measure("Left without being seen %"),
            _measure("Conversion to admission %"),
        ),
        Visual(
            "attendances_by_day",
            "lineChart",
            _place(2, 0, _UPPER, _ROW),
            "Lines: attendances of each day, and those over 8 and over 12 hours",
            {
                "Category": [_DATE],
                "Y": [
                    _measure("Attendances"),
                    _measure("Attendances over 8 hours"),
                    _measure("Attendances over 12 hours"),
                ],
            },
            "Attendances by day of arrival",
        ),
        Visual(
            "time_in_department_by_day",
            "lineChart",
            _place(2, 1, _UPPER, _ROW),
            "Lines: median, 90th and 95th percentile of the time in department of each day",
            {
                "Category": [_DATE],
                "Y": [
                    _measure("Time in department, median minutes", "Median"),
                    _measure("Time in department, 90th percentile minutes", "90th percentile"),
                    _measure("Time in department, 95th percentile minutes", "95th percentile"),
                ],
            },
            "Time in department by day of arrival, minutes",
        ),
        Visual(
            "emergency_departments",
            "tableEx",
            _place(2, 0, _LOWER, _ROW),
            "Table: for each hospital, attendances, four-hour share, conversion and boarding",
            {
                "Values": [
                    _HOSPITAL,
                    _measure("Attendances"),
                    _measure("Departed within four hours %", "Within 4 h"),
                    _measure("Conversion to admission %", "Admitted"),
                    _measure("Left without being seen %", "Left unseen"),
                    _measure("Boarding over four hours", "Boarding over 4 h"),
                    _measure("Boarding time, median minutes", "Median boarding"),
                ]
            },
            "Emergency departments",
        ),
        Visual(
            "times_by_hour",
            "clusteredColumnChart",
            _place(2, 1, _LOWER, _ROW),
            "Columns: median time to triage and to being seen by hour of arrival",
            {
                "Category": [_HOUR],
                "Y": [
                    _measure("Time to triage, median minutes", "To triage"),
                    _measure("Time to being seen, median minutes", "To being seen"),
                ],
            },
            "Time to triage and to being seen by hour of arrival, minutes",
        ),
    ),
)

QUALITY = Page(
    "quality",
    "Quality",
    (
        *_head("Data quality"),
        *_cards(
            _measure("Events received"),
            _measure("Events quarantined"),
            _measure("Events quarantined %"),
            _measure("Violations flagged"),
            _measure("Newest event at"),
            _measure("Data age minutes"),
        ),
        Visual(
            "events_by_day",
            "columnChart",
            _place(2, 0, _UPPER, _ROW),
            "Stacked columns: accepted and quarantined events of each day",
            {"Category": [_DATE], "Y": [_measure("Events accepted"), _measure("Events quarantined")]},
            "Events by day",
        ),
        Visual(
            "violations_by_rule",
            "tableEx",
            _place(2, 1, _UPPER, _ROW),
            "Table: for each rule, events flagged and events quarantined",
            {"Values": [_RULE, _measure("Violations flagged"), _measure("Violations quarantined")]},
            "Violations by rule",
        ),
        Visual(
            "loads",
            "tableEx",
            _place(2, 0, _LOWER, _ROW),
            "Table: for each warehouse table, its version, when it was loaded and how late",
            {
                "Values": [
                    Field("DataFreshness", "table_name", "Table"),
                    Field("DataFreshness", "gold_version", "Version"),
                    Field("DataFreshness", "loaded_at", "Loaded (UTC)"),
                    _measure("Load lag seconds"),
                    _measure("Rows written"),
                ]
            },
            "Loads",
        ),
        Visual(
            "daily_table_against_facts",
            "tableEx",
            _place(2, 1, _LOWER, _ROW),
            "Table: for each department, measures from the facts beside the same from the daily table",
            {
                "Values": [
                    _DEPARTMENT,
                    _measure("Admissions"),
                    _measure("Admissions (daily table)", "Admissions, daily table"),
                    _measure("Bed occupancy %"),
                    _measure("Bed occupancy % (daily table)", "Bed occupancy %, daily table"),
                ]
            },
            "Facts against the daily table: must be equal",
        ),
    ),
)

PAGES = (OVERVIEW, OPERATIONS, EMERGENCY, QUALITY)
