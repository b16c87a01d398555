"""The warehouse's views: names, descriptions and columns. Their SQL stands in ``stores/warehouse/views``.

Columns that are measures, or parts of them, come from ``contracts.measures``.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.columns import INSTANT, Column
from patient_flow.contracts.measure_types import Part


@dataclass(frozen=True)
class View:
    """One view and its columns in order."""

    name: str
    description: str
    columns: tuple[Column, ...]


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


def _measured(*names: str) -> tuple[Column, ...]:
    """Columns for measures and parts, by name. Raises ``KeyError`` for a name that is neither."""
    return tuple(_quantity(name) for name in names)


def _quantity(name: str) -> Column:
    part = measures.PARTS.get(name)
    if isinstance(part, Part):
        return (_count if part.is_whole else _number)(name, part.description)
    measure = measures.BY_NAME[name]
    is_count = measure.unit == "count" and measure.value is part
    return (_count if is_count else _number)(name, measure.meaning.en)


_PLACE = (
    _id("hospital_id", "Hospital"),
    Column("hospital_name", pl.String(), "Hospital", length=128),
    _id("department", "Department"),
)
_CLASS = Column("class", pl.String(), "Class of the department; null = not stated, read as inpatient", length=16)
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
        _CLASS,
        _count("occupied_beds", "Patients in beds"),
        _count("staffed_beds", "Staffed beds at that hour; null where unknown"),
        _number("occupancy_pct", "occupied_beds in percent of staffed_beds"),
        _count("midnight_occupied_beds", "occupied_beds at local midnight, else null"),
        _count("midnight_staffed_beds", "staffed_beds at local midnight, else null"),
    ),
)

BED_OCCUPANCY_BY_GENDER = View(
    "BedOccupancyByGender",
    "Bed hours by local date, department and gender. The staffed beds are the department's for every gender, so that "
    "the genders' percentages add up to the department's: add staffed_bed_hours up for one gender only.",
    (
        _date("Local date"),
        *_PLACE,
        _CLASS,
        _GENDER,
        _count("occupied_bed_hours", "Sum of the hourly census of this gender"),
        _count("staffed_bed_hours", "Sum of the department's staffed beds over the hours; null where unknown"),
        _number("occupancy_pct", "occupied_bed_hours in percent of staffed_bed_hours"),
        _count("midnight_occupied_beds", "Census of this gender at local midnight"),
        _count("midnight_staffed_beds", "The department's staffed beds at local midnight"),
        _number("midnight_occupancy_pct", "midnight_occupied_beds in percent of midnight_staffed_beds"),
    ),
)

ADMISSIONS_DAILY = View(
    "AdmissionsDaily",
    "Ward movements by local date, department and gender; a planned discharge counts when its time has come. Day cases "
    "stand beside admissions and discharges.",
    (
        _date("Local date of the movement"),
        *_PLACE,
        _GENDER,
        *_measured(
            "admissions",
            "day_cases",
            "transfers_in",
            "discharges",
            "early_discharges",
            "early_discharge_pct",
            "visits",
        ),
    ),
)

WAITING_TIMES = View(
    "WaitingTimes",
    "Waits from arrival to admission, of each visit's first ward stay, by local date of admission, department and "
    "gender.",
    (
        _date("Local date of admission"),
        *_PLACE,
        _GENDER,
        *_measured(
            "waits",
            "wait_minutes_sum",
            "wait_minutes_mean",
            "wait_minutes_p50",
            "wait_minutes_p90",
            "waits_within_240",
            "within_240_pct",
        ),
    ),
)

LENGTH_OF_STAY = View(
    "LengthOfStay",
    "Length of visits that have ended, by local date of discharge and last department; beside it, under today's date, "
    "the visits that are still open and how long they have lasted.",
    (
        _date("Local date of discharge; today for open visits"),
        *_PLACE,
        _GENDER,
        *_measured(
            "ended_visits",
            "length_of_stay_hours_sum",
            "length_of_stay_hours_mean",
            "length_of_stay_hours_median",
            "nights_sum",
            "nights_mean",
            "in_bed_hours_sum",
            "in_bed_hours_mean",
        ),
        _count("open_visits", "Visits that are open now"),
        _number("current_stay_hours_sum", "Sum of the hours since their first admission"),
        _number("current_stay_hours_mean", "Mean hours since their first admission"),
    ),
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
        _at("planned_discharge_at", "Expected discharge"),
        _number("stay_hours", "Hours in the department"),
        _number("visit_hours", "Hours since the visit's first admission"),
        _number("expected_los_hours", "Stay beyond which a patient overstays"),
        Column("is_overstay", pl.Boolean(), "True when stay_hours is longer than expected"),
    ),
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
)

READMISSIONS = View(
    "Readmissions",
    "Patients discharged alive and admitted again within 0 to 30 days, to any hospital, by local date of the first "
    "discharge, its department and gender. A discharge with status transferred starts no 30 days, and an admission "
    "within 24 hours of one continues its spell: it is no readmission.",
    (
        _date("Local date of the first discharge"),
        *_PLACE,
        _GENDER,
        _count("discharges", "Discharges alive whose 30 days have passed"),
        _count("readmissions", "Those of them that an admission of the same patient followed in time"),
        _number("readmission_pct", "readmissions in percent of discharges"),
        _count("emergency_readmissions", "Those readmissions whose admission type is emergency, where it is stated"),
        _count("discharges_pending", "Discharges alive whose 30 days have not passed: not counted yet"),
    ),
)

_OPEN_STAY = (
    _count("stay_key", "Stay"),
    _id("visit_id", "Pseudonym of the visit"),
    *_PLACE,
    _GENDER,
    _id("bed_id", "Bed"),
    _at("admission_at", "Admission to the department"),
)

BEDS_NOW = View(
    "BedsNow",
    "Beds of each department now: staffed, closed, occupied, free. Free beds are negative where more patients than "
    "staffed beds are there.",
    (
        *_PLACE,
        _CLASS,
        _count("beds", "Physical beds"),
        _count("staffed_beds", "Staffed beds"),
        _count("closed_beds", "beds less staffed_beds"),
        _count("occupied_beds", "Patients in beds"),
        _count("free_beds", "staffed_beds less occupied_beds"),
        _count("free_women_beds", "Staffed beds for women less women in beds; null where the list states none"),
        _count("free_men_beds", "Staffed beds for men less men in beds; null where the list states none"),
    ),
)

BEDS_EXPECTED = View(
    "BedsExpected",
    "The newest forecast of departments and of hospitals, all genders: occupied and free beds at each hour ahead. Only "
    "hospitals whose forecasts have been compared with what happened for long enough have rows.",
    (
        _at("made_at", "Instant up to which the forecast knows what happened"),
        _at("target_at", "Hour that is forecast"),
        _count("horizon_hours", "Hours from made_at to target_at"),
        _id("hospital_id", "Hospital"),
        Column("hospital_name", pl.String(), "Hospital", length=128),
        _id("department", "Department; null = the whole hospital"),
        _count("staffed_beds", "Staffed beds at target_at; of a hospital null unless all departments state them"),
        _id("source", "model; after a bad week the better baseline: persistence or week_ago"),
        _number("expected_beds", "Expected occupied beds"),
        _number("p025", "Occupied beds: 1 in 40 is lower"),
        _number("p10", "Occupied beds: 1 in 10 is lower"),
        _number("p50", "Occupied beds: as likely more as fewer"),
        _number("p90", "Occupied beds: 1 in 10 is higher"),
        _number("p975", "Occupied beds: 1 in 40 is higher"),
        _number("free_beds", "staffed_beds less expected_beds; negative where over-full"),
        _number("free_low", "staffed_beds less p90"),
        _number("free_high", "staffed_beds less p10"),
        _number("expected_admissions", "Expected admissions (of a department, with transfers in) until target_at"),
        _number("expected_discharges", "Expected discharges (of a department, with transfers out) until target_at"),
        _number("probability_full", "Probability that staffed beds are reached at some hour up to target_at"),
        _count("judged_days", "Days of the last weeks whose forecast was compared with what happened"),
    ),
)

EMERGENCY_NOW = View(
    "EmergencyNow",
    "Emergency departments with patients now: who is there, and who of them waits for a bed.",
    (
        *_PLACE,
        _count("in_department", "Attendances that have not departed"),
        _count("waiting_for_bed", "Those of them with a decision to admit"),
        _count("boarding_over_240", "Those of them whose decision is more than four hours old"),
        _number("longest_wait_minutes", "Minutes since the oldest of these decisions"),
        _number("longest_stay_minutes", "Minutes since the earliest arrival of those in the department"),
    ),
)

EMERGENCY_TIMES = ("minutes_to_triage", "minutes_to_seen", "minutes_in_department", "boarding_minutes")
EMERGENCY_SHARES = (50, 90, 95)

EMERGENCY_DAILY = View(
    "EmergencyDaily",
    "Attendances of emergency departments by local date of arrival, department and gender. What became of them counts "
    "once they have departed.",
    (
        _date("Local date of arrival"),
        *_PLACE,
        _GENDER,
        *_measured(
            "attendances",
            "ed_departed",
            "ed_within_240",
            "four_hour_pct",
            "ed_over_480",
            "ed_over_720",
            "ed_over_720_pct",
            "ed_left_without_being_seen",
            "left_without_being_seen_pct",
            "ed_admitted",
            "conversion_pct",
            "ed_boarding_over_240",
            *(f"{name}_p{share}" for name in EMERGENCY_TIMES for share in EMERGENCY_SHARES),
        ),
    ),
)

EXPECTED_DISCHARGES = View(
    "ExpectedDischarges",
    "Patients in beds now who are expected to leave today, one row per open stay.",
    (
        _date("Today's local date"),
        *_OPEN_STAY,
        _at("planned_discharge_at", "Expected discharge, today"),
        _at("ready_at", "Medically ready to leave"),
    ),
)

DELAYED_DISCHARGES = View(
    "DelayedDischarges",
    "Patients in beds now whose ready time, else planned discharge, has passed, one row per open stay.",
    (
        *_OPEN_STAY,
        _at("planned_discharge_at", "Expected discharge"),
        _at("ready_at", "Medically ready to leave"),
        _at("due_at", "ready_at, else planned_discharge_at"),
        _number("delay_hours", "due_at to now"),
    ),
)

LONG_STAYS = View(
    "LongStays",
    f"Patients in ward beds now with {measures.LONG_STAY_NIGHTS[0]} nights or more in wards, one row per open stay.",
    (
        *_OPEN_STAY,
        _at("first_admission_at", "Start of the visit's first ward stay"),
        _count("nights", "Local midnights in the visit's ward stays until now"),
        *(
            Column(f"has_{nights}_nights", pl.Boolean(), f"True from {nights} nights on")
            for nights in measures.LONG_STAY_NIGHTS[1:]
        ),
    ),
)

UNCONFIRMED_STAYS = View(
    "UnconfirmedStays",
    "Open stays and attendances that no event confirms any more: they are in no other figure of now.",
    (
        Column("kind", pl.String(), "Kind of the stay, or attendance", length=16),
        _id("visit_id", "Pseudonym of the visit"),
        *_PLACE,
        _GENDER,
        _id("bed_id", "Bed; null for an attendance"),
        _at("began_at", "Start of the stay, or arrival"),
        _at("last_confirmed_at", "Latest instant at which an event confirmed it"),
        _at("confirmed_until", "Until when it was confirmed"),
        _number("unconfirmed_hours", "confirmed_until to now"),
    ),
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
        _at("figures_changed_at", "When its figures became those of other rules (changelog); null = never"),
    ),
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
    BEDS_NOW,
    BEDS_EXPECTED,
    EMERGENCY_NOW,
    EMERGENCY_DAILY,
    EXPECTED_DISCHARGES,
    DELAYED_DISCHARGES,
    LONG_STAYS,
    UNCONFIRMED_STAYS,
    DATA_FRESHNESS,
)
