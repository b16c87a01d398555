"""The contract's measures from the sample's rows, in Polars: what the DAX must say. Shares nothing with the DAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow_tests.powerbi.sample import (
    ATTENDANCES,
    CENSUS,
    DAILY,
    DEPARTMENTS,
    EXPECTED,
    FRESHNESS,
    HOURS,
    NOW,
    PATIENTS,
    QUALITY,
    SCORES,
    STAYS,
    ZONE,
)

c = pl.col
Number = float | None


@dataclass(frozen=True)
class Choice:
    """What somebody chose in the slicers; nothing chosen is everything."""

    department: str = ""
    gender: str = ""
    hospital: str = ""
    month: str = ""
    shift: str = ""
    day: date | None = None

    @property
    def filters(self) -> dict[str, list[str]]:
        """The choice as filters on the model's columns."""
        chosen = {
            "DimDepartment.department": self.department,
            "DimGender.gender": self.gender,
            "DimHospital.hospital_id": self.hospital,
            "DimDate.month_name": self.month,
            "DimTime.shift": self.shift,
        }
        return {column: [value] for column, value in chosen.items() if value}

    def is_chosen(self, **columns: str) -> pl.Expr:
        """True for rows that fit the choice in the given columns, such as ``department="department"``."""
        wanted = [c(column) == getattr(self, part) for part, column in columns.items() if getattr(self, part)]
        return pl.all_horizontal(pl.lit(True), *wanted)

    def in_place(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of the chosen hospital, department and gender."""
        place = DEPARTMENTS.select(
            "department_key", "hospital_id", "department", "staffed_beds", "expected_los_hours", "class"
        )
        placed = rows.join(place, on="department_key")
        parts = {"department": "department", "hospital": "hospital_id"}
        return placed.filter(self.is_chosen(**parts, **({"gender": "gender"} if "gender" in placed.columns else {})))

    def at(self, rows: pl.DataFrame, moment: str) -> pl.DataFrame:
        """Rows whose ``moment`` lies on the chosen day, and in the month and shift, on the hospital's clock."""
        local = c(moment).dt.convert_time_zone(ZONE)
        hour = local.dt.hour()
        of_day = rows if self.day is None else rows.filter(local.dt.date() == self.day)
        dated = of_day.filter(c(moment).is_not_null()).with_columns(
            month_name=local.dt.strftime("%B"),
            shift=pl.when(hour < 6)
            .then(pl.lit("night"))
            .when(hour < 14)
            .then(pl.lit("day"))
            .when(hour < 22)
            .then(pl.lit("evening"))
            .otherwise(pl.lit("night")),
        )
        return dated.filter(self.is_chosen(month="month_name", shift="shift"))


def measures(choice: Choice) -> Mapping[str, Number]:
    """Every measure under ``choice``; None where nothing is there to measure."""
    return {
        **_occupancy(choice),
        **_now(choice),
        **_movements(choice),
        **_waits(choice),
        **_lengths(choice),
        **_emergency(choice),
        **_readmissions(choice),
        **_daily(choice),
        **_quality(choice),
        **_freshness(),
        **_forecast(choice),
        **_control_charts(choice),
    }


def _staffed(choice: Choice) -> pl.DataFrame:
    """Department hours with known beds: hour, staffed_beds."""
    first, last = CENSUS["hour_at"].min(), CENSUS["hour_at"].max()
    hours = choice.at(HOURS.filter(c("hour_start_at").is_between(first, last)), "hour_start_at")
    departments = DEPARTMENTS.filter(
        c("staffed_beds").is_not_null(), choice.is_chosen(department="department", hospital="hospital_id")
    )
    rows = hours.join(departments, how="cross").filter(
        c("hour_start_at") >= c("valid_from"), c("valid_to").is_null() | (c("hour_start_at") < c("valid_to"))
    )
    is_staffed = [_is_staffed(*row) for row in rows.select("hospital_id", "department", "hour_start_at").iter_rows()]
    return rows.filter(pl.Series(is_staffed, dtype=pl.Boolean))


@cache
def _is_staffed(hospital: str, department: str, hour: datetime) -> bool:
    """From the department's first patient on, or since it opened, on days on which its hospital has one (F19)."""
    occupied = CENSUS.join(DEPARTMENTS.select("department_key", "hospital_id", "department"), on="department_key")
    here = occupied.filter(hospital_id=hospital)
    own = here.filter(department=department)["hour_at"].min()
    opened = DEPARTMENTS.filter(c("hospital_id") == hospital, c("department") == department)["valid_from"].min()
    days = here.select(_date(c("hour_at"))).to_series()
    if hour.astimezone(ZoneInfo(ZONE)).date() not in days.to_list():
        return False
    return (own is not None and hour >= own) or opened > here["hour_at"].min()  # type: ignore[operator]


def _occupancy(choice: Choice) -> dict[str, Number]:
    occupied, staffed = choice.at(choice.in_place(CENSUS), "hour_at"), _staffed(choice)
    local_hour = c("hour_at").dt.convert_time_zone(ZONE).dt.hour()
    known = _in_known_beds(occupied)
    midnight = known.filter(local_hour == 0)["occupied_beds"].sum()
    beds, hours = staffed["staffed_beds"].sum(), staffed["hour_start_at"].n_unique()
    return {
        "Bed occupancy %": _ratio(known["occupied_beds"].sum(), beds),
        "Headline bed occupancy %": _occupancy_of(known, staffed, "inpatient", "critical_care", "maternity"),
        "Bed occupancy, emergency %": _occupancy_of(known, staffed, "emergency"),
        "Bed occupancy, newborn %": _occupancy_of(known, staffed, "newborn"),
        "Bed occupancy, day case %": _occupancy_of(known, staffed, "day_case"),
        "Patients in beds at midnight": _some(occupied.filter(local_hour == 0)["occupied_beds"].sum()),
        "Midnight bed occupancy %": _ratio(midnight, staffed.filter(c("hour") == 0)["staffed_beds"].sum()),
        "Occupied bed hours": _some(occupied["occupied_beds"].sum()),
        "Staffed bed hours": _some(beds),
        "Staffed hours": _some(hours),
        "Average staffed beds": _ratio(beds, hours),
        "Bed turnover": _ratio(_ended(choice).height * hours, beds),
    }


def _occupancy_of(known: pl.DataFrame, staffed: pl.DataFrame, *classes: str) -> Number:
    """No class is read as inpatient."""
    is_wanted = c("class").fill_null("inpatient").is_in(classes)
    return _ratio(known.filter(is_wanted)["occupied_beds"].sum(), staffed.filter(is_wanted)["staffed_beds"].sum())


def _in_known_beds(placed: pl.DataFrame) -> pl.DataFrame:
    """Rows of departments whose staffed beds are known: no percentage of beds counts the others."""
    return placed.filter(c("staffed_beds").is_not_null())


def _ended(choice: Choice) -> pl.DataFrame:
    return choice.at(choice.in_place(STAYS), "discharge_at").filter(
        "is_visit_end", c("discharge_at") <= NOW, ~c("is_day_case"), ~c("is_observation")
    )


def _started(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter("is_visit_start", ~c("is_day_case"), ~c("is_observation"))


def _open(choice: Choice) -> pl.DataFrame:
    is_open = c("discharge_at").is_null() | (c("discharge_at") > NOW)
    is_confirmed = c("confirmed_until").is_null() | (c("confirmed_until") >= NOW)
    return choice.in_place(STAYS).filter(is_open, is_confirmed, c("admission_at") <= NOW)


def _now(choice: Choice) -> dict[str, Number]:
    lying = _open(choice)
    staffed = DEPARTMENTS.filter("is_current", choice.is_chosen(department="department", hospital="hospital_id"))
    current = (pl.lit(NOW) - c("first_admission_at")).dt.total_seconds() / 3600
    is_ward = c("stay_kind") == "ward"
    is_counted = is_ward & ~c("is_day_case") & ~c("is_observation")
    due = pl.coalesce("ready_at", "planned_discharge_at")
    delay = (pl.lit(NOW) - due).dt.total_seconds() / 3600
    late = lying.filter(due <= NOW)
    slept = (_date(pl.lit(NOW)) - _date(c("first_admission_at"))).dt.total_days()
    forgotten = choice.in_place(STAYS).filter(
        c("confirmed_until") < NOW, c("discharge_at").is_null() | (c("discharge_at") > NOW)
    )
    return {
        "Patients in beds now": _some(lying.height),
        "Staffed beds now": _some(staffed["staffed_beds"].sum()),
        "Free beds now": _free(choice, staffed),
        "Bed occupancy now %": _ratio(_in_known_beds(lying).height, staffed["staffed_beds"].sum()),
        "Mean current stay hours": lying.filter(is_counted).select(current.mean()).item(),
        "Expected discharges today": _some(lying.filter(_date(c("planned_discharge_at")) == _date(pl.lit(NOW))).height),
        "Delayed discharges": _some(late.height),
        "Sum of delays hours": _some(late.select(delay.sum()).item()),
        **{
            f"Patients with {nights} nights or more": _some(lying.filter(is_ward, slept >= nights).height)
            for nights in (7, 14, 21)
        },
        "Unconfirmed stays": _some(forgotten.height),
    }


def _free(choice: Choice, staffed: pl.DataFrame) -> Number:
    """A bed is free for every gender."""
    beds = staffed["staffed_beds"].sum()
    return beds - _in_known_beds(_open(replace(choice, gender=""))).height if beds else None


def _forecast(choice: Choice) -> dict[str, Number]:
    """The row of the whole hospital: no choice but that of another hospital reaches the view."""
    whole = EXPECTED.filter(c("department").is_null()).row(0, named=True)
    scored = SCORES.filter(c("department_key") != 0)
    scored = choice.in_place(scored.drop("hospital_id"))
    if choice.month:
        scored = scored.filter(c("date").dt.strftime("%B") == choice.month)
    return {
        "Beds expected": whole["expected_beds"],
        "Beds expected, likely from": whole["p10"],
        "Beds expected, likely to": whole["p90"],
        "Beds expected, hardly below": whole["p025"],
        "Beds expected, hardly above": whole["p975"],
        "Staffed beds then": whole["staffed_beds"],
        "Free beds expected": whole["free_beds"],
        "Free beds, likely from": whole["free_low"],
        "Free beds, likely to": whole["free_high"],
        "Probability of being full": whole["probability_full"],
        "Days judged": whole["judged_days"],
        "Forecast error beds": scored["absolute_error"].mean(),
        "Forecast error, no change beds": scored["persistence_absolute_error"].mean(),
        "Forecast error, week before beds": scored["week_ago_absolute_error"].mean(),
        "Forecast within likely range %": scored["covered_80"].mean(),
    }


_COUNTS_BY_DAY = (
    *("Admissions", "Day cases", "Discharges", "Transfers", "Overstays ended"),
    *("Attendances", "Attendances over 12 hours", "Boarding over four hours"),
)
_RATIOS_BY_DAY = (
    *("Headline bed occupancy %", "Bed occupancy %", "Discharges by 17:00 %"),
    *("Mean wait minutes", "Waits within 240 minutes %"),
    *("Departed within four hours %", "Left without being seen %", "Conversion to admission %"),
)


def _control_charts(choice: Choice) -> dict[str, Number]:
    """By loops over days; the sample's rules of figures changed before all of them."""
    today = NOW.astimezone(ZoneInfo(ZONE)).date()
    first = min(day for rows, moment in _DATED for day in rows.select(_date(c(moment))).to_series().drop_nulls())
    days = [_of_day(replace(choice, day=first + timedelta(days=n))) for n in range((today - first).days)]
    counts = {name: [day[name] for day in days] for name in _COUNTS_BY_DAY}
    return {
        key: value
        for name, values in {
            **{name: [number or 0.0 for number in _from_first(found)] for name, found in counts.items()},
            **{name: [day[name] for day in days if day[name] is not None] for name in _RATIOS_BY_DAY},
        }.items()
        for key, value in _chart(name, values).items()
    }


_DATED = ((STAYS, "admission_at"), (STAYS, "discharge_at"), (CENSUS, "hour_at"), (ATTENDANCES, "arrival_at"))


def _of_day(choice: Choice) -> dict[str, Number]:
    return {
        **_occupancy(choice),
        **_movements(choice),
        **_waits(choice),
        **_lengths(choice),
        **_emergency(choice),
    }


def _from_first(values: list[Number]) -> list[Number]:
    """``values`` from the first day with one on; none without such a day."""
    known = [number for number, value in enumerate(values) if value is not None]
    return values[known[0] :] if known else []


def _chart(name: str, values: list[Any]) -> dict[str, Number]:
    if not values:
        return dict.fromkeys((f"{name}, mean of days", f"{name}, lower limit", f"{name}, upper limit"))
    mean = sum(values) / len(values)
    ranges = [abs(later - earlier) for earlier, later in pairwise(values)]
    usual = [moved for moved in ranges if moved < 3.267 * sum(ranges) / len(ranges)]
    width = 2.66 * sum(usual) / len(usual) if usual else None
    return {
        f"{name}, mean of days": mean,
        f"{name}, lower limit": None if width is None else mean - width,
        f"{name}, upper limit": None if width is None else mean + width,
    }


def _date(moment: pl.Expr) -> pl.Expr:
    return moment.dt.convert_time_zone(ZONE).dt.date()


def _movements(choice: Choice) -> dict[str, Number]:
    here = choice.in_place(STAYS)
    begun = choice.at(here, "admission_at")
    early = _ended(choice).filter(c("discharge_at").dt.convert_time_zone(ZONE).dt.hour() < 17)
    known = begun.filter(c("patient_key") != 0).join(PATIENTS.select("patient_key", "patient_id"), on="patient_key")
    return {
        "Admissions": _some(_started(begun).height),
        "Day cases": _some(begun.filter("is_visit_start", "is_day_case").height),
        "Arrivals": _some(_started(choice.at(here, "arrival_at")).height),
        "Discharges": _some(_ended(choice).height),
        "Discharges by 17:00 %": _ratio(early.height, _ended(choice).height),
        "Transfers": _some(begun["is_transfer"].sum()),
        "Visits": _some(begun.filter(c("stay_kind") == "ward")["visit_id"].n_unique()),
        "Patients": _some(known["patient_id"].n_unique()),
    }


def _waits(choice: Choice) -> dict[str, Number]:
    first = _started(choice.at(choice.in_place(STAYS), "admission_at"))
    waits = first["wait_minutes"].drop_nulls()
    return {
        "Waits": _some(waits.len()),
        "Mean wait minutes": _number(waits.mean()),
        "Median wait minutes": _number(waits.quantile(0.5, "linear")),
        "90th percentile wait minutes": _number(waits.quantile(0.9, "linear")),
        "Waits within 240 minutes %": _ratio((waits <= 240).sum(), waits.len()),
    }


def _lengths(choice: Choice) -> dict[str, Number]:
    lengths = _ended(choice)["visit_length_of_stay_hours"]
    left = choice.at(choice.in_place(STAYS), "discharge_at").filter(c("discharge_at") <= NOW)
    ended = left.filter(c("length_of_stay_hours") > c("expected_los_hours")).height
    so_far = (pl.lit(NOW) - c("admission_at")).dt.total_seconds() / 3600
    still = _open(choice).filter(so_far > c("expected_los_hours")).height
    this_hour = choice.at(pl.DataFrame({"now": [NOW]}), "now")
    return {
        "Ended visits": _some(lengths.count()),
        "Mean length of stay hours": _number(lengths.mean()),
        "Median length of stay hours": _number(lengths.median()),
        "Mean nights": _number(_ended(choice)["nights"].mean()),
        "Mean time in bed hours": _number(_ended(choice)["in_bed_hours"].mean()),
        "Overstays": _some(ended + (still if this_hour.height else 0)),
        "Overstays ended": _some(ended),
        "Overstays open": _some(still),
    }


def _emergency(choice: Choice) -> dict[str, Number]:
    here = choice.in_place(ATTENDANCES)
    attended = choice.at(here, "arrival_at")
    gone = attended.filter(c("departure_at") <= NOW)
    there = here.filter(
        c("arrival_at") <= NOW,
        c("departure_at").is_null() | (c("departure_at") > NOW),
        c("confirmed_until").is_null() | (c("confirmed_until") >= NOW),
    )
    waits = there.filter(c("decision_at") <= NOW).select((pl.lit(NOW) - c("decision_at")).dt.total_seconds() / 60)
    times = {
        "Time to triage": attended["minutes_to_triage"],
        "Time to being seen": attended["minutes_to_seen"],
        "Time in department": gone["minutes_in_department"],
        "Boarding time": gone["boarding_minutes"],
    }
    shares = {"median": 0.5, "90th percentile": 0.9, "95th percentile": 0.95}
    over = (gone["minutes_in_department"] > 720).sum()
    return {
        "Attendances": _some(attended.height),
        "Attendances departed": _some(gone.height),
        "Departed within four hours %": _ratio((gone["minutes_in_department"] <= 240).sum(), gone.height),
        "Attendances over 8 hours": _some((gone["minutes_in_department"] > 480).sum()),
        "Attendances over 12 hours": _some(over),
        "Share over 12 hours %": _ratio(over, gone.height),
        "Left without being seen %": _ratio((gone["outcome"] == "left_without_being_seen").sum(), gone.height),
        "Conversion to admission %": _ratio((gone["outcome"] == "admitted").sum(), gone.height),
        "Boarding over four hours": _some((gone["boarding_minutes"] > 240).sum()),
        **{
            f"{name}, {label} minutes": _number(values.drop_nulls().quantile(share, "linear"))
            for name, values in times.items()
            for label, share in shares.items()
        },
        "In the emergency department now": _some(there.height),
        "Waiting for a bed now": _some(waits.height),
        "Longest wait for a bed now minutes": _number(waits.to_series().max()),
    }


def _readmissions(choice: Choice) -> dict[str, Number]:
    people = PATIENTS.select("patient_key", "patient_id")
    alive = (
        _ended(choice)
        .filter(c("patient_key") != 0, ~c("discharge_status").is_in(["deceased", "transferred"]).fill_null(False))
        .join(people, on="patient_key")
        .select("patient_id", "visit_id", "discharge_at")
    )
    followed = alive.filter(c("discharge_at") + timedelta(days=30) <= NOW)
    returns = _started(STAYS).join(people, on="patient_key")
    sent = (
        STAYS.filter("is_visit_end", c("discharge_at") <= NOW, c("discharge_status") == "transferred")
        .join(people, on="patient_key")
        .select("patient_id", sent="visit_id", sent_from="admission_at", sent_at="discharge_at")
    )
    continued = returns.join(sent, on="patient_id").filter(
        c("sent") != c("visit_id"),
        c("sent_from") < c("admission_at"),
        (c("admission_at") - c("sent_at")).is_between(-timedelta(days=1), timedelta(days=1)),
    )
    returns = returns.join(continued, on="visit_id", how="anti")
    back = returns.select("patient_id", "admission_at", "admission_type", back="visit_id")
    came_back = followed.join(back, on="patient_id").filter(
        c("back") != c("visit_id"), (c("admission_at") - c("discharge_at")).is_between(timedelta(0), timedelta(days=30))
    )
    readmitted = came_back["visit_id"].n_unique()
    return {
        "Readmission within 30 days %": _ratio(readmitted, followed.height),
        "Readmissions within 30 days": _some(readmitted),
        "Emergency readmissions within 30 days": _some(
            came_back.filter(c("admission_type") == "emergency")["visit_id"].n_unique()
        ),
        "Followed discharges": _some(followed.height),
        "Discharges still followed": _some(alive.height - followed.height),
    }


def _daily(choice: Choice) -> dict[str, Number]:
    rows = choice.in_place(DAILY).with_columns(month_name=c("date").dt.strftime("%B"))
    rows = rows.filter(choice.is_chosen(month="month_name"))
    staffed = rows.drop_nulls("staffed_bed_hours").unique(["date", "department_key"])["staffed_bed_hours"].sum()
    return {
        "Admissions (daily table)": _some(rows["admissions"].sum()),
        "Occupied bed hours (daily table)": _some(rows["occupied_bed_hours"].sum()),
        "Staffed bed hours (daily table)": _some(staffed),
        "Bed occupancy % (daily table)": _ratio(_in_known_beds(rows)["occupied_bed_hours"].sum(), staffed),
    }


def _quality(choice: Choice) -> dict[str, Number]:
    rows = QUALITY.with_columns(month_name=c("date").dt.strftime("%B"))
    rows = rows.filter(choice.is_chosen(hospital="hospital_id", month="month_name"))
    events, rules = rows.filter(c("rule") == "all"), rows.filter(c("rule") != "all")
    accepted, quarantined = events["accepted"].sum(), events["quarantined"].sum()
    return {
        "Events received": _some(accepted + quarantined),
        "Events accepted": _some(accepted),
        "Events quarantined": _some(quarantined),
        "Events quarantined %": _ratio(quarantined, accepted + quarantined),
        "Violations flagged": _some(rules["flagged"].sum()),
        "Violations quarantined": _some(rules["quarantined"].sum()),
    }


def _freshness() -> dict[str, Number]:
    newest = FRESHNESS.select(c("newest_event_at").max()).item()
    return {
        "Newest event at": newest.timestamp(),
        "Figures changed at": FRESHNESS["figures_changed_at"].max().timestamp(),  # type: ignore[union-attr]
        "Data age minutes": (NOW - newest).total_seconds() / 60,
        "Load lag seconds": FRESHNESS.select(c("lag_seconds").max()).item(),
        "Rows written": FRESHNESS.select(c("rows_written").sum()).item(),
    }


def _ratio(above: float, below: float) -> Number:
    return above / below if below else None


def _some(count: float) -> Number:
    """DAX counts nothing as empty."""
    return float(count) if count else None


def _number(value: object) -> Number:
    return float(value) if isinstance(value, int | float) else None
