"""Rows of a snapshot → the numbers of one page: pure functions of snapshot, filters, viewer and now.

The definitions are those of the views: occupancy is the sum of occupied over the sum of staffed beds, whatever hours
are added up, and counts no patients of departments without known beds; percentiles interpolate linearly; what has not
happened yet does not count. Not here: words, formats, charts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Literal

import polars as pl

from patient_flow.contracts import events, measures
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.snapshot import COMPARED_DAYS, DAY, Snapshot
from patient_flow.transforms.calendar import hour_start
from patient_flow.transforms.census import bed_hours, spans

c = pl.col

WEEK = timedelta(days=7)
ADMISSION = "Admission"
"""Origin of the patients who come from no department, as the view DepartmentInflow has it."""
QUALITY_TOTAL = "all"
_DEPARTMENT = ("hospital_id", "department")
_OF_DEPARTMENT = ("department_key", *_DEPARTMENT, "hospital_name", "place", "staffed_beds", "expected_los_hours")

Unit = Literal["count", "percent", "minutes", "hours"]


@dataclass(frozen=True)
class Card:
    """One number of the moment, and the same at the same time last week; None where it is not known."""

    name: str
    unit: Unit
    value: float | None
    before: float | None


class Figures:
    """The numbers of one page. Frames are made when first asked for, and each is filtered only once."""

    def __init__(self, snapshot: Snapshot, selection: Selection, viewer: Viewer, now: datetime) -> None:
        self.selection = selection
        self.now = now
        self.today = now.astimezone(snapshot.zone).date()
        self.first = self.today - (selection.days - 1) * DAY
        # The same time on the clock, across a change of the hour.
        self.week_ago = (now.astimezone(snapshot.zone) - WEEK).astimezone(UTC)
        self.splits_hospitals = bool(selection.department) and not selection.hospital
        """True when rows are hospitals: one department of several."""
        self._snapshot = snapshot
        self._viewer = viewer

    # --- what may be chosen -------------------------------------------------------------------------------------

    @cached_property
    def hospitals(self) -> dict[str, str]:
        """Id → name of the hospitals that the viewer may see."""
        seen = (
            self._allowed.sort("hospital_name", "hospital_id")
            .select("hospital_id", "hospital_name")
            .unique(maintain_order=True)
        )
        return dict(seen.iter_rows())

    @cached_property
    def departments(self) -> list[str]:
        """Names of the departments that the viewer may see."""
        return self._allowed["department"].unique().sort().to_list()

    @cached_property
    def listed_places(self) -> list[str]:
        """Places whose beds are known."""
        return self._chosen.filter(c("staffed_beds").is_not_null())["place"].unique().to_list()

    @property
    def is_empty(self) -> bool:
        """True when filters and access leave no department."""
        return self._chosen.is_empty()

    @cached_property
    def newest_event_at(self) -> datetime | None:
        """When the hub accepted the newest event of the chosen hospitals; None when that is long ago."""
        if self._senders.keys() >= self._snapshot.last_sent.keys():
            return self._snapshot.load.newest_event_at  # knows of visits that wait for a bed, too
        return max(self._senders.values(), default=None)

    @cached_property
    def silent(self) -> dict[str, datetime]:
        """Id → newest event of the chosen hospitals that sent in the last days, but nothing for hours: oldest first.

        A hospital that only a mistyped event names is not missed, unless nobody else is chosen.
        """
        listed = set(self._chosen.filter(~c("is_inferred"))["hospital_id"])
        known = self.now - measures.SENDER_KNOWN_DAYS * DAY
        return {
            hospital: last
            for hospital, last in sorted(self._senders.items(), key=lambda sender: sender[1])
            if known <= last < self._silent_since and (hospital in listed or not listed)
        }

    @property
    def somebody_sends(self) -> bool:
        """False when nothing new comes from the chosen hospitals, while others had patients in the last days."""
        return any(last >= self._silent_since for last in self._senders.values()) or not self._snapshot.last_sent

    @property
    def _silent_since(self) -> datetime:
        return self.now - timedelta(hours=measures.SENDER_SILENT_HOURS)

    @cached_property
    def _senders(self) -> dict[str, datetime]:
        """Id → newest event of the chosen hospitals, as far as they had patients in the last days."""
        chosen = set(self._chosen["hospital_id"]) - {events.UNKNOWN}
        return {hospital: last for hospital, last in self._snapshot.last_sent.items() if hospital in chosen}

    # --- cards --------------------------------------------------------------------------------------------------

    @cached_property
    def cards(self) -> list[Card]:
        """The numbers of the moment."""
        now, before = self.now, self.week_ago
        knows_week = self._covered is not None and self._covered[0] <= before
        knows_day_before = self._covered is not None and self._covered[0] <= before - DAY
        return [
            Card("in_beds", "count", self._in_beds(now), self._in_beds(before) if knows_week else None),
            Card("occupancy", "percent", self._occupancy(now), self._occupancy(before) if knows_week else None),
            Card("admissions_today", "count", self._admitted(now), self._admitted(before) if knows_week else None),
            Card("median_wait", "minutes", self._wait(now), self._wait(before) if knows_day_before else None),
            Card("median_stay", "hours", self._stay(now), self._stay(before) if knows_day_before else None),
        ]

    def _open(self, at: datetime) -> pl.DataFrame:
        is_open = (c("admission_at") <= at) & (c("discharge_at").is_null() | (c("discharge_at") > at))
        return self._left.filter(is_open)

    def _in_beds(self, at: datetime) -> int:
        return self._open(at).height

    def _occupancy(self, at: datetime) -> float | None:
        listed = self._listed(at)
        staffed = int(listed["staffed_beds"].sum())
        occupied = self._open(at).join(listed, on=_DEPARTMENT, how="semi").height
        return 100 * occupied / staffed if staffed else None

    def _listed(self, at: datetime) -> pl.DataFrame:
        """The chosen departments whose beds are known at that time."""
        is_valid = (c("valid_from") <= at) & (c("valid_to").is_null() | (c("valid_to") > at))
        return self._chosen.filter(is_valid, c("staffed_beds").is_not_null())

    @cached_property
    def in_unknown_beds(self) -> int:
        """Patients in departments without known beds, now: no occupancy counts them."""
        return self._open(self.now).join(self._listed(self.now), on=_DEPARTMENT, how="anti").height

    def _admitted(self, at: datetime) -> int:
        day = at.astimezone(self._snapshot.zone).date()
        return self._begun.filter(c("is_visit_start") & (c("date") == day) & (c("admission_at") <= at)).height

    def _wait(self, at: datetime) -> float | None:
        waited = self._begun.filter("is_visit_start", c("admission_at").is_between(at - DAY, at, closed="right"))
        return _number(waited["wait_minutes"].median())

    def _stay(self, at: datetime) -> float | None:
        ended = self._left.filter("is_visit_end", c("discharge_at").is_between(at - DAY, at, closed="right"))
        return _number(ended["visit_length_of_stay_hours"].median())

    # --- beds ---------------------------------------------------------------------------------------------------

    @cached_property
    def occupancy(self) -> pl.DataFrame:
        """place, gender, occupied_bed_hours, unknown_bed_hours, staffed_bed_hours, occupancy_pct.

        Genders add up to the place. ``unknown_bed_hours`` are those of the occupied ones that lie in departments
        without known beds.
        """
        beds, is_unknown = c("occupied_beds"), c("staffed_beds").is_null()
        occupied = self._census.group_by("place", "gender").agg(
            occupied_bed_hours=beds.sum(), unknown_bed_hours=beds.filter(is_unknown).sum()
        )
        staffed = self._staffed.group_by("place").agg(staffed_bed_hours=c("staffed_beds").sum())
        places = pl.concat([occupied.select("place"), staffed.select("place")]).unique()
        genders = occupied.select("gender").unique()
        return (
            places.join(genders, how="cross")
            .join(occupied, on=["place", "gender"], how="left")
            .join(staffed, on="place", how="left")
            .with_columns(c("occupied_bed_hours", "unknown_bed_hours").fill_null(0))
            .with_columns(
                occupancy_pct=_percent(c("occupied_bed_hours") - c("unknown_bed_hours"), c("staffed_bed_hours"))
            )
            .sort("place", "gender")
        )

    @cached_property
    def heat(self) -> pl.DataFrame:
        """row (a place, or a date of the only place), hour, occupied_bed_hours, staffed_bed_hours, occupancy_pct."""
        row = "date" if self.is_one_place else "place"
        return self._by_hour(row, "hour").rename({row: "row"})

    @cached_property
    def hours(self) -> pl.DataFrame:
        """hour_at, occupied_bed_hours, staffed_bed_hours, occupancy_pct of all places together, hour by hour."""
        return self._by_hour("hour_at")

    @cached_property
    def is_one_place(self) -> bool:
        """True when the filters leave a single department of a single hospital."""
        listed = self._chosen.filter(c("staffed_beds").is_not_null())
        return bool(self.selection.department) and listed["hospital_id"].n_unique() == 1

    def _by_hour(self, *by: str) -> pl.DataFrame:
        """Of departments with known beds only: a curve of patients stands beside one of beds."""
        known = self._census.filter(c("staffed_beds").is_not_null())
        occupied = known.group_by(by).agg(occupied_bed_hours=c("occupied_beds").sum())
        staffed = self._staffed.group_by(by).agg(staffed_bed_hours=c("staffed_beds").sum())
        return (
            staffed.join(occupied, on=by, how="left")
            .with_columns(c("occupied_bed_hours").fill_null(0))
            .with_columns(occupancy_pct=_percent(c("occupied_bed_hours"), c("staffed_bed_hours")))
            .sort(by)
        )

    # --- movements, waits, stays --------------------------------------------------------------------------------

    @cached_property
    def movements(self) -> pl.DataFrame:
        """step, admissions, discharges; a step is a date, or an hour when the period is one day."""
        admitted = self._in_period(self._begun, "admission_at").filter("is_visit_start")
        discharged = self._in_period(self._left, "discharge_at").filter("is_visit_end")
        return (
            self._steps.join(admitted.group_by("step").agg(admissions=pl.len()), on="step", how="left")
            .join(discharged.group_by("step").agg(discharges=pl.len()), on="step", how="left")
            .with_columns(c("admissions", "discharges").fill_null(0))
            .sort("step")
        )

    @cached_property
    def waits(self) -> pl.DataFrame:
        """step, waits, p50, p90, within_240_pct, by admission."""
        waited = self._in_period(self._begun, "admission_at").filter("is_visit_start", c("wait_minutes").is_not_null())
        wait = c("wait_minutes")
        figures = waited.group_by("step").agg(
            waits=pl.len(),
            p50=wait.quantile(0.5, "linear"),
            p90=wait.quantile(0.9, "linear"),
            within_240_pct=100 * (wait <= measures.WAIT_STANDARD_MINUTES).mean(),
        )
        return self._steps.join(figures, on="step", how="left").with_columns(c("waits").fill_null(0)).sort("step")

    @cached_property
    def stays(self) -> pl.DataFrame:
        """place, ended_visits, median_hours, mean_hours of the visits that ended in the period."""
        length = c("visit_length_of_stay_hours")
        ended = self._in_period(self._left, "discharge_at").filter("is_visit_end", length.is_not_null())
        return (
            ended.group_by("place")
            .agg(ended_visits=pl.len(), median_hours=length.median(), mean_hours=length.mean())
            .sort("place")
        )

    @cached_property
    def flows(self) -> pl.DataFrame:
        """origin, department, patients: admissions and moves into the chosen departments."""
        names = self._snapshot.departments.select(from_department_key="department_key", origin="department")
        came = self._in_period(self._begun, "admission_at").filter(
            c("is_visit_start") | (c("from_department_key") != events.UNKNOWN_KEY)
        )
        return (
            came.join(names, on="from_department_key", how="left")
            .with_columns(
                origin=pl.when(c("from_department_key") == events.UNKNOWN_KEY)
                .then(pl.lit(ADMISSION))
                .otherwise(c("origin").fill_null(events.UNKNOWN))
            )
            .group_by("origin", "department")
            .agg(patients=pl.len())
            .sort("origin", "department")
        )

    # --- what needs attention -----------------------------------------------------------------------------------

    @cached_property
    def overstays(self) -> pl.DataFrame:
        """place, in_beds, open_overstays (now), ended_overstays (in the period)."""
        here = self._staying.group_by("place").agg(in_beds=pl.len(), open_overstays=(c("hours_over") > 0).sum())
        too_long = c("length_of_stay_hours") > c("expected_los_hours")
        gone = self._in_period(self._left, "discharge_at").group_by("place").agg(ended_overstays=too_long.sum())
        return here.join(gone, on="place", how="full", coalesce=True).fill_null(0).sort("place")

    @cached_property
    def longest(self) -> pl.DataFrame:
        """Open overstays, longest first: hospital_name, department, bed_id, admission_at, stay_hours, hours_over."""
        columns = ("hospital_name", "department", "bed_id", "admission_at", "stay_hours", "hours_over")
        return self._staying.filter(c("hours_over") > 0).sort("hours_over", descending=True).select(columns)

    @cached_property
    def _staying(self) -> pl.DataFrame:
        stayed = (self.now - c("admission_at")).dt.total_microseconds() / 3600e6
        return self._open(self.now).with_columns(
            stay_hours=stayed, hours_over=stayed - c("expected_los_hours").cast(pl.Float64)
        )

    @property
    def returns_between(self) -> tuple[date, date]:
        """Dates of the discharges whose readmissions are counted: as many as the period has, the newest complete."""
        last = self.today - (measures.READMISSION_DAYS + 1) * DAY
        return last - (self.selection.days - 1) * DAY, last

    def readmissions(self, returns: pl.DataFrame) -> pl.DataFrame:
        """place, discharges, readmissions, readmission_pct, from rows of ``queries.returns``."""
        deadline = c("discharge_at") + timedelta(days=measures.READMISSION_DAYS)
        returned = c("readmitted_at").is_not_null() & (c("readmitted_at") <= deadline)
        return (
            self._of_selection(returns.with_columns(c("age_band").fill_null(events.UNKNOWN)))
            .group_by("stay_key", "place")
            .agg(returned=returned.any())
            .group_by("place")
            .agg(discharges=pl.len(), readmissions=c("returned").sum())
            .with_columns(readmission_pct=_percent(c("readmissions"), c("discharges")))
            .sort("place")
        )

    @cached_property
    def quality(self) -> pl.DataFrame | None:
        """rule, accepted, flagged, quarantined; None for a viewer of some departments: it is kept by hospital."""
        if self._viewer.departments is not None:
            return None
        rows = self._snapshot.quality.filter(c("date").is_between(self.first, self.today))
        if self._viewer.hospitals is not None:
            rows = rows.filter(c("hospital_id").is_in(sorted(self._viewer.hospitals)))
        if self.selection.hospital:
            rows = rows.filter(c("hospital_id") == self.selection.hospital)
        return rows.group_by("rule").agg(c("accepted", "flagged", "quarantined").sum()).sort("rule")

    # --- the rows of this page ----------------------------------------------------------------------------------

    @cached_property
    def _allowed(self) -> pl.DataFrame:
        """Department versions that the viewer may see."""
        versions = self._snapshot.departments.with_columns(
            hospital_name=c("hospital_name")
            .sort_by("valid_from")
            .last()
            .over("hospital_id")
            .fill_null(c("hospital_id"))
        )
        for column, allowed in (("hospital_id", self._viewer.hospitals), ("department", self._viewer.departments)):
            if allowed is not None:
                versions = versions.filter(c(column).is_in(sorted(allowed)))
        return versions

    @cached_property
    def _chosen(self) -> pl.DataFrame:
        """Those of them that the filters leave, each with the ``place`` it counts for."""
        chosen = self._allowed
        if self.selection.hospital:
            chosen = chosen.filter(c("hospital_id") == self.selection.hospital)
        if self.selection.department:
            chosen = chosen.filter(c("department") == self.selection.department)
        return chosen.with_columns(place=c("hospital_name" if self.splits_hospitals else "department"))

    def _of_selection(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``rows`` that all filters leave, with what is known of their department."""
        for column, wanted in (("gender", self.selection.gender), ("age_band", self.selection.age)):
            if wanted and column in rows.columns:
                rows = rows.filter(c(column) == wanted)
        return rows.join(self._chosen.select(_OF_DEPARTMENT), on="department_key")

    @cached_property
    def _begun(self) -> pl.DataFrame:
        return self._of_selection(
            self._snapshot.begun.filter(c("date") >= self._needed_since, c("admission_at") <= self.now)
        )

    @cached_property
    def _left(self) -> pl.DataFrame:
        is_needed = c("date").is_null() | (c("date") >= self._needed_since)
        return self._of_selection(self._snapshot.left.filter(is_needed))

    @property
    def _needed_since(self) -> date:
        """First date that the period or the comparison with last week needs; more may be in memory."""
        return min(self.first, self.today - (COMPARED_DAYS - 1) * DAY)

    @cached_property
    def _census(self) -> pl.DataFrame:
        """Occupied beds of the period. The census knows no ages: for an age group it is counted anew from the stays."""
        census = self._recounted if self.selection.age else self._snapshot.census
        return self._of_selection(census.filter(c("date").is_between(self.first, self.today)))

    @property
    def _recounted(self) -> pl.DataFrame:
        """The census of the chosen stays, over the same hours as that of all stays."""
        if self._covered is None:
            return self._snapshot.census
        first, last = self._covered
        spanned = spans(self._left, until=last, after=first - timedelta(hours=1))
        counted = bed_hours(spanned, self._snapshot.departments)
        return self._dated(counted.with_columns(hour_at=hour_start(c("time_key"))))

    @cached_property
    def _staffed(self) -> pl.DataFrame:
        """Staffed beds of every hour of the census in the period, also where nobody lay in them."""
        versions = self._chosen.filter(c("staffed_beds").is_not_null()).select(
            "place", "staffed_beds", "valid_from", "valid_to"
        )
        first, last = self._covered or (self.now, self.now - timedelta(hours=1))
        hours = pl.datetime_range(first, last, "1h", time_unit="us", time_zone="UTC", eager=True).alias("hour_at")
        grid = self._dated(hours.to_frame()).filter(c("date").is_between(self.first, self.today))
        is_valid = (c("hour_at") >= c("valid_from")) & (c("valid_to").is_null() | (c("hour_at") < c("valid_to")))
        return grid.join(versions, how="cross").filter(is_valid)

    @cached_property
    def _covered(self) -> tuple[datetime, datetime] | None:
        """First and last hour of the census in memory: before it there is nothing to compare with."""
        hours = self._snapshot.census["hour_at"]
        first, last = hours.min(), hours.max()
        return (first, last) if isinstance(first, datetime) and isinstance(last, datetime) else None

    def _dated(self, hours: pl.DataFrame) -> pl.DataFrame:
        local = c("hour_at").dt.convert_time_zone(self._snapshot.zone.key)
        return hours.with_columns(date=local.dt.date(), hour=local.dt.hour())

    def _in_period(self, rows: pl.DataFrame, instant: str) -> pl.DataFrame:
        """``rows`` whose ``instant`` lies in the period and has come, with its ``step``."""
        in_period = c("date").is_between(self.first, self.today) & (c(instant) <= self.now)
        return rows.filter(in_period).with_columns(step=self._step(instant))

    def _step(self, instant: str) -> pl.Expr:
        local = c(instant).dt.convert_time_zone(self._snapshot.zone.key)
        return local.dt.hour().cast(pl.Int64) if self.selection.days == 1 else c("date")

    @cached_property
    def _steps(self) -> pl.DataFrame:
        """Every step of the period up to now, also those in which nothing happened."""
        if self.selection.days > 1:
            return pl.date_range(self.first, self.today, eager=True).alias("step").to_frame()
        hour = self.now.astimezone(self._snapshot.zone).hour
        return pl.DataFrame({"step": range(hour + 1)}, schema={"step": pl.Int64})


def _percent(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(100 * part / whole)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
