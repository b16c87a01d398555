"""The pipeline again, in plain Python, from the contract: slow, obvious, and without a line of the real one.

Dictionaries, lists and loops over everything; no Polars, no batches, nothing incremental. What it says of the events
of a hub is what silver and gold must hold, whatever way the events took there. Only well-formed JSON objects are read;
hostile bytes are the business of the tests of reading.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

TYPES = (
    "arrival",
    "triage",
    "admission",
    "transfer",
    "discharge",
    "update",
    "cancel_admission",
    "cancel_transfer",
    "cancel_discharge",
    "void_visit",
    "visit_snapshot",
    "merge_patient",
)
SNAPSHOT = "visit_snapshot"
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
CONFLICT = "stay_times_conflict"

Reference = Sequence[Mapping[str, Any]]
"""Lines of the department list."""


class Received(Protocol):
    """One event as the hub holds it."""

    body: dict[str, Any]
    enqueued_at: datetime
    partition: str
    number: int


@dataclass(frozen=True)
class Event:
    """One event with its fields understood; null where the body states nothing usable."""

    coordinates: tuple[str, int]
    enqueued_at: datetime
    event_id: str
    type: str
    time: datetime
    visit: Any
    patient: str
    hospital: str
    department: str | None
    gender: str | None
    age: int | None
    arrival: datetime | None
    admission: datetime | None
    discharge: datetime | None
    wait: float | None
    bed: str | None
    status: str | None
    flags: tuple[str, ...]
    statement: str
    """The canonical body: two events that say the same have the same."""

    @property
    def order(self) -> tuple[Any, ...]:
        """The total order of section 3.3: two events of a visit or patient never tie."""
        hub_time = self.enqueued_at if self.type == SNAPSHOT else BEGINNING
        return self.time, TYPES.index(self.type), hub_time, self.event_id

    @property
    def discharged_at(self) -> datetime:
        """When a discharge event says that it happened."""
        return self.discharge or self.time


@dataclass
class Verdict:
    """Every event of the hub in exactly one of three places."""

    accepted: list[Event] = field(default_factory=list)
    rejected: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    rejected_at: dict[tuple[str, int], tuple[datetime, str]] = field(default_factory=dict)
    """Hub time and hospital of a rejected event."""
    ignored: dict[tuple[str, int], tuple[datetime, str]] = field(default_factory=dict)
    """Snapshots received again: hub time and hospital."""


def validate(received: Iterable[Received], reference: Reference) -> Verdict:
    """Accept, repair, quarantine: section 3.3. The first of an identity to reach the hub is the one accepted."""
    verdict = Verdict()
    holders: dict[tuple[str, datetime], Event] = {}
    for item in sorted(received, key=lambda item: (item.enqueued_at, item.partition, item.number)):
        event, reasons = _understand(item, reference)
        if not reasons:
            holder = holders.setdefault((event.event_id, event.time), event)
            if holder is event:
                verdict.accepted.append(event)
                continue
            said_before = holder.statement == event.statement
            if said_before and event.type == SNAPSHOT:
                verdict.ignored[event.coordinates] = (event.enqueued_at, event.hospital)
                continue
            reasons = ["event_is_a_duplicate" if said_before else "event_id_is_reused"]
        verdict.rejected[event.coordinates] = reasons
        verdict.rejected_at[event.coordinates] = (event.enqueued_at, event.hospital or "Unknown")
    return verdict


def _understand(item: Received, reference: Reference) -> tuple[Event, list[str]]:
    said = {name: value for name, value in item.body.items() if value is not None}
    kind = str(said.get("event_type", SNAPSHOT)).lower()
    is_snapshot = kind == SNAPSHOT
    times = {name: _instant(said.get(name)) for name in TIMES}
    if kind != "discharge" and times["discharge_time"] and times["discharge_time"] > item.enqueued_at + LONGEST_PLAN:
        times["discharge_time"] = None
    patient, hospital = _text(said.get("patient_id")), _text(said.get("hospital_id"))
    department = _spelling(hospital, _text(said.get("department")), reference)
    event_time = times["event_time"] or (times["admission_time"] if is_snapshot else None)
    visit: Any = _text(said.get("visit_id"))
    if visit is not None:
        visit = (hospital, visit)  # a number belongs to its hospital
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
        "visit_is_missing": kind in TYPES and not is_snapshot and visit is None,
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
        coordinates=(item.partition, item.number),
        enqueued_at=item.enqueued_at,
        event_id=_text(said.get("event_id")) or statement,
        type=kind,
        time=event_time or BEGINNING,
        visit=visit,
        patient=patient or "",
        hospital=hospital or "",
        department=department,
        gender=None if gender is None else GENDERS.get(str(gender).lower(), "Unknown"),
        age=age if age_is_usable else None,
        arrival=times["arrival_time"],
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


def _is_listed(hospital: str | None, department: str, reference: Reference) -> bool:
    return any((line["hospital_id"], line["department"]) == (hospital, department) for line in reference)


@dataclass
class Placement:
    """The patient is put into a department, and what is said of it until the next time."""

    hospital: str
    department: str
    began_at: datetime
    is_admission: bool
    bed: str | None
    discharged_at: datetime | None = None


@dataclass
class Stay:
    """One row of the fact, in natural terms."""

    visit: Any
    number: int
    patient: str
    hospital: str
    department: str
    came_from: tuple[str, str] | None
    arrival_at: datetime | None
    admission_at: datetime
    discharge_at: datetime | None
    wait_minutes: float | None
    wait_source: str | None
    is_visit_start: bool
    is_visit_end: bool
    visit_began_at: datetime | None
    bed: str | None
    status: str | None
    flags: tuple[str, ...]
    last_enqueued_at: datetime

    @property
    def hours(self) -> float | None:
        """Length of the stay."""
        return None if self.discharge_at is None else _hours(self.discharge_at - self.admission_at)

    @property
    def visit_hours(self) -> float | None:
        """Length of the visit, told once: by the last stay of a visit that was admitted and has ended."""
        if not self.is_visit_end or self.visit_began_at is None or self.discharge_at is None:
            return None
        return _hours(self.discharge_at - self.visit_began_at)


def stays(accepted: Iterable[Event]) -> list[Stay]:
    """Every visit, folded."""
    return [stay for events in _grouped(accepted, "visit").values() for stay in fold(events)]


def waiting(accepted: Iterable[Event]) -> set[Any]:
    """Visits that have no stay yet."""
    return {visit for visit, events in _grouped(accepted, "visit").items() if not fold(events)}


def fold(events: Sequence[Event]) -> list[Stay]:
    """The stays of one visit."""
    ordered = sorted(events, key=lambda event: event.order)
    standing = _standing(ordered)
    joined = _joined(_placements(standing))
    arrival = _last(event.arrival or (event.time if event.type == "arrival" else None) for event in standing)
    planned = _last(event.discharge for event in standing if event.type in ("update", SNAPSHOT))
    reported = _last(event.wait for event in standing)
    status = _last(event.status for event in standing if event.type in ("discharge", "update", SNAPSHOT))
    flags = tuple(sorted({flag for event in ordered for flag in event.flags}))

    result: list[Stay] = []
    for number, (first, last) in enumerate(joined, start=1):
        is_last = number == len(joined)
        ends = [last.discharged_at]
        if is_last and last.discharged_at is None and planned is not None and planned >= first.began_at:
            ends.append(planned)
        if not is_last:
            ends.append(joined[number][0].began_at)
        stated_end = min((end for end in ends if end is not None), default=None)
        before = joined[number - 2][1] if number > 1 else None
        is_start = number == 1 and first.is_admission
        is_end = is_last and stated_end is not None
        wait, source = None, None
        if is_start and reported is not None:
            wait, source = reported, "reported"
        elif is_start and arrival is not None and arrival <= first.began_at:
            wait, source = (first.began_at - arrival) / timedelta(minutes=1), "derived"
        later = [CONFLICT] if stated_end is not None and stated_end < first.began_at else []
        if source == "derived" and wait is not None and wait > 10_080:
            wait, source = None, None
            later.append("wait_is_out_of_range")
        result.append(
            Stay(
                visit=ordered[0].visit,
                number=number,
                patient=ordered[-1].patient,
                hospital=first.hospital,
                department=first.department,
                came_from=(before.hospital, before.department) if before and before.discharged_at is None else None,
                arrival_at=arrival,
                admission_at=first.began_at,
                discharge_at=None if stated_end is None else max(stated_end, first.began_at),
                wait_minutes=wait,
                wait_source=source,
                is_visit_start=is_start,
                is_visit_end=is_end,
                visit_began_at=joined[0][0].began_at if joined[0][0].is_admission else None,
                bed=last.bed,
                status=status if is_end else None,
                flags=tuple(sorted({*flags, *later})),
                last_enqueued_at=max(event.enqueued_at for event in ordered),
            )
        )
    return result


def _standing(ordered: Sequence[Event]) -> list[Event]:
    """What is left when only the newest snapshot speaks and every cancel has undone its target."""
    newest = max((event for event in ordered if event.type == SNAPSHOT), key=lambda e: e.order, default=None)
    standing: list[Event] = []
    for event in ordered:
        if event.type == SNAPSHOT and event is not newest:
            continue
        if not event.type.startswith("cancel_"):
            standing.append(event)
            continue
        kind = event.type.removeprefix("cancel_")
        kinds = ("admission", SNAPSHOT) if kind == "admission" else (kind,)
        targets = [place for place, candidate in enumerate(standing) if candidate.type in kinds]
        if targets:
            since = targets[-1]
            taken_along = ("transfer", "discharge") if kind == "admission" else ()
            standing = standing[:since] + [later for later in standing[since + 1 :] if later.type not in taken_along]
    return standing


def _placements(standing: Sequence[Event]) -> list[Placement]:
    placements: list[Placement] = []
    for event in standing:
        if event.type in ("admission", "transfer", SNAPSHOT):
            assert event.department is not None
            is_admission = event.type != "transfer"
            began_at = event.admission if is_admission and event.admission else event.time
            placements.append(Placement(event.hospital, event.department, began_at, is_admission, event.bed))
        if not placements:
            continue
        current = placements[-1]
        current.bed = event.bed or current.bed
        if event.type == "discharge":
            current.discharged_at = event.discharged_at
        if event.type == "update":
            current.department = event.department or current.department
            if current.discharged_at is not None:
                current.discharged_at = event.discharge or current.discharged_at
            for placement in reversed(placements):
                if placement.is_admission:
                    placement.began_at = event.admission or placement.began_at
                    break
    return placements


def _joined(placements: Sequence[Placement]) -> list[tuple[Placement, Placement]]:
    """First and last placement of each stay: being placed where one already lies is a change of bed."""
    joined: list[tuple[Placement, Placement]] = []
    for placement in placements:
        if joined:
            first, last = joined[-1]
            stays_there = (placement.hospital, placement.department) == (last.hospital, last.department)
            if stays_there and last.discharged_at is None:
                joined[-1] = (first, replace(placement, bed=placement.bed or last.bed))
                continue
        joined.append((placement, placement))
    return joined


@dataclass(frozen=True)
class Version:
    """One version of a patient or department: what holds from one instant to the next."""

    of: Any
    valid_from: datetime
    valid_to: datetime | None
    attributes: tuple[Any, ...]


UNKNOWN = Version(("Unknown", "Unknown"), BEGINNING, None, ("Unknown", None, None, None, True))
"""The department that nobody knows: whoever names it so means it."""


def patient_versions(accepted: Iterable[Event]) -> list[Version]:
    """(gender, age) of every patient over time, from what each event observes."""
    versions: list[Version] = []
    for patient, events in _grouped(accepted, "patient").items():
        gender: str | None = None
        age: int | None = None
        known: dict[datetime, tuple[Any, ...]] = {}
        for event in sorted(events, key=lambda event: event.order):
            gender, age = event.gender or gender, event.age if event.age is not None else age
            known[event.time] = (gender or "Unknown", age)
        versions.extend(_versions(patient, known))
    return versions


def department_versions(accepted: Iterable[Event], reference: Reference) -> list[Version]:
    """(hospital name, beds, staff, expected hours, is inferred) of every department over time."""
    listed: dict[tuple[str, str], dict[datetime, tuple[Any, ...]]] = defaultdict(dict)
    names: dict[str, str] = {}
    for line in sorted(reference, key=lambda line: line["valid_from"]):
        attributes = (line["hospital_name"], line["staffed_beds"], line["staff"], line["expected_los_hours"], False)
        listed[line["hospital_id"], line["department"]][line["valid_from"]] = attributes
        names[line["hospital_id"]] = line["hospital_name"]
    versions = [version for pair, known in listed.items() for version in _versions(pair, known)]
    mentioned = {(event.hospital, event.department) for event in accepted if event.department is not None}
    for hospital, department in mentioned - listed.keys() - {UNKNOWN.of}:
        inferred = (names.get(hospital), None, None, None, True)
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

    stay: Stay
    patient_from: datetime
    gender: str
    place: Place
    came_from: Place | None
    expected_hours: float | None


class Gold:
    """All of gold, from the accepted events."""

    def __init__(self, accepted: Sequence[Event], reference: Reference, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.patients = patient_versions(accepted)
        self.departments = department_versions(accepted, reference)
        self._patients = _by_subject(self.patients)
        self._departments = _by_subject(self.departments)
        self.newest = max((event.time for event in accepted), default=BEGINNING)
        self.until = _hour(self.newest)
        self.flows = [self._flow(stay) for stay in stays(accepted)]
        self.waiting = waiting(accepted)
        self.census = self._census()
        self.kpis = self._kpis()

    def _flow(self, stay: Stay) -> Flow:
        patient = version_at(self._patients[stay.patient], stay.admission_at)
        department = self._department(stay.hospital, stay.department, stay.admission_at)
        origin = (
            self._department(*stay.came_from, stay.admission_at)
            if stay.came_from and stay.came_from != UNKNOWN.of
            else None
        )
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
            hour = _hour(stay.admission_at)
            while hour <= self.until and (stay.discharge_at is None or hour < stay.discharge_at):
                if hour >= stay.admission_at:
                    beds[hour, _place(self._department(stay.hospital, stay.department, hour)), flow.gender] += 1
                hour += HOUR
        return beds

    def _kpis(self) -> dict[tuple[date, Place, str], dict[str, Any]]:
        """Measures by local date, department version and gender."""
        rows: dict[tuple[date, Place, str], dict[str, Any]] = defaultdict(_no_measures)
        for flow in self.flows:
            stay = flow.stay
            row = rows[self._date(stay.admission_at), flow.place, flow.gender]
            row["admissions"] += stay.is_visit_start
            row["transfers_in"] += flow.came_from is not None
            row["waits"] += [] if stay.wait_minutes is None else [stay.wait_minutes]
            if stay.discharge_at is not None and stay.discharge_at <= self.newest:  # later ones are plans
                row = rows[self._date(stay.discharge_at), flow.place, flow.gender]
                row["discharges"] += stay.is_visit_end
                row["lengths"] += [] if stay.visit_hours is None else [stay.visit_hours]
                row["overstays"] += flow.expected_hours is not None and (stay.hours or 0) > flow.expected_hours
        for (hour, place, gender), beds in self.census.items():
            row = rows[self._date(hour), place, gender]
            row["occupied_bed_hours"] += beds
            row["midnight_beds"] += beds if self._date(hour) != self._date(hour - HOUR) else 0
        self._staff(rows)
        return {key: _measured(row) for key, row in rows.items()}

    def _staff(self, rows: dict[tuple[date, Place, str], dict[str, Any]]) -> None:
        """Staffed beds count in every hour of the census, from the first patient to the newest event."""
        hour = min((hour for hour, _, _ in self.census), default=self.until + HOUR)
        while hour <= self.until:
            for version in self.departments:
                is_valid = version.valid_from <= hour and (version.valid_to is None or hour < version.valid_to)
                if is_valid and version.attributes[1] is not None:
                    for gender in ("Female", "Male", "Other", "Unknown"):
                        row = rows[self._date(hour), _place(version), gender]
                        row["staffed_bed_hours"] = (row["staffed_bed_hours"] or 0) + version.attributes[1]
            hour += HOUR

    def _date(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()


def _no_measures() -> dict[str, Any]:
    counts = ("admissions", "transfers_in", "discharges", "overstays", "occupied_bed_hours", "midnight_beds")
    return {**dict.fromkeys(counts, 0), "waits": [], "lengths": [], "staffed_bed_hours": None}


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    waits, lengths = row.pop("waits"), row.pop("lengths")
    return {
        **row,
        "waits": len(waits),
        "wait_minutes_sum": sum(waits) if waits else None,
        "wait_minutes_p50": percentile(waits, 0.5),
        "wait_minutes_p90": percentile(waits, 0.9),
        "waits_within_240": sum(wait <= 240 for wait in waits),
        "length_of_stay_hours_sum": sum(lengths) if lengths else None,
        "length_of_stay_hours_median": statistics.median(lengths) if lengths else None,
    }


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
    for enqueued_at, hospital in verdict.ignored.values():
        for rule in ("all", "already_received"):
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


def _last(values: Iterable[Any]) -> Any:
    return next((value for value in reversed(list(values)) if value is not None), None)


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _hours(duration: timedelta) -> float:
    return duration / HOUR
