"""The launchpad's form: described, refused with one sentence where it makes no sense, dry until told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from patient_flow.orchestration.automation import PIPELINE_TAG
from patient_flow.orchestration.backfill import BackfillConfig, backfill
from patient_flow.orchestration.resources import PatientFlow


def run(folder: Path, **config: Any) -> tuple[bool, str]:
    resource = PatientFlow(
        overrides={
            "PATIENT_FLOW_LAKE_URI": f"{folder}/{{layer}}",
            "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db",
        }
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = backfill.execute_in_process(
            run_config={"ops": {"make_again": {"config": config}}},
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
    assert backfill.run_config == {"ops": {"make_again": {"config": {"what": "REBUILD", "why": "", "dry_run": True}}}}


def test_it_is_dry_until_told_otherwise(tmp_path: Path) -> None:
    success, said = run(tmp_path, what="REBUILD", why="a rule changed")
    assert success
    assert "0 events of bronze would be read again" in said
    assert "nothing was changed" in said
    assert not (tmp_path / "silver").exists()


@pytest.mark.parametrize("what", ["REBUILD", "REPLAY_QUARANTINE"])
def test_it_does_what_the_commands_do_in_the_pipelines_slot(what: str, tmp_path: Path) -> None:
    success, said = run(tmp_path, what=what, why="a rule changed", dry_run=False)
    assert success, said
    assert "warehouse FactPatientFlow: 0 rows inserted" in said
    assert backfill.tags.items() >= PIPELINE_TAG.items()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"what": "REBUILD", "why": " "}, "why is empty"),
        ({"what": "REBUILD", "why": "x", "rule": "department_is_missing"}, "leave rule out"),
        ({"what": "REPLAY_QUARANTINE", "why": "x", "rule": "no_such_rule"}, "no rule is called no_such_rule"),
    ],
)
def test_nonsense_is_refused_with_one_sentence(config: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    success, said = run(tmp_path, **config)
    assert not success
    assert sentence in said
