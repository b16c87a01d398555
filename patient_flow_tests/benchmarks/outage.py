"""The outage drill: the hub is away, producers keep their events, it comes back, and nobody lifts a hand.

    python -m patient_flow_tests.benchmarks.outage --hours 3 --rate 200

Runs hub and ``dagster dev`` as processes on a machine of their own (a throw-away folder, free ports, a Dagster home of
its own). A few micro-batches flow; the hub's process is killed; the ticks of ``event_hub_backlog`` and of ``alerts``
must name it. Then the hub starts again on its folder, and everything that was produced in the hours of the outage is
sent to it as fast as it takes it. From there on the drill only watches until the warehouse has everything, and tells:

* the micro-batches: how many events each read, how long it took, the most memory that its process had;
* when each layer had everything, counted from the hub's return;
* that hub = bronze = silver + quarantine in each partition, gold = warehouse in each table, no two runs side by side,
  and the alert closed.

Exit code 1 when one of these does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from patient_flow.contracts.tables import BRONZE_EVENTS, QUARANTINE, SILVER_EVENTS, WAREHOUSE_TABLES, Table
from patient_flow.services import Services
from patient_flow.simulator import departments
from patient_flow.simulator.feed import Message, Plan, messages
from patient_flow.simulator.sending import CHUNK, hub_sink
from patient_flow.stores.hub import HubState
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.benchmarks.watching import every, folder_for, peak_mib, program_of
from patient_flow_tests.e2e.processes import Machine
from patient_flow_tests.e2e.webserver import Webserver, wait_for

SECOND = 1_000_000
HUB_PARTITIONS = 4
DOWN = "hub down"
BUSY = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


@dataclass
class Watched:
    """What was seen of the processes while it ran."""

    peaks: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Process of a run → when it was first seen (epoch seconds) and its most memory, MiB."""
    others: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def main() -> None:
    """Runs the drill and prints its figures."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--hours", type=float, default=3.0, help="of events that the producers keep")
    asked.add_argument("--rate", type=float, default=200.0, help="events a second in those hours")
    asked.add_argument("--away", type=float, default=60.0, help="seconds that the hub is really away, at least")
    asked.add_argument("--patience", type=float, default=60.0, help="minutes to catch up before the drill gives up")
    asked.add_argument("--max-events", type=int, default=500_000, help="PATIENT_FLOW_MAX_EVENTS_PER_RUN")
    asked.add_argument("--folder", type=Path, help="keep everything there (default: a folder that is deleted)")
    options = asked.parse_args()
    with folder_for(options.folder) as folder, Machine(folder) as machine:
        ok = _Drill(machine, options).run()
    sys.exit(0 if ok else 1)


class _Drill:
    def __init__(self, machine: Machine, options: argparse.Namespace) -> None:
        self._machine = machine
        self._options = options
        self._watched = Watched()
        self._began = time.time()

    def run(self) -> bool:
        """True when everything held."""
        options, machine = self._options, self._machine
        feed = _feed(options.hours, options.rate)
        hub = machine.start_hub("--partitions", str(HUB_PARTITIONS))
        limit = {"PATIENT_FLOW_MAX_EVENTS_PER_RUN": str(options.max_events)}
        dagster, port = machine.start_dagster_dev(**limit)
        server, over = Webserver(port), threading.Event()
        watcher = threading.Thread(target=every, args=(1.0, over, self._look_at_memory))
        watcher.start()
        try:
            before = self._daily_life(feed, server)
            self._say("the hub is killed")
            hub.kill()
            self._outage(server)
            machine.start_hub("--partitions", str(HUB_PARTITIONS))
            back = time.time()
            kept = int(options.hours * 3600 * options.rate)
            self._say(f"the hub is back on its folder; sending the {kept:,} events that the producers kept")
            sent = self._send(islice(feed, kept))
            self._say(f"{sent:,} sent, {sent / (time.time() - back):,.0f} a second")
            self._catch_up(server, back)
            told = wait_for(lambda: _tick_after(server, "alerts", back, lambda said: DOWN not in said), 300)
        finally:
            over.set()
            watcher.join()
        self._say(f"alerts, {told['timestamp'] - back:.0f} s after the hub's return: {told['skipReason']}")
        ok = self._print_runs(server, back)
        ok &= self._reconcile(before + sent)
        dagster.interrupt()
        return ok

    def _say(self, line: str) -> None:
        print(f"{time.time() - self._began:7.0f} s  {line}", flush=True)

    def _send(self, feed: Iterator[Message]) -> int:
        sent = 0
        with self._machine.services() as services:
            sink = hub_sink(services.settings, sleep=time.sleep, report=self._say)
            with contextlib.closing(sink):
                while chunk := list(islice(feed, CHUNK)):
                    for group in sink.send(chunk):
                        sent += len(group)
        return sent

    def _daily_life(self, feed: Iterator[Message], server: Webserver) -> int:
        """Two micro-batches as in daily life; gives how many events they were."""
        sent, a_minute = 0, int(60 * self._options.rate)
        for number in (1, 2):
            sent += self._send(islice(feed, a_minute))
            wait_for(lambda wanted=number: len(_batches(server, "SUCCESS")) >= wanted, 600)  # type: ignore[misc]
            self._say(f"micro-batch {number} is done: {sent:,} events sent so far")
        wait_for(lambda: not _batches(server, *BUSY), 600)
        return sent

    def _outage(self, server: Webserver) -> None:
        down = time.time()
        named = wait_for(lambda: _tick_after(server, "event_hub_backlog", down, lambda said: "hub" in said), 300)
        self._say(f"event_hub_backlog, {named['timestamp'] - down:.0f} s after: {named['skipReason']}")
        opened = wait_for(lambda: _tick_after(server, "alerts", down, lambda said: DOWN in said), 300)
        self._say(f"alerts, {opened['timestamp'] - down:.0f} s after: {opened['skipReason']}")
        time.sleep(max(0.0, down + self._options.away - time.time()))
        self._say(f"the hub was away for {time.time() - down:.0f} s")

    def _catch_up(self, server: Webserver, back: float) -> None:
        """Watches until the warehouse has everything, and says when each layer had."""
        done: set[str] = set()

        def look() -> bool:
            with self._machine.services() as services:
                reached = _reached(services)
            for layer in reached - done:
                done.add(layer)
                self._say(f"{layer} has everything {time.time() - back:.0f} s after the hub's return")
            return len(done) == len(LAYERS) and not _batches(server, *BUSY)

        wait_for(look, 60 * self._options.patience)

    def _look_at_memory(self) -> None:
        for pid in self._machine.processes():
            with contextlib.suppress(OSError, IndexError):
                name, peak = program_of(pid), peak_mib(pid)
                if name == "run":
                    first, most = self._watched.peaks.get(pid, (time.time(), 0.0))
                    self._watched.peaks[pid] = (first, max(most, peak))
                else:
                    self._watched.others[name] = max(self._watched.others[name], peak)

    def _peak_between(self, start: float, end: float) -> float:
        return max((peak for first, peak in self._watched.peaks.values() if start <= first <= end), default=0.0)

    def _print_runs(self, server: Webserver, back: float) -> bool:
        runs = sorted(_batches(server), key=lambda run: run["creationTime"])
        with self._machine.services() as services:
            read = dict(services.lake.open(BRONZE_EVENTS).scan().group_by("run_id").len().collect().iter_rows())
        print(f"\n{'micro-batch':<14}{'status':<10}{'events':>10}{'asked by':>20}{'waited s':>10}{'took s':>8}", end="")
        print(f"{'events/s':>10}{'peak MiB':>10}")
        for number, run in enumerate(runs, start=1):
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            start, end = run["startTime"] or run["creationTime"], run["endTime"] or time.time()
            events, took = read.get(run["runId"], 0), end - start
            print(
                f"{number:<14}{run['status']:<10}{events:>10,}{tags.get('dagster/sensor_name', ''):>20}"
                f"{start - run['creationTime']:>10.1f}{took:>8.1f}{events / took:>10,.0f}"
                f"{self._peak_between(run['creationTime'], end):>10,.0f}"
            )
        caught = [run for run in runs if run["creationTime"] > back]
        lives = [(run["startTime"], run["endTime"]) for run in runs if run["startTime"] and run["endTime"]]
        overlaps = sum(after[0] < earlier[1] for earlier, after in itertools.pairwise(sorted(lives)))
        failed = sum(run["status"] != "SUCCESS" for run in runs)
        print(f"{len(caught)} micro-batches since the hub's return; {failed} not successful; {overlaps} side by side")
        print("most memory of the others, MiB: ", end="")
        print(", ".join(f"{name} {peak:,.0f}" for name, peak in sorted(self._watched.others.items())))
        return not failed and not overlaps

    def _reconcile(self, sent: int) -> bool:
        with self._machine.services() as services:
            state, lake = services.hub.peek(), services.lake
            columns = (_in_hub(state), *(_by_partition(lake, t) for t in (BRONZE_EVENTS, SILVER_EVENTS, QUARANTINE)))
            rows = {t: (lake.open(t).row_count(), services.warehouse.row_counts()[t.path]) for t in WAREHOUSE_TABLES}
        ok = columns[0].total() >= sent
        print(f"\n{'partition':<26}{'hub':>12}{'bronze':>12}{'silver':>12}{'quarantine':>12}")
        for part in sorted(columns[0]):
            hub, bronze, silver, quarantine = (column[part] for column in columns)
            ok &= hub == bronze == silver + quarantine
            print(f"{part:<26}{hub:>12,}{bronze:>12,}{silver:>12,}{quarantine:>12,}")
        print(f"{'all':<26}" + "".join(f"{column.total():>12,}" for column in columns) + f"   ({sent:,} sent)")
        print(f"\n{'table':<26}{'gold':>12}{'warehouse':>12}")
        for table, (gold, loaded) in rows.items():
            ok &= gold == loaded
            print(f"{table.warehouse_name:<26}{gold:>12,}{loaded:>12,}")
        print("everything is accounted for" if ok else "NOT everything is accounted for")
        return ok


LAYERS = ("bronze", "silver", "gold", "warehouse")


def _feed(hours: float, rate: float) -> Iterator[Message]:
    """Events at ``rate`` that end about now; the first two minutes' worth of them are for the time before."""
    began = int((time.time() - hours * 3600 - 180) * SECOND)
    return messages(
        Plan(
            seed=7,
            start=began,
            now=began,
            departments=departments.load(""),
            zone=ZoneInfo("Europe/Paris"),
            dirty=0.02,
            rate=rate,
        )
    )


