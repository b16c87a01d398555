"""Microsoft's .NET client works with the hub: a program of twelve cases that stands outside the project."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from patient_flow.local_hub.testing import HubThread

ROOT = Path(__file__).parents[2]
PROGRAM = (
    Path(os.environ.get("PATIENT_FLOW_TOOLS", ROOT.parent / "shared" / "tools")).resolve() / "eventhubs-dotnet-check"
)

pytestmark = pytest.mark.skipif(
    not PROGRAM.is_file(),
    reason="the .NET client's program is not here: set PATIENT_FLOW_TOOLS to the folder of eventhubs-dotnet-check",
)


def test_the_net_client_passes_all_its_cases(tmp_path: Path) -> None:
    own = {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "DOTNET_BUNDLE_EXTRACT_BASE_DIR": str(tmp_path / "net")}
    with HubThread(tmp_path / "hub") as hub:
        command = [str(PROGRAM), hub.connection, "patient-flow"]
        done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout.endswith("12 passed, 0 failed\n"), done.stdout + done.stderr
