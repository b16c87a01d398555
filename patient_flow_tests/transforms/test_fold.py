"""The fold against the oracle: random clusters of visits with every kind of event, class, merge, cancel and plan."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.transforms.visits.fold import RECEIVED_AGAIN, Folded, fold
from patient_flow_tests import oracle_visits
from patient_flow_tests.examples import max_examples
from patient_flow_tests.transforms import feeds

CLOCKS = ("08:00", "08:00", "08:30", "10:00", "12:00", "15:00", "20:00", "02:00+1", "10:00+2", "08:00+4", "09:00+60")
PLACES = ("ED", "W", "W", "X", "ICU", "CT", "Surgery", "Day")
LISTED = {**feeds.DEPARTMENTS, "Day": "day_case"}
TRIGGERS = (
    *("A01", "A01", "A02", "A02", "A03", "A03", "A04", "A04", "A06", "A07", "A08", "A08", "A08"),
    *("A11", "A12", "A13", "A40", "triage", "row", "row", "row", "void"),
)
STAYS = ("W/08:00/12:00,X/12:00/", "ICU/08:00/10:00,W/12:00/15:00", "ED/08:00/12:00,W/10:00/09:00+60")
PLACING = ("A01", "A02", "A04", "A06", "row")


def lines(dice: random.Random, most: int = 10) -> list[str]:
    """A few events of few visits, patients and instants, so that they meet and contradict."""
    return [_line(dice) for _ in range(dice.randint(1, most))]


def _line(dice: random.Random) -> str:
    trigger = dice.choice(TRIGGERS)
    words = [trigger, dice.choice(CLOCKS)]
    if trigger == "A40":
        return " ".join([*words, f"patient={dice.choice('ABC')}", f"gives_up={dice.choice('ABC')}"])
    visit = dice.choice(("v1", "v1", "v1", "v2", "v2", "v3"))
    words.append(f"visit={visit}")
    if trigger == "row" and dice.random() < 0.2:
        words[-1] = "visit=derived"
    words.append(f"patient={dice.choice('AAAB') if visit == 'v1' else dice.choice('AABBC')}")
    if dice.random() < 0.1:
        words.append(f"number={dice.choice(('1', '2'))}")
    if dice.random() < 0.05:
        words.append("hospital=2")
    if trigger in PLACING or (trigger in ("A07", "A08", "triage", "A03") and dice.random() < 0.4):
        words.append(dice.choice(PLACES))
    _some(dice, words, trigger)
    return " ".join(words)


def _some(dice: random.Random, words: list[str], trigger: str) -> None:
    def maybe(share: float, name: str, values: Sequence[str]) -> None:
        if dice.random() < share:
            words.append(f"{name}={dice.choice(values)}")

    maybe(0.3, "class", tuple(feeds.CLASSES))
    maybe(0.3, "bed", ("1", "2"))
    maybe(0.25, "admitted", CLOCKS)
    maybe(0.25, "discharged", CLOCKS)
    maybe(0.15, "arrived", CLOCKS[:5])
    maybe(0.1, "triaged", CLOCKS[:5])
    maybe(0.1, "seen", CLOCKS)
    maybe(0.1, "decided", CLOCKS)
    maybe(0.1, "planned", CLOCKS)
    maybe(0.1, "ready", CLOCKS)
    maybe(0.15, "wait", ("0", "30", "241.5"))
    maybe(0.25, "status", ("home", "transferred", "other", "deceased", "left_without_being_seen", "care_facility"))
    maybe(0.1, "type", ("emergency", "elective"))
    maybe(0.05, "source", ("reconciliation",))
    maybe(0.05, "partition", ("1", "import-1"))
    maybe(0.4, "sent", CLOCKS)
    if trigger == "row":
        maybe(0.4, "own", ("no",))
        maybe(0.2, "stays", STAYS)


def told(row: dict[str, Any]) -> oracle_visits.Event:
    """The event of one row of :func:`feeds.event`."""
    get = row.get
    return oracle_visits.Event(
        visit=get("visit_id"),
        is_derived=row["event_type"] == "visit_snapshot" and get("visit_number_hash") is None,
        number=get("visit_number_hash"),
        patient=row["patient_id"],
        gives_up=get("merged_patient_id"),
        hospital=row["hospital_id"],
        type=row["event_type"],
        time=row["event_time"],
        enqueued_at=row["enqueued_at"],
        hub=(row["partition_id"], row["sequence_number"], row["part"]),
        event_id=row["event_id"],
        department=get("department"),
        bed=get("bed_id"),
        visit_class=get("visit_class"),
        admission_type=get("admission_type"),
        arrival=get("arrival_time"),
        triage=get("triage_time"),
        seen=get("seen_time"),
        decision=get("decision_time"),
        admission=get("admission_time"),
        discharge=get("discharge_time"),
        planned=get("planned_discharge_time"),
        ready=get("ready_time"),
        wait=get("wait_minutes"),
        status=get("discharge_status"),
        stays=get("stays"),
        source=get("source"),
        states_time=row["states_event_time"],
        is_imported=row["partition_id"].startswith("import-"),
    )


def class_at(hospital: str, department: str | None, instant: datetime) -> tuple[str | None, int | None]:
    """The list of these tests."""
    return LISTED.get(department or ""), None


def expected_stay(stay: oracle_visits.Stay) -> dict[str, Any]:
    """A stay of the oracle as the fold would state it."""
    return {
        "visit_id": stay.visit,
        "stay_number": stay.number,
        "patient_id": stay.patient,
        "hospital_id": stay.hospital,
        "department": stay.department,
        "from_department": stay.came_from.department if stay.came_from else None,
        "stay_kind": stay.kind,
        "visit_class": stay.visit_class,
        "admission_type": stay.admission_type,
        "arrival_at": stay.arrival,
        "admission_at": stay.begins,
        "discharge_at": stay.ends,
        "planned_discharge_at": stay.planned,
        "ready_at": stay.ready,
        "wait_minutes": stay.wait,
        "wait_source": stay.wait_source,
        "is_visit_start": stay.is_visit_start,
        "is_visit_end": stay.is_visit_end,
        "is_transfer": stay.is_transfer,
        "is_day_case": stay.is_day_case,
        "is_observation": stay.is_observation,
        "visit_length_of_stay_hours": _hours(stay.visit_length),
        "in_bed_hours": _hours(stay.in_bed),
        "nights": stay.nights,
        "bed_id": stay.bed,
        "discharge_status": stay.status,
        "quality_flags": list(stay.all_flags),
        "confirmed_until": stay.confirmed_until,
        "confirmed_spans": None if stay.spans is None else [instant for span in stay.spans for instant in span],
        "last_confirmed_at": stay.last_confirmed,
        "last_enqueued_at": stay.last_enqueued,
    }


def expected_attendance(attendance: oracle_visits.Attendance) -> dict[str, Any]:
    """An attendance of the oracle as the fold would state it."""
    return {
        "visit_id": attendance.visit,
        "patient_id": attendance.patient,
        "hospital_id": attendance.hospital,
        "department": attendance.department,
        "arrival_at": attendance.arrival,
        "triage_at": attendance.triage,
        "seen_at": attendance.seen,
        "decision_at": attendance.decision,
        "departure_at": attendance.departure,
        "outcome": attendance.outcome,
        "quality_flags": list(attendance.all_flags),
        "confirmed_until": attendance.confirmed_until,
        "last_confirmed_at": attendance.last_confirmed,
        "last_enqueued_at": attendance.last_enqueued,
    }


def _hours(length: timedelta | None) -> float | None:
    return None if length is None else length / timedelta(hours=1)


def check(given_lines: Sequence[str], again: Sequence[str], dice: random.Random) -> Folded:
    """The fold of ``given_lines``, in any order, is the oracle's; gives it."""
    rows = [feeds.event(line, number) for number, line in enumerate(given_lines)]
    events = [told(row) for row in rows]
    repeats = [("v1", feeds.at(clock)) for clock in again]
    facts = oracle_visits.fold(events, class_at, days=90, zone=feeds.ZONE, again=repeats)
    names = SILVER_EVENTS.schema.names()
    frame = pl.DataFrame(
        [{name: row.get(name) for name in names} for row in dice.sample(rows, len(rows))], schema=SILVER_EVENTS.schema
    )
    folded = fold(
        frame,
        feeds.departments(LISTED),
        unconfirmed_days=90,
        zone=feeds.ZONE,
        received_again=pl.DataFrame(
            [{"visit_hash": feeds.hash_of(visit), "enqueued_at": at} for visit, at in repeats], schema=RECEIVED_AGAIN
        ),
    )
    stays = sorted(map(expected_stay, facts.stays), key=lambda row: (row["visit_id"], row["stay_number"]))
    attended = sorted(map(expected_attendance, facts.attendances), key=lambda row: row["visit_id"])
    _same(folded.stays.sort("visit_id", "stay_number"), stays)
    _same(folded.attendances.sort("visit_id"), attended)
    assert folded.waiting == len(facts.waiting)
    return folded


def _same(actual: pl.DataFrame, expected: list[dict[str, Any]]) -> None:
    names = list(expected[0]) if expected else ["visit_id"]
    rows = actual.select(names).to_dicts()
    for row in (*rows, *expected):
        for name, value in row.items():
            row[name] = round(value, 6) if isinstance(value, float) else value
    assert rows == (expected or [])


@max_examples(400)
@given(st.integers(0, 2**32))
def test_the_fold_is_the_oracles(seed: int) -> None:
    dice = random.Random(seed)
    again = dice.sample(CLOCKS, dice.randint(0, 2)) if dice.random() < 0.3 else []
    check(lines(dice), again, dice)


def test_a_discharge_that_moves_an_earlier_end_names_the_bed_until_then() -> None:
    told_lines = [
        "A01 10:00 visit=v1 patient=A W",
        "A03 12:00 visit=v1 patient=A",
        "A03 15:00 visit=v1 patient=A bed=1 discharged=20:00",
    ]
    assert check(told_lines, [], random.Random(0)).stays["bed_id"].to_list() == ["1"]
