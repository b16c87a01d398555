"""Accepted events → stays: the fold of a visit's events into what happened to the patient, department by department.

Events of a visit are applied in one total order (event time, type, hub time of snapshots, event id), so the order in
which they came to us does not matter. The rules, each with a worked example in ``infra/docs/visits.md``:

* Of several snapshots of a visit only the newest is looked at.
* A cancel undoes the newest earlier event of its kind that still stands; a cancelled admission (also one that a
  snapshot states) takes the transfers and discharges after it along. A cancel with nothing to undo does nothing.
* An admission, a transfer or a snapshot places the patient in a department: a stay begins.
  The stay before it ends at that moment, unless a discharge ended it earlier. A placement in the department where the
  patient already lies continues the stay (a change of bed).
* A discharge ends the stay; of several the last one counts. A snapshot or an update may state a planned discharge: it
  ends the visit's last stay as long as no discharge event does.
* An update corrects what it states: bed, department, admission time, arrival time, wait, discharge.
* No stay ends before it begins: where times contradict each other it ends as it begins, flagged.
* A visit without a placement has no stay; it waits.
"""

from __future__ import annotations

import polars as pl

from patient_flow.contracts import events

c = pl.col

VISIT_COLUMNS = (
    "visit_id",
    "visit_hash",
    "patient_id",
    "patient_hash",
    "hospital_id",
    "event_id",
    "event_type",
    "event_time",
    "enqueued_at",
    "department",
    "arrival_time",
    "admission_time",
    "discharge_time",
    "wait_minutes",
    "bed_id",
    "discharge_status",
    "quality_flags",
)
"""Columns of silver events that the fold needs."""

TIMES_CONFLICT = "stay_times_conflict"
"""Flag of a stay whose end is stated earlier than its beginning."""
WAIT_TOO_LONG = "wait_is_out_of_range"
"""Flag of a stay that began so long after the arrival that nobody waited for it; as where the sender reports one."""

_CANCELS = {
    "cancel_admission": ("admission", events.SNAPSHOT),
    "cancel_transfer": ("transfer",),
    "cancel_discharge": ("discharge",),
}
_ADMITTING = ("admission", events.SNAPSHOT)
_PLACING = (*_ADMITTING, "transfer")
_RANK = {name: number for number, name in enumerate(events.EVENT_TYPES)}


def in_order(silver: pl.DataFrame, by: str) -> pl.DataFrame:
    """``silver`` events sorted by ``by`` and then in the total order in which they apply."""
    rank = c("event_type").replace_strict(_RANK, return_dtype=pl.Int8)
    hub_time = pl.when(c("event_type") == events.SNAPSHOT).then("enqueued_at")
    return (
        silver.with_columns(_rank=rank, _hub_time=hub_time)
        .sort(by, "event_time", "_rank", "_hub_time", "event_id")
        .drop("_rank", "_hub_time")
    )


def stays(silver: pl.DataFrame) -> pl.DataFrame:
    """One row per stay, from *all* events of the visits in ``silver`` (columns :data:`VISIT_COLUMNS`).

    Columns: visit_id, visit_hash, patient_id, hospital_id, department, from_hospital_id, from_department, stay_number,
    arrival_at, admission_at, discharge_at, wait_minutes, wait_source, length_of_stay_hours,
    visit_length_of_stay_hours, is_visit_start, is_visit_end, bed_id, discharge_status, quality_flags,
    last_enqueued_at.
    """
    ordered = in_order(silver.select(VISIT_COLUMNS), "visit_id")
    standing = _standing(ordered)
    return (
        _placements(standing)
        .pipe(_joined_placements)
        .join(_visits(ordered, standing), on="visit_id", how="left", maintain_order="left")
        .pipe(_measured)
    )


def waiting(silver: pl.DataFrame, stayed: pl.DataFrame) -> pl.DataFrame:
    """``visit_id`` of the visits in ``silver`` that have no stay (yet)."""
    return silver.select("visit_id").unique().join(stayed.select("visit_id").unique(), on="visit_id", how="anti")


