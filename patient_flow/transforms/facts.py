"""Stays and dimension versions → rows of FactPatientFlow."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.tables import FACT_PATIENT_FLOW
from patient_flow.transforms.calendar import time_key
from patient_flow.transforms.dimensions import version_at
from patient_flow.transforms.keys import surrogate_key

c = pl.col


def fact_patient_flow(stays: pl.DataFrame, patients: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """FactPatientFlow rows of ``stays``, each with the versions of patient and department valid at its admission."""
    at_admission = stays.pipe(
        version_at, patients, by=["patient_id"], at="admission_at", columns=["patient_key", "gender"]
    ).pipe(version_at, departments, by=["hospital_id", "department"], at="admission_at", columns=["department_key"])
    origin = departments.rename(
        {
            "hospital_id": "from_hospital_id",
            "department": "from_department",
            "department_key": "from_department_key",
        }
    )
    return (
        at_admission.pipe(
            version_at,
            origin,
            by=["from_hospital_id", "from_department"],
            at="admission_at",
            columns=["from_department_key"],
        )
        .with_columns(
            stay_key=surrogate_key([c("visit_id"), c("stay_number")]),
            gender=c("gender").fill_null(events.UNKNOWN),
            arrival_time_key=time_key(c("arrival_at")),
            admission_time_key=time_key(c("admission_at")),
            discharge_time_key=time_key(c("discharge_at")),
            admission_month=c("admission_at").dt.strftime("%Y-%m"),
        )
        .select(c(name).cast(dtype) for name, dtype in FACT_PATIENT_FLOW.schema.items())
    )
