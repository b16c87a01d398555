"""The benchmark suite: the product beside its peers, results compared before a time is written.

    uv run python -m patient_flow_tests.benchmarks                  everything; hours on a small machine
    uv run python -m patient_flow_tests.benchmarks batch            one comparison
    uv run python -m patient_flow_tests.benchmarks --tiny           all of them on a few events: whether they still run

Writes ``infra/docs/benchmarks.md`` (with ``--tiny`` nothing). PySpark needs Java 17 and gets an environment of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.benchmarks import (
    batch,
    dashboard_speed,
    dashboard_warehouse,
    drain,
    feed,
    history,
    measuring,
    micro_batch,
    pages,
    reading,
)
from patient_flow_tests.servers import INSTALL_POSTGRESQL
from patient_flow_tests.stacks import Servers


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    events: int
    rounds: int
    with_spark: bool
    histories: tuple[float, ...] = (0.1, 1.0)
    """Of micro-batches, in ``events``."""


FULL_EVENTS, FULL_ROUNDS = 1_000_000, 3
STAYS_PER_EVENT = 10
"""Stays of the dashboard's warehouse for each event of the other comparisons: years of them."""
TINY = Size(events=2_000, rounds=1, with_spark=False, histories=(1.0,))


def run_batch(folder: Path, size: Size) -> str:
    """Bronze to gold, by several engines."""
    sides = batch.contenders(folder, size.events, with_spark=size.with_spark)
    figures = measuring.compare(sides, size.rounds)
    return (
        f"{size.events:,} events from bronze's bodies to silver, quarantine and gold; medians of {size.rounds}. The "
        "product runs `rebuild` with all of its rules and guarantees. The peers make the same tables as Parquet and do "
        "less (no cancels, updates, attendances, canonical hashes, commits, change feed or flushing). The floor only "
        f"decodes each body once and writes the columns.\n\n{pages.comparison(figures)}\n\nSeconds by step, "
        f"starts of processes left out:\n\n{pages.steps(figures)}"
    )


