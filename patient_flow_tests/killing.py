"""Processes that are killed at random instants or race, and what they leave compared with an undisturbed pipeline.

Used by ``benchmarks.kills``, which kills hundreds. A process is forked from one that has imported this module.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from urllib.parse import unquote

from azure.eventhub import EventData, EventHubProducerClient
from azure.eventhub.exceptions import EventHubError

from patient_flow import operations
from patient_flow.cli import main as command_line
from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, WAREHOUSE_TABLES
from patient_flow.errors import PatientFlowError
from patient_flow.local_hub.server import serve
from patient_flow.pipeline import graph, load, maintenance
from patient_flow.services import Services
from patient_flow.settings import load as load_settings
from patient_flow.settings import local_hub_connection
from patient_flow_tests.builders import contents
from patient_flow_tests.e2e.processes import free_port

FORKS = mp.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
NAMED, UNNAMED = 3, 4
"""Exit codes of a process that ended with an error: one for operators, or any other."""
GENERATED = ("run_id", "ingested_at", "ingested_date", "rejected_at")
EVENTS_PER_SEND = 12
WAIT_SECONDS = 600


# --- what the processes do


def micro_batch(services: Services) -> None:
    """Every step, and the load."""
    context = operations.step_context(services, run_id="batch", now=datetime.now(UTC))
    for step in graph.STEPS:
        step.run(context)
    load.load_warehouse(services.lake, services.warehouse, WAREHOUSE_TABLES, now=datetime.now(UTC), run_id="batch")


def rebuild(services: Services) -> None:
    """As the command does."""
    list(operations.rebuild(services))


def replay(services: Services) -> None:
    """As the command does."""
    list(operations.replay_quarantine(services))


def maintain(services: Services) -> None:
    """As the hourly job does. The clock is hours ahead of the last one's, so that its lease has ended."""
    loaded = services.warehouse.loaded_versions()
    now = datetime.now(UTC) + timedelta(hours=3 * int(time.monotonic() % 1000))
    for table in LAKE_TABLES:
        maintenance.maintain(services.lake, table, loaded, now=now)


JOBS: dict[str, Callable[[Services], None]] = {job.__name__: job for job in (micro_batch, rebuild, replay, maintain)}
WEIGHTS = {"micro_batch": 5, "rebuild": 2, "replay": 1, "maintain": 2}


def run(name: str, settings: dict[str, str], log: str) -> None:
    """One process: runs a job, and says how it ended."""
    try:
        JOBS[name](Services(load_settings(settings, environ={})))
    except PatientFlowError as error:
        Path(log).write_text(f"{name}: {type(error).__name__}: {error}")
        sys.exit(NAMED)
    except BaseException:  # noqa: BLE001
        Path(log).write_text(f"{name}: {traceback.format_exc()}")
        sys.exit(UNNAMED)


def run_hub(data: str, port: int, ready: str) -> None:
    """The process of the local Event Hub."""
    serve(Path(data), port, ("patient-flow",), 2, timedelta(days=365), lambda _: Path(ready).write_text(""))


# --- the machine


