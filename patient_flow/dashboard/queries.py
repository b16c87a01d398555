"""The dashboard's queries of the warehouse: few, bounded, each a typed frame.

Every query on the facts is a range of hour keys, which all targets find without reading the rest of the table. Nothing
is filtered or added up here: ``snapshot`` keeps the rows, ``figures`` turns them into numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts import events, measures
from patient_flow.contracts.measure_types import ATTENDANCES, STAYS
from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    KPI_DEPARTMENT_DAY,
)
from patient_flow.stores.warehouse import hourly, senders
from patient_flow.stores.warehouse.schema import LOAD_LOG, TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms import calendar
from patient_flow.transforms.measures import counts as holding

c = pl.col

_DEPARTMENTS = TABLES[DIM_DEPARTMENT.path]
_PATIENTS = TABLES[DIM_PATIENT.path]
_STAYS = TABLES[FACT_PATIENT_FLOW.path]
_ATTENDANCES = TABLES[FACT_ED_ATTENDANCE.path]
_CENSUS = TABLES[FACT_BED_CENSUS.path]
_DAILY = TABLES[KPI_DEPARTMENT_DAY.path]
_QUALITY = TABLES[DATA_QUALITY_DAY.path]

READ = tuple(str(table.name) for table in (_DEPARTMENTS, _PATIENTS, _STAYS, _ATTENDANCES, _CENSUS, _DAILY, _QUALITY))
"""Names of the tables that a page reads."""

WARD = "ward"
"""``stay_kind`` of stays whose nights count."""
_STAYS_OF_PATIENTS = _STAYS.outerjoin(_PATIENTS, _PATIENTS.c.patient_key == _STAYS.c.patient_key)


def _read_by_measures(dated_by: str) -> list[Any]:
    """Columns of a stay that the measures dated by this instant read."""
    return [_STAYS.c[name] for name in measures.columns_of(STAYS, dated_by)]


@dataclass(frozen=True)
class Hours:
    """UTC hours from the first to the last, both included, as the keys that tables have."""

    first: int
    last: int


def hours_of(first: date, last: date, zone: ZoneInfo) -> Hours:
    """The hours that begin on the local dates ``first`` to ``last``: the dates that DimTime gives them."""
    begin = calendar.first_hour(first, zone)
    end = calendar.first_hour(last + timedelta(days=1), zone) - timedelta(hours=1)
    return Hours(calendar.hour_key(begin), calendar.hour_key(end))


def loads(warehouse: Warehouse) -> pl.DataFrame:
    """The load log: one row per table."""
    return warehouse.query(LOAD_LOG.select())


def departments(warehouse: Warehouse) -> pl.DataFrame:
    """All versions of all departments."""
    return warehouse.query(_DEPARTMENTS.select())


def admissions(warehouse: Warehouse, hours: Hours) -> pl.DataFrame:
    """Stays that began in ``hours``."""
    return warehouse.query(
        _STAYS_OF_PATIENTS.select()
        .with_only_columns(
            _STAYS.c.department_key,
            _STAYS.c.gender,
            _PATIENTS.c.age_band,
            _STAYS.c.admission_at,
            _STAYS.c.from_department_key,
            *_read_by_measures("admission_at"),
        )
        .where(_STAYS.c.admission_time_key.between(hours.first, hours.last))
    )


def discharges(warehouse: Warehouse, hours: Hours) -> pl.DataFrame:
    """Stays that ended in ``hours``: of their columns those of the index, so that the scattered rows are not read."""
    covered = [column for column in _ENDINGS.selected_columns if column.name not in OF_OPEN_STAYS]
    ended = _STAYS.c.discharge_time_key.between(hours.first, hours.last)
    return warehouse.query(_ENDINGS.with_only_columns(*covered).where(ended))


def present(warehouse: Warehouse, since: int) -> pl.DataFrame:
    """Stays that are open, or end in the hour ``since`` or later."""
    is_open = _STAYS.c.discharge_time_key == events.UNKNOWN_KEY
    of_visit = _ENDINGS.add_columns(_STAYS.c.visit_id)
    return warehouse.query(of_visit.where(is_open | (_STAYS.c.discharge_time_key >= since)))


def wards_of_present(warehouse: Warehouse, since: int) -> pl.DataFrame:
    """Of ward stays that ``present`` gives (stay_key): admission_at, discharge_at of all ward stays of their visits."""
    ward = _STAYS.alias("ward")
    is_open = _STAYS.c.discharge_time_key == events.UNKNOWN_KEY
    return warehouse.query(
        _STAYS.join(
            ward,
            (ward.c.arrival_time_key == _STAYS.c.arrival_time_key) & (ward.c.visit_id == _STAYS.c.visit_id),
        )
        .select()
        .with_only_columns(_STAYS.c.stay_key, ward.c.admission_at, ward.c.discharge_at)
        .where(_STAYS.c.stay_kind == WARD, ward.c.stay_kind == WARD)
        .where(is_open | (_STAYS.c.discharge_time_key >= since))
    )


OF_OPEN_STAYS = ("stay_key", "planned_discharge_at", "ready_at")
"""Columns that only open stays, and those that end today, need."""
_ENDINGS = _STAYS_OF_PATIENTS.select().with_only_columns(
    _STAYS.c.stay_key,
    _STAYS.c.department_key,
    _STAYS.c.gender,
    _PATIENTS.c.age_band,
    _STAYS.c.bed_id,
    _STAYS.c.admission_at,
    _STAYS.c.confirmed_until,
    _STAYS.c.planned_discharge_at,
    _STAYS.c.ready_at,
    *_read_by_measures("discharge_at"),
)


def attended(warehouse: Warehouse, hours: Hours) -> pl.DataFrame:
    """Attendances that arrived in ``hours``."""
    return warehouse.query(_ATTENDED.where(_ATTENDANCES.c.arrival_time_key.between(hours.first, hours.last)))


def attending(warehouse: Warehouse, since: datetime) -> pl.DataFrame:
    """Attendances that have no departure, or one at ``since`` or later."""
    departure = _ATTENDANCES.c.departure_at
    of_visit = _ATTENDED.add_columns(_ATTENDANCES.c.visit_id)
    return warehouse.query(
        of_visit.where(departure.is_(None) | (departure >= since.astimezone(UTC).replace(tzinfo=None)))
    )


_ATTENDED = (
    _ATTENDANCES.outerjoin(_PATIENTS, _PATIENTS.c.patient_key == _ATTENDANCES.c.patient_key)
    .select()
    .with_only_columns(
        _ATTENDANCES.c.department_key,
        _ATTENDANCES.c.gender,
        _PATIENTS.c.age_band,
        _ATTENDANCES.c.arrival_at,
        _ATTENDANCES.c.decision_at,
        _ATTENDANCES.c.confirmed_until,
        *(_ATTENDANCES.c[name] for name in measures.columns_of(ATTENDANCES, "arrival_at")),
    )
)


def last_sent(warehouse: Warehouse, since: int) -> pl.DataFrame:
    """hospital_id, last_at: when the hub accepted a hospital's newest event of the stays that ``present`` gives.

    A hospital that has had nobody in a bed since the hour ``since`` has no row.
    """
    return warehouse.query(senders.last_sent(since))


def census(warehouse: Warehouse, hours: Hours) -> pl.DataFrame:
    """Occupied beds of ``hours``."""
    return warehouse.query(_CENSUS.select().where(_CENSUS.c.time_key.between(hours.first, hours.last)))


def first_hours(warehouse: Warehouse) -> pl.DataFrame:
    """The first patient hour (time_key) of each department version (department_key) that has one."""
    return warehouse.query(senders.first_hours()).drop_nulls()


def departures(warehouse: Warehouse, since: date) -> pl.DataFrame:
    """department_key, date, departures: how many left a hospital from there."""
    return warehouse.query(senders.departures(since))


def daily(warehouse: Warehouse, first: date, last: date) -> pl.DataFrame:
    """Daily measures from ``first`` to ``last``: whatever changes a day's facts changes one of these rows."""
    return warehouse.query(_DAILY.select().where(_DAILY.c.date.between(first, last)))


