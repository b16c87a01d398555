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
from patient_flow.transforms.visits.places import VISIT, gathered, row_of_each, rows_at
from patient_flow.transforms.visits.timeline import LONGEST_PLAN_COVERED

c = pl.col

_STAY, _ATTENDANCE = "stay", "attendance"
_OF_ITEMS = (
    *(VISIT, "place", "hospital_id", "patient_id", "is_snapshot", "last", "end", "known_at", "enqueued_at"),
    *("first_instant", "last_instant"),
)
_OF_STAYS = (
    *("admission_type", "arrival_at", "planned_at", "ready_time", "discharge_status"),
    *("reported_wait", "waited", "is_wait_too_long", "visit_length"),
    *("is_started", "is_ended", "is_day_case", "is_observation", "ward_number", "last_ward"),
)
"""Columns of visits that each of their open items, and each of their stays, needs."""
_LONGEST_PLAN = pl.duration(microseconds=LONGEST_PLAN_COVERED)


class Confirmed:
    """What confirms the visits of some events."""

    def __init__(
        self, steps: pl.DataFrame, again: pl.DataFrame, departments: pl.DataFrame, unconfirmed_days: int
    ) -> None:
        """``steps`` are the events, ``again`` the arrivals (visit, enqueued_at) of repeated snapshots."""
        self._steps, self._again, self._departments, self._days = steps, again, departments, unconfirmed_days

    def rows(self, visits: pl.DataFrame, stays: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of ``rows.STAYS`` and ``rows.ATTENDANCES``, with the number of their visit, in the order of visits.

        Of the ``visits`` those count that are kept; the ``stays`` are those of these, whole patients together.
        """
        visits = self._with_instants(visits).with_row_index("place")
        items = pl.concat([self._open_stays(visits, stays), self._open_attendances(visits)]).with_row_index("item")
        is_day_case = gathered(visits["is_day_case"], stays["place"])
        wards = stays.select("patient_id", "start").filter(stays["is_ward"] & ~is_day_case)
        confirmed = _listed(items, _cut(items, self._spans(items), wards))
        of_stays = confirmed.filter(c("of") == _STAY)
        of_attendances = confirmed.filter(c("of") == _ATTENDANCE)
        return _stay_rows(visits, stays, of_stays), _attendance_rows(visits, of_attendances)

    def _with_instants(self, visits: pl.DataFrame) -> pl.DataFrame:
        """``visits`` with the first and the last instant that confirms each."""
        again = self._again.group_by(VISIT).agg(first_again=c("enqueued_at").min(), last_again=c("enqueued_at").max())
        return visits.join(again, on=VISIT, how="left", maintain_order="left").with_columns(
            first_instant=pl.min_horizontal("first_time", "enqueued_at", "first_again"),
            last_instant=pl.max_horizontal("last", "enqueued_at", "last_again"),
        )

    def _open_stays(self, visits: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
        days = pl.when(c("stay_kind") == EMERGENCY).then(UNCONFIRMED_DAYS_EMERGENCY).otherwise(self._days)
        is_open = visits.select(c("end").is_null() | c("is_plan")).to_series()
        last = stays.select("place", "stay_kind", "start", "listed_days", "is_last").filter("is_last")
        last = last.filter(gathered(is_open, last["place"]))
        of_visits = rows_at(visits.select(_OF_ITEMS), last["place"])
        return of_visits.hstack(last.drop("place")).pipe(
            _items, _STAY, c("start"), c("end"), pl.coalesce("listed_days", days)
        )

    def _open_attendances(self, visits: pl.DataFrame) -> pl.DataFrame:
        is_open = c("is_kept") & c("attended_at").is_not_null() & (c("departure_at").is_null() | c("departs_by_plan"))
        days = pl.coalesce("listed_days", pl.lit(UNCONFIRMED_DAYS_EMERGENCY))
        return (
            visits.filter(is_open)
            .select(*_OF_ITEMS, "attended_in", "attended_at", "departure_at")
            .pipe(with_versions, self._departments, "attended_in", "attended_at")
            .pipe(_items, _ATTENDANCE, c("attended_at"), c("departure_at"), days)
        )

    def _spans(self, items: pl.DataFrame) -> pl.DataFrame:
        """The spans (``first``, ``until``) of each item, in order, joined where they touch.

        Nearly always the instants lie so close together that they make one span, and what else confirms touches it.
        """
        found = items.select("item", *_one_span())
        is_one = found["is_one"].fill_null(value=False)
        return pl.concat(
            [found.filter(is_one).select("item", "first", "until"), self._several_spans(items.filter(~is_one))]
        )

    def _several_spans(self, items: pl.DataFrame) -> pl.DataFrame:
        own = self._steps.select(VISIT, "event_time", "enqueued_at", "is_snapshot").filter(
            c(VISIT).is_in(items[VISIT].unique().implode())
        )
        instants = pl.concat(
            [
                own.select(VISIT, at="event_time"),
                own.filter("is_snapshot").select(VISIT, at="enqueued_at"),
                self._again.select(VISIT, at="enqueued_at"),
            ]
        )
        confirmed = items.join(instants, on=VISIT).select(
            "item", "start", "end", first="at", until=c("at") + c("lasting")
        )
        lifecycle = items.select("item", "start", "end", first="start", until="lifecycle")
        planned = items.filter(c("end").is_not_null()).select("item", "start", "end", "first", "until")
        clipped = (
            pl.concat([confirmed, lifecycle, planned])
            .select("item", first=pl.max_horizontal("first", "start"), until=_until_end("until"))
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
            .drop("span")
        )


def _items(visits: pl.DataFrame, of: str, start: pl.Expr, end: pl.Expr, days: pl.Expr) -> pl.DataFrame:
    """What is open, or ended by a plan at ``end``; ``first`` and ``until`` are the span of that plan."""
    return visits.select(
        VISIT,
        "place",
        "patient_id",
        "last",
        "first_instant",
        "last_instant",
        of=pl.lit(of),
        start=start,
        end=end,
        lasting=pl.duration(days=days.cast(pl.Int64)),
        lifecycle=pl.when("is_snapshot").then(start).otherwise("last"),
        first="known_at",
        until=pl.min_horizontal(end, c("enqueued_at") + _LONGEST_PLAN),
    )


def _until_end(until: str | pl.Expr) -> pl.Expr:
    return pl.when(c("end").is_null()).then(until).otherwise(pl.min_horizontal(until, "end"))


def _one_span() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """``is_one``, where everything that confirms an item is one span, and this span: ``first``, ``until``."""
    first, until = pl.max_horizontal("first_instant", "start"), _until_end(c("last_instant") + c("lasting"))
    others = [
        (c("start"), _until_end("lifecycle"), pl.lit(value=True)),
        (pl.max_horizontal("first", "start"), _until_end("until"), c("end").is_not_null()),
    ]
    is_one = (c("last_instant") - c("first_instant") <= c("lasting")) & (first < until)
    begins, ends = [first], [until]
    for other_first, other_until, holds in others:
        is_there = (holds & (other_first < other_until)).fill_null(value=False)
        is_one &= ~is_there | ((other_first <= until) & (first <= other_until))
        begins.append(pl.when(is_there).then(other_first))
        ends.append(pl.when(is_there).then(other_until))
    return (
        is_one.alias("is_one"),
        pl.min_horizontal(begins).alias("first"),
        pl.max_horizontal(ends).alias("until"),
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
    is_single = spans["item"].is_unique()
    single = spans.filter(is_single).select(
        "item",
        confirmed_spans=pl.concat_list("first", "until"),
        confirmed_until="until",
        is_elsewhere="is_elsewhere",
    )
    several = (
        spans.filter(~is_single)
        .group_by("item")
        .agg(
            confirmed_spans=pl.concat_list("first", "until").explode(),
            confirmed_until=c("until").max(),
            is_elsewhere=c("is_elsewhere").any(),
        )
    )
    lists = pl.concat([single, several])
    found = rows_at(lists.drop("item"), row_of_each(lists["item"], items.height))
    return (
        items.select("place", "of")
        .hstack(found)
        .with_columns(c("confirmed_spans").fill_null(pl.lit([], pl.List(INSTANT))))
    )


def _flags(*flags: tuple[str, pl.Expr]) -> pl.Expr:
    """The names that hold, joined in their order; null for none."""
    named = [pl.when(holds).then(pl.lit(name)) for name, holds in sorted(flags, key=lambda flag: flag[0])]
    return pl.concat_str(named, separator=rows.SEPARATOR, ignore_nulls=True).replace("", None)


def _stay_rows(visits: pl.DataFrame, stays: pl.DataFrame, confirmed: pl.DataFrame) -> pl.DataFrame:
    place = stays["place"]
    is_start = (c("is_started") & (c("stay_number") == c("ward_number"))).fill_null(value=False)
    is_end = (c("is_ended") & (c("stay_number") == c("last_ward"))).fill_null(value=False)
    is_too_long = is_start & c("is_wait_too_long")
    is_elsewhere = c("is_elsewhere").fill_null(value=False)
    confirming = row_of_each(confirmed["place"], visits.height).gather(place)
    confirming = stays.select(pl.when("is_last").then(confirming)).to_series()
    return (
        stays.hstack(rows_at(visits.select(_OF_STAYS), place))
        .hstack(rows_at(confirmed.select("confirmed_spans", "confirmed_until", "is_elsewhere"), confirming))
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
        )
        .select(VISIT, *(c(name).cast(dtype) for name, dtype in rows.STAYS.items()))
    )


def _attendance_rows(visits: pl.DataFrame, confirmed: pl.DataFrame) -> pl.DataFrame:
    attended = visits.filter(c("is_kept") & c("attended_at").is_not_null())
    confirming = row_of_each(confirmed["place"], visits.height).gather(attended["place"])
    return (
        attended.hstack(rows_at(confirmed.select("confirmed_until", "is_elsewhere"), confirming))
        .with_columns(
            department="attended_in",
            arrival_at="attended_at",
            seen_at="seen_time",
            decision_at="decision_time",
            own_flags=_flags((ASSUMED, c("is_assumed")), (ELSEWHERE, c("is_elsewhere").fill_null(value=False))),
        )
        .select(VISIT, *(c(name).cast(dtype) for name, dtype in rows.ATTENDANCES.items()))
    )
