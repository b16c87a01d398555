"""The warehouse's views: what each measure is, in SQL, declared once for every target.

The SQL is what all targets share. Words in braces stand for what they say differently; ``stores.warehouse.views``
puts them in: ``{FactPatientFlow}`` and the other tables, ``{now}`` (UTC), ``{this_hour}`` (the time key of now),
``{true}``, ``{hours_since[instant]}``, ``{flag[condition]}`` (a boolean), ``{readmission_deadline[instant]}``, and the
phrases below.

Rules that all views keep. Now and open are asked when the view is read. A ratio stands next to the sums it is made of,
so that a report can add up the sums and divide; percentages are never averaged and never clipped. Percentiles
interpolate linearly (PERCENTILE.INC); like distinct counts they hold for their row only. Dates and hours are local,
through DimTime; instants are UTC. A day belongs to a department of a hospital, whatever version of it was valid.

The SQL is shaped so that a filter on the date reaches the tables on every engine: SQLite carries one through windows
over the columns they are partitioned by and into one aggregate, never through an aggregate into what lies below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import events, measures
from patient_flow.contracts.tables import INSTANT, Column


@dataclass(frozen=True)
class View:
    """One view: its columns in order, and the SELECT that makes them."""

    name: str
    description: str
    columns: tuple[Column, ...]
    sql: str


SQL_MACROS: Mapping[str, str] = {
    # Every hour of the census times the department versions valid in it: also hours in which nobody lay in a bed.
    "department_hours": """\
(SELECT MIN(time_key) AS time_key FROM {FactBedCensus}) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM {FactBedCensus}) last_hour
JOIN {DimTime} t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN {DimDepartment} d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)""",
    # SQLite takes the tables of a CROSS JOIN as they are written: hours first, which it finds by their date.
    "hours_and_stays": """\
{DimTime} t
CROSS JOIN {FactPatientFlow} f
JOIN {DimDepartment} d ON d.department_key = f.department_key""",
    # The few stays that are open first, then what belongs to them; t is left to the view.
    "open_stays": """\
{FactPatientFlow} f
CROSS JOIN {FactPatientFlow} v
CROSS JOIN {DimTime} t
CROSS JOIN {DimDepartment} d""",
    "is_open": """\
f.admission_at <= {now}
AND (f.discharge_at IS NULL OR f.discharge_at > {now})
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key""",
    "of_a_cell": "PARTITION BY date, hospital_id, department, gender",
    "genders": "(" + " UNION ALL ".join(f"SELECT '{gender}' AS gender" for gender in events.GENDERS) + ")",
    "is_midnight": "t.is_day_start = {true}",
    "has_ended": "f.discharge_at <= {now}",
    "wait_standard": str(measures.WAIT_STANDARD_MINUTES),
}
"""Words that several views use, spelt out."""

PERCENTILE = (
    "SUM(CASE WHEN ABS(place - {0} * last_place) < 1 THEN {1} * (1 - ABS(place - {0} * last_place)) ELSE 0 END)"
)
"""``{{percentile[share, value]}}``: linear interpolation between the two values next to the wanted place.

``place`` numbers the values of a group from 0 in ascending order, ``last_place`` is the highest number.
"""


def _id(name: str, description: str) -> Column:
    return Column(name, pl.String(), description)


def _count(name: str, description: str) -> Column:
    return Column(name, pl.Int64(), description)


def _number(name: str, description: str) -> Column:
    return Column(name, pl.Float64(), description)


def _at(name: str, description: str) -> Column:
    return Column(name, INSTANT, description)


def _date(description: str) -> Column:
    return Column("date", pl.Date(), description)


_PLACE = (
    _id("hospital_id", "Hospital"),
    Column("hospital_name", pl.String(), "Hospital", length=128),
    _id("department", "Department"),
)
_GENDER = Column("gender", pl.String(), "Gender of the patient", length=16)

BED_OCCUPANCY_HOURLY = View(
    "BedOccupancyHourly",
    "Beds occupied at the start of each hour, by department; occupancy = sum of occupied / sum of staffed beds.",
    (
        _count("time_key", "UTC hour as YYYYMMDDHH"),
        _at("hour_start_at", "First instant of the hour"),
        _date("Local date"),
        _count("hour", "Local hour"),
        *_PLACE,
        _count("occupied_beds", "Patients in beds"),
        _count("staffed_beds", "Staffed beds at that hour; null where unknown"),
        _number("occupancy_pct", "occupied_beds in percent of staffed_beds"),
        _count("midnight_occupied_beds", "occupied_beds at local midnight, else null"),
        _count("midnight_staffed_beds", "staffed_beds at local midnight, else null"),
    ),
    """
