"""Random feeds of a few visits each, as silver rows: the same seed gives the same feed.

Half of the visits are ways that hospitals report, with noise; half are events in any order. Times lie on a coarse grid,
so that many fall together. The rows keep what silver guarantees of accepted events: nothing that has happened lies
after its arrival at the hub, and no discharge lies before its own event's admission.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from patient_flow_tests.transforms.feeds import hash_of

START = datetime(2026, 3, 20, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)
CLASSES = ("inpatient", "emergency", "day_case", "observation", "outpatient", "virtual", "home", "preadmission")
STATUSES = (
    "home",
    "transferred",
    "deceased",
    "left_against_advice",
    "left_without_being_seen",
    "other",
    "care_facility",
)
LISTED = {
    "ED": "emergency",
    "W": "inpatient",
    "X": "inpatient",
    "ICU": "critical_care",
    "NB": "newborn",
    "DC": "day_case",
    "CT": "other",
}
NAMES = (*LISTED, "U")
"""U is in no list."""
HAPPENED = ("event_time", "arrival_time", "triage_time", "admission_time", "seen_time", "decision_time", "ready_time")


@dataclass
class Feed:
    """One random feed."""

    rows: list[dict[str, Any]]
    departments: list[dict[str, Any]]
    again: list[tuple[str, datetime]]
    """Visit number and arrival of repeated snapshots."""
    unconfirmed_days: int


def feed(seed: int, most_visits: int = 3) -> Feed:
    """The feed of ``seed``."""
    return _Generator(random.Random(seed), most_visits).feed()


def plain_feed(seed: int, most_visits: int = 5) -> Feed:
    """A feed of visits whose events hardly contradict each other: most of them are folded as columns."""
    return _Plain(random.Random(seed), most_visits).feed()


class _Generator:
    def __init__(self, chance: random.Random, most_visits: int) -> None:
        self.chance = chance
        self.rows: list[dict[str, Any]] = []
        self.again: list[tuple[str, datetime]] = []
        self.most_visits = most_visits
        self.patients = [f"p{number}" for number in range(chance.randint(1, 3))]

    def feed(self) -> Feed:
        for number in range(self.chance.randint(1, self.most_visits)):
            self._visit(f"v{number}")
        if len(self.patients) > 1 and self.chance.random() < 0.5:
            for _ in range(self.chance.randint(1, 3)):
                kept, given_up = self.chance.choice(self.patients), self.chance.choice(self.patients)
                self._add(None, kept, "1", "merge_patient", self._time(0), {"merged_patient_id": given_up})
        self.chance.shuffle(self.rows)
        for number, row in enumerate(self.rows):
            self._arrive(row, number)
        return Feed(self.rows, self._departments(), self.again, self.chance.choice([90, 90, 90, 3, 1]))

    # visits

    def _visit(self, visit: str) -> None:
        chance = self.chance
        patient, hospital = chance.choice(self.patients), chance.choice(["1", "1", "1", "2"])
        begins = chance.choice([0, 0, 6, 12, 24, 48, 300, 5000])
        style = chance.choice([self._emergency, self._ward, self._chaos, self._chaos, self._rows, self._encounter])
        style(visit, patient, hospital, begins)
        if chance.random() < 0.1:
            for row in self.rows:
                if row["visit_id"] == visit and chance.random() < 0.3:
                    row["hospital_id" if chance.random() < 0.5 else "patient_id"] = chance.choice(["1", "2"])
            for row in self.rows:
                if row["patient_id"] in ("1", "2"):
                    row["patient_id"] = self.patients[0]
        if chance.random() < 0.1:
            number = f"v{chance.randint(0, 2)}"
            for row in self.rows:
                if row["visit_id"] == visit:
                    row["visit_number_hash"] = hash_of(f"{row['hospital_id']} {number}")

    def _emergency(self, visit: str, patient: str, hospital: str, begins: int) -> None:
        way = ["arrival", "triage"] if self.chance.random() < 0.7 else []
        way += ["admission"] * self.chance.randint(0, 1) + ["transfer"] * self.chance.randint(0, 2)
        way += self.chance.choice([[], ["discharge"], ["discharge"], ["discharge", "admission"]])
        self._way(visit, patient, hospital, begins, way, first="ED")

    def _ward(self, visit: str, patient: str, hospital: str, begins: int) -> None:
        way = ["arrival"] * self.chance.randint(0, 1)
        way += ["admission"] + ["transfer"] * self.chance.randint(0, 2)
        way += self.chance.choice([[], ["discharge"], ["discharge", "cancel_discharge"], ["discharge", "admission"]])
        self._way(visit, patient, hospital, begins, way, first="W")

    def _way(self, visit: str, patient: str, hospital: str, begins: int, way: Sequence[str], first: str) -> None:
        at = begins
        place = first
        for kind in way:
            at += self.chance.choice([0, 1, 2, 4, 8, 48])
            if kind == "transfer":
                place = self.chance.choice(NAMES)
            stated = self._stated(kind, at, begins, noise=0.12)
            if kind in ("arrival", "admission", "transfer"):
                stated["department"] = place
            if self.chance.random() < 0.4 and "visit_class" not in stated and kind != "discharge":
                stated["visit_class"] = "emergency" if place == "ED" else "inpatient"
            self._add(visit, patient, hospital, kind, self._time(at), stated)
            while self.chance.random() < 0.3:
                later = at + self.chance.choice([0, 1, 2, 4])
                kind = self.chance.choice(["update", "update", "update", "cancel_transfer", "visit_snapshot"])
                self._any(visit, patient, hospital, kind, later, begins)

    def _chaos(self, visit: str, patient: str, hospital: str, begins: int) -> None:
        kinds = [
            *("arrival", "triage", "admission", "admission", "transfer", "transfer", "discharge", "discharge"),
            *("update", "update", "update", "cancel_admission", "cancel_transfer", "cancel_discharge"),
            *("visit_snapshot", "visit_snapshot", "void_visit"),
        ]
        for _ in range(self.chance.randint(1, 7)):
            kind = self.chance.choice(kinds)
            if kind == "void_visit" and self.chance.random() < 0.6:
                continue
            self._any(
                visit, patient, hospital, kind, begins + self.chance.choice([0, 1, 2, 3, 4, 6, 10, 20, 48]), begins
            )

    def _rows(self, visit: str, patient: str, hospital: str, begins: int) -> None:
        """Snapshots without a time of their own, some without a visit number."""
        derived = self.chance.random() < 0.4
        for _ in range(self.chance.randint(1, 3)):
            stated = self._stated("visit_snapshot", begins, begins, noise=0.3)
            stated |= {"admission_time": self._time(begins), "states_event_time": False}
            stated["department"] = self.chance.choice(NAMES)
            if derived:
                stated["visit_is_derived"] = True
            self._add(visit, patient, hospital, "visit_snapshot", self._time(begins), stated)
            self._maybe_again(visit, begins)

    def _encounter(self, visit: str, patient: str, hospital: str, begins: int) -> None:
        """Snapshots with a time of their own, some with ``stays``, some with corrections or updates between."""
        at = begins
        for _ in range(self.chance.randint(1, 4)):
            at += self.chance.choice([0, 1, 4, 10, 48])
            self._any(visit, patient, hospital, "visit_snapshot", at, begins)
            self._maybe_again(visit, at)
        if self.chance.random() < 0.3:
            kind = self.chance.choice(["update", "transfer", "admission", "discharge", "cancel_admission"])
            self._any(visit, patient, hospital, kind, at + self.chance.choice([-1, 0, 1, 2]), begins)

    def _maybe_again(self, visit: str, at: int) -> None:
        if self.chance.random() < 0.2:
            self.again.append((visit, self._time(at + self.chance.choice([2, 48, 500]))))

    def _any(self, visit: str, patient: str, hospital: str, kind: str, at: int, begins: int) -> None:
        stated = self._stated(kind, at, begins, noise=0.25)
        if kind in ("arrival", "admission", "transfer", "visit_snapshot") or (
            kind == "update" and self.chance.random() < 0.4
        ):
            stated["department"] = self.chance.choice(NAMES)
        if kind == "visit_snapshot":
            self._snapshot(stated, at, begins)
        elif self.chance.random() < 0.15:
            stated["source"] = "reconciliation"
        time = self._time(at) if stated.get("states_event_time", True) else stated["admission_time"]
        self._add(visit, patient, hospital, kind, time, stated)

    def _snapshot(self, stated: dict[str, Any], at: int, begins: int) -> None:
        stated["admission_time"] = self._time(begins + self.chance.choice([0, 0, 0, 1, 4]))
        stated["states_event_time"] = self.chance.random() < 0.75
        if self.chance.random() < 0.25:
            entries = self._entries(begins)
            stated["stays"] = json.dumps(entries)
            stated["department"] = entries[-1]["department"]
            stated["bed_id"] = entries[-1]["bed_id"]
            if stated.get("visit_class") in ("outpatient", "virtual", "home", "preadmission"):
                del stated["visit_class"]

    def _entries(self, begins: int) -> list[dict[str, Any]]:
        entries = []
        at = begins
        for _ in range(self.chance.randint(1, 3)):
            until = at + self.chance.choice([1, 2, 6])
            entries.append(
                {
                    "department": self.chance.choice(NAMES),
                    "bed_id": self.chance.choice([None, "s1", "s2"]),
                    "from": _microseconds(self._time(at)),
                    "to": _microseconds(self._time(until)),
                }
            )
            at = until + self.chance.choice([0, 0, 0, 3, -1])
        if self.chance.random() < 0.5:
            entries[-1]["to"] = None
        return entries

    def _stated(self, kind: str, at: int, begins: int, noise: float) -> dict[str, Any]:
        chance = self.chance
        stated: dict[str, Any] = {}

        def maybe(name: str, value: Any, share: float = noise) -> None:
            if chance.random() < share:
                stated[name] = value

        near = (0, 1, 2, 4)
        maybe("visit_class", chance.choice(CLASSES))
        maybe("admission_type", chance.choice(["emergency", "elective"]), noise / 2)
        maybe("bed_id", chance.choice(["b1", "b2"]))
        maybe("wait_minutes", float(chance.choice([0, 25, 240])), noise / 2)
        maybe("arrival_time", self._time(begins + chance.choice([-4, 0, 1, 2, -700])), noise / 2)
        maybe("triage_time", self._time(begins + chance.choice(near)), noise / 3)
        maybe("seen_time", self._time(begins + chance.choice(near)), noise / 2)
        maybe("decision_time", self._time(begins + chance.choice(near)), noise / 2)
        maybe("planned_discharge_time", self._time(at + chance.choice([2, 10, 100])), noise / 2)
        maybe("ready_time", self._time(begins + chance.choice(near)), noise / 3)
        if kind in ("admission", "update", "discharge", "transfer"):
            maybe("admission_time", self._time(begins + chance.choice([-1, 0, 1, 2, 4])))
        if kind == "discharge":
            maybe("discharge_time", self._time(at - chance.choice([0, 1, 2])), 0.3)
            maybe("discharge_status", chance.choice(STATUSES), 0.6)
        else:
            maybe("discharge_time", self._time(begins + chance.choice([2, 4, 8, 20, 30, 1000, 20_000])))
            maybe("discharge_status", chance.choice(STATUSES), noise / 2)
        return stated

    # rows

    def _time(self, half_hours: int) -> datetime:
        return START + half_hours * HALF_HOUR

    def _add(
        self, visit: str | None, patient: str, hospital: str, kind: str, at: datetime, stated: dict[str, Any]
    ) -> None:
        row = {
            "event_type": kind,
            "event_time": at,
            "states_event_time": True,
            "visit_id": visit,
            "patient_id": patient,
            "hospital_id": hospital,
            **stated,
        }
        if kind == "merge_patient":
            row.pop("department", None)
        ends_at = row.get("discharge_time") or (at if kind == "discharge" else None)
        if row.get("admission_time") and ends_at and ends_at < row["admission_time"]:
            row.pop("discharge_time", None)
            if kind == "discharge" and at < row["admission_time"]:
                row.pop("admission_time")
        self.rows.append(row)

    def _arrive(self, row: dict[str, Any], number: int) -> None:
        """When and where the hub took the event, and what silver derives."""
        chance = self.chance
        happened = [row[name] for name in HAPPENED if row.get(name)]
        if row["event_type"] == "discharge" and row.get("discharge_time"):
            happened.append(row["discharge_time"])
        for entry in json.loads(row.get("stays") or "[]"):
            happened += [EPOCH + timedelta(microseconds=entry[name]) for name in ("from", "to") if entry[name]]
        delay = chance.choice([0, 0, 1, 60, 3600, 20_000, 900_000])
        row["enqueued_at"] = max(happened) + timedelta(seconds=delay)
        row["partition_id"] = f"import-{chance.randint(0, 1)}" if chance.random() < 0.05 else str(chance.randint(0, 1))
        row["sequence_number"], row["part"] = number, 0
        row["event_id"] = row["event_key"] = None
        row["event_id"] = f"{chance.randint(0, 9)} {number}"
        row["quality_flags"] = ["gender_is_unknown"] if chance.random() < 0.05 else []
        visit = row["visit_id"]
        if row.get("visit_is_derived"):
            visit = f"derived of {row['hospital_id']} {row['patient_id']} {row['admission_time']}"
            self.again = [(visit if number == row["visit_id"] else number, at) for number, at in self.again]
            row["visit_id"] = visit
        row.setdefault("visit_number_hash", hash_of(f"{row['hospital_id']} {visit}") if visit else None)
        if row.get("visit_is_derived"):
            row["visit_number_hash"] = None
        gone = row.get("merged_patient_id")
        row |= {
            "event_key": hash_of(row["event_id"]),
            "visit_hash": hash_of(visit) if visit else None,
            "patient_hash": hash_of(row["patient_id"]),
            "merged_patient_hash": hash_of(gone) if gone else None,
            "hub_created_at": START,
            "schema_version": "1",
            "gender": "Female",
            "age": 42,
            "body_hash": number,
            "event_month": f"{row['event_time']:%Y-%m}",
        }

    def _departments(self) -> list[dict[str, Any]]:
        """No list, a list without classes, or one with classes, maybe with days and a later version."""
        chance = self.chance
        style = chance.choice(["none", "bare", "classes", "classes", "classes", "classes"])
        rows: list[dict[str, Any]] = []
        for hospital in ("1", "2"):
            for name, kind in LISTED.items() if style != "none" else ():
                row: dict[str, Any] = {"hospital_id": hospital, "department": name}
                row |= {"class": None, "unconfirmed_days": None}
                row |= {"staffed_beds": 10, "is_inferred": False}
                row |= {"valid_from": datetime(1990, 1, 1, tzinfo=UTC), "valid_to": None}
                if style == "classes":
                    row["class"] = kind
                if chance.random() < 0.1:
                    row["unconfirmed_days"] = chance.choice([1, 5, 200])
                rows.append(row)
                if chance.random() < 0.05:
                    row["valid_to"] = self._time(chance.choice([0, 4, 20]))
                    later = {**row, "valid_from": row["valid_to"], "valid_to": None}
                    rows.append(later | {"class": chance.choice([None, "inpatient", "emergency", "other"])})
        inferred = {"class": None, "unconfirmed_days": None, "staffed_beds": None, "is_inferred": True}
        named = {(row["hospital_id"], row["department"]) for row in rows}
        for hospital in ("1", "2"):
            for name in NAMES:
                if (hospital, name) not in named:
                    place = {"hospital_id": hospital, "department": name, "valid_from": EPOCH, "valid_to": None}
                    rows.append({**inferred, **place})
        for key, row in enumerate(rows, start=1):
            row |= {"department_key": key, "hospital_name": row["hospital_id"], "is_current": row["valid_to"] is None}
        return rows


class _Plain(_Generator):
    """Ordinary visits; now and then one that is not."""

    def _visit(self, visit: str) -> None:
        chance = self.chance
        if chance.random() < 0.05:
            super()._visit(visit)
            return
        style = chance.choice([self._plain_way, self._plain_way, self._plain_row])
        style(visit, chance.choice(self.patients), chance.choice(["1", "1", "1", "2"]), chance.randint(0, 60))

    def _plain_way(self, visit: str, patient: str, hospital: str, begins: int) -> None:
        chance, at, arrived = self.chance, begins, begins
        way = ["arrival"] * (chance.random() < 0.6)
        way += ["triage"] * (bool(way) and chance.random() < 0.3)
        way += ["admission"] * (chance.random() < 0.8) + ["transfer"] * chance.choice([0, 0, 1, 2])
        way += ["discharge"] * (chance.random() < 0.7)
        for kind in way:
            at += chance.choice([0, 1, 1, 2, 5, 30])
            stated = self._plainly_stated(at, begins)
            if kind in ("arrival", "admission", "transfer"):
                stated["department"] = chance.choice([*NAMES, "ED", "W", "W"])
            if kind in ("admission", "transfer") and chance.random() < 0.7:
                stated["bed_id"] = chance.choice(["b1", "b2"])
            if kind == "admission" and chance.random() < 0.5:
                stated["admission_time"] = self._time(at + chance.choice([0, 0, 0, -1, 1, arrived - at]))
            if kind == "discharge" and chance.random() < 0.8:
                stated["discharge_status"] = chance.choice(STATUSES)
            if kind == "discharge" and chance.random() < 0.4:
                stated["discharge_time"] = self._time(at - chance.choice([0, 0, 0, 1, -1]))
            self._add(visit, patient, hospital, kind, self._time(at), stated)

    def _plain_row(self, visit: str, patient: str, hospital: str, begins: int) -> None:
        chance = self.chance
        stated = self._plainly_stated(begins, begins)
        stated |= {"admission_time": self._time(begins), "department": chance.choice(NAMES)}
        stated["states_event_time"] = chance.random() < 0.3
        at = begins + (chance.choice([0, 1, 10]) if stated["states_event_time"] else 0)
        if chance.random() < 0.7:
            stated["discharge_time"] = self._time(begins + chance.choice([0, 1, 4, 10, 100, 1000, 20_000]))
        if chance.random() < 0.5:
            stated["discharge_status"] = chance.choice(STATUSES)
        if chance.random() < 0.4:
            stated["visit_is_derived"] = True
        self._add(visit, patient, hospital, "visit_snapshot", self._time(at), stated)
        self._maybe_again(visit, begins)

    def _plainly_stated(self, at: int, begins: int) -> dict[str, Any]:
        """Statements on the visit as a whole."""
        chance, near = self.chance, (0, 1, 2, 4)
        values: dict[str, Any] = {
            "visit_class": chance.choice(("inpatient", "inpatient", "emergency", "day_case", "observation")),
            "admission_type": chance.choice(["emergency", "elective"]),
            "wait_minutes": float(chance.choice([0, 25, 240])),
            "arrival_time": self._time(begins + chance.choice([-4, 0, 1, 2, -700])),
            "triage_time": self._time(begins + chance.choice(near)),
            "seen_time": self._time(begins + chance.choice(near)),
            "decision_time": self._time(begins + chance.choice(near)),
            "planned_discharge_time": self._time(at + chance.choice([2, 10, 100])),
            "ready_time": self._time(begins + chance.choice(near)),
        }
        share = {"visit_class": 0.4}
        return {name: value for name, value in values.items() if chance.random() < share.get(name, 0.1)}


def _microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)
