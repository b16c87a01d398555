"""Feeds as one reads them: lines such as ``A01 08:00 ED class=E admitted=08:00`` → silver rows, without reading bodies.

A line is a trigger, a time, and in any order a department (the bare word), a class and ``name=value`` statements.
Times are of one day, ``08:00+2`` two days later; a whole date stands for itself. Events reach the hub in the order of
the lines, each when it happened (``sent=`` says otherwise).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from patient_flow.contracts.tables import DIM_DEPARTMENT, SILVER_EVENTS
from patient_flow.transforms.visits.fold import RECEIVED_AGAIN, Folded, fold

DAY = datetime(2026, 3, 20, tzinfo=UTC)
ZONE = "UTC"

TRIGGERS = {
    "A01": "admission",
    "A02": "transfer",
    "A03": "discharge",
    "A04": "arrival",
    "A06": "admission",
    "A07": "update",
    "A08": "update",
    "A11": "cancel_admission",
    "A12": "cancel_transfer",
    "A13": "cancel_discharge",
    "A40": "merge_patient",
    "triage": "triage",
    "row": "visit_snapshot",
    "void": "void_visit",
}
CLASSES = {
    "E": "emergency",
    "I": "inpatient",
    "O": "outpatient",
    "P": "preadmission",
    "S": "day_case",
    "OBS": "observation",
    "V": "virtual",
    "H": "home",
}
TIMES = {
    "arrived": "arrival_time",
    "triaged": "triage_time",
    "seen": "seen_time",
    "decided": "decision_time",
    "admitted": "admission_time",  # PV1-44
    "discharged": "discharge_time",  # PV1-45
    "planned": "planned_discharge_time",
    "ready": "ready_time",
}
TEXTS = {
    "bed": "bed_id",
    "status": "discharge_status",
    "type": "admission_type",
    "hospital": "hospital_id",
    "partition": "partition_id",
}

DEPARTMENTS = {"ED": "emergency", "W": "inpatient", "X": "inpatient", "ICU": "critical_care", "CT": "other"}
"""Departments of hospital 1, with their classes; Surgery and others are listed nowhere."""


def at(clock: str) -> datetime:
    """``08:00`` or ``08:00+2`` of the day of these feeds, or an ISO instant."""
    told = re.fullmatch(r"(\d\d):(\d\d)(?:([+-]\d+))?", clock)
    if told is None:
        return datetime.fromisoformat(clock).replace(tzinfo=UTC)
    hours, minutes, days = (int(part or 0) for part in told.groups())
    return DAY + timedelta(days=days, hours=hours, minutes=minutes)


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)


def _stays(text: str) -> str:
    """``ICU/08:00/12:00,W/12:00/`` as silver keeps it."""
    entries = []
    for part in text.split(","):
        department, first, last = part.split("/")
        instants = [None if not clock else int(at(clock).timestamp() * 1_000_000) for clock in (first, last)]
        entries.append({"department": department, "bed_id": None, "from": instants[0], "to": instants[1]})
    return json.dumps(entries)


def _stated(name: str, value: str) -> dict[str, Any]:
    """The columns that ``name=value`` states."""
    if name in TIMES:
        return {TIMES[name]: at(value)}
    match name:
        case "class":
            return {"visit_class": CLASSES[value]}
        case "sent":
            return {"enqueued_at": at(value)}
        case "wait":
            return {"wait_minutes": float(value)}
        case "stays":
            return {"stays": _stays(value)}
        case _:
            return {TEXTS.get(name, name): value}


def event(line: str, number: int = 0) -> dict[str, Any]:
    """One line as a silver row."""
    trigger, clock, *words = line.split()
    kind = TRIGGERS[trigger]
    row: dict[str, Any] = {
        "hub_created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "partition_id": "0",
        "sequence_number": number,
        "part": 0,
        "schema_version": "1",
        "event_type": kind,
        "event_time": at(clock),
        "states_event_time": True,
        "visit": "v1",
        "patient": "p1",
        "hospital_id": "1",
        "gender": "Female",
        "age": 42,
        "quality_flags": [],
        "body_hash": number,
    }
    row["enqueued_at"] = row["event_time"] + timedelta(seconds=1)
    for word in words:
        name, has_value, value = word.partition("=")
        row |= _stated(name, value) if has_value else {"department": name}
    if kind == "visit_snapshot":
        # The clock of a row is when it was made; without a time of its own it states its admission alone.
        row.setdefault("admission_time", row["event_time"])
        if row.pop("own", "yes") == "no":
            row |= {"event_time": row["admission_time"], "states_event_time": False}
    return _named(row, line, number)


def _named(row: dict[str, Any], line: str, number: int) -> dict[str, Any]:
    visit, patient, gone = row.pop("visit"), row.pop("patient"), row.pop("gives_up", None)
    if row["event_type"] == "merge_patient":
        visit = None
    elif visit == "derived":
        visit = f"derived of {row['hospital_id']} {patient} {row['admission_time']}"
        row["number"] = None
    number_of_visit = row.pop("number", visit)
    return row | {
        "event_id": f"{number}: {line}",
        "event_key": hash_of(f"{number}: {line}"),
        "visit_id": visit,
        "visit_hash": None if visit is None else hash_of(visit),
        "visit_number_hash": None if visit is None else hash_of(f"{row['hospital_id']} {number_of_visit}"),
        "patient_id": patient,
        "patient_hash": hash_of(patient),
        "merged_patient_id": gone,
        "merged_patient_hash": None if gone is None else hash_of(gone),
        "event_month": f"{row['event_time']:%Y-%m}",
    }


def silver(*lines: str) -> pl.DataFrame:
    """The silver rows of ``lines``."""
    rows = [event(line, number) for number, line in enumerate(lines)]
    names = SILVER_EVENTS.schema.names()
    return pl.DataFrame([{name: row.get(name) for name in names} for row in rows], schema=SILVER_EVENTS.schema)


def departments(listed: dict[str, str] | None = None, hospitals: Sequence[str] = ("1", "2")) -> pl.DataFrame:
    """DimDepartment with these departments (name → class) in every hospital."""
    rows = [
        {
            "department_key": number * 100 + place,
            "hospital_id": hospital,
            "hospital_name": hospital,
            "department": name,
            "class": kind,
            "staffed_beds": 10,
            "is_inferred": False,
            "valid_from": datetime(1990, 1, 1, tzinfo=UTC),
            "is_current": True,
        }
        for number, hospital in enumerate(hospitals, start=1)
        for place, (name, kind) in enumerate((DEPARTMENTS if listed is None else listed).items())
    ]
    names = DIM_DEPARTMENT.schema.names()
    return pl.DataFrame([{name: row.get(name) for name in names} for row in rows], schema=DIM_DEPARTMENT.schema)


def folded(*lines: str, again: Iterable[str] = (), listed: dict[str, str] | None = None, days: int = 90) -> Folded:
    """The facts of ``lines``, and of repeats of visit v1's snapshot that the hub took at the instants ``again``."""
    repeats = pl.DataFrame(
        [{"visit_hash": hash_of("v1"), "enqueued_at": at(clock)} for clock in again], schema=RECEIVED_AGAIN
    )
    return fold(silver(*lines), departments(listed), unconfirmed_days=days, zone=ZONE, received_again=repeats)


