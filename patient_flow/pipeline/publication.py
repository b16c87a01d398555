"""Publishes closed days for aggregate readers: gold → the warehouse's table AggregateDay, once per day and hospital.

A local day closes at 06:00 of the second day after it. The clock is the hub's: a feed that stands still closes no day.
What is published stays as it is, whatever happens to gold later. The rule of what is hidden: ``transforms.disclosure``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.tables import DIM_DEPARTMENT, KPI_DEPARTMENT_DAY, SILVER_EVENTS
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.warehouse.aggregates import Aggregates, Published
from patient_flow.transforms.disclosure import ALL, DAY, Cell, Counts, Disclosure, PublishedDay

c = pl.col
CLOSES_AT = time(6)
CLOSES_AFTER = timedelta(days=2)
_COUNTS = (
    *("admissions", "discharges", "midnight_beds", "attendances"),
    *("ed_departed", "ed_within_240", "waits", "wait_minutes_sum"),
)


def last_closed_day(now: datetime, zone: ZoneInfo) -> date:
    """The newest local date that has closed by ``now``."""
    local = now.astimezone(zone)
    return local.date() - CLOSES_AFTER - (DAY if local.time() < CLOSES_AT else timedelta())


def publish(
    lake: Lake, aggregates: Aggregates, threshold: int, zone: ZoneInfo, now: datetime, *, with_history: bool = False
) -> int:
    """Publishes the days that have closed since the last call, and returns the number of hospitals' days.

    A hospital begins with its newest closed day. ``with_history`` also publishes the days before the published ones:
    not by itself, because an import may be bringing them just now, and what is published stays.
    """
    newest = lake.open(SILVER_EVENTS).newest("enqueued_at") if lake.exists(SILVER_EVENTS) else None
    if newest is None or not lake.exists(KPI_DEPARTMENT_DAY):
        return 0
    last = last_closed_day(min(now, newest), zone)
    source = _Source.read(lake, last + DAY, zone)
    published, days = aggregates.published(), 0
    for hospital_id, first in source.first_dates.items():
        for rows in _hospital(
            hospital_id, source, published.get(hospital_id), first, last, Disclosure(threshold), with_history
        ):
            made = [_record(row, source, threshold, now) for row in rows]
            if made:
                aggregates.add(made)
                days += len({row.date for row in rows})
    return days


def _hospital(
    hospital_id: str,
    source: _Source,
    published: Published | None,
    first: date,
    last: date,
    disclosure: Disclosure,
    with_history: bool,
) -> Iterator[list[PublishedDay]]:
    """The rows to add: those before the published days, and those after."""

    def rows(begin: date, end: date, *, known: bool, joins: bool = False) -> list[PublishedDay]:
        dates = [begin + number * DAY for number in range((end - begin).days + 1)]
        return list(
            disclosure.days(
                hospital_id,
                lambda day: source.counts(hospital_id, day),
                lambda day: source.departments(hospital_id, day),
                dates,
                is_midnight_known=known,
                joins_published=joins,
            )
        )

    if published is None:
        yield rows(first if with_history else max(first, last), last, known=False)
        return
    if with_history and first < published.first:
        yield rows(first, published.first - DAY, known=False, joins=True)
    yield rows(published.last + DAY, last, known=published.is_midnight_known)


@dataclass(frozen=True)
class _Source:
    """Daily counts and departments of gold."""

    cells: Mapping[tuple[str, date], list[dict[str, object]]]
    first_dates: Mapping[str, date]
    versions: Mapping[str, list[dict[str, object]]]
    zone: ZoneInfo

    @classmethod
    def read(cls, lake: Lake, until: date, zone: ZoneInfo) -> _Source:
        """The daily rows up to the date ``until``, whose first hour is the midnight of the last published day."""
        departments = lake.open(DIM_DEPARTMENT).scan().collect()
        daily = (
            lake.open(KPI_DEPARTMENT_DAY)
            .scan()
            .filter(c("date") <= until)
            .select("date", "department_key", "gender", *_COUNTS)
            .collect()
            .join(departments.select("department_key", "hospital_id", "department"), on="department_key")
            .group_by("hospital_id", "date", "department", "gender")
            .agg(c(_COUNTS).sum())
        )
        active = daily.filter(pl.any_horizontal(c(_COUNTS) > 0))
        cells: dict[tuple[str, date], list[dict[str, object]]] = defaultdict(list)
        for row in active.iter_rows(named=True):
            cells[row["hospital_id"], row["date"]].append(row)
        firsts = active.group_by("hospital_id").agg(c("date").min()).sort("hospital_id")
        versions: dict[str, list[dict[str, object]]] = defaultdict(list)
        for row in departments.sort("valid_from").iter_rows(named=True):
            versions[row["hospital_id"]].append(row)
        return cls(cells, dict(firsts.iter_rows()), versions, zone)

    def counts(self, hospital_id: str, day: date) -> Counts:
        """The true counts of a day."""
        rows = self.cells.get((hospital_id, day), [])

        def cells(name: str, of: list[dict[str, object]]) -> dict[Cell, int]:
            return {Cell(str(row["department"]), str(row["gender"])): int(str(row[name])) for row in of if row[name]}

        def total(name: str) -> float:
            return sum(float(str(row[name] or 0)) for row in rows)

        return Counts(
            cells("admissions", rows),
            cells("discharges", rows),
            cells("midnight_beds", self.cells.get((hospital_id, day + DAY), [])),
            cells("attendances", rows),
            int(total("ed_departed")),
            int(total("ed_within_240")),
            int(total("waits")),
            total("wait_minutes_sum"),
        )

    def departments(self, hospital_id: str, day: date) -> list[str]:
        """Departments that exist at the end of a day, or count something on it."""
        end = datetime.combine(day + DAY, time(), self.zone)
        listed = {str(row["department"]) for row in self.versions[hospital_id] if _instant(row["valid_from"]) < end}
        counted = {
            str(row["department"]) for date in (day, day + DAY) for row in self.cells.get((hospital_id, date), [])
        }
        return sorted(listed | counted)

    def staffed_beds(self, hospital_id: str, department: str, day: date) -> int | None:
        """At the end of a day; None where one of the departments does not state them."""
        end = datetime.combine(day + DAY, time(), self.zone)
        current = {
            str(row["department"]): row["staffed_beds"]
            for row in self.versions[hospital_id]
            if _instant(row["valid_from"]) < end and (row["valid_to"] is None or _instant(row["valid_to"]) >= end)
        }
        wanted = current.values() if department == ALL else [current.get(department)]
        known = [int(str(beds)) for beds in wanted if beds is not None]
        return sum(known) if known and len(known) == len(wanted) else None


def _instant(value: object) -> datetime:
    return value if isinstance(value, datetime) else datetime.max.replace(tzinfo=UTC)


def _record(row: PublishedDay, source: _Source, threshold: int, now: datetime) -> dict[str, object]:
    beds = source.staffed_beds(row.hospital_id, row.department, row.date) if row.gender == ALL else None
    return {
        "date": row.date,
        "hospital_id": row.hospital_id,
        "department": row.department,
        "gender": row.gender,
        "month": row.date.replace(day=1),
        "is_month_end": (row.date + DAY).month != row.date.month,
        "admissions": row.admissions,
        "discharges": row.discharges,
        "patients_at_midnight": row.midnight,
        "staffed_beds": beds,
        "attendances": row.attendances,
        "departures": row.departures,
        "within_240": row.within_240,
        "waits": row.waits,
        "wait_minutes_sum": row.wait_minutes,
        "threshold": threshold,
        "published_at": now.astimezone(UTC).replace(tzinfo=None),
    }
