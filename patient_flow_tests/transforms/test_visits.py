"""The fold of events into stays: every example of ``infra/docs/visits.md``, and what holds for all events."""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.transforms import dimensions
from patient_flow.transforms.visits.fold import Folded, fold
from patient_flow_tests.builders import (
    ZONE,
    Body,
    accepted,
    at,
    deliveries,
    department,
    department_list,
    event,
    snapshot,
)
from patient_flow_tests.examples import max_examples
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS

PAGE = Path(__file__).parents[2] / "infra" / "docs" / "visits.md"
FEW_ORDERS = 24


CLASSES = {"Emergency": "emergency", "ICU": "critical_care", "Surgery": "inpatient", "Radiology": "other"}
LISTED: pl.DataFrame = department_list(*(department(department=name) for name in CLASSES)).with_columns(
    pl.col("department").replace_strict(CLASSES).alias("class")
)
"""The departments of the page's examples."""


class Example(NamedTuple):
    """One section of the page: events in, stays out, and the attendance where the section has one."""

    title: str
    events: list[dict[str, str]]
    stays: list[dict[str, str]]
    attendances: list[dict[str, str]]


def examples_of(page: str) -> list[Example]:
    """Every section with tables: events, stays, and maybe the attendance."""
    found = []
    for section in re.split(r"^###? ", page, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        tables = [_rows(block) for block in re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)]
        if tables:
            events, stays, *attendances = tables
            found.append(Example(title, events, stays, attendances[0] if attendances else []))
    return found


def _rows(block: str) -> list[dict[str, str]]:
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


EXAMPLES = examples_of(PAGE.read_text(encoding="utf-8"))


def body_of(row: dict[str, str]) -> Body:
    """The event that one line of the page describes."""
    said: dict[str, Any] = dict(part.strip().split(" ", 1) for part in row["states"].split(",") if part.strip())
    said = {name: at(value) if name.endswith("_time") else value for name, value in said.items()}
    said = {name: float(value) if name.endswith("_minutes") else value for name, value in said.items()}
    if row["event"] == "visit_snapshot":
        return snapshot(
            event_type=row["event"],
            visit_id="v1",
            admission_time=at(row["at"]),
            department=row["department"],
            **{"bed_id": None, "discharge_time": None, **said},
        )
    return event(event_type=row["event"], event_time=at(row["at"]), department=row["department"] or None, **said)


def line_of(stay: dict[str, Any], columns: list[str]) -> dict[str, str]:
    """``stay`` as the page would write it."""
    wait = f"{stay['wait_minutes']:g} {stay['wait_source']}" if stay["wait_minutes"] is not None else ""
    written = {
        "stay": str(stay["stay_number"]),
        "department": stay["department"],
        "kind": stay["stay_kind"],
        "came from": stay["from_department"] or "",
        "from": _clock(stay["admission_at"]),
        "until": _clock(stay["discharge_at"]),
        "arrived": _clock(stay["arrival_at"]),
        "planned": _clock(stay["planned_discharge_at"]),
        "confirmed until": _clock(stay["confirmed_until"]),
        "wait": wait,
        "bed": stay["bed_id"] or "",
        "starts visit": "yes" if stay["is_visit_start"] else "no",
        "ends visit": "yes" if stay["is_visit_end"] else "no",
        "hours": _number(stay["length_of_stay_hours"]),
        "visit hours": _number(stay["visit_length_of_stay_hours"]),
        "nights": _number(stay["nights"]),
        "status": stay["discharge_status"] or "",
        "flags": ", ".join(stay["quality_flags"]),
    }
    return {name: written[name] for name in columns}


def attendance_of(row: dict[str, Any], columns: list[str]) -> dict[str, str]:
    """An attendance as the page would write it."""
    written = {
        "arrived": _clock(row["arrival_at"]),
        "departed": _clock(row["departure_at"]),
        "outcome": row["outcome"] or "",
        "minutes": _number(row["minutes_in_department"]),
        "boarding": _number(row["boarding_minutes"]),
        "confirmed until": _clock(row["confirmed_until"]),
        "flags": ", ".join(row["quality_flags"]),
    }
    return {name: written[name] for name in columns}


def folded(silver: pl.DataFrame, listed: pl.DataFrame = LISTED) -> Folded:
    """The facts of all events in ``silver``."""
    departments = dimensions.department_versions(listed, silver.select("hospital_id", "department"))
    return fold(silver, departments, unconfirmed_days=90, zone=ZONE)


