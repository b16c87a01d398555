"""The forecast on the page: which is shown, to whom, and in which words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from starlette.testclient import TestClient

from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.figures import Figures
from patient_flow.monitoring.rules.forecasts import BASELINES
from patient_flow.stores.warehouse.views import TABLES as VIEWS
from patient_flow_tests.dashboard.hospital import Hospital
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


def test_nothing_is_shown_before_28_days_are_judged(figures: Callable[..., Figures], group: Hospital) -> None:
    shown = figures(hospital="1")
    young = group.now.date() - timedelta(days=20)
    forecasts = shown.snapshot.forecasts
    few = replace(forecasts, scores=forecasts.scores.filter(c("date") > young))
    hidden = Figures(replace(shown.snapshot, forecasts=few), shown.selection, shown.viewer, shown.now).ahead
    assert hidden.tonight.is_empty()
    assert hidden.fan.is_empty()
    assert 10 <= hidden.days_judged < hidden.days_needed == 28


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_baseline_takes_the_place_of_a_model_that_lost_all_week(
    figures: Callable[..., Figures], baseline: str
) -> None:
    shown = figures(hospital="1")
    forecasts = shown.snapshot.forecasts
    other = next(name for name in BASELINES if name != baseline)
    bad = forecasts.scores.with_columns(
        pinball_loss=c("pinball_loss") + 10,
        **{f"{other}_pinball_loss": c(f"{other}_pinball_loss") + 10},
    )
    ahead = Figures(
        replace(shown.snapshot, forecasts=replace(forecasts, scores=bad)), shown.selection, shown.viewer, shown.now
    ).ahead
    assert ahead.judgements["1"].loses
    assert set(ahead.tonight["source"]) == {baseline}
    row = ahead.tonight.filter(c("department") == "").row(0, named=True)
    assert row["beds_low"] < row["expected_beds"] < row["beds_high"]
    assert row["expected_beds"] == int(row["expected_beds"])
    assert not ahead.fan.is_empty()


def test_the_view_for_reports_says_what_the_page_says(figures: Callable[..., Figures], group: Hospital) -> None:
    tonight = figures().ahead.tonight
    view = VIEWS["BedsExpected"]
    rows = group.warehouse.query(view.select().where(view.c.target_at == tonight["target_at"][0]))
    shown = ["hospital_id", "department", "staffed_beds", "expected_beds", "free_beds", "free_low", "free_high"]
    found = rows.with_columns(c("department").fill_null(""), c("staffed_beds").cast(pl.Float64)).select(shown)
    order = ["hospital_id", "department"]
    assert_frame_equal(found.sort(order), tonight.select(shown).sort(order))
