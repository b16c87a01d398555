"""One deterministic stream of messages: the network's happenings, dated, formatted and, for a fraction, spoilt.

Not here: waiting and sending (``sending``). A message only says from when on it may leave.
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
from .demand import SECOND
from .departments import Department
from .dirt import KINDS, Case, Delivery
from .events import Format
from .hospital import Happening, Network


class Message(NamedTuple):
    """A body and what its way to the hub needs to know; ``due`` and ``at`` in microseconds since 1970 (UTC)."""

    due: int
    at: int
    key: str
    body: bytes
    event_type: str
    dirt: str | None


@dataclass(frozen=True)
class Plan:
    """What a feed is to contain. The same plan always gives the same bytes.

    ``start``: when the simulation begins. ``now``: when sending begins; what lies before is history.
    ``speed``: hospital seconds per second after ``now``. ``rate``: messages per second instead, whatever the hour.
    ``ends_now``: history only.
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


class Timeline:
    """What the hospital's clock shows on the wire.

    History keeps its times. From ``now`` on the hospital may live faster than the calendar: at a ``speed`` its hours
    are shortened evenly, at a ``rate`` its next event always happens at the next beat. Either way all that a feed
    says has happened by the time it is sent, beds stay finite and stays, waits and the rhythm of day and week shrink
    together. So figures in hours are only true to life at speed 1.
    """

    def __init__(self, plan: Plan, visits_per_second: float) -> None:
        self._now = plan.now
        self._speed = plan.speed
        self._beat = SECOND / plan.rate if plan.rate else None
        self._beats = 0
        self._history_waits = plan.rate is not None and plan.start == plan.now
        # Hospital seconds per second on the wire. Under a rate it varies with the hour, and this is the average of a
        # feed with one message per visit: only such messages look ahead.
        self._tempo = plan.rate / visits_per_second if plan.rate else plan.speed

    def place(self, at: int) -> tuple[int, int]:
        """The instant that the next event, of the hospital's instant ``at``, carries, and the instant it is due.

        A rate also binds the admissions of those who are in bed when a feed without back-fill opens.
        """
        is_history = at <= self._now
        if is_history and not self._history_waits:
            return at, at
        if self._beat is None:
            due = self._now + int((at - self._now) / self._speed)
            return due, due
        self._beats += 1
        due = self._now + int(self._beats * self._beat)
        return (at if is_history else due), due

    def foresee(self, at: int, placed: int, later: int) -> int:
        """What a ``later`` instant of the hospital will be on the wire, seen from ``at``, which was ``placed``.

        Exact at a speed, an estimate under a rate.
        """
        if later <= self._now:
            return later
        return max(placed, self._now) + int((later - max(at, self._now)) / self._tempo)

    def shorten(self, at: int, duration: int) -> int:
        """A hospital's duration that ended at its instant ``at``, as long as it is on the wire."""
        return duration if at <= self._now else int(duration / self._tempo)


def messages(plan: Plan) -> Iterator[Message]:
    """The feed in order of delivery, without end unless the plan ends now; bounded memory.

    A spoilt message may be late; all others follow each other in time.
    """
    network = Network(plan.seed, plan.start, plan.departments, plan.zone, transfers=plan.format == "lifecycle")
    return _delivered(_dated(plan, network), Random(f"dirt/{plan.seed}/{plan.start}"), plan)


@dataclass(frozen=True, slots=True)
class _Dated:
    """A correct event with its place in time (microseconds since 1970)."""

    event: events.Event
    event_type: str
    due: int
    at: int


def _dated(plan: Plan, network: Network) -> Iterator[_Dated]:
    timeline = Timeline(plan, network.visits_per_second)
    numbers = count(1)
    happenings: Iterator[Happening] = network.events()
    if plan.ends_now:
        happenings = takewhile(lambda happening: happening.at <= plan.now, happenings)
    for happening in happenings:
        if plan.format == "lifecycle":
            at, due = timeline.place(happening.at)
            yield _Dated(events.lifecycle(happening, next(numbers), at), happening.kind, due, at)
        elif happening.kind == "admission":
            at, due = timeline.place(happening.at)
            until = timeline.foresee(happening.at, at, happening.planned_discharge or happening.at)
            waited = timeline.shorten(happening.at, happening.at - happening.arrived_at)
            yield _Dated(events.reference(happening, at, until, waited), "visit_snapshot", due, at)


def _delivered(dated: Iterator[_Dated], rng: Random, plan: Plan) -> Iterator[Message]:
    held: list[tuple[int, int, Message]] = []
    numbers = count()
    delivered = 0
    for item in dated:
        spoil = rng.choice(KINDS) if rng.random() < plan.dirty else None
        if spoil is None:
            deliveries, dirt = [Delivery(events.encode(item.event))], None
        else:
            latest = events.instant(max(item.due, plan.now))
            deliveries, dirt = spoil(Case(item.event, rng, latest)), spoil.__name__
        key = events.partition_key(item.event["patient_id"])
        for body, delay in deliveries:
            message = Message(item.due, item.at, key, body, item.event_type, dirt)
            heappush(held, (delivered + delay, next(numbers), message))
        while held and held[0][0] <= delivered:
            delivered += 1
            yield heappop(held)[2]
    while held:
        yield heappop(held)[2]
