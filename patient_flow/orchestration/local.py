"""A Dagster home for one machine: bounded history, short queue polls, no telemetry."""

from __future__ import annotations

from pathlib import Path

INSTANCE = """\
# Dagster on one machine, as `patient-flow demo` runs it. Production: see infra/.
telemetry: {enabled: false}
nux: {enabled: false}
freshness: {enabled: true}
run_launcher: {module: patient_flow.orchestration.launching, class: WatchfulRunLauncher}
run_queue: {dequeue_interval_seconds: 1}
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits: [{key: pipeline, value: patient_flow, limit: 1}]
  pools: {granularity: run, default_limit: 1}
run_monitoring: {enabled: true, start_timeout_seconds: 120, max_runtime_seconds: 3600, poll_interval_seconds: 30}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
retention:
  schedule: {purge_after_days: 30}
  sensor: {purge_after_days: {skipped: 1, started: 7, success: 7, failure: 30}}
"""


def prepare_home(folder: Path) -> Path:
    """Makes ``folder`` a Dagster home, keeping an existing configuration; returns its absolute path."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(INSTANCE)
    return folder.resolve()
