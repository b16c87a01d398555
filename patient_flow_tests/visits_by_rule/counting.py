"""Which hours count (F17, F18), beds in use by hour, and staffed hours (F19)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from patient_flow_tests.visits_by_rule.events import Event
from patient_flow_tests.visits_by_rule.model import End

LONGEST_PLAN = timedelta(days=365)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
Span = tuple[datetime, datetime]


def instants(events: Sequence[Event], again: Sequence[datetime]) -> list[datetime]:
    """F17: every instant at which something confirms a visit; ``again`` are arrivals of repeated snapshots (F8)."""
    arrivals = [event.enqueued_at for event in events if event.is_snapshot or event.is_imported]
    return [*(event.event_time for event in events), *arrivals, *again]


def covered(
    events: Sequence[Event], again: Sequence[datetime], begins: datetime, end: End | None, days: int
) -> list[Span]:
    """F17: spans in which something confirms an open stay or attendance that began at ``begins``.

    ``end`` is the plan that ends it. A lifecycle event brings the hours before it back.
    """
    spans = [(instant, instant + days * DAY) for instant in instants(events, again)]
    lifecycle = [event.event_time for event in events if not event.is_snapshot]
    if lifecycle:
        spans.append((begins, max(lifecycle)))
    until = None
    if end is not None:
        until = end.at
        known_at = end.event.event_time if end.event.states_event_time else end.event.enqueued_at
        spans.append((known_at, min(end.at, end.event.enqueued_at + LONGEST_PLAN)))
    return union((max(first, begins), last if until is None else min(last, until)) for first, last in spans)


def union(spans: Iterable[Span]) -> list[Span]:
    """Spans that neither overlap nor adjoin."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        if first >= last:
            continue
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def cut(spans: Sequence[Span], at: datetime) -> list[Span]:
    """The spans up to ``at``."""
    return union((first, min(last, at)) for first, last in spans)


def hours(spans: Iterable[Span], until: datetime) -> list[datetime]:
    """Whole hours that the spans cover, none later than ``until``."""
    found = []
    for first, last in spans:
        hour = first.replace(minute=0, second=0, microsecond=0)
        while hour < last and hour <= until:
            if hour >= first:
                found.append(hour)
            hour += HOUR
    return found


def staffed(
    census: Mapping[tuple[datetime, str, str, str], int], departments: Sequence[Mapping[str, Any]], zone: str
) -> Counter[tuple[date, str, str, datetime]]:
    """F19: staffed beds × hours by local date and version of a department (hospital, name, valid_from).

    Versions follow each other: each ends where the next begins, or at its ``valid_to``.
    """
    local = ZoneInfo(zone)
    first_of_hospital: dict[str, datetime] = {}
    first_of_department: dict[tuple[str, str], datetime] = {}
    dates: dict[str, set[date]] = {}
    for hour, hospital, department, _ in census:
        first_of_hospital[hospital] = min(hour, first_of_hospital.get(hospital, hour))
        first_of_department[hospital, department] = min(hour, first_of_department.get((hospital, department), hour))
        dates.setdefault(hospital, set()).add(hour.astimezone(local).date())
    total: Counter[tuple[date, str, str, datetime]] = Counter()
    for row in departments:
        hospital, department, valid_from = row["hospital_id"], row["department"], row["valid_from"]
        if hospital not in dates or row.get("staffed_beds") is None:
            continue
        versions = [r for r in departments if (r["hospital_id"], r["department"]) == (hospital, department)]
        opened = min(r["valid_from"] for r in versions)
        begins = first_of_department.get((hospital, department))
        if opened > first_of_hospital[hospital]:
            begins = opened if begins is None else min(begins, opened)
        if begins is None:
            continue
        for day in dates[hospital]:
            midnight = datetime(day.year, day.month, day.day, tzinfo=local).astimezone(ZoneInfo("UTC"))
            for number in range(25):
                hour = midnight + number * HOUR
                is_valid = valid_from <= hour and (row["valid_to"] is None or hour < row["valid_to"])
                if is_valid and hour >= begins and hour.astimezone(local).date() == day:
                    total[day, hospital, department, valid_from] += row["staffed_beds"]
    return total
