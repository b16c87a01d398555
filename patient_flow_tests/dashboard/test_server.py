"""The process: it says where it is, stops when told, and says what is wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from patient_flow.dashboard.server import DashboardError, serve
from patient_flow.services import Services
from patient_flow.settings import load

SERVE = """
from patient_flow.dashboard.access import SignIn
from patient_flow.dashboard.server import Options, serve
from patient_flow.services import Services
from patient_flow.settings import load
options = Options(SignIn("X-User", trusted_proxies=("{proxy}",))) if "{proxy}" else None
serve(Services(load()), port=0, on_ready=lambda address: print(address, flush=True), options=options)
print("stopped")
"""


@contextlib.contextmanager
def served(folder: Path, proxy: str = "", **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A dashboard in a process of its own, and its address; with a ``proxy`` to trust it signs viewers in."""
    settings = {"PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db"}
    command = [sys.executable, "-c", SERVE.format(proxy=proxy)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings, **environment}
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_it_serves_until_a_signal_and_then_returns(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path) as (process, address):
        with urllib.request.urlopen(address + "health") as reply:
            assert reply.status == 200
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.read().strip() == "stopped"
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("proxy", "client", "expected"),
    [
        pytest.param("127.0.0.1", "203.0.113.9", 200, id="a viewer behind the trusted proxy"),
        pytest.param("203.0.113.9", "203.0.113.9", 403, id="somebody who pretends to be the trusted proxy"),
    ],
)
def test_sign_in_headers_count_only_from_a_trusted_peer_whatever_forwarded_headers_state(
    tmp_path: Path, proxy: str, client: str, expected: int
) -> None:
    with served(tmp_path, proxy, FORWARDED_ALLOW_IPS="*") as (_, address):
        asked = urllib.request.Request(address, headers={"X-User": "a. martin", "X-Forwarded-For": client})
        try:
            with urllib.request.urlopen(asked) as reply:
                status = reply.status
        except urllib.error.HTTPError as refused:
            status = refused.code
            refused.close()
    assert status == expected


def test_a_port_that_is_taken_is_an_operators_mistake(tmp_path: Path) -> None:
    services = Services(load(environ={"PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db"}))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DashboardError, match="another --port"):
        serve(services, port=taken.getsockname()[1], on_ready=print)
