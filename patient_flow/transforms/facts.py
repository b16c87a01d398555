"""Stays, attendances and dimension versions → rows of FactPatientFlow and FactEdAttendance."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.tables import FACT_ED_ATTENDANCE, FACT_PATIENT_FLOW, Table
from patient_flow.transforms.calendar import time_key
from patient_flow.transforms.dimensions import version_at
from patient_flow.transforms.keys import with_surrogate_key

c = pl.col

ATTENDANCE = "attendance"
"""Part of an attendance's natural key: no stay of the visit has the same one."""


def fact_patient_flow(stays: pl.DataFrame, patients: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """FactPatientFlow rows of ``stays``, each with the versions of patient and department valid at its admission."""
    origin = departments.rename(
        {
            "hospital_id": "from_hospital_id",
            "department": "from_department",
            "department_key": "from_department_key",
        }
    )
    return (
        stays.pipe(_with_versions, patients, departments, "admission_at")
        .pipe(
            version_at,
            origin,
            by=["from_hospital_id", "from_department"],
            at="admission_at",
            columns=["from_department_key"],
        )
        .pipe(with_surrogate_key, "stay_key", [c("visit_id"), c("stay_number")])
        .with_columns(
            arrival_time_key=time_key(c("arrival_at")),
            admission_time_key=time_key(c("admission_at")),
            discharge_time_key=time_key(c("discharge_at")),
            admission_month=c("admission_at").dt.strftime("%Y-%m"),
        )
        .pipe(_as, FACT_PATIENT_FLOW)
    )


def fact_ed_attendance(attended: pl.DataFrame, patients: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """FactEdAttendance rows of ``attended``, each with the versions of patient and department valid at its arrival."""
    return (
        attended.pipe(_with_versions, patients, departments, "arrival_at")
        .pipe(with_surrogate_key, "attendance_key", [c("visit_id"), pl.lit(ATTENDANCE)])
        .with_columns(
            arrival_time_key=time_key(c("arrival_at")),
            departure_time_key=time_key(c("departure_at")),
            arrival_month=c("arrival_at").dt.strftime("%Y-%m"),
        )
        .pipe(_as, FACT_ED_ATTENDANCE)
    )


def _with_versions(rows: pl.DataFrame, patients: pl.DataFrame, departments: pl.DataFrame, at: str) -> pl.DataFrame:
    return (
        rows.pipe(version_at, patients, by=["patient_id"], at=at, columns=["patient_key", "gender"])
        .pipe(version_at, departments, by=["hospital_id", "department"], at=at, columns=["department_key"])
        .with_columns(gender=c("gender").fill_null(events.UNKNOWN))
    )


def _as(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    return rows.select(c(name).cast(dtype) for name, dtype in table.schema.items())
