"""Months of one-minute commits on one table: whether opening and appending stay cheap with hourly maintenance.

Each commit appends a few rows and records progress, as a quiet minute does; every 60 commits maintenance runs. Before
it the log's files are made as old as if every commit had taken its minute, so that logs expire as they would.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import polars as pl
import pytest

from patient_flow.contracts.tables import DIM_PATIENT, SILVER_EVENTS
from patient_flow.pipeline import maintenance
from patient_flow.stores.lake import log as delta_log
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.benchmarks import report
from patient_flow_tests.benchmarks.sizes import Size
from patient_flow_tests.benchmarks.watching import size_mib

TITLE = "Commits"

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 20
COMMITS_AN_HOUR = 60
STRETCHES = 4


def rows(number: int) -> pl.DataFrame:
    """A few new patients."""
    key = pl.int_range(number * ROWS, (number + 1) * ROWS, eager=True)
    known = {"patient_key": key, "patient_id": key.cast(pl.String), "gender": "Female", "is_current": True}
    return pl.DataFrame(known).select(
        (pl.col(name) if name in known else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in DIM_PATIENT.schema.items()
    )


def age(log: Path, newest: int) -> None:
    """Gives each file of a Delta log the time it would have if ``newest`` were just written, a minute after another."""
    now = time.time()
    for file in os.scandir(log):
        version = file.name[:20]
        if version.isdecimal():
            written = now - 60 * (newest - int(version))
            os.utime(file.path, (written, written))


def run(folder: Path, size: Size) -> report.Section:
    """Median cost of a commit and of maintenance in each of ``STRETCHES`` parts of the history."""
    patch = pytest.MonkeyPatch()
    patch.setattr(maintenance, "KEEP_HOURS", {"gold": 0})  # hours pass in seconds here
    patch.setattr(delta_log, "TOMBSTONE_RETENTION", "interval 0 seconds")
    try:
        rows = _measure(folder, size.commits)
    finally:
        patch.undo()
    head = ["commits", "commit ms", "maintenance ms", "data files", "log files", "MiB"]
    return report.Section(
        f"{size.commits:,} commits of {ROWS} rows on one table, hourly maintenance after every {COMMITS_AN_HOUR}: open "
        f"and append, median of each part of the history.\n\n{report.table(head, rows)}",
        f"{rows[0][1]} ms in the first {rows[0][0]} commits, {rows[-1][1]} ms in the last of {size.commits:,}",
    )


def _measure(folder: Path, commits: int) -> list[list[str]]:
    lake = Lake(f"{folder}/{{layer}}")
    table = folder / "gold" / DIM_PATIENT.name
    seconds: list[float] = []
    upkeep: list[float] = []
    found = []
    for number in range(1, commits + 1):
        began = time.perf_counter()
        lake.open(DIM_PATIENT).append(rows(number), {SILVER_EVENTS.path: number})
        seconds.append(time.perf_counter() - began)
        if number % COMMITS_AN_HOUR == 0:
            age(table / "_delta_log", lake.open(DIM_PATIENT).version)
            began = time.perf_counter()
            maintenance.maintain(lake, DIM_PATIENT, {}, now=NOW + timedelta(hours=3 * number))
            upkeep.append(time.perf_counter() - began)
        if number % (commits // STRETCHES) == 0:
            files, logs = len(list(table.glob("*.parquet"))), len(list((table / "_delta_log").iterdir()))
            times = [f"{1000 * median(seconds):.1f}", f"{1000 * median(upkeep):.0f}" if upkeep else ""]
            found.append([f"{number:,}", *times, f"{files:,}", f"{logs:,}", f"{size_mib(table):.1f}"])
            seconds, upkeep = [], []
    return found
