"""Forecasts: whether they have earned to be shown, and departments that will probably be full.

One function, :func:`judge`, decides. The hourly forecast writes its result into ForecastShown, which page, view, alert,
check and command read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from patient_flow.contracts.forecasts import JUDGED_DAYS, JUDGED_HORIZON
from patient_flow.contracts.measure_types import Text
from patient_flow.monitoring.bed_alerts import AHEAD, PREPARE, BedAlert, by_urgency
from patient_flow.monitoring.finding import Finding, Row, Severity, ok, warning
from patient_flow.monitoring.thresholds import (
    FORECAST_FULL_PCT,
    FORECAST_LOST_DAYS,
    FORECAST_WEEK_DAYS,
)
from patient_flow.wording import plural

c = pl.col

MODEL = "model"
BASELINES = ("persistence", "week_ago")
JUDGED_HORIZONS = (JUDGED_HORIZON, "48h", "72h")
"""Horizons whose scores decide."""

_LIMIT_ERRORS = 2.0
"""Standard errors by which a week's coverage must miss its name."""


@dataclass(frozen=True)
class Judgement:
    """How the forecasts of one hospital have done.

    ``days`` are those compared with what happened. ``source`` is what may be shown: ``model``, the better of
    :data:`BASELINES` where the model did badly in the last week, empty where nothing may. ``covered_80_pct`` and
    ``covered_95_pct`` are the last week's; ``covers_too_little`` and ``loses`` say what was wrong.
    """

    days: int
    source: str = ""
    covered_80_pct: float = 0.0
    covered_95_pct: float = 0.0
    covers_too_little: bool = False
    loses: bool = False

    @property
    def is_shown(self) -> bool:
        """True where a forecast, or a baseline in its place, may be shown."""
        return bool(self.source)

    @property
    def holds(self) -> bool:
        """True where the model itself may be shown."""
        return self.source == MODEL


def judge(scores: pl.DataFrame) -> dict[str, Judgement]:
    """hospital_id → judgement, from rows of ForecastScore of the last weeks.

    A forecast is shown once :data:`JUDGED_DAYS` days have been judged. It covers too little where the share of
    outcomes within its intervals is below their name by more than chance explains; it loses where it was worse than the
    same baseline, by pinball loss, on :data:`FORECAST_LOST_DAYS` of the last :data:`FORECAST_WEEK_DAYS` judged days.
    """
    chosen = scores.filter(c("horizon").is_in(JUDGED_HORIZONS))
    return {str(hospital): _judge(rows) for (hospital,), rows in chosen.group_by(["hospital_id"], maintain_order=True)}


def _judge(rows: pl.DataFrame) -> Judgement:
    dates = rows.filter(c("horizon") == JUDGED_HORIZON)["date"].unique().sort()
    if len(dates) < JUDGED_DAYS:
        return Judgement(len(dates))
    week = rows.filter(c("date").is_in(dates.tail(FORECAST_WEEK_DAYS).implode()))
    covered_80, covered_95 = (100 * float(week.select(c(name).mean()).item()) for name in ("covered_80", "covered_95"))
    # The horizons of a day share their outcomes: each department counts once a day.
    outcomes = week.select("date", "department_key").unique().height
    too_little = any(
        share < name - _LIMIT_ERRORS * math.sqrt(name * (100 - name) / outcomes)
        for share, name in ((covered_80, 80), (covered_95, 95))
    )
    losses = {name: f"{name}_pinball_loss" for name in BASELINES}
    known = week.filter(pl.all_horizontal(c(column).is_not_null() for column in losses.values()))
    by_day = known.group_by("date").agg(c("pinball_loss", *losses.values()).mean())
    lost = any(
        by_day.filter(c("pinball_loss") > c(column)).height >= FORECAST_LOST_DAYS
        and by_day.select(c("pinball_loss").mean() > c(column).mean()).item()
        for column in losses.values()
    )
    means = known.select(c(losses.values()).mean()).row(0) if known.height else (0.0,) * len(losses)
    better = BASELINES[means.index(min(means))]
    return Judgement(len(dates), better if too_little or lost else MODEL, covered_80, covered_95, too_little, lost)


