"""Forecasts as of past mornings and how far they were off; and what measures would change in the newest one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.forecasts import JUDGED_DAYS, JUDGED_HORIZON
from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    FACT_BED_CENSUS,
    FORECAST_BEDS,
    FORECAST_SHOWN,
)
from patient_flow.errors import OperatorError
from patient_flow.forecasting import baselines, scores
from patient_flow.forecasting import what_if as comparing
from patient_flow.forecasting.beds import WINDOW_DAYS
from patient_flow.forecasting.forecast import fit_beds
from patient_flow.forecasting.what_if import WhatIf
from patient_flow.monitoring.rules.forecasts import Judgement, judgements
from patient_flow.pipeline import forecast
from patient_flow.pipeline.known import known_at
from patient_flow.pipeline.steps import StepContext
from patient_flow.wording import plural

c = pl.col

NOTHING_COMPARED = (
    "no forecast of these days can be compared: the census must cover the day, and the hub must have taken events of "
    "the hospital on the day that is forecast"
)


def backtest(context: StepContext, first: date, last: date) -> Iterator[tuple[date, pl.DataFrame]]:
    """Yields each day and the scores (columns of ForecastScore) of the forecast made at its 06:00 from what was known.

    Nothing is written. Raises :class:`OperatorError` when the census does not cover the days.
    """
    lake = context.lake
    if not lake.exists(FACT_BED_CENSUS) or lake.open(FACT_BED_CENSUS).row_count() == 0:
        raise OperatorError("there is no census to compare with: run a micro-batch or import the history first")
    census = lake.open(FACT_BED_CENSUS).scan()
    departments = lake.open(DIM_DEPARTMENT).scan().collect()
    days = (
        lake.open(DATA_QUALITY_DAY).scan().filter(c("rule") == "all").select("date", "hospital_id").unique().collect()
    )
    newest_key = census.select(c("time_key").max()).collect().item()
    newest = datetime.strptime(f"{newest_key}+0000", "%Y%m%d%H%z")
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        made_at = forecast.morning_of(day, context.timezone).astimezone(UTC)
        if made_at > newest:
            return
        rows = forecast.make(context, FORECAST_BEDS, made_at)
        months = [(made_at + timedelta(days=ahead)).strftime("%Y-%m") for ahead in range(-baselines.HISTORY.days, 9)]
        around = census.filter(c("census_month").is_in(sorted(set(months)))).collect()
        yield day, scores.score(rows, around, departments, days, newest, context.timezone)


def what_if(
    context: StepContext,
    hospital: str,
    department: str,
    beds: int,
    postponed: float,
    earlier_hours: int,
    *,
    is_unjudged_allowed: bool = False,
) -> WhatIf:
    """What measures would change in the newest forecast of the hospital (empty: of all); nothing is written.

    Of all hospitals those count whose forecast is judged and has not done badly in the last week. Raises
    :class:`OperatorError` where there is none (unless unjudged ones are allowed), where there is no forecast, and for a
    measure that cannot be taken.
    """
    departments = context.lake.open(DIM_DEPARTMENT).scan().collect()
    try:
        changes = comparing.changes_of(departments, hospital, department, beds, postponed, earlier_hours)
        if not is_unjudged_allowed:
            reasons = _reasons_against(context, {change.hospital_id for change in changes})
            changes = [change for change in changes if change.hospital_id not in reasons]
            if not changes:
                raise OperatorError("; ".join(reasons[number] for number in sorted(reasons)))
        made_at = context.lake.open(FORECAST_BEDS).scan().select(c("made_at").max()).collect().item()
        if made_at is None:
            raise OperatorError("there is no forecast yet: run the Dagster job `forecast` first")
        known = known_at(context, made_at, made_at - timedelta(days=WINDOW_DAYS))
        fitted = fit_beds(known.stays, known.departments, made_at, context.timezone)
        if fitted is None:
            raise OperatorError("there are no departments: load the department list first")
        return comparing.compare(fitted, context.timezone, changes)
    except ValueError as error:
        raise OperatorError(str(error)) from error


def _reasons_against(context: StepContext, hospitals: Collection[str]) -> dict[str, str]:
    """hospital_id → why its forecast answers no question, of those that do not."""
    judged = judgements(context.lake.open(FORECAST_SHOWN).scan().collect())
    found: dict[str, str] = {}
    for hospital in hospitals:
        judgement = judged.get(hospital, Judgement(0))
        if not judgement.is_shown:
            days = f"of {JUDGED_DAYS} days of hospital {hospital}"
            found[hospital] = (
                f"{plural(judgement.days, f'{days} has', f'{days} have')} been compared with what happened: "
                "its forecast has not proved itself yet; --unjudged shows it all the same"
            )
        elif not judgement.holds:
            found[hospital] = (
                f"the forecast of hospital {hospital} has done badly in the last week, see the check forecast_holds; "
                "--unjudged shows it all the same"
            )
    return found


def what_if_lines(found: WhatIf, department: str, zone: str) -> list[str]:
    """``found`` as text: of the department, or of all, and of the whole hospital; of several hospitals as a whole."""
    local = ZoneInfo(zone)
    lines = [
        f"forecast of {found.made_at.astimezone(local):%Y-%m-%d %H:%M}, occupied beds; likely: 8 days out of 10 "
        "lie in this range, 1 above, 1 below",
        "",
        f"{'':<18} {'':<16} {'as it is':^34} {'with the change':^34}",
        f"{'department':<18} {'at':<16} " + f"{'expected':>9} {'likely':>10} {'free':>6} {'full':>6} " * 2,
    ]
    is_of_several = found.rows["hospital_id"].n_unique() > 1
    wanted = {""} if is_of_several else {department, ""} if department else set(found.rows["department"])
    for row in found.rows.filter(c("department").is_in(list(wanted))).iter_rows(named=True):
        sides = " ".join(_side(row, prefix) for prefix in ("", "changed_"))
        name = f"hospital {row['hospital_id']}" if is_of_several else row["department"] or "whole hospital"
        lines.append(f"{name[:18]:<18} {row['target_at'].astimezone(local):%a %d %b %H:%M}  {sides}".rstrip())
    return lines


def _side(row: dict[str, Any], prefix: str) -> str:
    expected = f"{row[f'{prefix}expected']:>9.1f}"
    return f"{expected} {_range(row, prefix):>10} {_free(row, prefix):>6} {_full(row, prefix):>6}"


def _range(row: dict[str, Any], prefix: str) -> str:
    return f"{row[f'{prefix}low']:.0f}-{row[f'{prefix}high']:.0f}"


def _free(row: dict[str, Any], prefix: str) -> str:
    staffed = row[f"{prefix}staffed_beds"]
    return "" if staffed is None else f"{staffed - row[f'{prefix}expected']:.0f}"


def _full(row: dict[str, Any], prefix: str) -> str:
    chance = row[f"{prefix}full"]
    return "" if chance is None else f"{100 * chance:.0f} %"


def summary(scored: pl.DataFrame) -> pl.DataFrame:
    """Mean errors and coverage by horizon, for departments and for hospitals.

    Columns: of (departments or hospitals), horizon, forecasts, absolute_error, persistence, week_ago, gain_pct,
    covered_80_pct, covered_95_pct.
    """
    order = [*(f"{hours}h" for hours in scores.HOURS), *(f"midnight {night}" for night in range(1, 8))]
    return (
        scored.with_columns(
            of=pl.when(c("department_key") == 0).then(pl.lit("hospitals")).otherwise(pl.lit("departments"))
        )
        .group_by("of", "horizon")
        .agg(
            forecasts=pl.len(),
            absolute_error=c("absolute_error").mean(),
            persistence=c("persistence_absolute_error").mean(),
            week_ago=c("week_ago_absolute_error").mean(),
            covered_80_pct=100 * c("covered_80").mean(),
            covered_95_pct=100 * c("covered_95").mean(),
        )
        .with_columns(best=pl.min_horizontal("persistence", "week_ago"))
        .with_columns(gain_pct=pl.when(c("best") > 0).then(100 * (1 - c("absolute_error") / c("best"))))
        .sort("of", c("horizon").replace_strict({name: at for at, name in enumerate(order)}, default=99))
        .select(
            *("of", "horizon", "forecasts", "absolute_error", "persistence", "week_ago"),
            *("gain_pct", "covered_80_pct", "covered_95_pct"),
        )
    )


_BAR = 20


def markdown(scored: pl.DataFrame) -> str:
    """Scores of a backtest as Markdown: by horizon, then by day, with bars."""
    by_horizon = summary(scored)
    longest = max(float(by_horizon.select(pl.max_horizontal("absolute_error", "persistence").max()).item()), 1e-9)
    lines = [
        "Mean absolute error in beds; the model should be shorter than both baselines, and the intervals should cover "
        "80 % and 95 %.",
        "",
        "| of | ahead | model | persistence | a week ago | 80 % covers | 95 % covers | forecasts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in by_horizon.iter_rows(named=True):
        model, persistence, week = (
            f"`{_bar(row[name], longest)}` {row[name]:.2f}" for name in ("absolute_error", "persistence", "week_ago")
        )
        covered = f"{row['covered_80_pct']:.1f} | {row['covered_95_pct']:.1f}"
        lines.append(
            f"| {row['of']} | {row['horizon']} | {model} | {persistence} | {week} | {covered} | {row['forecasts']:,} |"
        )
    lines += [
        "",
        "One day ahead, by day of the forecast:",
        "",
        "| day | model | persistence | 80 % covers |",
        "|---|---|---|---|",
    ]
    days = (
        scored.filter(c("horizon") == JUDGED_HORIZON)
        .group_by("date")
        .agg(c("absolute_error", "persistence_absolute_error").mean(), covered=100 * c("covered_80").mean())
    )
    for day, error, persistence, covered_80 in days.sort("date").iter_rows():
        bars = f"`{_bar(error, longest)}` {error:.2f} | `{_bar(persistence, longest)}` {persistence:.2f}"
        lines.append(f"| {day} | {bars} | {covered_80:.0f} |")
    return "\n".join(lines)


def figures(scored: pl.DataFrame) -> dict[str, float]:
    """Figures one day ahead that a UI can plot from run to run."""
    rows = scored.filter(c("horizon") == JUDGED_HORIZON)
    named = {
        "beds_off_one_day_ahead": c("absolute_error").mean(),
        "beds_off_persistence": c("persistence_absolute_error").mean(),
        "covered_80_pct": 100 * c("covered_80").mean(),
        "covered_95_pct": 100 * c("covered_95").mean(),
    }
    found = rows.select(**named).row(0, named=True)
    return {name: round(value, 3) for name, value in found.items() if value is not None}


def _bar(value: float, longest: float) -> str:
    return "█" * max(round(_BAR * min(value / longest, 1.0)), 1)
