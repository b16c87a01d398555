"""The benchmark suite: the product beside its peers, results compared before a time is written.

    uv run python -m patient_flow_tests.benchmarks                        all parts; half an hour on two idle cores
    uv run python -m patient_flow_tests.benchmarks --only batch --only drain
    uv run python -m patient_flow_tests.benchmarks --size large           a million events and more; hours
    uv run python -m patient_flow_tests.benchmarks --only memory --size huge     a rebuild of 20 million events
    uv run python -m patient_flow_tests.benchmarks --size tiny            whether all parts still run; writes nothing

Each part is written as soon as it has ended: its section to ``infra/docs/benchmarks.md``, one row to the README. A
part that fails is reported, and the others still run; the exit code is 1 then.
PySpark needs Java 17 and gets an environment of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from patient_flow_tests.benchmarks import (
    batch,
    cluster,
    commits,
    dashboard,
    drain,
    erasure,
    housekeeping,
    importing,
    latency,
    measuring,
    memory,
    micro_batch,
    network,
    reading,
    report,
    run_start,
    warehouse_load,
)
from patient_flow_tests.benchmarks.sizes import SIZES, Size
from patient_flow_tests.servers import INSTALL_POSTGRESQL


class Part(Protocol):
    """A module that measures one thing."""

    TITLE: str

    def run(self, folder: Path, size: Size) -> report.Section:
        """Measures in ``folder``, which is empty and deleted afterwards; histories beside it serve several parts."""


PARTS: dict[str, Part] = {
    "batch": batch,
    "reading": reading,
    "micro-batch": micro_batch,
    "drain": drain,
    "start": run_start,
    "latency": latency,
    "warehouse": warehouse_load,
    "dashboard": dashboard,
    "memory": memory,
    "import": importing,
    "network": network,
    "erasure": erasure,
    "commits": commits,
    "run-history": housekeeping,
    "cluster": cluster,
}


def main(arguments: Sequence[str]) -> None:
    """Runs the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--size", choices=SIZES, default="standard")
    parser.add_argument("--rounds", type=int, help="runs of each side, of which the median counts")
    parser.add_argument("--without-spark", action="store_true")
    asked = parser.parse_args(arguments)
    size = SIZES[asked.size]
    size = dataclasses.replace(
        size,
        rounds=asked.rounds or size.rounds,
        has_spark=size.has_spark and not asked.without_spark and _has_java(),
        has_postgresql=size.has_postgresql and _has_postgresql(),
    )
    measuring.saves_processes = asked.size == "tiny"
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        failed = [
            name for name in asked.only or PARTS if not _succeeds(name, Path(folder), size, writes=asked.size != "tiny")
        ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _succeeds(name: str, folder: Path, size: Size, *, writes: bool) -> bool:
    try:
        _run(name, folder, size, writes=writes)
    except Exception:  # noqa: BLE001 - whatever it is, the other parts do not depend on it
        print(f"{name} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return False
    return True


def _run(name: str, folder: Path, size: Size, *, writes: bool) -> None:
    part, place = PARTS[name], folder / name
    place.mkdir()
    section = part.run(place, size)
    shutil.rmtree(place)
    text = f"{section.text}\n\nMeasured {report.machine()}."
    print(f"\n## {part.TITLE}\n\n{text}\n\n{section.summary}\n", flush=True)
    if writes:
        report.write({part.TITLE: text})
        report.summarize({part.TITLE: section.summary}, [one.TITLE for one in PARTS.values()])


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


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # so that every process that it started ends
    main(sys.argv[1:])
