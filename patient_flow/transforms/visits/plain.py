"""Plain visits, folded as columns: the fast path beside the timeline in Python, which all other visits take.

Plain is a visit that is one snapshot without ``stays``, or one that arrives, is admitted or transferred, and at the end
discharged, by events that state nothing against each other. No cancel, update, correction, import or class without a
bed is among them. A visit is folded here only if all visits of its patient are plain and no attendance of the patient
may go on under another number (F15): rules between visits are those of one patient. ``benchmarks.random_visits`` and
``test_visits_by_rule`` compare both paths with the rules.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import events
from patient_flow.transforms.visits import plain_stays, rows
from patient_flow.transforms.visits.attendances import BOARDING, UNSTATED
from patient_flow.transforms.visits.places import VISIT, gathered, is_first
from patient_flow.transforms.visits.plain_spans import Confirmed

c = pl.col

MIN_EVENTS = 500
"""Of fewer events the timeline in Python takes less time than columns do."""
ARRIVAL, TRIAGE, ADMISSION, TRANSFER, DISCHARGE = "arrival", "triage", "admission", "transfer", "discharge"
_TYPES = (ARRIVAL, TRIAGE, ADMISSION, TRANSFER, DISCHARGE, events.SNAPSHOT)
_LAST_STATED = ("seen_time", "decision_time", "admission_type", "planned_discharge_time", "ready_time", "wait_minutes")


@dataclass(frozen=True)
class Plain:
    """Stays and attendances of plain visits, and the events of all others.

    ``stays`` and ``attendances`` have the number of their visit and the columns of ``rows.STAYS`` and
    ``rows.ATTENDANCES``, in the order of visits; ``visits`` is the number of plain visits, ``waiting`` of those with
    neither.
    """

    stays: pl.DataFrame
    attendances: pl.DataFrame
    visits: int
    waiting: int
    others: pl.DataFrame


def fold_plain(
    ordered: pl.DataFrame,
    departments: pl.DataFrame,
    again: pl.DataFrame,
    unconfirmed_days: int,
    *,
    flagged: Collection[str] = (),
    circles: Collection[str] = (),
) -> Plain:
    """The plain visits among the events ``ordered`` (in their total order, by visit, numbered by ``places``).

    ``again`` has the visits and enqueued_at of repeated snapshots, ``departments`` are rows of DimDepartment. Visits
    that are ``flagged`` (visit_id), and those of patients in ``circles`` of merges, are no plain ones.
    """
    if ordered.height < MIN_EVENTS:
        nothing = ordered.select(VISIT).clear()
        stays, attended = (nothing.with_columns(pl.DataFrame(schema=of)) for of in (rows.STAYS, rows.ATTENDANCES))
        return Plain(stays, attended, 0, 0, ordered)
    steps = _with_places(ordered)
    is_other = _is_other(steps, flagged, circles)
    if is_other.any():
        steps = steps.filter(~is_other)
    visits = _visits(steps)
    stays = plain_stays.stays(steps.with_columns(place=_place()), visits, departments)
    folded = plain_stays.with_attendance(visits, stays, departments)
    careful = pl.concat([folded.filter(~c("is_foldable"))["patient_id"], _continued_elsewhere(folded)]).unique()
    folded = folded.with_columns(is_kept=~c("patient_id").is_in(careful.implode()))
    if careful.len():
        is_other = is_other | ordered[VISIT].is_in(folded.filter(~c("is_kept"))[VISIT].implode())
        stays = stays.filter(gathered(folded["is_kept"], stays["place"]))
    placed, attended = Confirmed(steps, again, departments, unconfirmed_days).rows(folded, stays)
    kept = folded.filter("is_kept")
    waiting = kept.filter(c("stay_count").is_null() & c("attended_at").is_null()).height
    return Plain(placed, attended, kept.height, waiting, ordered.filter(is_other))


def _place() -> pl.Expr:
    """The row of each event's visit in a frame with one row per visit."""
    return (is_first().cum_sum() - 1).cast(pl.get_index_type()).set_sorted()


def _is_other(steps: pl.DataFrame, flagged: Collection[str], circles: Collection[str]) -> pl.Series:
    """True for the events of all patients with a visit that is not plain."""
    is_marked = ~c("is_plain")
    if flagged:
        is_marked |= c("visit_id").is_in(list(flagged))
    if circles:
        is_marked |= c("patient_id").is_in(list(circles)).fill_null(value=False)
    marked = steps.filter(is_marked)[VISIT]
    if marked.is_empty():
        return pl.repeat(value=False, n=steps.height, dtype=pl.Boolean, eager=True)
    is_in_marked = c(VISIT).is_in(marked.unique().implode())
    patients = steps.filter(is_in_marked)["patient_id"].unique()
    is_careful = c("patient_id").is_in(patients.implode()).fill_null(value=False)
    return steps.select(is_in_marked | is_careful).to_series()


def _with_places(ordered: pl.DataFrame) -> pl.DataFrame:
    """The events with their place in their visit, and whether each may be one of a plain visit."""
    kind = c("event_type")
    is_snapshot = kind == events.SNAPSHOT
    is_same = (c("patient_id") == c("patient_id").shift()) & (c("hospital_id") == c("hospital_id").shift())
    marked = ordered.with_columns(
        is_first=is_first(),
        is_last=is_first().shift(-1, fill_value=True),
        is_snapshot=is_snapshot,
        is_placing=is_snapshot | kind.is_in((ADMISSION, TRANSFER)),
        is_same=(is_first() & c("patient_id").is_not_null() & c("hospital_id").is_not_null())
        | is_same.fill_null(value=False),
        row=pl.int_range(pl.len()),
        placed_before=(is_snapshot | kind.is_in((ADMISSION, TRANSFER))).cum_sum().cast(pl.Int64),
    )
    begin = pl.when("is_first")
    class_row = pl.when(c("visit_class").is_not_null()).then("row").forward_fill()
    return marked.with_columns(
        number=c("placed_before") - begin.then(c("placed_before") - c("is_placing").cast(pl.Int64)).forward_fill(),
        class_in_force=pl.when(class_row >= begin.then("row").forward_fill()).then(c("visit_class").forward_fill()),
    ).with_columns(
        is_plain=_may_be_plain(),
        changes_class=~c("is_first") & (c("class_in_force") != c("class_in_force").shift()),
    )


