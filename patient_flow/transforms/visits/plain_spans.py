"""F17, F18 for plain visits, as columns: which hours of what is open count; and the rows of stays and attendances."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.transforms.visits import rows
from patient_flow.transforms.visits.admissions import WAIT_TOO_LONG
from patient_flow.transforms.visits.attendances import ASSUMED
from patient_flow.transforms.visits.confirmations import ELSEWHERE, UNCONFIRMED_DAYS_EMERGENCY
from patient_flow.transforms.visits.departments import with_versions
from patient_flow.transforms.visits.model import EMERGENCY
from patient_flow.transforms.visits.timeline import LONGEST_PLAN_COVERED

c = pl.col

_STAY, _ATTENDANCE = "stay", "attendance"
_LONGEST_PLAN = pl.duration(microseconds=LONGEST_PLAN_COVERED)


class Confirmed:
    """What confirms the visits of some events."""

    def __init__(
        self, steps: pl.DataFrame, again: pl.DataFrame, departments: pl.DataFrame, unconfirmed_days: int
    ) -> None:
        """``steps`` are the events, ``again`` the arrivals (visit_id, enqueued_at) of repeated snapshots."""
        self._steps, self._again, self._departments, self._days = steps, again, departments, unconfirmed_days

    def rows(self, visits: pl.DataFrame, stays: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of ``rows.STAYS`` and ``rows.ATTENDANCES`` of all visits of some patients."""
        items = pl.concat([self._open_stays(visits, stays), self._open_attendances(visits)]).with_row_index("item")
        wards = stays.filter("is_ward").join(
            visits.filter(~c("is_day_case")).select("visit_id"), on="visit_id", how="semi"
        )
        confirmed = _listed(items, _cut(items, self._spans(items), wards))
        of_stays = confirmed.filter(c("of") == _STAY)
        of_attendances = confirmed.filter(c("of") == _ATTENDANCE)
        return _stay_rows(visits, stays, of_stays), _attendance_rows(visits, of_attendances)

    def _open_stays(self, visits: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
        days = pl.when(c("stay_kind") == EMERGENCY).then(UNCONFIRMED_DAYS_EMERGENCY).otherwise(self._days)
        last = stays.filter("is_last").select("visit_id", "stay_kind", "start", "listed_days")
        is_open = c("end").is_null() | c("is_plan")
        return (
            visits.filter(is_open)
            .drop("listed_days")
            .join(last, on="visit_id", maintain_order="left")
            .pipe(_items, _STAY, c("start"), c("end"), pl.coalesce("listed_days", days))
        )

    def _open_attendances(self, visits: pl.DataFrame) -> pl.DataFrame:
        is_open = c("attended_at").is_not_null() & (c("departure_at").is_null() | c("departs_by_plan"))
        days = pl.coalesce("listed_days", pl.lit(UNCONFIRMED_DAYS_EMERGENCY))
        return (
            visits.filter(is_open)
            .drop("listed_class", "listed_days")
            .pipe(with_versions, self._departments, "attended_in", "attended_at")
            .pipe(_items, _ATTENDANCE, c("attended_at"), c("departure_at"), days)
        )

    def _spans(self, items: pl.DataFrame) -> pl.DataFrame:
        """The spans (``first``, ``until``) of each item, in order, joined where they touch."""
        visits = items.select("visit_id").unique()
        own = self._steps.select("visit_id", "event_time", "enqueued_at", "is_snapshot").join(
            visits, on="visit_id", how="semi"
        )
        instants = pl.concat(
            [
                own.select("visit_id", at="event_time"),
                own.filter("is_snapshot").select("visit_id", at="enqueued_at"),
                self._again.select("visit_id", at="enqueued_at").join(visits, on="visit_id", how="semi"),
            ]
        )
        confirmed = items.join(instants, on="visit_id").select(
            "item", "start", "end", first="at", until=c("at") + c("lasting")
        )
        lifecycle = items.select("item", "start", "end", first="start", until="lifecycle")
        planned = items.filter(c("end").is_not_null()).select("item", "start", "end", "first", "until")
        clipped = (
            pl.concat([confirmed, lifecycle, planned])
            .select(
                "item",
                first=pl.max_horizontal("first", "start"),
                until=pl.when(c("end").is_null()).then("until").otherwise(pl.min_horizontal("until", "end")),
            )
            .filter(c("first") < c("until"))
            .sort("item", "first")
        )
        reached = c("until").cum_max().over("item")
        is_next = (c("item") != c("item").shift()) | (c("first") > c("reached").shift())
        return (
            clipped.with_columns(reached=reached)
            .with_columns(span=is_next.fill_null(value=True).cum_sum())
            .group_by("span", maintain_order=True)
            .agg(c("item", "first").first(), c("until").max())
        )


def _items(visits: pl.DataFrame, of: str, start: pl.Expr, end: pl.Expr, days: pl.Expr) -> pl.DataFrame:
    """What is open, or ended by a plan at ``end``; ``first`` and ``until`` are the span of that plan."""
    return visits.select(
        "visit_id",
        "patient_id",
        "last",
        of=pl.lit(of),
        start=start,
        end=end,
        lasting=pl.duration(days=days.cast(pl.Int64)),
        lifecycle=pl.when("is_snapshot").then(start).otherwise("last"),
        first="known_at",
        until=pl.min_horizontal(end, c("enqueued_at") + _LONGEST_PLAN),
    )


def _cut(items: pl.DataFrame, spans: pl.DataFrame, wards: pl.DataFrame) -> pl.DataFrame:
    """F17: the spans up to when the patient is placed in a ward of another visit after the last event of this one."""
    placed = wards.select("patient_id", placed_at="start").sort("placed_at")
    found = (
        items.select("item", "patient_id", "last")
        .sort("last")
        .join_asof(
            placed,
            left_on="last",
            right_on="placed_at",
            by="patient_id",
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .select("item", "placed_at")
    )
    reached = spans.group_by("item").agg(reached=c("until").max())
    elsewhere = found.join(reached, on="item").filter(c("reached") > c("placed_at")).select("item", "placed_at")
    return (
        spans.join(elsewhere, on="item", how="left", maintain_order="left")
        .with_columns(is_elsewhere=c("placed_at").is_not_null())
        .filter((c("first") < c("placed_at")).fill_null(value=True) | (c("placed_at").is_null()))
        .with_columns(until=pl.min_horizontal("until", "placed_at"))
    )


def _listed(items: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """One row per item: its spans as a list of instants, when they end, and whether the patient is elsewhere."""
    lists = spans.group_by("item").agg(
        confirmed_spans=pl.concat_list("first", "until").explode(),
        confirmed_until=c("until").max(),
        is_elsewhere=c("is_elsewhere").any(),
    )
    return (
        items.select("item", "visit_id", "of")
        .join(lists, on="item", how="left")
        .with_columns(c("confirmed_spans").fill_null(pl.lit([], pl.List(INSTANT))))
    )


def _flags(*flags: tuple[str, pl.Expr]) -> pl.Expr:
    """The names that hold, joined in their order; null for none."""
    named = [pl.when(holds).then(pl.lit(name)) for name, holds in sorted(flags, key=lambda flag: flag[0])]
    return pl.concat_str(named, separator=rows.SEPARATOR, ignore_nulls=True).replace("", None)


def _stay_rows(visits: pl.DataFrame, stays: pl.DataFrame, confirmed: pl.DataFrame) -> pl.DataFrame:
    of_visit = visits.select(
        "visit_id",
        "admission_type",
        "arrival_at",
        "planned_at",
        "ready_time",
        "reported_wait",
        "waited",
        "visit_length",
        "is_started",
        "is_ended",
        "is_day_case",
        "is_observation",
        "is_wait_too_long",
        "discharge_status",
        "ward_number",
        "last_ward",
    )
    is_start = (c("is_started") & (c("stay_number") == c("ward_number"))).fill_null(value=False)
    is_end = (c("is_ended") & (c("stay_number") == c("last_ward"))).fill_null(value=False)
    is_too_long = is_start & c("is_wait_too_long")
    is_elsewhere = c("is_last") & c("is_elsewhere").fill_null(value=False)
    return (
        stays.join(of_visit, on="visit_id", maintain_order="left")
        .join(
            confirmed.select("visit_id", "confirmed_spans", "confirmed_until", "is_elsewhere"),
            on="visit_id",
            how="left",
            maintain_order="left",
        )
        .with_columns(is_visit_start=is_start, is_visit_end=is_end, has_visit_lengths=is_end & c("is_started"))
        .with_columns(
            from_hospital_id=pl.when(c("from_department").is_not_null()).then("hospital_id"),
            admission_at="start",
            planned_discharge_at=pl.when("is_last").then("planned_at"),
            ready_at=pl.when("is_last").then("ready_time"),
            reported_wait=pl.when(is_start).then("reported_wait"),
            waited=pl.when(is_start & ~c("is_wait_too_long")).then("waited"),
            visit_length=pl.when("has_visit_lengths").then("visit_length"),
            discharge_status=pl.when(is_end).then("discharge_status"),
            own_flags=_flags((ELSEWHERE, is_elsewhere), (WAIT_TOO_LONG, is_too_long & c("reported_wait").is_null())),
            confirmed_spans=pl.when("is_last").then("confirmed_spans"),
            confirmed_until=pl.when("is_last").then("confirmed_until"),
        )
        .select(c(name).cast(dtype) for name, dtype in rows.STAYS.items())
    )


def _attendance_rows(visits: pl.DataFrame, confirmed: pl.DataFrame) -> pl.DataFrame:
    return (
        visits.filter(c("attended_at").is_not_null())
        .join(
            confirmed.select("visit_id", "confirmed_until", "is_elsewhere"),
            on="visit_id",
            how="left",
            maintain_order="left",
        )
        .with_columns(
            department="attended_in",
            arrival_at="attended_at",
            seen_at="seen_time",
            decision_at="decision_time",
            own_flags=_flags((ASSUMED, c("is_assumed")), (ELSEWHERE, c("is_elsewhere").fill_null(value=False))),
        )
        .select(c(name).cast(dtype) for name, dtype in rows.ATTENDANCES.items())
    )
