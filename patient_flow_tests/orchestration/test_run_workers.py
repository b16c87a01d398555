"""Runs in processes that are kept: one after another, and a crash, a failure or a termination ends only its own."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._grpc.server import GrpcServerProcess
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

from patient_flow.orchestration.local import prepare_home

Status = dg.DagsterRunStatus


class Location:
    """A code server with run workers, and an instance that launches runs in it."""

    def __init__(
        self, instance: dg.DagsterInstance, context: WorkspaceProcessContext, server_pid: int, gate: Path
    ) -> None:
        self.gate = gate
        self.instance = instance
        self.server_pid = server_pid
        self._workspace = context.create_request_context()
        [location] = self._workspace.code_locations
        assert isinstance(location, GrpcServerCodeLocation)
        self._client = location.client
        self._job = location.get_repository("__repository__").get_full_job("small")

    def start(self, end: str = "well", started: Path | None = None) -> str:
        run = self.instance.create_run(
            job_name="small",
            run_id=None,
            run_config={"ops": {"act": {"config": {"end": end, "started": str(started or "")}}}},
            status=None,
            tags={},
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=None,
            execution_plan_snapshot=None,
            job_snapshot=None,
            parent_job_snapshot=None,
            asset_selection=None,
            asset_check_selection=None,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=self._job.get_remote_origin(),
            job_code_origin=self._job.get_python_origin(),
            asset_graph=None,
        )
        self.instance.launch_run(run.run_id, self._workspace)
        return run.run_id

    def finish(self, run_id: str) -> Status:
        """How a run ended, once its process is free again."""

        def status() -> Status | None:
            run = self.instance.get_run_by_id(run_id)
            assert run is not None
            return run.status if run.is_finished else None

        ended: Status = wait_for(status)
        wait_for(
            lambda: run_id not in deserialize_value(self._client.get_current_runs(), GetCurrentRunsResult).current_runs
        )
        return ended

    def run(self, end: str = "well") -> tuple[Status, int]:
        """How a run ended, and in which process."""
        run_id = self.start(end)
        return self.finish(run_id), self.process_of(run_id)

    def process_of(self, run_id: str) -> int:
        messages = "\n".join(entry.message for entry in self.instance.all_logs(run_id))
        [pid] = re.findall(r"Executing steps in process \(pid: (\d+)\)", messages)
        return int(pid)


def wait_for(look: Callable[[], Any], seconds: float = 280.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file for which the workers of the code location wait."""
    file = tmp_path_factory.mktemp("gate") / "open"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATE_OF_RUN_WORKERS", str(file))
        yield file


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory, gate: Path) -> Iterator[Location]:
    """Its workers import nothing before there is the file ``gate``."""
    home = prepare_home(tmp_path_factory.mktemp("workers") / "home")
    origin = LoadableTargetOrigin(module_name="patient_flow_tests.orchestration.small_location")
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        GrpcServerProcess(
            instance_ref=instance.get_ref(),
            loadable_target_origin=origin,
            startup_timeout=120,
            wait_on_exit=True,
        ) as server,
    ):
        target = GrpcServerTarget(host="localhost", port=server.port, socket=server.socket, location_name="small")
        with WorkspaceProcessContext(instance, target) as context:
            yield Location(instance, context, server.server_process.pid, gate)
            workers = children_of(server.server_process.pid)
        assert workers
    wait_for(lambda: not any(is_alive(pid) for pid in workers))


def children_of(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if parent_of(entry) == pid]


def parent_of(process: Path) -> int:
    with contextlib.suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_run_is_accepted_however_long_its_process_imports(location: Location) -> None:
    """With too little processor that took longer than the minute after which Dagster's clients give up."""
    run_id = location.start()
    run = location.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status in (Status.NOT_STARTED, Status.STARTING)
    location.gate.touch()
    assert location.finish(run_id) is Status.SUCCESS


def test_a_run_after_a_success_finds_its_process_warm(location: Location) -> None:
    first, second = location.run(), location.run()
    assert first[0] is second[0] is Status.SUCCESS
    assert first[1] == second[1] != location.server_pid


@pytest.mark.parametrize("end", ["failure", "crash"])
def test_a_run_that_fails_or_crashes_takes_its_process_with_it_and_nothing_else(location: Location, end: str) -> None:
    status, process = location.run(end)
    assert status is Status.FAILURE
    assert location.run() != (Status.SUCCESS, process)
    assert is_alive(location.server_pid)


def test_two_runs_at_once_have_a_process_each_and_one_that_is_terminated_ends(
    location: Location, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    endless = location.start("never", started)
    wait_for(started.exists)
    status, process = location.run()
    assert status is Status.SUCCESS
    assert process != location.process_of(endless)
    assert location.instance.run_launcher.terminate(endless)
    assert location.finish(endless) is Status.CANCELED
    assert location.run() == (Status.SUCCESS, process)
