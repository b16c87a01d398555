"""A code location with run workers and jobs that take no time."""

import os
import signal
import sys
import time
from pathlib import Path

import dagster as dg

from patient_flow.orchestration import run_workers

if gate := os.environ.get("GATE_OF_RUN_WORKERS"):
    # A worker, but not the code server, waits here as if importing took minutes.
    while sys.argv[1:3] != ["api", "grpc"] and not Path(gate).exists():
        time.sleep(0.02)


class Wait(dg.Config):
    """How the op ends."""

    end: str = "well"
    started: str = ""


@dg.op
def act(config: Wait) -> None:
    """Ends well, fails, crashes its process, or waits until it is interrupted."""
    if config.started:
        Path(config.started).touch()
    if config.end == "failure":
        raise ValueError("asked to fail")
    if config.end == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    while config.end == "never":
        time.sleep(0.05)


@dg.job(executor_def=dg.in_process_executor)
def small() -> None:
    """One op."""
    act()


defs = dg.Definitions(jobs=[small], executor=dg.in_process_executor)
run_workers.install(__name__)
