"""Times that senders write where they have none: the end of a stay that is open, a date that nobody filled in."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from patient_flow.contracts.tables import FACT_PATIENT_FLOW, SILVER_EVENTS, WAREHOUSE_TABLES
from patient_flow.pipeline.load import load_warehouse
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests import oracle
from patient_flow_tests.builders import (
    NOW,
    Body,
    at,
    contents,
    deliveries,
    event,
    run_micro_batches,
    snapshot,
)
from patient_flow_tests.scenarios.agreement import assert_agreement, everything
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS
from patient_flow_tests.stacks import Stack

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

OPEN_ENDS = (
    "9999-12-31T23:59:59Z",
    "9999-12-31T00:00:00",
    "3000-01-01T00:00:00",
    "2099-12-31T00:00:00",
    "1900-01-01T00:00:00",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+02:00",
)


@pytest.fixture
def warehouse(stack: Stack) -> Iterator[Warehouse]:
    """An empty warehouse."""
    opened = Services(load(stack.settings())).warehouse
    yield opened
    opened.dispose()


def test_a_stay_whose_end_is_a_placeholder_is_open_and_holds_nothing_up(lake: Lake, warehouse: Warehouse) -> None:
    """Said in a snapshot or in an update, between ordinary micro-batches."""
    told: list[Body] = []
    for number, end in enumerate(OPEN_ENDS):
        update = {"event_type": "update", "event_time": at("11:00"), "department": None, "discharge_time": end}
        visit = {"visit_id": f"updated {number}", "patient_id": f"updated {number}"}
        told += [snapshot(patient_id=f"told {number}", discharge_time=end), event(**visit), event(**visit, **update)]
    received = deliveries([event(), *told, event(visit_id="v2", patient_id="p2", event_time=at("12:00"))])
    for batch in (received[:1], received[1:-1], received[-1:]):
        run_micro_batches(lake, [batch], DEPARTMENTS)
        load_warehouse(lake, warehouse, WAREHOUSE_TABLES, now=NOW, run_id="test")

    flagged = contents(lake, SILVER_EVENTS).filter(pl.col("quality_flags").list.contains("optional_time_is_unusable"))
    assert flagged.height == 2 * len(OPEN_ENDS)
    assert contents(lake, FACT_PATIENT_FLOW)["discharge_at"].null_count() == 2 * len(OPEN_ENDS) + 2
    verdict = oracle.validate(received, list(DEPARTMENTS.iter_rows(named=True)))
    assert_agreement(everything(lake), verdict, DEPARTMENTS)
    # The tests' day is long past, so nothing confirms these stays now (F17).
    in_bed = warehouse.query('SELECT COUNT(*) AS patients FROM "UnconfirmedStays"')
    assert in_bed["patients"].to_list() == [2 * len(OPEN_ENDS) + 2]
    years = warehouse.query('SELECT MIN(year) AS first, MAX(year) AS last FROM "DimTime"').row(0)
    assert years == (2020, 2036)  # the last hour of 2035 is 2036 already in Paris