SELECT
    t.time_key,
    t.hour_start_at,
    t.date,
    t.hour,
    d.hospital_id,
    d.hospital_name,
    d.department,
    CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) AS occupied_beds,
    d.staffed_beds,
    100 * CAST(COALESCE(SUM(c.occupied_beds), 0) AS FLOAT) / NULLIF(d.staffed_beds, 0) AS occupancy_pct,
    CASE WHEN {is_midnight} THEN CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) END AS midnight_occupied_beds,
    CASE WHEN {is_midnight} THEN d.staffed_beds END AS midnight_staffed_beds
FROM {department_hours}
LEFT JOIN {FactBedCensus} c ON c.time_key = t.time_key AND c.department_key = d.department_key
GROUP BY
    t.time_key, t.hour_start_at, t.date, t.hour, t.is_day_start,
    d.hospital_id, d.hospital_name, d.department, d.staffed_beds
HAVING d.staffed_beds IS NOT NULL OR COUNT(c.occupied_beds) > 0
""",
)

BED_OCCUPANCY_BY_GENDER = View(
    "BedOccupancyByGender",
    "Bed hours by local date, department and gender. The staffed beds are the department's for every gender, so that "
    "the genders' percentages add up to the department's: add staffed_bed_hours up for one gender only.",
    (
        _date("Local date"),
        *_PLACE,
        _GENDER,
        _count("occupied_bed_hours", "Sum of the hourly census of this gender"),
        _count("staffed_bed_hours", "Sum of the department's staffed beds over the hours; null where unknown"),
        _number("occupancy_pct", "occupied_bed_hours in percent of staffed_bed_hours"),
        _count("midnight_occupied_beds", "Census of this gender at local midnight"),
        _count("midnight_staffed_beds", "The department's staffed beds at local midnight"),
        _number("midnight_occupancy_pct", "midnight_occupied_beds in percent of midnight_staffed_beds"),
    ),
    """
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    g.gender,
    CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) AS occupied_bed_hours,
    CAST(SUM(d.staffed_beds) AS BIGINT) AS staffed_bed_hours,
    100 * CAST(COALESCE(SUM(c.occupied_beds), 0) AS FLOAT) / NULLIF(SUM(d.staffed_beds), 0) AS occupancy_pct,
    CAST(SUM(CASE WHEN {is_midnight} THEN COALESCE(c.occupied_beds, 0) END) AS BIGINT) AS midnight_occupied_beds,
    CAST(SUM(CASE WHEN {is_midnight} THEN d.staffed_beds END) AS BIGINT) AS midnight_staffed_beds,
    100 * CAST(SUM(CASE WHEN {is_midnight} THEN COALESCE(c.occupied_beds, 0) END) AS FLOAT)
        / NULLIF(SUM(CASE WHEN {is_midnight} THEN d.staffed_beds END), 0) AS midnight_occupancy_pct
FROM {department_hours}
CROSS JOIN {genders} g
LEFT JOIN {FactBedCensus} c
    ON c.time_key = t.time_key AND c.department_key = d.department_key AND c.gender = g.gender
GROUP BY t.date, d.hospital_id, d.department, g.gender
HAVING COUNT(d.staffed_beds) > 0 OR COUNT(c.occupied_beds) > 0
""",
)

ADMISSIONS_DAILY = View(
    "AdmissionsDaily",
    "Movements by local date, department and gender; a planned discharge counts when its time has come.",
    (
        _date("Local date of the movement"),
        *_PLACE,
        _GENDER,
        _count("admissions", "Stays that start a visit"),
        _count("transfers_in", "Stays that a move from another department began"),
        _count("discharges", "Stays that ended a visit"),
        _count("visits", "Distinct visits with a stay that began"),
    ),
    """
