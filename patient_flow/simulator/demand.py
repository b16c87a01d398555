"""Demand: arrival rates by hour and weekday, destinations and lengths of stay.

The profiles are plausible and not data of a hospital: emergency arrivals peak before noon, in the evening and on
Mondays, planned admissions fall on weekday mornings, lengths of stay are log-normal (the usual first fit of hospital
stays). Arrival rates are derived: they fill the staffed beds to a target occupancy.

Not here: individual patients (``population``) and what happens when beds run out (``hospital``).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
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

# Target occupancy. The emergency department needs a reserve for boarders and peak hours.
TARGET_OCCUPANCY = 0.87
EMERGENCY_OCCUPANCY = 0.76

# Share of a department's external patients who come unplanned.
URGENT_SHARE = {"Surgery": 0.5, "ICU": 0.8, "Pediatrics": 0.75, "Maternity": 0.6, "Oncology": 0.3, "Cardiology": 0.65}
DEFAULT_URGENT_SHARE = 0.5
# Minimum share of the emergency flow that is treated and sent home.
TREATED_AND_SENT_HOME = 0.25

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
    """Patients of one kind who arrive at one hospital: ``per_hour`` on average over the week."""

    hospital_id: int | str
    department: str
    destination: str | None
    is_urgent: bool
    per_hour: float


def arrival_streams(departments: list[Department], *, transfers: bool) -> list[ArrivalStream]:
    """Arrival streams that fill the beds of one hospital's ``departments`` to the target occupancy.

    Without ``transfers`` every patient is admitted directly to the only department of the visit.
    """
    # Little's law: patients per hour = occupied beds / mean stay.
    flow = {d.name: _target(d.name) * d.staffed_beds / mean_stay_hours(d) for d in departments}
    hospital = departments[0].hospital_id
    by_emergency = transfers and EMERGENCY in flow
    found: list[ArrivalStream] = []
    for name in flow:
        if name == EMERGENCY:
            continue
        transferred_in = (
            sum(flow[origin] * onward(origin, flow).get(name, 0.0) for origin in flow) if transfers else 0.0
        )
        outside = max(0.0, flow[name] - transferred_in)
        urgent = outside * URGENT_SHARE.get(name, DEFAULT_URGENT_SHARE)
        found.append(ArrivalStream(hospital, EMERGENCY if by_emergency else name, name, True, urgent))
        found.append(ArrivalStream(hospital, name, None, False, outside - urgent))
    if EMERGENCY in flow:
        moved_on = sum(s.per_hour for s in found if s.is_urgent) if by_emergency else 0.0
        home = max(flow[EMERGENCY] - moved_on, flow[EMERGENCY] * TREATED_AND_SENT_HOME)
        found.append(ArrivalStream(hospital, EMERGENCY, None, True, home))
    return [stream for stream in found if stream.per_hour > 0]


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

    def in_daytime(self, rng: Random, at: int) -> int:
        """An instant of the same local day at which inpatient units discharge: 9 to 19 h, mostly after noon."""
        local = self.local(at)
        return at - local % DAY + int(rng.triangular(9, 19, 14) * HOUR)

    def local(self, at: int) -> int:
        """The instant as local time, in microseconds since 1970."""
        return at + self._offset(at // HOUR)

    def _offset_of_hour(self, hour: int) -> int:
        offset = datetime.fromtimestamp(hour * 3600, self._zone).utcoffset()
        return int(offset.total_seconds()) * SECOND if offset else 0


def _target(department: str) -> float:
    return EMERGENCY_OCCUPANCY if department == EMERGENCY else TARGET_OCCUPANCY


def _weights(hours: tuple[int, ...], days: tuple[int, ...]) -> tuple[float, ...]:
    """Weights of the 168 hours of the week, 1 on average."""
    scale = len(hours) * len(days) / (sum(hours) * sum(days))
    return tuple(hour * day * scale for day in days for hour in hours)
