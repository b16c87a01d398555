"""Each corruption does what its name states."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from patient_flow.simulator import corruption
from patient_flow.simulator.corruption import Case, Corruption, Delivery

AT = datetime(2026, 11, 1, 10, 15, tzinfo=UTC)
NOW = datetime(2026, 11, 16, 8, tzinfo=UTC)
LIFECYCLE = {
    "schema_version": "1.0",
    "event_id": "E1",
    "event_type": "admission",
    "visit_id": "V1",
    "event_time": AT,
    "patient_id": "4613224c-5f70-47b2-8a8a-3fffeec01aa9",
    "hospital_id": 3,
    "department": "Emergency",
    "gender": "Female",
    "age": 42,
    "admission_time": AT,
    "bed_id": 1001,
}
REFERENCE = {
    "patient_id": "4613224c-5f70-47b2-8a8a-3fffeec01aa9",
    "gender": "Female",
    "age": 42,
    "department": "Emergency",
    "admission_time": AT.replace(tzinfo=None),
    "discharge_time": AT.replace(tzinfo=None) + timedelta(hours=30),
    "bed_id": 311,
    "hospital_id": 3,
    "wait_minutes": 30.5,
    "discharge_status": "home",
}


def corrupt(kind: Corruption, event: dict[str, Any] = LIFECYCLE, seed: int = 1) -> list[Delivery]:
    return kind(Case(event, Random(seed), NOW))


def only(kind: Corruption, event: dict[str, Any] = LIFECYCLE, seed: int = 1) -> dict[str, Any]:
    (delivery,) = corrupt(kind, event, seed)
    assert delivery.delay == 0
    decoded: dict[str, Any] = json.loads(delivery.body)
    return decoded


@pytest.mark.parametrize("kind", corruption.CORRUPTIONS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("event", [LIFECYCLE, REFERENCE], ids=["lifecycle", "reference"])
def test_each_corruption_applies_to_any_event_and_does_not_change_the_event_itself(
    kind: Corruption, event: dict[str, Any]
) -> None:
    before = dict(event)
    for seed in range(20):
        deliveries = corrupt(kind, event, seed)
        assert deliveries
        assert deliveries == corrupt(kind, event, seed)
        assert all(delivery.delay > 0 or b"\n" not in delivery.body for delivery in deliveries)
    assert event == before


def test_ages_are_out_of_range() -> None:
    assert 101 <= only(corruption.age_too_high)["age"] <= 150
    assert only(corruption.age_negative)["age"] < 0


@pytest.mark.parametrize(("event", "field"), [(LIFECYCLE, "event_time"), (REFERENCE, "admission_time")])
def test_a_future_time_lies_1_to_72_hours_after_now_and_a_planned_discharge_moves_along(
    event: dict[str, Any], field: str
) -> None:
    corrupted = only(corruption.time_in_the_future, event)
    ahead = datetime.fromisoformat(corrupted[field]).replace(tzinfo=UTC) - NOW
    assert timedelta(hours=1) <= ahead <= timedelta(hours=72)
    if "discharge_time" in event:
        stay = datetime.fromisoformat(corrupted["discharge_time"]) - datetime.fromisoformat(corrupted["admission_time"])
        assert stay == event["discharge_time"] - event["admission_time"]


def test_a_missing_field_is_missing_and_nothing_else_changes() -> None:
    corrupted = only(corruption.field_missing)
    assert len(set(LIFECYCLE) - set(corrupted)) == 1
    assert all(corrupted[name] == value for name, value in LIFECYCLE.items() if name in corrupted and value != AT)


def test_words_are_misspelt() -> None:
    assert only(corruption.department_misspelt)["department"] == "Emergancy"
    assert only(corruption.department_misspelt, {**LIFECYCLE, "department": "ICU"})["department"] == "  icu "
    assert only(corruption.department_misspelt, {**LIFECYCLE, "department": "Oncology"})["department"] == "  oncology "
    assert only(corruption.gender_misspelt)["gender"] in {"M", "f", "?", "FEMALE", ""}


def test_a_second_delivery_has_the_same_body() -> None:
    first, second = corrupt(corruption.delivered_twice)
    assert first.body == second.body
    assert first.delay == 0


def test_a_reused_id_comes_with_another_body() -> None:
    first, second = corrupt(corruption.event_id_reused)
    assert json.loads(first.body)["event_id"] == json.loads(second.body)["event_id"]
    assert first.body != second.body
    assert second.delay > 0


@pytest.mark.parametrize("event", [LIFECYCLE, REFERENCE], ids=["lifecycle", "reference"])
def test_a_discharge_lies_before_the_admission(event: dict[str, Any]) -> None:
    corrupted = only(corruption.discharge_before_admission, event)
    assert datetime.fromisoformat(corrupted["discharge_time"]) < datetime.fromisoformat(corrupted["admission_time"])


def test_a_body_is_no_json_no_utf8_or_no_object() -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(corrupt(corruption.json_truncated)[0].body)
    with pytest.raises(UnicodeDecodeError):
        corrupt(corruption.utf8_invalid)[0].body.decode()
    for seed in range(10):
        assert not isinstance(json.loads(corrupt(corruption.not_an_object, seed=seed)[0].body), dict)


def test_the_contract_is_another_one() -> None:
    assert only(corruption.version_unsupported)["schema_version"] == "2.0"
    assert only(corruption.event_type_unknown)["event_type"] not in {"admission", "visit_snapshot"}
    assert set(only(corruption.field_unknown)) - set(LIFECYCLE) == {"priority", "insurance"}


def test_a_late_event_is_correct_but_late() -> None:
    (delivery,) = corrupt(corruption.delivered_late)
    assert delivery.delay >= 20
    assert json.loads(delivery.body)["event_id"] == "E1"
