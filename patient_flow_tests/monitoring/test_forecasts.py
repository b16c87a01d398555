"""Which forecasts are shown, and what the check says of them."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rules.forecasts import (
    Chance,
    beds_full_ahead,
    forecast_holds,
    judge,
    judgement_rows,
    judgements,
)

LAST = date(2026, 11, 28)


def scores(days: int = 35, **of_last_week: float) -> pl.DataFrame:
    """Scores of three departments of a hospital; in the last week those given differ."""
    good = {
        "covered_80": 0.8,
        "covered_95": 0.95,
        "pinball_loss": 1.0,
        "persistence_pinball_loss": 1.2,
        "week_ago_pinball_loss": 1.5,
    }
    return pl.DataFrame(
        [
            {"date": LAST - timedelta(days=back), "horizon": horizon, "hospital_id": "1", "department_key": key, **good}
            | (of_last_week if back < 7 else {})
            for back in range(days)
            for horizon in ("1h", "24h", "72h")
            for key in range(3)
        ]
    )


def test_a_forecast_is_shown_from_the_28th_judged_day_on() -> None:
    young, old = judge(scores(27))["1"], judge(scores(28))["1"]
    assert (young.days, young.source) == (27, "")
    assert (old.days, old.source) == (28, "model")
    assert forecast_holds(judgement_rows(scores(27))).message == "No forecast is shown yet: 27 of 28 days are judged."


@pytest.mark.parametrize(
    ("week", "source"),
    [
        ({"covered_80": 0.5}, "persistence"),
        ({"covered_95": 0.8}, "persistence"),
        ({"covered_80": 0.75}, "model"),  # chance explains that much
        ({"pinball_loss": 1.3}, "persistence"),
        ({"pinball_loss": 1.3, "persistence_pinball_loss": 1.6, "week_ago_pinball_loss": 1.1}, "week_ago"),
        ({"covered_80": 1.0, "covered_95": 1.0}, "model"),
    ],
)
def test_a_week_below_its_promise_or_a_baseline_brings_the_better_baseline(week: dict[str, float], source: str) -> None:
    found = judge(scores(**week))["1"]
    assert found.source == source
    rows = judgement_rows(scores(**week))
    assert judgements(rows) == judge(scores(**week))
    assert (forecast_holds(rows).severity is Severity.WARNING) == (source != "model")


def test_five_lost_days_of_a_week_are_bad_luck() -> None:
    rows = scores(pinball_loss=1.3).with_columns(
        pinball_loss=pl.when(pl.col("date") > LAST - timedelta(days=2)).then(1.1).otherwise("pinball_loss")
    )
    assert judge(rows)["1"].source == "model"


def test_scores_of_an_older_version_without_baselines_show_the_model() -> None:
    unknown = {f"{name}_pinball_loss": pl.lit(None, pl.Float64) for name in ("persistence", "week_ago")}
    rows = scores().with_columns(**unknown)
    assert judge(rows)["1"].source == "model"


def test_a_department_that_will_probably_be_full_is_named() -> None:
    found = beds_full_ahead([Chance("Saint-Aubin", "ICU", 0.8, 24), Chance("Saint-Aubin", "", 0.79, 24)])
    assert [alert.finding.subject for alert in found] == ["Saint-Aubin/ICU"]
    assert "80 %" in found[0].finding.message
    (soon,) = beds_full_ahead([Chance("Saint-Aubin", "ICU", 0.8, 1)])
    assert soon.what.en == "will be full within 1 hour with a probability of 80 %"
    assert soon.what.fr == "sera plein d’ici 1 heure avec une probabilité de 80 %"
