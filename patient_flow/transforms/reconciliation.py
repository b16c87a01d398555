"""A second source held against the stream (contract 3.6): differences at one instant, and the events that correct them.

Both sides are folded stays. Not here: reading the extract, what the lake knew at the instant, and writing corrections.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatch
from typing import Any

import polars as pl

from patient_flow.transforms.corrections import ESTIMATED
from patient_flow.transforms.names import fold_name
from patient_flow.transforms.visits.confirmations import days_of
from patient_flow.transforms.visits.model import EMERGENCY, WARD

FACTS = ("admission", "transfer", "discharge", "confirmation")
"""What an extract can win over the stream."""
MAX_DISCHARGES_PCT = 20
MIN_DISCHARGES = 5
"""Absent patients that are discharged whatever their share."""
CONFIRMATION_ENDS_WITHIN = timedelta(days=2)

c = pl.col


class Kind(StrEnum):
    """Kinds of difference."""

    MISSING_ADMISSION = "missing_admission"
    MISSING_DISCHARGE = "missing_discharge"
    OTHER_DEPARTMENT = "other_department"
    IN_EXTRACT_ONLY = "in_bed_in_extract_only"
    IN_STREAM_ONLY = "in_bed_in_stream_only"


MEANINGS = {
    Kind.MISSING_ADMISSION: "in bed in the extract; the stream has not admitted the patient",
    Kind.MISSING_DISCHARGE: "in bed in the stream; the extract states a discharge, or does not list the patient",
    Kind.OTHER_DEPARTMENT: "in bed in both, in different departments",
    Kind.IN_EXTRACT_ONLY: "in bed in the extract; the stream admitted the patient and has nobody in bed any more",
    Kind.IN_STREAM_ONLY: "in bed in the stream; the extract knows the visit and has nobody in bed",
}


@dataclass(frozen=True)
class ExtractRule:
    """What extracts of these ``files`` win over the stream in these ``hospitals`` (None: in all).

    ``departments`` are those that the extract lists completely; None: all but emergency departments of which it lists
    nobody. ``wins`` names :data:`FACTS`. Where the patients that an extract lacks are more than ``max_discharges_pct``
    of a hospital's patients in bed, none of them is discharged.
    """

    files: str = "*"
    hospitals: tuple[str, ...] | None = None
    departments: tuple[str, ...] | None = None
    wins: frozenset[str] = frozenset()
    max_discharges_pct: float = MAX_DISCHARGES_PCT

    def is_for(self, file: str, hospital: str) -> bool:
        """True for a hospital of a file of this name."""
        return fnmatch(file, self.files) and (self.hospitals is None or hospital in self.hospitals)


def rule_of(rules: Iterable[ExtractRule], file: str, hospital: str) -> ExtractRule:
    """The first rule for a hospital of a file; without one nothing is corrected."""
    return next((rule for rule in rules if rule.is_for(file, hospital)), ExtractRule())


@dataclass(frozen=True)
class Stay:
    """One stay of a visit, as a source has it at the instant."""

    patient: str
    hospital: str
    department: str
    since: datetime
    until: datetime | None
    kind: str
    bed: str | None
    visit_class: str | None
    status: str | None
    confirmed_until: datetime | None
    is_in_bed: bool
    is_estimated: bool

    @property
    def place(self) -> tuple[str, str]:
        """Hospital and department, as they are compared."""
        return self.hospital, fold_name(self.department)


@dataclass(frozen=True)
class Side:
    """A source at the instant: the stays of its visits up to then in order, and all visits that it knows."""

    stays: Mapping[str, list[Stay]]
    visits: frozenset[str]

    @classmethod
    def of(cls, folded: pl.DataFrame, visits: Iterable[str], at: datetime) -> Side:
        """From folded stays, as known at ``at``."""
        stays: dict[str, list[Stay]] = {}
        begun = folded.filter(c("admission_at") <= at).sort("visit_id", "stay_number")
        for row in begun.iter_rows(named=True):
            stays.setdefault(row["visit_id"], []).append(_stay(row, at))
        return cls(stays, frozenset(visits))

    def last(self, visit: str) -> Stay | None:
        """The newest stay of a visit."""
        found = self.stays.get(visit)
        return found[-1] if found else None

    def in_bed(self) -> dict[str, Stay]:
        """Visits with a patient in bed, and where."""
        return {visit: stays[-1] for visit, stays in self.stays.items() if stays[-1].is_in_bed}


def _stay(row: Mapping[str, Any], at: datetime) -> Stay:
    until, spans = row["discharge_at"], row["confirmed_spans"]
    is_open = until is None or until > at
    if is_open and spans is not None:
        is_open = any(first <= at < last for first, last in zip(spans[::2], spans[1::2], strict=True))
    return Stay(
        row["patient_id"],
        row["hospital_id"],
        row["department"],
        row["admission_at"],
        until,
        row["stay_kind"],
        row["bed_id"],
        row["visit_class"],
        row["discharge_status"],
        row["confirmed_until"],
        is_open,
        ESTIMATED in row["quality_flags"],
    )


@dataclass(frozen=True)
class Correction:
    """An event that corrects the stream. ``fact`` is one of :data:`FACTS`, ``stated`` holds contract fields."""

    fact: str
    event_type: str
    event_time: datetime
    stated: Mapping[str, object] = field(default_factory=dict)
    is_estimated: bool = False

    def event_id(self, taken_at: datetime, visit: str) -> str:
        """The same for the same extract, visit and fact; a visit's earlier stays are facts of their own."""
        since = "" if self.is_estimated or self.event_type != "transfer" else f"|{self.event_time.isoformat()}"
        digest = hashlib.sha256(f"{taken_at.isoformat()}|{visit}|{self.event_type}{since}".encode()).hexdigest()
        return f"reconciliation-{digest[:40]}"


