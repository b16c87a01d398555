"""A small hospital made by hand, as the model's tables hold it: two hospitals, a dozen visits, every edge of a measure.

It is 10 May 2026, 12:30 UTC. There are a department whose beds changed, one whose beds nobody knows, one that stands
empty, planned discharges, waits of exactly 240 minutes, a return after exactly 30 days and one after 31.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    FORECAST_SCORE,
    LAKE_TABLES,
)
from patient_flow.transforms.calendar import dim_time, time_key
from patient_flow.transforms.dimensions import age_band
from patient_flow.transforms.kpis import every_department, kpi_department_day
from patient_flow.transforms.staffing import staffing

c = pl.col

ZONE = "Europe/Paris"
NOW = datetime(2026, 5, 10, 12, 30, tzinfo=UTC)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_OPENED = datetime(2020, 1, 1, tzinfo=UTC)
_MATERNITY_OPENED = datetime(2026, 5, 2, tzinfo=UTC)
_REBUILT = datetime(2026, 5, 6, tzinfo=UTC)

READER = "nurse@hospital.example"


def _department(key: int, hospital: str, name: str, beds: int | None, expected: float | None, **more: Any) -> Any:
    return {
        "department_key": key,
        "hospital_id": hospital,
        "hospital_name": f"Hospital of {hospital}",
        "department": name,
        "staffed_beds": beds,
        "expected_los_hours": expected,
        "is_inferred": beds is None,
        "valid_from": _OPENED,
        "is_current": "valid_to" not in more,
        **more,
    }


DEPARTMENTS = pl.DataFrame(
    [
        _department(0, "Unknown", "Unknown", None, None, valid_from=_LONG_AGO),
        _department(11, "1", "ICU", 10, 48.0, valid_to=_REBUILT) | {"class": "critical_care"},
        _department(12, "1", "ICU", 12, 48.0, valid_from=_REBUILT) | {"class": "critical_care"},
        _department(13, "1", "Surgery", 20, 96.0),
        _department(14, "1", "Maternity", 5, 60.0, valid_from=_MATERNITY_OPENED) | {"class": "maternity"},
        _department(15, "1", "Emergency", 6, 6.0) | {"class": "emergency"},
        _department(16, "1", "Neonatal", 4, 90.0) | {"class": "newborn"},
        _department(17, "1", "Day surgery", 3, 9.0) | {"class": "day_case"},
        _department(21, "2", "ICU", 8, 48.0) | {"class": "critical_care"},
        _department(31, "2", "Annex", None, None, valid_from=_LONG_AGO),
    ],
    schema=DIM_DEPARTMENT.schema,
)

PATIENTS = pl.DataFrame(
    [
        (0, "Unknown", "Unknown", None),
        (101, "ada", "Female", 39),
        (102, "ada", "Female", 40),
        (103, "ben", "Male", 70),
        (104, "cleo", "Other", 4),
        (105, "dora", "Female", 85),
        (106, "emil", "Male", 17),
        (107, "fay", "Female", 28),
    ],
    schema={name: DIM_PATIENT.schema[name] for name in ("patient_key", "patient_id", "gender", "age")},
    orient="row",
).with_columns(
    age_band=age_band(c("age")),
    valid_from=pl.lit(_LONG_AGO),
    valid_to=pl.lit(None, DIM_PATIENT.schema["valid_to"]),
    is_current=c("patient_key") != 101,
)


def _at(month: int, day: int, clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def _stay(visit: str, patient: int, department: int, begun: datetime, ended: datetime | None, **more: Any) -> Any:
    """A visit's only stay, unless ``more`` says otherwise."""
    return {
        "visit_id": visit,
        "patient_key": patient,
        "department_key": department,
        "admission_at": begun,
        "discharge_at": ended,
        "first_admission_at": begun,
        "from_department_key": 0,
        "is_visit_start": True,
        "is_visit_end": ended is not None,
        "is_transfer": False,
        "is_day_case": False,
        "is_observation": False,
        "stay_kind": "ward",
        "admission_type": "elective",
        **more,
    }


def _moved_on(**more: Any) -> dict[str, Any]:
    """The stay of a visit that went on elsewhere."""
    return {"is_visit_end": False, **more}


def _moved_in(origin: int, first: datetime) -> dict[str, Any]:
    """The stay of a visit that began elsewhere."""
    return {"from_department_key": origin, "is_visit_start": False, "is_transfer": True, "first_admission_at": first}


