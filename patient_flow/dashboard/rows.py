"""The rows of one page: those of a snapshot that filters and viewer leave, each with the place it counts for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import polars as pl

from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.ahead import Ahead
from patient_flow.dashboard.feeds import Feeds
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.snapshot import COMPARED_DAYS, DAY, Snapshot
from patient_flow.transforms.calendar import hour_start
from patient_flow.transforms.census import bed_hours, spans
from patient_flow.transforms.staffing import beginnings, patient_days

c = pl.col

WEEK = timedelta(days=7)
_OF_DEPARTMENT = (
    "department_key",
    "hospital_id",
    "department",
    "hospital_name",
    "place",
    "class",
    "staffed_beds",
    "expected_los_hours",
)


class PageRows:
    """The rows of one page. Frames are made when first asked for, and each is filtered only once."""

    def __init__(self, snapshot: Snapshot, selection: Selection, viewer: Viewer, now: datetime) -> None:
        self.selection = selection
        self.now = now
        self.today = now.astimezone(snapshot.zone).date()
        self.first = self.today - (selection.days - 1) * DAY
        # The same time on the clock, across a change of the hour.
        self.week_ago = (now.astimezone(snapshot.zone) - WEEK).astimezone(UTC)
        self.splits_hospitals = bool(selection.department) and not selection.hospital
        """True when rows are hospitals: one department of several."""
        self.snapshot = snapshot
        self.viewer = viewer

    # --- what may be chosen -------------------------------------------------------------------------------------

    @cached_property
    def hospitals(self) -> dict[str, str]:
        """Id → name of the hospitals that the viewer may see."""
        seen = (
            self.allowed.sort("hospital_name", "hospital_id")
            .select("hospital_id", "hospital_name")
            .unique(maintain_order=True)
        )
        return dict(seen.iter_rows())

    @cached_property
    def departments(self) -> list[str]:
        """Names of the departments that the viewer may see."""
        return self.allowed["department"].unique().sort().to_list()

    @cached_property
    def listed_places(self) -> list[str]:
        """Places whose beds are known."""
        return self.chosen.filter(c("staffed_beds").is_not_null())["place"].unique().to_list()

    @property
    def is_empty(self) -> bool:
        """True when filters and access leave no department."""
        return self.chosen.is_empty()

    @cached_property
    def is_one_place(self) -> bool:
        """True when the filters leave a single department of a single hospital."""
        listed = self.chosen.filter(c("staffed_beds").is_not_null())
        return bool(self.selection.department) and listed["hospital_id"].n_unique() == 1

    def open_at(self, at: datetime) -> pl.DataFrame:
        """Stays that are open at that time, and confirmed."""
        is_open = (c("admission_at") <= at) & (c("discharge_at").is_null() | (c("discharge_at") > at))
        return self.discharges.filter(is_open, c("confirmed_until").is_null() | (c("confirmed_until") >= at))

    def listed_at(self, at: datetime) -> pl.DataFrame:
        """The chosen departments whose beds are known at that time."""
        is_valid = (c("valid_from") <= at) & (c("valid_to").is_null() | (c("valid_to") > at))
        return self.chosen.filter(is_valid, c("staffed_beds").is_not_null())

    @cached_property
    def ahead(self) -> Ahead:
        """The forecast of the places on the page."""
        return Ahead(self)

    @cached_property
    def feeds(self) -> Feeds:
        """Since when the hospitals on the page have a feed."""
        return Feeds(self)

    # --- the rows of this page ----------------------------------------------------------------------------------

    @cached_property
    def allowed(self) -> pl.DataFrame:
        """Department versions that the viewer may see."""
        versions = self.snapshot.departments.with_columns(
            hospital_name=c("hospital_name")
            .sort_by("valid_from")
            .last()
            .over("hospital_id")
            .fill_null(c("hospital_id"))
        )
        for column, allowed in (("hospital_id", self.viewer.hospitals), ("department", self.viewer.departments)):
            if allowed is not None:
                versions = versions.filter(c(column).is_in(sorted(allowed)))
        return versions

    @cached_property
    def chosen(self) -> pl.DataFrame:
        """Those of them that the filters leave, each with the ``place`` it counts for."""
        chosen = self.allowed
        if self.selection.hospital:
            chosen = chosen.filter(c("hospital_id") == self.selection.hospital)
        if self.selection.department:
            chosen = chosen.filter(c("department") == self.selection.department)
        return chosen.with_columns(place=c("hospital_name" if self.splits_hospitals else "department"))

    def of_selection(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``rows`` that all filters leave, with what is known of their department."""
        for column, wanted in (("gender", self.selection.gender), ("age_band", self.selection.age)):
            if wanted and column in rows.columns:
                rows = rows.filter(c(column) == wanted)
        return rows.join(self.chosen.select(_OF_DEPARTMENT), on="department_key")

    @cached_property
    def admissions(self) -> pl.DataFrame:
        """Stays that have begun."""
        return self.of_selection(
            self.snapshot.admissions.filter(c("date") >= self.compared_since, c("admission_at") <= self.now)
        )

    @cached_property
    def discharges(self) -> pl.DataFrame:
        """Stays that have ended or will, and open ones."""
        is_needed = c("date").is_null() | (c("date") >= self.compared_since)
        return self.of_selection(self.snapshot.discharges.filter(is_needed))

    @cached_property
    def attended(self) -> pl.DataFrame:
        """Attendances that have arrived; a departure that lies ahead is null."""
        arrived = self.snapshot.attended.filter(c("date") >= self.compared_since, c("arrival_at") <= self.now)
        return self.of_selection(
            arrived.with_columns(departure_at=pl.when(c("departure_at") <= self.now).then("departure_at"))
        )

    @cached_property
    def attending(self) -> pl.DataFrame:
        """Attendances that have not departed now, and are confirmed."""
        is_there = c("departure_at").is_null() | (c("departure_at") > self.now)
        is_confirmed = c("confirmed_until").is_null() | (c("confirmed_until") >= self.now)
        return self.of_selection(self.snapshot.attending.filter(c("arrival_at") <= self.now, is_there, is_confirmed))

    @property
    def compared_since(self) -> date:
        """First date that the period or the comparison with last week needs; more may be in memory."""
        return min(self.first, self.today - (COMPARED_DAYS - 1) * DAY)

    @cached_property
    def census(self) -> pl.DataFrame:
        """Occupied beds of the period. The census has no ages: for an age group it is computed from the stays."""
        census = self._recounted if self.selection.age else self.snapshot.census
        return self.of_selection(census.filter(c("date").is_between(self.first, self.today)))

    @property
    def _recounted(self) -> pl.DataFrame:
        """The census of the chosen stays, over the same hours as that of all stays.

        The warehouse knows of an open stay until when it is confirmed, not the gaps before.
        """
        if self.covered is None:
            return self.snapshot.census
        first, last = self.covered
        until = c("confirmed_until")
        confirmed = pl.when(until.is_not_null()).then(pl.concat_list("admission_at", until))
        spanned = spans(
            self.discharges.with_columns(confirmed_spans=confirmed), until=last, after=first - timedelta(hours=1)
        )
        counted = bed_hours(spanned, self.snapshot.departments)
        return self._dated(counted.with_columns(hour_at=hour_start(c("time_key"))))

    @cached_property
    def staffed(self) -> pl.DataFrame:
        """Staffed beds of every hour of the census in the period, whether occupied or not."""
        departments, census = self.snapshot.departments, self.snapshot.census
        versions = (
            self.chosen.filter(c("staffed_beds").is_not_null())
            .select("department_key", "hospital_id", "place", "staffed_beds", "valid_from", "valid_to")
            .join(beginnings(self.snapshot.first_hours, departments), on="department_key")
        )
        days = patient_days(census.select("time_key", "department_key"), departments, self.snapshot.zone.key)
        first, last = self.covered or (self.now, self.now - timedelta(hours=1))
        hours = pl.datetime_range(first, last, "1h", time_unit="us", time_zone="UTC", eager=True).alias("hour_at")
        grid = self._dated(hours.to_frame()).filter(c("date").is_between(self.first, self.today))
        is_valid = (c("hour_at") >= c("valid_from")) & (c("valid_to").is_null() | (c("hour_at") < c("valid_to")))
        is_staffed = is_valid & (c("hour_at") >= c("staffed_from"))
        return grid.join(versions, how="cross").filter(is_staffed).join(days, on=["hospital_id", "date"], how="semi")

    @cached_property
    def covered(self) -> tuple[datetime, datetime] | None:
        """First and last hour of the census in memory: before it there is nothing to compare with."""
        hours = self.snapshot.census["hour_at"]
        first, last = hours.min(), hours.max()
        return (first, last) if isinstance(first, datetime) and isinstance(last, datetime) else None

    def _dated(self, hours: pl.DataFrame) -> pl.DataFrame:
        local = c("hour_at").dt.convert_time_zone(self.snapshot.zone.key)
        return hours.with_columns(date=local.dt.date(), hour=local.dt.hour())

    def in_period(self, rows: pl.DataFrame, instant: str) -> pl.DataFrame:
        """``rows`` whose ``instant`` lies in the period and has come, with its ``step``."""
        in_period = c("date").is_between(self.first, self.today) & (c(instant) <= self.now)
        local_hour = c(instant).dt.convert_time_zone(self.snapshot.zone.key).dt.hour().cast(pl.Int64)
        return rows.filter(in_period).with_columns(step=local_hour if self.selection.days == 1 else c("date"))

    @cached_property
    def steps(self) -> pl.DataFrame:
        """Every step of the period up to now, also those in which nothing happened."""
        if self.selection.days > 1:
            return pl.date_range(self.first, self.today, eager=True).alias("step").to_frame()
        hour = self.now.astimezone(self.snapshot.zone).hour
        return pl.DataFrame({"step": range(hour + 1)}, schema={"step": pl.Int64})
