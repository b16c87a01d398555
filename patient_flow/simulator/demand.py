"""Demand: arrival rates by hour and weekday, destinations and lengths of stay.

The profiles are plausible and not data of a hospital: emergency arrivals peak before noon, in the evening and on
Mondays, planned admissions fall on weekday mornings, lengths of stay are log-normal (the usual first fit of hospital
stays). Arrival rates are derived: they fill the staffed beds to a target occupancy.

Not here: individual patients (``population``) and the steps of a visit (``emergency``, ``inpatient``).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import lru_cache
from random import Random

from .departments import Department

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

EMERGENCY = "Emergency"

# Weights of the 24 local hours and of Monday to Sunday; only their proportions count.
URGENT_HOURS = (4, 3, 3, 2, 2, 3, 4, 6, 9, 11, 12, 12, 11, 11, 10, 10, 10, 10, 11, 11, 10, 9, 7, 5)
URGENT_DAYS = (112, 102, 99, 98, 99, 96, 94)
PLANNED_HOURS = (0, 0, 0, 0, 0, 0, 2, 10, 14, 12, 9, 6, 3, 8, 8, 5, 2, 1, 0, 0, 0, 0, 0, 0)
PLANNED_DAYS = (21, 20, 19, 18, 14, 2, 6)

# Lengths of stay relative to the expected length: the median is below it, three in ten exceed it.
STAY_MEDIAN = 0.75
STAY_SIGMA = 0.55
STAY_MEAN = STAY_MEDIAN * math.exp(STAY_SIGMA**2 / 2)

# Occupancy that arrivals alone would reach; delayed discharges and weekends raise it by about a tenth.
TARGET_OCCUPANCY = 0.85

# Share of a department's external patients who come unplanned.
URGENT_SHARE = {"Surgery": 0.5, "ICU": 0.8, "Pediatrics": 0.75, "Maternity": 0.6, "Oncology": 0.3, "Cardiology": 0.65}
DEFAULT_URGENT_SHARE = 0.5
# Departments whose urgent patients do not come through the emergency department.
DIRECT_ADMISSION = frozenset({"Maternity"})
# Share of the patients of an emergency department who leave without a bed in another unit.
RELEASED_SHARE = 0.75
# Day cases per planned inpatient, and their mean hours in bed.
DAY_CASES: Mapping[str, float] = {"Surgery": 1.0, "Oncology": 1.2, "Cardiology": 0.6}
DAY_CASE_HOURS = 6.0
# Newborns per hour and bed of a department, and visits without a bed per hour and bed of a hospital.
NEWBORNS: Mapping[str, float] = {"Pediatrics": 0.001}
OUTPATIENTS = 0.003

SATURDAY = 5
WAITS_FOR_MONDAY = 0.3

# Transfers to another department: department -> ((next department, probability), ...).
ONWARD: Mapping[str, tuple[tuple[str, float], ...]] = {
    "ICU": (("Surgery", 0.40), ("Cardiology", 0.25), ("Oncology", 0.05)),
    "Surgery": (("ICU", 0.03),),
    "Cardiology": (("ICU", 0.04), ("Surgery", 0.02)),
    "Oncology": (("ICU", 0.02),),
    "Pediatrics": (("ICU", 0.01),),
}


@dataclass(frozen=True)
class ArrivalStream:
    """Patients of one kind who arrive at one hospital: ``per_hour`` on average over the week.

    ``destination`` is the department to which an emergency department admits them, None when it releases them.
    """

    hospital_id: int | str
    department: str
    destination: str | None
    is_urgent: bool
    per_hour: float
    visit_class: str = "inpatient"
    admission_type: str = "emergency"


def arrival_streams(departments: list[Department], *, transfers: bool) -> list[ArrivalStream]:
    """Arrival streams that fill the beds of one hospital's ``departments`` to the target occupancy.

    Without ``transfers`` every patient is admitted directly to the only department of the visit.
    """
    # Little's law: patients per hour = occupied beds / mean stay.
    flow = {d.name: TARGET_OCCUPANCY * d.staffed_beds / mean_stay_hours(d) for d in departments}
    by_emergency = transfers and EMERGENCY in flow
    found = [stream for department in departments for stream in _to_unit(department, flow, transfers=transfers)]
    hospital = departments[0].hospital_id
    if EMERGENCY in flow:
        admitted = sum(s.per_hour for s in found if _is_by_emergency(s))
        released = admitted * RELEASED_SHARE / (1 - RELEASED_SHARE) if admitted else flow[EMERGENCY]
        found = [_through_emergency(s) if by_emergency and _is_by_emergency(s) else s for s in found]
        found.append(ArrivalStream(hospital, EMERGENCY, None, True, released, "emergency"))
    if transfers:
        for d in departments:
            if d.name != EMERGENCY:
                per_hour = OUTPATIENTS * d.staffed_beds
                found.append(ArrivalStream(hospital, d.name, None, False, per_hour, "outpatient", "elective"))
    return [stream for stream in found if stream.per_hour > 0]


def _to_unit(department: Department, flow: Mapping[str, float], *, transfers: bool) -> list[ArrivalStream]:
    """Arrivals for one department other than the emergency department: urgent, planned, day cases and newborns."""
    hospital, name, hours = department.hospital_id, department.name, mean_stay_hours(department)
    if name == EMERGENCY:
        return []
    transferred_in = sum(flow[origin] * onward(origin, flow).get(name, 0.0) for origin in flow) if transfers else 0.0
    outside = max(0.0, flow[name] - transferred_in)
    urgent = outside * URGENT_SHARE.get(name, DEFAULT_URGENT_SHARE)
    day_cases = DAY_CASES.get(name, 0.0)
    planned = (outside - urgent) * hours / (hours + day_cases * DAY_CASE_HOURS)
    newborns = min(urgent, NEWBORNS.get(name, 0.0) * department.staffed_beds)
    reason = "maternity" if name == "Maternity" else "emergency"
    planned_reason = "maternity" if name == "Maternity" else "elective"
    return [
        ArrivalStream(hospital, name, None, True, urgent - newborns, "inpatient", reason),
        ArrivalStream(hospital, name, None, False, planned, "inpatient", planned_reason),
        ArrivalStream(hospital, name, None, False, planned * day_cases, "day_case", "elective"),
        ArrivalStream(hospital, name, None, True, newborns, "inpatient", "newborn"),
    ]


def _is_by_emergency(stream: ArrivalStream) -> bool:
    return stream.is_urgent and stream.admission_type == "emergency" and stream.department not in DIRECT_ADMISSION


def _through_emergency(stream: ArrivalStream) -> ArrivalStream:
    return replace(stream, department=EMERGENCY, destination=stream.department, visit_class="emergency")


def onward(department: str, present: Container[str]) -> dict[str, float]:
    """Probability of each next department, of those ``present`` in the hospital; the rest ends there."""
    return {name: share for name, share in ONWARD.get(department, ()) if name in present}


def mean_stay_hours(department: Department) -> float:
    """Mean length of one stay in the department, in hours."""
    return STAY_MEAN * department.expected_los_hours


def stay(rng: Random, department: Department) -> int:
    """A length of stay, in microseconds."""
    return lognormal(rng, STAY_MEDIAN * department.expected_los_hours * HOUR, STAY_SIGMA)


def stay_in_progress(rng: Random, department: Department) -> int:
    """A complete length of stay, in microseconds, of a patient found in a bed: long stays are found more often.

    The length-biased form of a log-normal distribution is log-normal with its median raised by exp(sigma²).
    """
    return lognormal(rng, STAY_MEDIAN * math.exp(STAY_SIGMA**2) * department.expected_los_hours * HOUR, STAY_SIGMA)


def lognormal(rng: Random, median: float, sigma: float) -> int:
    """A whole number from the log-normal distribution with this median, at least 1."""
    return 1 + int(median * math.exp(rng.gauss(0.0, sigma)))


class WeeklyPattern:
    """Arrival and discharge profile of a week, in the hospital's time zone."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._offset = lru_cache(maxsize=256)(self._offset_of_hour)
        self._urgent = _weights(URGENT_HOURS, URGENT_DAYS)
        self._planned = _weights(PLANNED_HOURS, PLANNED_DAYS)

    def next_arrival(self, rng: Random, stream: ArrivalStream, after: int) -> int:
        """Instant of the stream's next patient: a Poisson process whose rate is constant within a local hour."""
        weights = self._urgent if stream.is_urgent else self._planned
        at = after
        while True:
            hour_of_week = (self.local(at) // HOUR + 3 * 24) % len(weights)  # 1970 began on a Thursday
            next_hour = at - at % HOUR + HOUR
            rate = stream.per_hour * weights[hour_of_week] / HOUR
            if rate and (candidate := at + 1 + int(rng.expovariate(rate))) < next_hour:
                return candidate
            at = next_hour

    def discharge_at(self, rng: Random, at: int) -> int:
        """An instant at which inpatient units discharge a patient who is ready at ``at``.

        It lies on the same local day, 9 to 19 h, mostly after noon; some weekend discharges wait until Monday.
        """
        local = self.local(at)
        weekday = (local // DAY + 3) % 7  # 1970 began on a Thursday
        days = 7 - weekday if weekday >= SATURDAY and rng.random() < WAITS_FOR_MONDAY else 0
        return at - local % DAY + days * DAY + int(rng.triangular(9, 19, 14) * HOUR)

    def day_case_end(self, rng: Random, at: int) -> int:
        """An instant of the same local day at which a day case admitted at ``at`` leaves, at least an hour later."""
        closing = at - self.local(at) % DAY + 20 * HOUR
        return max(at + HOUR, min(closing, at + int(rng.triangular(3, 10, DAY_CASE_HOURS) * HOUR)))

    def local(self, at: int) -> int:
        """The instant as local time, in microseconds since 1970."""
        return at + self._offset(at // HOUR)

    def _offset_of_hour(self, hour: int) -> int:
        offset = datetime.fromtimestamp(hour * 3600, self._zone).utcoffset()
        return int(offset.total_seconds()) * SECOND if offset else 0


def _weights(hours: tuple[int, ...], days: tuple[int, ...]) -> tuple[float, ...]:
    """Weights of the 168 hours of the week, 1 on average."""
    scale = len(hours) * len(days) / (sum(hours) * sum(days))
    return tuple(hour * day * scale for day in days for hour in hours)
