"""Bodies to typed columns on one core, beside a plain ``json.loads`` loop over the same bodies.

    python -m patient_flow_tests.benchmarks.reading --events 300000

The typed columns are what ``transforms.columns`` gives without the digest, plus parsed timestamps; the read frame (with
digest, departments and defaults) and the judgement are shown as well. Rounds alternate, so noise hits all alike.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import json

import polars as pl

from patient_flow.contracts import events
from patient_flow.transforms import accept, bodies, columns, read
from patient_flow_tests.benchmarks import history

c = pl.col


def typed_columns(body: pl.Series) -> pl.DataFrame:
    """Typed columns alone: what parsing costs."""
    parsed = columns.parse_each(body, (), ())
    frame = pl.DataFrame(
        [columns._column(name, [getattr(item, name) for item in parsed.fields]) for name in bodies.COMMON_FIELDS]
    )
    times = [name for name in events.TIME_FIELDS if name in frame.columns]
    return frame.with_columns(read.parse_timestamps(frame[name]) for name in times)


def main() -> None:
    """Prints events per second, and the ratio to ``json.loads``."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=300_000)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    made = history.events(0, asked.events // history.EVENTS_A_VISIT)
    bronze = made.with_columns(
        hub_created_at=pl.lit(history.START),
        partition_id=pl.lit("0"),
        sequence_number=pl.int_range(made.height, dtype=pl.Int64),
    )
    body = bronze["body"]
    texts = body.to_list()
    judged = accept.validate(read.read_events(bronze, history.READING))
    ways: dict[str, Callable[[], object]] = {
        "json.loads loop": lambda: [json.loads(text) for text in texts],
        "typed columns": lambda: typed_columns(body),
        "read frame": lambda: read.read_events(bronze, history.READING),
        "read and judged": lambda: accept.validate(read.read_events(bronze, history.READING)),
        "silver rows of judged": lambda: accept.candidates(judged, history.READING.secret),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    base = median(seconds["json.loads loop"])
    for name, taken in seconds.items():
        print(f"{name:<24} {body.len() / median(taken):>12,.0f} events/s   {base / median(taken):>5.2f} x json.loads")


if __name__ == "__main__":
    main()
