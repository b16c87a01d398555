"""A real ``dagster dev``, as the README starts it, asked over HTTP what its pages would show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
import pytest

from patient_flow.contracts.tables import LAKE_TABLES, WAREHOUSE_TABLES
from patient_flow_tests.e2e.processes import Machine, Program
from patient_flow_tests.e2e.visits import send, visits
from patient_flow_tests.e2e.webserver import LOCATION, Webserver, wait_for
from patient_flow_tests.schedules import stop_schedules

pytestmark = pytest.mark.long


@contextmanager
def dagster_dev(machine: Machine, *others: Program) -> Iterator[Webserver]:
    """The UI and its daemon without schedules; stopped by Ctrl-C, after which only ``others`` may be left."""
    with dg.DagsterInstance.from_config(str(machine.dagster_home)) as instance:
        stop_schedules(instance, LOCATION)
    program, port = machine.start_dagster_dev()
    server = Webserver(port)
    wait_for(server.locations)
    yield server
    assert program.interrupt() == 0, program.output[-2000:]
    machine.wait_for_silence(*others)


@pytest.mark.embedded_only("nothing is stored")
def test_without_a_hub_the_tick_is_skipped_with_a_reason_and_does_not_fail(machine: Machine) -> None:
    with dagster_dev(machine) as server:
        [location] = server.locations()
        assert (location["name"], location["loadStatus"]) == (LOCATION, "LOADED")
        assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
        [tick] = wait_for(server.ticks)
        assert (tick["status"], tick["error"]) == ("SKIPPED", None)
        assert "patient-flow hub" in tick["skipReason"]
        assert server.runs() == []


def test_a_tick_that_finds_events_starts_a_run_that_fills_every_table(machine: Machine) -> None:
    hub = machine.start_hub()
    send(machine.connection, (visit.body for visit in visits(500, datetime.now(UTC))))
    with dagster_dev(machine, hub) as server:
        [tick] = wait_for(server.ticks)
        assert (tick["status"], len(tick["runIds"])) == ("SUCCESS", 1)
        [run] = wait_for(lambda: [run for run in server.runs() if run["status"] in ("SUCCESS", "FAILURE")])
        assert (run["status"], run["jobName"], run["runId"]) == ("SUCCESS", "micro_batch", tick["runIds"][0])
        shown = server.materializations()
        checks = server.checks()
    with machine.services() as services:
        in_lake = {table.path: services.lake.open(table).row_count() for table in LAKE_TABLES}
    in_warehouse = {f"warehouse/{table.warehouse_name}": in_lake[table.path] for table in WAREHOUSE_TABLES}
    forecasts = {table.path for table in LAKE_TABLES if table.is_forecast}  # made hourly, by a job of their own
    assert shown.pop("reconciliation/differences") == {}  # a job of its own compares extracts
    counted = {key: metadata["dagster/row_count"] for key, metadata in shown.items() if key not in forecasts}
    assert counted == {path: rows for path, rows in (in_lake | in_warehouse).items() if path not in forecasts}
    assert in_lake["bronze/patient_events"] == 500
    others = {name: checks.pop(name) for name in list(checks) if name.startswith(("audit/", "reconciliation/"))}
    assert set(others.values()) == {None}  # a micro-batch does not pay for the audit, and reads no extract
    checks = {name: passed for name, passed in checks.items() if name.rpartition("/")[0] not in forecasts}
    assert len(checks) >= 1 + len(WAREHOUSE_TABLES)
    assert set(checks.values()) == {True}, checks
