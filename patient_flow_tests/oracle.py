"""The pipeline again, in plain Python, from the contract: slow, obvious, and without a line of the real one.

Dictionaries, lists and loops over everything; no Polars, no batches, nothing incremental. What it says of the events
of a hub is what silver and gold must hold, whatever way the events took there. Only well-formed JSON objects are read;
hostile bytes are the business of the tests of reading.
"""

from __future__ import annotations

import json
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from patient_flow_tests import oracle_visits as visits
from patient_flow_tests.oracle_visits import SNAPSHOT, TYPES

GENDERS = {"female": "Female", "male": "Male", "other": "Other", "unknown": "Unknown", "f": "Female", "m": "Male"}
STATUSES = (
    *("home", "transferred", "deceased", "left_against_advice", "left_without_being_seen", "other"),
    "care_facility",
)
TIMES = ("event_time", "arrival_time", "triage_time", "admission_time", "discharge_time")
TOLERANCE = timedelta(minutes=5)
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LONGEST_PLAN = timedelta(days=3653)
HOUR = timedelta(hours=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
UNCONFIRMED_DAYS = 90

Reference = Sequence[Mapping[str, Any]]
"""Lines of the department list."""


class Received(Protocol):
    """One body as the hub holds it: an event, or a list of events where bodies are unwrapped."""

    body: dict[str, Any] | list[dict[str, Any]]
    enqueued_at: datetime
    partition: str
    number: int
    imported_at: datetime | None
    """Of a row of a file: when it was imported."""


@dataclass(frozen=True, kw_only=True)
class Event(visits.Event):
    """One event with its fields understood; null where the body states nothing usable."""

    coordinates: tuple[str, int, int]
    """Partition, number, and place in the body."""
    gender: str | None
    age: int | None
    statement: str
    """The canonical body: two events that say the same have the same."""
    imported_at: datetime | None = None


@dataclass
class Verdict:
    """Every event of the hub in exactly one of three places."""

    accepted: list[Event] = field(default_factory=list)
    rejected: dict[tuple[str, int, int], list[str]] = field(default_factory=dict)
    rejected_at: dict[tuple[str, int, int], tuple[datetime, str]] = field(default_factory=dict)
    """Hub time and hospital of a rejected event."""
    ignored: dict[tuple[str, int, int], tuple[datetime, str, str]] = field(default_factory=dict)
    """Hub time and hospital of an ignored event, and what ignored it."""
    repeated: list[tuple[Any, datetime]] = field(default_factory=list)
    """Of the snapshots received again: visit and hub time, from which on each confirms its visit."""


def validate(received: Iterable[Received], reference: Reference) -> Verdict:
    """Accept, repair, quarantine: section 3.3. The first of an identity to reach the hub is the one accepted.

    Rows of files: F8. The hub's event goes before them, of several files the last import.
    """
    verdict = Verdict()
    usable: list[Event] = []
    for item in sorted(received, key=lambda item: (item.enqueued_at, item.partition, item.number)):
        bodies = item.body if isinstance(item.body, list) else [item.body]
        if not bodies:
            verdict.ignored[item.partition, item.number, 0] = (item.enqueued_at, "Unknown", "body_is_empty")
        for part, body in enumerate(bodies):
            event, reasons = _understand(item, body, part, reference)
            if reasons:
                _reject(verdict, event, reasons)
            else:
                usable.append(event)
    holders: dict[tuple[str, datetime], Event] = {}
    for event in filter(lambda event: event.imported_at is None, usable):
        holders.setdefault((event.event_id, event.time), event)
    from_files = [event for event in usable if event.imported_at is not None]
    for event in sorted(from_files, key=lambda event: (event.imported_at, event.coordinates), reverse=True):
        holders.setdefault((event.event_id, event.time), event)
    stated = {
        event.visit: event.imported_at
        for event in sorted(from_files, key=lambda event: event.imported_at or BEGINNING)
        if event.type == SNAPSHOT and event.imported_at is not None
    }

    def is_old(event: Event) -> bool:
        if event.imported_at is None or event.type != SNAPSHOT:
            return False
        return event.imported_at < stated[event.visit]

    for event in usable:
        holder = holders[event.event_id, event.time]
        if holder is event and not is_old(event):
            verdict.accepted.append(event)
        else:
            _leave_out(verdict, event, None if holder is event or is_old(holder) else holder)
    return verdict


def _leave_out(verdict: Verdict, event: Event, holder: Event | None) -> None:
    """``holder`` has its identity; None where a later import states its visit in another way."""
    is_imported = event.imported_at is not None
    said_before = holder is not None and holder.statement == event.statement
    if said_before and (event.type == SNAPSHOT or is_imported):
        verdict.repeated.append((event.visit, event.enqueued_at))
        _ignore(verdict, event, "already_received")
    elif is_imported:
        is_of_hub = holder is not None and holder.imported_at is None
        _ignore(verdict, event, "import_contradicts" if is_of_hub else "import_superseded")
    else:
        _reject(verdict, event, ["event_is_a_duplicate" if said_before else "event_id_is_reused"])


def _ignore(verdict: Verdict, event: Event, name: str) -> None:
    verdict.ignored[event.coordinates] = (event.enqueued_at, event.hospital, name)


def _reject(verdict: Verdict, event: Event, reasons: list[str]) -> None:
    verdict.rejected[event.coordinates] = reasons
    verdict.rejected_at[event.coordinates] = (event.enqueued_at, event.hospital or "Unknown")


def _understand(item: Received, body: dict[str, Any], part: int, reference: Reference) -> tuple[Event, list[str]]:
    said = {name: value for name, value in body.items() if value is not None}
    kind = str(said.get("event_type", SNAPSHOT)).lower()
    is_snapshot = kind == SNAPSHOT
    times = {name: _instant(said.get(name)) for name in TIMES}
    if kind != "discharge" and times["discharge_time"] and times["discharge_time"] > item.enqueued_at + LONGEST_PLAN:
        times["discharge_time"] = None
    patient, hospital = _text(said.get("patient_id")), _text(said.get("hospital_id"))
    department = _spelling(hospital, _text(said.get("department")), reference)
    event_time = times["event_time"] or (times["admission_time"] if is_snapshot else None)
    visit: Any = _text(said.get("visit_id"))
    number = None
    if visit is not None:
        visit = number = (hospital, visit)  # a number belongs to its hospital
    elif is_snapshot:
        visit = (hospital, patient, times["admission_time"])

    latest = item.enqueued_at + TOLERANCE
    ends_at = times["discharge_time"] or (times["event_time"] if kind == "discharge" else None)
    late = {name: instant is not None and instant > latest for name, instant in times.items()}
    broken = {
        "schema_version_is_unsupported": str(said.get("schema_version", "1")).split(".")[0] != "1",
        "event_type_is_unknown": kind not in TYPES,
        "patient_is_missing": patient is None,
        "hospital_is_missing": hospital is None,
        "visit_is_missing": kind in TYPES and kind not in (SNAPSHOT, "merge_patient") and visit is None,
        "department_is_missing": kind in ("arrival", "admission", "transfer", SNAPSHOT) and department is None,
        "event_time_is_unusable": kind in TYPES and not is_snapshot and event_time is None,
        "admission_time_is_unusable": is_snapshot and times["admission_time"] is None,
        "event_is_in_the_future": late["event_time"],
        "arrival_is_in_the_future": late["arrival_time"],
        "triage_is_in_the_future": late["triage_time"],
        "admission_is_in_the_future": late["admission_time"],
        "discharge_is_in_the_future": kind == "discharge" and late["discharge_time"],
        "discharge_precedes_admission": None not in (ends_at, times["admission_time"])
        and ends_at < times["admission_time"],
    }

    gender, age, wait = said.get("gender"), said.get("age"), said.get("wait_minutes")
    status = said.get("discharge_status")
    gender_is_known = gender is None or str(gender).lower() in GENDERS
    age_is_usable = age is None or 0 <= age <= 120
    wait_is_usable = wait is None or 0 <= wait <= 10_080
    flags = {
        "age_is_out_of_range": not age_is_usable,
        "gender_is_unknown": not gender_is_known,
        "wait_is_out_of_range": not wait_is_usable,
        "department_is_not_listed": department is not None and not _is_listed(hospital, department, reference),
        "discharge_status_is_unknown": status is not None and status not in STATUSES,
        "optional_time_is_unusable": any(said.get(name) is not None and times[name] is None for name in TIMES),
    }
    statement = json.dumps(said, sort_keys=True)
    event = Event(
        coordinates=(item.partition, item.number, part),
        hub=(item.partition, item.number, part),
        enqueued_at=item.enqueued_at,
        imported_at=item.imported_at,
        is_imported=item.imported_at is not None,
        states_time=not is_snapshot or times["event_time"] is not None,
        event_id=_text(said.get("event_id")) or statement,
        type=kind,
        time=event_time or BEGINNING,
        visit=visit,
        number=number,
        is_derived=is_snapshot and number is None,
        visit_class=said.get("visit_class"),
        admission_type=said.get("admission_type"),
        source=said.get("source"),
        gives_up=said.get("merged_patient_id"),
        seen=_instant(said.get("seen_time")),
        decision=_instant(said.get("decision_time")),
        planned=_instant(said.get("planned_discharge_time")),
        ready=_instant(said.get("ready_time")),
        patient=patient or "",
        hospital=hospital or "",
        department=department,
        gender=None if gender is None else GENDERS.get(str(gender).lower(), "Unknown"),
        age=age if age_is_usable else None,
        arrival=times["arrival_time"],
        triage=times["triage_time"],
        admission=times["admission_time"],
        discharge=times["discharge_time"],
        wait=wait if wait_is_usable else None,
        bed=_text(said.get("bed_id")),
        status=status if status in STATUSES else None,
        flags=tuple(name for name, holds in flags.items() if holds),
        statement=statement,
    )
    return event, [name for name, holds in broken.items() if holds]


def _instant(said: Any) -> datetime | None:
    if said is None:
        return None
    instant = datetime.fromisoformat(said)
    try:
        instant = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None
    return instant if instant >= EARLIEST else None


def _text(said: Any) -> str | None:
    return None if said is None or not str(said).strip() else str(said).strip()


def _spelling(hospital: str | None, department: str | None, reference: Reference) -> str | None:
    """As the hospital's own line spells it, else as the first line of any hospital, else as it is."""
    if department is None:
        return None
    alike = [line for line in reference if line["department"].lower() == department.lower()]
    own = [line for line in alike if line["hospital_id"] == hospital]
    return next((line["department"] for line in [*own, *alike]), department)


def _with_one_spelling(accepted: Sequence[Event]) -> list[Event]:
    """Contract, section 2: names with one folded form are one department, shown in the smallest spelling seen.

    Listed ones are spelled as the list does already.
    """

    def known_as(event: Event) -> tuple[str | None, str]:
        return event.hospital, " ".join(unicodedata.normalize("NFKC", event.department or "").casefold().split())

    spellings: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for event in accepted:
        if event.department is not None:
            spellings[known_as(event)].add(event.department)
    return [
        event if event.department is None else replace(event, department=min(spellings[known_as(event)]))
        for event in accepted
    ]


def _is_listed(hospital: str | None, department: str, reference: Reference) -> bool:
    return any((line["hospital_id"], line["department"]) == (hospital, department) for line in reference)


@dataclass(frozen=True)
class Version:
    """One version of a patient or department: what holds from one instant to the next."""

    of: Any
    valid_from: datetime
    valid_to: datetime | None
    attributes: tuple[Any, ...]


UNKNOWN = Version(("Unknown", "Unknown"), BEGINNING, None, ("Unknown", None, None, None, True, None, None))
"""The department that nobody knows: whoever names it so means it."""


def patient_versions(accepted: Sequence[Event]) -> list[Version]:
    """(gender, age) of every patient over time, from what each event observes, also under numbers given up."""
    versions: list[Version] = []
    heirs, _ = visits.survivors(accepted)
    people: dict[str, list[Event]] = defaultdict(list)
    for event in accepted:
        people[heirs.get(event.patient, event.patient)].append(event)
    for patient, events in people.items():
        gender: str | None = None
        age: int | None = None
        known: dict[datetime, tuple[Any, ...]] = {}
        for event in sorted(events, key=visits.order):
            gender, age = event.gender or gender, event.age if event.age is not None else age
            known[event.time] = (gender or "Unknown", age)
        versions.extend(_versions(patient, known))
    return versions


def department_versions(accepted: Iterable[Event], reference: Reference) -> list[Version]:
    """(hospital name, beds, staff, expected hours, is inferred, class, unconfirmed days) of departments over time."""
    listed: dict[tuple[str, str], dict[datetime, tuple[Any, ...]]] = defaultdict(dict)
    names: dict[str, str] = {}
    for line in sorted(reference, key=lambda line: line["valid_from"]):
        capacity = (line["staffed_beds"], line["staff"], line["expected_los_hours"])
        attributes = (line["hospital_name"], *capacity, False, line.get("class"), line.get("unconfirmed_days"))
        listed[line["hospital_id"], line["department"]][line["valid_from"]] = attributes
        names[line["hospital_id"]] = line["hospital_name"]
    versions = [version for pair, known in listed.items() for version in _versions(pair, known)]
    mentioned = {(event.hospital, event.department) for event in accepted if event.department is not None}
    for hospital, department in mentioned - listed.keys() - {UNKNOWN.of}:
        inferred = (names.get(hospital), None, None, None, True, None, None)
        versions.append(Version((hospital, department), BEGINNING, None, inferred))
    return versions


def _versions(of: Any, known: Mapping[datetime, tuple[Any, ...]]) -> Iterator[Version]:
    changes: list[tuple[datetime, tuple[Any, ...]]] = []
    for instant, attributes in sorted(known.items()):
        if not changes or changes[-1][1] != attributes:
            changes.append((instant, attributes))
    for number, (instant, attributes) in enumerate(changes):
        until = changes[number + 1][0] if number + 1 < len(changes) else None
        yield Version(of, instant, until, attributes)


def version_at(versions: Iterable[Version], instant: datetime) -> Version | None:
    """The version valid at ``instant``; before the first one, the first."""
    ordered = sorted(versions, key=lambda version: version.valid_from)
    valid = [version for version in ordered if version.valid_from <= instant]
    return valid[-1] if valid else next(iter(ordered), None)


Place = tuple[str, str, datetime]
"""Hospital, department, and ``valid_from`` of the version."""


@dataclass(frozen=True)
class Flow:
    """One stay with the dimension versions that were valid at its admission."""

    stay: visits.Stay
    patient_from: datetime
    gender: str
    place: Place
    came_from: Place | None
    expected_hours: float | None


def newest(accepted: Iterable[Event]) -> datetime | None:
    """When the hub took its newest event; where it has none, the newest of files."""
    times = [(event.imported_at is None, event.enqueued_at) for event in accepted]
    return max(times)[1] if times else None


class Gold:
    """All of gold, from the accepted events."""

    def __init__(
        self,
        accepted: Sequence[Event],
        reference: Reference,
        zone: str,
        repeated: Iterable[tuple[Any, datetime]] = (),
    ) -> None:
        self.zone = ZoneInfo(zone)
        accepted = _with_one_spelling(accepted)
        self.patients = patient_versions(accepted)
        self.departments = department_versions(accepted, reference)
        self._patients = _by_subject(self.patients)
        self._departments = _by_subject(self.departments)
        self.newest = newest(accepted) or BEGINNING
        self.until = _hour(self.newest)
        self.facts = visits.fold(accepted, self._class_at, days=UNCONFIRMED_DAYS, zone=zone, again=repeated)
        self.flows = [self._flow(stay) for stay in self.facts.stays]
        self.waiting = self.facts.waiting
        self.census = self._census()
        self.kpis = self._kpis()

    def _class_at(self, hospital: str, department: str | None, instant: datetime) -> tuple[str | None, int | None]:
        """Class and unconfirmed days that the list states."""
        if department is None or (hospital, department) == UNKNOWN.of:
            return None, None
        attributes = self._department(hospital, department, instant).attributes
        return attributes[5], attributes[6]

    def _flow(self, stay: visits.Stay) -> Flow:
        patient = version_at(self._patients[stay.patient], stay.begins)
        department = self._department(stay.hospital, stay.department, stay.begins)
        came_from = stay.came_from and (stay.came_from.hospital, stay.came_from.department)
        origin = self._department(*came_from, stay.begins) if came_from and came_from != UNKNOWN.of else None
        assert patient is not None
        return Flow(
            stay,
            patient.valid_from,
            patient.attributes[0],
            _place(department),
            _place(origin) if origin else None,
            department.attributes[3],
        )

    def _department(self, hospital: str, department: str, instant: datetime) -> Version:
        if (hospital, department) == UNKNOWN.of:
            return UNKNOWN
        version = version_at(self._departments[hospital, department], instant)
        assert version is not None
        return version

    def _census(self) -> Counter[tuple[datetime, Place, str]]:
        """Occupied beds by hour, department version at that hour, and gender, up to the newest event."""
        beds: Counter[tuple[datetime, Place, str]] = Counter()
        for flow in self.flows:
            stay = flow.stay
            hour = _hour(stay.begins)
            while hour <= self.until and (stay.ends is None or hour < stay.ends):
                is_confirmed = stay.spans is None or any(first <= hour < last for first, last in stay.spans)
                if hour >= stay.begins and is_confirmed:
                    beds[hour, _place(self._department(stay.hospital, stay.department, hour)), flow.gender] += 1
                hour += HOUR
        return beds

    def _kpis(self) -> dict[tuple[date, Place, str], dict[str, Any]]:
        """Measures by local date, department version and gender."""
        rows: dict[tuple[date, Place, str], dict[str, Any]] = defaultdict(_no_measures)
        for flow in self.flows:
            stay = flow.stay
            row = rows[self._date(stay.begins), flow.place, flow.gender]
            is_counted = not stay.is_day_case and not stay.is_observation
            row["admissions"] += stay.is_visit_start and is_counted
            row["day_cases"] += stay.is_visit_start and stay.is_day_case
            row["transfers_in"] += stay.is_transfer
            row["waits"] += [stay.wait] if stay.wait is not None and is_counted else []
            if stay.ends is not None and stay.ends <= self.newest:  # later ones are plans
                row = rows[self._date(stay.ends), flow.place, flow.gender]
                is_discharge = stay.is_visit_end and is_counted
                row["discharges"] += is_discharge
                row["early_discharges"] += is_discharge and _hour(stay.ends).astimezone(self.zone).hour < 17
                row["lengths"] += [_hours(stay.visit_length)] if stay.visit_length is not None and is_counted else []
                row["in_bed"] += [_hours(stay.in_bed)] if stay.in_bed is not None and is_counted else []
                row["nights_sum"] += (stay.nights or 0) if is_counted else 0
                hours = _hours(stay.ends - stay.begins)
                row["overstays"] += flow.expected_hours is not None and hours > flow.expected_hours
        for attendance in self.facts.attendances:
            self._attended(rows, attendance)
        for (hour, place, gender), beds in self.census.items():
            row = rows[self._date(hour), place, gender]
            row["occupied_bed_hours"] += beds
            row["midnight_beds"] += beds if self._date(hour) != self._date(hour - HOUR) else 0
        self._staff(rows)
        return {key: _measured(row) for key, row in rows.items()}

    def _attended(self, rows: dict[tuple[date, Place, str], dict[str, Any]], attended: visits.Attendance) -> None:
        """Attendances count on the date of their arrival; what their departure decides, once it has passed."""
        patient = version_at(self._patients[attended.patient], attended.arrival)
        assert patient is not None
        place = UNKNOWN
        if attended.department is not None:
            place = self._department(attended.hospital, attended.department, attended.arrival)
        row = rows[self._date(attended.arrival), _place(place), patient.attributes[0]]
        row["attendances"] += 1
        for name, instant in (("minutes_to_triage", attended.triage), ("minutes_to_seen", attended.seen)):
            minutes = _minutes(attended.arrival, instant)
            row[name] += [] if minutes is None else [minutes]
        if attended.departure is None or attended.departure > self.newest:
            return
        row["ed_departed"] += 1
        row["ed_admitted"] += attended.outcome == "admitted"
        row["ed_left_without_being_seen"] += attended.outcome == "left_without_being_seen"
        minutes = _minutes(attended.arrival, attended.departure)
        if minutes is not None:
            row["ed_within_240"] += minutes <= 240
            row["ed_over_480"] += minutes > 480
            row["ed_over_720"] += minutes > 720
            row["minutes_in_department"].append(minutes)
        boarded = None
        if attended.outcome == "admitted" and attended.decision is not None:
            boarded = _minutes(attended.decision, attended.departure)
        if boarded is not None:
            row["ed_boarding_over_240"] += boarded > 240
            row["boarding_minutes"].append(boarded)

    def _staff(self, rows: dict[tuple[date, Place, str], dict[str, Any]]) -> None:
        """F19: staffed beds count from a department's beginning on, on days on which its hospital has a patient."""
        firsts: dict[tuple[str, str], datetime] = {}
        hospital_firsts: dict[str, datetime] = {}
        days: set[tuple[str, date]] = set()
        for hour, (hospital, department, _), _ in self.census:
            firsts[hospital, department] = min(hour, firsts.get((hospital, department), hour))
            hospital_firsts[hospital] = min(hour, hospital_firsts.get(hospital, hour))
            days.add((hospital, self._date(hour)))
        for version in self.departments:
            hospital, _ = version.of
            beds = version.attributes[1]
            listed = [v.valid_from for v in self._departments[version.of] if not v.attributes[4]]
            starts = [firsts[version.of]] if version.of in firsts else []
            if listed and hospital in hospital_firsts and min(listed) > hospital_firsts[hospital]:
                starts.append(min(listed))  # it opened later, and may still be empty
            if beds is None or not starts:
                continue
            hour = _hour(max(min(starts), version.valid_from))
            while hour <= self.until and (version.valid_to is None or hour < version.valid_to):
                is_valid = hour >= version.valid_from and hour >= min(starts)
                if is_valid and (hospital, self._date(hour)) in days:
                    for gender in ("Female", "Male", "Other", "Unknown"):
                        row = rows[self._date(hour), _place(version), gender]
                        row["staffed_bed_hours"] = (row["staffed_bed_hours"] or 0) + beds
                hour += HOUR

    def _date(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()


_COUNTED = (
    *("admissions", "day_cases", "transfers_in", "discharges", "early_discharges", "nights_sum", "overstays"),
    *("occupied_bed_hours", "midnight_beds", "attendances", "ed_departed", "ed_within_240", "ed_over_720"),
    *("ed_over_480", "ed_left_without_being_seen", "ed_admitted", "ed_boarding_over_240"),
)
_TIMES = ("minutes_to_triage", "minutes_to_seen", "minutes_in_department", "boarding_minutes")
"""Times of attendances of which the daily table has percentiles."""


def _no_measures() -> dict[str, Any]:
    lists: dict[str, Any] = {name: [] for name in ("waits", "lengths", "in_bed", *_TIMES)}
    return {**dict.fromkeys(_COUNTED, 0), **lists, "staffed_bed_hours": None}


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    waits, lengths, in_bed = row.pop("waits"), row.pop("lengths"), row.pop("in_bed")
    times = {name: row.pop(name) for name in _TIMES}
    return {
        **row,
        "waits": len(waits),
        "wait_minutes_sum": sum(waits) if waits else None,
        "wait_minutes_p50": percentile(waits, 0.5),
        "wait_minutes_p90": percentile(waits, 0.9),
        "waits_within_240": sum(wait <= 240 for wait in waits),
        "length_of_stay_hours_sum": sum(lengths) if lengths else None,
        "length_of_stay_hours_median": statistics.median(lengths) if lengths else None,
        "in_bed_hours_sum": sum(in_bed) if in_bed else None,
        **{
            f"{name}_p{share}": percentile(minutes, share / 100)
            for name, minutes in times.items()
            for share in (50, 90, 95)
        },
    }


def _minutes(start: datetime, end: datetime | None) -> float | None:
    """Minutes between two instants; None where the second is unknown or earlier."""
    return None if end is None or end < start else (end - start) / timedelta(minutes=1)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which ``share`` of ``values`` lies, straight between neighbours (PERCENTILE.INC)."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def quality(verdict: Verdict, zone: str) -> dict[tuple[date, str, str], dict[str, int]]:
    """Events by local date of arrival at the hub, hospital and rule."""
    counts: dict[tuple[date, str, str], dict[str, int]] = defaultdict(
        lambda: {"accepted": 0, "flagged": 0, "quarantined": 0, "ignored": 0}
    )

    def day(instant: datetime) -> date:
        return instant.astimezone(ZoneInfo(zone)).date()

    for event in verdict.accepted:
        counts[day(event.enqueued_at), event.hospital, "all"]["accepted"] += 1
        for flag in event.flags:
            counts[day(event.enqueued_at), event.hospital, flag]["flagged"] += 1
    for coordinates, reasons in verdict.rejected.items():
        enqueued_at, hospital = verdict.rejected_at[coordinates]
        for rule in ("all", *reasons):
            counts[day(enqueued_at), hospital, rule]["quarantined"] += 1
    for enqueued_at, hospital, name in verdict.ignored.values():
        for rule in ("all", name):
            counts[day(enqueued_at), hospital, rule]["ignored"] += 1
    return dict(counts)


def calendar(hour: datetime, zone: str) -> dict[str, Any]:
    """DimTime's row of one UTC hour."""
    local = hour.astimezone(ZoneInfo(zone))
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    months = (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    )
    return {
        "time_key": int(f"{hour.year:04}{hour.month:02}{hour.day:02}{hour.hour:02}"),
        "hour_start_at": hour,
        "date": local.date(),
        "hour": local.hour,
        "is_day_start": local.date() != (hour - HOUR).astimezone(ZoneInfo(zone)).date(),
        "day_name": days[local.weekday()],
        "is_weekend": local.weekday() in (5, 6),
        "week": local.isocalendar().week,
        "month": local.month,
        "month_name": months[local.month - 1],
        "quarter": (local.month + 2) // 3,
        "year": local.year,
        "shift": "day" if 6 <= local.hour < 14 else "evening" if 14 <= local.hour < 22 else "night",
    }


def _grouped(events: Iterable[Event], by: str) -> dict[Any, list[Event]]:
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        groups[getattr(event, by)].append(event)
    return groups


def _by_subject(versions: Iterable[Version]) -> dict[Any, list[Version]]:
    groups: dict[Any, list[Version]] = defaultdict(list)
    for version in versions:
        groups[version.of].append(version)
    return groups


def _place(version: Version) -> Place:
    hospital, department = version.of
    return hospital, department, version.valid_from


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _hours(duration: timedelta) -> float:
    return duration / HOUR
