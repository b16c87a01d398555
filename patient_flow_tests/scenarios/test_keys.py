"""Every key of a fact finds its row: no fact points into nothing, whenever its events happened."""

from __future__ import annotations

import pytest

from patient_flow.contracts.tables import (
    DIM_DEPARTMENT,
    DIM_PATIENT,
    DIM_TIME,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
    KPI_DEPARTMENT_DAY,
    Table,
)
from patient_flow.stores.lake import Lake
from patient_flow_tests.builders import contents, deliveries, event, run_micro_batches
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS
from patient_flow_tests.stacks import Stack

REFERENCES = (
    (FACT_PATIENT_FLOW, "patient_key", DIM_PATIENT, "patient_key"),
    (FACT_PATIENT_FLOW, "department_key", DIM_DEPARTMENT, "department_key"),
    (FACT_PATIENT_FLOW, "from_department_key", DIM_DEPARTMENT, "department_key"),
    (FACT_PATIENT_FLOW, "arrival_time_key", DIM_TIME, "time_key"),
    (FACT_PATIENT_FLOW, "admission_time_key", DIM_TIME, "time_key"),
    (FACT_PATIENT_FLOW, "discharge_time_key", DIM_TIME, "time_key"),
    (FACT_BED_CENSUS, "department_key", DIM_DEPARTMENT, "department_key"),
    (FACT_BED_CENSUS, "time_key", DIM_TIME, "time_key"),
    (KPI_DEPARTMENT_DAY, "department_key", DIM_DEPARTMENT, "department_key"),
)


@pytest.fixture(scope="module")
def filled(stack: Stack) -> Lake:
    """Somebody in bed since long before the calendar begins, somebody in a department nobody listed."""
    lake = Lake(stack.lake_uri())
    long_ago = event(event_time="2017-11-30T10:00:00")
    helipad = event(visit_id="v2", patient_id="p2", department="Helipad")
    moved = event(visit_id="v2", patient_id="p2", event_type="transfer", event_time="2026-03-20T12:00:00")
    run_micro_batches(lake, [deliveries([long_ago, helipad, moved])], DEPARTMENTS)
    return lake


@pytest.mark.parametrize(
    ("table", "column", "dimension", "key"), REFERENCES, ids=lambda item: item.name if isinstance(item, Table) else item
)
def test_every_key_is_in_its_dimension(table: Table, column: str, dimension: Table, key: str, filled: Lake) -> None:
    pointing, known = contents(filled, table)[column], contents(filled, dimension)[key]
    assert set(pointing) - set(known) == set()
    assert known.n_unique() == len(known)