def _reached(services: Services) -> set[str]:
    """Layers that have everything that the hub holds, each from the one before."""
    lake, warehouse = services.lake, services.warehouse
    in_hub = _in_hub(services.hub.peek()).total()
    counts = {table: lake.open(table).row_count() for table in (BRONZE_EVENTS, SILVER_EVENTS, QUARANTINE)}
    reached = set()
    if counts[BRONZE_EVENTS] == in_hub:
        reached.add("bronze")
    if reached and counts[SILVER_EVENTS] + counts[QUARANTINE] == in_hub:
        reached.add("silver")
        silver = lake.open(SILVER_EVENTS).version
        tables = {table: lake.open(table) for table in WAREHOUSE_TABLES}
        # not every table is made of silver's events, and the last of them is made after all others
        consumed = {table: made.checkpoint(SILVER_EVENTS.path) for table, made in tables.items()}
        if set(consumed.values()) <= {None, silver} and consumed[_NEWEST] == silver:
            reached.add("gold")
            loaded = warehouse.loaded_versions()
            if all(loaded[table.path] == made.version for table, made in tables.items()):
                reached.add("warehouse")
    return reached


_NEWEST = WAREHOUSE_TABLES[-1]


def _in_hub(state: HubState) -> Counter[str]:
    return Counter(
        {part.partition_id: part.last_sequence_number + 1 - part.first_sequence_number for part in state.partitions}
    )


def _by_partition(lake: Lake, table: Table) -> Counter[str]:
    counted = lake.open(table).scan().group_by("partition_id").len().collect()
    return Counter(dict(counted.iter_rows()))


def _batches(server: Webserver, *statuses: str) -> list[dict[str, Any]]:
    answer = server.ask(
        """{ runsOrError(filter: { pipelineName: "micro_batch" }) { ... on Runs { results {
            runId status creationTime startTime endTime tags { key value } } } } }"""
    )
    return [run for run in answer["runsOrError"]["results"] if not statuses or run["status"] in statuses]


def _tick_after(server: Webserver, sensor: str, moment: float, wanted: Any) -> dict[str, Any] | None:
    """The first finished tick after ``moment`` (epoch seconds) whose sentence is the one wanted."""
    ticks = [
        tick for tick in server.ticks(sensor, 100) if tick["timestamp"] > moment and wanted(tick["skipReason"] or "")
    ]
    return ticks[-1] if ticks else None


if __name__ == "__main__":
    main()
