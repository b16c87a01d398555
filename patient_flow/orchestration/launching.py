"""The run launcher that ``dagster.yaml`` names: Dagster's default one with health checks of its runs.

Runs are child processes of the code server, which notices when one of them dies. When the code server itself dies (out
of memory, machine restart), the run stays "started" until ``max_runtime_seconds``, and for an hour no other micro-batch
starts. With health checks, the run monitoring asks the code server about the run. If the server is gone or does not
know the run (a new server), and the run has logged no event for some minutes, the run is marked as failed and
``run_retries`` restarts it; it resumes from the lake's checkpoints.

A run that has not started yet is judged the same way, by the backlog sensor: the run monitoring knows only a deadline
for the start, and on a machine with too little processor a start may take minutes.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from patient_flow.orchestration import event_log

MAX_SILENCE = timedelta(minutes=5)
"""Longer than any step of a usual micro-batch. A run can outlive its code server, and the proxy of ``dagster dev``
forgets earlier runs on a reload: neither must end a healthy run."""
ANSWER_SECONDS = 10
LOST = (
    f"no event for {MAX_SILENCE.total_seconds() / 60:.0f} minutes, and the code server that started it is gone: out of "
    "memory, or restarted?"
)


class WatchfulRunLauncher(DefaultRunLauncher):
    """``DefaultRunLauncher`` with health checks. In doubt a run counts as healthy: ``max_runtime_seconds`` ends it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Whoever launches runs (the daemon) creates them: each is some 60 entries of the event log."""
        super().__init__(*args, **options)
        event_log.install()

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: the run monitoring calls :meth:`check_run_worker_health`."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED when the code server does not know the run and the run is silent, otherwise RUNNING."""
        if self.is_lost(run):
            return CheckRunHealthResult(WorkerStatus.FAILED, LOST)
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def is_lost(self, run: dg.DagsterRun) -> bool:
        """True when the run is silent and its code server is gone or does not know it."""
        return self._is_silent(run.run_id) and self._is_known(run.run_id) is False

    def _is_silent(self, run_id: str) -> bool:
        newest = self._instance.get_records_for_run(run_id, limit=1, ascending=False).records
        return bool(newest) and newest[0].timestamp < time.time() - MAX_SILENCE.total_seconds()

    def _is_known(self, run_id: str) -> bool | None:
        """Whether the run's code server knows it; None when that is unclear."""
        from dagster._core.errors import DagsterUserCodeUnreachableError
        from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
        from dagster._serdes import deserialize_value

        client = self._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call]
        if client is None:  # the run has ended in the meantime
            return None
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=ANSWER_SECONDS)
        except DagsterUserCodeUnreachableError as error:
            code = getattr(error.__cause__, "code", None)
            return False if code is not None and code().name == "UNAVAILABLE" else None
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel


def fail_lost_starts(instance: dg.DagsterInstance) -> None:
    """Marks runs that were handed to a code server which is gone before they started; ``run_retries`` restarts them."""
    launcher = instance.run_launcher
    if not isinstance(launcher, WatchfulRunLauncher):
        return
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])):
        if launcher.is_lost(run):
            instance.report_run_failed(run, LOST)
