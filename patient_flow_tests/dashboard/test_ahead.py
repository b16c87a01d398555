"""The forecast on the page: which is shown, to whom, and in which words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from starlette.testclient import TestClient

from patient_flow.contracts.tables import (
    DIM_DEPARTMENT,
    FACT_BED_CENSUS,
    FORECAST_SCORE,
    FORECAST_SHOWN,
    WAREHOUSE_TABLES,
)
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.snapshot import Snapshots
from patient_flow.monitoring.rules.forecasts import BASELINES, forecast_holds
from patient_flow.pipeline.forecast import forecast_shown
from patient_flow.pipeline.load import load_warehouse
from patient_flow.stores.warehouse.views import TABLES as VIEWS
from patient_flow_tests.builders import ZONE, step_context
from patient_flow_tests.dashboard.conftest import settled
from patient_flow_tests.dashboard.hospital import DEPARTMENTS, Hospital
from patient_flow_tests.dashboard.test_pages import records, text

c = pl.col


def panel(page: str) -> str:
    found = re.search(r'<section class="panel full" id="ahead".*?</section>', page, re.DOTALL)
    assert found is not None
    return found[0]


def test_tonight_has_every_department_and_hospital_with_free_beds(figures: Callable[..., Figures]) -> None:
    ahead = figures().ahead
    tonight = ahead.tonight
    places = {"1": ["", "Emergency", "ICU", "Surgery"], "2": ["", "Emergency", "ICU"]}
    assert set(tonight.select("hospital_id", "department").rows()) == {
        (one, name) for one in places for name in places[one]
    }
    assert set(tonight["source"]) == {"model"}
    for hospital, beds in (("1", 19), ("2", 14)):
        own = tonight.filter(c("hospital_id") == hospital)
        whole = own.filter(c("department") == "").row(0, named=True)
        assert whole["staffed_beds"] == beds
        assert whole["free_low"] <= whole["free_beds"] <= whole["free_high"]
        parts = own.filter(c("department") != "")
        assert parts["expected_beds"].sum() == pytest.approx(whole["expected_beds"])
        assert whole["beds_high"] - whole["beds_low"] < (parts["beds_high"] - parts["beds_low"]).sum()


def test_the_page_explains_tonight_and_how_good_forecasts_have_been(client: TestClient) -> None:
    english = panel(text(client, "/?hospital=1&lang=en"))
    assert re.search(r"Free tonight: \S+, likely \S+ to \S+\.", english)
    assert "8 days out of 10" in english
    assert "Lately (28 days, one day ahead): off by" in english
    french = panel(text(client, "/?hospital=1&department=ICU&lang=fr"))
    assert "Libres cette nuit" in french
    assert "Les jours à venir : Réanimation" in french
    rows = records(client, "/export.csv?panel=ahead&hospital=1&department=ICU")
    assert len(rows) >= 70
    assert float(rows[0]["beds_low"]) <= float(rows[0]["beds_high"])


def test_a_gender_has_its_own_fan(figures: Callable[..., Figures]) -> None:
    everyone, women = (figures(hospital="1", department="ICU", gender=name).ahead.fan for name in ("", "Female"))
    assert 0 < women["expected_beds"].sum() < everyone["expected_beds"].sum()
    assert everyone["target_at"].to_list() == women["target_at"].to_list()


def test_a_viewer_of_one_department_sees_no_total_of_its_hospital(figures: Callable[..., Figures]) -> None:
    narrow = figures(Viewer("x", frozenset({"1"}), frozenset({"ICU"})), hospital="1").ahead
    assert set(narrow.tonight["department"]) == {"ICU"}
    assert narrow.fan.is_empty()
    wide = figures(Viewer("x", frozenset({"1"}))).ahead
    assert set(wide.tonight["hospital_id"]) == {"1"}
    assert not wide.fan.is_empty()


def shown_with(group: Hospital, scores: pl.DataFrame) -> pl.DataFrame:
    """Makes ForecastShown from ``scores``, loads it, and returns the rows of BedsExpected."""
    recorded = group.lake.open(FORECAST_SCORE)
    recorded.replace(recorded.scan().collect(), scores, {}, run_id="test")
    forecast_shown(step_context(group.lake, DEPARTMENTS, now=group.now))
    load_warehouse(group.lake, group.warehouse, WAREHOUSE_TABLES, now=group.now, run_id="test")
    return group.warehouse.query(VIEWS["BedsExpected"].select())


@pytest.fixture
def scores(group: Hospital) -> Iterator[pl.DataFrame]:
    """ForecastScore, put back when a test has changed it."""
    before = group.lake.open(FORECAST_SCORE).scan().collect()
    yield before
    shown_with(group, before)


def figures_of(group: Hospital, **filters: str) -> Figures:
    """The figures of what the warehouse has now."""
    selection = Selection().but(**filters)
    now = Snapshots(group.warehouse, ZoneInfo(ZONE), lambda: group.now)
    return Figures(settled(now, selection.days), selection, Viewer(), group.now)


def assert_same(tonight: pl.DataFrame, view: pl.DataFrame) -> None:
    """Page and view have the same figures of tonight."""
    shown = ["hospital_id", "department", "staffed_beds", "source", "expected_beds", "free_beds", "free_low"]
    shown += ["free_high", "expected_admissions", "probability_full"]
    found = view.filter(c("target_at") == tonight["target_at"][0]).with_columns(c("department").fill_null(""))
    order = ["hospital_id", "department"]
    assert_frame_equal(found.select(shown).sort(order), tonight.select(shown).sort(order))


def test_nothing_is_shown_before_28_days_are_judged(group: Hospital, scores: pl.DataFrame) -> None:
    young = group.now.date() - timedelta(days=20)
    view = shown_with(group, scores.filter(c("date") > young))
    hidden = figures_of(group).ahead
    assert hidden.tonight.is_empty()
    assert view.is_empty()
    assert 10 <= hidden.days_judged < hidden.days_needed == 28
    assert figures_of(group, hospital="1").ahead.fan.is_empty()


@pytest.mark.parametrize("baseline", BASELINES)
def test_after_a_lost_week_page_view_and_check_have_the_better_baseline(
    group: Hospital, scores: pl.DataFrame, baseline: str
) -> None:
    other = next(name for name in BASELINES if name != baseline)
    lost = {"pinball_loss": c("pinball_loss") + 10, f"{other}_pinball_loss": c(f"{other}_pinball_loss") + 10}
    is_first = c("hospital_id") == "1"
    view = shown_with(
        group, scores.with_columns(**{name: pl.when(is_first).then(e).otherwise(name) for name, e in lost.items()})
    )
    ahead = figures_of(group).ahead
    assert ahead.judgements["1"].loses
    assert_same(ahead.tonight, view)
    sources = ahead.tonight.select("hospital_id", "source").unique().rows()
    assert set(sources) == {("1", baseline), ("2", "model")}
    row = ahead.tonight.filter(c("hospital_id") == "1", c("department") == "").row(0, named=True)
    assert row["beds_low"] <= row["expected_beds"] <= row["beds_high"]
    assert row["beds_low"] < row["beds_high"]
    assert row["expected_beds"] == occupied(group, baseline, row["target_at"])
    assert {chance.hospital for chance in ahead.chances} <= {"La Rivière"}
    assert not figures_of(group, hospital="1").ahead.fan.is_empty()
    found = forecast_holds(group.lake.open(FORECAST_SHOWN).scan().collect())
    assert [(each["hospital_id"], each["shown"]) for each in found.rows] == [("1", baseline), ("2", "model")]


def occupied(group: Hospital, baseline: str, target_at: datetime) -> int:
    """Beds of hospital 1 at the hour that the baseline repeats; the census ends with the newest event."""
    keys = group.lake.open(DIM_DEPARTMENT).scan().filter(c("hospital_id") == "1").select("department_key").collect()
    census = group.lake.open(FACT_BED_CENSUS).scan().collect()
    hour = int(f"{target_at - timedelta(days=7):%Y%m%d%H}")
    if baseline == "persistence":
        hour = census["time_key"].filter(census["time_key"] <= int(f"{group.now:%Y%m%d%H}")).sort()[-1]
    census = census.filter(c("time_key") == hour)
    return int(census.join(keys, on="department_key", how="semi")["occupied_beds"].sum())


def test_the_view_for_reports_says_what_the_page_says(figures: Callable[..., Figures], group: Hospital) -> None:
    assert_same(figures().ahead.tonight, group.warehouse.query(VIEWS["BedsExpected"].select()))
