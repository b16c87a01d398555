"""Microsoft's JavaScript client works with the hub: ``javascript_client.cjs`` runs eight cases."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.required import require, require_program

PACKAGE = "@azure/event-hubs"
INSTALL = f"npm install --global {PACKAGE}@6.0.4"
PROGRAM = Path(__file__).with_name("javascript_client.cjs")


def node_with_package() -> tuple[str, str]:
    """Path of Node.js, and the ``NODE_PATH`` on which Microsoft's client is found."""
    node, npm = require_program("node", "apt-get install nodejs npm"), require_program("npm", "apt-get install npm")
    shared = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True).stdout.strip()
    folders = [folder for folder in (*os.environ.get("NODE_PATH", "").split(os.pathsep), shared) if folder]
    require(any(Path(folder, PACKAGE).is_dir() for folder in folders), f"the package {PACKAGE}", INSTALL)
    return node, os.pathsep.join(folders)


def test_the_javascript_client_passes_all_its_cases(tmp_path: Path) -> None:
    node, node_path = node_with_package()
    with HubThread(tmp_path / "hub") as hub:
        command = [node, str(PROGRAM), hub.connection, "patient-flow"]
        environment = os.environ | {"NODE_PATH": node_path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.endswith("8 passed, 0 failed\n"), done.stdout + done.stderr
