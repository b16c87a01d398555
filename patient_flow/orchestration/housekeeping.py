"""Keeps Dagster's own records and the access log short. Dagster has no retention of runs itself.

A run (with events, logs, ticks) writes about 0.9 MB (SQLite, with its checks): at one run a minute 1.25 GiB a day.
Nothing here touches data: checkpoints are in the lake, never in Dagster. Not here: the maintenance of the lake
(``automation``).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import dagster as dg
from dagster._core.storage.cloud_storage_compute_log_manager import CloudStorageComputeLogManager

from patient_flow import operations
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.settings import CADENCE_SECONDS
from patient_flow.stores.warehouse.errors import WarehouseUnavailable
from patient_flow.wording import plural

MIN_KEPT_RUNS = 50
"""Newest runs that are kept whatever their age, so that an idle hospital still shows its last runs."""
MAX_RUNS_PER_PASS = 5000
_PAGE = 200


@dataclass(frozen=True)
class PruneResult:
    """Numbers of what one pass deleted."""

    runs: int
    files: int
    bytes: int


def prune(
    instance: dg.DagsterInstance,
    now: datetime,
    keep: timedelta,
    keep_failed: timedelta,
    *,
    max_runs: int = MAX_RUNS_PER_PASS,
) -> PruneResult:
    """Deletes finished runs older than ``keep`` (failed ones: ``keep_failed``) with events, logs and ticks of that age.

    Running runs are never touched. ``delete_run`` leaves a run's event file (SQLite only), compute logs and check
    results: they are deleted here, by run id. The newest result of each check is kept even without its run.
    """
    runs = files = size = 0
    old = _old_runs(instance, now, keep, keep_failed, max_runs)
    for start in range(0, len(old), _PAGE):
        # before the runs: a pass that is killed in between finds these runs again next time
        _delete_check_results(instance, old[start : start + _PAGE])
    for run_id in old:
        _delete_run(instance, run_id)
        _delete_compute_logs(instance, run_id)
        deleted, freed = _delete_event_file(instance, run_id)
        runs, files, size = runs + 1, files + deleted, size + freed
    for state in instance.all_instigator_state():
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before=(now - keep).timestamp())
    return PruneResult(runs, files, size)


def _old_runs(
    instance: dg.DagsterInstance, now: datetime, keep: timedelta, keep_failed: timedelta, max_runs: int
) -> list[str]:
    kept = {run.run_id for run in instance.get_runs(limit=MIN_KEPT_RUNS)}
    status = dg.DagsterRunStatus
    wanted = (
        dg.RunsFilter(statuses=[status.SUCCESS, status.CANCELED], created_before=now - keep),
        dg.RunsFilter(statuses=[status.FAILURE], created_before=now - keep_failed),
    )
    found = (run_id for filters in wanted for run_id in _pages(instance, filters) if run_id not in kept)
    return list(islice(found, max_runs))


def _pages(instance: dg.DagsterInstance, filters: dg.RunsFilter) -> Iterator[str]:
    cursor: str | None = None
    while page := instance.get_run_records(filters, limit=_PAGE, cursor=cursor, ascending=True):
        for record in page:
            yield record.dagster_run.run_id
        cursor = page[-1].dagster_run.run_id


def _delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """As ``instance.delete_run``, without emptying the event file first, which is deleted anyway: saves 0.3 s a run."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        instance.delete_run(run_id)
        return
    instance.run_storage.delete_run(run_id)
    with storage.index_connection() as connection:
        storage.delete_events_for_run(connection, run_id)


def _delete_compute_logs(instance: dg.DagsterInstance, run_id: str) -> None:
    """Deletes logs on this machine. Blobs expire by the lifecycle rule for run logs (lake.bicep).

    The log manager cannot delete blobs in an account with a hierarchical namespace: it also lists the run's directory,
    and the Blob API deletes only empty ones. Errors are ignored: the run is already deleted.
    """
    manager = instance.compute_log_manager
    local = manager.local_manager if isinstance(manager, CloudStorageComputeLogManager) else manager
    with contextlib.suppress(OSError, NotImplementedError):
        local.delete_logs(prefix=[run_id])