SELECT date, hospital_id, hospital_name, department, gender, admissions, transfers_in, discharges, visits
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER ({of_a_cell}) AS hospital_name,
        department,
        gender,
        CAST(SUM(admissions) OVER ({of_a_cell}) AS BIGINT) AS admissions,
        CAST(SUM(transfers_in) OVER ({of_a_cell}) AS BIGINT) AS transfers_in,
        CAST(SUM(discharges) OVER ({of_a_cell}) AS BIGINT) AS discharges,
        CAST(SUM(visits) OVER ({of_a_cell}) AS BIGINT) AS visits,
        ROW_NUMBER() OVER ({of_a_cell} ORDER BY discharges) AS place
    FROM (
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name) AS hospital_name,
            d.department,
            f.gender,
            SUM(CASE WHEN f.is_visit_start = {true} THEN 1 ELSE 0 END) AS admissions,
            SUM(CASE WHEN f.from_department_key <> 0 THEN 1 ELSE 0 END) AS transfers_in,
            0 AS discharges,
            COUNT(DISTINCT f.visit_id) AS visits
        FROM {hours_and_stays}
        WHERE f.admission_time_key = t.time_key
        GROUP BY t.date, d.hospital_id, d.department, f.gender
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, f.gender, 0, 0, COUNT(*), 0
        FROM {hours_and_stays}
        WHERE f.discharge_time_key = t.time_key AND f.is_visit_end = {true} AND {has_ended}
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) begun_and_ended
) cells
WHERE place = 1
""",
)

WAITING_TIMES = View(
    "WaitingTimes",
    "Waits from arrival to admission, of each visit's first stay, by local date of admission, department and gender.",
    (
        _date("Local date of admission"),
        *_PLACE,
        _GENDER,
        _count("waits", "Visits with a known wait"),
        _number("wait_minutes_sum", "Sum of waits"),
        _number("wait_minutes_mean", "Mean wait"),
        _number("wait_minutes_p50", "Median wait"),
        _number("wait_minutes_p90", "90th percentile of waits"),
        _count("waits_within_240", "Waits of at most 240 minutes"),
        _number("within_240_pct", "waits_within_240 in percent of waits"),
    ),
    """
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    waits,
    wait_minutes_sum,
    wait_minutes_sum / waits AS wait_minutes_mean,
    wait_minutes_p50,
    wait_minutes_p90,
    waits_within_240,
    100 * CAST(waits_within_240 AS FLOAT) / waits AS within_240_pct
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER ({of_a_cell}) AS hospital_name,
        department,
        gender,
        place,
        CAST(COUNT(*) OVER ({of_a_cell}) AS BIGINT) AS waits,
        SUM(wait_minutes) OVER ({of_a_cell}) AS wait_minutes_sum,
        {percentile[0.5, wait_minutes]} OVER ({of_a_cell}) AS wait_minutes_p50,
        {percentile[0.9, wait_minutes]} OVER ({of_a_cell}) AS wait_minutes_p90,
        CAST(SUM(CASE WHEN wait_minutes <= {wait_standard} THEN 1 ELSE 0 END) OVER ({of_a_cell}) AS BIGINT)
            AS waits_within_240
    FROM (
        SELECT
            t.date,
            d.hospital_id,
            d.hospital_name,
            d.department,
            f.gender,
            f.wait_minutes,
            ROW_NUMBER() OVER (
                PARTITION BY t.date, d.hospital_id, d.department, f.gender ORDER BY f.wait_minutes
            ) - 1 AS place,
            COUNT(*) OVER (PARTITION BY t.date, d.hospital_id, d.department, f.gender) - 1 AS last_place
        FROM {hours_and_stays}
        WHERE f.admission_time_key = t.time_key AND f.is_visit_start = {true} AND f.wait_minutes IS NOT NULL
    ) ranked
) cells
WHERE place = 0
""",
)

LENGTH_OF_STAY = View(
    "LengthOfStay",
    "Length of visits that have ended, by local date of discharge and last department; beside it, under today's date, "
    "the visits that are still open and how long they have lasted.",
    (
        _date("Local date of discharge; today for open visits"),
        *_PLACE,
        _GENDER,
        _count("ended_visits", "Visits that have ended, with a known length"),
        _number("length_of_stay_hours_sum", "Sum of their lengths"),
        _number("length_of_stay_hours_mean", "Mean length"),
        _number("length_of_stay_hours_median", "Median length"),
        _count("open_visits", "Visits that are open now"),
        _number("current_stay_hours_sum", "Sum of the hours since their first admission"),
        _number("current_stay_hours_mean", "Mean hours since their first admission"),
    ),
    """
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    ended_visits,
    length_of_stay_hours_sum,
    length_of_stay_hours_sum / NULLIF(ended_visits, 0) AS length_of_stay_hours_mean,
    length_of_stay_hours_median,
    open_visits,
    current_stay_hours_sum,
    current_stay_hours_sum / NULLIF(open_visits, 0) AS current_stay_hours_mean
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER ({of_a_cell}) AS hospital_name,
        department,
        gender,
        CAST(SUM(ended_visits) OVER ({of_a_cell}) AS BIGINT) AS ended_visits,
        SUM(ended_hours) OVER ({of_a_cell}) AS length_of_stay_hours_sum,
        MAX(median_hours) OVER ({of_a_cell}) AS length_of_stay_hours_median,
        CAST(SUM(open_visits) OVER ({of_a_cell}) AS BIGINT) AS open_visits,
        SUM(open_hours) OVER ({of_a_cell}) AS current_stay_hours_sum,
        ROW_NUMBER() OVER ({of_a_cell} ORDER BY open_visits) AS place
    FROM (
        SELECT
            date,
            hospital_id,
            hospital_name,
            department,
            gender,
            ended_visits,
            ended_hours,
            median_hours,
            0 AS open_visits,
            CAST(NULL AS FLOAT) AS open_hours
        FROM (
            SELECT
                date,
                hospital_id,
                MAX(hospital_name) OVER ({of_a_cell}) AS hospital_name,
                department,
                gender,
                place,
                COUNT(*) OVER ({of_a_cell}) AS ended_visits,
                SUM(hours) OVER ({of_a_cell}) AS ended_hours,
                {percentile[0.5, hours]} OVER ({of_a_cell}) AS median_hours
            FROM (
                SELECT
                    t.date,
                    d.hospital_id,
                    d.hospital_name,
                    d.department,
                    f.gender,
                    f.visit_length_of_stay_hours AS hours,
                    ROW_NUMBER() OVER (
                        PARTITION BY t.date, d.hospital_id, d.department, f.gender
                        ORDER BY f.visit_length_of_stay_hours
                    ) - 1 AS place,
                    COUNT(*) OVER (PARTITION BY t.date, d.hospital_id, d.department, f.gender) - 1 AS last_place
                FROM {hours_and_stays}
                WHERE f.discharge_time_key = t.time_key
                    AND f.is_visit_end = {true}
                    AND {has_ended}
                    AND f.visit_length_of_stay_hours IS NOT NULL
            ) ranked
        ) ended
        WHERE place = 0
        UNION ALL
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name),
            d.department,
            f.gender,
            0,
            NULL,
            NULL,
            COUNT(*),
            SUM({hours_since[v.admission_at]})
        FROM {open_stays}
        WHERE {is_open} AND t.time_key = {this_hour}
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) ended_and_open
) cells
WHERE place = 1
""",
)

CURRENT_PATIENTS = View(
    "CurrentPatients",
    "Patients in beds now, one row per open stay.",
    (
        _count("stay_key", "Stay"),
        _id("visit_id", "Pseudonym of the visit"),
        *_PLACE,
        _GENDER,
        Column("age_band", pl.String(), "Age group", length=16),
        _id("bed_id", "Bed"),
        _date("Local date of admission to the department"),
        _at("admission_at", "Admission to the department"),
        _at("planned_discharge_at", "Planned end of the stay"),
        _number("stay_hours", "Hours in the department"),
        _number("visit_hours", "Hours since the visit's first admission"),
        _number("expected_los_hours", "Stay beyond which a patient overstays"),
        Column("is_overstay", pl.Boolean(), "True when stay_hours is longer than expected"),
    ),
    """