@dataclass
class Field:
    """One machine: a hub, a lake, a warehouse, and what was found wrong."""

    folder: Path
    bodies: Iterator[bytes]
    rng: Random
    port: int = field(default_factory=free_port)
    acknowledged: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    hub: BaseProcess | None = None
    number: int = 0

    def settings(self, name: str = "killed") -> dict[str, str]:
        """Settings of the machine, or of the undisturbed one beside it."""
        return {
            "PATIENT_FLOW_LAKE_URI": f"{self.folder}/{name}/{{layer}}",
            "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{self.folder}/{name}/warehouse.db",
            "PATIENT_FLOW_EVENTHUB_CONNECTION": local_hub_connection(self.port),
        }

    def services(self, name: str = "killed") -> Services:
        """For this process, which only reads."""
        return Services(load_settings(self.settings(name), environ={}))

    def start_hub(self) -> None:
        """Starts the hub and waits until it accepts connections."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        self.hub = FORKS.Process(target=run_hub, args=(str(self.folder / "hub"), self.port, str(ready)), daemon=True)
        self.hub.start()
        deadline = time.monotonic() + WAIT_SECONDS
        while not ready.exists():
            if not self.hub.is_alive() or time.monotonic() > deadline:
                raise SystemExit("the hub does not start")
            time.sleep(0.02)

    def kill_hub_while_sending(self) -> None:
        """Kills the hub while a producer sends. What was acknowledged counts as sent, the rest may be there or not."""
        assert self.hub is not None
        killer = FORKS.Process(target=_kill_later, args=(self.hub.pid, self.rng.uniform(0.0, 0.6)))
        killer.start()
        for _ in range(3):
            self.send()
        killer.join()
        self.hub.join()
        self.start_hub()

    def send(self) -> None:
        """Sends the next few events to one partition."""
        bodies = list(islice(self.bodies, EVENTS_PER_SEND))
        try:
            with EventHubProducerClient.from_connection_string(
                local_hub_connection(self.port), eventhub_name="patient-flow", retry_total=0
            ) as producer:
                batch = producer.create_batch(partition_id=str(self.rng.randrange(2)))
                for body in bodies:
                    batch.add(EventData(body))
                producer.send_batch(batch)
        except (EventHubError, OSError):
            return
        self.acknowledged += bodies

    def start(self, name: str, where: str = "killed") -> BaseProcess:
        """Starts a job in a process."""
        self.number += 1
        log = self.folder / "logs" / f"{self.number}"
        log.parent.mkdir(exist_ok=True)
        process = FORKS.Process(target=run, args=(name, self.settings(where), str(log)), name=f"{self.number} {name}")
        process.start()
        return process

    def finish(self, process: BaseProcess) -> None:
        """Waits for the end of a process and judges it."""
        process.join(WAIT_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            self.faults.append(f"{process.name} did not end within {WAIT_SECONDS} s")
        elif process.exitcode == UNNAMED:
            self.faults.append((self.folder / "logs" / process.name.split()[0]).read_text())
        kind = {0: "completed", NAMED: "refused by name", UNNAMED: "failed", -9: "killed"}
        self.endings[f"{process.name.split()[1]} {kind.get(process.exitcode or 0, 'ended')}"] += 1

    def complete(self, where: str = "killed") -> None:
        """Micro-batches until the hub has nothing new: the first may lose to nothing, so each must succeed."""
        for _ in range(2):
            process = self.start("micro_batch", where)
            process.join(WAIT_SECONDS)
            if process.exitcode != 0:
                log = self.folder / "logs" / process.name.split()[0]
                self.faults.append(f"the micro-batch afterwards: {log.read_text() if log.exists() else process}")

    def kill_one(self) -> None:
        """Kills a job at a random instant of its usual time."""
        if self.rng.random() < 0.1:
            self.kill_hub_while_sending()
            self.endings["hub killed"] += 1
            return
        self.send()
        (name,) = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        process = self.start(name)
        process.join(self.rng.uniform(0.0, 1.1 * self.seconds[name]))
        process.kill()
        self.finish(process)

    def race(self) -> None:
        """Three jobs at once; in a third of the races one of them is killed."""
        self.send()
        names = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=3)
        processes = [self.start(name) for name in names]
        if self.rng.random() < 1 / 3:
            processes[0].join(self.rng.uniform(0.0, self.seconds[names[0]]))
            processes[0].kill()
        for process in processes:
            self.finish(process)

    def measure(self) -> None:
        """How long each job takes here, undisturbed."""
        for name in ("micro_batch", *JOBS):
            started = time.monotonic()
            self.finish(self.start(name))
            self.seconds[name] = time.monotonic() - started

    def compare(self, label: str) -> None:
        """Lake and warehouse against those of one undisturbed micro-batch."""
        self.complete()
        name = f"undisturbed-{self.number}"
        self.complete(name)
        killed, expected = self.services(), self.services(name)
        for table in LAKE_TABLES:
            found, wanted = (contents(each.lake, table).drop(GENERATED, strict=False) for each in (killed, expected))
            if not found.equals(wanted):
                self.faults.append(
                    f"{label}: {table.path} has {found.height} rows, {wanted.height} expected, or others"
                )
        for difference in operations.verify_warehouse(killed):
            self.faults.append(f"{label}: the warehouse differs from gold: {difference}")
        in_bronze = Counter(killed.lake.open(BRONZE_EVENTS).scan().collect()["body"].to_list())
        lost = Counter(self.acknowledged) - in_bronze
        if lost:
            self.faults.append(f"{label}: {lost.total()} acknowledged events are not in bronze")
        for each in (killed, expected):
            each.warehouse.dispose()

    def look_for_leftovers(self) -> None:
        """Maintenance without retention, days later: only files of the newest versions may be left."""
        lake, later = self.services().lake, datetime.now(UTC) + timedelta(days=40)
        maintenance.KEEP_HOURS.update(dict.fromkeys(maintenance.KEEP_HOURS, 0))
        for table in LAKE_TABLES:
            maintenance.maintain(lake, table, {}, now=later)
        list(lake.remove_leftovers(later))
        for table in LAKE_TABLES:
            folder = self.folder / "killed" / table.path
            live = {unquote(path) for path in lake.open(table).file_sizes()}
            files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
            drafts = {path for path in files if "#" in path.name or path.name.startswith(".")}
            data = {path for path in files if path.parts[0] not in ("_delta_log", "_checksums")}
            if left := sorted(map(str, drafts | {path for path in data if path.as_posix() not in live})):
                self.faults.append(f"maintenance left {left[:5]} in {table.path}")


def _kill_later(pid: int, seconds: float) -> None:
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)


def bodies_of_a_hospital(folder: Path) -> Iterator[bytes]:
    """Events of the simulator, a tenth of them corrupted; day after day."""
    for seed in range(1, 1000):
        file = folder / f"events-{seed}.jsonl"
        sys.argv = ["patient-flow", "simulate", "--days", "1", "--seed", str(seed), "--dirty", "0.1"]
        sys.argv += ["--to-file", str(file)]
        process = FORKS.Process(target=_simulate, args=(sys.argv,))
        process.start()
        process.join()
        yield from file.read_bytes().splitlines()


def _simulate(arguments: list[str]) -> None:
    sys.argv = arguments
    command_line()
