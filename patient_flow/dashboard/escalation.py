"""Escalation levels of the hospitals of a page: now, and hour by hour over the last days.

A level is that of a whole hospital: of the filters only the hospital counts, and a viewer who is limited to departments
sees none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.escalation import Thresholds
from patient_flow.contracts.events import UNKNOWN
from patient_flow.dashboard.rows import PageRows
from patient_flow.transforms.calendar import first_hour
from patient_flow.transforms.escalation import levels, pressures, spans

c = pl.col

HISTORY_DAYS = 7
"""Days of the history: the page always has the rows of nine."""


class Escalation:
    """The levels of one page."""

    def __init__(self, rows: PageRows, thresholds: Thresholds) -> None:
        self._rows = rows
        self._thresholds = thresholds

    @property
    def is_visible(self) -> bool:
        """False for a viewer of some departments."""
        return self._rows.viewer.departments is None

    @cached_property
    def since(self) -> datetime:
        """The first hour of the history."""
        hour = self._rows.now.replace(minute=0, second=0, microsecond=0) - timedelta(days=HISTORY_DAYS)
        covered = self._rows.covered
        return max(hour, covered[0]) if covered else hour

    @cached_property
    def now(self) -> pl.DataFrame:
        """hospital_id, hospital_name, at, the four pressures, level, deciding: a row per hospital, worst first."""
        newest = self._judged.group_by("hospital_id").agg(pl.all().sort_by("at").last())
        return newest.with_columns(hospital_name=self._name).sort("level", "hospital_name", descending=[True, False])

    @cached_property
    def history(self) -> pl.DataFrame:
        """hospital_name, level, since, until, deciding: runs of one level, by hospital and time."""
        return spans(self._judged).with_columns(hospital_name=self._name).sort("hospital_name", "since")

    @property
    def _name(self) -> pl.Expr:
        return c("hospital_id").replace(self._rows.hospitals)

    @cached_property
    def _judged(self) -> pl.DataFrame:
        """The levels at every full hour of the history, and now."""
        rows, snapshot = self._rows, self._rows.snapshot
        departments = rows.allowed.filter(c("hospital_id") != UNKNOWN)
        if rows.selection.hospital:
            departments = departments.filter(c("hospital_id") == rows.selection.hospital)
        of = departments.select("department_key", "hospital_id", "class", "staffed_beds")
        known = departments.filter(c("staffed_beds").is_not_null())["hospital_id"].unique()
        departments = departments.filter(c("hospital_id").is_in(known.to_list()))
        # Those that had not departed at the beginning of the day are read with every load, earlier ones by their day.
        day_began = first_hour(snapshot.today, snapshot.zone)
        attendances = pl.concat(
            [snapshot.attended.filter(c("departure_at") < day_began), snapshot.attending], how="diagonal"
        )
        hours = pl.datetime_range(self.since, rows.now, "1h", time_unit="us", time_zone="UTC", eager=True)
        instants = pl.concat([hours, pl.Series([rows.now], dtype=INSTANT)]).unique().sort()
        found = pressures(
            snapshot.discharges.join(of, on="department_key"),
            attendances.join(of, on="department_key"),
            departments,
            instants,
        )
        return levels(found, self._thresholds)
