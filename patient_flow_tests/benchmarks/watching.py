"""What benchmarks look at while processes run: whose a process is, its memory, bytes on disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from patient_flow.stores.warehouse.errors import WarehouseError


@contextlib.contextmanager
def folder_for(kept: Path | None) -> Iterator[Path]:
    """The folder asked for, which stays, or one that is deleted afterwards."""
    if kept is not None:
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="patient-flow-") as folder:
        yield Path(folder)


def every(seconds: float, over: threading.Event, look: Callable[[], None]) -> None:
    """Looks again and again until it is over; a look that found somebody busy is missed."""
    while not over.wait(seconds):
        with contextlib.suppress(OSError, WarehouseError, ValueError):
            look()


def program_of(pid: int) -> str:
    """Which part of the deployment a process belongs to."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    joined = " ".join(command)
    for word, name in (
        ("multiprocessing.spawn", "run"),
        ("resource_tracker", "run"),
        ("dagster._daemon", "daemon"),
        ("daemon run", "daemon"),
        ("webserver", "webserver"),
        ("api grpc", "code server"),
        ("code-server", "code server"),
        ("orchestration.dev", "dagster dev"),
        (" dev", "dagster dev"),
        (" hub", "hub"),
        (" simulate", "simulator"),
        (" dashboard", "dashboard"),
    ):
        if word in joined:
            return name
    return "other"


def pss_mib(pid: int) -> float:
    """Proportional share of memory, MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("\nPss:")[1].split()[0]) / 1024


def size_mib(path: Path) -> float:
    """Bytes that a file or folder takes on disk, MiB."""
    if path.is_file():
        return path.stat().st_blocks * 512 / 2**20
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += Path(folder, name).stat().st_blocks * 512
    return total / 2**20


def peak_mib(pid: int) -> float:
    """Most memory that a process has had so far (resident, shared pages included), MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("\nVmHWM:")[1].split()[0]) / 1024
