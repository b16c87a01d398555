"""A hub in a process of its own: ``python -m patient_flow_tests.local_hub.hub_process FOLDER PARTITIONS [FILE_SIZE]``.

FILE_SIZE is the largest size of a file that the process may write: a small disk.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from patient_flow.local_hub.errors import HubError
from patient_flow.local_hub.server import serve


@contextmanager
def hub_process(data: Path, *, partitions: int = 2, file_size: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a hub process; it is killed at the end of the block, unless it has ended before."""
    command = [sys.executable, "-m", __name__, str(data), str(partitions)]
    command += [] if file_size is None else [str(file_size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def connection_of(process: subprocess.Popen[str]) -> str:
    """The connection string that the process prints once it is ready."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def main() -> None:
    data, partitions, *rest = sys.argv[1:]
    for file_size in rest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_size), resource.RLIM_INFINITY))
    try:
        serve(
            Path(data),
            0,
            ["patient-flow"],
            int(partitions),
            timedelta(days=7),
            lambda connection: print(connection, flush=True),  # noqa: T201
            segment_bytes=20_000,
        )
    except HubError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