def first_full_day(warehouse: Warehouse) -> date | None:
    """The first local day of which more than late events are known; None without a discharge."""
    found = warehouse.query(senders.first_full_day())
    day = found["date"].item()
    return date.fromisoformat(day) if isinstance(day, str) else day


def arrivals_by_hour(warehouse: Warehouse, hours: Hours) -> pl.DataFrame:
    """Attendances that arrived in ``hours``, counted: department_key, time_key, patients."""
    return warehouse.query(hourly.arrivals(hours.first, hours.last))


def admissions_by_hour(warehouse: Warehouse, hours: Hours) -> pl.DataFrame:
    """Admissions of ``hours``, counted: department_key, time_key, patients."""
    found = warehouse.query(hourly.stays(hours.first, hours.last))
    return found.filter(holding(measures.ADMISSIONS)).group_by("department_key", "time_key").agg(c("patients").sum())


def quality(warehouse: Warehouse, first: date, last: date) -> pl.DataFrame:
    """Events by rule, hospital and date."""
    return warehouse.query(_QUALITY.select().where(_QUALITY.c.date.between(first, last)))


def returns(warehouse: Warehouse, hours: Hours) -> pl.DataFrame:
    """Visits that ended alive in ``hours``, each with the later admissions of its patient: none, one or several rows.

    ``readmitted_at`` is null where there is none; whether it is soon enough is for ``figures`` to say.
    """
    later = _STAYS.alias("later")
    same = _PATIENTS.alias("same")
    of_patient = same.join(
        later,
        (later.c.patient_key == same.c.patient_key)
        & later.c.is_visit_start
        & (later.c.admission_time_key >= hours.first),
    )
    is_return = (
        (same.c.patient_id == _PATIENTS.c.patient_id)
        & (later.c.visit_id != _STAYS.c.visit_id)
        & (later.c.admission_at >= _STAYS.c.discharge_at)
    )
    is_alive = _STAYS.c.discharge_status.is_(None) | (_STAYS.c.discharge_status != "deceased")
    return warehouse.query(
        _STAYS.join(_PATIENTS, _PATIENTS.c.patient_key == _STAYS.c.patient_key)
        .outerjoin(of_patient, is_return)
        .select()
        .with_only_columns(
            _STAYS.c.stay_key,
            _STAYS.c.department_key,
            _STAYS.c.gender,
            _PATIENTS.c.age_band,
            _STAYS.c.discharge_at,
            later.c.admission_at.label("readmitted_at"),
        )
        .where(_STAYS.c.discharge_time_key.between(hours.first, hours.last))
        .where(_STAYS.c.is_visit_end)
        .where(_STAYS.c.patient_key != events.UNKNOWN_KEY)
        .where(is_alive)
    )
