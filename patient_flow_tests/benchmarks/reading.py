"""Bodies to silver rows on one core, stage by stage, beside a plain ``json.loads`` of the same bodies.

    python -m patient_flow_tests.benchmarks.reading EVENTS ROUNDS

Prints microseconds of CPU time an event; rounds alternate, and the median counts.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from patient_flow.transforms import accept, read
from patient_flow_tests.benchmarks import batch, feed, measuring, report
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Reading"
PEER = "json.loads alone"


def run(folder: Path, size: Size) -> report.Section:
    """Bodies to silver rows, on one core."""
    events = size.events // 5
    command = [sys.executable, "-m", __name__, str(events), str(size.rounds)]
    stages = measuring.measure(command, {"POLARS_MAX_THREADS": "1"}, folder).steps
    rate = 1e6 / (sum(stages.values()) - stages[PEER])
    rows = [[name, f"{each:.1f}"] for name, each in stages.items()]
    return report.Section(
        f"{events:,} bodies to silver rows on one core: {rate:,.0f} events a second. CPU time by stage:\n\n"
        + report.table(["", "µs an event"], rows),
        f"{rate:,.0f} bodies a second and core to silver rows; {PEER} {1e6 / stages[PEER]:,.0f}",
    )


def main(events: str, rounds: str) -> None:
    bronze = feed.events(int(events)).with_columns(hub_created_at=pl.lit(feed.START))
    parser = read.ParserConfig(batch.DEPARTMENTS, "benchmark")
    bodies = bronze["body"].to_list()
    frame = read.read_events(bronze, parser)
    validated = accept.validate(frame)
    stages: dict[str, Callable[[], object]] = {
        PEER: lambda: [_loads(body) for body in bodies],
        "typed columns": lambda: read.read_events(bronze, parser),
        "rules": lambda: accept.validate(frame),
        "pseudonyms and keys": lambda: accept.candidates(validated, parser.secret),
    }
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(int(rounds)):
        for name, run in stages.items():
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    steps = {name: round(statistics.median(taken) / bronze.height * 1e6, 2) for name, taken in seconds.items()}
    print(json.dumps({"steps": steps}))


def _loads(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


if __name__ == "__main__":
    main(*sys.argv[1:])
