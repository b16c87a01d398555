"""The same weekday of the last weeks, hour by hour: how many patients usually arrive and are admitted.

Read once for all viewers, in the background; only late events change it. Gender and age are not kept.
"""

from __future__ import annotations

import threading
from datetime import date
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.dashboard import queries
from patient_flow.dashboard.background import Background
from patient_flow.dashboard.reading import Reading
from patient_flow.dashboard.snapshot import DAY
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.calendar import hour_start

c = pl.col

USUAL_WEEKS = 8
"""Weeks back whose same weekday is compared with today."""
ARRIVAL, ADMISSION = "arrival", "admission"
SCHEMA = {
    "kind": pl.String(),
    "department_key": pl.Int64(),
    "date": pl.Date(),
    "hour": pl.Int64(),
    "patients": pl.Int64(),
}


def usual_dates(today: date) -> list[date]:
    """The same weekday of the last weeks, newest first."""
    return [today - 7 * week * DAY for week in range(1, USUAL_WEEKS + 1)]


class UsualDays:
    """Reader of these days."""

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo) -> None:
        self._warehouse = warehouse
        self._zone = zone
        self._reader = Background[pl.DataFrame]("reader of usual days")
        self._lock = threading.Lock()
        self._known: dict[date, Reading] = {}

    def of(self, today: date) -> pl.DataFrame | None:
        """kind, department_key, date, local hour, patients; None before they have been read for the first time."""
        with self._lock:
            self._known = {day: reading for day, reading in self._known.items() if day == today}
            reading = self._known.setdefault(today, Reading())
            reading.settle()
            if reading.is_due:
                reading.start(self._reader.submit(lambda: self._read(today)))
            return reading.found.rows

    def is_pending(self, today: date) -> bool:
        """True while they are being read for the first time."""
        with self._lock:
            return today in self._known and self._known[today].found.is_pending

    def close(self, timeout: float) -> None:
        """Starts no more reads, and waits ``timeout`` seconds for the running one."""
        self._reader.close(timeout)

    def _read(self, today: date) -> pl.DataFrame:
        found = []
        for day in usual_dates(today):
            hours = queries.hours_of(day, day, self._zone)
            for kind, counted in (
                (ARRIVAL, queries.arrivals_by_hour(self._warehouse, hours)),
                (ADMISSION, queries.admissions_by_hour(self._warehouse, hours)),
            ):
                local = hour_start(c("time_key")).dt.convert_time_zone(self._zone.key)
                found.append(counted.with_columns(kind=pl.lit(kind), date=local.dt.date(), hour=local.dt.hour()))
        return pl.concat([rows.select(c(name).cast(dtype) for name, dtype in SCHEMA.items()) for rows in found])
