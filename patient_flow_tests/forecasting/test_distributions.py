"""Quantiles of counts: binomial, Poisson and negative binomial by their mean and variance."""

from math import comb, exp, factorial

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.forecasting.distributions import LEVELS, at_least, probabilities, quantiles
from patient_flow.forecasting.scores import covered

MEAN = np.array([4.0])


def test_equal_mean_and_variance_is_poisson() -> None:
    found = probabilities(MEAN, MEAN)[0]
    assert found[:12] == pytest.approx([exp(-4) * 4**k / factorial(k) for k in range(12)], rel=1e-6)


def test_a_smaller_variance_is_binomial() -> None:
    found = probabilities(MEAN, np.array([3.2]))[0]
    expected = [comb(20, k) * 0.2**k * 0.8 ** (20 - k) for k in range(15)]
    assert found[:15] == pytest.approx(expected, rel=1e-6)


@given(st.floats(0.05, 300), st.floats(0.1, 6))
def test_mean_and_variance_are_those_given_and_quantiles_never_cross(mean: float, ratio: float) -> None:
    chances = probabilities(np.array([mean]), np.array([mean * ratio]))[0]
    counts = np.arange(len(chances))
    assert float((chances * counts).sum()) == pytest.approx(mean, rel=0.01)
    if ratio >= 1:
        assert float((chances * (counts - mean) ** 2).sum()) == pytest.approx(mean * ratio, rel=0.05)
    found = quantiles(np.array([mean]), np.array([mean * ratio]))[0]
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0


def test_an_interval_covers_its_share_of_counts_that_are_spread_over_half_a_bed_either_side() -> None:
    mean, variance = np.array([2.5]), np.array([3.5])
    chances = probabilities(mean, variance)[0]
    low, high = quantiles(mean, variance)[0][[LEVELS.index(0.1), LEVELS.index(0.9)]]
    frame = pl.DataFrame({"actual": np.arange(len(chances)).astype(float), "chance": chances})
    share = frame.select((covered(pl.lit(low), pl.lit(high), pl.col("actual")) * pl.col("chance")).sum()).item()
    assert share == pytest.approx(0.8, abs=1e-6)


def test_the_chance_of_reaching_a_limit_counts_the_limit() -> None:
    chances = probabilities(MEAN, MEAN)[0]
    assert at_least(MEAN, MEAN, np.array([5.0]))[0] == pytest.approx(chances[5:].sum())
    assert at_least(MEAN, MEAN, np.array([0.0]))[0] == 1.0