def _may_be_plain() -> pl.Expr:
    kind, begins = c("event_type"), pl.coalesce("admission_time", "event_time")
    is_alone = c("is_first") & c("is_last") & (begins <= c("event_time"))
    return (
        kind.is_in(_TYPES)
        & c("is_same")
        & c("stays").is_null()
        & c("source").ne_missing(pl.lit(events.RECONCILIATION))
        & ~c("partition_id").str.starts_with(events.IMPORTED)
        & ~c("visit_class").is_in(events.CLASSES_WITHOUT_BED).fill_null(value=False)
        & pl.when("is_placing").then(c("department").is_not_null()).otherwise(c("bed_id").is_null())
        & pl.when("is_snapshot")
        .then(is_alone & (c("discharge_time").is_null() | (c("discharge_time") >= begins)))
        .when(kind == DISCHARGE)
        .then("is_last")
        .otherwise(c("discharge_time").is_null())
        & ((kind != ADMISSION) | (c("number") == 1))
    )


def _visits(steps: pl.DataFrame) -> pl.DataFrame:
    """What each visit's events state of it as a whole. Times that plain visits cannot have are not right for others.

    Where one event of a plain visit states a value, or the latest is wanted, the last is taken: the cheapest aggregate.
    """
    kind = c("event_type")

    def last(*kinds: str, of: str | pl.Expr) -> pl.Expr:
        return pl.when(kind.is_in(kinds)).then(of).last(ignore_nulls=True)

    known_at = pl.when(_states_time()).then("event_time").otherwise("enqueued_at")
    ends, is_snapshot = (DISCHARGE, events.SNAPSHOT), c("is_snapshot")
    arrived = pl.coalesce("arrival_time", "event_time")
    return (
        steps.group_by(VISIT, maintain_order=True)
        .agg(
            c("visit_id", "patient_id", "hospital_id", "is_snapshot").first(),
            *(c(name).last(ignore_nulls=True) for name in _LAST_STATED),
            wait_number=pl.when(c("wait_minutes").is_not_null()).then("number").last(ignore_nulls=True),
            discharge_status=last(*ends, of="discharge_status"),
            arrivals=(kind == ARRIVAL).sum(),
            triages=(kind == TRIAGE).sum(),
            classes_differ=c("changes_class").any(),
            is_opened=(is_snapshot | (kind == ADMISSION)).any(),
            first_time=c("event_time").first(),
            last=c("event_time").last(),
            arrived=pl.when(kind == ARRIVAL).then(arrived).otherwise("arrival_time").min(),
            triage_at=pl.when(kind == TRIAGE)
            .then(pl.coalesce("triage_time", "event_time"))
            .otherwise("triage_time")
            .min(),
            arrival_dated=last(ARRIVAL, of=arrived),
            arrival_department=last(ARRIVAL, of="department"),
            arrival_class=last(ARRIVAL, of="class_in_force"),
            discharged=last(DISCHARGE, of="event_time"),
            stated_end=last(*ends, of="discharge_time"),
            placed_last=last(ADMISSION, TRANSFER, of="event_time"),
            known_at=last(events.SNAPSHOT, of=known_at),
            enqueued_at=last(events.SNAPSHOT, of="enqueued_at"),
        )
        .with_columns(
            is_plan=(is_snapshot & (c("stated_end") > c("known_at"))).fill_null(value=False),
            end=pl.when(is_snapshot | (c("stated_end") >= pl.coalesce("placed_last", "stated_end")))
            .then("stated_end")
            .otherwise("discharged"),
            # Rules on several arrivals, and on a triage that stands for one, are not those of plain visits.
            has_plain_arrival=(c("arrivals") <= 1) & ((c("triages") == 0) | (c("arrivals") == 1)),
        )
        .with_columns(planned_at=pl.coalesce("planned_discharge_time", pl.when("is_plan").then("end")))
    )


def _states_time() -> pl.Expr:
    """Whether a snapshot states its own event time (F7)."""
    return pl.coalesce("states_event_time", c("event_time").ne_missing(c("admission_time")))


def _continued_elsewhere(folded: pl.DataFrame) -> pl.Series:
    """Patients with an attendance that a ward visit under another number may go on from (F15)."""
    place = ["patient_id", "hospital_id"]
    is_unstated = c("discharge_status").is_null() | c("discharge_status").is_in([name for name in UNSTATED if name])
    left = folded.filter(c("attended_at").is_not_null() & c("ward_start").is_null() & is_unstated)
    if left.is_empty():
        return folded["patient_id"].clear()
    wards = folded.filter(c("attended_at").is_null() & c("ward_start").is_not_null())
    pairs = left.select(*place, "attended_at", "end").join(wards.select(*place, "ward_start", "ward_time"), on=place)
    latest = c("end") + pl.duration(microseconds=BOARDING)
    has_end = (c("end") >= c("attended_at")).fill_null(value=False)
    fits = (c("ward_time") >= c("attended_at")) & (~has_end | (c("ward_time") <= latest))
    return pairs.filter(fits)["patient_id"]
