"""KpiDepartmentDay summed in the warehouse: a row per date, or per place, whatever the number of departments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import sqlalchemy as sa

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import Part, Percentile
from patient_flow.contracts.tables import DIM_DEPARTMENT, KPI_DEPARTMENT_DAY
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse

c = pl.col

STAFFED, OCCUPIED = "staffed_bed_hours", "occupied_bed_hours"
FINGERPRINT = "fingerprint"
"""A number that changes with the rows of a date."""
_DAILY, _DEPARTMENTS = TABLES[KPI_DEPARTMENT_DAY.path], TABLES[DIM_DEPARTMENT.path]
_SUMS = tuple(quantity.name for quantity in measures.DAILY if isinstance(quantity, Part))
_PERCENTILES = tuple(quantity.name for quantity in measures.DAILY if isinstance(quantity, Percentile))


@dataclass(frozen=True)
class Scope:
    """The rows that filters and access leave: names; None means all, an empty gender all."""

    hospitals: frozenset[str] | None = None
    departments: frozenset[str] | None = None
    gender: str = ""

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The scope as conditions on departments."""
        return [
            _DEPARTMENTS.c[column].in_(sorted(names))
            for column, names in (("hospital_id", self.hospitals), ("department", self.departments))
            if names is not None
        ]


def by_date(warehouse: Warehouse, scope: Scope, first: date, last: date) -> pl.DataFrame:
    """date, the sums of the daily table, ``fingerprint``: a row per date that has any row, in order.

    Occupied and staffed bed hours: of departments with known beds (``has_beds_…``), and of the headline classes
    among them (``is_headline_…``). Raises ``WarehouseError``.
    """
    of_day = _of_departments(scope, first, last, ("date",))
    rows = warehouse.query(sa.select(of_day.c.date, *_totals(of_day)).group_by(of_day.c.date).order_by(of_day.c.date))
    return _as_numbers(rows)


def by_place(warehouse: Warehouse, scope: Scope, first: date, last: date) -> pl.DataFrame:
    """hospital_id, department and the same sums over the whole range. Raises ``WarehouseError``."""
    of_day = _of_departments(scope, first, last, ("date", "hospital_id", "department"))
    place = (of_day.c.hospital_id, of_day.c.department)
    return _as_numbers(warehouse.query(sa.select(*place, *_totals(of_day)).group_by(*place).order_by(*place)))


def _of_departments(scope: Scope, first: date, last: date, keys: tuple[str, ...]) -> sa.Subquery:
    """A row per date and department: its genders added up, its staffed hours once."""

    def counted(name: str) -> sa.ColumnElement[Any]:
        column = _DAILY.c[name]
        return sa.func.sum(sa.case((_DAILY.c.gender == scope.gender, column)) if scope.gender else column).label(name)

    of = {"date": _DAILY.c.date, "hospital_id": _DEPARTMENTS.c.hospital_id, "department": _DEPARTMENTS.c.department}
    beds, kind = _DEPARTMENTS.c.staffed_beds, _DEPARTMENTS.c["class"]
    is_headline = sa.case((beds.is_(None), 0), (kind.is_(None), 1), (kind.in_(measures.HEADLINE_CLASSES), 1), else_=0)
    changing = sum((sa.func.coalesce(_DAILY.c[name], 0) for name in _PERCENTILES), start=sa.literal(0))
    return (
        sa.select(
            *(of[key] for key in keys),
            *map(counted, _SUMS),
            sa.func.max(_DAILY.c[STAFFED]).label(STAFFED),
            sa.func.max(is_headline).label("is_headline"),
            sa.func.max(sa.case((beds.is_(None), 0), else_=1)).label("has_beds"),
            sa.func.sum(changing).label(FINGERPRINT),
        )
        .select_from(_DAILY.join(_DEPARTMENTS, _DEPARTMENTS.c.department_key == _DAILY.c.department_key))
        .where(_DAILY.c.date.between(first, last), *scope.conditions())
        .group_by(*(of[key] for key in keys), _DAILY.c.department_key)
        .subquery()
    )


def _totals(rows: sa.Subquery) -> list[sa.ColumnElement[Any]]:
    def where(flag: str, name: str) -> sa.ColumnElement[Any]:
        return sa.func.sum(sa.case((rows.c[flag] == 1, rows.c[name]), else_=0)).label(f"{flag}_{name}")

    sums = [sa.func.sum(rows.c[name]).label(name) for name in (*_SUMS, FINGERPRINT)]
    return [*sums, *(where(flag, name) for flag in ("is_headline", "has_beds") for name in (OCCUPIED, STAFFED))]


def _as_numbers(rows: pl.DataFrame) -> pl.DataFrame:
    numbers = [name for name in rows.columns if name not in ("date", "hospital_id", "department")]
    return rows.with_columns(c(numbers).cast(pl.Float64))
