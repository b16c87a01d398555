"""Rows of a page → its numbers: pure functions of snapshot, filters, viewer and now.

What adds up, ratios and percentiles are computed from ``contracts.measures``; beds, open stays and readmissions are
counted here. What has not happened yet does not count. Not here: texts, formats, charts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import polars as pl

from patient_flow.contracts import events, measures
from patient_flow.contracts.measure_types import ATTENDANCES, Measure, Part, Percentile
from patient_flow.dashboard.rows import PageRows
from patient_flow.dashboard.senders import Senders
from patient_flow.dashboard.snapshot import DAY
from patient_flow.transforms.measures import aggregate, counts, ratio

c = pl.col

ADMISSION = "Admission"
"""Origin of the patients who come from no department, as the view DepartmentInflow has it."""
QUALITY_TOTAL = "all"
_PLACE = ("hospital_id", "department")
_CLASS = c("class").fill_null("inpatient")
_OCCUPANCY = measures.BY_NAME["occupancy_pct"]
_READMISSION = measures.BY_NAME["readmission_pct"]


@dataclass(frozen=True)
class Card:
    """One number of the moment, and the same at the same time last week; None where it is not known.

    ``window`` is the time that it covers: empty = this moment.
    """

    name: str
    measure: Measure
    value: float | None
    before: float | None
    window: str = ""


class Figures(PageRows):
    """The numbers of one page. Frames are made when first asked for."""

    @cached_property
    def senders(self) -> Senders:
        """The hospitals on the page that still send events."""
        return Senders(self)

    # --- cards --------------------------------------------------------------------------------------------------

    @cached_property
    def cards(self) -> list[Card]:
        """The numbers of the moment."""
        now, before = self.now, self.week_ago
        week_ago = self.today - 7 * DAY
        knows_week, knows_day_before = self.feeds.are_whole(week_ago), self.feeds.are_whole(week_ago - DAY)
        return [
            _card("in_beds", "in_beds", self._in_beds(now), self._in_beds(before) if knows_week else None),
            _card(
                "occupancy", "occupancy_now_pct", self._occupancy(now), self._occupancy(before) if knows_week else None
            ),
            _card(
                "admissions_today",
                "admissions",
                self._admitted(now),
                self._admitted(before) if knows_week else None,
                "today",
            ),
            *(
                _card(name, measure, self._of_last_day(measure, now), then, "last_24_hours")
                for name, measure in (
                    ("median_wait", "wait_minutes_p50"),
                    ("median_stay", "length_of_stay_hours_median"),
                )
                for then in [self._of_last_day(measure, before) if knows_day_before else None]
            ),
        ]

    def _in_beds(self, at: datetime) -> int:
        return self.open_at(at).height

    def _occupancy(self, at: datetime) -> float | None:
        """Of the headline classes; where the filters leave none of these, of all departments."""
        listed = self.listed_at(at)
        headline = listed.filter(_CLASS.is_in(measures.HEADLINE_CLASSES))
        return self._occupied_share(listed if headline.is_empty() else headline, at)

    @cached_property
    def occupancy_beside(self) -> dict[str, float]:
        """Class → occupancy now of the classes that are not part of the headline."""
        listed = self.listed_at(self.now)
        if listed.filter(_CLASS.is_in(measures.HEADLINE_CLASSES)).is_empty():
            return {}
        shares = {
            name: self._occupied_share(listed.filter(name == _CLASS), self.now) for name in measures.OTHER_CLASSES
        }
        return {name: share for name, share in shares.items() if share is not None}

    def _occupied_share(self, listed: pl.DataFrame, at: datetime) -> float | None:
        staffed = int(listed["staffed_beds"].sum())
        occupied = self.open_at(at).join(listed, on=_PLACE, how="semi").height
        return 100 * occupied / staffed if staffed else None

    @cached_property
    def in_unknown_beds(self) -> int:
        """Patients in departments without known beds, now: no occupancy counts them."""
        return self.open_at(self.now).join(self.listed_at(self.now), on=_PLACE, how="anti").height

    def _admitted(self, at: datetime) -> float | None:
        day = at.astimezone(self.snapshot.zone).date()
        return self._value("admissions", (c("date") == day) & (c("admission_at") <= at))

    def _of_last_day(self, name: str, at: datetime) -> float | None:
        return self._value(name, c(_dated_by(name)).is_between(at - DAY, at, closed="right"))

    def _value(self, name: str, when: pl.Expr) -> float | None:
        measure = measures.BY_NAME[name]
        value = self._dated_rows(name).filter(when).select(aggregate(measure)).item()
        return float(value) if isinstance(value, (int, float)) else None

    # --- declared measures over the period ------------------------------------------------------------------------

    def by_step(self, *names: str) -> pl.DataFrame:
        """step, then the measures ``names``; a step is a date, or an hour when the period is one day."""
        return self._measured(self.steps, "step", names).sort("step")

    def by_place(self, *names: str) -> pl.DataFrame:
        """place, then the measures ``names``, of the places with stays that began or ended in the period."""
        rows = [self.in_period(self._dated_rows(name), _dated_by(name)).select("place") for name in names]
        return self._measured(pl.concat(rows).unique(), "place", names).sort("place")

    def _measured(self, keys: pl.DataFrame, key: str, names: tuple[str, ...]) -> pl.DataFrame:
        counts = [name for name in names if measures.BY_NAME[name].unit == "count"]
        for counted in dict.fromkeys(map(_counted, names)):
            declared = [measures.BY_NAME[name] for name in names if _counted(name) == counted]
            rows = self.in_period(self._dated_rows(declared[0].name), counted[1])
            keys = keys.join(rows.group_by(key).agg(map(aggregate, declared)), on=key, how="left")
        return keys.with_columns(c(counts).fill_null(0)).select(key, *names)

    def _dated_rows(self, name: str) -> pl.DataFrame:
        table, instant = _counted(name)
        if table == ATTENDANCES:
            return self.attended
        return self.discharges if instant == "discharge_at" else self.admissions

    # --- beds ---------------------------------------------------------------------------------------------------

    @cached_property
    def occupancy(self) -> pl.DataFrame:
        """place, gender, occupied_bed_hours, unknown_bed_hours, staffed_bed_hours, occupancy_pct.

        Genders add up to the place. ``unknown_bed_hours`` are those of the occupied ones that lie in departments
        without known beds.
        """
        beds, is_unknown = c("occupied_beds"), c("staffed_beds").is_null()
        occupied = self.census.group_by("place", "gender").agg(
            occupied_bed_hours=beds.sum(), unknown_bed_hours=beds.filter(is_unknown).sum()
        )
        staffed = self.staffed.group_by("place").agg(staffed_bed_hours=c("staffed_beds").sum())
        places = pl.concat([occupied.select("place"), staffed.select("place")]).unique()
        genders = occupied.select("gender").unique()
        return (
            places.join(genders, how="cross")
            .join(occupied, on=["place", "gender"], how="left")
            .join(staffed, on="place", how="left")
            .with_columns(c("occupied_bed_hours", "unknown_bed_hours").fill_null(0))
            .with_columns(
                occupancy_pct=ratio(
                    _OCCUPANCY, c("occupied_bed_hours") - c("unknown_bed_hours"), c("staffed_bed_hours")
                )
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

    def _by_hour(self, *by: str) -> pl.DataFrame:
        """Of departments with known beds only: a curve of patients stands beside one of beds."""
        known = self.census.filter(c("staffed_beds").is_not_null())
        occupied = known.group_by(by).agg(occupied_bed_hours=c("occupied_beds").sum())
        staffed = self.staffed.group_by(by).agg(staffed_bed_hours=c("staffed_beds").sum())
        return (
            staffed.join(occupied, on=by, how="left")
            .with_columns(c("occupied_bed_hours").fill_null(0))
            .with_columns(occupancy_pct=ratio(_OCCUPANCY, c("occupied_bed_hours"), c("staffed_bed_hours")))
            .sort(by)
        )

    # --- flows ------------------------------------------------------------------------------------------------------

    @cached_property
    def flows(self) -> pl.DataFrame:
        """origin, department, patients: admissions and moves into the chosen departments."""
        names = self.snapshot.departments.select(from_department_key="department_key", origin="department")
        came = self.in_period(self.admissions, "admission_at").filter(
            counts(measures.ADMISSIONS) | counts(measures.TRANSFERS_IN)
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
        gone = self.by_place("ended_overstays")
        return here.join(gone, on="place", how="full", coalesce=True).fill_null(0).sort("place")

    @cached_property
    def longest(self) -> pl.DataFrame:
        """Open overstays, longest first: hospital_name, department, bed_id, admission_at, stay_hours, hours_over."""
        columns = ("hospital_name", "department", "bed_id", "admission_at", "stay_hours", "hours_over")
        return self._staying.filter(c("hours_over") > 0).sort("hours_over", descending=True).select(columns)

    @cached_property
    def _staying(self) -> pl.DataFrame:
        stayed = (self.now - c("admission_at")).dt.total_microseconds() / 3600e6
        return self.open_at(self.now).with_columns(
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
            self.of_selection(returns.with_columns(c("age_band").fill_null(events.UNKNOWN)))
            .group_by("stay_key", "place")
            .agg(returned=returned.any())
            .group_by("place")
            .agg(discharges=pl.len(), readmissions=c("returned").sum())
            .with_columns(readmission_pct=ratio(_READMISSION, c("readmissions"), c("discharges")))
            .sort("place")
        )

    @cached_property
    def quality(self) -> pl.DataFrame | None:
        """rule, accepted, flagged, quarantined; None for a viewer of some departments: it is kept by hospital."""
        if self.viewer.departments is not None:
            return None
        rows = self.snapshot.quality.filter(c("date").is_between(self.first, self.today))
        if self.viewer.hospitals is not None:
            rows = rows.filter(c("hospital_id").is_in(sorted(self.viewer.hospitals)))
        if self.selection.hospital:
            rows = rows.filter(c("hospital_id") == self.selection.hospital)
        return rows.group_by("rule").agg(c("accepted", "flagged", "quarantined").sum()).sort("rule")


def _card(name: str, measure: str, value: float | None, before: float | None, window: str = "") -> Card:
    return Card(name, measures.BY_NAME[measure], value, before, window)


def _dated_by(name: str) -> str:
    """The instant on whose date the measure counts."""
    return _counted(name)[1]


def _counted(name: str) -> tuple[str, str]:
    """Table whose rows the measure counts, and the instant that dates them. Raises ``ValueError`` if hand-written."""
    for quantity in measures.BY_NAME[name].quantities:
        part = quantity.rows if isinstance(quantity, Percentile) else quantity
        if isinstance(part, Part):
            return part.table, part.dated_by
    raise ValueError(f"{name} is hand-written")