def _leaving(planned: datetime, **more: Any) -> dict[str, Any]:
    """The stay of somebody who is expected to leave."""
    return {"planned_discharge_at": planned, **more}


_EMERGENCY = {"is_visit_start": False, "is_visit_end": False, "stay_kind": "emergency"}
_MORE_STAYS = [
    # A long stay from the emergency department; one planned for today's first instant and one for tomorrow's.
    _stay("g1", 106, 15, _at(4, 12, "18:00"), _at(4, 12, "21:59"), **_EMERGENCY),
    _stay("g1", 106, 13, _at(4, 12, "21:59"), None, wait_minutes=250.0, from_department_key=15),
    _stay(
        "g2", 104, 21, _at(4, 26, "22:00"), None, planned_discharge_at=_at(5, 9, "22:00"), ready_at=_at(5, 9, "9:00")
    ),
    _stay("g3", 101, 12, _at(5, 3, "21:59"), None, planned_discharge_at=_at(5, 10, "10:00"), confirmed_until=NOW),
    # Nobody confirms this one any more; a day case, and one that stays observation.
    _stay("h1", 103, 12, _at(5, 1, "08:00"), None, confirmed_until=_at(5, 4, "08:00")),
    _stay("h2", 107, 17, _at(5, 4, "07:00"), _at(5, 4, "15:00"), is_day_case=True, discharge_status="home"),
    _stay("h3", 107, 13, _at(5, 5, "07:00"), _at(5, 5, "19:00"), is_observation=True),
    _stay("h4", 105, 16, _at(5, 9, "07:00"), _at(5, 10, "07:00"), discharge_status="home"),
    _stay("h5", 105, 15, _at(5, 10, "08:00"), None, **_EMERGENCY),
    # Emil's April again: home, and in by ambulance after a week; from there to the other hospital, which is one spell.
    _stay("i1", 107, 13, _at(4, 6, "07:00"), _at(4, 8, "14:59"), discharge_status="home"),
    _stay("i2", 107, 11, _at(4, 7, "07:00"), _at(4, 9, "15:00"), discharge_status="transferred"),
    _stay("i3", 107, 21, _at(4, 10, "09:00"), _at(4, 10, "10:00"), discharge_status="home", admission_type="emergency"),
    _stay("i4", 103, 21, _at(4, 2, "09:00"), _at(4, 3, "10:00"), discharge_status="home"),
    _stay("i5", 103, 11, _at(4, 9, "09:00"), _at(4, 9, "11:00"), admission_type="emergency"),
]

_STAYS = [
    # Ada: a stay, a return within 30 days to the other hospital, and there she lies still, after a move.
    _stay("a1", 101, 11, _at(3, 18, "08:20"), _at(3, 21, "10:00"), wait_minutes=35.0, discharge_status="home"),
    _stay("a2", 102, 21, _at(4, 15, "22:10"), _at(4, 17, "09:00"), wait_minutes=240.0),
    _stay("a3", 102, 13, _at(5, 6, "09:00"), _at(5, 8, "10:00"), wait_minutes=12.5, **_moved_on()),
    _stay("a3", 102, 12, _at(5, 8, "10:00"), None, **_moved_in(13, _at(5, 6, "09:00"))),
    # Ben dies; Emil dies too, in another department, and a return of somebody else must not count for them.
    _stay("b1", 103, 21, _at(3, 20, "00:00"), _at(3, 25, "00:00"), wait_minutes=300.0, discharge_status="deceased"),
    _stay("e1", 106, 13, _at(4, 2, "07:00"), _at(4, 9, "07:30"), wait_minutes=90.0, discharge_status="deceased"),
    # Cleo comes back after exactly 30 days and leaves as planned, later today.
    _stay("c1", 104, 13, _at(4, 10, "06:00"), _at(4, 10, "12:30"), wait_minutes=60.0, discharge_status="home"),
    _stay("c2", 104, 12, _at(5, 10, "12:30"), _at(5, 10, "18:00"), wait_minutes=241.0),
    # Dora comes back after 31 days, and once more; her last discharge is too young to be judged.
    _stay("d1", 105, 11, _at(3, 25, "12:00"), _at(3, 28, "12:00"), wait_minutes=15.0, discharge_status="home"),
    _stay("d2", 105, 11, _at(4, 28, "12:00"), _at(4, 29, "03:00"), wait_minutes=120.0, **_moved_on()),
    _stay("d2", 105, 13, _at(4, 29, "03:00"), _at(4, 29, "23:30"), **_moved_in(11, _at(4, 28, "12:00"))),
    # Fay: a move within the ICUs' April, a return in time, and an overlong stay that is still open.
    _stay("f1", 107, 13, _at(4, 1, "10:00"), _at(4, 2, "10:00"), wait_minutes=45.0, **_moved_on()),
    _stay("f1", 107, 11, _at(4, 2, "10:00"), _at(4, 5, "11:15"), **_moved_in(13, _at(4, 1, "10:00"))),
    _stay("f2", 107, 21, _at(5, 7, "23:30"), None, wait_minutes=5.0, planned_discharge_at=_at(5, 10, "22:00")),
    # Somebody unknown in a department nobody listed, without arrival; and one who leaves tomorrow.
    _stay("u1", 0, 31, _at(4, 20, "05:00"), _at(4, 22, "05:00")),
    _stay("b9", 0, 13, _at(5, 9, "10:00"), _at(5, 11, "10:00"), wait_minutes=20.0),
    *_MORE_STAYS,
]

