"""Gold → warehouse: loads the changes since the loaded versions in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from patient_flow.contracts.tables import SILVER_EVENTS, Table
from patient_flow.pipeline.received import newest_hub_event
from patient_flow.pipeline.steps import StepResult
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.warehouse.batch import Batch, Written
from patient_flow.stores.warehouse.warehouse import Warehouse


def load_warehouse(
    lake: Lake,
    warehouse: Warehouse,
    tables: Sequence[Table],
    *,
    now: datetime,
    run_id: str,
    as_a_whole: bool = False,
) -> dict[str, StepResult]:
    """Brings ``tables`` of the warehouse to the newest gold versions; results by table path.

    ``as_a_whole`` replaces all rows of all tables. A gold table that was deleted and created again since the last load
    always replaces all rows, because versions of the former table are unrelated.
    Raises ``WarehouseError`` when the warehouse cannot be reached, and ``WarehouseConflict`` when another loader
    committed first: a new attempt then starts from its versions. Waits while another process works alone on the lake.
    """
    with lake.writing():
        return _load(lake, warehouse, tables, now, run_id, as_a_whole=as_a_whole)


def _load(
    lake: Lake, warehouse: Warehouse, tables: Sequence[Table], now: datetime, run_id: str, *, as_a_whole: bool
) -> dict[str, StepResult]:
    warehouse.init()
    loaded = warehouse.loaded_versions()
    opened = [lake.open(table) for table in tables]
    identities = warehouse.loaded_identities()
    batches = []
    for gold in opened:
        since = loaded.get(gold.table.path)
        is_replaced = identities.get(gold.table.path) not in (None, gold.identity)
        if as_a_whole or is_replaced or since != gold.version:
            batches.append(_batch(gold, since, as_a_whole=as_a_whole or is_replaced))
    newest = newest_hub_event(lake.open(SILVER_EVENTS))
    written = warehouse.load(batches, newest_event_at=newest, loaded_at=now, run_id=run_id) if batches else {}
    return {
        gold.table.path: StepResult(
            gold.table,
            gold.version,
            _rows_written(written.get(gold.table.path)),
            consumed={gold.table.path: gold.version},
            newest_event_at=newest,
        )
        for gold in opened
    }


def _rows_written(written: Written | None) -> RowsWritten:
    return RowsWritten() if written is None else RowsWritten(inserted=written.inserted, deleted=written.deleted)


def _batch(gold: LakeTable, since: int | None, *, as_a_whole: bool) -> Batch:
    changes = gold.changes_or_all(None if as_a_whole else since)
    return Batch(gold.table, since, gold.version, changes.before, changes.after, changes.is_whole_table, gold.identity)
