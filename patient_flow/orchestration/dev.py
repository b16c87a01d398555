"""``dagster dev`` as the demo starts it: runs that the last demo left unfinished end first.

A demo that is stopped kills its runs. Without this they would count as running for five minutes (``launching``), in
which no micro-batch starts.
"""

from __future__ import annotations

import contextlib
import os
import sys

import dagster as dg

from patient_flow.orchestration.tags import is_manual

INTERRUPTED = "the demo was stopped while this run was under way"
GOES_ON = f"{INTERRUPTED}; micro-batches and scheduled jobs go on by themselves"
START_AGAIN = f"{INTERRUPTED}: start it again"
_ACTIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_interrupted_runs(instance: dg.DagsterInstance) -> int:
    """Marks runs as canceled whose process on this machine is gone; returns how many.

    Those that only a person starts again have failed, so that the alert ``run_failed`` names them.
    """
    ended = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=_ACTIVE)):
        if _is_alive(instance, run.run_id):
            continue
        if is_manual(run) and run.status is not dg.DagsterRunStatus.CANCELING:
            instance.report_run_failed(run, START_AGAIN)
        else:
            instance.report_run_canceled(run, GOES_ON)
        ended += 1
    return ended


def _is_alive(instance: dg.DagsterInstance, run_id: str) -> bool:
    """True while a process that the run has named is there."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        named = event.engine_event_data.metadata.get("pid") if event is not None else None
        # PermissionError: another user's process has the number now.
        with contextlib.suppress(ProcessLookupError, PermissionError, OverflowError, ValueError, TypeError):
            if named is not None:
                os.kill(int(str(named.value)), 0)
                return True
    return False


def main() -> None:
    """``python -m patient_flow.orchestration.dev [OPTIONS of dagster dev]``."""
    from dagster._cli import main as dagster

    with dg.DagsterInstance.get() as instance:
        end_interrupted_runs(instance)
    sys.argv = ["dagster", "dev", *sys.argv[1:]]
    dagster()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