@dataclass(frozen=True)
class Difference:
    """A difference of one visit; ``kind`` is None where the extract only confirms the stay.

    ``stream_visit`` is the visit's pseudonym in the stream, ``extract_visit`` in the extract (None where it is not
    there). ``corrections`` are what would bring the stream in line; ``held_back`` says why none of them is made.
    """

    kind: Kind | None
    hospital: str
    stream_visit: str | None
    extract_visit: str | None
    stream: Stay | None
    extract: Stay | None
    corrections: tuple[Correction, ...] = ()
    held_back: str | None = None

    @property
    def visit(self) -> str:
        """The visit's pseudonym."""
        return self.stream_visit or self.extract_visit or ""

    @property
    def is_absence(self) -> bool:
        """True where the only evidence is that the extract does not list the patient."""
        return self.kind is Kind.MISSING_DISCHARGE and self.extract_visit is None


class Comparison:
    """Differences of an extract that was taken at ``at`` from what the stream knew then."""

    def __init__(
        self,
        extract: Side,
        stream: Side,
        at: datetime,
        *,
        unnumbered: frozenset[str] = frozenset(),
        listed_days: Mapping[tuple[str, str], int | None] | None = None,
        unconfirmed_days: int,
    ) -> None:
        """``unnumbered`` are visits whose number the extract does not state: they are found by patient and hospital.

        ``listed_days`` are the days of the department list by hospital and folded name.
        """
        self._extract, self._stream, self._at = extract, stream, at
        self._unnumbered, self._days, self._setting = unnumbered, listed_days or {}, unconfirmed_days
        self._pairs = {visit: self._counterpart(visit) for visit in extract.visits}

    def differences(self, covered: Mapping[str, frozenset[str] | None]) -> list[Difference]:
        """All differences. ``covered`` has the hospitals of the extract, each with its complete departments (folded).

        None stands for every department but emergency departments of which the extract lists nobody.
        """
        found = [self._of_extract(visit, stay) for visit, stay in sorted(self._extract.in_bed().items())]
        answered = {stream: visit for visit, stream in self._pairs.items() if stream is not None}
        named = {stay.place for stays in self._extract.stays.values() for stay in stays if stay.kind == EMERGENCY}
        for visit, stay in sorted(self._stream.in_bed().items()):
            other = answered.get(visit)
            if other is not None:
                found.append(self._of_both(visit, other, stay))
            elif stay.hospital in covered and _is_covered(stay, covered[stay.hospital], named):
                found.append(self._leaving(Kind.MISSING_DISCHARGE, visit, None, stay, None))
        return [difference for difference in found if difference is not None]

    def _counterpart(self, visit: str) -> str | None:
        """The stream's visit: the same number, else where the extract states none the patient's stay in bed there."""
        if visit in self._stream.visits:
            return visit
        stay = self._extract.last(visit)
        if visit not in self._unnumbered or stay is None:
            return None
        in_bed = self._stream.in_bed().items()
        beds = [other for other, s in in_bed if (s.patient, s.hospital) == (stay.patient, stay.hospital)]
        return beds[0] if len(beds) == 1 else None

    def _of_extract(self, visit: str, stay: Stay) -> Difference | None:
        stream_visit = self._pairs[visit]
        known = None if stream_visit is None else self._stream.last(stream_visit)
        if stream_visit is None or known is None:
            stays = self._extract.stays[visit]
            admit = self._placing("admission", "admission", stays[0], states_class=stream_visit is not None)
            moves = (self._placing("transfer", "admission", each) for each in stays[1:])
            return self._difference(Kind.MISSING_ADMISSION, stream_visit, visit, (admit, *moves))
        if known.is_in_bed:
            return self._in_both(stream_visit, visit, known, stay)
        if known.until is None or known.until > self._at:  # open, but nothing confirms it
            if known.place == stay.place:
                update = Correction("confirmation", "update", self._at)
                return self._difference(Kind.IN_EXTRACT_ONLY, stream_visit, visit, (update,), confirms=False)
            return self._moving(Kind.IN_EXTRACT_ONLY, stream_visit, visit, known, stay)
        begins = None if stay.since > known.until else self._at
        back = self._placing("admission", "admission", stay, begins, states_class=True)
        return self._difference(Kind.IN_EXTRACT_ONLY, stream_visit, visit, (back,))

    def _in_both(self, stream_visit: str, visit: str, known: Stay, stay: Stay) -> Difference | None:
        if known.place != stay.place:
            return self._moving(Kind.OTHER_DEPARTMENT, stream_visit, visit, known, stay)
        if known.confirmed_until is None or known.confirmed_until >= self._at + CONFIRMATION_ENDS_WITHIN:
            return None
        update = Correction("confirmation", "update", self._at)
        return self._difference(None, stream_visit, visit, (update,), confirms=False)

    def _moving(self, kind: Kind, stream_visit: str, visit: str, known: Stay, stay: Stay) -> Difference:
        begins = None if stay.since > known.since and not stay.is_estimated else self._at
        move = self._placing("transfer", "transfer", stay, begins, states_class=known.kind != stay.kind)
        return self._difference(kind, stream_visit, visit, (move,))

    def _of_both(self, visit: str, other: str, stay: Stay) -> Difference | None:
        """The stream has the patient in bed, and the extract knows the visit."""
        ended = self._extract.last(other)
        if ended is not None and ended.is_in_bed:
            return None  # the extract's side has compared them
        kind = Kind.IN_STREAM_ONLY if ended is None else Kind.MISSING_DISCHARGE
        return self._leaving(kind, visit, other, stay, ended)

    def _leaving(self, kind: Kind, visit: str, other: str | None, stay: Stay, ended: Stay | None) -> Difference:
        until = ended.until if ended is not None else None
        is_stated = until is not None and stay.since <= until <= self._at
        stated = {"discharge_status": ended.status if ended is not None else None}
        ends = until if is_stated and until is not None else self._at
        leave = Correction("discharge", "discharge", ends, stated, is_estimated=not is_stated)
        return self._difference(kind, visit, other, (leave,), confirms=False)

    def _placing(
        self, event_type: str, fact: str, stay: Stay, estimate: datetime | None = None, *, states_class: bool = False
    ) -> Correction:
        """Into the department of ``stay``, when it begins unless only an ``estimate`` is known."""
        default = {EMERGENCY: "emergency", WARD: "inpatient"}.get(stay.kind) if states_class else None
        stated = {"department": stay.department, "bed_id": stay.bed, "visit_class": stay.visit_class or default}
        is_estimated = stay.is_estimated or estimate is not None
        begins = stay.since if estimate is None else estimate
        return Correction(fact, event_type, begins, {"hospital_id": stay.hospital, **stated}, is_estimated)

    def _difference(
        self,
        kind: Kind | None,
        stream_visit: str | None,
        visit: str | None,
        corrections: tuple[Correction, ...],
        *,
        confirms: bool = True,
    ) -> Difference:
        known = None if stream_visit is None else self._stream.last(stream_visit)
        stay = None if visit is None else self._extract.last(visit)
        if confirms and stay is not None:
            days = days_of(self._days.get(stay.place), stay.kind, self._setting)
            placed = corrections[-1].event_time
            if placed + timedelta(days=days) < self._at + CONFIRMATION_ENDS_WITHIN and placed < self._at:
                corrections = (*corrections, Correction("confirmation", "update", self._at))
        where = stay or known
        hospital = where.hospital if where is not None else ""
        held_back = None
        if visit in self._unnumbered and stream_visit is None:
            held_back = "the extract states no visit number"
        return Difference(kind, hospital, stream_visit, visit, known, stay, corrections, held_back)


def _is_covered(stay: Stay, complete: frozenset[str] | None, named: set[tuple[str, str]]) -> bool:
    if complete is not None:
        return stay.place[1] in complete
    return stay.kind != EMERGENCY or stay.place in named
