"""Size of Dagster's own records after a month, with and without housekeeping.

A month of one-minute runs is 43,200: too many to execute. One real micro-batch is executed, and everything that it left
in a SQLite home (its run, the file of its events, its rows in the index, the results of its checks, its compute logs)
is copied under new ids and times, file by file and row by row: through Dagster's own classes, which open and close a
database for each of some hundred events, a copy would take as long as the run. A few runs stand for a day of 1,440:
sizes are linear in runs. ``prune`` is the real one, once a day.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration import housekeeping
from patient_flow.orchestration.automation import micro_batch
from patient_flow.orchestration.housekeeping import prune
from patient_flow.orchestration.local import prepare_home
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import PIPELINE_TAG
from patient_flow_tests.benchmarks import report
from patient_flow_tests.benchmarks.sizes import Size
from patient_flow_tests.benchmarks.watching import size_mib

TITLE = "Run history"
DAYS = 30
KEEP_DAYS = 3

REAL_RUNS_A_DAY = 1440
HOMES = ("kept", "pruned")


@dataclass(frozen=True)
class _Home:
    """A Dagster home, and the one real run in it of which the others are copies."""

    folder: Path
    instance: dg.DagsterInstance
    model: dg.DagsterRun
    began: float

    @property
    def events(self) -> Path:
        return self.folder / "history" / "runs"


def run(folder: Path, size: Size) -> report.Section:
    """Sizes at the end of ``DAYS`` days, and what pruning took."""
    patch = pytest.MonkeyPatch()
    patch.setattr(housekeeping, "MIN_KEPT_RUNS", min(housekeeping.MIN_KEPT_RUNS, size.runs_a_day))
    homes = {name: _home(folder / name) for name in HOMES}
    began, step = datetime.now(UTC) - timedelta(days=DAYS), timedelta(days=1) / size.runs_a_day
    seconds = []
    try:
        for day in range(DAYS):
            now = began + timedelta(days=day + 1)
            for home in homes.values():
                _copy(home, [now - step * (size.runs_a_day - number) for number in range(size.runs_a_day)])
            at = time.perf_counter()
            prune(homes["pruned"].instance, now, timedelta(days=KEEP_DAYS), timedelta(days=30))
            seconds.append(time.perf_counter() - at)
    finally:
        patch.undo()
    rows = [[name, *(f"{size:.1f}" for size in sizes)] for name, sizes in _parts_of(homes).items()]
    for home in homes.values():
        home.instance.dispose()
    factor = REAL_RUNS_A_DAY / size.runs_a_day / 1024
    kept, pruned = (sum(float(row[column]) for row in rows) * factor for column in (1, 2))
    return report.Section(
        f"{DAYS} days of {size.runs_a_day} copies of one real micro-batch, kept and with runs of {KEEP_DAYS} days. At "
        f"{REAL_RUNS_A_DAY:,} runs a day: {kept:.1f} and {pruned:.1f} GiB; pruning took up to {max(seconds):.1f} s.\n\n"
        + report.table(["MiB at the end", *HOMES], rows),
        f"{pruned:.1f} GiB of run history instead of {kept:.1f} after {DAYS} days of {REAL_RUNS_A_DAY:,} runs",
    )


def _home(folder: Path) -> _Home:
    instance = dg.DagsterInstance.from_config(str(prepare_home(folder)))
    data = folder.with_name(f"{folder.name}-data")
    with HubThread(data / "hub") as hub:
        resource = PatientFlow(
            overrides={
                "PATIENT_FLOW_LAKE_URI": f"{data}/{{layer}}",
                "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{data}/warehouse.db",
                "PATIENT_FLOW_EVENTHUB_CONNECTION": hub.connection,
            }
        )
        job = build_defs(resource).resolve_job_def(micro_batch.name)
        result = job.execute_in_process(instance=instance, tags=PIPELINE_TAG)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.is_success
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    assert record.start_time is not None
    return _Home(folder, instance, run, record.start_time)


def _copy(home: _Home, moments: Sequence[datetime]) -> None:
    """The model run once more at each of the moments, with all that it left."""
    copies = [(str(uuid.uuid4()), at) for at in moments]
    model, storage = home.model.run_id, home.folder / "storage"
    for run_id, at in copies:
        home.instance.run_storage.add_historical_run(home.model._replace(run_id=run_id), at)
        shard = home.events / f"{run_id}.db"
        shutil.copy(home.events / f"{model}.db", shard)
        with closing(sqlite3.connect(shard)) as database, database:
            _rename(database, model, run_id, at.timestamp() - home.began)
        if (storage / model).is_dir():
            shutil.copytree(storage / model, storage / run_id)
    with closing(sqlite3.connect(home.events / "index.db")) as database, database:
        for table in ("event_logs", "asset_check_executions"):
            columns = [name for name in _columns(database, table) if name != "id"]
            for run_id, at in copies:
                later = at.timestamp() - home.began
                values = ", ".join(_changed(column, run_id, later) for column in columns)
                database.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE run_id = ?",
                    (model,),
                )


def _rename(database: sqlite3.Connection, model: str, run_id: str, later: float) -> None:
    columns = _columns(database, "event_logs")
    wanted = [name for name in columns if name in ("run_id", "timestamp", "event")]
    changes = ", ".join(f"{name} = {_changed(name, run_id, later)}" for name in wanted)
    database.execute(f"UPDATE event_logs SET {changes} WHERE run_id = ?", (model,))


def _changed(column: str, run_id: str, later: float) -> str:
    """SQL for a column's value in the copy. The id inside an event has the same length: it is replaced in its JSON."""
    if column == "run_id":
        return f"'{run_id}'"
    if column in ("event", "evaluation_event"):
        return f"replace({column}, run_id, '{run_id}')"
    if column in ("timestamp", "create_timestamp"):
        return f"datetime({column}, '{later:+.0f} seconds')"
    return column


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def _parts_of(homes: dict[str, _Home]) -> dict[str, list[float]]:
    """Where the bytes are, home by home."""
    found: dict[str, list[float]] = {}
    for name in HOMES:
        for part, mib in _parts(homes[name]):
            found.setdefault(part, []).append(mib)
    return found


def _parts(home: _Home) -> Iterator[tuple[str, float]]:
    yield "events, file per run", sum(size_mib(p) for p in home.events.glob("*.db*") if not p.name.startswith("index"))
    yield "events, index", sum(size_mib(path) for path in home.events.glob("index.db*"))
    yield "runs", sum(size_mib(path) for path in (home.folder / "history").glob("runs.db*"))
    yield "compute logs", size_mib(home.folder / "storage")
