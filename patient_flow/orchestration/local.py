"""A Dagster home for one machine: bounded history, short queue polls, no telemetry."""

from __future__ import annotations

import hashlib
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
run_monitoring: {enabled: true, start_timeout_seconds: 3600, max_runtime_seconds: 3600, poll_interval_seconds: 30}
code_servers: {local_startup_timeout: 3600, reload_timeout: 3600}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
retention:
  schedule: {purge_after_days: 30}
  sensor: {purge_after_days: {skipped: 1, started: 7, success: 7, failure: 30}}
"""

EARLIER = {"e1a9945aeffe49cd", "a9c35e73028df528", "a8a9e3979c27d236", "aa912129f561a734"}
"""SHA-256 (first 16 digits) of the configurations that earlier versions wrote: replaced, since nobody edited them."""

PATIENCE = {
    "DAGSTER_GRPC_TIMEOUT_SECONDS": "600",
    "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "60",
    "DAGSTER_PROXY_SERVER_HEARTBEAT_TIMEOUT": "180",
    "DAGSTER_GRPC_PROXY_HEARTBEAT_TTL_SECONDS": "180",
}
"""Environment of Dagster's processes. With the defaults (60 seconds for a request to the code server, 30 for a sign of
life) a machine with too little processor starts no run and evaluates no sensor; with these it is slow."""


def prepare_home(folder: Path) -> Path:
    """Makes ``folder`` a Dagster home and returns its absolute path. A configuration that somebody edited is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "dagster.yaml"
    if not configuration.exists() or _fingerprint(configuration) in EARLIER:
        configuration.write_text(INSTANCE)
    return folder.resolve()


def _fingerprint(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
