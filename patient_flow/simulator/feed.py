"""One deterministic stream of messages: the network's events, timed, formatted and, for a fraction, corrupted.

Not here: waiting and sending (``sending``). A message only states when it is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from heapq import heappop, heappush
from itertools import count, takewhile
from random import Random
from typing import NamedTuple

from . import events
from .corruption import CORRUPTIONS, HARMLESS, OF_DEPARTMENTS, Case, Corruption, Delivery
from .demand import SECOND
from .departments import Department
from .events import Format
from .hospital import Network
from .units import SimEvent

# Mean number of lifecycle events of a visit.
EVENTS_PER_VISIT = 4.5
MOVES = frozenset(
    {"admission", "transfer", "discharge", "cancel_admission", "cancel_transfer", "cancel_discharge"}
    | {"merge_patient", "void_visit", "visit_snapshot"}
)
"""Events that decide about beds."""


class Message(NamedTuple):
    """An event body with its partition key; ``due`` (sending) and ``at`` (event) are in microseconds since 1970.

    ``visit_id`` is that of the correct event, also where the body is corrupted.
    """

    due: int
    at: int
    key: str
    body: bytes
    event_type: str
    corruption: str | None
    visit_id: str = ""


class Pace(NamedTuple):
    """From the real instant ``since`` on simulated time runs ``speed`` times as fast, beginning at ``at``.

    Instants are in microseconds since 1970.
    """

    since: int
    at: int
    speed: float


@dataclass(frozen=True)
class Plan:
    """The definition of a feed. The same plan always gives the same bytes.

    ``start``: when the simulation begins. ``now``: when sending begins; earlier events are history. ``speed``:
    simulated seconds per second after ``now``; ``changes`` of it follow in order. ``rate``: messages per second
    instead, whatever the hour. ``ends_now``: history only. ``spares_moves``: corruptions do not touch who is in which
    bed, and the typing errors of departments are those of one hospital. ``demand``: arrivals relative to those of a
    busy network. ``reserve``: share of beds that departments keep free of planned patients.
    """

    seed: int
    start: int
    now: int
    departments: list[Department]
    zone: tzinfo
    format: Format = "lifecycle"
    dirty: float = 0.05
    speed: float = 1.0
    rate: float | None = None
    ends_now: bool = False
    spares_moves: bool = False
    demand: float = 1.0
    reserve: float = 0.0
    changes: tuple[Pace, ...] = ()


class Timeline:
    """Maps simulated time to real time.

    History keeps its times. From ``now`` on simulated time may run faster than real time: at a ``speed`` every duration
    is divided by it, at a ``rate`` events are evenly spaced. Either way no message states an event later than its
    sending, beds stay finite, and stays, waits and the daily and weekly profile shrink together. Durations are
    therefore realistic at speed 1 only.

    An event sees only the pace that it happens at: what was sent before a change of the speed is the same without it.
    """

    def __init__(self, plan: Plan, visits_per_second: float) -> None:
        self._now = plan.now
        self._paces = (Pace(plan.now, plan.now, plan.speed), *plan.changes)
        self._interval = SECOND / plan.rate if plan.rate else None
        self._live_events = 0
        self._history_waits = plan.rate is not None and plan.start == plan.now
        # Simulated seconds per real second under a rate: the average, as it varies with the hour.
        per_visit = EVENTS_PER_VISIT if plan.format == "lifecycle" else 1.0
        self._average_speed = plan.rate / (per_visit * visits_per_second) if plan.rate else None

    def _pace(self, at: int) -> Pace:
        """The pace at a simulated instant of the live feed."""
        return next((pace for pace in reversed(self._paces) if pace.at <= at), self._paces[0])

    def _real(self, at: int) -> int:
        """Real time of a simulated instant of a live feed without a rate."""
        pace = self._pace(at)
        return pace.since + int((at - pace.at) / pace.speed)

    def _speed(self, at: int) -> float:
        """Simulated seconds per real second at a simulated instant."""
        return self._average_speed or self._pace(at).speed

    def schedule(self, at: int) -> tuple[int, int]:
        """Event time and due time of the next event, which happens at the simulated instant ``at``.

        A rate also applies to the initial admissions of a feed without back-fill.
        """
        is_history = at <= self._now
        if is_history and not self._history_waits:
            return at, at
        if self._interval is None:
            due = self._real(at)
            return due, due
        self._live_events += 1
        due = self._now + int(self._live_events * self._interval)
        return (at if is_history else due), due

    def project(self, at: int, scheduled: int, later: int) -> int:
        """Real time of the simulated instant ``later``, seen from ``at``, whose real time is ``scheduled``.

        Exact at a speed, an estimate under a rate.
        """
        if later <= self._now:
            return later
        return max(scheduled, self._now) + int((later - max(at, self._now)) / self._speed(at))

    def recall(self, scheduled: int, earlier: int) -> int:
        """Real time of a simulated instant before the event whose real time is ``scheduled``.

        Exact at a speed; under a rate, where the past is not known, ``scheduled`` itself.
        """
        if earlier <= self._now:
            return earlier
        if self._interval is not None:
            return scheduled
        return self._real(earlier)

    def scale(self, at: int, duration: int) -> int:
        """The real length of a simulated duration that ended at the simulated instant ``at``."""
        return duration if at <= self._now else int(duration / self._speed(at))


def messages(plan: Plan) -> Iterator[Message]:
    """The messages of a feed in order of delivery, without end unless the plan ends now; memory is bounded.

    Messages are ordered by time, except corrupted ones, which may be late.
    """
    network = Network(
        plan.seed,
        plan.start,
        plan.departments,
        plan.zone,
        transfers=plan.format == "lifecycle",
        demand=plan.demand,
        reserve=plan.reserve,
    )
    return _deliver(_schedule(plan, network), Random(f"corruption/{plan.seed}/{plan.start}"), plan)


@dataclass(frozen=True, slots=True)
class _ScheduledEvent:
    """A correct event with its event time and due time (microseconds since 1970)."""

    event: events.Event
    event_type: str
    due: int
    at: int


def _schedule(plan: Plan, network: Network) -> Iterator[_ScheduledEvent]:
    timeline = Timeline(plan, network.visits_per_second)
    numbers = count(1)
    sim_events: Iterator[SimEvent] = network.events()
    if plan.ends_now:
        sim_events = takewhile(lambda sim_event: sim_event.at <= plan.now, sim_events)
    for sim_event in sim_events:
        if plan.format == "lifecycle":
            at, due = timeline.schedule(sim_event.at)
            planned, left = sim_event.planned_discharge, sim_event.discharged_at
            planned = None if planned is None else timeline.project(sim_event.at, at, planned)
            left = None if left is None else timeline.recall(at, left)
            event = events.lifecycle(sim_event, next(numbers), at, planned, left)
            yield _ScheduledEvent(event, sim_event.kind, due, at)
        elif sim_event.kind == "admission":
            at, due = timeline.schedule(sim_event.at)
            until = timeline.project(sim_event.at, at, sim_event.planned_discharge or sim_event.at)
            waited = timeline.scale(sim_event.at, sim_event.at - sim_event.arrived_at)
            yield _ScheduledEvent(events.reference(sim_event, at, until, waited), "visit_snapshot", due, at)


def _possible(item: _ScheduledEvent, plan: Plan) -> tuple[Corruption, ...]:
    """The corruptions that may happen to an event."""
    if not plan.spares_moves:
        return CORRUPTIONS
    if item.event_type in MOVES:
        return HARMLESS
    is_of_first = item.event["hospital_id"] == plan.departments[0].hospital_id
    return CORRUPTIONS if is_of_first else tuple(kind for kind in CORRUPTIONS if kind not in OF_DEPARTMENTS)


def _deliver(scheduled: Iterator[_ScheduledEvent], rng: Random, plan: Plan) -> Iterator[Message]:
    pending: list[tuple[int, int, Message]] = []
    numbers = count()
    delivered = 0
    for item in scheduled:
        corrupt = rng.choice(_possible(item, plan)) if rng.random() < plan.dirty else None
        if corrupt is None:
            deliveries, corruption = [Delivery(events.encode(item.event))], None
        else:
            latest = events.instant(max(item.due, plan.now))
            deliveries, corruption = corrupt(Case(item.event, rng, latest)), corrupt.__name__
        key = events.partition_key(item.event["patient_id"])
        for body, delay in deliveries:
            visit = str(item.event.get("visit_id", ""))
            message = Message(item.due, item.at, key, body, item.event_type, corruption, visit)
            heappush(pending, (delivered + delay, next(numbers), message))
        while pending and pending[0][0] <= delivered:
            delivered += 1
            yield heappop(pending)[2]
    while pending:
        yield heappop(pending)[2]
