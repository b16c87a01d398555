"""Small hospitals, fixed instants and a clock that only advances during sleep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo

from patient_flow.simulator import departments
from patient_flow.simulator.demand import DAY, SECOND
from patient_flow.simulator.feed import Message, Plan
from patient_flow.simulator.hospital import Network
from patient_flow.simulator.units import SimEvent

PARIS = ZoneInfo("Europe/Paris")
SEED = 11
NOW = int(datetime(2026, 11, 16, 8, tzinfo=UTC).timestamp()) * SECOND
FIELDS = ("hospital_id", "department", "staffed_beds", "expected_los_hours", "valid_from")


def days_of(network: Network, days: float, start: int = NOW) -> list[SimEvent]:
    """The events of the first ``days`` days."""
    return list(takewhile(lambda event: event.at < start + days * DAY, network.events()))


def plan(**changes: object) -> Plan:
    """A clean back-fill of two days of the shipped network, with the given changes."""
    two_days = Plan(
        seed=SEED, start=NOW - 2 * DAY, now=NOW, departments=departments.load(), zone=PARIS, dirty=0.0, ends_now=True
    )
    return replace(two_days, **changes)  # type: ignore[arg-type]


class Clock:
    """Seconds since 1970; sleeping advances it at once."""

    def __init__(self, now: int = NOW) -> None:
        self.seconds = now / SECOND
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.seconds += seconds


class MemorySink:
    """Stores messages with the clock's instant at which they arrived."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.received: list[tuple[float, Message]] = []
        self.is_closed = False

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        self.received.extend((self.clock(), message) for message in messages)
        yield messages

    def close(self) -> None:
        self.is_closed = True
