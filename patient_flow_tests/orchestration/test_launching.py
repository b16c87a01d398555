"""A run whose process is gone is found dead, one that may live is left alone; and no two runs write side by side."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher.base import WorkerStatus
from dagster._core.op_concurrency_limits_counter import GlobalOpConcurrencyLimitsCounter
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._grpc.server import GrpcServerProcess

from patient_flow.definitions import build_defs
from patient_flow.orchestration import launching, local
from patient_flow.orchestration.launching import WatchfulRunLauncher
from patient_flow.orchestration.local import INSTANCE, PATIENCE, prepare_home
from patient_flow_tests.e2e.processes import ROOT, free_port

STARTED = dg.DagsterRunStatus.STARTED
defs = build_defs()


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(prepare_home(tmp_path / "home")))


def health_of(instance: dg.DagsterInstance, server: dict[str, object]) -> WorkerStatus:
    """What the launcher of the instance says of a run that a server is said to execute, and that has just spoken."""
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", **server})}
    run = instance.add_run(dg.DagsterRun(job_name="micro_batch", run_id=str(uuid.uuid4()), status=STARTED, tags=tags))
    instance.report_engine_event("at work", run)
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchfulRunLauncher)
    return launcher.check_run_worker_health(run).status


def test_a_silent_run_whose_code_location_is_gone_is_dead(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "MAX_SILENCE", timedelta(seconds=-60))
    with instance:
        assert health_of(instance, {"port": free_port()}) is WorkerStatus.FAILED


def test_a_run_with_a_recent_event_is_alive_without_its_code_server(instance: dg.DagsterInstance) -> None:
    with instance:
        assert health_of(instance, {"port": free_port()}) is WorkerStatus.RUNNING


def test_a_silent_run_that_a_new_code_location_does_not_know_is_dead(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "MAX_SILENCE", timedelta(seconds=-60))
    origin = LoadableTargetOrigin(module_name="patient_flow_tests.orchestration.nothing_to_do")
    with (
        instance,
        GrpcServerProcess(
            instance_ref=instance.get_ref(), loadable_target_origin=origin, startup_timeout=120, wait_on_exit=True
        ) as server,
    ):
        place = {"port": server.port} if server.port else {"socket": server.socket}
        assert health_of(instance, dict(place)) is WorkerStatus.FAILED


def test_a_run_whose_code_location_is_gone_before_it_starts_is_failed(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "port": free_port()})}
    with instance:
        run = instance.add_run(
            dg.DagsterRun("micro_batch", str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTING, tags=tags)
        )
        instance.report_engine_event("handed over", run)
        launching.fail_lost_starts(instance)
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTING  # type: ignore[union-attr]
        monkeypatch.setattr(launching, "MAX_SILENCE", timedelta(seconds=-60))
        launching.fail_lost_starts(instance)
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ["dagster", "compose"])
def test_every_deployment_configures_this_launcher_with_run_monitoring(place: str) -> None:
    instance = yaml.safe_load((ROOT / "infra" / place / "dagster.yaml").read_text())
    named = instance["run_launcher"]
    assert (named["module"], named["class"]) == (WatchfulRunLauncher.__module__, WatchfulRunLauncher.__name__)
    assert instance["run_monitoring"]["enabled"]


@pytest.mark.parametrize("at_work", ["micro_batch", "lake_maintenance", "backfill"])
def test_a_run_of_assets_that_were_chosen_in_the_ui_waits_for_what_is_at_work(
    at_work: str, instance: dg.DagsterInstance
) -> None:
    """It has no tags of the pipeline, so only the pool holds it."""
    with instance:
        asked = instance.create_run_for_job(defs.resolve_implicit_global_asset_job_def())
        assert not is_held(instance, asked)  # which makes the pool known
        assert not is_held(instance, asked)
        instance.create_run_for_job(defs.resolve_job_def(at_work), status=STARTED)
        assert is_held(instance, asked)


def is_held(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the queue would let a run wait for the pools that others have."""
    storage, configured = instance.event_log_storage, instance.get_concurrency_config()
    assert configured.run_queue_config
    assert configured.run_queue_config.should_block_op_concurrency_limited_runs
    counter = GlobalOpConcurrencyLimitsCounter(
        instance,
        [run],
        instance.get_run_records(dg.RunsFilter(statuses=[STARTED])),
        concurrency_keys=storage.get_concurrency_keys(),
        pool_limits=storage.get_pool_limits(),
        slot_count_offset=configured.run_queue_config.op_concurrency_slot_buffer,
        pool_granularity=configured.pool_config.pool_granularity,
    )
    return counter.is_blocked(run)


@pytest.mark.parametrize("place", ["dagster", "compose"])
def test_every_deployment_limits_runs_as_one_machine_does(place: str) -> None:
    deployed = yaml.safe_load((ROOT / "infra" / place / "dagster.yaml").read_text())
    here = yaml.safe_load(INSTANCE)
    assert deployed["concurrency"] == here["concurrency"]
    for limit in ("start_timeout_seconds", "max_runtime_seconds"):
        assert deployed["run_monitoring"][limit] == here["run_monitoring"][limit]


def test_the_image_has_the_same_patience_as_one_machine() -> None:
    """The code location of a container has no proxy, so no heartbeats of one."""
    image = (ROOT / "infra" / "images" / "Dockerfile").read_text()
    assert {f"{name}={value}" in image for name, value in PATIENCE.items() if "PROXY" not in name} == {True}


def test_a_configuration_of_an_earlier_version_is_replaced_and_an_edited_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = prepare_home(tmp_path) / "dagster.yaml"
    configuration.write_text("telemetry: {enabled: true}")
    prepare_home(tmp_path)
    assert configuration.read_text() == "telemetry: {enabled: true}"
    monkeypatch.setattr(local, "EARLIER", {local._fingerprint(configuration)})
    prepare_home(tmp_path)
    assert configuration.read_text() == INSTANCE
