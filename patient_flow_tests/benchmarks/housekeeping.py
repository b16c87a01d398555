"""Size of Dagster's own records over a simulated month, with and without housekeeping.

    python -m patient_flow_tests.benchmarks.housekeeping --days 30 --runs-a-day 48

A month of one-minute runs is 43,200: too many to execute. One real micro-batch is executed, and its run, its events and
its compute logs are written again under new ids and times, through Dagster's own storage classes. By default 48 runs
stand for a day of 1,440 (sizes are linear in runs: the last column says what a real day's number would make of it).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration import housekeeping
from patient_flow.orchestration.automation import micro_batch
from patient_flow.orchestration.housekeeping import prune
from patient_flow.orchestration.local import prepare_home
from patient_flow.orchestration.resources import PatientFlow

REAL_RUNS_A_DAY = 1440


def main() -> None:
    """Prints a line per day."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--days", type=int, default=30)
    asked.add_argument("--runs-a-day", type=int, default=48)
    asked.add_argument("--keep-days", type=int, default=3)
    options = asked.parse_args()
    housekeeping.ALWAYS_KEPT = min(housekeeping.ALWAYS_KEPT, options.runs_a_day)
    with tempfile.TemporaryDirectory(prefix="patient-flow-month-") as root:
        homes = {name: prepare_home(Path(root) / name) for name in ("kept", "pruned")}
        factor = REAL_RUNS_A_DAY / options.runs_a_day
        instances = {name: dg.DagsterInstance.from_config(str(home)) for name, home in homes.items()}
        models = {name: _real_run(Path(root) / f"{name}-data", instance) for name, instance in instances.items()}
        began = datetime.now(UTC) - timedelta(days=options.days)
        print(f"{'day':>4}{'MiB without':>13}{'MiB with':>10}{'runs without':>14}{'runs with':>11}{'GiB at 1,440':>14}")
        for day in range(options.days + 1):
            for name, instance in instances.items():
                for number in range(options.runs_a_day):
                    at = began + timedelta(days=day, minutes=number * 1440 / options.runs_a_day)
                    _copy(instance, homes[name], models[name], at)
            now = began + timedelta(days=day + 1)
            keep = timedelta(days=options.keep_days)
            prune(instances["pruned"], now, keep, timedelta(days=30))
            sizes = {name: _mib(home) for name, home in homes.items()}
            counts = {name: instance.get_runs_count() for name, instance in instances.items()}
            real = " / ".join(f"{sizes[name] * factor / 1024:.1f}" for name in ("kept", "pruned"))
            print(
                f"{day + 1:>4}{sizes['kept']:>13.1f}{sizes['pruned']:>10.1f}"
                f"{counts['kept']:>14,}{counts['pruned']:>11,}{real:>14}",
                flush=True,
            )
        for instance in instances.values():
            instance.dispose()


def _real_run(folder: Path, instance: dg.DagsterInstance) -> str:
    with HubThread(folder / "hub") as hub:
        resource = PatientFlow(
            overrides={
                "PATIENT_FLOW_LAKE_URI": f"{folder}/{{layer}}",
                "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db",
                "PATIENT_FLOW_EVENTHUB_CONNECTION": hub.connection,
            }
        )
        job = build_defs(resource).resolve_job_def(micro_batch.name)
        result = job.execute_in_process(instance=instance)
    return result.run_id


def _copy(instance: dg.DagsterInstance, home: Path, model: str, at: datetime) -> None:
    run_id, moment = str(uuid.uuid4()), at.timestamp()
    run = instance.get_run_by_id(model)
    assert run is not None
    instance.run_storage.add_historical_run(run.with_status(run.status)._replace(run_id=run_id), at)
    entries = instance.all_logs(model)
    first = entries[0].timestamp
    for entry in entries:
        instance.event_log_storage.store_event(
            entry._replace(run_id=run_id, timestamp=moment + entry.timestamp - first)
        )
    logs = home / "storage" / model
    if logs.is_dir():
        shutil.copytree(logs, home / "storage" / run_id)


def _mib(folder: Path) -> float:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
