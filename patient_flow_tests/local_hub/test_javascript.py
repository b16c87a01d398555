"""Microsoft's JavaScript client works with the hub: ``javascript_client.cjs`` runs eight cases."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.required import require_npm_package, require_program

PROGRAM = Path(__file__).with_name("javascript_client.cjs")


def node_with_package() -> tuple[str, str]:
    """Path of Node.js, and the ``NODE_PATH`` on which Microsoft's client is found."""
    node = require_program("node", "apt-get install nodejs npm")
    return node, str(require_npm_package("@azure/event-hubs", "6.0.4"))


def test_the_javascript_client_passes_all_its_cases(tmp_path: Path) -> None:
    node, node_path = node_with_package()
    with HubThread(tmp_path / "hub") as hub:
        command = [node, str(PROGRAM), hub.connection, "patient-flow"]
        environment = os.environ | {"NODE_PATH": node_path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.endswith("8 passed, 0 failed\n"), done.stdout + done.stderr