SELECT
    stay_key,
    visit_id,
    hospital_id,
    hospital_name,
    department,
    gender,
    age_band,
    bed_id,
    date,
    admission_at,
    planned_discharge_at,
    stay_hours,
    visit_hours,
    expected_los_hours,
    {flag[stay_hours > expected_los_hours]} AS is_overstay
FROM (
    SELECT
        f.stay_key,
        f.visit_id,
        d.hospital_id,
        d.hospital_name,
        d.department,
        f.gender,
        p.age_band,
        f.bed_id,
        t.date,
        f.admission_at,
        f.discharge_at AS planned_discharge_at,
        {hours_since[f.admission_at]} AS stay_hours,
        {hours_since[v.admission_at]} AS visit_hours,
        d.expected_los_hours
    FROM {open_stays}
    LEFT JOIN {DimPatient} p ON p.patient_key = f.patient_key
    WHERE {is_open} AND t.time_key = f.admission_time_key
) stays
""",
)

DEPARTMENT_INFLOW = View(
    "DepartmentInflow",
    "Where the patients of a department come from, by local date and gender: admissions, and moves from another "
    "department of the hospital.",
    (
        _date("Local date of the movement"),
        *_PLACE,
        Column("from_department", pl.String(), "Department they came from, or Admission"),
        _GENDER,
        _count("admissions", "Stays that start a visit"),
        _count("transfers_in", "Stays that a move from from_department began"),
        _count("patients", "Both"),
    ),
    """
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END AS from_department,
    f.gender,
    CAST(SUM(CASE WHEN f.from_department_key = 0 THEN 1 ELSE 0 END) AS BIGINT) AS admissions,
    CAST(SUM(CASE WHEN f.from_department_key = 0 THEN 0 ELSE 1 END) AS BIGINT) AS transfers_in,
    CAST(COUNT(*) AS BIGINT) AS patients
