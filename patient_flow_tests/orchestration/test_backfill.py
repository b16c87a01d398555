"""The launchpad's form: described, refused with one sentence where it makes no sense, dry until told otherwise."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster._daemon.monitoring import run_monitoring

from patient_flow.definitions import build_defs
from patient_flow.orchestration.backfill import BackfillConfig, backfill
from patient_flow.orchestration.check_jobs import audit
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import PIPELINE_TAG


def run(folder: Path, **config: Any) -> tuple[bool, str]:
    resource = PatientFlow(
        overrides={
            "PATIENT_FLOW_LAKE_URI": f"{folder}/{{layer}}",
            "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db",
        }
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = backfill.execute_in_process(
            run_config={"ops": {"run_backfill": {"config": config}}},
            resources={"patient_flow": resource},
            instance=instance,
            raise_on_error=False,
        )
        said = "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
        failures = [entry for entry in instance.all_logs(result.run_id) if entry.dagster_event]
        said += "".join(
            str(entry.dagster_event.step_failure_data.user_failure_data)
            for entry in failures
            if entry.dagster_event and entry.dagster_event.is_step_failure
        )
    return result.success, said


def test_every_field_of_the_form_is_explained() -> None:
    assert all(field.description for field in BackfillConfig.model_fields.values())


def test_the_launchpad_opens_with_what_is_to_be_filled_in_and_nothing_else() -> None:
    assert backfill.run_config == {
        "ops": {"run_backfill": {"config": {"operation": "rebuild", "reason": "", "dry_run": True}}}
    }


def test_it_is_a_dry_run_by_default(tmp_path: Path) -> None:
    success, said = run(tmp_path, operation="rebuild", reason="a rule changed")
    assert success
    assert "0 events of bronze would be read again" in said
    assert "nothing was changed" in said
    assert not (tmp_path / "silver").exists()


@pytest.mark.parametrize("operation", ["rebuild", "replay_quarantine"])
def test_it_does_what_the_commands_do_in_the_pipelines_slot(operation: str, tmp_path: Path) -> None:
    success, said = run(tmp_path, operation=operation, reason="a rule changed", dry_run=False)
    assert success, said
    assert "warehouse FactPatientFlow: 0 rows inserted" in said
    assert backfill.tags.items() >= PIPELINE_TAG.items()


def test_it_reloads_the_warehouse_tables_that_differ(tmp_path: Path) -> None:
    assert run(tmp_path, operation="rebuild", reason="a warehouse", dry_run=False)[0]
    assert "lake and warehouse agree" in run(tmp_path, operation="reload", reason="is it well?")[1]
    with contextlib.closing(sqlite3.connect(tmp_path / "warehouse.db")) as stranger, stranger:
        stranger.execute("DELETE FROM DimTime WHERE time_key > 0")
    assert "would be reloaded: gold/dim_time" in run(tmp_path, operation="reload", reason="rows are gone")[1]
    success, said = run(tmp_path, operation="reload", reason="rows are gone", dry_run=False)
    assert success, said
    assert re.search(r"warehouse DimTime: \d\S* rows inserted", said)
    assert "lake and warehouse agree" in run(tmp_path, operation="reload", reason="is it well?")[1]


def test_the_description_names_every_operation() -> None:
    described = str(BackfillConfig.model_fields["operation"].description)
    assert re.findall(r"(\w+): ", described) == list(get_args(BackfillConfig.model_fields["operation"].annotation))


def test_what_takes_hours_is_neither_ended_after_one_nor_started_over() -> None:
    assert run_monitoring.MAX_RUNTIME_SECONDS_TAG == "dagster/max_runtime"
    assert MAX_RETRIES_TAG == "dagster/max_retries"
    for job in (backfill, audit):
        tags = build_defs(PatientFlow()).resolve_job_def(job.name).run_tags
        assert int(tags[run_monitoring.MAX_RUNTIME_SECONDS_TAG]) == 24 * 60 * 60
    assert backfill.run_tags[MAX_RETRIES_TAG] == "0"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"operation": "rebuild", "reason": " "}, "reason is empty"),
        ({"operation": "rebuild", "reason": "x", "rule": "department_is_missing"}, "leave rule out"),
        ({"operation": "reload", "reason": "x", "rule": "department_is_missing"}, "leave rule out"),
        ({"operation": "replay_quarantine", "reason": "x", "rule": "no_such_rule"}, "there is no rule no_such_rule"),
    ],
)
def test_nonsense_is_refused_with_one_sentence(config: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    success, said = run(tmp_path, **config)
    assert not success
    assert sentence in said