def _standing(ordered: pl.DataFrame) -> pl.DataFrame:
    """Events that are not undone by a cancel or, for snapshots, restated by a newer one."""
    is_snapshot = c("event_type") == events.SNAPSHOT
    numbered = ordered.with_row_index("position").filter(
        ~is_snapshot | (c("position") == c("position").filter(is_snapshot).max().over("visit_id"))
    )
    # Cancels are rare, and what they undo depends on each other: a loop says it best.
    with_cancel = numbered.filter(c("event_type").is_in(list(_CANCELS)).any().over("visit_id"))
    undone = [
        position
        for visit in with_cancel.select("visit_id", "position", "event_type").partition_by("visit_id")
        for position in _undone(list(zip(visit["position"], visit["event_type"], strict=True)))
    ]
    return numbered.filter(~c("position").is_in(undone)).drop("position")


def _undone(visit: list[tuple[int, str]]) -> list[int]:
    """Positions of the cancels of one visit and of what they undo."""
    standing: list[tuple[int, str]] = []
    for position, kind in visit:
        targets = _CANCELS.get(kind)
        if targets is None:
            standing.append((position, kind))
            continue
        for place in range(len(standing) - 1, -1, -1):
            if standing[place][1] in targets:
                later = standing[place + 1 :]
                if kind == "cancel_admission":
                    later = [event for event in later if event[1] not in ("transfer", "discharge")]
                standing[place:] = later
                break
    kept = {position for position, _ in standing}
    return [position for position, _ in visit if position not in kept]


def _placements(standing: pl.DataFrame) -> pl.DataFrame:
    """One row per placement and what was said until the next one, in order."""
    is_update, is_discharge = c("event_type") == "update", c("event_type") == "discharge"
    said_discharge = pl.coalesce("discharge_time", pl.when(is_discharge).then("event_time"))
    corrected_admission = pl.when(is_update).then("admission_time")
    return (
        standing.with_columns(
            placement=c("event_type").is_in(_PLACING).cum_sum().over("visit_id"),
            admission=c("event_type").is_in(_ADMITTING).cum_sum().over("visit_id"),
        )
        .with_columns(corrected=corrected_admission.drop_nulls().last().over("visit_id", "admission"))
        .filter(c("placement") > 0)
        .group_by("visit_id", "placement", maintain_order=True)
        .agg(
            hospital_id=c("hospital_id").first(),
            department=pl.when(c("event_type").is_in(_PLACING) | is_update).then("department").drop_nulls().last(),
            is_admission=c("event_type").is_in(_ADMITTING).first(),
            began_at=pl.when(c("event_type") == "transfer")
            .then("event_time")
            .otherwise(pl.coalesce("corrected", "admission_time", "event_time"))
            .first(),
            # An update restates a discharge only where there is one; before that it states a plan (see _visits).
            discharged_at=pl.when(is_discharge.any()).then(
                pl.when(is_discharge | is_update).then(said_discharge).drop_nulls().last()
            ),
            bed_id=c("bed_id").drop_nulls().last(),
        )
    )


def _joined_placements(placements: pl.DataFrame) -> pl.DataFrame:
    """Stays: runs of placements in one department without a discharge between them."""
    place = pl.struct("hospital_id", "department")
    previous_discharge = c("discharged_at").shift().over("visit_id")
    moved = (place != place.shift()).over("visit_id").fill_null(True)
    return (
        placements.with_columns(begins=moved | previous_discharge.is_not_null())
        .with_columns(stay_number=c("begins").cum_sum().over("visit_id").cast(pl.Int32))
        .group_by("visit_id", "stay_number", maintain_order=True)
        .agg(
            c("hospital_id", "department", "is_admission").first(),
            admission_at=c("began_at").first(),
            discharged_at=c("discharged_at").last(),
            bed_id=c("bed_id").drop_nulls().last(),
        )
        .with_columns(
            next_at=c("admission_at").shift(-1).over("visit_id"),
            from_department=pl.when(c("discharged_at").is_null()).then("department").shift().over("visit_id"),
            from_hospital_id=pl.when(c("discharged_at").is_null()).then("hospital_id").shift().over("visit_id"),
            is_last=c("stay_number") == c("stay_number").max().over("visit_id"),
        )
    )


