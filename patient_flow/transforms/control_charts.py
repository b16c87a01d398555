"""XmR control charts ("plot the dots"): mean, natural process limits, special causes, and what they mean.

Computed as NHSRplotthedots 0.2.2 does by default (NHS-R Community, MIT,
https://github.com/nhs-r-community/NHSRplotthedots, functions ``ptd_spc_standard``, ``ptd_calculate_point_type`` and
``ptd_calculate_assurance_type``):

- The limits lie 2.66 mean moving ranges from the mean. A moving range of 3.267 times their mean or more is left out
  once, before the mean that the limits are made from.
- A point is a special cause, in this order of names, where it lies outside the limits, belongs to a trend of seven
  points that rise or fall, is one of two or three points beyond two thirds of the way to a limit among three
  consecutive ones on the same side of the mean, or belongs to seven consecutive points on one side of the mean.
- A trend is named by its direction, everything else by the side of the mean.
- A phase begins with the first point on or after a date of rebasing; each has its own mean, limits and runs.

Two things are ours: a point without a value is left out, where the package asks for a series without gaps, and a date
of rebasing need not be that of a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum

import polars as pl

from patient_flow.contracts.measure_types import Better

c = pl.col

LIMIT_FACTOR = 2.66
"""Mean moving ranges between the mean and a limit: 3 / 1.128, three standard deviations."""
NEAR_LIMIT_FACTOR = LIMIT_FACTOR * 2 / 3
SCREENED_FACTOR = 3.267
"""A moving range of this many mean moving ranges or more is an outlier."""
RUN_POINTS = 7
"""Points on one side of the mean, or in a trend, that make a special cause."""
MIN_POINTS = 13
"""Limits of fewer points are provisional (``ptd_add_short_group_warnings``)."""


class SpecialCause(StrEnum):
    """Why a point is no common cause."""

    ABOVE_LIMIT = "above_upper_limit"
    BELOW_LIMIT = "below_lower_limit"
    RISING = "seven_points_rising"
    FALLING = "seven_points_falling"
    NEAR_UPPER = "two_of_three_near_upper_limit"
    NEAR_LOWER = "two_of_three_near_lower_limit"
    ABOVE_MEAN = "seven_points_above_mean"
    BELOW_MEAN = "seven_points_below_mean"


class Variation(StrEnum):
    """The meaning of a point: a special cause of a measure without a better direction is only high or low."""

    COMMON = "common_cause"
    IMPROVEMENT = "improvement"
    CONCERN = "concern"
    HIGH = "special_cause_high"
    LOW = "special_cause_low"


class Assurance(StrEnum):
    """Whether the process, as it is now, reaches its target."""

    PASS = "consistent_pass"  # noqa: S105 - not a password
    FAIL = "consistent_fail"
    INCONSISTENT = "inconsistent"


UPWARDS = (SpecialCause.ABOVE_LIMIT, SpecialCause.RISING, SpecialCause.NEAR_UPPER, SpecialCause.ABOVE_MEAN)
COLUMNS = ("phase", "mean", "lower_limit", "upper_limit", "is_provisional", "special_cause", "variation")
"""What :func:`control_chart` adds to its points."""


def control_chart(points: pl.DataFrame, better: Better, rebased_on: Sequence[date] = ()) -> pl.DataFrame:
    """``points`` (step: date, value: number) in order of time, without those that have no value, and :data:`COLUMNS`.

    Limits are null where nothing varies or a phase has a single point. ``special_cause`` is null for a common cause.
    """
    rebased = sorted(set(rebased_on))
    phase = pl.sum_horizontal(pl.lit(0), *((c("step") >= first).cast(pl.Int64) for first in rebased))
    return (
        points.filter(c("value").is_not_null())
        .sort("step")
        .with_columns(c("value").cast(pl.Float64), phase=phase.cast(pl.Int64))
        .with_columns(_mean.over("phase").alias("mean"))
        .with_columns(
            _mean_moving_range.over("phase").alias("range"), is_provisional=pl.len().over("phase") < MIN_POINTS
        )
        .with_columns(
            lower_limit=c("mean") - LIMIT_FACTOR * c("range"),
            upper_limit=c("mean") + LIMIT_FACTOR * c("range"),
            side=(c("value") - c("mean")).sign(),
        )
        .with_columns(
            is_outside=((c("value") > c("upper_limit")) | (c("value") < c("lower_limit"))).fill_null(value=False),
            is_near=((c("value") - c("mean")).abs() > NEAR_LIMIT_FACTOR * c("range")).fill_null(value=False),
        )
        .with_columns(
            _runs(c("side"), RUN_POINTS).over("phase").alias("is_in_run"),
            _runs(c("value").diff().sign(), RUN_POINTS - 1, before=1).over("phase").alias("is_in_trend"),
            _two_of_three.over("phase").alias("is_of_two"),
            c("value").diff().sign().over("phase").alias("step_before"),
        )
        .with_columns(_trend_direction.over("phase").alias("direction"))
        .with_columns(special_cause=_special_cause)
        .with_columns(variation=_variation(better))
        .select(*points.columns, *COLUMNS)
    )


def assurance(chart: pl.DataFrame, better: Better, target: float | None) -> Assurance | None:
    """Whether the last phase of ``chart`` reaches ``target``; None without a target, a better direction or points."""
    if target is None or better is Better.NEITHER or chart.is_empty():
        return None
    lower, upper = chart.row(-1, named=True)["lower_limit"], chart.row(-1, named=True)["upper_limit"]
    if lower is None or upper is None or lower <= target <= upper:
        return Assurance.INCONSISTENT
    is_met = (target < lower) == (better is Better.HIGHER)
    return Assurance.PASS if is_met else Assurance.FAIL


# A second pass takes away the rounding of the first: the mean of equal values is that value.
_mean = c("value").mean() + (c("value") - c("value").mean()).mean()
_ranges = c("value").diff().abs()
_mean_moving_range = _ranges.filter(_ranges < SCREENED_FACTOR * _ranges.mean()).mean()


def _runs(signs: pl.Expr, points: int, before: int = 0) -> pl.Expr:
    """True for the points of any window of ``points`` equal signs, and the ``before`` points ahead of it."""
    is_end = signs.rolling_sum(points).abs() == points
    return _followed(is_end, points - 1 + before)


def _followed(is_end: pl.Expr, later: int) -> pl.Expr:
    """True where this row or one of the ``later`` next ones is true; rows after the last are false."""
    return pl.any_horizontal(*(is_end.shift(-ahead).fill_null(value=False) for ahead in range(later + 1)))


_is_two_of_three = (c("is_near").cast(pl.Int64) - c("is_outside").cast(pl.Int64)).rolling_sum(3) >= 2
_is_one_side = c("side").rolling_sum(3).abs() == 3
_two_of_three = _followed((_is_two_of_three & _is_one_side).fill_null(value=False), 2) & c("is_near")

# A point of a trend that goes on is named by the step to the next one: a turning point belongs to the later trend.
_goes_on = c("is_in_trend") & c("is_in_trend").shift(-1).fill_null(value=False)
_trend_direction = pl.when(_goes_on).then(c("step_before").shift(-1)).otherwise(c("step_before").fill_null(0))

_special_cause = (
    pl.when(c("is_outside"))
    .then(pl.when(c("side") == 1).then(pl.lit(SpecialCause.ABOVE_LIMIT)).otherwise(pl.lit(SpecialCause.BELOW_LIMIT)))
    .when(c("is_in_trend"))
    .then(pl.when(c("direction") == 1).then(pl.lit(SpecialCause.RISING)).otherwise(pl.lit(SpecialCause.FALLING)))
    .when(c("is_of_two"))
    .then(pl.when(c("side") > 0).then(pl.lit(SpecialCause.NEAR_UPPER)).otherwise(pl.lit(SpecialCause.NEAR_LOWER)))
    .when(c("is_in_run"))
    .then(pl.when(c("side") > 0).then(pl.lit(SpecialCause.ABOVE_MEAN)).otherwise(pl.lit(SpecialCause.BELOW_MEAN)))
)


def _variation(better: Better) -> pl.Expr:
    up, down = {
        Better.HIGHER: (Variation.IMPROVEMENT, Variation.CONCERN),
        Better.LOWER: (Variation.CONCERN, Variation.IMPROVEMENT),
        Better.NEITHER: (Variation.HIGH, Variation.LOW),
    }[better]
    cause = c("special_cause")
    return (
        pl.when(cause.is_null())
        .then(pl.lit(Variation.COMMON))
        .when(cause.is_in(list(UPWARDS)))
        .then(pl.lit(up))
        .otherwise(pl.lit(down))
    )
