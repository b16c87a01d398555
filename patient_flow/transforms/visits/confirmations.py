"""F17, F18: which hours of an open stay or attendance count, and until when."""

from __future__ import annotations

from collections.abc import Iterable

from patient_flow.transforms.visits.model import DAY_US, EMERGENCY, PLAN, SNAPSHOT, Event, Visit

UNCONFIRMED_DAYS_EMERGENCY = 2
ELSEWHERE = "patient_is_elsewhere"
"""Flag of an open stay or attendance whose patient is placed in a ward of another visit afterwards."""

Spans = list[tuple[int, int]]


def instants(events: Iterable[Event], received_again: Iterable[int]) -> list[int]:
    """Instants that confirm the visit: event times; of snapshots and imported rows also the arrival at the hub."""
    found = list(received_again)
    for event in events:
        found.append(event.time)
        if event.type == SNAPSHOT or event.is_imported:
            found.append(event.enqueued)
    return found


def covered(visit: Visit, start: int, end: int | None, ended_by: str | None, days: int, confirmed: list[int]) -> Spans:
    """The spans of a stay or attendance from ``start``, that nothing but a plan ends at ``end``, which are confirmed.

    A lifecycle event shows that the patient was there all the time before it; a snapshot does not.
    """
    lasting = days * DAY_US
    lifecycle = max((event.time for event in visit.events if event.type != SNAPSHOT), default=start)
    spans = [(instant, instant + lasting) for instant in confirmed]
    spans.append((start, lifecycle))
    if ended_by == PLAN and end is not None:
        spans.append((visit.plan_from, min(end, visit.plan_limit)))
    return merged((max(first, start), last if end is None else min(last, end)) for first, last in spans)


def merged(spans: Iterable[tuple[int, int]]) -> Spans:
    """Spans in order, those that touch joined, empty ones left out."""
    result: Spans = []
    for first, last in sorted(spans):
        if first >= last:
            continue
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def cut(spans: Spans, at: int) -> Spans:
    """``spans`` up to the instant ``at``."""
    return [(first, min(last, at)) for first, last in spans if first < at]


def days_of(listed: int | None, kind: str, setting: int) -> int:
    """F20: the list's value goes before the setting and before the two days of emergency stays and attendances."""
    if listed is not None:
        return listed
    return UNCONFIRMED_DAYS_EMERGENCY if kind == EMERGENCY else setting
