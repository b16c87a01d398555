"""The dashboard on a large warehouse, SQLite and PostgreSQL: first page, filters, periods, lists, many viewers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from patient_flow_tests.benchmarks import dashboard_warehouse, report
from patient_flow_tests.benchmarks.sizes import Size
from patient_flow_tests.stacks import Servers

TITLE = "Pages"
VIEWERS = 20
START_SECONDS = 600
FILTERS = ("?department=ICU", "?hospital=1", "?gender=Female", "?age=65-79", "?hospital=1&department=ICU&age=80%2B")
FIRST, AGAIN = "first page, nothing in memory", "the page again"
SERVE = """
from patient_flow.dashboard.server import serve
from patient_flow.services import Services
from patient_flow.settings import load
serve(Services(load()), port=0, on_ready=lambda address: print(address, flush=True))
"""


def run(folder: Path, size: Size) -> report.Section:
    """Pages of a dashboard process on each kind of warehouse."""
    with warehouses(folder, size) as urls:
        found = {}
        for name, url in urls.items():
            dashboard_warehouse.build(url, size.stays, copies=2)
            found[name] = answers(url)
    rows = [[answer, *(f"{seconds[answer]:.2f}" for seconds in found.values())] for answer in found["SQLite"]]
    pages = ", ".join(f"{name} {seconds[AGAIN]:.2f} s" for name, seconds in found.items())
    return report.Section(
        f"{size.stays:,} stays and {size.stays // dashboard_warehouse.STAYS_PER_ATTENDANCE:,} attendances in 98 "
        "departments. Seconds to the last byte of each answer; every page has the board.\n\n"
        + report.table(["", *found], rows),
        f"a page on {size.stays:,} stays: {pages}",
    )


@contextmanager
def warehouses(folder: Path, size: Size) -> Iterator[dict[str, str]]:
    """URLs of new warehouses by name."""
    with contextlib.ExitStack() as running:
        urls = {"SQLite": f"sqlite:///{folder}/warehouse.db"}
        if size.has_postgresql:
            urls["PostgreSQL"] = running.enter_context(Servers()).new_url()
        yield urls


@contextmanager
def dashboard(url: str) -> Iterator[str]:
    """The address of a dashboard process on the warehouse at ``url``."""
    environment = {**os.environ, "PATIENT_FLOW_WAREHOUSE_URL": url}
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> dict[str, float]:
    """Seconds of each answer of a new process, from the first to its last byte; the board is on every page."""
    found: dict[str, float] = {}
    with dashboard(url) as address:
        found[FIRST] = seconds(address)
        began = time.perf_counter()
        _wait_for(address, 'id="board"')
        found["… until it has its figures"] = time.perf_counter() - began
        _wait_for(address, "arrivals-table")
        found[AGAIN] = seconds(address)
        for query in (*FILTERS, "?search=Card"):
            found[f"filter {query}"] = seconds(address + query)
        _wait_for(address + "?days=28", 'id="board"')
        found["filter ?days=28"] = seconds(address + "?days=28")
        for of in ("in_beds", "delayed", "waiting"):
            found[f"list of patients, {of}"] = seconds(f"{address}patients?of={of}")
        together = time.perf_counter()
        with ThreadPoolExecutor(VIEWERS) as viewers:
            list(viewers.map(seconds, [address + "figures"] * VIEWERS))
        found[f"{VIEWERS} viewers at once, all answered"] = time.perf_counter() - together
    return found


def _wait_for(address: str, part: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while part not in text(address):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{address} has no {part} within {START_SECONDS} s")
        time.sleep(0.1)


def seconds(address: str) -> float:
    """Time to the last byte of an answer."""
    began = time.perf_counter()
    text(address)
    return time.perf_counter() - began


def text(address: str) -> str:
    """An answer."""
    with urllib.request.urlopen(address) as reply:
        return str(reply.read().decode())