_hours_between = (c("discharge_at") - c("admission_at")).dt.total_seconds() / 3600
_visit_hours = (c("discharge_at") - c("first_admission_at")).dt.total_seconds() / 3600


def _local_date(moment: str) -> pl.Expr:
    return c(moment).dt.convert_time_zone(ZONE).dt.date()


def _stays() -> pl.DataFrame:
    raw = pl.DataFrame(_STAYS, infer_schema_length=None)
    wait = pl.duration(seconds=c("wait_minutes") * 60)
    return (
        raw.with_columns(c("admission_at", "discharge_at", "first_admission_at").cast(pl.Datetime("us", "UTC")))
        .join(PATIENTS.select("patient_key", "gender"), on="patient_key", how="left", maintain_order="left")
        .with_columns(
            stay_key=pl.int_range(pl.len()) + 1_000,
            stay_number=pl.int_range(pl.len()).over("visit_id") + 1,
            arrival_at=c("admission_at") - wait,
            wait_source=pl.lit("derived"),
            length_of_stay_hours=_hours_between,
            visit_length_of_stay_hours=pl.when("is_visit_end").then(_visit_hours),
            bed_id=pl.lit("7"),
            quality_flags=pl.lit([], pl.List(pl.String)),
            last_enqueued_at=pl.lit(NOW),
            last_confirmed_at=pl.lit(NOW),
            visit_class=pl.lit("inpatient"),
            in_bed_hours=pl.when("is_visit_end").then(_visit_hours),
            nights=pl.when("is_visit_end")
            .then(_local_date("discharge_at") - _local_date("first_admission_at"))
            .dt.total_days(),
        )
        .with_columns(c("planned_discharge_at", "ready_at", "confirmed_until").cast(pl.Datetime("us", "UTC")))
        .with_columns(
            time_key(c(f"{moment}_at")).alias(f"{moment}_time_key") for moment in ("arrival", "admission", "discharge")
        )
    )


STAYS = _stays()
"""FactPatientFlow, and ``first_admission_at`` of each stay's visit."""


def _attended(
    key: int, patient: int, arrival: datetime, departure: datetime | None, outcome: str | None, **more: Any
) -> Any:
    return {
        "attendance_key": key,
        "visit_id": f"e{key}",
        "patient_key": patient,
        "department_key": 15,
        "arrival_at": arrival,
        "departure_at": departure,
        "outcome": outcome,
        **more,
    }


_ATTENDED = [
    _attended(
        1,
        106,
        _at(4, 12, "17:30"),
        _at(4, 12, "21:59"),
        "admitted",
        triage_at=_at(4, 12, "17:40"),
        seen_at=_at(4, 12, "18:00"),
        decision_at=_at(4, 12, "19:00"),
    ),
    _attended(2, 101, _at(4, 13, "08:00"), _at(4, 13, "12:00"), "discharged", triage_at=_at(4, 13, "08:05")),
    _attended(3, 103, _at(4, 14, "23:00"), _at(4, 15, "04:00"), "left_without_being_seen"),
    _attended(
        4,
        104,
        _at(5, 3, "10:00"),
        _at(5, 3, "23:30"),
        "admitted",
        triage_at=_at(5, 3, "10:30"),
        seen_at=_at(5, 3, "12:00"),
        decision_at=_at(5, 3, "13:00"),
    ),
    _attended(
        5,
        107,
        _at(5, 9, "22:30"),
        _at(5, 10, "01:00"),
        "discharged",
        triage_at=_at(5, 9, "22:50"),
        seen_at=_at(5, 9, "23:59"),
    ),
    # There now: one waits for a bed, one leaves as planned, one has just come; nobody confirms the fourth.
    _attended(
        6, 105, _at(5, 10, "07:30"), None, None, decision_at=_at(5, 10, "09:00"), confirmed_until=_at(5, 12, "7:30")
    ),
    _attended(7, 102, _at(5, 10, "09:30"), _at(5, 10, "13:30"), "discharged", seen_at=_at(5, 10, "10:30")),
    _attended(8, 0, _at(5, 10, "12:00"), None, None, decision_at=_at(5, 10, "12:20")),
    _attended(9, 0, _at(5, 1, "12:00"), None, None, confirmed_until=_at(5, 3, "12:00"), triage_at=_at(5, 1, "12:01")),
]


