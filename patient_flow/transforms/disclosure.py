"""Daily counts that aggregate readers may see, decided once per closed day.

A count from 1 to threshold - 1 is small. Each count is published for a whole hospital, then split by department, then
by gender; a split appears as a whole or not at all, and only below a published count. So a hidden count never is the
rest of a sum. Patients at midnight, admissions and discharges of a hospital are tied by the balance of beds:

- admissions and discharges of a day appear only between two published midnights, and only if neither is small;
- after a day on which one of the three is small, midnight and flows are hidden; the flows of the next day are hidden
  too, so that at least two days of unknown flows lie between two published midnights.

Departments have no such balance: moves between them and discharges by department are not published. Genders are split
for admissions only. ADR 15 has the proof; a test attacks the published rows with integer programming.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

ALL = ""
"""Department of a whole hospital's row, and gender of a row for all genders."""
DAY = timedelta(days=1)


class Cell(NamedTuple):
    """One department and gender of a day."""

    department: str
    gender: str


@dataclass(frozen=True)
class Counts:
    """The true counts of a hospital's day, by cell; a cell that is missing counts nothing."""

    admissions: Mapping[Cell, int] = field(default_factory=dict)
    discharges: Mapping[Cell, int] = field(default_factory=dict)
    midnight: Mapping[Cell, int] = field(default_factory=dict)
    """Patients in beds at the end of the day."""
    attendances: Mapping[Cell, int] = field(default_factory=dict)
    departures: int = 0
    """Of the attendances, those that have departed."""
    within_240: int = 0
    """Of the departures, those within 240 minutes."""
    waits: int = 0
    """Of the admissions, those whose wait is known."""
    wait_minutes: float = 0.0


@dataclass(frozen=True)
class PublishedDay:
    """One row: a hospital, a department of it, or one gender's admissions there. None is hidden, or not split."""

    date: date
    hospital_id: str
    department: str = ALL
    gender: str = ALL
    admissions: int | None = None
    discharges: int | None = None
    midnight: int | None = None
    attendances: int | None = None
    departures: int | None = None
    within_240: int | None = None
    waits: int | None = None
    wait_minutes: int | None = None


@dataclass(frozen=True)
class Disclosure:
    """The rule for one threshold: 3 or more."""

    threshold: int

    def is_small(self, count: int) -> bool:
        """True for a count that must not be known."""
        return 1 <= count < self.threshold

    def days(
        self,
        hospital_id: str,
        counts: Callable[[date], Counts],
        departments: Callable[[date], Sequence[str]],
        dates: Iterable[date],
        *,
        is_midnight_known: bool,
        joins_published: bool = False,
    ) -> Iterator[PublishedDay]:
        """The rows of consecutive ``dates``, oldest first.

        ``is_midnight_known``: the midnight before the first date is published. ``joins_published``: the day after the
        last date is published already, so that nothing of the balance may appear on the last one.
        """
        ordered = list(dates)
        for day in ordered:
            may_balance = not (joins_published and day == ordered[-1])
            rows = list(
                self._day(
                    day,
                    hospital_id,
                    counts(day),
                    departments(day),
                    is_midnight_known=is_midnight_known,
                    may_balance=may_balance,
                )
            )
            is_midnight_known = rows[0].midnight is not None
            yield from rows

    def _day(
        self,
        day: date,
        hospital_id: str,
        counts: Counts,
        departments: Sequence[str],
        *,
        is_midnight_known: bool,
        may_balance: bool,
    ) -> Iterator[PublishedDay]:
        admissions, discharges, midnight = (
            sum(cells.values()) for cells in (counts.admissions, counts.discharges, counts.midnight)
        )
        has_small_flow = self.is_small(admissions) or self.is_small(discharges)
        has_midnight = may_balance and not self.is_small(midnight) and not (is_midnight_known and has_small_flow)
        has_flows = has_midnight and is_midnight_known
        attendances = sum(counts.attendances.values())
        has_attendances = not self.is_small(attendances)
        has_departures = has_attendances and self._are_shares(attendances, counts.departures, counts.within_240)
        has_waits = has_flows and self._are_shares(admissions, counts.waits)
        yield PublishedDay(
            day,
            hospital_id,
            admissions=admissions if has_flows else None,
            discharges=discharges if has_flows else None,
            midnight=midnight if has_midnight else None,
            attendances=attendances if has_attendances else None,
            departures=counts.departures if has_departures else None,
            within_240=counts.within_240 if has_departures else None,
            waits=counts.waits if has_waits else None,
            wait_minutes=round(counts.wait_minutes) if has_waits else None,
        )
        admitted = self._split(counts.admissions, departments, may_appear=has_flows)
        in_beds = self._split(counts.midnight, departments, may_appear=has_midnight)
        attended = self._split(counts.attendances, departments, may_appear=has_attendances)
        for department in departments:
            yield PublishedDay(
                day,
                hospital_id,
                department,
                admissions=admitted.get(department),
                midnight=in_beds.get(department),
                attendances=attended.get(department),
            )
            if admitted.get(department):
                yield from self._genders(day, hospital_id, department, counts.admissions)

    def _are_shares(self, *chain: int) -> bool:
        """True if neither a part nor the rest of it is small, where each count is a part of the one before."""
        return not any(self.is_small(part) or self.is_small(whole - part) for whole, part in itertools.pairwise(chain))

    def _split(self, cells: Mapping[Cell, int], departments: Sequence[str], *, may_appear: bool) -> Mapping[str, int]:
        """Counts by department; empty where one of them is small."""
        split: dict[str, int] = defaultdict(int, dict.fromkeys(departments, 0))
        for cell, count in cells.items():
            split[cell.department] += count
        return {} if not may_appear or any(map(self.is_small, split.values())) else split

    def _genders(
        self, day: date, hospital_id: str, department: str, cells: Mapping[Cell, int]
    ) -> Iterator[PublishedDay]:
        split = {cell.gender: count for cell, count in cells.items() if cell.department == department and count}
        if not any(map(self.is_small, split.values())):
            for gender, count in sorted(split.items()):
                yield PublishedDay(day, hospital_id, department, gender, admissions=count)
