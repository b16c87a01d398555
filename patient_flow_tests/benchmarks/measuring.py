"""Commands run side by side, in turn, each as a process of its own: wall time, CPU time and peak memory of its tree.

Figures of a command are medians of its rounds. A slow moment of the machine meets every command of its round alike, so
ratios between commands hold where seconds do not.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any

import psutil

SAMPLE_SECONDS = 0.1
MOST_SAMPLE_SECONDS = 1.0
SAMPLE_SHARE = 0.02
"""Of one core's time: the memory of a large process takes milliseconds to add up."""
LIMIT_SECONDS = 3600.0
"""A command that runs longer is stuck, and is ended."""
saves_processes = False
"""Set where nobody reads the figures: modules then run in this process, which has imported everything."""


class CommandFailed(RuntimeError):
    """A measured command ended with an error."""


class ResultsDiffer(RuntimeError):
    """Two commands of a comparison do not come to the same result, so their times say nothing."""


@dataclass(frozen=True)
class Figures:
    """One run, or the medians of several. ``steps`` are seconds by name, as the command prints them."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    steps: dict[str, float]


@dataclass(frozen=True)
class Contender:
    """One side of a comparison.

    ``command`` prepares a run (outside the measured time) and gives its command line; ``result`` gives what the last
    run came to, to be compared with the others.
    """

    name: str
    command: Callable[[], Sequence[str]]
    result: Callable[[], dict[str, Any]]


def measure(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    limit_seconds: float = LIMIT_SECONDS,
) -> Figures:
    """Runs ``command`` once, with ``environment`` added to this process's own.

    A JSON object that it prints may have ``steps``. Raises :class:`CommandFailed` when it fails or exceeds the limit.
    """
    if saves_processes and list(command[:2]) == [sys.executable, "-m"]:
        return _measure_here(*command[2:])
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began = perf_counter()
        process = subprocess.Popen(
            command, stdout=out, stderr=errors, env={**os.environ, **(environment or {})}, cwd=folder
        )
        with _watched(process.pid, limit_seconds) as tree:
            _, status, usage = os.wait4(process.pid, 0)
        wall = perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            reason = (
                f"did not end within {limit_seconds:,.0f} s" if tree.is_ended else f"ended with {process.returncode}"
            )
            raise CommandFailed(f"{' '.join(command)} {reason}: {errors.read()[-2000:]}")
        printed = [json.loads(line) for line in out if line.startswith("{")]
    steps = printed[-1].get("steps", {}) if printed else {}
    cpu = max(usage.ru_utime + usage.ru_stime, sum(tree.cpu_seconds.values()))
    return Figures(wall, cpu, tree.peak_mib, steps)


def _measure_here(module: str, *arguments: str) -> Figures:
    wall, cpu, out = perf_counter(), process_time(), io.StringIO()
    with contextlib.redirect_stdout(out):
        importlib.import_module(module).main(*arguments)
    printed = [json.loads(line) for line in out.getvalue().splitlines() if line.startswith("{")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Figures(perf_counter() - wall, process_time() - cpu, peak, printed[-1].get("steps", {}) if printed else {})


def compare(contenders: Sequence[Contender], rounds: int, report: Callable[[str], None] = print) -> dict[str, Figures]:
    """Medians by name of ``rounds`` runs each, in turn.

    Raises :class:`ResultsDiffer`, before any figure is given, when a result is not that of the first contender.
    """
    runs: dict[str, list[Figures]] = {one.name: [] for one in contenders}
    for number in range(1, rounds + 1):
        for one in contenders:
            runs[one.name].append(measure(one.command()))
            if number == 1:
                report(f"{one.name}: round 1 of {rounds} has ended")
        if number == 1:
            require_equal(contenders[0], contenders[1:])
    return {name: median(figures) for name, figures in runs.items()}


def require_equal(first: Contender, others: Sequence[Contender]) -> None:
    """Compares the result of ``first`` with those ``others`` whose results are of the same kind."""
    wanted = first.result()
    for other in others:
        found = other.result()
        differing = [
            f"{name}: {wanted[name]} and {found[name]}" for name in found if not _is_equal(wanted[name], found[name])
        ]
        if differing:
            raise ResultsDiffer(f"{first.name} and {other.name} differ in {'; '.join(differing)}")


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return abs(one - other) <= 1e-9 * max(abs(one), abs(other))
    return bool(one == other)


def median(runs: Sequence[Figures]) -> Figures:
    """Each figure's median."""

    def of(value: Callable[[Figures], float]) -> float:
        return statistics.median(value(run) for run in runs)

    return Figures(
        of(lambda run: run.wall_seconds),
        of(lambda run: run.cpu_seconds),
        of(lambda run: run.peak_mib),
        {name: of(lambda run, name=name: run.steps[name]) for name in runs[0].steps},
    )


@dataclass
class _Tree:
    """A process and its descendants, sampled. Pages that they share count once each (PSS).

    The kernel adds up the CPU time of children that were waited for. Java is not: PySpark leaves it behind.
    """

    peak_mib: float = 0.0
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    is_ended: bool = False
    """Whether it exceeded its limit."""

    def sample(self, pid: int) -> None:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        self.peak_mib = max(self.peak_mib, sum(_mib(one) for one in family))
        for one in family:
            times = one.cpu_times()
            self.cpu_seconds[one.pid] = times.user + times.system

    def end(self, pid: int) -> None:
        self.is_ended = True
        for one in (*psutil.Process(pid).children(recursive=True), psutil.Process(pid)):
            with contextlib.suppress(psutil.Error):
                one.kill()


@contextlib.contextmanager
def _watched(pid: int, limit_seconds: float) -> Iterator[_Tree]:
    tree, ended, deadline = _Tree(), threading.Event(), perf_counter() + limit_seconds

    def sample() -> None:
        pause = SAMPLE_SECONDS
        while not ended.wait(pause):
            spent = thread_time()
            with contextlib.suppress(psutil.Error):
                tree.sample(pid)
                if perf_counter() > deadline:
                    tree.end(pid)
            pause = min(max(SAMPLE_SECONDS, (thread_time() - spent) / SAMPLE_SHARE), MOST_SAMPLE_SECONDS)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield tree
    finally:
        ended.set()
        sampler.join()


def _mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 2**20
    except psutil.Error:
        return 0.0
