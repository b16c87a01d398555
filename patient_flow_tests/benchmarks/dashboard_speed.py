"""How long the dashboard takes on a warehouse: first page, filter changes, periods, many viewers, memory.

    python -m patient_flow_tests.benchmarks.dashboard_warehouse big.db --stays 10000000
    python -m patient_flow_tests.benchmarks.dashboard_speed big.db [--chromium /usr/bin/chromium]

Prints; asserts nothing. With Chromium it also says when a browser showed the first content, and the changed filter.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

VIEWERS = 20
FILTERS = ("?department=ICU", "?hospital=1", "?gender=Female", "?age=65-79", "?hospital=1&department=ICU&age=80%2B")
SERVE = """
from patient_flow.dashboard.server import serve
from patient_flow.services import Services
from patient_flow.settings import load
serve(Services(load()), port=0, on_ready=lambda address: print(address, flush=True))
"""
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@contextmanager
def dashboard(url: str) -> Iterator[tuple[str, int]]:
    """A dashboard process on the warehouse at ``url``: its address and its process id."""
    environment = {**os.environ, "PATIENT_FLOW_WAREHOUSE_URL": url}
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> dict[str, float]:
    """Seconds of each answer of a new process, from the first to its last byte; the board is on every page."""
    found: dict[str, float] = {}
    with dashboard(url) as (address, _):
        found["first page, nothing in memory"] = seconds(address)
        began = time.perf_counter()
        _wait_for(address, 'id="board"')
        found["… until it has its figures"] = time.perf_counter() - began
        _wait_for(address, "arrivals-table")
        found["the page again"] = seconds(address)
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
    while part not in text(address):
        time.sleep(0.1)


def measure(path: Path, chromium: str) -> None:
    """Prints every figure."""
    began = time.perf_counter()
    with dashboard(f"sqlite:///{path.resolve()}") as (address, pid):
        say("process start to ready", time.perf_counter() - began)
        say("first answer, nothing in memory", seconds(address))
        while 'id="cards"' not in text(address):
            time.sleep(0.1)
        say("process start to first figures", time.perf_counter() - began)
        say("the same page again", seconds(address))
        for query in FILTERS:
            say(f"filter {query}", seconds(address + query))
        while 'id="cards"' not in text(address + "?days=28"):
            time.sleep(0.1)
        say("process start to 28 days", time.perf_counter() - began)
        say("filter ?days=28", seconds(address + "?days=28"))
        say("filter ?days=28&age=65-79", seconds(address + "?days=28&age=65-79"))
        together = time.perf_counter()
        with ThreadPoolExecutor(VIEWERS) as viewers:
            list(viewers.map(seconds, [address + "figures"] * VIEWERS))
        say(f"{VIEWERS} viewers at once, all answered", time.perf_counter() - together)
        print(f"{'resident memory':<42} {resident(pid):>8.0f} MB")
        if chromium:
            browse(address, chromium)


def browse(address: str, chromium: str) -> None:
    """What a browser sees of it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM))
        for width in (1440, 390):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto(address)
            page.wait_for_selector("#cards")
            painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            say(f"first content in the browser, {width} px", painted / 1000)
            began = time.perf_counter()
            page.locator("select[name=department]").select_option("ICU")
            page.wait_for_selector("#hours .chart")
            say(f"filter change in the browser, {width} px", time.perf_counter() - began)
        browser.close()


def seconds(address: str) -> float:
    """Time to the last byte of an answer."""
    began = time.perf_counter()
    text(address)
    return time.perf_counter() - began


def text(address: str) -> str:
    """An answer."""
    with urllib.request.urlopen(address) as reply:
        return str(reply.read().decode())


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def say(what: str, took: float) -> None:
    """One line."""
    print(f"{what:<42} {took:>8.3f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--chromium", default="", help="path of the program")
    given = parser.parse_args()
    measure(given.path, given.chromium)
