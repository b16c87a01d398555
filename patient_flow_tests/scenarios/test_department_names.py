"""Departments in no list, in several spellings: each is one department, whatever the order and split of its events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import polars as pl
import pytest

from patient_flow.contracts.tables import DIM_DEPARTMENT, FACT_PATIENT_FLOW
from patient_flow.pipeline import dimensions as steps
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms import dimensions
from patient_flow.transforms.visits import departments
from patient_flow_tests.builders import (
    EVENT_STEPS,
    at,
    contents,
    deliveries,
    event,
    run_micro_batches,
    run_step,
    snapshot,
)
from patient_flow_tests.scenarios.agreement import assert_same, everything
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS

pytestmark = pytest.mark.embedded_only("what the steps decide, on any storage")

Lakes = Callable[[int], AbstractContextManager[list[Lake]]]

LIST = [
    {"department": "Day room", "from": at("09:00").isoformat(), "to": at("10:00").isoformat()},
    {"department": "w x", "from": at("10:00").isoformat(), "to": None},
]
RECEIVED = deliveries(
    [
        event(department="w x"),
        event(department="W X", event_type="transfer", event_time=at("12:00"), bed_id="7"),
        event(department="Surgery", visit_id="v2", patient_id="p2", event_time=at("12:30")),
        event(department="W x", visit_id="v2", patient_id="p2", event_type="transfer", event_time=at("13:00")),
        snapshot(patient_id="p3", department="w X", admission_time=at("09:00"), discharge_time=None, stays=LIST),
    ]
)


def test_spellings_that_arrive_one_by_one_are_one_department_of_every_table(lakes: Lakes) -> None:
    with lakes(3) as (lake, reverse, alone):
        run_micro_batches(lake, [[delivery] for delivery in RECEIVED], DEPARTMENTS, steps=EVENT_STEPS)
        run_micro_batches(reverse, [[delivery] for delivery in reversed(RECEIVED)], DEPARTMENTS, steps=EVENT_STEPS)
        run_micro_batches(alone, [RECEIVED], DEPARTMENTS, steps=EVENT_STEPS)
        assert_same(everything(lake), everything(alone))
        assert_same(everything(reverse), everything(alone))
        inferred = contents(alone, DIM_DEPARTMENT).filter("is_inferred", pl.col("department_key") != 0)
        assert inferred["department"].sort().to_list() == ["Day room", "W X"]
        stays = contents(alone, FACT_PATIENT_FLOW).join(inferred, on="department_key")
        assert stays["department"].sort().to_list() == ["Day room", "W X", "W X", "W X"]


def test_a_smaller_spelling_changes_one_row_of_the_dimension_and_no_fact(lake: Lake) -> None:
    first, second = deliveries([event(department="w x"), event(department="W X", visit_id="v2", patient_id="p2")])
    run_micro_batches(lake, [[first]], DEPARTMENTS, steps=EVENT_STEPS)
    run_micro_batches(lake, [[second]], DEPARTMENTS, steps=EVENT_STEPS[: EVENT_STEPS.index("dim_department")])
    assert run_step("dim_department", lake, DEPARTMENTS).written.updated == 1
    assert run_step("fact_patient_flow", lake, DEPARTMENTS).written.updated == 0


def test_a_lake_of_the_former_version_joins_its_departments_with_the_next_micro_batch(
    lakes: Lakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, every spelling was a department, and one that only ``stays`` name was none."""
    with lakes(2) as (lake, alone):
        with monkeypatch.context() as former:
            former.setattr(dimensions, "fold_names", lambda names: names)
            former.setattr(departments, "fold_names", lambda names: names)
            former.setattr(steps, "_names", lambda rows: rows.select("hospital_id", "department").unique().collect())
            former.setattr(steps, "NAMING_RULES", 0)
            run_micro_batches(lake, [RECEIVED[:-1], RECEIVED[-1:]], DEPARTMENTS, steps=EVENT_STEPS)
        assert contents(lake, DIM_DEPARTMENT).filter(pl.col("department").str.to_lowercase() == "w x").height > 1
        for step in EVENT_STEPS:
            run_step(step, lake, DEPARTMENTS)
        run_micro_batches(alone, [RECEIVED], DEPARTMENTS, steps=EVENT_STEPS)
        assert_same(everything(lake), everything(alone))