def _attendances() -> pl.DataFrame:
    moments = ("arrival_at", "triage_at", "seen_at", "decision_at", "departure_at", "confirmed_until")
    raw = pl.DataFrame(_ATTENDED, infer_schema_length=None).with_columns(c(moments).cast(pl.Datetime("us", "UTC")))

    def minutes(first: str, last: str) -> pl.Expr:
        return (c(last) - c(first)).dt.total_seconds() / 60

    return raw.join(
        PATIENTS.select("patient_key", "gender"), on="patient_key", how="left", maintain_order="left"
    ).with_columns(
        arrival_time_key=time_key(c("arrival_at")),
        departure_time_key=time_key(c("departure_at")),
        minutes_to_triage=minutes("arrival_at", "triage_at"),
        minutes_to_seen=minutes("arrival_at", "seen_at"),
        minutes_in_department=minutes("arrival_at", "departure_at"),
        boarding_minutes=pl.when(c("outcome") == "admitted").then(minutes("decision_at", "departure_at")),
        quality_flags=pl.lit([], pl.List(pl.String)),
        last_confirmed_at=pl.lit(NOW),
        last_enqueued_at=pl.lit(NOW),
    )


ATTENDANCES = _attendances()
"""FactEdAttendance."""

_FIRST_HOUR, _LAST_HOUR = _at(4, 28, "12:00"), _at(5, 10, "12:00")


def _census() -> pl.DataFrame:
    hours = pl.DataFrame({"hour_at": pl.datetime_range(_FIRST_HOUR, _LAST_HOUR, "1h", time_unit="us", eager=True)})
    lying = hours.join(STAYS, how="cross").filter(
        c("admission_at") <= c("hour_at"),
        c("discharge_at").is_null() | (c("discharge_at") > c("hour_at")),
        c("confirmed_until").is_null() | (c("confirmed_until") > c("hour_at")),
    )
    place = ["hospital_id", "department"]
    return (
        lying.join(DEPARTMENTS.select("department_key", *place), on="department_key")
        .drop("department_key")
        .join(DEPARTMENTS.select("department_key", *place, "valid_from", "valid_to"), on=place)
        .filter(c("hour_at") >= c("valid_from"), c("valid_to").is_null() | (c("hour_at") < c("valid_to")))
        .group_by("hour_at", "department_key", "gender")
        .agg(occupied_beds=pl.len().cast(pl.Int64))
        .with_columns(time_key=time_key(c("hour_at")))
        .sort("time_key", "department_key", "gender")
    )


CENSUS = _census()
"""FactBedCensus, and ``hour_at``."""

HOURS = (
    dim_time([], ZONE)
    .filter(c("date").is_null() | c("date").is_between(datetime(2026, 3, 1).date(), datetime(2026, 5, 31).date()))  # noqa: DTZ001
    .sort("time_key")
)

DAILY = kpi_department_day(
    STAYS,
    ATTENDANCES,
    CENSUS.drop("hour_at"),
    DEPARTMENTS,
    wanted=every_department(HOURS["date"].drop_nulls().unique(), DEPARTMENTS),
    staffed=staffing(CENSUS.drop("hour_at"), DEPARTMENTS, ZONE),
    until=_LAST_HOUR,
    zone=ZONE,
)

