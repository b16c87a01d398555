"""With a fraction of the processor: slower, never stuck."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from patient_flow_tests.e2e.processes import Machine, free_port
from patient_flow_tests.e2e.quota import quota
from patient_flow_tests.e2e.webserver import Webserver, wait_for

SECONDS = 1200.0
PROCESSORS = 0.5
"""Of the two that the demo usually has. With a tenth it also comes up, but later than a test may take."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS)]


def test_the_demo_comes_up_and_its_first_micro_batch_succeeds(tmp_path: Path) -> None:
    with Machine(tmp_path / "machine", has_settings=False) as machine:
        ui = free_port()
        ports = ("--hub-port", str(machine.hub_port), "--ui-port", str(ui), "--dashboard-port", str(free_port()))
        demo = machine.start("demo", "patient-flow", "demo", "--days", "0.01", "--speed", "60", *ports)
        with quota(machine, PROCESSORS / (os.cpu_count() or 1)):
            demo.wait_for("micro-batch 1: ", seconds=SECONDS)
        server = Webserver(ui)
        finished = wait_for(lambda: [run for run in server.runs() if run["status"] in ("SUCCESS", "FAILURE")])
        assert {run["status"] for run in finished} == {"SUCCESS"}
        assert demo.interrupt() == 0, demo.output[-2000:]
        machine.wait_for_silence()
