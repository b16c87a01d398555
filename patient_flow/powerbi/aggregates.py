"""The model for aggregate readers: published days and months, no facts, no patients, no dimension of them.

Its data source signs in with the database role ``patient_flow_aggregates``, which may read these two relations only.
A row with an empty department stands for the whole hospital: measures take either these or those of departments.
"""

from __future__ import annotations

from patient_flow.powerbi.declarations import Column, Contents, DataType, Measure, Table
from patient_flow.powerbi.queries import query

DAY, MONTH = "AggregateDay", "AggregateMonth"

_PLACE = (
    ("hospital_id", DataType.TEXT, "Hospital"),
    ("department", DataType.TEXT, "Department; empty for the whole hospital"),
    ("gender", DataType.TEXT, "Gender; empty for all. Only admissions are split by it"),
)
_COUNTS = (
    ("admissions", "Ward stays that start a visit; blank = hidden"),
    ("discharges", "Visits that ended; blank = hidden, or a department"),
    ("patients_at_midnight", "In beds at the end of the day; blank = hidden"),
    ("attendances", "Of emergency departments; blank = hidden"),
    ("departures", "Attendances that have departed; blank = hidden"),
    ("within_240", "Departures within 240 minutes of arrival; blank = hidden"),
    ("waits", "Admissions with a known time to first bed; blank = hidden"),
    ("wait_minutes_sum", "Sum of these times; blank = hidden"),
)


def _date(name: str, description: str) -> Column:
    return Column(name, DataType.MOMENT, description, format="yyyy-mm-dd", is_date_only=True)


def _count(name: str, description: str) -> Column:
    return Column(name, DataType.INTEGER, description, format="#,0")


def _table(name: str, description: str, *columns: Column) -> Table:
    return Table(name, description, name, columns, query(name, [column.name for column in columns]), is_fact=True)


_TABLES = (
    _table(
        DAY,
        "Closed days, published once, without small counts.",
        _date("date", "Local date"),
        *(Column(*column) for column in _PLACE),
        _date("month", "First day of the month"),
        *(_count(*column) for column in _COUNTS),
        _count("staffed_beds", "At the end of the day; blank = not stated"),
    ),
    _table(
        MONTH,
        "Closed months: sums of the published days.",
        _date("month", "First day of the month"),
        *(Column(*column) for column in _PLACE),
        *(
            column
            for name, description in _COUNTS
            for column in (_count(name, description), _count(f"{name}_days", f"Days in the sum of {name}"))
        ),
    ),
)


def _whole_hospitals(expression: str) -> str:
    return f'CALCULATE({expression}, {DAY}[department] = "", {DAY}[gender] = "")'


def _departments(expression: str) -> str:
    return f'CALCULATE({expression}, {DAY}[department] <> "", {DAY}[gender] = "")'


def _measure(name: str, shape: str, description: str, dax: str) -> Measure:
    return Measure(name, DAY, "Published", shape, description, dax)


_MEASURES = (
    *(
        _measure(
            f"{name} (published)", "#,0", f"{name} of whole hospitals, on the published days.", _whole_hospitals(sums)
        )
        for name, sums in (
            ("Admissions", f"SUM({DAY}[admissions])"),
            ("Discharges", f"SUM({DAY}[discharges])"),
            ("Attendances", f"SUM({DAY}[attendances])"),
        )
    ),
    _measure(
        "Admissions by department (published)",
        "#,0",
        "Admissions of departments, on the days on which their split is published.",
        _departments(f"SUM({DAY}[admissions])"),
    ),
    _measure(
        "Midnight occupancy (published)",
        "0.0%",
        "Patients at midnight over staffed beds of whole hospitals, where both are published.",
        _whole_hospitals(
            f"DIVIDE(SUMX(FILTER({DAY}, NOT ISBLANK({DAY}[staffed_beds])), {DAY}[patients_at_midnight]), "
            f"SUMX(FILTER({DAY}, NOT ISBLANK({DAY}[patients_at_midnight])), {DAY}[staffed_beds]))"
        ),
    ),
    _measure(
        "Four-hour share (published)",
        "0.0%",
        "Departures within 240 minutes over departures, on the published days.",
        _whole_hospitals(f"DIVIDE(SUM({DAY}[within_240]), SUM({DAY}[departures]))"),
    ),
    _measure(
        "Mean time to first bed (published)",
        "#,0",
        "Minutes from arrival to the first ward bed, on the published days.",
        _whole_hospitals(f"DIVIDE(SUM({DAY}[wait_minutes_sum]), SUM({DAY}[waits]))"),
    ),
)

CONTENTS = Contents(_TABLES, _MEASURES, ())
"""The whole model."""
