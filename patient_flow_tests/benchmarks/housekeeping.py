"""Size of Dagster's own records over a simulated month, with and without housekeeping.

    python -m patient_flow_tests.benchmarks.housekeeping --days 30 --runs-a-day 24

A month of one-minute runs is 43,200: too many to execute. One real micro-batch is executed, and everything that it left
in a SQLite home (its run, the file of its events, its rows in the index, the results of its checks, its compute logs)
is copied under new ids and times, file by file and row by row: through Dagster's own classes, which open and close a
database for each of some hundred events, a copy would take as long as the run. By default 24 runs stand for a day of
1,440 (sizes are linear in runs: the last column says what a real day's number would make of it). ``prune`` is the real
one, once a day.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration import housekeeping
from patient_flow.orchestration.automation import PIPELINE_TAG, micro_batch
from patient_flow.orchestration.housekeeping import prune
from patient_flow.orchestration.local import prepare_home
from patient_flow.orchestration.resources import PatientFlow
from patient_flow_tests.benchmarks.watching import size_mib

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


def main() -> None:
    """Prints a line per day."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--days", type=int, default=30)
    asked.add_argument("--runs-a-day", type=int, default=24)
    asked.add_argument("--keep-days", type=int, default=3)
    options = asked.parse_args()
    housekeeping.MIN_KEPT_RUNS = min(housekeeping.MIN_KEPT_RUNS, options.runs_a_day)
    factor = REAL_RUNS_A_DAY / options.runs_a_day
    with tempfile.TemporaryDirectory(prefix="patient-flow-month-") as root:
        homes = {}
        for name in HOMES:
            print(f"a real micro-batch in the home {name!r} …", flush=True)
            homes[name] = _home(Path(root) / name)
        began = datetime.now(UTC) - timedelta(days=options.days)
        print(
            f"{'day':>4}{'MiB without':>13}{'with':>9}{'runs without':>14}{'with':>7}{'check rows':>12}{'with':>7}",
            end="",
        )
        print(f"{'seconds to prune':>18}{'GiB at 1,440':>16}")
        for day in range(options.days):
            now = began + timedelta(days=day + 1)
            step = timedelta(days=1) / options.runs_a_day
            for home in homes.values():
                _copy(home, [now - step * (options.runs_a_day - number) for number in range(options.runs_a_day)])
            at = time.monotonic()
            prune(homes["pruned"].instance, now, timedelta(days=options.keep_days), timedelta(days=30))
            seconds = time.monotonic() - at
            sizes = [size_mib(homes[name].folder) for name in HOMES]
            runs = [homes[name].instance.get_runs_count() for name in HOMES]
            checks = [_count(homes[name], "asset_check_executions") for name in HOMES]
            real = " / ".join(f"{size * factor / 1024:.2f}" for size in sizes)
            print(
                f"{day + 1:>4}{sizes[0]:>13.1f}{sizes[1]:>9.1f}{runs[0]:>14,}{runs[1]:>7,}"
                f"{checks[0]:>12,}{checks[1]:>7,}{seconds:>18.1f}{real:>16}",
                flush=True,
            )
        _print_parts(homes)
        for home in homes.values():
            home.instance.dispose()


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


def _count(home: _Home, table: str) -> int:
    with closing(sqlite3.connect(home.events / "index.db")) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _print_parts(homes: dict[str, _Home]) -> None:
    """Where the bytes are at the end."""
    print(f"\n{'MiB at the end':<24}{'without':>10}{'with':>10}")
    parts = [list(_parts(homes[name])) for name in HOMES]
    for (what, without), (_, kept) in zip(*parts, strict=True):
        print(f"{what:<24}{without:>10.1f}{kept:>10.1f}")


def _parts(home: _Home) -> Iterator[tuple[str, float]]:
    yield "events, file per run", sum(size_mib(p) for p in home.events.glob("*.db*") if not p.name.startswith("index"))
    yield "events, index", sum(size_mib(path) for path in home.events.glob("index.db*"))
    yield "runs", sum(size_mib(path) for path in (home.folder / "history").glob("runs.db*"))
    yield "compute logs", size_mib(home.folder / "storage")


if __name__ == "__main__":
    main()
