"""Occupied beds of several places from their daily series alone, for feeds without patients.

One linear regression over all places predicts the relative change to the day ``ahead`` from the changes of the last two
weeks, the distance from longer means, the mean change of all places and the weekday. Recent days weigh more.
"""

from __future__ import annotations

import numpy as np

from patient_flow.forecasting.distributions import Array, quantiles
from patient_flow.wording import plural

MIN_DAYS = 120
"""Days of history without which no forecast is made."""

_LAGS = (1, 2, 3, 4, 5, 6, 7, 14)
_MEANS = (28, 90)
_HALF_LIFE_DAYS = 400
_RIDGE = 1e-3
_RECENT_ERRORS = 365


def forecast(occupied: Array, weekday: int, ahead: int) -> tuple[Array, Array]:
    """Expected beds ``ahead`` days after the last one, and their quantiles (``distributions.LEVELS`` is the last axis).

    ``occupied`` has days (consecutive, the last one is today) × places, all above 0. ``weekday`` is that of the last
    day (0 = Monday). Raises ``ValueError`` with fewer than :data:`MIN_DAYS` days.
    """
    days, places = occupied.shape
    if days < MIN_DAYS + ahead:
        raise ValueError(f"{plural(days, 'day')} of history are too few: {MIN_DAYS + ahead} are needed")
    logs = np.log(occupied)
    begun = max(_MEANS)
    weekdays = (weekday - np.arange(days - 1, -1, -1)) % 7
    features = _features(logs, weekdays, begun)
    known = features[: days - begun - ahead]
    change = logs[begun + ahead :] - logs[begun : days - ahead]
    age = np.arange(len(known))[::-1]
    weight = np.exp2(-age / _HALF_LIFE_DAYS)[:, None] * np.sqrt(occupied.mean(axis=0) / occupied.mean())
    rows = known.reshape(-1, known.shape[-1])
    weighted = rows * weight.reshape(-1, 1)
    factors = np.linalg.solve(weighted.T @ rows + _RIDGE * np.eye(rows.shape[1]), weighted.T @ change.reshape(-1))
    expected = np.exp(logs[-1] + features[-1] @ factors)
    errors = (change - known @ factors)[-_RECENT_ERRORS:]
    # In the sample the errors are smaller than ahead of it, by the factors fitted.
    slack = len(rows) / max(len(rows) - rows.shape[1] * places, 1)
    variance = (errors**2).mean(axis=0) * slack * expected**2
    return expected, quantiles(expected, variance)


def _features(logs: Array, weekdays: Array, begun: int) -> Array:
    """Days from ``begun`` on × places × features."""
    days = np.arange(begun, len(logs))
    changes = [logs[days] - logs[days - lag] for lag in _LAGS]
    totals = np.concatenate([np.zeros((1, logs.shape[1])), np.cumsum(logs, axis=0)])
    means = [logs[days] - (totals[days + 1] - totals[days + 1 - length]) / length for length in _MEANS]
    common = [np.broadcast_to(each.mean(axis=1, keepdims=True), each.shape) for each in (changes[0], changes[6])]
    weekly = [np.broadcast_to((weekdays[days] == day)[:, None], changes[0].shape).astype(float) for day in range(7)]
    return np.stack([*changes, *means, *common, *weekly], axis=-1)
