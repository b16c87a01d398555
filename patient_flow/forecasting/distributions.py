"""Distributions of counts with a given mean and variance, and their quantiles.

Binomial, Poisson and negative binomial are one family: the probability of k follows from that of k - 1 by the factor
``a + b / k`` (Panjer). The mean and the variance determine ``a`` and ``b``.

A count is read as spread evenly over ±½ around it (0 over 0…½), so that quantiles of small counts are not steps and an
outcome on the edge of an interval counts in proportion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
"""Probabilities of the quantiles that a forecast states."""

_TAIL = 9.0
_DECAY = 14.0
"""A negative binomial distribution of a small mean falls by e in as many counts as its variance is times its mean."""
_MAX_DISPERSION = 20.0
"""Beyond it the tail is cut, which bounds memory."""
_MIN_MEAN = 1e-6
_MIN_DISPERSION = 0.02
"""Smallest variance in relation to the mean: a forecast is never certain."""


def probabilities(mean: Array, variance: Array, largest: int = 0) -> Array:
    """P(count = k) for k from 0 to ``largest``, by default as far as any of them matters.

    The last axis is k, the others are those of ``mean``.
    """
    mean, variance, reach = _adjusted(mean, variance)
    largest = largest or int(np.ceil(np.max(reach, initial=1.0)))
    a = 1 - mean / variance
    b = mean * (1 - a) - a
    counts = np.arange(1, largest + 1)
    factor = a[..., None] + b[..., None] / counts
    with np.errstate(divide="ignore"):
        steps = np.where(factor > 1e-9, np.log(np.maximum(factor, 1e-300)), -np.inf)
    # Beyond the largest count of a binomial distribution the factor is negative once, and must stay impossible.
    logs = np.concatenate([np.zeros((*mean.shape, 1)), np.cumsum(steps, axis=-1)], axis=-1)
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _adjusted(mean: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Mean and variance that a distribution can have, and the largest count worth computing."""
    mean = np.maximum(mean, _MIN_MEAN)
    variance = np.maximum(variance, _MIN_DISPERSION * mean)
    # A binomial distribution has a whole number of trials: the next larger one, which keeps the mean exact.
    is_binomial = variance < mean * (1 - 1e-9)
    trials = np.ceil(mean**2 / np.where(is_binomial, mean - variance, 1.0) - 1e-9)
    variance = np.where(is_binomial, mean * (1 - mean / np.maximum(trials, mean + 1e-6)), variance)
    variance = np.maximum(variance, 1e-9 * mean)
    decay = _DECAY * np.clip(variance / mean, 1.0, _MAX_DISPERSION)
    return mean, variance, mean + np.maximum(_TAIL * np.sqrt(variance) + _TAIL, decay)


def sizes(mean: Array, variance: Array) -> Array:
    """Powers of two that are at least the largest counts worth computing: one for all would compute mostly zeros."""
    return np.asarray(np.exp2(np.ceil(np.log2(_adjusted(mean, variance)[2]))))


def quantiles(mean: Array, variance: Array, levels: tuple[float, ...] = LEVELS) -> Array:
    """Quantiles of the spread count; the last axis is that of ``levels``. Never negative, never decreasing."""
    size = sizes(mean, variance)
    found = np.empty((*mean.shape, len(levels)))
    for largest in np.unique(size):
        chosen = size == largest
        found[chosen] = _quantiles(mean[chosen], variance[chosen], int(largest), levels)
    return found


def _quantiles(mean: Array, variance: Array, largest: int, levels: tuple[float, ...]) -> Array:
    cumulative = np.cumsum(probabilities(mean, variance, largest), axis=-1)
    found = np.empty((*cumulative.shape[:-1], len(levels)))
    for place, level in enumerate(levels):
        count = np.argmax(cumulative >= min(level, 1 - 1e-12), axis=-1)
        above = np.take_along_axis(cumulative, count[..., None], -1)[..., 0]
        below = np.where(
            count > 0, np.take_along_axis(cumulative, np.maximum(count - 1, 0)[..., None], -1)[..., 0], 0.0
        )
        share = (level - below) / np.maximum(above - below, 1e-300)
        found[..., place] = np.where(count == 0, share / 2, count - 0.5 + share)
    return np.maximum.accumulate(np.maximum(found, 0.0), axis=-1)


def at_least(mean: Array, variance: Array, limit: Array) -> Array:
    """P(count >= limit), elementwise."""
    cumulative = np.cumsum(probabilities(mean, variance), axis=-1)
    place = np.clip(np.ceil(limit).astype(int) - 1, -1, cumulative.shape[-1] - 1)
    below = np.take_along_axis(cumulative, np.maximum(place, 0)[..., None], -1)[..., 0]
    return np.where(place < 0, 1.0, np.clip(1 - below, 0.0, 1.0))
