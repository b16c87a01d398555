"""The probability that a department or a hospital reaches its staffed beds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patient_flow.forecasting import distributions
from patient_flow.forecasting.beds import Projection
from patient_flow.forecasting.distributions import Array

BUCKETS = np.array([1, 3, 6, 12, 24, 48, 72, 120, 168])
"""Hours ahead up to which forecasts are widened alike."""
_JUMP = 16
"""Largest rise within an hour that the probability of a full department considers."""


def probability_full(
    projection: Projection, variance: Array, widening: Array, staffed: Array, at: NDArray[np.int64]
) -> Array:
    """Probability that occupied beds reach staffed beds at some hour up to the target; NaN where none are staffed.

    Hour by hour: the chance to be full that far, and the chance to become full in the next hour from below.
    """
    hours = np.arange(projection.mean.shape[1])
    wide = variance * widening[:, np.searchsorted(BUCKETS, np.minimum(hours + 1, BUCKETS[-1]))]
    size = distributions.sizes(projection.mean, wide).max(axis=1)
    reached = np.full(staffed.shape, np.nan)
    for largest in np.unique(size):
        chosen = size == largest
        part = Projection(*(each[chosen] for each in vars(projection).values()))
        odds = distributions.probabilities(part.mean, wide[chosen], int(largest))
        reached[chosen] = _reached(part, odds, staffed[chosen], at)
    return np.where(staffed > 0, reached, np.nan)


def _reached(projection: Projection, odds: Array, staffed: Array, at: NDArray[np.int64]) -> Array:
    """The same from the odds of each count by place and hour, also where none are staffed."""
    hours = np.arange(projection.mean.shape[1])
    beds_of_hour = staffed[:, np.searchsorted(at, hours).clip(0, len(at) - 1)]
    counts = np.arange(odds.shape[-1])
    is_below = counts < beds_of_hour[..., None]
    below = (odds * is_below).sum(axis=-1)
    flow = [np.diff(each, axis=1, prepend=0.0).clip(1e-9) for each in (projection.arrivals, projection.departures)]
    rise = _rise(*flow)
    crossing = np.zeros_like(below)
    for step in range(1, _JUMP):
        edge = (beds_of_hour - step).astype(int)
        chance = np.take_along_axis(odds, edge.clip(0, odds.shape[-1] - 1)[..., None], -1)[..., 0]
        chance = np.where((edge >= 0) & (edge < odds.shape[-1]), chance, 0.0)
        crossing[:, 1:] += chance[:, :-1] * rise[:, 1:, step]
    stays_below = 1 - np.clip(crossing / np.maximum(np.roll(below, 1, axis=1), 1e-9), 0.0, 1.0)
    stays_below[:, 0] = below[:, 0]
    reached = 1 - np.minimum(np.cumprod(stays_below, axis=1), np.minimum.accumulate(below, axis=1))
    return np.asarray(reached[:, at])


def _rise(coming: Array, leaving: Array) -> Array:
    """P(arrivals - departures >= k) within an hour, for k below :data:`_JUMP` (last axis)."""
    come = _poisson(coming)
    leave = _poisson(leaving)
    found = np.zeros((*coming.shape, _JUMP))
    at_least = np.concatenate(
        [np.cumsum(come[..., ::-1], axis=-1)[..., ::-1], np.zeros((*coming.shape, _JUMP))], axis=-1
    )
    for step in range(_JUMP):
        found[..., step] = (leave * at_least[..., step : step + _JUMP]).sum(axis=-1)
    return found


def _poisson(mean: Array) -> Array:
    counts = np.arange(1, _JUMP)
    logs = np.cumsum(np.log(mean[..., None] / counts), axis=-1)
    return np.exp(np.concatenate([np.zeros((*mean.shape, 1)), logs], axis=-1) - mean[..., None])