def run_drain(folder: Path, size: Size) -> str:
    """A backlog at the hub, by the product and by the public client."""
    bodies = feed.events(size.events // 20)["body"].to_list()
    texts = []
    with HubThread(folder / "hub", hubs=tuple(drain.SHARES), partitions=drain.PARTITIONS) as hub:
        for name in drain.SHARES:
            drain.fill(hub.connection, name, bodies)
            figures = measuring.compare(drain.contenders(hub.connection, name, folder), size.rounds)
            texts.append(f"{name.capitalize()}:\n\n{pages.comparison(figures)}\n\n{pages.steps(figures)}")
    return (
        f"{len(bodies):,} events in {drain.PARTITIONS} partitions of a local hub, which is in neither side's figures; "
        f"medians of {size.rounds}. The public client has a thread per partition. Skewed: nine of ten events are in "
        "one partition. Starts of processes are in the first table, not in the seconds below it.\n\n"
        + "\n\n".join(texts)
    )


def run_reading(folder: Path, size: Size) -> str:
    """Bodies to silver rows, on one core."""
    events = size.events // 5
    command = [sys.executable, "-m", reading.__name__, str(events), str(size.rounds)]
    stages = measuring.measure(command).steps
    ours = sum(stages.values()) - stages["json.loads alone"]
    rows = [[name, f"{each:.1f}"] for name, each in stages.items()]
    return (
        f"{events:,} bodies to silver rows on one core: {1e6 / ours:,.0f} events a second. CPU time by stage:\n\n"
        + pages.table(["", "µs an event"], rows)
    )


def run_micro_batch(folder: Path, size: Size) -> str:
    """A micro-batch on histories of different length."""
    events = min(micro_batch.EVENTS, size.events)
    histories = [int(size.events * factor) for factor in size.histories]
    following = {total: micro_batch.make_history(folder / str(total), total) for total in histories}
    runs: dict[tuple[str, int], list[measuring.Figures]] = {}
    for number in range(0 if size.rounds > 1 else 1, size.rounds + 1):
        for kind, total in itertools.product(micro_batch.KINDS, histories):
            arguments = (str(folder / str(total)), str(following[total]), kind, str(events))
            figures = measuring.measure([sys.executable, "-m", micro_batch.__name__, *arguments])
            following[total] += events // history.EVENTS_A_VISIT
            if number:  # the first run of several warms up
                runs.setdefault((kind, total), []).append(figures)
    rows = []
    for (kind, total), found in runs.items():
        one = measuring.median(found)
        rows.append([kind, f"{total:,}", *(f"{seconds:.2f}" for seconds in one.steps.values()), f"{one.peak_mib:,.0f}"])
    head = ["traffic", "history, events", "steps, wall s", "steps, CPU s", "load, wall s", "load, CPU s", "peak MiB"]
    return (
        f"{events:,} events on lakes after maintenance; all steps after bronze, then the load of a SQLite warehouse; "
        f"medians of {size.rounds}. Each batch is a process of its own, whose start is left out. Mixed: 30 % of the "
        f"patients were here before, 1 % of the visits are corrected.\n\n{pages.table(head, rows)}"
    )


def run_pages(folder: Path, size: Size) -> str:
    """The dashboard on a large warehouse."""
    stays = STAYS_PER_EVENT * size.events
    with contextlib.ExitStack() as running:
        urls = {"SQLite": f"sqlite:///{folder}/warehouse.db"}
        if _has_postgresql():
            urls["PostgreSQL"] = running.enter_context(Servers()).new_url()
        found = {}
        for name, url in urls.items():
            dashboard_warehouse.build(url, stays, copies=2)
            found[name] = dashboard_speed.answers(url)
    rows = [[answer, *(f"{seconds[answer]:.2f}" for seconds in found.values())] for answer in found["SQLite"]]
    return (
        f"{stays:,} stays and {stays // dashboard_warehouse.STAYS_PER_ATTENDANCE:,} attendances in 98 departments. "
        "Seconds to the last byte of each answer; every page has the board.\n\n" + pages.table(["", *found], rows)
    )


COMPARISONS: dict[str, tuple[str, Callable[[Path, Size], str]]] = {
    "batch": ("Batch", run_batch),
    "reading": ("Reading", run_reading),
    "micro-batch": ("Micro-batch", run_micro_batch),
    "drain": ("Drain", run_drain),
    "pages": ("Pages", run_pages),
}


def main(arguments: Sequence[str]) -> None:
    """Runs the comparisons that are asked for, and writes each as soon as it has ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", choices=[[], *COMPARISONS], help="comparisons (default: all)")
    parser.add_argument("--events", type=int, default=FULL_EVENTS)
    parser.add_argument("--rounds", type=int, default=FULL_ROUNDS)
    parser.add_argument("--without-spark", action="store_true")
    parser.add_argument("--long-history", action="store_true", help="micro-batches on ten times EVENTS as well")
    parser.add_argument("--tiny", action="store_true", help="a few events, one round, no page")
    asked = parser.parse_args(arguments)
    size = (
        TINY
        if asked.tiny
        else Size(
            asked.events,
            asked.rounds,
            not asked.without_spark and _has_java(),
            (0.1, 1.0, 10.0) if asked.long_history else (0.1, 1.0),
        )
    )
    for name in asked.only or COMPARISONS:
        title, run = COMPARISONS[name]
        with _folder() as folder:
            text = f"{run(folder, size)}\n\nMeasured {pages.machine()}."
        print(f"\n## {title}\n\n{text}\n", flush=True)
        if not asked.tiny:
            pages.write({title: text})


def _has_java() -> bool:
    found = shutil.which("java") is not None
    if not found:
        print("Java is not installed, so PySpark is left out: apt-get install openjdk-17-jre-headless")
    return found


def _has_postgresql() -> bool:
    found = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        print(f"PostgreSQL is not installed, so it is left out: {INSTALL_POSTGRESQL}")
    return found


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
