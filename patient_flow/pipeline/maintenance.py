"""MaintenanceResult of the lake's tables: small files joined, files that no reader needs deleted, the log kept short.

It belongs in the writer's own serial slot (a run with the pipeline's tag). Beside a writer it would only be refused and
done next time; beside another maintenance it would duplicate rows (delta-rs 1.6.6), so a lease in the table keeps
a second one out, whoever started it.
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
KEEP_HOURS = {"bronze": 24, "silver": 24, "gold": 2}
"""Hours for which replaced files stay, for readers of older versions. Gold's are replaced every minute."""


@dataclass(frozen=True)
class MaintenanceResult:
    """What was done to one table, or why nothing was."""

    table: Table
    files_joined: int = 0
    files_deleted: int = 0
    skip_reason: str | None = None


def maintain(lake: Lake, table: Table, loaded: Mapping[str, int | None], *, now: datetime) -> MaintenanceResult:
    """Compacts, vacuums and checkpoints ``table``; ``loaded`` are the versions that the warehouse holds.

    Files and logs are deleted only when every consumer has read up to the present version: retention never overtakes
    one.
    """
    opened = lake.open(table)
    seconds = int(now.timestamp())
    if (LEASE.read(opened.checkpoint) or 0) > seconds:
        return MaintenanceResult(table, skip_reason="another maintenance is at work")
    until = seconds + LEASE_SECONDS
    try:
        behind = _behind(lake, opened, loaded)
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
        return MaintenanceResult(table, skip_reason=f"a writer was at work: {error}")
    return MaintenanceResult(
        table, joined, deleted, f"not vacuumed: {behind} has not read all of it yet" if behind else None
    )


def _release_lease(lake: Lake, table: Table, until: int) -> None:
    """Ends our claim, else the next maintenance would wait for it in vain; one made since is another's.

    Through a new handle: with the old one delta-rs refuses every commit after a writer deleted rows.
    """
    opened = lake.open(table)
    if LEASE.read(opened.checkpoint) == until:
        opened.record(LEASE.of(0))


def _behind(lake: Lake, opened: LakeTable, loaded: Mapping[str, int | None]) -> str | None:
    """A consumer that has not read up to the present version.

    Consumers are written after what they read. A table before it that knows a version of it took something back once
    (silver, when the quarantine was replayed) and will not read on.
    """
    path = opened.table.path
    for consumer in LAKE_TABLES[LAKE_TABLES.index(opened.table) + 1 :]:
        try:
            reached = consumed(lake.open(consumer), opened) if lake.exists(consumer) else None
        except LakeError:
            return consumer.path  # it does not say what it has read, and its own upkeep says why
        if reached is not None and reached < opened.version:
            return consumer.path
    in_warehouse = loaded.get(path)
    return "the warehouse" if in_warehouse is not None and in_warehouse < opened.version else None