def _delete_check_results(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Dagster never deletes check results: one row per check and run, at one run a minute 39,000 a day."""
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Results
    from dagster._core.storage.event_log.schema import db  # type: ignore[attr-defined]
    from dagster._core.storage.sqlalchemy_compat import db_select

    connect = getattr(instance.event_log_storage, "index_connection", None)
    if connect is None:
        return
    newest = db_select([db.func.max(Results.c.id)]).group_by(
        Results.c.asset_key, Results.c.check_name, Results.c.execution_status
    )
    with connect() as connection:
        connection.execute(Results.delete().where(Results.c.run_id.in_(run_ids), Results.c.id.not_in(newest)))


def _delete_event_file(instance: dg.DagsterInstance, run_id: str) -> tuple[int, int]:
    place = getattr(instance.event_log_storage, "path_for_shard", None)
    if place is None:
        return 0, 0
    count = size = 0
    base = Path(place(run_id))
    for path in (base, *(base.with_name(base.name + end) for end in ("-wal", "-shm", "-journal"))):
        with contextlib.suppress(FileNotFoundError):
            freed = path.stat().st_size
            path.unlink()
            count, size = count + 1, size + freed
    return count, size


@dg.op(description="Deletes old runs with their events and logs, and old ticks (PATIENT_FLOW_KEEP_RUNS_DAYS).")
def prune_runs(context: dg.OpExecutionContext, patient_flow: PatientFlow) -> None:
    """One pass; the next one, an hour later, continues a larger backlog."""
    settings = patient_flow.services().settings
    # So that a faster cadence keeps the same number of runs.
    keep = timedelta(days=settings.keep_runs_days) * (settings.cadence_seconds / CADENCE_SECONDS)
    failed = timedelta(days=settings.keep_failed_runs_days)
    done = prune(context.instance, datetime.now(UTC), keep, failed)
    files = plural(done.files, "event file")
    context.log.info(f"{plural(done.runs, 'run')} deleted, {files} of {done.bytes / 2**20:.1f} MiB")


@dg.op(description="Deletes old lines of the access log and anchors the others (PATIENT_FLOW_ACCESS_LOG_DAYS).")
def prune_access_log(context: dg.OpExecutionContext, patient_flow: PatientFlow) -> None:
    """Once a day; a pass in between finds nothing old enough. A failure leaves the log as it was."""
    services, now = patient_flow.services(), datetime.now(UTC)
    keep_since = now - timedelta(days=services.settings.access_log_days)
    try:
        deleted = services.access_log.prune(services.settings.access_log_key, keep_since, now)
    except WarehouseUnavailable as error:  # down, or not migrated yet: alerts and checks report it
        context.log.warning(f"the access log was not pruned: {error}")
        return
    context.log.info(f"{plural(deleted, 'line')} of the access log deleted")


@dg.op(description="Publishes closed days for aggregate readers (PATIENT_FLOW_SUPPRESS_BELOW), once each.")
def publish_closed_days(context: dg.OpExecutionContext, patient_flow: PatientFlow) -> None:
    """A pass that fails publishes nothing, or whole hospitals; the next one continues."""
    services = patient_flow.services()
    if not services.settings.suppress_below:
        context.log.info("PATIENT_FLOW_SUPPRESS_BELOW is 0: nothing is published for aggregate readers")
        return
    days = operations.publish_aggregates(services, datetime.now(UTC))
    context.log.info(f"{plural(days, 'day of hospitals', 'days of hospitals')} published")


@dg.job(
    description="Keeps Dagster's records (runs, events, compute logs, ticks) and the access log short, publishes days.",
    executor_def=dg.in_process_executor,
)
def housekeeping() -> None:
    """Each by itself: a failure of one does not stop the others."""
    prune_runs()
    prune_access_log()
    publish_closed_days()


hourly_housekeeping = dg.ScheduleDefinition(
    job=housekeeping,
    cron_schedule="47 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly, so that each pass is short.",
)
