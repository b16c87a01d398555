"""Gold tables made by hand: a small hospital whose stays are known one by one, so that figures can be counted again.

Nothing here uses the pipeline's transforms, except for the calendar: what the views say is checked against loops.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    DIM_TIME,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    KPI_DEPARTMENT_DAY,
    LAKE_TABLES,
    Table,
)
from patient_flow.stores.warehouse.warehouse import Batch
from patient_flow.transforms.calendar import dim_time, hour_start

ZONE = "Europe/Paris"
FORECASTS = tuple(table for table in LAKE_TABLES if table.is_forecast)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Version:
    """One version of a department."""

    key: int
    hospital: str
    department: str
    beds: int | None
    expected_hours: float | None
    valid_from: datetime = BEGINNING
    valid_to: datetime | None = None
    kind: str | None = None
    physical_beds: int | None = None
    women_beds: int | None = None
    men_beds: int | None = None

    def is_valid_at(self, instant: datetime) -> bool:
        return self.valid_from <= instant and (self.valid_to is None or instant < self.valid_to)


@dataclass(frozen=True)
class Stay:
    """One stay, as a nurse would tell it."""

    key: int
    visit: str
    number: int
    patient: int
    gender: str
    version: Version
    origin: Version | None
    admission: datetime
    discharge: datetime | None
    visit_admission: datetime
    is_end: bool
    wait: float | None = None
    status: str | None = None
    is_day_case: bool = False
    is_emergency: bool = False
    planned: datetime | None = None
    ready: datetime | None = None
    confirmed_until: datetime | None = None

    @property
    def is_start(self) -> bool:
        return self.number == 1

    @property
    def nights(self) -> int | None:
        """Local midnights of the visit until the end of this stay; its stays adjoin."""
        return None if self.discharge is None else nights_between(self.visit_admission, self.discharge)

    def hours_until(self, until: datetime) -> float:
        return (until - self.admission).total_seconds() / 3600


@dataclass(frozen=True)
class Attendance:
    """One attendance of an emergency department."""

    key: int
    patient: int
    gender: str
    version: Version
    arrival: datetime
    triage: datetime | None = None
    seen: datetime | None = None
    decision: datetime | None = None
    departure: datetime | None = None
    outcome: str | None = None
    confirmed_until: datetime | None = None


def minutes_between(first: datetime, last: datetime | None) -> float | None:
    return None if last is None else (last - first) / timedelta(minutes=1)


def nights_between(first: datetime, last: datetime) -> int:
    return (last.astimezone(ZoneInfo(ZONE)).date() - first.astimezone(ZoneInfo(ZONE)).date()).days


@dataclass
class Hospital:
    """Departments, stays, and the gold tables that they make."""

    first: datetime
    last: datetime
    versions: list[Version]
    stays: list[Stay] = field(default_factory=list)
    zone: str = ZONE
    attendances: list[Attendance] = field(default_factory=list)

    def frames(self) -> dict[str, pl.DataFrame]:
        """Gold tables by path."""
        return {
            **{table.path: self._forecasts(table) for table in FORECASTS},
            DIM_TIME.path: self._hours(),
            DIM_DEPARTMENT.path: self._departments(),
            DIM_PATIENT.path: self._patients(),
            FACT_PATIENT_FLOW.path: pl.DataFrame([_fact(stay) for stay in self.stays], schema=FACT_PATIENT_FLOW.schema),
            FACT_ED_ATTENDANCE.path: pl.DataFrame(
                [_attendance(each) for each in self.attendances], schema=FACT_ED_ATTENDANCE.schema
            ),
            FACT_BED_CENSUS.path: self._census_rows(),
            KPI_DEPARTMENT_DAY.path: KPI_DEPARTMENT_DAY.empty(),
            DATA_QUALITY_DAY.path: pl.DataFrame(
                [[self.first.date(), "H1", "all", len(self.stays), 0, 0, 0]],
                schema=DATA_QUALITY_DAY.schema,
                orient="row",
            ),
        }

    def _forecasts(self, table: Table) -> pl.DataFrame:
        """One row of a forecast per department version."""
        key = table.key[0]
        values = {"hospital_id": [v.hospital for v in self.versions], "department_key": [v.key for v in self.versions]}
        values |= (
            {"date": [self.first.date()] * len(self.versions)} if key == "date" else {key: values["department_key"]}
        )
        fill: dict[Any, Any] = {pl.Float64: 1.5, pl.Int64: 1, pl.String: "1h", pl.Boolean: True}
        rows = pl.DataFrame(values)
        made = rows.with_columns(
            pl.lit(fill.get(type(dtype) if not isinstance(dtype, type) else dtype, self.first)).alias(name)
            for name, dtype in table.schema.items()
            if name not in values
        )
        return made.select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())

    def census(self) -> Counter[tuple[datetime, Version, str]]:
        """Patients in beds at each full hour, counted one by one."""
        beds: Counter[tuple[datetime, Version, str]] = Counter()
        for stay in self.stays:
            hour = stay.admission.replace(minute=0, second=0, microsecond=0)
            hour += HOUR if hour < stay.admission else timedelta(0)
            while hour <= self.last and (stay.discharge is None or hour < stay.discharge):
                beds[hour, self.version_at(stay.version, hour), stay.gender] += 1
                hour += HOUR
        return beds

    def version_at(self, version: Version, hour: datetime) -> Version:
        place = (version.hospital, version.department)
        return next(v for v in self.versions if (v.hospital, v.department) == place and v.is_valid_at(hour))

    def _hours(self) -> pl.DataFrame:
        wanted = pl.col("hour_start_at").is_between(self.first - timedelta(days=40), self.last + timedelta(days=40))
        years = range(self.first.year, self.last.year + 1)
        return dim_time(years, self.zone).filter((pl.col("time_key") == 0) | wanted)

    def _departments(self) -> pl.DataFrame:
        unknown = Version(0, "Unknown", "Unknown", None, None)
        return pl.DataFrame(
            [
                {
                    "department_key": v.key,
                    "hospital_id": v.hospital,
                    "hospital_name": f"Hospital {v.hospital}",
                    "department": v.department,
                    "class": v.kind,
                    "beds": v.physical_beds,
                    "women_beds": v.women_beds,
                    "men_beds": v.men_beds,
                    "staffed_beds": v.beds,
                    "expected_los_hours": v.expected_hours,
                    "is_inferred": v.beds is None,
                    "valid_from": v.valid_from,
                    "valid_to": v.valid_to,
                    "is_current": v.valid_to is None,
                }
                for v in [unknown, *self.versions]
            ],
            schema=DIM_DEPARTMENT.schema,
        )

    def _patients(self) -> pl.DataFrame:
        known = {stay.patient: stay.gender for stay in self.stays}
        return pl.DataFrame(
            [
                {
                    "patient_key": key,
                    "patient_id": patient_id(key),
                    "gender": gender,
                    "age": key % 90,
                    "age_band": "40-64",
                    "valid_from": BEGINNING,
                    "is_current": True,
                }
                for key, gender in {0: "Unknown", **known}.items()
            ],
            schema=DIM_PATIENT.schema,
        )

    def _census_rows(self) -> pl.DataFrame:
        return pl.DataFrame(
            [
                {
                    "time_key": time_key(hour),
                    "department_key": version.key,
                    "gender": gender,
                    "occupied_beds": beds,
                    "census_month": f"{hour:%Y-%m}",
                }
                for (hour, version, gender), beds in self.census().items()
            ],
            schema=FACT_BED_CENSUS.schema,
        )


def hospital(first: datetime, last: datetime, *, visits: int = 150, patients: int = 40, seed: int = 7) -> Hospital:
    """A hospital with ``visits`` visits between two full hours, some moving, some open, some planned to end."""
    chance = random.Random(seed)
    change = first + (last - first) / 2
    change = change.replace(minute=0, second=0, microsecond=0)
    versions = [
        Version(11, "H1", "Emergency", 6, 8.0, kind="emergency"),
        Version(12, "H1", "Surgery", 10, 72.0, valid_to=change),
        Version(13, "H1", "Surgery", 14, 48.0, change, kind="inpatient", physical_beds=16, women_beds=8, men_beds=6),
        Version(21, "H2", "ICU", 4, 96.0),
        Version(22, "H2", "Annex", None, None),
    ]
    made = Hospital(first, last, versions)
    for visit in range(visits):
        made.stays += _visit(made, chance, visit, chance.randrange(1, patients))
    more = random.Random(seed + 1)
    made.stays = [
        stay
        for _, stays in groupby(made.stays, key=lambda stay: stay.visit)
        for stay in _with_plans(more, list(stays), last)
    ]
    made.attendances = [_attended(made, more, number, patients) for number in range(visits)]
    return made


def _with_plans(chance: random.Random, stays: list[Stay], last: datetime) -> list[Stay]:
    """A visit with what its events state beside its movements."""
    is_day_case, is_emergency = chance.random() < 0.1, chance.random() < 0.5
    plan = {}
    if chance.random() < 0.6:
        plan["planned"] = last + timedelta(hours=chance.uniform(-40, 40))
    if chance.random() < 0.3:
        plan["ready"] = last - timedelta(hours=chance.uniform(1, 40))
    if stays[-1].discharge is None:
        plan["confirmed_until"] = last + timedelta(days=chance.choice([-20, 5000, 5000]))
    made = [replace(stay, is_day_case=is_day_case, is_emergency=is_emergency) for stay in stays]
    return [*made[:-1], replace(made[-1], **plan)]


def _attended(made: Hospital, chance: random.Random, number: int, patients: int) -> Attendance:
    minutes = int((made.last - made.first).total_seconds() // 60)
    # Some of the newest are still there.
    ago = chance.randrange(60, minutes) if number % 4 else chance.randrange(10, 900)
    arrival = made.last - timedelta(minutes=ago, microseconds=chance.randrange(10**6))
    triage = arrival + timedelta(minutes=chance.random() * 60)
    outcome = chance.choice(["admitted", "admitted", "discharged", "left_without_being_seen", "transferred"])
    seen = None if outcome == "left_without_being_seen" else triage + timedelta(minutes=chance.random() * 90)
    decision = seen + timedelta(minutes=chance.random() * 60) if seen and outcome == "admitted" else None
    length = timedelta(minutes=chance.choice([240, chance.randrange(241, 1200), chance.randrange(200, 300)]))
    departure = arrival + length
    is_there = departure > made.last
    patient = chance.randrange(1, patients)
    return Attendance(
        number + 1,
        patient,
        ("Female", "Male", "Other")[patient % 3],
        made.versions[0] if chance.random() < 0.9 else made.versions[-1],
        arrival,
        triage if chance.random() < 0.9 else None,
        seen,
        decision,
        None if is_there else departure,
        None if is_there else outcome,
        made.last + timedelta(days=chance.choice([-20, 5000, 5000, 5000])) if is_there else None,
    )


def _visit(made: Hospital, chance: random.Random, visit: int, patient: int) -> list[Stay]:
    places = [v for v in made.versions if v.valid_to is None]
    minutes = int((made.last - made.first).total_seconds() // 60) - 120
    began = admission = made.first + timedelta(minutes=chance.randrange(minutes), microseconds=chance.randrange(10**6))
    stays: list[Stay] = []
    moves = chance.choice([0, 0, 0, 1, 2])
    origin: Version | None = None
    for number in range(1, moves + 2):
        is_last = number == moves + 1
        place = chance.choice([v for v in places if origin is None or v.hospital == origin.hospital])
        version = made.version_at(place, admission)
        length = timedelta(hours=chance.expovariate(1 / 40), minutes=1)
        discharge: datetime | None = admission + length
        if is_last and chance.random() < 0.1:
            discharge = None
        if not is_last and discharge and discharge > made.last - HOUR:
            is_last, discharge = True, None
        stays.append(
            Stay(
                key=(visit + 1) * 1_000_003 + number,
                visit=f"v{visit:05}",
                number=number,
                patient=patient,
                gender=("Female", "Male", "Other")[patient % 3],
                version=version,
                origin=origin,
                admission=admission,
                discharge=discharge,
                visit_admission=began,
                is_end=is_last and discharge is not None,
                wait=chance.choice([None, 240.0, float(chance.randrange(600)), chance.random() * 300])
                if number == 1
                else None,
                status=chance.choice(["home", "deceased", "transferred", None]) if is_last and discharge else None,
            )
        )
        if is_last or discharge is None:
            break
        origin, admission = version, discharge
    return stays


def _fact(stay: Stay) -> dict[str, object]:
    length = None if stay.discharge is None else stay.hours_until(stay.discharge)
    visit_length = (stay.discharge - stay.visit_admission).total_seconds() / 3600 if stay.discharge else None
    return {
        "stay_key": stay.key,
        "visit_id": stay.visit,
        "stay_number": stay.number,
        "patient_key": stay.patient,
        "department_key": stay.version.key,
        "from_department_key": stay.origin.key if stay.origin else 0,
        "gender": stay.gender,
        "arrival_time_key": 0,
        "admission_time_key": time_key(stay.admission),
        "discharge_time_key": time_key(stay.discharge) if stay.discharge else 0,
        "arrival_at": None,
        "admission_at": stay.admission,
        "discharge_at": stay.discharge,
        "wait_minutes": stay.wait,
        "wait_source": None if stay.wait is None else "reported",
        "length_of_stay_hours": length,
        "visit_length_of_stay_hours": visit_length if stay.is_end else None,
        "is_visit_start": stay.is_start,
        "is_visit_end": stay.is_end,
        "is_transfer": stay.origin is not None,
        "is_day_case": stay.is_day_case,
        "is_observation": False,
        "stay_kind": "ward",
        "admission_type": "emergency" if stay.is_emergency else "elective",
        "planned_discharge_at": stay.planned,
        "ready_at": stay.ready,
        "in_bed_hours": visit_length if stay.is_end else None,
        "nights": stay.nights if stay.is_end else None,
        "last_confirmed_at": stay.admission,
        "confirmed_until": stay.confirmed_until,
        "bed_id": str(stay.key % 500),
        "discharge_status": stay.status,
        "quality_flags": ["age_out_of_range", "gender_unknown"] if stay.key % 5 == 0 else [],
        "last_enqueued_at": stay.admission,
        "visit_hash": stay.key,
        "admission_month": f"{stay.admission:%Y-%m}",
    }


def _attendance(attended: Attendance) -> dict[str, object]:
    is_boarder = attended.outcome == "admitted" and attended.decision is not None
    return {
        "attendance_key": attended.key,
        "visit_id": f"a{attended.key:05}",
        "patient_key": attended.patient,
        "department_key": attended.version.key,
        "gender": attended.gender,
        "arrival_time_key": time_key(attended.arrival),
        "departure_time_key": time_key(attended.departure) if attended.departure else 0,
        "arrival_at": attended.arrival,
        "triage_at": attended.triage,
        "seen_at": attended.seen,
        "decision_at": attended.decision,
        "departure_at": attended.departure,
        "outcome": attended.outcome,
        "minutes_to_triage": minutes_between(attended.arrival, attended.triage),
        "minutes_to_seen": minutes_between(attended.arrival, attended.seen),
        "minutes_in_department": minutes_between(attended.arrival, attended.departure),
        "boarding_minutes": minutes_between(attended.decision, attended.departure)
        if is_boarder and attended.decision
        else None,
        "quality_flags": [],
        "last_confirmed_at": attended.arrival,
        "confirmed_until": attended.confirmed_until,
        "last_enqueued_at": attended.arrival,
        "visit_hash": attended.key,
        "arrival_month": f"{attended.arrival:%Y-%m}",
    }


def time_key(instant: datetime) -> int:
    return int(f"{instant:%Y%m%d%H}")


def hour_of(key: int) -> datetime:
    return pl.select(hour_start(pl.lit(key))).item()


def patient_id(key: int) -> str:
    """Two keys are one patient now and then, as after a change of age."""
    return "Unknown" if key == 0 else f"p{key // 2:04}"


def whole(table: Table, rows: pl.DataFrame, *, since: int | None = None, version: int = 0) -> Batch:
    """A batch that makes ``rows`` the whole table."""
    return Batch(table, since, version, table.empty(), rows, is_whole_table=True)


def changed(table: Table, removed: pl.DataFrame, rows: pl.DataFrame, *, since: int | None, version: int) -> Batch:
    """A batch of changes."""
    return Batch(table, since, version, removed, rows)


def everything(frames: Mapping[str, pl.DataFrame]) -> list[Batch]:
    """Batches that fill an empty warehouse."""
    tables = (
        DIM_TIME,
        DIM_DEPARTMENT,
        DIM_PATIENT,
        FACT_PATIENT_FLOW,
        FACT_ED_ATTENDANCE,
        FACT_BED_CENSUS,
        KPI_DEPARTMENT_DAY,
        DATA_QUALITY_DAY,
        *FORECASTS,
    )
    return [whole(table, frames[table.path]) for table in tables]


def census_of(beds_by_key: Mapping[int, int], department: int = 1) -> pl.DataFrame:
    """Census rows of one department: hour key → beds."""
    return pl.DataFrame(
        [
            {"time_key": key, "department_key": department, "gender": "Female", "occupied_beds": n, "census_month": "x"}
            for key, n in beds_by_key.items()
        ],
        schema=FACT_BED_CENSUS.schema,
    )