def judgement_rows(scores: pl.DataFrame) -> pl.DataFrame:
    """The judgement of each hospital in ``scores``, as columns of ForecastShown; shares are null where nothing is."""
    columns = {
        "source": pl.String,
        "judged_days": pl.Int64,
        "covered_80_pct": pl.Float64,
        "covered_95_pct": pl.Float64,
        "covers_too_little": pl.Boolean,
        "loses": pl.Boolean,
    }
    rows = [
        (
            hospital,
            found.source or None,
            found.days,
            found.covered_80_pct if found.is_shown else None,
            found.covered_95_pct if found.is_shown else None,
            found.covers_too_little,
            found.loses,
        )
        for hospital, found in judge(scores).items()
    ]
    return pl.DataFrame(rows, schema={"hospital_id": pl.String, **columns}, orient="row")


def judgements(shown: pl.DataFrame) -> dict[str, Judgement]:
    """hospital_id → judgement, from rows of ForecastShown."""
    rows = shown.unique("hospital_id", keep="any").sort("hospital_id")
    names = ("source", "judged_days", "covered_80_pct", "covered_95_pct", "covers_too_little", "loses")
    return {
        hospital: Judgement(days, source or "", covered_80 or 0.0, covered_95 or 0.0, covers_too_little, loses)
        for hospital, source, days, covered_80, covered_95, covers_too_little, loses in rows.select(
            "hospital_id", *names
        ).iter_rows()
    }


def forecast_holds(rows_shown: pl.DataFrame) -> Finding:
    """The judgement of every hospital, from rows of ForecastShown; a warning where a baseline replaces the model."""
    judged = judgements(rows_shown)
    rows: Sequence[Row] = [
        {
            "hospital_id": hospital,
            "days_judged": found.days,
            "shown": found.source or "nothing",
            "covered_80_pct": round(found.covered_80_pct, 1) if found.is_shown else None,
            "covered_95_pct": round(found.covered_95_pct, 1) if found.is_shown else None,
            "covers_too_little": int(found.covers_too_little),
            "loses_to_a_baseline": int(found.loses),
        }
        for hospital, found in sorted(judged.items())
    ]
    shown = [found for found in judged.values() if found.is_shown]
    bad = [found for found in shown if not found.holds]
    figures: Mapping[str, int] = {
        "hospitals": len(judged),
        "hospitals_shown": len(shown),
        "hospitals_with_a_baseline": len(bad),
        "days_judged": max((found.days for found in judged.values()), default=0),
    }
    if bad:
        covers, loses = sum(found.covers_too_little for found in bad), sum(found.loses for found in bad)
        return warning(
            f"The dashboard shows a baseline in place of the forecast for {len(bad)} of "
            f"{plural(len(shown), 'hospital')}: intervals cover too little in {covers}, a baseline was better in "
            f"{loses}.",
            figures,
            rows,
        )
    if not shown:
        days = figures["days_judged"]
        return ok(f"No forecast is shown yet: {days} of {JUDGED_DAYS} days are judged.", figures, rows)
    return ok("Intervals cover what they promise, and no baseline is better.", figures, rows)


@dataclass(frozen=True)
class Chance:
    """Probability that a department, or a hospital (``department`` empty), reaches its staffed beds."""

    hospital: str
    department: str
    probability: float
    hours: int


def beds_full_ahead(chances: Sequence[Chance]) -> list[BedAlert]:
    """Departments and hospitals that will probably be full."""
    return by_urgency(
        BedAlert(AHEAD, Severity.WARNING, chance.hospital, chance.department, _full_ahead(chance), PREPARE)
        for chance in chances
        if 100 * chance.probability >= FORECAST_FULL_PCT
    )


def _full_ahead(chance: Chance) -> Text:
    share = f"{100 * chance.probability:.0f} %"
    return Text(
        f"will be full within {plural(chance.hours, 'hour')} with a probability of {share}",
        f"sera plein d’ici {plural(chance.hours, 'heure', language='fr')} avec une probabilité de {share}",
    )
