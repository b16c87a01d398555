"""Control charts: the values of NHSRplotthedots' own tests (0.2.2), and examples worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl
import pytest

from patient_flow.contracts.measure_types import Better
from patient_flow.transforms.control_charts import COLUMNS, Assurance, assurance, control_chart

START = date(2020, 1, 2)
NORMAL = (
    *(-0.56047565, -0.23017749, 1.55870831, 0.07050839, 0.12928774, 1.71506499, 0.46091621, -1.26506123),
    *(-0.68685285, -0.44566197, 1.22408180, 0.35981383, 0.40077145, 0.11068272, -0.55584113, 1.78691314),
    *(0.49785048, -1.96661716, 0.70135590, -0.47279141),
)
"""``set.seed(123); rnorm(20)`` in R: the series of the package's tests."""


def chart(
    values: Sequence[float | None], better: Better = Better.HIGHER, rebased_on: Sequence[date] = ()
) -> pl.DataFrame:
    steps = [START + timedelta(days=number) for number in range(len(values))]
    points = pl.DataFrame({"step": steps, "value": values}, schema={"step": pl.Date, "value": pl.Float64})
    return control_chart(points, better, rebased_on)


def causes(values: Sequence[float | None], rebased_on: Sequence[date] = ()) -> list[str | None]:
    return chart(values, rebased_on=rebased_on)["special_cause"].to_list()


def limits(of: pl.DataFrame, row: int = 0) -> tuple[float, float, float]:
    return of.select("mean", "lower_limit", "upper_limit").row(row)


# --- the package's own tests: tests/testthat/test-ptd_spc_standard.R, test-ptd_spc.R and their snapshots ------------


def test_mean_and_limits_are_those_of_the_package() -> None:
    assert limits(chart(NORMAL)) == pytest.approx((0.1416238, -3.01138, 3.294627), rel=2e-6)


def test_a_large_moving_range_is_left_out_once_as_in_the_package() -> None:
    with_outlier = [*NORMAL[:14], 10.0, *NORMAL[15:]]
    assert limits(chart(with_outlier)) == pytest.approx((0.6694159, -2.383666, 3.722497), rel=2e-6)


def test_halves_of_the_series_have_the_limits_that_the_package_gives_them() -> None:
    assert limits(chart(NORMAL[:10])) == pytest.approx((0.0746, -2.60, 2.75), abs=5e-3)
    assert limits(chart(NORMAL[10:])) == pytest.approx((0.209, -3.28, 3.70), abs=5e-3)


def test_the_series_of_the_package_has_no_special_cause_whatever_its_phases() -> None:
    assert causes(NORMAL) == [None] * 20
    assert chart(NORMAL, rebased_on=[date(2020, 1, 1)]).drop("phase").equals(chart(NORMAL).drop("phase"))


def test_two_points_near_opposite_limits_are_no_special_cause() -> None:
    assert causes([*[1.0, -1.0] * 7, 5.5, -5.5])[-2:] == [None, None]


@pytest.mark.parametrize(
    ("lower", "upper", "rising", "falling"),
    [
        (1, 3, Assurance.FAIL, Assurance.PASS),
        (5, 7, Assurance.PASS, Assurance.FAIL),
        (1, 5, Assurance.INCONSISTENT, Assurance.INCONSISTENT),
    ],
)
def test_assurance_is_that_of_the_package(lower: int, upper: int, rising: Assurance, falling: Assurance) -> None:
    last = pl.DataFrame({"lower_limit": [0.0, lower], "upper_limit": [9.0, upper]})
    assert assurance(last, Better.HIGHER, 4) is rising
    assert assurance(last, Better.LOWER, 4) is falling
    assert assurance(last, Better.NEITHER, 4) is None
    assert assurance(last, Better.HIGHER, None) is None


def test_a_trend_needs_seven_points_that_each_rise() -> None:
    # The windows of test-ptd_calculate_point_type.R, between points that keep them within the limits.
    calm = [0.0, 8.0] * 6
    assert "seven_points_rising" not in causes([*calm, 1, 2, 3, 3, 4, 5, 6, *calm])
    rising = causes([*calm, 2, 1, 2, 3, 4, 5, 6, 7, 3, *calm])
    assert [number for number, cause in enumerate(rising) if cause == "seven_points_rising"] == list(range(13, 20))
    falling = causes([*calm, 2, 7, 6, 5, 4, 3, 2, 1, 3, *calm])
    assert [number for number, cause in enumerate(falling) if cause == "seven_points_falling"] == list(range(13, 20))


