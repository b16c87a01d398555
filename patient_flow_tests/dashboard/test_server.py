"""The process: it says where it is, stops when told, and says what is wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from patient_flow.dashboard.server import DashboardError, serve
from patient_flow.services import Services
from patient_flow.settings import load

SERVE = """
from patient_flow.dashboard.server import serve
from patient_flow.services import Services
from patient_flow.settings import load
serve(Services(load()), port=0, on_ready=lambda address: print(address, flush=True))
print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_it_serves_until_a_signal_and_then_returns(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db"}
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(address + "health") as reply:
                assert reply.status == 200
            process.send_signal(number)
            assert process.stdout.read().strip() == "stopped"
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_port_that_is_taken_is_an_operators_mistake(tmp_path: Path) -> None:
    services = Services(load(environ={"PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db"}))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DashboardError, match="another --port"):
        serve(services, port=taken.getsockname()[1], on_ready=print)
