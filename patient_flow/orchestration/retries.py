"""Steps of running micro-batches that failed and are tried again: the alert need not wait until the last attempt."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from patient_flow.monitoring.rules.system import RetriedRun
from patient_flow.orchestration.automation import micro_batch
from patient_flow.orchestration.reports import ACTIVE

PATIENCE = timedelta(seconds=15)
"""A retry that heals a run within this time is no alert."""


def retried_runs(instance: dg.DagsterInstance, now: datetime) -> list[RetriedRun]:
    """Active micro-batches with a step that has failed some seconds ago, and the sentence of its last failure."""
    found = []
    for run in instance.get_runs(dg.RunsFilter(job_name=micro_batch.name, statuses=ACTIVE), limit=2):
        retries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
        if retries and now.timestamp() - retries[0].timestamp > PATIENCE.total_seconds():
            found.append(RetriedRun(run.job_name, run.run_id, _cause(retries[-1].get_dagster_event())))
    return found


def _cause(event: dg.DagsterEvent) -> str:
    """The step, and its sentence where the error is a Failure of ours: the text of others may hold values."""
    error = event.step_retry_data.error
    while error is not None and error.cls_name != dg.Failure.__name__ and error.cause is not None:
        error = error.cause
    if error is None or error.cls_name != dg.Failure.__name__:
        return f"{event.step_key} failed"
    return f"{event.step_key}: {error.message.partition('Failure: ')[2].strip()}"
