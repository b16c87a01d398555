"""The newest forecast as readers may see it: the model, or a baseline in its place."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from patient_flow.forecasting import baselines
from patient_flow.forecasting.forecast import ALL, QUANTILES
from patient_flow.forecasting.scores import occupied_beds, place_of

c = pl.col

MODEL = "model"
_KEY = ["hospital_id", "department_key", "target_at"]
_MODEL_ONLY = ("expected_admissions", "expected_discharges", "probability_full")
_BEDS = ("expected_beds", *QUANTILES)


def shown(
    made: pl.DataFrame, judged: pl.DataFrame, census: pl.DataFrame, departments: pl.DataFrame, newest: datetime | None
) -> pl.DataFrame:
    """Rows of ForecastShown for ``made``, the rows of ForecastBeds of one forecast.

    ``judged`` has a row per hospital: hospital_id, source (null where nothing may be shown) and further columns, which
    the result repeats. ``census`` has FactBedCensus from :data:`baselines.HISTORY` before the forecast on, up to the
    hour ``newest``; ``departments`` is DimDepartment. Baselines know no genders, admissions or discharges.
    """
    rows = made.join(judged, on="hospital_id", how="left").join(_staffed(made, departments), on=_KEY, how="left")
    of_all = rows.filter(c("gender") == ALL)
    of_baselines = of_all.filter(c("source").is_in(baselines.NAMES))
    if newest is not None and of_baselines.height:
        of_baselines = _of_baselines(of_baselines, census, departments, newest)
    unknown = [pl.lit(None, pl.Float64).alias(name) for name in (*_BEDS, *_MODEL_ONLY)]
    of_nothing = of_all.filter(c("source").is_null()).with_columns(unknown)
    return pl.concat([rows.filter(c("source") == MODEL), of_baselines, of_nothing])


def _staffed(made: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """hospital_id, department_key, target_at → staffed beds; of a hospital where all of its departments state them."""
    of_departments = made.filter(c("gender") == ALL, c("department_key") != 0)
    stated = of_departments.join(departments.select("department_key", "staffed_beds"), on="department_key")
    stated = stated.select(*_KEY, c("staffed_beds").cast(pl.Int64))
    whole = stated.group_by("hospital_id", "target_at").agg(
        staffed_beds=pl.when(c("staffed_beds").null_count() == 0).then(c("staffed_beds").sum())
    )
    whole = whole.with_columns(department_key=pl.lit(0, stated.schema["department_key"]))
    return pl.concat([stated, whole.select(stated.columns)])


def _of_baselines(
    rows: pl.DataFrame, census: pl.DataFrame, departments: pl.DataFrame, newest: datetime
) -> pl.DataFrame:
    """``rows`` with the baseline of their ``source`` in place of the model, as it is scored."""
    # The census ends with the newest event, which may be older than the forecast.
    known_at = pl.min_horizontal("made_at", pl.lit(newest).cast(rows.schema["made_at"]))
    places = rows.with_columns(made_at=known_at, place=place_of(departments))
    found = baselines.forecasts(places, occupied_beds(census, departments), QUANTILES)

    def chosen(column: str) -> pl.Expr:
        of = {name: c(f"{name}{column and '_'}{column}") for name in baselines.NAMES}
        return pl.when(c("source") == baselines.NAMES[0]).then(of[baselines.NAMES[0]]).otherwise(of[baselines.NAMES[1]])

    unknown = {name: pl.lit(None, pl.Float64) for name in _MODEL_ONLY}
    beds = {"expected_beds": chosen(""), **{name: chosen(name) for name in QUANTILES}}
    return rows.hstack(found).with_columns(**beds, **unknown).select(rows.columns)
