"""Open stays by when they should end: expected today, delayed, and long ones, as the warehouse's views count them."""

from __future__ import annotations

from functools import cached_property

import polars as pl

from patient_flow.contracts.measures import LONG_STAY_NIGHTS
from patient_flow.dashboard.rows import PageRows
from patient_flow.transforms.calendar import local_date

c = pl.col


class Leaving:
    """The open stays of a page's rows."""

    def __init__(self, rows: PageRows) -> None:
        self._rows = rows

    @cached_property
    def by_place(self) -> pl.DataFrame:
        """place, in_beds, expected_discharges, of them not_yet_due, delayed_discharges, delay_hours_sum, long stays."""
        return (
            self.stays.group_by("place")
            .agg(
                in_beds=pl.len(),
                expected_discharges=c("is_expected").sum(),
                not_yet_due=(c("is_expected") & (c("delay_hours") == 0)).sum(),
                delayed_discharges=(c("delay_hours") > 0).sum(),
                delay_hours_sum=c("delay_hours").sum(),
                **{f"long_stays_{nights}": (c("nights_so_far") >= nights).sum() for nights in LONG_STAY_NIGHTS},
            )
            .sort("place")
        )

    @cached_property
    def delayed(self) -> pl.DataFrame:
        """Delayed discharges, longest first: hospital_name, department, bed_id, due_at, delay_hours, nights_so_far."""
        columns = ("hospital_name", "department", "bed_id", "due_at", "delay_hours", "nights_so_far")
        return self.stays.filter(c("delay_hours") > 0).sort("delay_hours", descending=True).select(columns)

    @cached_property
    def stays(self) -> pl.DataFrame:
        """Each with its delay and the nights that its visit has spent in ward beds."""
        now, zone = self._rows.now, self._rows.snapshot.zone.key
        until = pl.when(c("discharge_at") <= now).then("discharge_at").otherwise(now)
        nights = (local_date(until, zone) - local_date(c("admission_at"), zone)).dt.total_days()
        wards = self._rows.snapshot.wards.filter(c("admission_at") <= now)
        due_at = pl.coalesce("ready_at", "planned_discharge_at")
        delay = (now - due_at).dt.total_microseconds() / 3600e6
        is_expected = local_date(c("planned_discharge_at"), zone) == self._rows.today
        return (
            self._rows.open_at(now)
            .join(wards.group_by("stay_key").agg(nights_so_far=nights.sum()), on="stay_key", how="left")
            .with_columns(
                due_at=due_at,
                delay_hours=pl.max_horizontal(delay.fill_null(0), 0),
                is_expected=is_expected.fill_null(value=False),
            )
        )