def _visits(ordered: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    """What is said of visits as a whole: the last statement counts."""
    is_arrival = c("event_type") == "arrival"
    ends = c("event_type").is_in(["discharge", "update", events.SNAPSHOT])
    plans = c("event_type").is_in(["update", events.SNAPSHOT])
    said = standing.group_by("visit_id").agg(
        arrival_at=pl.coalesce("arrival_time", pl.when(is_arrival).then("event_time")).drop_nulls().last(),
        reported_wait=c("wait_minutes").drop_nulls().last(),
        planned_at=pl.when(plans).then("discharge_time").drop_nulls().last(),
        status=pl.when(ends).then("discharge_status").drop_nulls().last(),
    )
    seen = ordered.group_by("visit_id").agg(
        c("visit_hash").first(),
        c("patient_id").last(),
        quality_flags=c("quality_flags").explode().drop_nulls().unique().sort(),
        last_enqueued_at=c("enqueued_at").max(),
    )
    return seen.join(said, on="visit_id", how="left")


def _measured(joined: pl.DataFrame) -> pl.DataFrame:
    planned = pl.when(c("planned_at") >= c("admission_at")).then("planned_at")
    return (
        joined.with_columns(
            stated_end=pl.min_horizontal(
                pl.when("is_last").then(pl.coalesce("discharged_at", planned)).otherwise("discharged_at"), "next_at"
            ),
            is_visit_start=(c("stay_number") == 1) & c("is_admission"),
            first_admission_at=c("admission_at").first().over("visit_id"),
            starts_with_admission=c("is_admission").first().over("visit_id"),
        )
        .with_columns(
            discharge_at=pl.max_horizontal("stated_end", pl.when(c("stated_end").is_not_null()).then("admission_at")),
            is_visit_end=c("is_last") & c("stated_end").is_not_null(),
            derived_wait=_minutes(c("admission_at") - c("arrival_at")),
        )
        .with_columns(
            is_wait_too_long=c("is_visit_start")
            & c("reported_wait").is_null()
            & (c("derived_wait") > events.MAX_WAIT_MINUTES)
        )
        .with_columns(
            wait_minutes=pl.when("is_visit_start").then(
                pl.coalesce(
                    "reported_wait",
                    pl.when(c("derived_wait").is_between(0, events.MAX_WAIT_MINUTES)).then("derived_wait"),
                )
            ),
            length_of_stay_hours=_hours(c("discharge_at") - c("admission_at")),
            visit_length_of_stay_hours=pl.when(c("is_visit_end") & c("starts_with_admission")).then(
                _hours(c("discharge_at") - c("first_admission_at"))
            ),
            quality_flags=c("quality_flags")
            .list.set_union(_flag(TIMES_CONFLICT, c("stated_end") < c("admission_at")))
            .list.set_union(_flag(WAIT_TOO_LONG, "is_wait_too_long"))
            .list.sort(),
            discharge_status=pl.when("is_visit_end").then("status"),
        )
        .select(
            "visit_id",
            "visit_hash",
            "patient_id",
            "hospital_id",
            "department",
            "from_hospital_id",
            "from_department",
            "stay_number",
            "arrival_at",
            "admission_at",
            "discharge_at",
            "wait_minutes",
            "length_of_stay_hours",
            "visit_length_of_stay_hours",
            "is_visit_start",
            "is_visit_end",
            "bed_id",
            "discharge_status",
            "quality_flags",
            "last_enqueued_at",
            wait_source=pl.when(c("wait_minutes").is_not_null()).then(
                pl.when(c("reported_wait").is_not_null()).then(pl.lit("reported")).otherwise(pl.lit("derived"))
            ),
        )
    )


def _flag(name: str, is_raised: pl.Expr | str) -> pl.Expr:
    """A list with the flag or none, to be added to others."""
    raised = c(is_raised) if isinstance(is_raised, str) else is_raised
    return pl.when(raised.fill_null(value=False)).then(pl.lit([name])).otherwise(pl.lit([], dtype=pl.List(pl.String)))


def _minutes(duration: pl.Expr) -> pl.Expr:
    return _in_units(duration, 60_000_000)


def _hours(duration: pl.Expr) -> pl.Expr:
    return _in_units(duration, 3_600_000_000)


def _in_units(duration: pl.Expr, microseconds: int) -> pl.Expr:
    """The quotient, the same for one row as among many.

    By a number Polars (2.1.0) divides a single row, but multiplies several rows by the reciprocal, which may differ in
    the last digit; so the divisor is a column.
    """
    counted = duration.dt.total_microseconds()
    return counted / (counted * 0 + microseconds)
