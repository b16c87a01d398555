"""Every key of a fact finds its row: no fact points into nothing, whenever its events happened.

Nearly all of them happen in the calendar's years; the rest tests when DimTime grows beyond, and what that costs.
"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
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
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms import calendar
from patient_flow_tests.builders import contents, deliveries, event, run_micro_batches, snapshot
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS
from patient_flow_tests.stacks import Stack

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

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


HOURS = ("accept_events", "dim_time")
ENQUEUED = (datetime(2033, 5, 2, tzinfo=UTC), datetime(2039, 4, 2, tzinfo=UTC))


def years(lake: Lake) -> list[int]:
    """The UTC years whose hours DimTime has."""
    hours = contents(lake, DIM_TIME)["hour_start_at"].drop_nulls()
    return hours.dt.year().unique().sort().to_list()


def test_an_existing_year_is_added_without_reading_the_history(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans for the year after the calendar's last one, in one micro-batch after the other."""
    received = deliveries(
        snapshot(patient_id=f"p{number}", discharge_time="2036-02-01T00:00:00") for number in range(6)
    )
    run_micro_batches(lake, [received[:5]], DEPARTMENTS, steps=HOURS)
    version = lake.open(DIM_TIME).version
    looked_at = []
    look = calendar.years_outside_calendar

    def looking(rows: pl.LazyFrame, columns: tuple[str, ...]) -> set[int]:
        looked_at.append(rows.collect().height if "event_time" in columns else 0)
        return look(rows, columns)

    with monkeypatch.context() as patch:
        patch.setattr(calendar, "years_outside_calendar", looking)
        run_micro_batches(lake, [received[5:]], DEPARTMENTS, steps=HOURS)
    assert max(looked_at) == 1
    assert lake.open(DIM_TIME).version == version + 1, "the progress"
    assert years(lake) == list(range(2020, 2037))


def test_hours_from_before_midnights_were_marked_are_marked_by_the_next_micro_batch(lake: Lake) -> None:
    run_micro_batches(lake, [deliveries([event()])], DEPARTMENTS)
    marked, opened = contents(lake, DIM_TIME), lake.open(DIM_TIME)
    opened.overwrite(marked.with_columns(is_day_start=None), {})
    run_micro_batches(lake, [deliveries([snapshot()])], DEPARTMENTS)
    assert contents(lake, DIM_TIME).equals(marked)


def test_years_between_a_plan_and_the_calendar_come_when_the_time_has_come(lake: Lake) -> None:
    """The plan's year is there long before; an open stay spans those in between once events are as late as that."""
    planned = snapshot(admission_time="2033-05-01T10:00:00", discharge_time="2039-05-01T10:00:00")
    seen = event(event_time="2039-04-01T10:00:00")
    batches = [deliveries([body], start=at) for body, at in zip((planned, seen), ENQUEUED, strict=True)]
    run_micro_batches(lake, batches[:1], DEPARTMENTS, steps=HOURS)
    assert years(lake) == [*range(2020, 2036), 2039]
    run_micro_batches(lake, [[batches[1][0]._replace(number=1)]], DEPARTMENTS, steps=HOURS)
    assert years(lake) == list(range(2020, 2040))


def test_a_year_goes_with_the_only_event_that_named_it(lake: Lake) -> None:
    """The event loses its identity to one that reached the hub before it."""
    first, second = (event(admission_time=time) for time in ("2026-03-20T09:00:00", "2017-03-20T09:00:00"))
    received = deliveries([first, second, event(visit_id="v2", admission_time="2018-01-01T00:00:00")], partitions=2)
    run_micro_batches(lake, [received[1:]], DEPARTMENTS, steps=HOURS)
    assert years(lake) == list(range(2017, 2036))
    run_micro_batches(lake, [received[:1]], DEPARTMENTS, steps=HOURS)
    assert years(lake) == list(range(2018, 2036))
