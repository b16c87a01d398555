"""Escalation levels: thresholds, the four pressures worked by hand, runs of levels, and mistakes in the file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.escalation import DEFAULT, EscalationError, Pressure, Thresholds, parse_thresholds
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.transforms.escalation import levels, pressures, spans

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAYS = pl.Schema(
    {
        "hospital_id": pl.String,
        "class": pl.String,
        "staffed_beds": pl.Int64,
        **dict.fromkeys(
            ("admission_at", "discharge_at", "confirmed_until", "ready_at", "planned_discharge_at"), INSTANT
        ),
    }
)
ATTENDANCES = pl.Schema(
    {
        "hospital_id": pl.String,
        **dict.fromkeys(("arrival_at", "departure_at", "decision_at", "confirmed_until"), INSTANT),
    }
)
DEPARTMENTS = pl.DataFrame(
    {
        "hospital_id": ["1", "1", "1"],
        "class": [None, "emergency", "inpatient"],
        "staffed_beds": [10, 5, None],
        "valid_from": [NOON - 1000 * HOUR] * 3,
        "valid_to": [None] * 3,
    },
    schema_overrides={"valid_from": INSTANT, "valid_to": INSTANT},
)


def stay(kind: str | None = None, beds: int | None = 10, **times: datetime | None) -> dict[str, object]:
    return {"hospital_id": "1", "class": kind, "staffed_beds": beds, "admission_at": NOON - 30 * HOUR, **times}


def attendance(**times: datetime | None) -> dict[str, object]:
    return {"hospital_id": "1", "arrival_at": NOON - 20 * HOUR, **times}


def judged(
    stays: list[dict[str, object]], attendances: list[dict[str, object]], *instants: datetime, by: Thresholds = DEFAULT
) -> pl.DataFrame:
    found = pressures(
        pl.DataFrame(stays, schema=STAYS),
        pl.DataFrame(attendances, schema=ATTENDANCES),
        DEPARTMENTS,
        pl.Series(instants or (NOON,), dtype=INSTANT),
    )
    return levels(found, by)


def at_noon(stays: list[dict[str, object]], attendances: list[dict[str, object]]) -> dict[str, object]:
    return judged(stays, attendances).row(0, named=True)


@pytest.mark.parametrize(
    ("value", "level"), [(None, 1), (0.0, 1), (91.9, 1), (92.0, 2), (94.9, 2), (95.0, 3), (98.0, 4), (130.0, 4)]
)
def test_a_threshold_is_reached_when_it_is_met(value: float | None, level: int) -> None:
    assert DEFAULT.level(Pressure.OCCUPANCY, value) == level


def test_occupancy_is_that_of_headline_departments_with_known_beds() -> None:
    found = at_noon([*[stay()] * 9, stay("emergency", 5), stay("inpatient", None)], [])
    assert found["occupancy_pct"] == 90
    assert (found["level"], found["deciding"]) == (1, [])


def test_a_patient_counts_from_admission_to_discharge_and_while_confirmed() -> None:
    stays = [
        stay(admission_at=NOON),
        stay(discharge_at=NOON),
        stay(discharge_at=NOON + HOUR),
        stay(confirmed_until=NOON),
        stay(confirmed_until=NOON - HOUR),
        stay(admission_at=NOON + HOUR),
    ]
    found = judged(stays, [], NOON - HOUR, NOON, NOON + HOUR)["occupancy_pct"].to_list()
    assert found == [40, 30, 20]


def test_the_longest_wait_is_that_of_the_oldest_decision_that_still_waits() -> None:
    attendances = [
        attendance(decision_at=NOON - 9 * HOUR),
        attendance(decision_at=NOON - 15 * HOUR, departure_at=NOON - HOUR),
        attendance(),
    ]
    found = judged([], attendances, NOON - 2 * HOUR, NOON)
    assert found["longest_wait_hours"].to_list() == [13, 9]
    assert found["level"].to_list() == [4, 4]
    assert found["boarding_pct"].to_list() == pytest.approx([200 / 3, 50])


def test_a_wait_of_exactly_four_hours_does_not_board() -> None:
    found = at_noon([], [attendance(decision_at=NOON - 4 * HOUR), attendance()])
    assert (found["longest_wait_hours"], found["boarding_pct"], found["level"]) == (4, 0, 2)
    assert found["deciding"] == ["longest_wait_hours"]


def test_delayed_patients_are_those_past_their_ready_time_or_else_their_plan() -> None:
    stays = [
        stay("emergency", planned_discharge_at=NOON),
        stay("emergency", ready_at=NOON + HOUR, planned_discharge_at=NOON - HOUR),
        *[stay("emergency")] * 8,
    ]
    found = at_noon(stays, [])
    assert (found["delayed_pct"], found["level"], found["deciding"]) == (10, 2, ["delayed_pct"])


def test_the_level_is_the_highest_that_any_pressure_reaches() -> None:
    found = at_noon([*[stay(ready_at=NOON - HOUR)] * 2, *[stay()] * 8], [])
    assert found["occupancy_pct"] == 100
    assert found["delayed_pct"] == 20
    assert (found["level"], found["deciding"]) == (4, ["occupancy_pct", "delayed_pct"])


def test_a_hospital_without_patients_is_at_level_one() -> None:
    found = at_noon([], [])
    assert (found["occupancy_pct"], found["boarding_pct"], found["delayed_pct"], found["level"]) == (0, None, None, 1)


def test_runs_of_a_level_say_since_when_and_why() -> None:
    stays = [*[stay()] * 9, stay(admission_at=NOON, discharge_at=NOON + 2 * HOUR)]
    runs = spans(judged(stays, [], *(NOON + number * HOUR for number in range(-2, 4))))
    assert runs.drop("hospital_id").rows() == [
        (1, NOON - 2 * HOUR, NOON, []),
        (4, NOON, NOON + 2 * HOUR, ["occupancy_pct"]),
        (1, NOON + 2 * HOUR, None, []),
    ]


def test_thresholds_are_read_from_their_file_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    file = tmp_path / "escalation.toml"
    file.write_text("# ours\noccupancy_pct = [85, 90.5, 100]\n")
    services = Services(load(environ={"PATIENT_FLOW_ESCALATION": str(file)}))
    assert services.escalation == Thresholds(occupancy_pct=(85, 90.5, 100))
    assert Services(load(environ={})).escalation == DEFAULT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("occupancy = [1, 2, 3]", "line 1: occupancy is unknown; the file has occupancy_pct"),
        ("\ndelayed_pct = [10, 20]", "line 2: delayed_pct must be a list of three numbers"),
        ("boarding_pct = [30, 20, 10]", "line 1: boarding_pct must rise from level 2 to level 4"),
        ("longest_wait_hours = [4, 8, '12']", "line 1: longest_wait_hours must have numbers above 0"),
        ("delayed_pct = [0, 1, 2]", "line 1: delayed_pct must have numbers above 0"),
        ("delayed_pct = 10", "line 1: delayed_pct must be a list"),
        ("occupancy_pct = [92, 95", "this is not TOML"),
    ],
)
def test_a_mistake_in_the_thresholds_is_named_with_its_line_and_key(text: str, message: str) -> None:
    with pytest.raises(EscalationError) as error:
        parse_thresholds(text, "escalation.toml")
    assert str(error.value).startswith("PATIENT_FLOW_ESCALATION: escalation.toml, line")
    assert message in str(error.value)