FROM {hours_and_stays}
LEFT JOIN {DimDepartment} o ON o.department_key = f.from_department_key
WHERE f.admission_time_key = t.time_key AND (f.is_visit_start = {true} OR f.from_department_key <> 0)
GROUP BY
    t.date,
    d.hospital_id,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END,
    f.gender
""",
)

OVERSTAYS = View(
    "Overstays",
    "Stays that are, or were, longer than their department expects, one row per stay.",
    (
        _date("Local date of the end of the stay; today while it is open"),
        _count("stay_key", "Stay"),
        _id("visit_id", "Pseudonym of the visit"),
        *_PLACE,
        _GENDER,
        _id("bed_id", "Last bed of the stay"),
        _at("admission_at", "Start of the stay"),
        _at("discharge_at", "End of the stay; may be planned; null = open"),
        Column("is_open", pl.Boolean(), "True while the patient is in the bed"),
        _number("stay_hours", "Length of the stay, up to now while it is open"),
        _number("expected_los_hours", "Stay beyond which a patient overstays"),
        _number("hours_over", "stay_hours beyond expected_los_hours"),
    ),
    """
SELECT
    t.date,
    f.stay_key,
    f.visit_id,
    d.hospital_id,
    d.hospital_name,
    d.department,
    f.gender,
    f.bed_id,
    f.admission_at,
    f.discharge_at,
    {flag[1 = 0]} AS is_open,
    f.length_of_stay_hours AS stay_hours,
    d.expected_los_hours,
    f.length_of_stay_hours - d.expected_los_hours AS hours_over
FROM {hours_and_stays}
WHERE f.discharge_time_key = t.time_key AND {has_ended} AND f.length_of_stay_hours > d.expected_los_hours
UNION ALL
SELECT
    t.date,
    f.stay_key,
    f.visit_id,
    d.hospital_id,
    d.hospital_name,
    d.department,
    f.gender,
    f.bed_id,
    f.admission_at,
    f.discharge_at,
    {flag[1 = 1]},
    {hours_since[f.admission_at]},
    d.expected_los_hours,
    {hours_since[f.admission_at]} - d.expected_los_hours
FROM {open_stays}
WHERE {is_open} AND t.time_key = {this_hour} AND {hours_since[f.admission_at]} > d.expected_los_hours
""",
)

BED_TURNOVER = View(
    "BedTurnover",
    "Discharges per staffed bed, by local date and department. For a longer period divide the sum of discharges by "
    "sum of staffed_bed_hours / hours of the period.",
    (
        _date("Local date"),
        *_PLACE,
        _count("discharges", "Visits that ended"),
        _count("staffed_bed_hours", "Sum of staffed beds over the hours of the date; null outside the census"),
        _count("hours", "Hours of the date with known staffed beds"),
        _number("average_staffed_beds", "staffed_bed_hours / hours"),
        _number("bed_turnover", "discharges / average_staffed_beds"),
    ),
    """
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    discharges,
    staffed_bed_hours,
    hours,
    CAST(staffed_bed_hours AS FLOAT) / NULLIF(hours, 0) AS average_staffed_beds,
    CAST(discharges AS FLOAT) * hours / NULLIF(staffed_bed_hours, 0) AS bed_turnover
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department) AS hospital_name,
        department,
        CAST(SUM(discharges) OVER (PARTITION BY date, hospital_id, department) AS BIGINT) AS discharges,
        CAST(SUM(staffed_beds) OVER (PARTITION BY date, hospital_id, department) AS BIGINT) AS staffed_bed_hours,
        CAST(SUM(hours) OVER (PARTITION BY date, hospital_id, department) AS BIGINT) AS hours,
        ROW_NUMBER() OVER (PARTITION BY date, hospital_id, department ORDER BY discharges) AS place
    FROM (
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name) AS hospital_name,
            d.department,
            SUM(d.staffed_beds) AS staffed_beds,
            COUNT(*) AS hours,
            0 AS discharges
        FROM {department_hours}
        WHERE d.staffed_beds IS NOT NULL
        GROUP BY t.date, d.hospital_id, d.department
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, NULL, 0, COUNT(*)
        FROM {hours_and_stays}
        WHERE f.discharge_time_key = t.time_key AND f.is_visit_end = {true} AND {has_ended}
        GROUP BY t.date, d.hospital_id, d.department
    ) beds_and_discharges
) days
WHERE place = 1
""",
)

READMISSIONS = View(
    "Readmissions",
    "Patients discharged alive and admitted again within 0 to 30 days, to any hospital, by local date of the first "
    "discharge, its department and gender.",
    (
        _date("Local date of the first discharge"),
        *_PLACE,
        _GENDER,
        _count("discharges", "Discharges alive whose 30 days have passed"),
        _count("readmissions", "Those of them that an admission of the same patient followed in time"),
        _number("readmission_pct", "readmissions in percent of discharges"),
        _count("discharges_pending", "Discharges alive whose 30 days have not passed: not counted yet"),
    ),
    """
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    discharges,
    readmissions,
    100 * CAST(readmissions AS FLOAT) / NULLIF(discharges, 0) AS readmission_pct,
    discharges_pending
