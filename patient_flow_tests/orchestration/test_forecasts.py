"""A forecast follows an import without waiting for the next hour."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from patient_flow.files import examine
from patient_flow.orchestration.forecasts import forecast_after_import
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import forecast, imports
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import EVENT_STEPS, SECRET, department_list, run_step, snapshot, step_context
from patient_flow_tests.stacks import Stack

pytestmark = pytest.mark.embedded_only("the sensor reads checkpoints only")


def test_a_forecast_is_requested_once_when_an_import_has_reached_gold(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stack.settings()
    lake = Services(load(settings, environ={})).lake
    instance, patient_flow = dg.DagsterInstance.ephemeral(), PatientFlow(overrides=settings)
    cursor: str | None = None

    def tick() -> dg.RunRequest | str | None:
        nonlocal cursor
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"patient_flow": patient_flow})
        done = forecast_after_import(context)
        cursor = context.cursor
        return done.skip_message if isinstance(done, dg.SkipReason) else done  # type: ignore[return-value]

    def follow() -> None:
        for name in EVENT_STEPS:
            run_step(name, lake, department_list())

    assert tick() == "no forecast is missing"
    monkeypatch.setattr(imports, "ROWS_AT_ONCE", 2)
    begin = datetime(2026, 1, 5, 10, tzinfo=UTC)
    path = tmp_path / "history.jsonl"
    rows = [snapshot(patient_id=f"p{day}", admission_time=begin + timedelta(days=day)) for day in (0, 3, 6, 9)]
    path.write_text("\n".join(json.dumps({**row, "discharge_time": None}) for row in rows))
    arguments: dict[str, Any] = {"now": datetime.now(UTC), "as_of": None, "run_id": "test", "progress": print}
    written = imports.write(lake, examine(path), ParserConfig(department_list(), SECRET), **arguments)
    next(written)
    follow()
    assert tick() == "an import, or the withdrawal of a file, has not reached gold yet"
    list(written)
    assert tick() == "an import, or the withdrawal of a file, has not reached gold yet"
    follow()
    assert tick() == "forecasts are missing: the next tick requests them unless rows of files follow"
    first, second = tick(), tick()
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key == second.run_key, "Dagster starts one run per key"
    monkeypatch.setattr(forecast, "BACKCAST_SECONDS", 0.0)
    forecast.forecast_beds(step_context(lake, department_list(), now=datetime.now(UTC)))
    tick()
    third = tick()
    assert isinstance(third, dg.RunRequest), "mornings were left to the next run"
    assert third.run_key != first.run_key
    monkeypatch.undo()
    assert forecast.forecast_beds(step_context(lake, department_list(), now=datetime.now(UTC))).figures["forecasts"]
    assert tick() == "no forecast is missing"
