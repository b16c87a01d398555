"""The report's pages: what stands where. How it is written: ``visuals`` and ``report``.

Now is the board of the bed meeting; Forecast shows the beds ahead and how good it has been; Overview is what a
hospital's reference dashboard shows; Over time has control charts; Operations is for bed management; Emergency is for
the emergency department; Quality shows how far the numbers may be trusted. Hospital, gender and period are chosen once
for all pages.
"""

from __future__ import annotations

from patient_flow.powerbi.bed_pages import FORECAST, NOW, OVER_TIME
from patient_flow.powerbi.layout import (
    DATE,
    DEPARTMENT,
    GENDER,
    HOSPITAL,
    HOUR,
    LOWER,
    ORIGIN,
    ROW,
    RULE,
    SHIFT,
    UPPER,
    Page,
    cards,
    head,
    measure,
    place,
)
from patient_flow.powerbi.visuals import Field, Visual, shaded

OVERVIEW = Page(
    "overview",
    "Overview",
    (
        *head("Patient flow"),
        *cards(
            measure("Patients in beds now"),
            measure("Headline bed occupancy %"),
            measure("Patients"),
            measure("Admissions"),
            measure("Median wait minutes"),
            measure("Mean length of stay hours"),
        ),
        Visual(
            "occupancy_by_department_and_gender",
            "barChart",
            place(2, 0, UPPER, ROW),
            "Stacked bars: bed occupancy of each department, split by gender",
            {"Category": [DEPARTMENT], "Series": [GENDER], "Y": [measure("Bed occupancy %")]},
            "Bed occupancy by department and gender",
        ),
        Visual(
            "movements_by_day",
            "lineChart",
            place(2, 1, UPPER, ROW),
            "Lines: admissions and discharges of each day",
            {"Category": [DATE], "Y": [measure("Admissions"), measure("Discharges")]},
            "Admissions and discharges by day",
        ),
        Visual(
            "waits_by_day",
            "lineChart",
            place(2, 0, LOWER, ROW),
            "Lines: median and 90th percentile of the waits of each day",
            {
                "Category": [DATE],
                "Y": [
                    measure("Median wait minutes", "Median"),
                    measure("90th percentile wait minutes", "90th percentile"),
                ],
            },
            "Waiting time by day, minutes",
        ),
        Visual(
            "length_of_stay_by_department",
            "clusteredBarChart",
            place(4, 2, LOWER, ROW),
            "Bars: mean and median length of stay of each department",
            {
                "Category": [DEPARTMENT],
                "Y": [
                    measure("Mean length of stay hours", "Mean"),
                    measure("Median length of stay hours", "Median"),
                ],
            },
            "Length of stay, hours",
        ),
        Visual(
            "patients_by_gender",
            "clusteredColumnChart",
            place(4, 3, LOWER, ROW),
            "Columns: number of patients of each gender",
            {"Category": [GENDER], "Y": [measure("Patients")]},
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
        *head("Operations"),
        *cards(
            measure("Patients in beds now"),
            measure("Bed occupancy now %"),
            measure("Overstays open"),
            measure("Waits within 240 minutes %"),
            measure("Readmission within 30 days %"),
            measure("Data age minutes"),
        ),
        Visual(
            "occupancy_by_hour",
            "pivotTable",
            place(1, 0, UPPER, ROW),
            "Matrix: bed occupancy of each department at each hour of the day, shaded by value",
            {"Rows": [DEPARTMENT], "Columns": [HOUR], "Values": [measure("Bed occupancy %")]},
            "Bed occupancy by department and hour of the day",
            shaded(measure("Bed occupancy %"), _OCCUPANCY_COLORS),
        ),
        Visual(
            "departments",
            "tableEx",
            place(4, 0, LOWER, ROW, span=2),
            "Table: movements, overstays and bed turnover of each department",
            {
                "Values": [
                    DEPARTMENT,
                    measure("Patients in beds now", "In beds now"),
                    measure("Admissions"),
                    measure("Transfers", "Transfers in"),
                    measure("Discharges"),
                    measure("Overstays"),
                    measure("Bed turnover"),
                ]
            },
            "Departments",
        ),
        Visual(
            "transfers",
            "pivotTable",
            place(4, 2, LOWER, ROW),
            "Matrix: transfers from each department, in rows, to each department, in columns",
            {"Rows": [ORIGIN], "Columns": [DEPARTMENT], "Values": [measure("Transfers")]},
            "Transfers from and to",
        ),
        Visual(
            "arrivals_by_shift",
            "clusteredColumnChart",
            place(4, 3, LOWER, ROW),
            "Columns: arrivals in each shift",
            {"Category": [SHIFT], "Y": [measure("Arrivals")]},
            "Arrivals by shift",
        ),
    ),
)

EMERGENCY = Page(
    "emergency",
    "Emergency",
    (
        *head("Emergency department"),
        *cards(
            measure("In the emergency department now"),
            measure("Waiting for a bed now"),
            measure("Longest wait for a bed now minutes"),
            measure("Attendances"),
            measure("Departed within four hours %"),
            measure("Left without being seen %"),
            measure("Conversion to admission %"),
        ),
        Visual(
            "attendances_by_day",
            "lineChart",
            place(2, 0, UPPER, ROW),
            "Lines: attendances of each day, and those over 8 and over 12 hours",
            {
                "Category": [DATE],
                "Y": [
                    measure("Attendances"),
                    measure("Attendances over 8 hours"),
                    measure("Attendances over 12 hours"),
                ],
            },
            "Attendances by day of arrival",
        ),
        Visual(
            "time_in_department_by_day",
            "lineChart",
            place(2, 1, UPPER, ROW),
            "Lines: median, 90th and 95th percentile of the time in department of each day",
            {
                "Category": [DATE],
                "Y": [
                    measure("Time in department, median minutes", "Median"),
                    measure("Time in department, 90th percentile minutes", "90th percentile"),
                    measure("Time in department, 95th percentile minutes", "95th percentile"),
                ],
            },
            "Time in department by day of arrival, minutes",
        ),
        Visual(
            "emergency_departments",
            "tableEx",
            place(2, 0, LOWER, ROW),
            "Table: for each hospital, attendances, four-hour share, conversion and boarding",
            {
                "Values": [
                    HOSPITAL,
                    measure("Attendances"),
                    measure("Departed within four hours %", "Within 4 h"),
                    measure("Conversion to admission %", "Admitted"),
                    measure("Left without being seen %", "Left unseen"),
                    measure("Boarding over four hours", "Boarding over 4 h"),
                    measure("Boarding time, median minutes", "Median boarding"),
                ]
            },
            "Emergency departments",
        ),
        Visual(
            "times_by_hour",
            "clusteredColumnChart",
            place(2, 1, LOWER, ROW),
            "Columns: median time to triage and to being seen by hour of arrival",
            {
                "Category": [HOUR],
                "Y": [
                    measure("Time to triage, median minutes", "To triage"),
                    measure("Time to being seen, median minutes", "To being seen"),
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
        *head("Data quality"),
        *cards(
            measure("Events received"),
            measure("Events quarantined"),
            measure("Events quarantined %"),
            measure("Violations flagged"),
            measure("Newest event at"),
            measure("Figures changed at"),
        ),
        Visual(
            "events_by_day",
            "columnChart",
            place(2, 0, UPPER, ROW),
            "Stacked columns: accepted and quarantined events of each day",
            {"Category": [DATE], "Y": [measure("Events accepted"), measure("Events quarantined")]},
            "Events by day",
        ),
        Visual(
            "violations_by_rule",
            "tableEx",
            place(2, 1, UPPER, ROW),
            "Table: for each rule, events flagged and events quarantined",
            {"Values": [RULE, measure("Violations flagged"), measure("Violations quarantined")]},
            "Violations by rule",
        ),
        Visual(
            "loads",
            "tableEx",
            place(2, 0, LOWER, ROW),
            "Table: for each warehouse table, its version, when it was loaded and how late",
            {
                "Values": [
                    Field("DataFreshness", "table_name", "Table"),
                    Field("DataFreshness", "gold_version", "Version"),
                    Field("DataFreshness", "loaded_at", "Loaded (UTC)"),
                    measure("Load lag seconds"),
                    measure("Rows written"),
                ]
            },
            "Loads",
        ),
        Visual(
            "daily_table_against_facts",
            "tableEx",
            place(2, 1, LOWER, ROW),
            "Table: for each department, measures from the facts beside the same from the daily table",
            {
                "Values": [
                    DEPARTMENT,
                    measure("Admissions"),
                    measure("Admissions (daily table)", "Admissions, daily table"),
                    measure("Bed occupancy %"),
                    measure("Bed occupancy % (daily table)", "Bed occupancy %, daily table"),
                ]
            },
            "Facts against the daily table: must be equal",
        ),
    ),
)

PAGES = (NOW, FORECAST, OVERVIEW, *OVER_TIME, OPERATIONS, EMERGENCY, QUALITY)