FROM (
    SELECT
        t.date,
        d.hospital_id,
        MAX(d.hospital_name) AS hospital_name,
        d.department,
        f.gender,
        CAST(COUNT(DISTINCT CASE WHEN {readmission_deadline[f.discharge_at]} <= {now} THEN f.stay_key END) AS BIGINT)
            AS discharges,
        CAST(
            COUNT(DISTINCT CASE
                WHEN {readmission_deadline[f.discharge_at]} <= {now} AND n.stay_key IS NOT NULL THEN f.stay_key
            END) AS BIGINT
        ) AS readmissions,
        CAST(COUNT(DISTINCT CASE WHEN {readmission_deadline[f.discharge_at]} > {now} THEN f.stay_key END) AS BIGINT)
            AS discharges_pending
    FROM {hours_and_stays}
    JOIN {DimPatient} p ON p.patient_key = f.patient_key
    LEFT JOIN {DimPatient} a ON a.patient_id = p.patient_id
    LEFT JOIN {FactPatientFlow} n
        ON n.patient_key = a.patient_key
        AND n.is_visit_start = {true}
        AND n.visit_id <> f.visit_id
        AND n.admission_at >= f.discharge_at
        AND n.admission_at <= {readmission_deadline[f.discharge_at]}
    WHERE f.discharge_time_key = t.time_key
        AND f.is_visit_end = {true}
        AND {has_ended}
        AND f.patient_key <> 0
        AND (f.discharge_status IS NULL OR f.discharge_status <> 'deceased')
    GROUP BY t.date, d.hospital_id, d.department, f.gender
) cells
""",
)

DATA_FRESHNESS = View(
    "DataFreshness",
    "How fresh each table is.",
    (
        _id("table_name", "Warehouse table"),
        _count("gold_version", "Delta version of the gold table; null = nothing loaded"),
        _at("loaded_at", "When it was loaded"),
        _at("newest_event_at", "When the hub accepted the newest event that is loaded"),
        _number("lag_seconds", "newest_event_at to loaded_at"),
        _number("age_seconds", "newest_event_at to now"),
        _count("rows_written", "Rows deleted and inserted by the last load"),
        _id("run_id", "Run that loaded it"),
    ),
    """
SELECT
    l.table_name,
    l.gold_version,
    l.loaded_at,
    l.newest_event_at,
    l.lag_seconds,
    {hours_since[l.newest_event_at]} * 3600 AS age_seconds,
    l.rows_written,
    l.run_id
FROM {LoadLog} l
""",
)

VIEWS: tuple[View, ...] = (
    BED_OCCUPANCY_HOURLY,
    BED_OCCUPANCY_BY_GENDER,
    ADMISSIONS_DAILY,
    WAITING_TIMES,
    LENGTH_OF_STAY,
    CURRENT_PATIENTS,
    DEPARTMENT_INFLOW,
    OVERSTAYS,
    BED_TURNOVER,
    READMISSIONS,
    DATA_FRESHNESS,
)
