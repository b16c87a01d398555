"""Months of one-minute commits on one table: does opening and appending stay cheap with hourly maintenance?

    python -m patient_flow_tests.benchmarks.commits --commits 50000

Each commit appends a few rows and records progress, as a quiet minute does; every 60 commits maintenance runs. Before
it the log's files are made as old as if every commit had taken its minute, so that logs expire as they would. Prints
the median cost of a commit (open, append) per stretch of the history, and the size of folder and log.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import polars as pl

from patient_flow.contracts.tables import DIM_PATIENT, SILVER_EVENTS
from patient_flow.pipeline import maintenance
from patient_flow.stores.lake import log as delta_log
from patient_flow.stores.lake.catalog import Lake

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 20
COMMITS_AN_HOUR = 60


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


def main() -> None:
    """Commits, maintains, measures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--commits", type=int, default=50_000)
    options.add_argument("--stretches", type=int, default=10)
    asked = options.parse_args()
    maintenance.KEEP_HOURS, delta_log.TOMBSTONE_RETENTION = (
        {"gold": 0},
        "interval 0 seconds",
    )  # hours pass in seconds here
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(f"{folder}/{{layer}}")
        table = Path(folder) / "gold" / DIM_PATIENT.name
        stretch = asked.commits // asked.stretches
        seconds: list[float] = []
        upkeep: list[float] = []
        print(f"{'commits':>8}  {'commit ms':>9}  {'upkeep ms':>9}  {'files':>6}  {'log files':>9}  {'MiB':>6}")
        for number in range(1, asked.commits + 1):
            began = time.perf_counter()
            lake.open(DIM_PATIENT).append(rows(number), {SILVER_EVENTS.path: number})
            seconds.append(time.perf_counter() - began)
            if number % COMMITS_AN_HOUR == 0:
                age(table / "_delta_log", lake.open(DIM_PATIENT).version)
                began = time.perf_counter()
                maintenance.maintain(lake, DIM_PATIENT, {}, now=NOW + timedelta(hours=3 * number))
                upkeep.append(time.perf_counter() - began)
            if number % stretch == 0:
                size = sum(path.stat().st_size for path in table.rglob("*") if path.is_file()) / 2**20
                files, logs = len(list(table.glob("*.parquet"))), len(list((table / "_delta_log").iterdir()))
                figures = f"{1000 * median(seconds):>9.1f}  {1000 * median(upkeep):>9.0f}  {files:>6}  {logs:>9}"
                print(f"{number:>8,}  {figures}  {size:>6.0f}", flush=True)
                seconds, upkeep = [], []


if __name__ == "__main__":
    main()
