"""Open stays that nothing confirms, and visit numbers that stand for two visits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from patient_flow.contracts.tables import DIM_DEPARTMENT, FACT_ED_ATTENDANCE, FACT_PATIENT_FLOW, Table
from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.rules import stays

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(table: Table, *rows: dict[str, Any]) -> pl.LazyFrame:
    filled = [{"department_key": 1, "quality_flags": [], "last_enqueued_at": NOW, **row} for row in rows]
    return pl.DataFrame(filled, schema=table.schema).lazy()


DEPARTMENTS = pl.DataFrame(
    [{"department_key": 1, "hospital_id": "1", "department": "ICU"}], schema=DIM_DEPARTMENT.schema
).lazy()


def confirmed(*facts: dict[str, Any], attended: dict[str, Any] | None = None) -> Finding:
    attendances = rows(FACT_ED_ATTENDANCE, *([attended] if attended else []))
    return stays.stays_confirmed(rows(FACT_PATIENT_FLOW, *facts), attendances, DEPARTMENTS, now=NOW)


def unambiguous(*facts: dict[str, Any]) -> Finding:
    none = rows(FACT_ED_ATTENDANCE)
    return stays.visit_numbers_unambiguous(rows(FACT_PATIENT_FLOW, *facts), none, DEPARTMENTS, now=NOW)


def test_stays_that_ended_or_are_confirmed_are_no_finding() -> None:
    ended = {"discharge_at": NOW - DAY}
    assert confirmed(ended, {"confirmed_until": NOW}, {"confirmed_until": NOW + DAY}).is_ok


def test_an_open_stay_that_nothing_confirms_is_a_warning_that_names_its_department() -> None:
    finding = confirmed({"confirmed_until": NOW - DAY}, attended={"confirmed_until": NOW - DAY})
    assert not finding.is_ok
    assert not finding.is_error
    assert list(finding.rows) == [{"hospital_id": "1", "department": "ICU", "stays": 1, "attendances": 1}]


def test_a_plan_that_has_come_true_ended_the_stay() -> None:
    planned = {"discharge_at": NOW - DAY, "confirmed_until": NOW - DAY}
    assert confirmed(planned).is_ok


def test_a_visit_number_under_two_scopes_is_a_warning_as_long_as_it_is_used() -> None:
    flagged = {"quality_flags": ["visit_number_has_two_scopes"]}
    assert not unambiguous(flagged).is_ok
    assert unambiguous(flagged | {"last_enqueued_at": NOW - 31 * DAY}).is_ok
    assert unambiguous({"quality_flags": ["gender_is_unknown"]}).is_ok


def test_visits_that_wait_to_be_made_again_are_counted() -> None:
    assert stays.visits_recomputed(0).is_ok
    found = stays.visits_recomputed(1_200)
    assert not found.is_ok
    assert not found.is_error
    assert "1,200 visits" in found.message
