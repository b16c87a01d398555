"""Arrivals: a weekly profile, the level of the last weeks, and how much more they vary than a Poisson count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patient_flow.forecasting.calendar import HOURS_OF_WEEK
from patient_flow.forecasting.distributions import Array

Ints = NDArray[np.int64]

_LEVEL_HALF_LIFE_DAYS = 14
_LEVEL_PRIOR_DAYS = 3.0
_PROFILE_PRIOR = 100.0
"""Arrivals' weight that the profile of a department's kind has in its own."""
_SPREAD_DAYS = 120
_SPREAD_PRIOR = 50.0


@dataclass(frozen=True)
class Arriving:
    """Arrivals of places (first axis).

    ``shape`` is the expected number by local hour of the week at level 1. ``daily`` and ``expected`` count the 24 hours
    that end now, the 24 hours before and so on, and the same by ``shape``. The variance of a number with mean m is
    m + ``spread`` m².
    """

    shape: Array
    daily: Array
    expected: Array
    spread: Array

    def level(self, days_ago: int = 0) -> Array:
        """Level of the weeks before, as it was so many days ago."""
        daily, expected = self.daily[:, days_ago:], self.expected[:, days_ago:]
        fading = np.exp2(-np.arange(daily.shape[1]) / _LEVEL_HALF_LIFE_DAYS)
        long_run = daily.sum(axis=1) / np.maximum(expected.sum(axis=1), 1.0)
        return np.asarray(
            ((daily * fading).sum(axis=1) + _LEVEL_PRIOR_DAYS * long_run)
            / ((expected * fading).sum(axis=1) + _LEVEL_PRIOR_DAYS)
        )


def fit(place: Ints, hour: Ints, kind: Ints, now: int, first: int, zone_hours: Ints) -> Arriving:
    """Arrivals of ``place`` at ``hour``: the count of an hour is that of the hour that ends then.

    ``kind`` of each place decides from which others it borrows; ``zone_hours`` are local hours of the week from hour
    ``first`` on. A place is known from its first arrival on.
    """
    places, kinds = len(kind), int(kind.max(initial=0)) + 1
    chosen = (hour > first) & (hour <= now)
    place, hour = place[chosen], hour[chosen]
    days = (now - first) // 24
    begun = np.full(places, now)
    np.minimum.at(begun, place, hour)
    known_days = np.minimum((now - begun) // 24, days)
    is_known = np.arange(days)[None, :] < known_days[:, None]
    day = (now - hour) // 24
    counted = np.zeros((places, HOURS_OF_WEEK))
    np.add.at(counted, (place, zone_hours[hour - 1 - first]), 1.0)
    of_kind = np.stack([counted[kind == number].sum(axis=0) for number in range(kinds)]) + 1e-3
    of_kind /= of_kind.sum(axis=1, keepdims=True)
    shape = counted + _PROFILE_PRIOR * of_kind[kind]
    shape = 7 * shape / shape.sum(axis=1, keepdims=True)
    daily = np.zeros((places, days))
    inside = day < known_days[place]
    np.add.at(daily, (place[inside], day[inside]), 1.0)
    ends = now - first - 24 * np.arange(min(days, 7))
    week = np.stack([shape[:, zone_hours[end - 24 : end]].sum(axis=1) for end in ends], axis=1)
    expected = np.tile(week, (1, days // week.shape[1] + 1))[:, :days] * is_known
    found = Arriving(shape, daily, expected, np.zeros(places))
    mean = expected * found.level()[:, None]
    recent = is_known & (np.arange(days)[None, :] < _SPREAD_DAYS)
    excess = (((daily - mean) ** 2 - mean) * recent).sum(axis=1)
    size = ((mean**2) * recent).sum(axis=1)
    pooled = max(float(excess.sum()), 0.0) / max(float(size.sum()), 1.0)
    spread = np.maximum((excess + _SPREAD_PRIOR * pooled) / (size + _SPREAD_PRIOR), 0.0)
    return Arriving(shape, daily, expected, spread)
