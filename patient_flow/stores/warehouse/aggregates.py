"""The table AggregateDay: what is published, and adding days. Rows are never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl
import sqlalchemy as sa

from patient_flow.stores.warehouse.schema import AGGREGATE_DAY, AGGREGATE_MONTH
from patient_flow.stores.warehouse.warehouse import Warehouse

_ROWS = AGGREGATE_DAY.c


@dataclass(frozen=True)
class Published:
    """The published dates of a hospital (all from first to last), and whether the last midnight is shown."""

    first: date
    last: date
    is_midnight_known: bool


class Aggregates:
    """The published aggregates of a warehouse. Every method raises a ``WarehouseError`` when it does not answer."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def published(self) -> dict[str, Published]:
        """By hospital."""
        total = (_ROWS.department == "") & (_ROWS.gender == "")
        dates = (
            sa.select(_ROWS.hospital_id, sa.func.min(_ROWS.date).label("first"), sa.func.max(_ROWS.date).label("last"))
            .where(total)
            .group_by(_ROWS.hospital_id)
            .subquery()
        )
        is_known = sa.case((_ROWS.patients_at_midnight.is_not(None), 1), else_=0)  # T-SQL has no boolean values
        asked = sa.select(_ROWS.hospital_id, dates.c.first, dates.c.last, is_known.label("known")).join(
            dates, (dates.c.hospital_id == _ROWS.hospital_id) & (dates.c.last == _ROWS.date)
        )
        with self._warehouse.reading() as connection:
            found = connection.execute(asked.where(total))
            return {row.hospital_id: Published(row.first, row.last, bool(row.known)) for row in found}

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Adds the rows of whole days in one transaction; a day that another process has added fails on its key."""
        with self._warehouse.writing() as connection:
            connection.execute(sa.insert(AGGREGATE_DAY), list(rows))

    def days(self, since: date) -> pl.DataFrame:
        """Published days from ``since`` on."""
        return self._warehouse.query(
            sa.select(AGGREGATE_DAY)
            .where(_ROWS.date >= since)
            .order_by(_ROWS.date.desc(), _ROWS.hospital_id, _ROWS.department, _ROWS.gender)
        )

    def months(self) -> pl.DataFrame:
        """Closed months."""
        rows = AGGREGATE_MONTH.c
        return self._warehouse.query(
            sa.select(AGGREGATE_MONTH).order_by(rows.month.desc(), rows.hospital_id, rows.department, rows.gender)
        )
