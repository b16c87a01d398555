"""What a run costs apart from its work: 1,000 events by a warm worker, by a new process; a minute without events."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from patient_flow_tests.benchmarks import live, measuring, report
from patient_flow_tests.benchmarks.sizes import Size
from patient_flow_tests.e2e.processes import COMMANDS, Machine, micro_batch

TITLE = "Start of a run"
EVENTS = 1_000
CADENCE = 10
WARM_UP_BATCHES = 2
IDLE_SECONDS = 30


def run(folder: Path, size: Size) -> report.Section:
    """A warm worker under ``dagster dev``, then the command of the README."""
    rows, idle = _warm(folder / "warm", size.rounds)
    rows.append(["`dagster asset materialize --select '*'`", *_cold(folder / "cold", size.rounds)])
    return report.Section(
        f"{EVENTS:,} events; medians of {size.rounds}. Warm: by a run worker of `dagster dev`, from the sensor's tick "
        "to the finished run; the CPU time is that of all its processes. Without events `dagster dev` takes "
        f"{idle:.1f} CPU seconds a minute at a cadence of {CADENCE} s.\n\n"
        + report.table(["", "wall s", "CPU s"], rows),
        "; ".join(f"{name} {wall} s" for name, wall, _ in rows),
    )


def _warm(folder: Path, rounds: int) -> tuple[list[list[str]], float]:
    spent = []
    with live.deployment(folder, CADENCE) as running:
        for number in range(WARM_UP_BATCHES + rounds):
            before = running.cpu_seconds()
            live.send(running.machine, EVENTS)
            running.wait_for_events(EVENTS * (number + 1))
            spent.append(running.cpu_seconds() - before)
        read = dict(running.events().group_by("run_id").len().iter_rows())
        # A tick may have come while the events were being sent: two runs then share them.
        whole = [
            one for one in running.finished()[WARM_UP_BATCHES:] if one["tick"] and read.get(one["runId"]) == EVENTS
        ]
        began, before = time.monotonic(), running.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        idle = (running.cpu_seconds() - before) / (time.monotonic() - began) * 60
    took, _, _ = live.quantiles([one["endTime"] - one["tick"] for one in whole])
    cpu = statistics.median(spent[WARM_UP_BATCHES:])
    return [["warm worker, tick to finished", f"{took:.1f}", f"{cpu:.1f}"]], idle


def _cold(folder: Path, rounds: int) -> tuple[str, str]:
    runs = []
    with Machine(folder) as machine:
        machine.start_hub()
        command, *arguments = micro_batch()
        for _ in range(rounds):
            live.send(machine, EVENTS)
            runs.append(measuring.measure([str(COMMANDS / command), *arguments], machine.settings, machine.folder))
    figures = measuring.median(runs)
    return f"{figures.wall_seconds:.1f}", f"{figures.cpu_seconds:.1f}"
