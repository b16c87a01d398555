"""KpiDepartmentDay summed in the warehouse: a row per date, or per place, whatever the number of departments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import sqlalchemy as sa

from patient_flow.contracts import measures
from patient_flow.contracts.events import GENDERS
from patient_flow.contracts.measure_types import Part, Percentile
from patient_flow.contracts.measures import HEADLINE_CLASSES
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
    changing = sum((sa.func.coalesce(_DAILY.c[name], 0) for name in _PERCENTILES), start=sa.literal(0))
    sums = (*_totals(scope), sa.func.sum(changing).label(FINGERPRINT))
    asked = sa.select(_DAILY.c.date, *sums).select_from(_JOINED).where(*_within(scope, first, last))
    return _as_numbers(warehouse.query(asked.group_by(_DAILY.c.date).order_by(_DAILY.c.date)))


def by_place(warehouse: Warehouse, scope: Scope, first: date, last: date) -> pl.DataFrame:
    """hospital_id, department and the same sums over the whole range. Raises ``WarehouseError``."""
    place = (_DEPARTMENTS.c.hospital_id, _DEPARTMENTS.c.department)
    asked = sa.select(*place, *_totals(scope)).select_from(_JOINED).where(*_within(scope, first, last))
    return _as_numbers(warehouse.query(asked.group_by(*place).order_by(*place)))


_JOINED = _DAILY.join(_DEPARTMENTS, _DEPARTMENTS.c.department_key == _DAILY.c.department_key)
_HAS_BEDS = _DEPARTMENTS.c.staffed_beds.is_not(None)
_IS_HEADLINE = _HAS_BEDS & sa.func.coalesce(_DEPARTMENTS.c["class"], HEADLINE_CLASSES[0]).in_(HEADLINE_CLASSES)


def _within(scope: Scope, first: date, last: date) -> list[sa.ColumnElement[bool]]:
    return [_DAILY.c.date.between(first, last), *scope.conditions()]


def _totals(scope: Scope) -> list[sa.ColumnElement[Any]]:
    """Sums of the chosen gender. Staffed hours stand once per gender: those of one gender are all of them."""

    def total(column: sa.ColumnElement[Any], *where: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
        return sa.func.sum(sa.case((sa.and_(*where), column), else_=0) if where else column)

    is_chosen = [_DAILY.c.gender == scope.gender] if scope.gender else []
    flags = {"is_headline": _IS_HEADLINE, "has_beds": _HAS_BEDS}
    return [
        *(total(_DAILY.c[name], *is_chosen).label(name) for name in _SUMS),
        *(total(_DAILY.c[OCCUPIED], flag, *is_chosen).label(f"{name}_{OCCUPIED}") for name, flag in flags.items()),
        *(
            total(_DAILY.c[STAFFED], flag, _DAILY.c.gender == GENDERS[0]).label(f"{name}_{STAFFED}")
            for name, flag in flags.items()
        ),
    ]


def _as_numbers(rows: pl.DataFrame) -> pl.DataFrame:
    numbers = [name for name in rows.columns if name not in ("date", "hospital_id", "department")]
    return rows.with_columns(c(numbers).cast(pl.Float64))
