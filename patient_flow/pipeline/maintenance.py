"""Maintenance of lake tables: compaction, vacuum and clean-up of the log.

It must not run beside a writer (its run has the pipeline's tag), which would only make it fail with a conflict. Two
maintenance runs at once would duplicate rows (delta-rs 1.6.6), so a lease in the table excludes a second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from patient_flow.contracts.tables import LAKE_TABLES, Table
from patient_flow.pipeline.checkpoints import LEASE, consumed
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import CommitConflict, LakeError
from patient_flow.stores.lake.table import LakeTable

LEASE_SECONDS = int(timedelta(hours=2).total_seconds())
CLOCK_SKEW_SECONDS = int(timedelta(minutes=10).total_seconds())
"""A lease that ends later, by more than this, than one made now is from a clock that was ahead. It counts as ended: it
could block maintenance for years."""
KEEP_HOURS = {"bronze": 24, "silver": 24, "gold": 2}
"""Hours for which replaced files are kept for readers of older versions. Gold replaces files every minute."""


@dataclass(frozen=True)
class MaintenanceResult:
    """The result of one table, or why it was skipped."""

    table: Table
    files_joined: int = 0
    files_deleted: int = 0
    skip_reason: str | None = None


def maintain(lake: Lake, table: Table, loaded: Mapping[str, int | None], *, now: datetime) -> MaintenanceResult:
    """Compacts, vacuums and checkpoints ``table``; ``loaded`` are the versions that the warehouse has loaded.

    Files and logs are deleted only when every consumer has read the current version. It waits while another process
    works alone on the lake.
    """
    with lake.writing():
        return _maintain(lake, table, loaded, now)


def _maintain(lake: Lake, table: Table, loaded: Mapping[str, int | None], now: datetime) -> MaintenanceResult:
    opened = lake.open(table)
    seconds = int(now.timestamp())
    if seconds < (LEASE.read(opened.checkpoint) or 0) <= seconds + LEASE_SECONDS + CLOCK_SKEW_SECONDS:
        return MaintenanceResult(table, skip_reason="another maintenance is running")
    until = seconds + LEASE_SECONDS
    try:
        behind = consumer_behind(lake, opened, loaded)
        opened.record(LEASE.of(until))
        try:
            maintenance = opened.maintenance()
            joined = maintenance.compact()
            deleted = 0 if behind else maintenance.vacuum(KEEP_HOURS[table.layer])
            maintenance.write_checkpoint()
            if not behind:
                maintenance.clean_up_log()
        finally:
            _release_lease(lake, table, until)
    except CommitConflict as error:
        return MaintenanceResult(table, skip_reason=f"a writer was active: {error}")
    return MaintenanceResult(
        table, joined, deleted, f"not vacuumed: {behind} has not consumed the current version" if behind else None
    )


def _release_lease(lake: Lake, table: Table, until: int) -> None:
    """Ends this lease, so that the next maintenance can start; leaves a newer lease of another one.

    It opens the table again, because delta-rs rejects commits of the old handle after a writer deleted rows.
    """
    opened = lake.open(table)
    if LEASE.read(opened.checkpoint) == until:
        opened.record(LEASE.of(0))


def consumer_behind(lake: Lake, opened: LakeTable, loaded: Mapping[str, int | None]) -> str | None:
    """Name of a consumer that has not read the current version.

    Consumers are declared after their sources. A table declared before its source (silver reads quarantine in a replay)
    does not follow it.
    """
    path = opened.table.path
    for consumer in LAKE_TABLES[LAKE_TABLES.index(opened.table) + 1 :]:
        try:
            reached = consumed(lake.open(consumer), opened) if lake.exists(consumer) else None
        except LakeError:
            return consumer.path  # its position is unknown; its own maintenance reports the error
        if reached is not None and reached < opened.version:
            return consumer.path
    in_warehouse = loaded.get(path)
    return "the warehouse" if in_warehouse is not None and in_warehouse < opened.version else None