# --- worked by hand -------------------------------------------------------------------------------------------------


def test_limits_worked_by_hand() -> None:
    # Sum 30; moving ranges 2, 4, 2, 2, 2 with mean 2.4, all below 3.267 x 2.4.
    assert limits(chart([4, 6, 2, 4, 6, 8])) == pytest.approx((5, 5 - 2.66 * 2.4, 5 + 2.66 * 2.4))


def test_the_only_moving_range_above_zero_is_left_out() -> None:
    # Four ranges of 0 and one of 5: their mean is 1, so 5 is more than 3.267 times it; zeros remain.
    assert limits(chart([1, 1, 1, 1, 1, 6])) == pytest.approx((11 / 6, 11 / 6, 11 / 6))


def test_a_point_outside_a_limit_is_named_by_its_side() -> None:
    # Mean 17.1; moving ranges of 10, and one of 40 that leaves: limits 26.6 away.
    series = [*[10.0, 20.0] * 10, 60.0]
    assert causes(series) == [None] * 20 + ["above_upper_limit"]
    assert causes([-value for value in series])[-1] == "below_lower_limit"


def test_seven_points_on_one_side_are_all_marked() -> None:
    # Mean 6.2; moving ranges of 4, and one of 9: limits 11.7 away, two thirds of that 7.8.
    low, high = [0.0, 4, 0, 4, 0, 4, 0], [9.0, 13, 9, 13, 9, 13, 9]
    assert causes([*low, *high]) == ["seven_points_below_mean"] * 7 + ["seven_points_above_mean"] * 7
    assert causes([*low[:6], *high[:6]]) == [None] * 12


def test_two_of_three_points_near_a_limit_are_marked_and_the_third_is_not() -> None:
    quiet = [10.0, 12.0] * 10
    values = [*quiet, 15.2, 11.9, 15.2, *quiet]
    made = chart(values)
    mean, _, upper = limits(made)
    assert mean < 11.9 < mean + (upper - mean) * 2 / 3 < 15.2 < upper
    assert [cause for cause in made["special_cause"].to_list() if cause] == ["two_of_three_near_upper_limit"] * 2


def test_a_turning_point_belongs_to_the_later_trend() -> None:
    calm = [0.0, 8.0] * 6
    found = causes([*calm, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1, *reversed(calm)])
    assert found[12:25] == ["seven_points_rising"] * 6 + ["seven_points_falling"] * 7


def test_a_phase_has_its_own_mean_limits_and_runs() -> None:
    low, high = [2.0, 3, 2, 3, 2, 3, 2], [7.0, 8, 7, 8, 7, 8, 7]
    made = chart([*low, *high], rebased_on=[START + timedelta(days=7)])
    assert made["phase"].to_list() == [0] * 7 + [1] * 7
    assert made["mean"].to_list() == pytest.approx([17 / 7] * 7 + [52 / 7] * 7)
    assert made["special_cause"].null_count() == 14
    assert made["is_provisional"].all()


def test_a_phase_begins_with_the_first_point_on_or_after_its_date() -> None:
    made = chart([1, 2, None, 4], rebased_on=[START + timedelta(days=2)])
    assert made["value"].to_list() == [1, 2, 4]
    assert made["phase"].to_list() == [0, 0, 1]


def test_equal_values_have_no_limits_and_no_special_cause() -> None:
    made = chart([0.1] * 20)
    assert made["upper_limit"].null_count() == 20
    assert made["special_cause"].null_count() == 20


@pytest.mark.parametrize(
    ("better", "up", "down"),
    [
        (Better.HIGHER, "improvement", "concern"),
        (Better.LOWER, "concern", "improvement"),
        (Better.NEITHER, "special_cause_high", "special_cause_low"),
    ],
)
def test_the_direction_of_a_measure_gives_a_special_cause_its_meaning(better: Better, up: str, down: str) -> None:
    low, high = [0.0, 4, 0, 4, 0, 4, 0], [9.0, 13, 9, 13, 9, 13, 9]
    assert chart([*low, *high], better)["variation"].to_list() == [down] * 7 + [up] * 7


def test_no_points_make_an_empty_chart() -> None:
    assert chart([]).columns == ["step", "value", *COLUMNS]
    assert chart([None, None]).is_empty()
