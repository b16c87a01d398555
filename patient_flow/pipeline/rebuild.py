"""Everything after bronze, made again: the same steps as a micro-batch, with their progress forgotten.

Silver starts from nothing. Gold and warehouse keep what they have until the result is there, and then only what
differs is written, so readers never see half. A rebuild that dies goes on where it is when it is started again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from patient_flow.contracts import tables
from patient_flow.pipeline import gold, silver
from patient_flow.pipeline.steps import StepResult
from patient_flow.stores.lake import NOTHING_CONSUMED, Lake
from patient_flow.transforms.read import Reading

GOLD = [table for table in tables.LAKE_TABLES if table.layer == "gold"]


def rebuild(
    lake: Lake, reading: Reading, departments: pl.DataFrame, zone: str, *, now: datetime, run_id: str
) -> Iterator[StepResult]:
    """Makes silver and gold again from bronze, table by table; yields what each step did."""
    reset(lake, tables.SILVER_EVENTS, empty=True)
    yield silver.accept_events(lake, reading, run_id=run_id)
    reset(lake, tables.QUARANTINE, empty=True)
    yield silver.quarantine_events(lake, reading, now=now, run_id=run_id)
    for table in GOLD:
        reset(lake, table)
    yield from gold.all_steps(lake, departments, zone, run_id=run_id)


def reset(lake: Lake, table: tables.Table, *, empty: bool = False) -> None:
    """Forgets what ``table`` has consumed, and with ``empty`` its rows too: its next step starts from the beginning."""
    opened = lake.open(table)
    sources = (source.path for source in tables.LAKE_TABLES if opened.progress(source.path) is not None)
    progress = dict.fromkeys(sources, NOTHING_CONSUMED)
    if empty:
        opened.overwrite(table.empty(), progress)
    elif progress:
        opened.append(table.empty(), progress)
