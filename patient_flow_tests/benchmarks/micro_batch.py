"""What a micro-batch costs on lakes of different age: time and peak memory, as ratios to the youngest.

    python -m patient_flow_tests.benchmarks.micro_batch --history 100000 1000000 10000000

Each batch runs in a process of its own, in turn over all lakes, so that a noisy machine disturbs all alike. Batches
of two kinds: steady traffic, and traffic with patients who come back and corrections of stays of the last month, whose
rows lie anywhere in the history. What the second kind costs more is the rewriting of the files they lie in.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 10_000


KINDS = ("steady", "returning")


def measure(folder: str, first_visit: int, kind: str) -> None:
    """One micro-batch, in this process; prints its figures."""
    from patient_flow.stores.lake.catalog import Lake
    from patient_flow_tests.benchmarks import history

    if kind == "steady":
        history.RETURNING = history.CORRECTED = 0.0
    lake = Lake(f"{folder}/{{layer}}")
    history.append(lake, history.events(first_visit, BATCH // history.EVENTS_A_VISIT))
    began = time.perf_counter()
    history.run_steps(lake)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak_mib": _peak_mib()}))


def _peak_mib() -> float:
    """Peak resident memory of this process alone (``ru_maxrss`` would include the parent's before exec)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Fills the lakes, runs the batches, prints a table."""
    from patient_flow.stores.lake.catalog import Lake
    from patient_flow_tests.benchmarks import history

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--history", type=int, nargs="+", default=[100_000, 1_000_000])
    options.add_argument("--batches", type=int, default=5)
    options.add_argument("--lakes", help="Folder with lakes of an earlier run; those that are missing are made there.")
    options.add_argument("--measure", nargs=3, metavar=("FOLDER", "VISIT", "KIND"), help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.measure:
        return measure(asked.measure[0], int(asked.measure[1]), asked.measure[2])
    with contextlib.ExitStack() as stack:
        root = asked.lakes or stack.enter_context(tempfile.TemporaryDirectory())
        following = {}
        for total in asked.history:
            began = time.perf_counter()
            made = Path(root) / str(total)
            if not made.exists():
                history.fill(Lake(f"{made}/{{layer}}"), total)
                print(f"{total:>11,} events of history made in {time.perf_counter() - began:.0f} s", flush=True)
            following[total] = total // history.EVENTS_A_VISIT
        for kind in KINDS:
            figures: dict[int, list[dict[str, float]]] = {total: [] for total in asked.history}
            for _ in range(asked.batches + 1):
                for total in asked.history:
                    figures[total].append(_batch(Path(root) / str(total), following[total], kind))
                    following[total] += BATCH // history.EVENTS_A_VISIT
            print(f"{kind} traffic, batches of {BATCH:,} events")
            _print(figures)
    return None


def _batch(folder: Path, first_visit: int, kind: str) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, "--measure", str(folder), str(first_visit), kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def _print(figures: dict[int, list[dict[str, float]]]) -> None:
    youngest = min(figures)
    print(f"{'history':>11}  {'seconds':>8}  {'ratio':>5}  {'peak MiB':>8}  {'ratio':>5}")
    median = {
        total: {name: statistics.median(run[name] for run in runs[1:]) for name in runs[0]}  # the first warms up
        for total, runs in figures.items()
    }
    for total, figure in median.items():
        base = median[youngest]
        print(
            f"{total:>11,}  {figure['seconds']:>8.2f}  {figure['seconds'] / base['seconds']:>5.2f}  "
            f"{figure['peak_mib']:>8.0f}  {figure['peak_mib'] / base['peak_mib']:>5.2f}"
        )


if __name__ == "__main__":
    main()