def clock(instant: datetime | None) -> str:
    """An instant as the lines write it; a dash for none."""
    if instant is None:
        return "-"
    days = (instant - DAY) // timedelta(days=1)
    if abs(days) > 400:
        return f"{instant:%Y-%m-%d}"
    return f"{instant:%H:%M}" + (f"{days:+}" if days else "")


def stays(facts: Folded) -> list[str]:
    """Each stay as ``W 12:00 09:00+2 ward start end wait=240 home``, in order of visits and stays."""
    return [_stay(row) for row in facts.stays.sort("visit_id", "stay_number").iter_rows(named=True)]


def _stay(row: dict[str, Any]) -> str:
    marks = [name for name in ("start", "end") if row[f"is_visit_{name}"]]
    marks += ["transfer"] if row["is_transfer"] else []
    marks += [f"wait={row['wait_minutes']:g}"] if row["wait_minutes"] is not None else []
    marks += [row["discharge_status"]] if row["discharge_status"] else []
    return " ".join(
        [row["department"], clock(row["admission_at"]), clock(row["discharge_at"]), row["stay_kind"], *marks]
    )


def attendances(facts: Folded) -> list[str]:
    """Each attendance as ``08:00 12:00 admitted 240``: arrival, departure, outcome, minutes; in order of visits."""
    return [
        f"{clock(row['arrival_at'])} {clock(row['departure_at'])} {row['outcome'] or '-'}"
        + (f" {row['minutes_in_department']:g}" if row["minutes_in_department"] is not None else "")
        for row in facts.attendances.sort("visit_id").iter_rows(named=True)
    ]


def flags(frame: pl.DataFrame) -> list[str]:
    """All flags of ``frame``, each once."""
    return sorted(set(frame["quality_flags"].explode().drop_nulls()))
