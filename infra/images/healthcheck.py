"""Container health: is the part that runs here alive? Exits 0 when it is. Standard library only, so that it is quick.

What process 1 is tells the part: ports answer for the servers, fresh heartbeats in PostgreSQL for the daemon.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

SECONDS = 5.0


def is_healthy(command: str) -> bool:
    """True when the part started by ``command`` answers."""
    if "dagster-webserver" in command:
        with urllib.request.urlopen("http://127.0.0.1:3000/server_info", timeout=SECONDS) as reply:
            return bool(reply.status == 200)
    if "dagster-daemon" in command:
        return subprocess.run(["dagster-daemon", "liveness-check"], check=False, timeout=60).returncode == 0  # noqa: S607
    port = next((port for part, port in (("grpc", 4000), ("dashboard", 8050)) if part in command), None)
    if port is None:
        return True  # a command that ends by itself
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS):
        return True


if __name__ == "__main__":
    try:
        healthy = is_healthy(Path("/proc/1/cmdline").read_text().replace("\0", " "))
    except (OSError, subprocess.TimeoutExpired):
        healthy = False
    sys.exit(0 if healthy else 1)
