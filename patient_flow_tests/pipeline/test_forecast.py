"""The hourly forecast on real lakes: what was known, what is kept, and what is scored (flow F21)."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from patient_flow import forecast_report
from patient_flow.contracts.tables import BRONZE_EVENTS, FORECAST_ARRIVALS, FORECAST_BEDS, FORECAST_SCORE
from patient_flow.errors import OperatorError
from patient_flow.files import examine
from patient_flow.orchestration import forecasts
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import forecast, imports
from patient_flow.pipeline.checkpoints import READ_UNTIL
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import (
    EVENT_STEPS,
    SECRET,
    ZONE,
    Delivery,
    department,
    department_list,
    event,
    receive,
    run_micro_batches,
    run_step,
    snapshot,
    step_context,
)

Lakes = Callable[[int], AbstractContextManager[list[Lake]]]
c = pl.col
START = datetime(2026, 1, 5, tzinfo=UTC)
MADE_AT = START + timedelta(days=24)
END = MADE_AT + timedelta(days=5)
DEPARTMENTS = department_list(
    department(hospital_id="1", department="Emergency", staffed_beds=20, **{"class": "emergency"}),
    department(hospital_id="1", department="ICU", staffed_beds=8, **{"class": "critical_care"}),
)
ORDER = ["hospital_id", "department_key", "gender", "target_at"]


def _feed(until: datetime) -> list[Delivery]:
    """Arrivals at the emergency department, some admitted to the ICU, each event at the hub when it happens."""
    random = np.random.default_rng(7)
    timed: list[tuple[datetime, dict[str, Any]]] = []
    for number in range(5):  # in bed when the feed begins, some for weeks
        begun = START - timedelta(days=7 * number)
        visit = {"visit_id": f"o{number}", "patient_id": f"o{number}"}
        timed.append((START, event(event_type="admission", event_time=begun, department="ICU", **visit)))
        left = START + timedelta(days=1 + number)
        timed.append((left, event(event_type="discharge", event_time=left, department=None, **visit)))
    for number in range(220):
        begun = START + timedelta(hours=float(random.uniform(0, 29 * 24)))
        visit = {
            "visit_id": f"v{number}",
            "patient_id": f"p{number}",
            "gender": ("Female", "Male")[number % 2],
        }
        timed.append((begun, event(event_type="arrival", event_time=begun, department="Emergency", **visit)))
        left = begun + timedelta(hours=3)
        if number % 2:
            timed.append((left, event(event_type="admission", event_time=left, department="ICU", **visit)))
            left += timedelta(hours=float(random.exponential(40)))
        visit.pop("gender")
        timed.append((left, event(event_type="discharge", event_time=left, department=None, **visit)))
    timed.sort(key=lambda pair: pair[0])
    return [Delivery(body, at, "0", number) for number, (at, body) in enumerate(timed) if at <= until]


def _imported(until: datetime) -> list[Delivery]:
    """The same length of history as rows of a file: one per visit, of which each fact is known when it happens."""
    random = np.random.default_rng(9)
    rows = []
    for number in range(60):
        begun = START + timedelta(hours=float(random.uniform(0, 29 * 24)))
        left = begun + timedelta(hours=float(random.exponential(50)))
        if begun > until:
            continue
        has_left = left <= until
        body = snapshot(
            patient_id=f"i{number}",
            visit_id=f"i{number}",
            department="ICU",
            admission_time=begun,
            discharge_time=left if has_left else None,
        )
        rows.append(Delivery(body, left if has_left else begun, "import-" + "a" * 64, number))
    return rows


def _made(lake: Lake) -> tuple[pl.DataFrame, pl.DataFrame]:
    context = step_context(lake, DEPARTMENTS, now=END)
    beds = forecast.make(context, FORECAST_BEDS, MADE_AT).sort(ORDER)
    return beds, forecast.make(context, FORECAST_ARRIVALS, MADE_AT).sort("target_at")


@pytest.mark.embedded_only("which rows are forecast, on any storage")
def test_a_forecast_as_of_an_instant_is_the_one_that_was_made_then(lakes: Lakes) -> None:
    with lakes(2) as (then, later):
        known = [*_feed(MADE_AT), *_imported(MADE_AT)]
        run_micro_batches(then, [known], DEPARTMENTS)
        run_micro_batches(later, [[*_feed(END), *_imported(END)]], DEPARTMENTS)
        of_then, of_later = _made(then), _made(later)
        assert of_then[0].height > 300
        for early, late in zip(of_then, of_later, strict=True):
            assert late.equals(early)


@pytest.mark.embedded_only("which rows are forecast, on any storage")
def test_late_corrections_do_not_reach_an_earlier_forecast(lakes: Lakes) -> None:
    with lakes(2) as (then, later):
        run_micro_batches(then, [_feed(MADE_AT)], DEPARTMENTS)
        changed = [
            event(
                visit_id=f"v{number}",
                patient_id=f"p{number}",
                event_type=kind,
                department=None,
                event_time=MADE_AT - timedelta(hours=30),
                gender="Other",
                event_id=f"late {kind} {number}",
            )
            for number in range(0, 200, 3)
            for kind in ("cancel_discharge", "void_visit", "update")
        ]
        corrections = [Delivery(body, END, "1", number) for number, body in enumerate(changed)]
        run_micro_batches(later, [_feed(MADE_AT), corrections], DEPARTMENTS)
        for early, late in zip(_made(then), _made(later), strict=True):
            assert late.equals(early)


@pytest.fixture
def filled(lake: Lake) -> Lake:
    run_micro_batches(lake, [_feed(END)], DEPARTMENTS)
    lake.open(BRONZE_EVENTS).record(READ_UNTIL.of(END))
    return lake


def test_morning_forecasts_are_kept_and_scored_and_others_give_way(filled: Lake) -> None:
    tables = {table: filled.open(table) for table in (FORECAST_BEDS, FORECAST_ARRIVALS, FORECAST_SCORE)}
    for hours in (0, 1, 2):
        context = step_context(filled, DEPARTMENTS, now=END + timedelta(hours=hours, minutes=6))
        filled.open(BRONZE_EVENTS).record(READ_UNTIL.of(END + timedelta(hours=hours)))
        for step in (forecast.forecast_beds, forecast.forecast_arrivals, forecast.forecast_score):
            step(context)
    made = filled.open(FORECAST_BEDS).scan().select("made_at", "is_morning", "is_backcast").unique().collect()
    newest = made.filter(~c("is_morning"))["made_at"].to_list()
    assert newest == [END + timedelta(hours=2)]
    mornings = made.filter("is_morning")
    assert mornings.height >= 10
    assert mornings["is_backcast"].all()
    # The days before the feed have the patients who were in bed when it began, and nobody else.
    assert mornings["made_at"].min() == forecast.morning_of((START + timedelta(days=7)).date(), ZONE)
    scored = filled.open(FORECAST_SCORE).scan().collect()
    assert {"1h", "24h", "midnight 1"} <= set(scored["horizon"])
    assert scored.filter(c("department_key") == 0).height > 0
    assert scored.select(((c("covered_80") >= 0) & (c("covered_80") <= 1)).all()).item()
    assert tables
    withdrawn = filled.open(FORECAST_BEDS).scan().filter(c("made_at") == mornings["made_at"].min()).collect()
    filled.open(FORECAST_BEDS).replace(withdrawn, FORECAST_BEDS.empty(), {}, run_id="test")
    forecast.forecast_score(context)
    left = filled.open(FORECAST_SCORE).scan().collect()
    assert set(scored["date"]) - set(left["date"]) == {mornings["made_at"].min().date()}  # type: ignore[union-attr]


@pytest.mark.embedded_only("which rows are forecast, on any storage")
def test_what_if_starts_from_the_newest_forecast_and_writes_nothing(filled: Lake) -> None:
    context = step_context(filled, DEPARTMENTS, now=END + timedelta(minutes=6))
    with pytest.raises(OperatorError, match="0 of 28 days of hospital 1 have been compared"):
        forecast_report.what_if(context, "1", "ICU", 0, 0, 0)
    ask = functools.partial(forecast_report.what_if, context, "1", is_unjudged_allowed=True)
    with pytest.raises(OperatorError, match="there is no forecast yet"):
        ask("ICU", 0, 0, 0)
    rows = forecast.make(context, FORECAST_BEDS, END).with_columns(is_morning=False, is_backcast=False)
    table = filled.open(FORECAST_BEDS)
    table.replace(FORECAST_BEDS.empty(), rows.select(FORECAST_BEDS.schema.names()), {}, run_id="test")
    version = filled.open(FORECAST_BEDS).version
    found = ask("ICU", -2, 0, 2)
    assert found.made_at == END
    assert filled.open(FORECAST_BEDS).version == version
    made = rows.filter(c("gender") == "All", c("horizon_hours") == 24)
    at_24 = found.rows.filter(c("target_at") == END + timedelta(hours=24))
    assert set(at_24["expected"]) == set(made["expected_beds"])
    icu = at_24.filter(c("department") == "ICU").row(0, named=True)
    assert (icu["staffed_beds"], icu["changed_staffed_beds"]) == (8, 6)
    assert icu["changed_expected"] < icu["expected"]
    lines = forecast_report.what_if_lines(found, "ICU", ZONE)
    assert any(line.startswith("ICU") for line in lines)
    assert any(line.startswith("whole hospital") for line in lines)
    with pytest.raises(OperatorError, match="name it"):
        ask("", 2, 0, 0)
    with pytest.raises(OperatorError, match="0 to 12 hours"):
        ask("", 0, 0, 13)


@pytest.mark.embedded_only("which forecasts are made does not depend on the store")
def test_one_step_makes_the_forecasts_of_both_tables_from_what_was_known(
    filled: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "MAX_MORNINGS", 2)
    context = step_context(filled, DEPARTMENTS, now=END + timedelta(minutes=6))
    forecast.forecast_arrivals(context)
    made = {
        table: filled.open(table).scan().collect()["made_at"].unique().to_list()
        for table in (FORECAST_BEDS, FORECAST_ARRIVALS)
    }
    assert made[FORECAST_BEDS] == made[FORECAST_ARRIVALS]
    assert len(made[FORECAST_BEDS]) == 2
    assert forecast.forecast_beds(context).figures == {"forecasts": 0, "mornings_missing": 0}


@pytest.mark.embedded_only("which rows are forecast, on any storage")
def test_nothing_is_forecast_before_silver_has_what_the_hub_accepted(filled: Lake) -> None:
    filled.open(BRONZE_EVENTS).record(READ_UNTIL.of(END - timedelta(minutes=30)))
    forecast.forecast_beds(step_context(filled, DEPARTMENTS, now=END + timedelta(hours=4)))
    newest = filled.open(FORECAST_BEDS).scan().select(c("made_at").max()).collect().item()
    assert newest == END - timedelta(hours=1)


@pytest.mark.embedded_only("which rows are forecast, on any storage")
def test_imports_alone_are_forecast_and_judged_in_bounded_runs(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    run_micro_batches(lake, [_imported(END)], DEPARTMENTS)
    lake.open(BRONZE_EVENTS).record(READ_UNTIL.of(None))
    context = step_context(lake, DEPARTMENTS, now=END + timedelta(days=900))
    monkeypatch.setattr(forecast, "BACKCAST_SECONDS", 0.0)
    first = forecast.forecast_beds(context)
    assert first.figures["forecasts"] == 1
    assert int(first.figures["mornings_missing"]) > 15
    monkeypatch.setattr(forecast, "BACKCAST_SECONDS", 1000.0)
    second = forecast.forecast_beds(context)
    assert second.figures == {"forecasts": first.figures["mornings_missing"], "mornings_missing": 0}
    newest = lake.open(FORECAST_BEDS).scan().select(c("made_at").max()).collect().item()
    assert END - timedelta(days=2) < newest <= END
    forecast.forecast_score(context)
    scored = lake.open(FORECAST_SCORE).scan().filter(c("horizon") == "24h", c("department_key") == 0).collect()
    assert scored.height > 15
    assert scored["persistence_pinball_loss"].min() > 0  # type: ignore[operator]
    assert forecast.forecast_beds(context).figures == {"forecasts": 0, "mornings_missing": 0}


@pytest.mark.embedded_only("which rows are forecast, on any storage")
def test_the_job_reports_a_backtest_with_bars_and_writes_nothing(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {table: filled.open(table).version for table in (FORECAST_BEDS, FORECAST_SCORE)}
    context = step_context(filled, DEPARTMENTS, now=END)
    monkeypatch.setattr(forecasts, "step_context", lambda *_, **__: context)
    monkeypatch.setattr(PatientFlow, "services", lambda _: None)
    days = {"first": str(MADE_AT.date()), "last": str(MADE_AT.date() + timedelta(days=1))}
    result = forecasts.forecast_backtest.execute_in_process(
        run_config={"ops": {"backtest_forecast": {"config": days}}}, resources={"patient_flow": PatientFlow()}
    )
    (output,) = [event for event in result.all_node_events if event.is_successful_output]
    metadata = output.step_output_data.metadata
    report = str(metadata["report"].value)
    assert "| departments | 24h | `█" in report
    assert f"| {days['first']} | `█" in report
    assert 0 <= metadata["covered_80_pct"].value <= 100  # type: ignore[operator]
    assert {table: filled.open(table).version for table in before} == before
    with pytest.raises(OperatorError, match="first must not be after last"):
        forecasts.BacktestConfig(first="2026-02-01", last="2026-01-01").days(END)


def test_mornings_that_name_a_former_department_version_are_made_again(filled: Lake) -> None:
    context = step_context(filled, DEPARTMENTS, now=END + timedelta(minutes=6))
    forecast.forecast_beds(context)
    expected = filled.open(FORECAST_BEDS).scan().drop("is_backcast").sort("forecast_key").collect()
    stored = filled.open(FORECAST_BEDS).scan().collect()
    morning = stored.filter("is_morning")["made_at"].min()
    former = stored.filter(c("made_at") == morning, c("department_key") != 0)
    assert former.height
    renamed = former.with_columns(department_key=pl.lit(1, pl.Int64))
    filled.open(FORECAST_BEDS).replace(former, renamed, {}, run_id="test")
    forecast.forecast_beds(context)
    again = filled.open(FORECAST_BEDS).scan().drop("is_backcast").sort("forecast_key").collect()
    assert again.equals(expected)


def _file(folder: Path) -> Path:
    """The rows of :func:`_imported` as a file."""
    path = folder / "history.jsonl"
    path.write_text("\n".join(json.dumps(delivery.body) for delivery in _imported(END)))
    return path


def _follow(lake: Lake) -> pl.DataFrame:
    """Gold follows bronze, then the forecasts follow gold; returns the stored forecasts of beds."""
    for name in EVENT_STEPS:
        run_step(name, lake, DEPARTMENTS)
    context = step_context(lake, DEPARTMENTS, now=END + timedelta(minutes=6))
    for step in (forecast.forecast_beds, forecast.forecast_arrivals, forecast.forecast_score):
        step(context)
    return lake.open(FORECAST_BEDS).scan().collect().sort("forecast_key")


@pytest.mark.embedded_only("which rows are read does not depend on the store")
def test_mornings_are_forecast_afterwards_from_all_rows_of_a_file_or_not_at_all(
    lakes: Lakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "MAX_MORNINGS", 3)
    source, parser = examine(_file(tmp_path)), ParserConfig(DEPARTMENTS, SECRET)
    arguments: dict[str, Any] = {"now": END, "run_id": "test", "progress": lambda _: None}
    with lakes(2) as (lake, other):
        for made in (lake, other):
            receive(made, _feed(END))
            made.open(BRONZE_EVENTS).record(READ_UNTIL.of(END))
        without = _follow(other)
        list(imports.write(other, source, parser, as_of=None, **arguments))
        expected = _follow(other)
        assert expected["made_at"].unique().equals(without["made_at"].unique())
        assert not expected.equals(without)
        monkeypatch.setattr(imports, "ROWS_AT_ONCE", source.rows // 2 + 1)
        written = imports.write(lake, source, parser, as_of=None, **arguments)
        next(written)
        assert _follow(lake)["made_at"].unique().to_list() == [END]
        list(written)
        assert _follow(lake).equals(expected)
        list(imports.withdraw(lake, source.sha256, **arguments))
        assert _follow(lake).equals(without)