def _clock(instant: datetime | None) -> str:
    if instant is None:
        return ""
    days = (instant - at("00:00")).days
    return f"{instant:%H:%M}" + (f" {days:+}" if days else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def test_the_page_has_examples_to_run() -> None:
    assert len(EXAMPLES) >= 25
    assert len({example.title for example in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_the_events_of_each_example_give_its_stays_in_any_order(example: Example) -> None:
    """In every order of arrival to us; the hub's own times stay with the events."""
    received = deliveries([body_of(row) for row in example.events])
    silver = accepted(received, LISTED)
    assert silver.height == len(received)
    for order in list(permutations(range(silver.height)))[:FEW_ORDERS]:
        facts = folded(silver[list(order)])
        columns = list(example.stays[0]) if example.stays else []
        assert [line_of(stay, columns) for stay in facts.stays.iter_rows(named=True)] == example.stays
        if example.attendances:
            columns = list(example.attendances[0])
            rows = facts.attendances.iter_rows(named=True)
            assert [attendance_of(row, columns) for row in rows] == example.attendances


def test_a_visit_without_a_placement_or_an_attendance_is_counted_as_waiting() -> None:
    silver = accepted([event(event_type="triage", department="ICU"), event(visit_id="v2")], LISTED)
    assert (folded(silver).visits, folded(silver).waiting) == (2, 1)


def test_a_transfer_to_the_same_department_of_another_hospital_is_a_move() -> None:
    """The department where the patient already lies is a department of one hospital."""
    silver = accepted(
        [
            event(hospital_id=1, visit_assigner="network"),
            event(event_type="transfer", hospital_id=2, visit_assigner="network", event_time=at("12:00")),
        ],
        LISTED,
    )
    assert folded(silver).stays.select("hospital_id", "stay_number").rows() == [("1", 1), ("2", 2)]


def test_flags_of_a_visit_are_named_once_and_sorted() -> None:
    silver = accepted([event(age=130, gender="?"), event(event_type="triage", department=None, age=130)], LISTED)
    assert folded(silver).stays["quality_flags"].to_list() == [["age_is_out_of_range", "gender_is_unknown"]]


def test_no_events_give_no_stays() -> None:
    facts = folded(accepted([], LISTED))
    assert facts.stays.is_empty()
    assert facts.attendances.is_empty()
    assert (facts.visits, facts.waiting) == (0, 0)


@max_examples(25)
@given(hospital_days.deliveries(hospital_days.messy_days()), st.randoms(use_true_random=False))
def test_stays_of_a_visit_follow_each_other_and_never_end_before_they_begin(
    received: list[Any], dice: random.Random
) -> None:
    silver = accepted(received, DEPARTMENTS)
    facts = folded(silver, DEPARTMENTS)
    other = folded(silver.sample(fraction=1, shuffle=True, seed=dice.randrange(99)), DEPARTMENTS)
    assert facts.stays.equals(other.stays)
    assert facts.attendances.equals(other.attendances)
    stays = facts.stays
    assert stays.filter(pl.col("discharge_at") < pl.col("admission_at")).is_empty()
    for visit in stays.partition_by("visit_id"):
        assert visit["stay_number"].to_list() == list(range(1, visit.height + 1))
        assert visit["is_visit_start"].sum() <= 1
        assert visit["is_visit_end"].sum() <= 1
        assert visit["discharge_at"][:-1].null_count() == 0


def test_a_length_of_stay_does_not_depend_on_how_many_are_measured_at_once() -> None:
    """18,060.06 seconds are 301.001 minutes; multiplied by a sixtieth they would be 301.00100000000003."""
    bodies = [
        event(event_type="arrival", event_time=at("08:00")),
        event(event_time=at("08:00") + timedelta(seconds=18060.06)),
        event(visit_id="v2", patient_id="p2"),
    ]
    together = folded(accepted(bodies, LISTED)).stays.filter(pl.col("wait_minutes").is_not_null())
    alone = folded(accepted(bodies[:2], LISTED)).stays
    assert together["wait_minutes"].to_list() == alone["wait_minutes"].to_list() == [301.001]


@pytest.mark.parametrize("seconds", [18_060.06, 12_000, 7_777.777777])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_length_of_stay_is_the_exact_quotient(seconds: float, number: int) -> None:
    bodies = [
        body
        for visit in (f"v{turn}" for turn in range(number))
        for body in (
            event(visit_id=visit, event_time=at("08:00")),
            event(visit_id=visit, event_type="discharge", event_time=at("08:00") + timedelta(seconds=seconds)),
        )
    ]
    stays = folded(accepted(bodies, LISTED)).stays
    assert stays["length_of_stay_hours"].to_list() == [round(seconds * 1e6) / 3_600_000_000] * number