QUALITY = pl.DataFrame(
    [
        (_at(4, 15, "00:00").date(), "1", "all", 40, 0, 3, 0),
        (_at(4, 15, "00:00").date(), "1", "age_is_out_of_range", 0, 5, 0, 0),
        (_at(4, 15, "00:00").date(), "1", "patient_is_missing", 0, 0, 3, 0),
        (_at(5, 9, "00:00").date(), "2", "all", 60, 0, 1, 0),
        (_at(5, 9, "00:00").date(), "2", "discharge_precedes_admission", 0, 0, 1, 0),
        (_at(5, 9, "00:00").date(), "2", "gender_is_unknown", 0, 2, 0, 0),
    ],
    schema=DATA_QUALITY_DAY.schema,
    orient="row",
)

FRESHNESS = pl.DataFrame(
    {
        "table_name": ["FactPatientFlow", "DimPatient"],
        "gold_version": [17, 9],
        "loaded_at": [NOW - timedelta(minutes=4), NOW - timedelta(minutes=3)],
        "newest_event_at": [NOW - timedelta(minutes=5), NOW - timedelta(minutes=9)],
        "lag_seconds": [60.0, 360.0],
        "rows_written": [120, 7],
        "run_id": ["r", "r"],
        "figures_changed_at": [NOW - timedelta(days=60), None],
    }
)

EXPECTED = pl.DataFrame(
    [
        {"department": None, "expected_beds": 30.5, "p10": 27.0, "p90": 34.0, "p025": 25.0, "p975": 36.0}
        | {"staffed_beds": 33, "free_beds": 2.5, "free_low": -1.0, "free_high": 6.0, "probability_full": 0.2},
        {"department": "ICU", "expected_beds": 9.5, "p10": 8.0, "p90": 11.0, "p025": 7.0, "p975": 12.0}
        | {"staffed_beds": 12, "free_beds": 2.5, "free_low": 1.0, "free_high": 4.0, "probability_full": 0.1},
    ]
).with_columns(
    made_at=pl.lit(NOW), target_at=pl.lit(NOW + timedelta(hours=12)), horizon_hours=12, hospital_id=pl.lit("1"),
    p50=c("expected_beds"), expected_admissions=3.0, expected_discharges=2.0, judged_days=30,
    source=pl.lit("model"),
)  # fmt: skip
"""BedsExpected: hospital 1 at one hour."""

SCORES = pl.DataFrame(
    [
        {"department_key": key, "absolute_error": error, "persistence_absolute_error": error + 1.0}
        | {"week_ago_absolute_error": error + 2.0, "covered_80": covered}
        for key, error, covered in ((0, 9.0, 0.0), (12, 1.0, 0.75), (13, 2.0, 1.0))
    ]
).with_columns(hospital_id=pl.lit("1"), date=pl.lit(NOW.date()), target_at=pl.lit(NOW))
"""ForecastScore, with a row of the whole hospital, which is not among its departments."""

SCOPES = pl.DataFrame(
    {
        "principal_name": [READER, "director@hospital.example", "head@hospital.example"],
        "hospital_id": ["1", None, "1"],
        "department": ["ICU", None, None],
    }
)


def model_rows() -> dict[str, pl.DataFrame]:
    """Rows of every table of the model, under its name there, with at least the columns that the model has."""
    return {
        "DimDate": HOURS.drop_nulls("date")
        .select("date", "day_name", "is_weekend", "week", "month", "month_name", "quarter", "year")
        .unique(maintain_order=True),
        "DimTime": HOURS,
        "DimHospital": DEPARTMENTS.select("hospital_id", "hospital_name").unique(maintain_order=True),
        "DimDepartment": DEPARTMENTS,
        "DimOrigin": DEPARTMENTS.select("department_key", "department"),
        "DimGender": PATIENTS.select("gender").unique(maintain_order=True),
        "DimPatient": PATIENTS,
        "FactPatientFlow": STAYS.select(column.name for column in FACT_PATIENT_FLOW.warehouse_columns).with_columns(
            c("quality_flags").list.join(",")
        ),
        "FactEdAttendance": ATTENDANCES.select(
            column.name for column in FACT_ED_ATTENDANCE.warehouse_columns
        ).with_columns(c("quality_flags").list.join(",")),
        "FactBedCensus": CENSUS.drop("hour_at"),
        "KpiDepartmentDay": DAILY,
        "DataQualityDay": QUALITY,
        **{table.warehouse_name: table.empty() for table in LAKE_TABLES if table.is_forecast},
        FORECAST_SCORE.warehouse_name: pl.concat([FORECAST_SCORE.empty(), SCORES], how="diagonal_relaxed"),
        "BedsExpected": EXPECTED,
        "DataFreshness": FRESHNESS,
        "ReaderScope": SCOPES,
    }
