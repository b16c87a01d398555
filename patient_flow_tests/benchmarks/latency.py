"""From the hub to the warehouse: the age of each event when the load that brought it was first seen, by rate."""

from __future__ import annotations

import time
from pathlib import Path

from patient_flow_tests.benchmarks import live, report
from patient_flow_tests.benchmarks.live import Deployment
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Latency"
WARM_UP_BATCHES = 2
"""Python starts, and the first run finds no tables."""
OBSERVED_BATCHES = 9
"""At a short cadence; the rates of one cadence take ``minutes`` each, or less."""


def run(folder: Path, size: Size) -> report.Section:
    """Each rate on a machine of its own, so that every one starts with an empty lake."""
    rows, summaries = [], []
    for cadence in size.cadences:
        for rate in size.rates:
            with live.deployment(folder / f"{cadence}-{rate}", cadence) as running:
                figures = _observe(running, rate, min(60 * size.minutes, OBSERVED_BATCHES * cadence))
            print(f"{rate} a second, every {cadence} s: p95 {figures['event → warehouse p95']} s", flush=True)
            rows.append([f"{cadence} s", rate, *figures.values()])
            summaries.append(f"{rate} a second, every {cadence} s: p95 {figures['event → warehouse p95']} s")
    return report.Section(
        "Event → warehouse: seconds from the hub's time of an event until the load that brought it is seen in the "
        f"warehouse, which is read every 0.5 s. `dagster dev`, SQLite; each rate is observed for {OBSERVED_BATCHES} "
        f"cadences, {size.minutes:g} minutes at most, after {WARM_UP_BATCHES} micro-batches. CPU: of the "
        "pipeline without hub and simulator, percent of one core.\n\n"
        + report.table(["cadence", "events a second", *figures], rows),
        "; ".join(summaries),
    )


def _observe(running: Deployment, rate: int, seconds: float) -> dict[str, str]:
    running.machine.start("simulator", "patient-flow", "simulate", "--rate", str(rate))
    running.wait_for_runs(WARM_UP_BATCHES)
    first, before = time.time(), running.cpu_seconds()
    time.sleep(seconds)
    cpu_pct = (running.cpu_seconds() - before) / (time.time() - first) * 100
    done = [run for run in running.finished() if run["endTime"] >= first]
    failed = sum(run["status"] != "SUCCESS" for run in done)
    took = live.quantiles([run["endTime"] - run["tick"] for run in done if run["tick"]])
    seen = live.ages(running.observed.loads, running.events())
    ages = seen.filter(seen["seen_at"] >= first)["age"].to_list()
    assert ages, f"no load reached the warehouse in {seconds:.0f} s at {rate} events a second: is the machine busy?"
    age = live.quantiles(ages)
    memory = sum(mib for name, mib in running.observed.memory.items() if name not in ("hub", "simulator"))
    return {
        "event → warehouse p50": f"{age[0]:.1f}",
        "event → warehouse p95": f"{age[1]:.1f}",
        "event → warehouse max": f"{age[2]:.1f}",
        "tick → finished p50": f"{took[0]:.1f}",
        "tick → finished p95": f"{took[1]:.1f}",
        "micro-batches": f"{len(done)}",
        "failed": f"{failed}",
        "CPU %": f"{cpu_pct:.0f}",
        "peak MiB, all processes": f"{memory:,.0f}",
    }
