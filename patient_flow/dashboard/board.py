"""The figures of a bed meeting: beds of every department now, emergency departments, hospitals against last week.

Free beds are no share of a gender or an age group: filters by these do not apply here. Pure functions of rows, as in
``figures``. Not here: texts and tables (``panels``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.fullness import Limits
from patient_flow.dashboard.leaving import Leaving
from patient_flow.dashboard.rows import PageRows
from patient_flow.dashboard.snapshot import DAY
from patient_flow.dashboard.usual import ADMISSION, ARRIVAL, SCHEMA, usual_dates
from patient_flow.transforms.measures import counts

c = pl.col

BOARDING = timedelta(minutes=measures.EMERGENCY_STANDARD_MINUTES)
"""A patient with a decision to admit who waits longer for a bed boards."""
MIN_USUAL_WEEKS = 3
"""Of fewer weeks there is no typical band."""
FORECAST, PLANS, MEAN, MIXED = "forecast", "plans", "mean of the same weekday", "mixed"
"""Sources of figures about the rest of the day; those of baselines of the forecast have their own names."""
_PLACE = ("hospital_id", "department")
_SUMS = (
    *("beds", "staffed_beds", "closed_beds", "occupied_beds", "women", "men", "free_beds", "free_women_beds"),
    *("free_men_beds", "expected_discharges", "delayed", "delay_hours"),
)
IS_HEADLINE = c("class").fill_null("inpatient").is_in(measures.HEADLINE_CLASSES)
NO_FORECAST = pl.DataFrame(
    schema={
        "hospital_id": pl.String(),
        "department": pl.String(),
        "expected_beds": pl.Float64(),
        "expected_admissions": pl.Float64(),
        "source": pl.String(),
    }
)


def waiting_since(now: datetime) -> pl.Expr:
    """When the wait for a bed began, of attendances; null before the decision to admit."""
    return pl.when(c("decision_at") <= now).then("decision_at")


@dataclass(frozen=True)
class Board:
    """The figures of one page. ``rows`` are those of all genders and ages."""

    rows: PageRows
    usual: pl.DataFrame | None = None
    """Hours of the same weekday (``dashboard.usual``); None while they are being read."""
    forecast: pl.DataFrame = field(default_factory=NO_FORECAST.clone)
    """hospital_id, department, expected_beds, expected_admissions until local midnight; empty without a forecast.

    ``source`` is :data:`FORECAST`, or the name of the baseline in its place, which knows nothing of admissions.
    """
    limits: Limits = field(default_factory=Limits)

    # --- departments --------------------------------------------------------------------------------------------

    @cached_property
    def departments(self) -> pl.DataFrame:
        """One row per department that has staffed beds or patients, fullest first.

        hospital_id, hospital_name, department, class, beds, staffed_beds, closed_beds, occupied_beds, women, men,
        free_beds, free_women_beds, free_men_beds, occupancy_pct, expected_discharges (today), expected_admissions and
        expected_tonight (until midnight) with their sources, delayed, delay_hours, over_since.
        """
        now = self.rows.now
        is_valid = (c("valid_from") <= now) & (c("valid_to").is_null() | (c("valid_to") > now))
        listed = self.rows.chosen.filter(is_valid)
        names = ("hospital_name", "class", "beds", "staffed_beds", "women_beds", "men_beds")
        found = (
            listed.select(*_PLACE, *names)
            .join(self._occupied, on=_PLACE, how="full", coalesce=True)
            .with_columns(c("hospital_name").fill_null(c("its_name")))
            .with_columns(c("occupied_beds", "women", "men", "expected_discharges", "delayed").fill_null(0))
            .with_columns(c("delay_hours").fill_null(0.0))
            .filter(c("staffed_beds").is_not_null() | (c("occupied_beds") > 0))
            .join(self._expected_admissions, on=_PLACE, how="left")
            .join(self.forecast, on=_PLACE, how="left", suffix="_forecast")
            .join(self._over_since, on=_PLACE, how="left")
        )
        has_plan = c("class").fill_null("inpatient") != "emergency"
        planned = c("occupied_beds") - c("expected_discharges") + c("expected_admissions")
        is_planned = has_plan & planned.is_not_null()
        is_forecast = c("expected_admissions_forecast").is_not_null()
        return (
            found.with_columns(
                closed_beds=c("beds") - c("staffed_beds"),
                free_beds=c("staffed_beds") - c("occupied_beds"),
                free_women_beds=c("women_beds") - c("women"),
                free_men_beds=c("men_beds") - c("men"),
                occupancy_pct=_share(),
                expected_tonight=pl.coalesce("expected_beds", pl.when(has_plan).then(planned)),
                usual_admissions="expected_admissions",
                tonight_source=pl.coalesce("source", pl.when(is_planned).then(pl.lit(PLANS))),
                admissions_source=_source(is_forecast, has_plan & c("expected_admissions").is_not_null(), MEAN),
            )
            .with_columns(
                expected_admissions=pl.coalesce(
                    "expected_admissions_forecast", pl.when(has_plan).then("expected_admissions")
                )
            )
            .with_columns(over_since=pl.when(c("occupancy_pct") >= self.limits.high).then("over_since"))
            .sort("occupancy_pct", "hospital_name", "department", descending=[True, False, False], nulls_last=True)
        )

    @cached_property
    def hospitals(self) -> pl.DataFrame:
        """Sums of the departments of each hospital, fullest first: of the headline classes, or of all without one."""
        rows = self.departments.with_columns(is_headline=IS_HEADLINE).filter(
            c("is_headline") | ~c("is_headline").any().over("hospital_id")
        )
        known = [pl.when(c(name).is_not_null().any()).then(c(name).sum()).alias(name) for name in _SUMS]
        is_planned = c("tonight_source").is_not_null().all()
        in_known = c("occupied_beds").filter(c("staffed_beds").is_not_null()).sum()
        return (
            rows.group_by("hospital_id", maintain_order=True)
            .agg(
                c("hospital_name").first(),
                *known,
                in_known_beds=in_known,
                over=(c("occupancy_pct") >= self.limits.high).sum(),
                departments=pl.len(),
                # Transfers between its own departments, which their forecasts include, are no admissions of a hospital.
                expected_admissions=pl.when(c("usual_admissions").is_not_null().any()).then(
                    c("usual_admissions").sum()
                ),
                expected_tonight=pl.when(is_planned).then(c("expected_tonight").sum()),
                tonight_source=pl.when(is_planned).then(_common("tonight_source")),
            )
            .with_columns(
                occupancy_pct=100 * c("in_known_beds") / pl.when(c("staffed_beds") > 0).then("staffed_beds"),
                admissions_source=_source(pl.lit(value=False), c("expected_admissions").is_not_null(), MEAN),
            )
            .sort("occupancy_pct", "hospital_name", descending=[True, False], nulls_last=True)
        )

    @cached_property
    def total(self) -> dict[str, Any] | None:
        """The sums of several hospitals in one row of the same columns; None where there are fewer than two."""
        rows = self.hospitals
        if rows.height < 2:
            return None
        known = [
            pl.when(c(name).is_not_null().any()).then(c(name).sum()).alias(name)
            for name in (*_SUMS, "in_known_beds", "expected_admissions")
        ]
        is_planned = c("tonight_source").is_not_null().all()
        total = rows.select(
            *known,
            expected_tonight=pl.when(is_planned).then(c("expected_tonight").sum()),
            tonight_source=pl.when(is_planned).then(_common("tonight_source")),
            admissions_source=pl.lit(MEAN),
        )
        staffed = pl.when(c("staffed_beds") > 0).then("staffed_beds")
        return total.with_columns(occupancy_pct=100 * c("in_known_beds") / staffed).row(0, named=True)

    @property
    def _occupied(self) -> pl.DataFrame:
        return (
            Leaving(self.rows)
            .stays.group_by(_PLACE)
            .agg(
                occupied_beds=pl.len().cast(pl.Int64),
                women=(c("gender") == "Female").sum().cast(pl.Int64),
                men=(c("gender") == "Male").sum().cast(pl.Int64),
                expected_discharges=c("is_expected").sum().cast(pl.Int64),
                delayed=(c("delay_hours") > 0).sum().cast(pl.Int64),
                delay_hours=c("delay_hours").sum(),
                its_name=c("hospital_name").first(),
            )
        )

    @property
    def _over_since(self) -> pl.DataFrame:
        """since, per department: the first hour of the unbroken run of hours over the limit that lasts until now."""
        rows, covered = self.rows, self.rows.covered
        empty = pl.DataFrame(schema={"hospital_id": pl.String(), "department": pl.String(), "over_since": INSTANT})
        if covered is None:
            return empty
        last = covered[1]
        full = (
            rows.snapshot.census.group_by("department_key", "hour_at")
            .agg(c("occupied_beds").sum())
            .join(rows.chosen.select("department_key", *_PLACE, "staffed_beds"), on="department_key")
            .filter(_share() >= self.limits.high)
            .select(*_PLACE, "hour_at")
            .unique()
            .sort("hour_at", descending=True)
        )
        hours_back = (last - c("hour_at")).dt.total_hours()
        is_unbroken = hours_back == pl.int_range(pl.len()).over(_PLACE)
        return full.filter(is_unbroken).group_by(_PLACE).agg(over_since=c("hour_at").min())

    def is_known_since(self, over_since: datetime) -> bool:
        """False where the run of full hours began before the first hour in memory."""
        return self.rows.covered is None or over_since > self.rows.covered[0]

    # --- the rest of the day ------------------------------------------------------------------------------------

    @property
    def _weeks(self) -> pl.DataFrame:
        """hospital_id, date: usual days after the first day of a hospital's feed."""
        dates = pl.DataFrame({"date": usual_dates(self.rows.today)}, schema={"date": pl.Date()})
        return (
            self.rows.feeds.began.join(dates, how="cross").filter(c("date") > c("began")).select("hospital_id", "date")
        )

    def _usual(self, kind: str) -> pl.DataFrame:
        """hospital_id, department, date, hour, patients of the usual days."""
        rows = pl.DataFrame(schema=SCHEMA) if self.usual is None else self.usual
        places = self.rows.chosen.select("department_key", *_PLACE)
        return (
            rows.filter(c("kind") == kind)
            .join(places, on="department_key")
            .join(self._weeks, on=["hospital_id", "date"])
        )

    @property
    def _expected_admissions(self) -> pl.DataFrame:
        """hospital_id, department, expected_admissions: the mean of the usual days from this time of day on."""
        weeks = self._weeks.group_by("hospital_id").agg(weeks=pl.len())
        if self.usual is None or weeks.is_empty():
            return pl.DataFrame(
                schema={"hospital_id": pl.String(), "department": pl.String(), "expected_admissions": pl.Float64()}
            )
        clock = self.rows.now.astimezone(self.rows.snapshot.zone)
        left = pl.when(c("hour") > clock.hour).then(1.0).otherwise((60 - clock.minute) / 60)
        came = (
            self._usual(ADMISSION)
            .filter(c("hour") >= clock.hour)
            .group_by(_PLACE)
            .agg(came=(c("patients") * left).sum())
        )
        return (
            self.rows.chosen.select(_PLACE)
            .unique()
            .join(weeks, on="hospital_id")
            .join(came, on=_PLACE, how="left")
            .select(*_PLACE, expected_admissions=c("came").fill_null(0.0) / c("weeks"))
        )

    @cached_property
    def usual_weeks(self) -> int:
        """Usual days of which admissions are known."""
        return 0 if self.usual is None else self._weeks["date"].n_unique()

    @cached_property
    def arrival_days(self) -> list[date]:
        """Usual days of which all emergency departments have their arrivals: fewer would lower the band."""
        listed = self.rows.listed_at(self.rows.now).filter(c("class") == "emergency")["hospital_id"]
        places = set(listed) or set(self.emergency["hospital_id"])
        needed = places & set(self.rows.feeds.began["hospital_id"])
        if self.usual is None or not needed:
            return []
        return [day for day in usual_dates(self.rows.today) if needed <= self.rows.feeds.before(day)]

    @cached_property
    def arrivals(self) -> pl.DataFrame:
        """hour, arrivals (today; null for hours ahead), p10, p50, p90 (null without enough weeks): all departments."""
        clock = self.rows.now.astimezone(self.rows.snapshot.zone)
        hours = pl.DataFrame({"hour": range(24)}, schema={"hour": pl.Int64()})
        local_hour = c("arrival_at").dt.convert_time_zone(self.rows.snapshot.zone.key).dt.hour().cast(pl.Int64)
        today = (
            self.rows.attended.filter(c("date") == self.rows.today)
            .group_by(hour=local_hour)
            .agg(arrivals=pl.len().cast(pl.Int64))
        )
        days = pl.DataFrame({"date": self.arrival_days}, schema={"date": pl.Date()})
        by_day = self._usual(ARRIVAL).group_by("date", "hour").agg(c("patients").sum())
        is_enough = days.height >= MIN_USUAL_WEEKS
        shares: dict[str, float] = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
        usual = (
            days.join(hours, how="cross")
            .join(by_day, on=["date", "hour"], how="left")
            .group_by("hour")
            .agg(
                **{
                    name: c("patients").fill_null(0).quantile(share, "linear")
                    if is_enough
                    else pl.lit(None, pl.Float64())
                    for name, share in shares.items()
                }
            )
        )
        return (
            hours.join(today, on="hour", how="left")
            .with_columns(arrivals=pl.when(c("hour") <= clock.hour).then(c("arrivals").fill_null(0)))
            .join(usual, on="hour", how="left")
            .sort("hour")
        )

    # --- emergency ----------------------------------------------------------------------------------------------

    @cached_property
    def emergency(self) -> pl.DataFrame:
        """hospital_id, hospital_name, department, in_department, waiting, longest_wait_minutes, boarding; most first.

        Emergency departments without a patient are listed too.
        """
        now = self.rows.now
        wait = now - waiting_since(now)
        found = self.rows.attending.group_by(_PLACE).agg(
            its_name=c("hospital_name").first(),
            in_department=pl.len().cast(pl.Int64),
            waiting=waiting_since(now).count().cast(pl.Int64),
            longest_wait_minutes=wait.max().dt.total_microseconds() / 60e6,
            boarding=(wait > BOARDING).sum().cast(pl.Int64),
        )
        listed = self.rows.listed_at(now).filter(c("class") == "emergency").select(*_PLACE, "hospital_name")
        return (
            listed.join(found, on=_PLACE, how="full", coalesce=True)
            .with_columns(
                c("hospital_name").fill_null(c("its_name")), c("in_department", "waiting", "boarding").fill_null(0)
            )
            .drop("its_name")
            .sort("waiting", "in_department", "hospital_name", descending=[True, True, False])
        )

    # --- against last week --------------------------------------------------------------------------------------

    @cached_property
    def compared(self) -> pl.DataFrame:
        """Hospitals side by side, fullest first, each figure beside the same time a week ago (``…_before``).

        hospital_id, hospital_name, occupancy_pct (headline classes), occupied_beds (all), in_department, admissions and
        attendances (since midnight). Of a hospital whose feed began later, there is no figure of a week ago.
        """
        rows, before = self.rows, self.rows.week_ago
        knows = c("hospital_id").is_in(sorted(rows.feeds.before(rows.today - 7 * DAY)))
        found = self.hospitals.select("hospital_id", "hospital_name", "occupancy_pct")
        at_once: Sequence[tuple[str, datetime]] = (("", rows.now), ("_before", before))
        for suffix, at in at_once:
            figures = [self._occupied_at(at), self._in_department(at), *self._since_midnight(at)]
            for figure in figures:
                name = figure.columns[-1] + suffix
                named = figure.rename({figure.columns[-1]: name})
                found = found.join(named, on="hospital_id", how="left").with_columns(c(name).fill_null(0))
        share = self._occupancy_at(before)
        return found.join(share, on="hospital_id", how="left").with_columns(
            pl.when(knows).then(pl.selectors.ends_with("_before"))
        )

    def _occupied_at(self, at: datetime) -> pl.DataFrame:
        return self.rows.open_at(at).group_by("hospital_id").agg(occupied_beds=pl.len().cast(pl.Int64))

    def _in_department(self, at: datetime) -> pl.DataFrame:
        rows = self.rows.attending
        if at < self.rows.now:
            is_there = c("departure_at").is_null() | (c("departure_at") > at)
            is_confirmed = c("confirmed_until").is_null() | (c("confirmed_until") >= at)
            rows = self.rows.attended.filter(c("arrival_at") <= at, is_there, is_confirmed)
        return rows.group_by("hospital_id").agg(in_department=pl.len().cast(pl.Int64))

    def _since_midnight(self, at: datetime) -> list[pl.DataFrame]:
        day = at.astimezone(self.rows.snapshot.zone).date()
        admitted = self.rows.admissions.filter(c("date") == day, c("admission_at") <= at).filter(
            counts(measures.ADMISSIONS)
        )
        arrived = self.rows.attended.filter(c("date") == day, c("arrival_at") <= at)
        return [
            rows.group_by("hospital_id").agg(pl.len().cast(pl.Int64).alias(name))
            for rows, name in ((admitted, "admissions"), (arrived, "attendances"))
        ]

    def _occupancy_at(self, at: datetime) -> pl.DataFrame:
        """hospital_id, occupancy_pct_before: of the headline classes, or of all departments where there is none."""
        listed = self.rows.listed_at(at).with_columns(is_headline=IS_HEADLINE)
        listed = listed.filter(c("is_headline") | ~c("is_headline").any().over("hospital_id"))
        occupied = self.rows.open_at(at).join(listed, on=_PLACE, how="semi").group_by("hospital_id").agg(there=pl.len())
        staffed = listed.group_by("hospital_id").agg(c("staffed_beds").sum())
        share = 100 * c("there").fill_null(0) / pl.when(c("staffed_beds") > 0).then("staffed_beds")
        return staffed.join(occupied, on="hospital_id", how="left").select("hospital_id", occupancy_pct_before=share)


def _share() -> pl.Expr:
    return 100 * c("occupied_beds") / pl.when(c("staffed_beds") > 0).then("staffed_beds")


def _common(name: str) -> pl.Expr:
    return pl.when(c(name).n_unique() == 1).then(c(name).first()).otherwise(pl.lit(MIXED))


def _source(is_forecast: pl.Expr, is_known: pl.Expr, otherwise: str) -> pl.Expr:
    return pl.when(is_forecast).then(pl.lit(FORECAST)).when(is_known).then(pl.lit(otherwise))
