"""The fold of the package against the rules in plain Python, column by column."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from patient_flow.contracts.tables import DIM_DEPARTMENT, DIM_PATIENT, SILVER_EVENTS
from patient_flow.transforms.census import bed_hours, spans
from patient_flow.transforms.facts import fact_patient_flow
from patient_flow.transforms.visits.fold import RECEIVED_AGAIN, Folded, fold
from patient_flow_tests.transforms.feeds import hash_of
from patient_flow_tests.visits_by_rule.clusters import Facts, Hospital
from patient_flow_tests.visits_by_rule.departments import DepartmentList
from patient_flow_tests.visits_by_rule.events import Event
from patient_flow_tests.visits_by_rule.generator import START, Feed

ZONE = "Europe/Paris"
BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)
GENDERS = ("Female", "Male")

KEYS = {"event_key", "visit_hash", "patient_hash", "visit_number_hash", "merged_patient_hash", "event_id", "part"}
HIDDEN = {*KEYS, "hub_created_at", "schema_version", "gender", "age", "body_hash", "event_month"}
NEEDED = {
    *HIDDEN,
    *("event_type", "event_time", "enqueued_at", "partition_id", "sequence_number", "states_event_time"),
    *("visit_id", "visit_is_derived", "patient_id", "merged_patient_id", "hospital_id"),
}

Difference = tuple[tuple[Any, ...], str, Any, Any]
"""Row, column, the package's value, the rules' value."""


def folded(feed: Feed) -> Folded:
    """The package's facts of ``feed``."""
    again = [{"visit_hash": hash_of(visit), "enqueued_at": at} for visit, at in feed.again]
    return fold(
        frame(feed.rows, SILVER_EVENTS.schema),
        frame(feed.departments, DIM_DEPARTMENT.schema),
        unconfirmed_days=feed.unconfirmed_days,
        zone=ZONE,
        received_again=pl.DataFrame(again, schema=RECEIVED_AGAIN),
    )


def expected(feed: Feed) -> tuple[Hospital, Facts]:
    """What the rules say of ``feed``."""
    names = SILVER_EVENTS.schema.names()
    rows = [{name: row.get(name) for name in names} for row in feed.rows]
    again: dict[str, list[datetime]] = {}
    for visit, at in feed.again:
        again.setdefault(visit, []).append(at)
    events = [Event.of(row) for row in rows]
    listed = DepartmentList(feed.departments)
    hospital = Hospital(events, listed, unconfirmed_days=feed.unconfirmed_days, zone=ZONE, again=again)
    return hospital, hospital.facts()


def frame(rows: list[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema.names()} for row in rows], schema=schema)


def differences(feed: Feed) -> list[Difference]:
    """Everything in which the package and the rules differ, census included."""
    got = folded(feed)
    hospital, right = expected(feed)
    found = [
        *_rows("stay", got.stays, right.stays, right.names),
        *_rows("attendance", got.attendances, right.attendances, right.names),
    ]
    return found or _census(feed, got, hospital)


def _rows(kind: str, got: pl.DataFrame, right: list[dict[str, Any]], names: Mapping[str, Any]) -> list[Difference]:
    one = {(names[row["visit_id"]], row.get("stay_number", 0)): row for row in got.iter_rows(named=True)}
    other = {(row["visit_id"], row.get("stay_number", 0)): row for row in right}
    found: list[Difference] = []
    for key in sorted(one.keys() | other.keys(), key=str):
        if key not in one or key not in other:
            found.append(((kind, *key), "row", one.get(key), other.get(key)))
            continue
        for column, value in other[key].items():
            if column != "visit_id" and _normal(one[key][column]) != _normal(value):
                found.append(((kind, *key), column, one[key][column], value))
    return found


def _census(feed: Feed, got: Folded, hospital: Hospital) -> list[Difference]:
    """Beds in use by hour, hospital, department and gender, in the first weeks of the feed."""
    until = START + timedelta(days=20)
    departments = frame(feed.departments, DIM_DEPARTMENT.schema)
    genders = {patient: GENDERS[place % 2] for place, patient in enumerate(sorted(set(got.stays["patient_id"])))}
    patients = [
        {"patient_key": key, "patient_id": patient, "gender": gender, "valid_from": BEGINNING, "is_current": True}
        for key, (patient, gender) in enumerate(genders.items(), start=1)
    ]
    facts = fact_patient_flow(got.stays, frame(patients, DIM_PATIENT.schema), departments)
    places = {row["department_key"]: (row["hospital_id"], row["department"]) for row in feed.departments}
    one: Counter[tuple[str, str, str, str]] = Counter()
    for row in bed_hours(spans(facts, until=until), departments).iter_rows(named=True):
        one[str(row["time_key"]), *places[row["department_key"]], row["gender"]] += row["occupied_beds"]
    other: Counter[tuple[str, str, str, str]] = Counter()
    for (hour, *place, gender), beds in hospital.census(genders, until).items():
        other[f"{hour:%Y%m%d%H}", place[0], place[1], gender] += beds
    return [(("census", *key), "occupied_beds", one[key], other[key]) for key in one | other if one[key] != other[key]]


def _normal(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return sorted(value) if all(isinstance(item, str) for item in value) else list(value)
    return value


def lines(feed: Feed) -> str:
    """The feed as one reads it: the list's lines of the departments that it names, then its events in order."""
    named = {row.get("department") for row in feed.rows} | {
        entry["department"] for row in feed.rows for entry in json.loads(row.get("stays") or "[]")
    }
    text = [f"unconfirmed_days={feed.unconfirmed_days} again={[(visit, _short(at)) for visit, at in feed.again]}"]
    text += [
        f"list {row['hospital_id']}/{row['department']} {row['class']} {row['unconfirmed_days']} {row['valid_from']}"
        for row in feed.departments
        if row["department"] in named and not row["is_inferred"]
    ]
    for row in sorted(feed.rows, key=lambda row: (row["visit_id"] or "", row["event_time"])):
        stated = {name: _short(value) for name, value in row.items() if name not in HIDDEN and value not in (None, [])}
        text.append(" ".join(f"{name}={value}" for name, value in stated.items()))
    return "\n".join(text)


def _short(value: Any) -> Any:
    return f"{value:%m-%dT%H:%M:%S}" if isinstance(value, datetime) else value


def shrink(feed: Feed) -> Feed:
    """The feed without the events and statements that its first difference does not need."""
    column = min(found[1] for found in differences(feed))

    def differs(rows: list[dict[str, Any]]) -> bool:
        smaller = replace(feed, rows=rows)
        return any(row["visit_id"] for row in rows) and any(found[1] == column for found in differences(smaller))

    rows = list(feed.rows)
    for row in list(rows):
        fewer = [other for other in rows if other is not row]
        if differs(fewer):
            rows = fewer
    for place, row in enumerate(rows):
        for name in sorted(row.keys() - NEEDED - _required(row)):
            changed = [
                *rows[:place],
                {**rows[place], name: [] if name == "quality_flags" else None},
                *rows[place + 1 :],
            ]
            if row[name] and differs(changed):
                rows = changed
    return replace(feed, rows=rows)


def _required(row: Mapping[str, Any]) -> set[str]:
    """Fields without which silver would not have accepted the event."""
    placing = row["event_type"] in ("arrival", "admission", "transfer", "visit_snapshot")
    return ({"department"} if placing else set()) | (
        {"admission_time"} if row["event_type"] == "visit_snapshot" else set()
    )
