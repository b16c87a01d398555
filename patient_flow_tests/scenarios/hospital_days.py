"""Random hospital days: events as producers would send them, and as no sane producer would.

A consistent day has visits from arrival to discharge, with the corrections, cancels and re-sent snapshots of a real
feed. A messy day has events of any kind at any time, so that whatever can contradict does. Both fall on the days around
the change of the clocks, and both are small: Hypothesis finds more in many small days than in a few large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from patient_flow_tests.builders import Body, Delivery, department, department_list, event, snapshot

Draw = Any

DAYS = (
    datetime(2026, 3, 28, 20, tzinfo=UTC),  # the evening before Paris skips an hour
    datetime(2026, 10, 24, 20, tzinfo=UTC),  # the evening before Paris has one twice
    datetime(2026, 6, 30, 12, tzinfo=UTC),  # the end of a month: rows change their partition
)
NEXT_MORNING = timedelta(hours=9)
ENQUEUED = datetime(2026, 11, 20, tzinfo=UTC)
"""The hub gets everything later: what it refuses as future is stated as such."""
FUTURE = ENQUEUED + timedelta(days=3)
OPEN_END = datetime(9999, 12, 31, tzinfo=UTC)
"""How some senders write that they know of no end."""

_OTHER = {"hospital_id": "2", "hospital_name": "Lariboisière"}
_SHORT = {"staffed_beds": 8, "expected_los_hours": 5.0, "class": "emergency"}
DEPARTMENTS: pl.DataFrame = department_list(
    department(),
    *(department(staffed_beds=12, unconfirmed_days=1, valid_from=day + NEXT_MORNING) for day in DAYS[:1]),
    *(department(**_SHORT, valid_from=day + NEXT_MORNING) for day in DAYS[1:2]),
    department(department="Surgery", staffed_beds=4, expected_los_hours=20.0, **{"class": "inpatient"}),
    department(**_OTHER, staffed_beds=3, expected_los_hours=1.5, **{"class": "emergency"}),
    department(hospital_id="1", department="Maternity", staffed_beds=2, **{"class": "other"}),
    department(**_OTHER, department="MATERNITY", staffed_beds=2, **{"class": "day_case"}),
)
"""One department changes in the middle of two of the days, once its class too; another is spelled differently in each
hospital."""

PATIENTS = ("p1", "p2", "p3")
PLACES = ("ICU", "Surgery", " surgery", "maternity", "Helipad", "HELIPAD")
"""Listed everywhere, listed in one hospital, spelled differently there or here, listed nowhere in two spellings."""
GENDERS = (None, "Female", "M", "Other", "it depends")
AGES = (None, 0, 42, 43, 120, 137)
BEDS = (None, "7", "W-12", 311)
STATUSES = (None, "home", "deceased", "vanished")
MINUTES = (0, 1, 20, 59.999, 60, 61, 240, 240.001, 600, 1500)
CLASSES = ("inpatient", "emergency", "day_case", "observation", "outpatient", "virtual")
WAITS = (None, 0, 30, 240, 241.5, 20_000)

_gaps = st.sampled_from(MINUTES)
_genders, _ages, _beds = st.sampled_from(GENDERS), st.sampled_from(AGES), st.sampled_from(BEDS)
_hospitals, _places, _statuses = st.sampled_from((1, 2)), st.sampled_from(PLACES), st.sampled_from(STATUSES)
_waits = st.sampled_from(WAITS)
_classes = st.sampled_from((None, None, None, *CLASSES))


class _Visit:
    """Writes the events of one visit down as time goes on."""

    def __init__(self, draw: Draw, number: int, start: datetime) -> None:
        self._draw = draw
        self._named = {"visit_id": f"v{number}", "patient_id": draw(st.sampled_from(PATIENTS))}
        self._hospital = draw(_hospitals)
        self._said = {"gender": draw(_genders), "age": draw(_ages)}
        self.now = start
        self.events: list[Body] = []

    def wait(self) -> None:
        self.now += timedelta(minutes=self._draw(_gaps))

    def say(self, kind: str, **fields: Any) -> None:
        self.wait()
        said = {"department": None, "bed_id": self._draw(_beds), **self._said, **fields}
        self.events.append(
            event(event_type=kind, event_time=self.now, hospital_id=self._hospital, **self._named, **said)
        )

    def place(self, kind: str) -> None:
        self.say(kind, department=self._draw(_places))


@st.composite
def lifecycle_visits(draw: Draw, number: int, start: datetime) -> list[Body]:
    """One visit as its department tells it, event by event."""
    visit = _Visit(draw, number, start + timedelta(minutes=draw(_gaps)))
    if draw(st.booleans()):
        visit.place("arrival")
        visit.say("triage", wait_minutes=draw(_waits))
    visit.place("admission")
    for happening in draw(st.lists(st.sampled_from(sorted(_HAPPENINGS)), max_size=5)):
        _HAPPENINGS[happening](visit, draw)
    return visit.events


def _cancelled_admission(visit: _Visit, draw: Draw) -> None:
    visit.say("cancel_admission")
    if draw(st.booleans()):
        visit.place("admission")


def _cancelled_discharge(visit: _Visit, draw: Draw) -> None:
    visit.say("discharge")
    visit.say("cancel_discharge")


def _cancelled_transfer(visit: _Visit, draw: Draw) -> None:
    visit.place("transfer")
    visit.say("cancel_transfer")


def _correction(visit: _Visit, draw: Draw) -> None:
    hour_ago, soon = visit.now - timedelta(hours=1), visit.now + timedelta(minutes=draw(_gaps))
    corrections: dict[str, Any] = {
        "department": draw(_places),
        "wait_minutes": draw(_waits),
        "admission_time": hour_ago,
        "arrival_time": hour_ago,
        "discharge_time": draw(st.sampled_from((soon, soon, OPEN_END))),
        "discharge_status": draw(_statuses),
        "gender": draw(_genders),
        "age": draw(_ages),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(corrections)), max_size=3))
    if "admission_time" in chosen:
        chosen -= {"discharge_time"}
    visit.say("update", **{name: corrections[name] for name in chosen})


_HAPPENINGS: dict[str, Any] = {
    "admission": lambda visit, draw: visit.place("admission"),
    "cancelled admission": _cancelled_admission,
    "cancelled discharge": _cancelled_discharge,
    "cancelled transfer": _cancelled_transfer,
    "correction": _correction,
    "discharge": lambda visit, draw: visit.say("discharge", discharge_status=draw(_statuses)),
    "transfer": lambda visit, draw: visit.place("transfer"),
}


@st.composite
def snapshot_visits(draw: Draw, number: int, start: datetime) -> list[Body]:
    """One visit in the reference format, restated as its planned discharge moves."""
    admission = start + timedelta(minutes=draw(_gaps))
    fields = {
        "visit_id": draw(st.sampled_from((None, f"v{number}"))),
        "patient_id": draw(st.sampled_from(PATIENTS)),
        "hospital_id": draw(_hospitals),
        "admission_time": admission,
    }
    ends = st.sampled_from((None, FUTURE, OPEN_END, *(admission + timedelta(minutes=minutes) for minutes in MINUTES)))
    return [
        snapshot(
            **fields,
            department=draw(_places),
            gender=draw(_genders),
            age=draw(_ages),
            bed_id=draw(_beds),
            wait_minutes=draw(_waits),
            discharge_time=draw(ends),
            event_time=draw(st.sampled_from((None, admission + timedelta(hours=2)))),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]


@st.composite
def messy_events(draw: Draw, start: datetime) -> Body:
    """Any event at any time: few visits, patients and instants, so that events meet and contradict."""
    instants = st.sampled_from([start + timedelta(minutes=minutes) for minutes in MINUTES])
    maybe = st.none() | instants
    kinds = ("arrival", "triage", "admission", "transfer", "discharge", "update", "visit_snapshot")
    cancels = ("cancel_admission", "cancel_transfer", "cancel_discharge")
    if draw(st.integers(0, 19)) == 0:
        return _merge(draw, draw(instants))
    kind = draw(st.sampled_from((*kinds, "admission", "transfer", "discharge", "update", *cancels, "void_visit")))
    is_snapshot = kind == "visit_snapshot"
    needs_department = kind in ("arrival", "admission", "transfer", "visit_snapshot")
    visit, time = draw(st.sampled_from(("v1", "v1", "v2", "v3"))), draw(instants)
    body = {
        "event_type": kind,
        "visit_id": visit,
        "patient_id": draw(st.sampled_from(PATIENTS[:2])),
        "hospital_id": 1 if visit == "v1" else 2,
        "event_time": time,
        "department": draw(_places if needs_department else st.none() | _places),
        "gender": draw(_genders),
        "age": draw(_ages),
        "arrival_time": draw(maybe),
        "admission_time": draw(instants if is_snapshot else maybe),
        "discharge_time": draw(maybe),
        "wait_minutes": draw(_waits),
        "bed_id": draw(_beds),
        "discharge_status": draw(_statuses),
        "visit_class": draw(_classes),
        "admission_type": draw(st.sampled_from((None, None, "emergency", "elective"))),
        **{name: draw(maybe) for name in ("seen_time", "decision_time", "planned_discharge_time", "ready_time")},
    }
    name = draw(st.sampled_from("abc"))
    return event(event_id=f"{kind}-{name}", **body)


def _merge(draw: Draw, time: datetime) -> Body:
    stays, gone = draw(st.permutations(PATIENTS[:2]))
    named = {"patient_id": stays, "merged_patient_id": gone, "visit_id": None, "department": None}
    return event(event_type="merge_patient", event_time=time, gender=draw(_genders), age=draw(_ages), **named)


@st.composite
def consistent_days(draw: Draw, most_visits: int = 4) -> list[Body]:
    """The events of a few visits."""
    start = draw(st.sampled_from(DAYS))
    visits = [
        draw(draw(st.sampled_from((lifecycle_visits, lifecycle_visits, snapshot_visits)))(number, start))
        for number in range(draw(st.integers(1, most_visits)))
    ]
    return [body for visit in visits for body in visit]


@st.composite
def messy_days(draw: Draw, most_events: int = 20) -> list[Body]:
    """Events without sense."""
    start = draw(st.sampled_from(DAYS))
    return draw(st.lists(messy_events(start), min_size=1, max_size=most_events))


@st.composite
def deliveries(draw: Draw, days: st.SearchStrategy[list[Body]], partitions: int = 3) -> list[Delivery]:
    """A day at the hub: in any order, some of it twice, some of it altered under the same name, some of it unusable."""
    bodies = draw(days)
    again = draw(st.lists(st.sampled_from(bodies), max_size=2))
    altered = [{**body, "note": "altered"} for body in draw(st.lists(st.sampled_from(bodies), max_size=2))]
    unusable = [
        {**body, draw(st.sampled_from(("patient_id", "hospital_id"))): None}
        for body in draw(st.lists(st.sampled_from(bodies), max_size=1))
    ]
    early = [{**body, "event_time": FUTURE.isoformat()} for body in draw(st.lists(st.sampled_from(bodies), max_size=1))]
    order = draw(st.permutations([*bodies, *again, *altered, *unusable, *early]))
    return at_the_hub(order, [draw(st.integers(0, partitions - 1)) for _ in order])


def at_the_hub(bodies: Sequence[Body], partitions: Sequence[int]) -> list[Delivery]:
    """``bodies`` as the hub accepts them, one each second, each in its partition."""
    numbers = [0] * (max(partitions, default=0) + 1)
    received = []
    for turn, (body, partition) in enumerate(zip(bodies, partitions, strict=True)):
        received.append(Delivery(body, ENQUEUED + timedelta(seconds=turn), str(partition), numbers[partition]))
        numbers[partition] += 1
    return received


@st.composite
def batches(draw: Draw, received: Sequence[Delivery], most: int = 4) -> list[list[Delivery]]:
    """``received`` in micro-batches: each partition in its own order, but read at any pace against the others."""
    held: dict[str, list[Delivery]] = {}
    for item in received:
        held.setdefault(item.partition, []).append(item)
    number = draw(st.integers(2, most))
    cut: list[list[Delivery]] = [[] for _ in range(number)]
    for items in held.values():
        bounds = sorted(draw(st.integers(0, len(items))) for _ in range(number - 1))
        for batch, (first, end) in enumerate(zip([0, *bounds], [*bounds, len(items)], strict=True)):
            cut[batch].extend(items[first:end])
    return [batch for batch in cut if batch]
