"""Each hospital's last event of a stay, each department's first stay and departures, the first full day.

Not here: the threshold of silence.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa

from patient_flow.contracts import events, measures
from patient_flow.contracts.tables import DIM_DEPARTMENT, FACT_BED_CENSUS, FACT_PATIENT_FLOW, KPI_DEPARTMENT_DAY
from patient_flow.stores.warehouse.schema import TABLES

_DEPARTMENTS = TABLES[DIM_DEPARTMENT.path].c
_CENSUS = TABLES[FACT_BED_CENSUS.path].c
_STAYS = TABLES[FACT_PATIENT_FLOW.path].c
_DAYS = TABLES[KPI_DEPARTMENT_DAY.path].c


def last_sent(since: int) -> sa.Select[Any]:
    """hospital_id, last_at of the stays that are open, or end in the hour ``since`` (a time key) or later."""
    is_near = (_STAYS.discharge_time_key == events.UNKNOWN_KEY) | (_STAYS.discharge_time_key >= since)
    return (
        sa.select(_DEPARTMENTS.hospital_id, sa.func.max(_STAYS.last_enqueued_at).label("last_at"))
        .where(_DEPARTMENTS.department_key == _STAYS.department_key, is_near)
        .group_by(_DEPARTMENTS.hospital_id)
    )


def first_hours() -> sa.Select[Any]:
    """department_key, time_key of the first patient hour of each department version; null where it has none.

    Asked department by department, which the index of the census answers without reading all of its years.
    """
    first = sa.select(sa.func.min(_CENSUS.time_key)).where(_CENSUS.department_key == _DEPARTMENTS.department_key)
    return sa.select(_DEPARTMENTS.department_key, first.scalar_subquery().label("time_key"))


def departures(since: date) -> sa.Select[Any]:
    """department_key, date, departures: visits that ended there, and attendances that did without an admission."""
    left = [
        sa.func.coalesce(_DAYS[part.name], 0) for part in (measures.DISCHARGES, measures.DEPARTED, measures.ED_ADMITTED)
    ]
    count = sa.func.sum(left[0] + left[1] - left[2]).label("departures")
    return (
        sa.select(_DAYS.department_key, _DAYS.date, count)
        .where(_DAYS.date >= since)
        .group_by(_DAYS.department_key, _DAYS.date)
    )


def first_full_day() -> sa.Select[Any]:
    """One row, date: the first local day with a tenth of the discharges of the day that has most of them.

    Days before have late events at most, of visits that were reported again.
    """
    days = sa.select(_DAYS.date, sa.func.sum(_DAYS.discharges).label("discharges")).group_by(_DAYS.date).subquery()
    most = sa.select(sa.func.max(days.c.discharges)).scalar_subquery()
    is_full = sa.and_(days.c.discharges > 0, days.c.discharges * 10 >= most)
    return sa.select(sa.func.min(days.c.date).label("date")).where(is_full)
