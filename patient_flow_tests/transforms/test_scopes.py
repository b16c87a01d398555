"""Scopes of numbers (flow F2): which visits and patients are one, and which are two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts.columns import INSTANT
from patient_flow.transforms.accept import candidates, validate
from patient_flow.transforms.bodies import Interpretation, Interpreter
from patient_flow.transforms.keys import pseudonyms
from patient_flow.transforms.read import ParserConfig, read_events

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ADMISSION = {
    "event_type": "admission",
    "visit_id": "1001",
    "patient_id": "77",
    "hospital_id": 3,
    "department": "ICU",
    "event_time": "2026-11-20T10:15:00Z",
}


def policy(**scopes: str) -> tuple[Interpreter, ...]:
    """A mapping that changes nothing but the scopes."""

    def interpret(_: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
        return None if value is None else Interpretation((value,), **scopes)

    return (interpret,)


def silver(mappings: tuple[Interpreter, ...] = (), **changes: Any) -> dict[str, Any]:
    bronze = pl.DataFrame(
        {
            "hub_created_at": pl.Series([NOW], dtype=INSTANT),
            "partition_id": ["0"],
            "sequence_number": pl.Series([0], dtype=pl.Int64),
            "enqueued_at": pl.Series([NOW], dtype=INSTANT),
            "body": [json.dumps({**ADMISSION, **changes}).encode()],
        }
    )
    departments = pl.DataFrame({"hospital_id": ["3"], "department": ["ICU"]})
    validated = validate(read_events(bronze, ParserConfig(departments, "a key", mappings)))
    return candidates(validated, "a key").row(0, named=True)


def visit(mappings: tuple[Interpreter, ...] = (), **changes: Any) -> str:
    return str(silver(mappings, **changes)["visit_id"])


def patient(mappings: tuple[Interpreter, ...] = (), **changes: Any) -> str:
    return str(silver(mappings, **changes)["patient_id"])


def test_a_visit_number_belongs_to_its_hospital_and_a_patient_number_to_the_network() -> None:
    assert visit() != visit(hospital_id=4)
    assert patient() == patient(hospital_id=4)


def test_an_assigner_makes_the_number_its_own_in_every_hospital() -> None:
    assert visit(visit_assigner="NORTH") == visit(visit_assigner="NORTH", hospital_id=4)
    assert visit(visit_assigner="NORTH") != visit(visit_assigner="SOUTH")
    assert patient(patient_assigner="NORTH") != patient()
    assert patient(patient_assigner="NORTH") != patient(patient_assigner="SOUTH")


def test_a_hospital_and_an_assigner_of_one_name_are_two_scopes() -> None:
    assert visit(visit_assigner="3") != visit()


@pytest.mark.parametrize(
    ("scope", "is_one_across_hospitals", "is_one_across_assigners"),
    [
        ("network", True, True),
        ("hospital", False, True),
        ("assigner", False, False),
        ("Region North", True, True),
    ],
)
def test_a_mapping_decides_what_numbers_are_unique_in(
    scope: str, is_one_across_hospitals: bool, is_one_across_assigners: bool
) -> None:
    one = policy(visit_scope=scope, patient_scope=scope)
    assert (visit(one) == visit(one, hospital_id=4)) is is_one_across_hospitals
    assert (visit(one) == visit(one, visit_assigner="A")) is is_one_across_assigners
    assert (patient(one) == patient(one, patient_assigner="A")) is is_one_across_assigners


def test_sources_that_share_numbers_name_the_same_text() -> None:
    north, south = policy(patient_scope="North"), policy(patient_scope="South")
    assert patient(north) == patient(north, patient_assigner="A", hospital_id=9)
    assert patient(north) != patient(south)


def test_a_patient_number_of_the_network_keeps_the_pseudonym_that_it_had_before_there_were_scopes() -> None:
    assert patient() == pseudonyms(pl.Series(["77"]), "a key", "patient").item()


def test_one_number_of_a_hospital_is_found_under_all_its_scopes() -> None:
    numbers = {
        silver(mappings, **changes)["visit_number_hash"]
        for mappings, changes in (
            ((), {}),
            ((), {"visit_assigner": "A"}),
            (policy(visit_scope="network"), {}),
            (policy(visit_scope="North"), {}),
        )
    }
    assert len(numbers) == 1
    assert silver(hospital_id=4)["visit_number_hash"] not in numbers
    assert silver(visit_id="1002")["visit_number_hash"] not in numbers


def test_a_merge_gives_up_the_number_of_the_same_scope_unless_it_names_another() -> None:
    merge = {"event_type": "merge_patient", "visit_id": None, "merged_patient_id": "66", "patient_assigner": "A"}
    plain = silver(**merge)
    assert plain["merged_patient_id"] == patient(patient_id="66", patient_assigner="A")
    assert (plain["visit_id"], plain["visit_hash"]) == (None, None)
    assert plain["merged_patient_hash"] == silver(patient_id="66", patient_assigner="A")["patient_hash"]
    other = silver(**merge, merged_patient_assigner="B")
    assert other["merged_patient_id"] == patient(patient_id="66", patient_assigner="B")
