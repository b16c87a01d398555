"""A damaged table from its alert to its end, with nothing but what Dagster shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    DIM_TIME,
    FACT_PATIENT_FLOW,
    SILVER_EVENTS,
    Table,
)
from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration.automation import micro_batch
from patient_flow.orchestration.dev import end_interrupted_runs
from patient_flow.orchestration.repair_job import lake_repair
from patient_flow.orchestration.reports import lake_key
from patient_flow_tests.orchestration.test_alert_sensor import Watch, Watching, add_run, watching
from patient_flow_tests.orchestration.test_micro_batch import send, snapshot

__all__ = ["watching"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.embedded_only("damaged files of a folder; test_repair_remote damages blobs"),
]


def run(watch: Watch, job: str, chosen: Sequence[Table] = (), **config: object) -> tuple[bool, dict[str, object]]:
    """Whether it succeeded, and the metadata of its last output."""
    result = (
        build_defs(watch.resource)
        .resolve_job_def(job)
        .execute_in_process(
            instance=watch.instance,
            run_config={"ops": {"repair_lake": {"config": config}}} if config else None,
            asset_selection=[lake_key(table) for table in chosen] or None,
            raise_on_error=False,
        )
    )
    outputs = [event.step_output_data.metadata for event in result.all_events if event.is_successful_output]
    return result.success, {key: value.value for key, value in outputs[-1].items()} if outputs else {}


def test_an_alert_names_the_job_that_repairs_a_damaged_table_and_its_run_has_the_receipt(
    watching: Watching, hub_thread: HubThread, tmp_path: Path
) -> None:
    watch = watching()
    steps = (BRONZE_EVENTS, SILVER_EVENTS, DIM_TIME, DIM_DEPARTMENT, DIM_PATIENT, FACT_PATIENT_FLOW)
    send(hub_thread, [snapshot("a")])
    assert run(watch, micro_batch.name, steps)[0]
    folder = tmp_path / FACT_PATIENT_FLOW.path
    [file] = [path for path in folder.rglob("*.parquet") if "_change_data" not in path.parts]
    file.write_bytes(file.read_bytes()[:-9])
    send(hub_thread, [snapshot("b")])
    assert not run(watch, micro_batch.name, steps)[0]
    said = watch.tick()
    assert "1 open: damaged table since" in said  # and no second alert about the run
    assert str(file) in said
    assert "Launch the job `lake_repair`" in said

    _, checked = run(watch, lake_repair.name, check_only=True)
    assert f"gold/fact_patient_flow: {file}" in str(checked["receipt"])
    assert "nothing was changed" in str(checked["receipt"])
    succeeded, repaired = run(watch, lake_repair.name, check_only=False)
    assert succeeded
    assert "computed again from bronze" in str(repaired["receipt"])
    assert "lake and warehouse agree" in str(repaired["receipt"])
    assert repaired["lost_for_good"] == 0
    add_run(watch, micro_batch.name, dg.DagsterRunStatus.SUCCESS)
    assert watch.tick().startswith("no open alerts")

    log = tmp_path / BRONZE_EVENTS.path / "_delta_log"  # the hub's probe reads it: no run is requested then
    newest = max(log.glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:50])
    said = watch.tick()
    assert "1 open: damaged table since" in said
    assert newest.name in said


def test_runs_whose_process_is_gone_end_when_the_demo_starts_again(instance: dg.DagsterInstance) -> None:
    runs = [dg.DagsterRun(job_name="micro_batch", run_id=f"{number}" * 32, status=STARTED) for number in range(3)]
    for made, pid in zip(runs, (os.getpid(), _ended_process(), None), strict=True):
        instance.add_run(made)
        if pid is not None:
            metadata = {"pid": dg.MetadataValue.text(str(pid))}
            instance.report_engine_event("Executing steps", made, EngineEventData(metadata))
    assert end_interrupted_runs(instance) == 2
    states = [instance.get_run_by_id(made.run_id) for made in runs]
    assert [state.status.value for state in states if state] == ["STARTED", "CANCELED", "CANCELED"]


@pytest.mark.parametrize("error", [PermissionError, OverflowError])
def test_a_process_of_another_user_is_not_that_of_a_run(
    error: type[Exception], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dg.DagsterRun(job_name="micro_batch", run_id="1" * 32, status=STARTED)
    instance.add_run(made)
    instance.report_engine_event("Executing steps", made, EngineEventData({"pid": dg.MetadataValue.text("1")}))

    def kill(*_: int) -> None:
        raise error

    monkeypatch.setattr(os, "kill", kill)
    assert end_interrupted_runs(instance) == 1


def test_interrupted_runs_that_only_a_person_starts_again_have_failed(instance: dg.DagsterInstance) -> None:
    expected = {
        **dict.fromkeys(("backfill", "import_files", "lake_repair", "reconcile"), "FAILURE"),
        **dict.fromkeys(("micro_batch", "lake_maintenance", "hourly_checks", "forecast"), "CANCELED"),
    }
    defs = build_defs()
    for number, name in enumerate(expected):
        tags = defs.resolve_job_def(name).run_tags
        instance.add_run(dg.DagsterRun(job_name=name, run_id=f"{number}" * 32, status=STARTED, tags=tags))
    # It goes on by itself, although nobody wanted it to be tried again.
    tried_once = {**defs.resolve_job_def("forecast").run_tags, "dagster/max_retries": "0"}
    once = dg.DagsterRun(job_name="forecast", run_id="8" * 32, status=STARTED, tags=tried_once)
    instance.add_run(once)
    # A person gave it more time.
    more_time = {**defs.resolve_job_def("backfill").run_tags, "dagster/max_runtime": "360000"}
    longer = dg.DagsterRun(job_name="backfill", run_id="a" * 32, status=STARTED, tags=more_time)
    instance.add_run(longer)
    # It was canceled before.
    canceling = dg.DagsterRun(
        job_name="backfill",
        run_id="9" * 32,
        status=dg.DagsterRunStatus.CANCELING,
        tags=defs.resolve_job_def("backfill").run_tags,
    )
    instance.add_run(canceling)
    assert end_interrupted_runs(instance) == len(expected) + 3
    states = {run.run_id: run for run in instance.get_runs()}
    for run in (once, canceling):
        assert states.pop(run.run_id).status is dg.DagsterRunStatus.CANCELED
    assert states.pop(longer.run_id).status is dg.DagsterRunStatus.FAILURE
    assert {run.job_name: run.status.value for run in states.values()} == expected


STARTED = dg.DagsterRunStatus.STARTED


def _ended_process() -> int:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    os.waitpid(pid, 0)
    return pid
