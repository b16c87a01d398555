"""Arrivals and beginnings of stays counted by department and hour: few rows, whatever the size of the facts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from patient_flow.contracts.tables import FACT_ED_ATTENDANCE, FACT_PATIENT_FLOW
from patient_flow.stores.warehouse.schema import TABLES

_ATTENDANCES = TABLES[FACT_ED_ATTENDANCE.path].c
_STAYS = TABLES[FACT_PATIENT_FLOW.path].c


def arrivals(first: int, last: int) -> sa.Select[Any]:
    """department_key, time_key, patients of the attendances that arrived in the hours (time keys) first to last."""
    hour = _ATTENDANCES.arrival_time_key
    return (
        sa.select(_ATTENDANCES.department_key, hour.label("time_key"), sa.func.count().label("patients"))
        .where(hour.between(first, last))
        .group_by(_ATTENDANCES.department_key, hour)
    )


def stays(first: int, last: int) -> sa.Select[Any]:
    """The same of the stays that began, by what admissions are recognised by."""
    hour = _STAYS.admission_time_key
    kinds = (_STAYS.is_visit_start, _STAYS.is_day_case, _STAYS.is_observation)
    return (
        sa.select(_STAYS.department_key, hour.label("time_key"), *kinds, sa.func.count().label("patients"))
        .where(hour.between(first, last))
        .group_by(_STAYS.department_key, hour, *kinds)
    )
