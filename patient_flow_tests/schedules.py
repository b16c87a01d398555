"""Switches Dagster's schedules off: which of them is due depends on the minute in which a test runs."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData

from patient_flow.definitions import build_defs


def stop_schedules(instance: dg.DagsterInstance, location: str) -> None:
    """As an operator does in the UI, before the daemon of ``instance`` starts. Sensors stay on."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    for schedule in build_defs().schedules or ():
        origin = RemoteInstigatorOrigin(repository, schedule.name)
        data = ScheduleInstigatorData(schedule.cron_schedule)
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED, data))
