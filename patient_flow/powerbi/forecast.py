"""Measures of the forecast: what the view ``BedsExpected`` says of one place at one hour, and how good it has been.

Quantiles do not add up. A measure therefore shows one row: that of the chosen department, else that of the whole
hospital, and nothing where several hospitals or hours are chosen at once.
"""

from __future__ import annotations

from patient_flow.powerbi.declarations import Measure

_WHOLE = "ISBLANK(BedsExpected[department])"


def _expected(name: str, shape: str, description: str, column: str) -> Measure:
    value = f"MAX(BedsExpected[{column}])"
    return Measure(
        name,
        "BedsExpected",
        "Forecast",
        shape,
        description,
        f"""
IF(
    ISFILTERED(BedsExpected[department]),
    IF(COUNTROWS(BedsExpected) = 1, {value}),
    IF(CALCULATE(COUNTROWS(BedsExpected), {_WHOLE}) = 1, CALCULATE({value}, {_WHOLE}))
)""".strip(),
    )


def _scored(name: str, shape: str, description: str, column: str) -> Measure:
    """Mean over the chosen departments; rows of whole hospitals have the key 0."""
    return Measure(
        name,
        "ForecastScore",
        "Forecast",
        shape,
        description,
        f"""
CALCULATE(
    AVERAGE(ForecastScore[{column}]),
    ForecastScore[department_key] <> 0,
    TREATAS(VALUES(DimDepartment[department_key]), ForecastScore[department_key])
)""".strip(),
    )


_BEDS, _FREE, _SHARE = "#,0.0", "#,0", "0.0%"
_ONE = "Of one department, else of one whole hospital, at one hour."

FORECAST: tuple[Measure, ...] = (
    _expected("Beds expected", _BEDS, f"Occupied beds to expect. {_ONE}", "expected_beds"),
    _expected("Beds expected, likely from", _BEDS, f"In 1 of 10 cases fewer beds are occupied. {_ONE}", "p10"),
    _expected("Beds expected, likely to", _BEDS, f"In 1 of 10 cases more beds are occupied. {_ONE}", "p90"),
    _expected("Beds expected, hardly below", _BEDS, f"In 1 of 40 cases fewer beds are occupied. {_ONE}", "p025"),
    _expected("Beds expected, hardly above", _BEDS, f"In 1 of 40 cases more beds are occupied. {_ONE}", "p975"),
    _expected("Staffed beds then", _FREE, f"Staffed beds at that hour. {_ONE}", "staffed_beds"),
    _expected(
        "Free beds expected", _FREE, f"Staffed less expected beds; negative where over-full. {_ONE}", "free_beds"
    ),
    _expected("Free beds, likely from", _FREE, f"In 1 of 10 cases fewer are free. {_ONE}", "free_low"),
    _expected("Free beds, likely to", _FREE, f"In 1 of 10 cases more are free. {_ONE}", "free_high"),
    _expected(
        "Probability of being full",
        _SHARE,
        f"That all staffed beds are taken by then at some hour. {_ONE}",
        "probability_full",
    ),
    _expected("Days judged", _FREE, f"Days whose forecast was compared with what happened. {_ONE}", "judged_days"),
    _scored(
        "Forecast error beds",
        _BEDS,
        "Mean distance of the 06:00 forecasts from the occupied beds, departments.",
        "absolute_error",
    ),
    _scored(
        "Forecast error, no change beds",
        _BEDS,
        "The same if beds had been expected to stay as they were at 06:00: the forecast must be lower.",
        "persistence_absolute_error",
    ),
    _scored(
        "Forecast error, week before beds",
        _BEDS,
        "The same if beds had been expected to be those of the week before: the forecast must be lower.",
        "week_ago_absolute_error",
    ),
    _scored(
        "Forecast within likely range %", _SHARE, "Outcomes between likely from and to: 80 % is right.", "covered_80"
    ),
)
