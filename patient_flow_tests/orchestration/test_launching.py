"""A run whose process is gone is found dead; one that may live is left alone."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._grpc.server import GrpcServerProcess

from patient_flow.orchestration import launching
from patient_flow.orchestration.launching import WatchfulRunLauncher
from patient_flow.orchestration.local import prepare_home
from patient_flow_tests.e2e.processes import ROOT, free_port

STARTED = dg.DagsterRunStatus.STARTED


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
    monkeypatch.setattr(launching, "SILENCE", timedelta(seconds=-60))
    with instance:
        assert health_of(instance, {"port": free_port()}) is WorkerStatus.FAILED


def test_a_run_that_has_just_spoken_lives_whoever_is_gone(instance: dg.DagsterInstance) -> None:
    with instance:
        assert health_of(instance, {"port": free_port()}) is WorkerStatus.RUNNING


def test_a_silent_run_that_a_new_code_location_does_not_know_is_dead(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "SILENCE", timedelta(seconds=-60))
    origin = LoadableTargetOrigin(module_name="patient_flow_tests.orchestration.nothing_to_do")
    with (
        instance,
        GrpcServerProcess(
            instance_ref=instance.get_ref(), loadable_target_origin=origin, startup_timeout=120, wait_on_exit=True
        ) as server,
    ):
        place = {"port": server.port} if server.port else {"socket": server.socket}
        assert health_of(instance, dict(place)) is WorkerStatus.FAILED


@pytest.mark.parametrize("place", ["dagster", "compose"])
def test_every_deployment_has_this_launcher_and_lets_it_be_asked(place: str) -> None:
    instance = yaml.safe_load((ROOT / "infra" / place / "dagster.yaml").read_text())
    named = instance["run_launcher"]
    assert (named["module"], named["class"]) == (WatchfulRunLauncher.__module__, WatchfulRunLauncher.__name__)
    assert instance["run_monitoring"]["enabled"]
