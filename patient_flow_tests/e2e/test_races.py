"""Two people start a micro-batch at the same moment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    FACT_PATIENT_FLOW,
    QUARANTINE,
    SILVER_EVENTS,
    WAREHOUSE_TABLES,
)
from patient_flow_tests.e2e.processes import Machine, Program, micro_batch
from patient_flow_tests.e2e.visits import send, visits

pytestmark = pytest.mark.long

LOST_THE_RACE = "another writer|another loader|another load committed first|stolen"
"""What a run may say that another overtook: it failed (exit code 1), wrote nothing by halves, and may be repeated."""


def race(machine: Machine) -> tuple[Program, Program]:
    """Two micro-batches from the command line, both run to their end."""
    first, second = (machine.start(name, *micro_batch()) for name in ("first", "second"))
    for program in (first, second):
        program.wait()
    return first, second


def assert_that_one_won(first: Program, second: Program) -> None:
    assert 0 in (first.wait(), second.wait()), first.output + second.output
    for program in (first, second):
        if program.wait():
            program.wait_for(LOST_THE_RACE)


def test_two_micro_batches_at_once_take_every_event_once(machine: Machine) -> None:
    """First into an empty lake, where both create the tables, then into a full one. A third run finishes the work."""
    machine.start_hub()
    sent = visits(2_000, datetime.now(UTC))
    for part in (sent[:1_500], sent[1_500:]):
        send(machine.connection, (visit.body for visit in part))
        assert_that_one_won(*race(machine))
    machine.run(*micro_batch()).assert_success()

    with machine.services() as services:
        frames = {
            table.path: services.lake.open(table).scan().collect()
            for table in (BRONZE_EVENTS, SILVER_EVENTS, QUARANTINE, *WAREHOUSE_TABLES)
        }
        in_warehouse = services.warehouse.row_counts()
    bodies = [body.decode() for body in frames[BRONZE_EVENTS.path]["body"]]
    assert sorted(bodies) == sorted(visit.body for visit in sent)
    assert frames[BRONZE_EVENTS.path].select(COORDINATES).is_unique().all()
    accepted, rejected = frames[SILVER_EVENTS.path], frames[QUARANTINE.path]
    assert accepted.height + rejected.height == len(sent)
    assert accepted.select(COORDINATES).join(rejected, on=COORDINATES, how="semi").is_empty()
    assert frames[FACT_PATIENT_FLOW.path].height == accepted.height
    for table in WAREHOUSE_TABLES:
        assert frames[table.path].select(table.key).is_unique().all(), table.path
        assert in_warehouse[table.path] == frames[table.path].height, table.path
