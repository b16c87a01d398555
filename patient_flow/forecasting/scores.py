"""Scores of forecasts against the census."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from patient_flow.forecasting import baselines
from patient_flow.forecasting.distributions import LEVELS

c = pl.col

HOURS = (1, 3, 6, 12, 24, 48, 72)
_QUANTILES = ("p025", "p05", "p10", "p25", "p50", "p75", "p90", "p95", "p975")


def covered(low: pl.Expr, high: pl.Expr, actual: pl.Expr) -> pl.Expr:
    """Share of the outcome within the interval: a count covers ±½ around it, 0 covers 0…½."""
    start = pl.when(actual == 0).then(0.0).otherwise(actual - 0.5)
    end = actual + 0.5
    inside = pl.min_horizontal(high, end) - pl.max_horizontal(low, start)
    return (inside / (end - start)).clip(0.0, 1.0)


def pinball(actual: pl.Expr, prefix: str = "") -> pl.Expr:
    """Mean pinball loss of the nine quantiles, columns of these names after ``prefix``."""
    losses = []
    for name, level in zip(_QUANTILES, LEVELS, strict=True):
        gap = actual - c(prefix + name)
        losses.append(pl.max_horizontal(level * gap, (level - 1) * gap))
    return pl.mean_horizontal(losses)


def score(
    forecasts: pl.DataFrame,
    census: pl.DataFrame,
    departments: pl.DataFrame,
    days_with_events: pl.DataFrame,
    newest: datetime | None,
    zone: str,
) -> pl.DataFrame:
    """Rows of ForecastScore for ``forecasts`` (morning rows of ForecastBeds) whose target is not after ``newest``.

    ``census`` has FactBedCensus from :data:`baselines.HISTORY` before the first forecast on, ``departments`` is
    DimDepartment, ``days_with_events`` date and hospital_id of days on which the hub took an event of the hospital: a
    target on another day is not scored.
    """
    if newest is None:
        newest = datetime(1, 1, 1, tzinfo=UTC)
    local = c("target_at").dt.convert_time_zone(zone)
    made_on = c("made_at").dt.convert_time_zone(zone).dt.date()
    is_midnight = local.dt.date() != (local - pl.duration(hours=1)).dt.date()
    of_all = forecasts.filter(c("gender") == "All", c("target_at") <= newest)
    by_hour = of_all.filter(c("horizon_hours").is_in(HOURS)).with_columns(horizon=pl.format("{}h", "horizon_hours"))
    at_midnight = of_all.filter(is_midnight).with_columns(
        horizon=pl.format("midnight {}", (local.dt.date() - made_on).dt.total_days())
    )
    named = pl.concat([by_hour, at_midnight]).with_columns(date=made_on, day=local.dt.date())
    scored = named.join(days_with_events.rename({"date": "day"}), on=["day", "hospital_id"], how="semi")
    occupied = occupied_beds(census, departments)
    scored = scored.with_columns(place=place_of(departments))
    scored = (
        scored.join(
            occupied.rename({"beds": "occupied_beds"}),
            left_on=["hospital_id", "place", "target_at"],
            right_on=["hospital_id", "place", "hour"],
            how="left",
        )
        .with_columns(c("occupied_beds").fill_null(0).cast(pl.Float64))
        .hstack(baselines.forecasts(scored, occupied, _QUANTILES))
    )
    actual = c("occupied_beds")
    return scored.with_columns(
        absolute_error=(c("p50") - actual).abs(),
        pinball_loss=pinball(actual),
        covered_80=covered(c("p10"), c("p90"), actual),
        covered_95=covered(c("p025"), c("p975"), actual),
        **{
            f"{name}_{figure}": value
            for name in baselines.NAMES
            for figure, value in (
                ("absolute_error", (c(name) - actual).abs()),
                ("pinball_loss", pinball(actual, f"{name}_")),
                ("covered_80", covered(c(f"{name}_p10"), c(f"{name}_p90"), actual)),
                ("covered_95", covered(c(f"{name}_p025"), c(f"{name}_p975"), actual)),
            )
        },
    )


def place_of(departments: pl.DataFrame) -> pl.Expr:
    """The department of a department_key, whose versions have several keys; "" of a whole hospital (key 0)."""
    names = dict(departments.select("department_key", "department").iter_rows())
    return c("department_key").replace_strict({**names, 0: ""}, default=None, return_dtype=pl.String)


def occupied_beds(census: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """Occupied beds by hospital_id, place (department; "" = the hospital) and hour."""
    named = census.join(departments.select("department_key", "hospital_id", place="department"), on="department_key")
    key = c("time_key")
    hour = pl.datetime(key // 1_000_000, key // 10_000 % 100, key // 100 % 100, key % 100, time_zone="UTC")
    named = named.with_columns(hour=hour.dt.cast_time_unit("us"))
    by_place = named.group_by("hospital_id", "place", "hour").agg(beds=c("occupied_beds").sum())
    whole = by_place.group_by("hospital_id", "hour").agg(c("beds").sum()).with_columns(place=pl.lit(""))
    return pl.concat([by_place, whole.select(by_place.columns)])
