"""The launcher of runs that ``dagster.yaml`` names: Dagster's own, which can also say whether a run still lives.

Runs are children of the code location's process, which notices when one of them dies. When it dies itself (out of
memory, a machine that restarts), nobody is left to: the run stays "started" until ``max_runtime_seconds``, and for an
hour no micro-batch is asked for beside it. Here the run monitoring asks the process that started the run. If that is
not there, or does not know the run (it is a new one), and the run has not said a word for some minutes, it is dead: it
is marked as failed, and ``run_retries`` starts it again; it goes on from the lake's own progress.
"""

from __future__ import annotations

import time
from datetime import timedelta

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

SILENCE = timedelta(minutes=5)
"""Longer than any step of a usual micro-batch. A worker can outlive the process that started it, and the proxy of
``dagster dev`` forgets the runs of before a reload: neither must end a run that is at work."""
ANSWER_SECONDS = 10


class WatchfulRunLauncher(DefaultRunLauncher):
    """Executes runs as ``DefaultRunLauncher`` does. In doubt, a run lives: ``max_runtime_seconds`` ends it."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """What makes the run monitoring ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """RUNNING, or FAILED when the process that started the run does not have it and the run is silent."""
        if self._is_silent(run.run_id) and self._is_known(run.run_id) is False:
            return CheckRunHealthResult(
                WorkerStatus.FAILED,
                f"silent for {SILENCE.total_seconds() / 60:.0f} minutes, and the code location that executed it is "
                "gone: out of memory, or restarted?",
            )
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _is_silent(self, run_id: str) -> bool:
        newest = self._instance.get_records_for_run(run_id, limit=1, ascending=False).records
        return bool(newest) and newest[0].timestamp < time.time() - SILENCE.total_seconds()

    def _is_known(self, run_id: str) -> bool | None:
        """Whether the run's code location has it; None when it cannot be told."""
        from dagster._core.errors import DagsterUserCodeUnreachableError
        from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
        from dagster._serdes import deserialize_value

        client = self._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call]
        if client is None:  # it has ended meanwhile
            return None
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=ANSWER_SECONDS)
        except DagsterUserCodeUnreachableError as error:
            code = getattr(error.__cause__, "code", None)
            return False if code is not None and code().name == "UNAVAILABLE" else None
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel
