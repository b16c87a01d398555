"""F6, F13-F16 for plain visits, as columns: their stays, attendances and admissions."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts.events import MAX_WAIT_MINUTES
from patient_flow.transforms.visits.admissions import DAY_CASE, OBSERVATION
from patient_flow.transforms.visits.attendances import ADMITTED, DISCHARGED, KEPT
from patient_flow.transforms.visits.departments import with_versions
from patient_flow.transforms.visits.model import EMERGENCY, SIDE, WARD
from patient_flow.transforms.visits.places import VISIT, row_of_each, rows_at

c = pl.col

_WHOLE = (VISIT, "place", "visit_id", "patient_id", "hospital_id")
_OF_STEPS = (*_WHOLE, "event_type", "event_time", "admission_time", "department", "bed_id", "number", "class_in_force")


def stays(steps: pl.DataFrame, visits: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """The stays of ``visits``: placements in one department after each other (F6, F13).

    ``steps`` have the ``place`` of their visit in ``visits``. ``is_fit`` is false where a time that is stated
    contradicts another: such a visit is not plain.
    """
    is_dated = (c("event_type") == "admission") & c("admission_time").is_not_null()
    is_in_visit = c("place") == c("place").shift(-1)
    placing = steps.filter("is_placing").select(*_OF_STEPS, "is_snapshot")
    placed = (
        placing.hstack(rows_at(visits.select("arrived", "end"), placing["place"]))
        .with_columns(
            time=pl.when("is_snapshot").then(pl.coalesce("admission_time", "event_time")).otherwise("event_time"),
        )
        .with_columns(following=pl.when(is_in_visit).then(c("time").shift(-1)).otherwise("end"))
        .with_columns(dates=is_dated & (c("admission_time") < c("following")).fill_null(value=True))
        .with_columns(
            start=pl.when("dates").then("admission_time").otherwise("time"),
            is_fit=~is_dated
            | (
                (c("arrived") < c("admission_time")).fill_null(value=True)
                & (c("dates") | (c("admission_time") == c("time")))
            ),
            is_new=(c("number") == 1) | (c("department") != c("department").shift()),
        )
        .select(
            *_WHOLE,
            "department",
            "bed_id",
            "time",
            "start",
            "end",
            "is_fit",
            "is_new",
            first="number",
            visit_class="class_in_force",
        )
    )
    return _with_ends(_joined(placed)).pipe(with_versions, departments, "department", "start").pipe(_with_kinds)


def _joined(placed: pl.DataFrame) -> pl.DataFrame:
    """One row for placements in the same department: a change of bed."""
    if placed["is_new"].all():
        return placed
    stay = c("is_new").cum_sum()
    kept = [name for name in placed.columns if name not in ("bed_id", "is_fit")]
    return (
        placed.group_by(stay.alias("stay"), maintain_order=True)
        .agg(c(kept).first(), c("bed_id").last(ignore_nulls=True), c("is_fit").all())
        .select(placed.columns)
    )


def _with_ends(rows: pl.DataFrame) -> pl.DataFrame:
    is_first, is_last = c("first") == 1, (c("place") != c("place").shift(-1)).fill_null(value=True)
    count = pl.int_range(pl.len(), dtype=pl.Int32)
    return rows.with_columns(
        stay_number=count - pl.when(is_first).then(count).forward_fill() + 1,
        is_last=is_last,
        discharge_at=pl.when(is_last).then("end").otherwise(c("time").shift(-1)),
        from_department=pl.when(~is_first).then(c("department").shift()),
    )


def _with_kinds(rows: pl.DataFrame) -> pl.DataFrame:
    """F13, and whether a stay comes from another ward."""
    listed = c("listed_class")
    is_emergency = listed.eq_missing(pl.lit(EMERGENCY)) | (
        listed.is_null() & c("visit_class").eq_missing(pl.lit(EMERGENCY))
    )
    kind = (
        pl.when(is_emergency).then(pl.lit(EMERGENCY)).when(listed == "other").then(pl.lit(SIDE)).otherwise(pl.lit(WARD))
    )
    is_ward = c("stay_kind") == WARD
    return rows.with_columns(stay_kind=kind).with_columns(
        is_ward=is_ward, is_transfer=is_ward & (c("first") > 1) & is_ward.shift(fill_value=False)
    )


def with_attendance(visits: pl.DataFrame, rows: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """``visits`` with what F14-F16 make of their stays ``rows``; ``is_foldable`` where nothing needs a closer look."""
    found = (
        visits.hstack(_of_stays(rows, visits.height))
        .pipe(with_versions, departments, "arrival_department", "arrival_dated")
        .with_columns(has_no_stay=c("stay_count").is_null())
    )
    return found.pipe(_attended).pipe(_admitted).pipe(_foldable)


def _of_stays(rows: pl.DataFrame, visits: int) -> pl.DataFrame:
    """What matters of the stays of each visit, a row for each place from 0 up to ``visits``."""
    is_emergency = c("stay_kind") == EMERGENCY

    def first(name: str, of: pl.Expr) -> pl.Expr:
        return pl.when(of).then(name).first(ignore_nulls=True)

    whole = (
        rows.with_columns(row=pl.int_range(pl.len(), dtype=pl.get_index_type()))
        .group_by("place", maintain_order=True)
        .agg(
            stay_count=pl.len(),
            latest_start=c("start").last(),  # each begins after the one before
            are_stays_fit=(c("is_fit") & (c("stay_kind") != SIDE)).all(),
            last_ward=pl.when("is_ward").then("stay_number").last(ignore_nulls=True),
            are_day_case=(~c("is_ward") | c("listed_class").eq_missing(pl.lit(DAY_CASE))).all(),
            first_row=c("row").first(),
            last_row=c("row").last(),
            ward_row=first("row", c("is_ward")),
            emergency_row=first("row", is_emergency),
        )
    )
    found = rows_at(whole, row_of_each(whole["place"], visits))
    return pl.concat(
        [
            found.drop("place", "first_row", "ward_row", "emergency_row"),
            rows_at(
                rows.select(first_kind="stay_kind", first_start="start", first_department="department"),
                found["first_row"],
            ),
            rows_at(
                rows.select(
                    ward_number="stay_number",
                    ward_start="start",
                    ward_time="time",
                    ward_placement="first",
                    ward_class="visit_class",
                ),
                found["ward_row"],
            ),
            rows_at(
                rows.select(emergency_start="start", emergency_department="department"),
                found["emergency_row"],
            ),
        ],
        how="horizontal",
    )


def _attended(found: pl.DataFrame) -> pl.DataFrame:
    """F14, F15: the attendance, its departure and outcome."""
    is_emergency = (c("first_kind") == EMERGENCY).fill_null(value=False)
    in_time = (
        c("arrival_dated").is_not_null() & (c("has_no_stay") | (c("arrival_dated") <= c("first_start")))
    ).fill_null(value=False)
    is_unstated = c("listed_class").is_null() & c("arrival_class").is_null()
    is_elsewhere = c("has_no_stay") | c("arrival_department").ne_missing(c("first_department"))
    is_stated = (pl.coalesce("listed_class", "arrival_class") == EMERGENCY).fill_null(value=False)
    arrives = in_time & pl.when(is_unstated).then(is_elsewhere).otherwise(is_stated)
    is_arrival_right = c("arrived").is_not_null() & (c("has_no_stay") | (c("arrived") <= c("first_start")))
    at = pl.when(is_arrival_right).then("arrived").when(in_time).then("arrival_dated").otherwise(c("emergency_start"))
    ends = ((c("end") >= c("attended_at")) & c("ward_start").is_null()).fill_null(value=False)
    return found.with_columns(
        attended_at=pl.when(is_emergency | arrives).then(at),
        attended_in=pl.coalesce("emergency_department", "arrival_department"),
        is_assumed=arrives & is_unstated & ~is_emergency,
    ).with_columns(
        departure_at=pl.when(c("attended_at").is_not_null()).then(pl.when(ends).then("end").otherwise("ward_start")),
        departs_by_plan=ends & c("is_plan"),
        outcome=pl.when(c("attended_at").is_null())
        .then(None)
        .when(ends)
        .then(pl.when(c("discharge_status").is_in(list(KEPT))).then("discharge_status").otherwise(pl.lit(DISCHARGED)))
        .when(c("ward_start").is_not_null())
        .then(pl.lit(ADMITTED)),
    )


def _admitted(found: pl.DataFrame) -> pl.DataFrame:
    """F16: the admission, its wait and length."""
    has_attendance = c("attended_at").is_not_null()
    arrival = pl.when(has_attendance).then(pl.when(c("outcome") == ADMITTED).then("attended_at")).otherwise("arrived")
    waited = (c("ward_start") - arrival).dt.total_microseconds()
    least = c("is_snapshot").cast(pl.Int64)  # of a snapshot that repeats the arrival there is no wait
    has_ward = c("ward_start").is_not_null()
    ends = has_ward & c("end").is_not_null()
    return found.with_columns(
        arrival_at=pl.coalesce("attended_at", "arrived"),
        is_started=has_ward & (c("is_opened") | has_attendance),
        is_ended=ends,
        reported_wait=pl.when(c("wait_number") >= c("ward_placement")).then("wait_minutes"),
        waited=pl.when(waited >= least).then(waited),
        is_day_case=has_ward & (c("ward_class").eq_missing(pl.lit(DAY_CASE)) | c("are_day_case")),
        is_observation=c("ward_class").eq_missing(pl.lit(OBSERVATION)),
    ).with_columns(
        is_wait_too_long=(c("waited") > MAX_WAIT_MINUTES * 60_000_000).fill_null(value=False),
        visit_length=pl.when("is_started", "is_ended").then((c("end") - c("ward_start")).dt.total_microseconds()),
    )


def _foldable(found: pl.DataFrame) -> pl.DataFrame:
    is_right = (
        c("has_plain_arrival")
        & c("are_stays_fit")
        & (c("latest_start") <= c("last"))
        & (c("end").is_null() | (c("end") >= c("latest_start")))
        & ~(c("is_observation") & c("classes_differ"))
    )
    return found.with_columns(is_foldable=is_right.fill_null(value=True))
