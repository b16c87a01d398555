"""The discrete-event simulation of a hospital network: opening, arrivals, and the stream of simulated events.

When too many patients wait, the next arrivals are diverted. Arrival rates follow the beds at ``start``; a later version
of a department changes its beds only. Everything follows from ``(seed, start, departments, zone, transfers)``; times
are microseconds since 1970 (UTC) on the hospital's own clock.

Not here: the steps of a visit (``care``), the events on the wire (``events``) and their sending (``feed``,
``sending``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, tzinfo
from functools import partial
from hashlib import blake2b
from random import Random

from .agenda import Agenda
from .care import DELAY_SIGMA, PROFILES, TO_DOCTOR, Care
from .demand import DAY, EMERGENCY, ArrivalStream, WeeklyPattern, arrival_streams, lognormal, stay_in_progress
from .departments import Department
from .population import Patient, Population, Profile
from .units import SimEvent, Unit

# Shares of patients from another hospital's population, and of children in the emergency department.
ANOTHER_HOSPITAL = 0.03
CHILD_IN_EMERGENCY = 0.2

# An emergency department with more people waiting than this share of its beds diverts the next arrivals.
DIVERSION = 0.4

INITIAL_OCCUPANCY = (0.72, 0.88)
MAX_INITIAL_STAY = 45 * DAY


class Network:
    """Hospitals with their units from ``start`` on; read :meth:`events`."""

    def __init__(
        self, seed: int, start: int, departments: list[Department], zone: tzinfo = UTC, *, transfers: bool = True
    ) -> None:
        """``transfers=False``: every visit is a single stay that ends as planned, without any correction.

        ``visits_per_second`` is the average over a week; ``run_id`` is the common part of all ids of this run.
        """
        self.run_id = blake2b(f"{seed}/{start}".encode(), digest_size=5).hexdigest()
        self.units: dict[tuple[int | str, str], Unit] = {}
        self.visits_per_second = 0.0
        self._rng = Random(f"{seed}/{start}")
        self._week = WeeklyPattern(zone)
        self._agenda = Agenda(start)
        self._care = Care(self._agenda, self._rng, self._week, self.units, run_id=self.run_id, transfers=transfers)
        self._transfers = transfers
        self._populations: dict[int | str, Population] = {}
        self._open(start, departments)

    def events(self) -> Iterator[SimEvent]:
        """All simulated events in order of time, without end.

        The first ones lie before ``start``: the admissions of the patients who are in a bed when the simulation begins.
        """
        for _ in self._agenda.run():
            yield from self._care.events
            self._care.events.clear()

    def _open(self, start: int, departments: list[Department]) -> None:
        versions: dict[tuple[int | str, str], list[Department]] = {}
        for department in sorted(departments, key=lambda d: d.valid_from):
            versions.setdefault((department.hospital_id, department.name), []).append(department)
        hospitals: dict[int | str, list[Department]] = {}
        for (hospital, name), known in versions.items():
            current = ([d for d in known if d.valid_from <= start] or known[:1])[-1]
            number = len(hospitals.setdefault(hospital, [])) + 1
            hospitals[hospital].append(current)
            unit = self.units[hospital, name] = Unit(current, number * 1000 + 1)
            for later in known:
                if later.valid_from > start:
                    self._agenda.at(later.valid_from, partial(self._resize, unit, later))
        for hospital, current_departments in hospitals.items():
            beds = sum(department.staffed_beds for department in current_departments)
            self._populations[hospital] = Population(self._rng, beds)
            for stream in arrival_streams(current_departments, transfers=self._transfers):
                self.visits_per_second += stream.per_hour / 3600
                self._schedule_arrival(stream, start)
        for unit in self.units.values():
            self._fill(unit, start)

    def _fill(self, unit: Unit, start: int) -> None:
        """Place patients who were admitted before ``start`` and leave after it."""
        for _ in range(int(unit.capacity * self._rng.uniform(*INITIAL_OCCUPANCY))):
            length = min(stay_in_progress(self._rng, unit.department), MAX_INITIAL_STAY)
            elapsed = int(length * self._rng.random())
            self._agenda.at(start - elapsed, partial(self._admit_before_start, unit, length, start))

    def _admit_before_start(self, unit: Unit, length: int, start: int) -> None:
        now = self._agenda.now
        patient = self._populations[unit.department.hospital_id].draw(self._profile(unit.name), now)
        arrived_at = now - lognormal(self._rng, TO_DOCTOR, DELAY_SIGMA)
        visit = self._care.start_visit(patient, unit, None, arrived_at)
        self._care.admit(visit, ends=max(now + length, start + 1))

    def _resize(self, unit: Unit, department: Department) -> None:
        unit.resize(department)
        self._care.assign_beds(unit)

    def _schedule_arrival(self, stream: ArrivalStream, after: int) -> None:
        self._agenda.at(self._week.next_arrival(self._rng, stream, after), partial(self._arrive, stream))

    def _arrive(self, stream: ArrivalStream) -> None:
        self._schedule_arrival(stream, self._agenda.now)
        unit = self.units[stream.hospital_id, stream.department]
        if stream.is_urgent and len(unit.queue) > DIVERSION * unit.capacity:
            return  # diverted before they reach this hospital
        if not stream.is_urgent and (not unit.has_free_bed or unit.has_waiting):
            return  # the planned admission is called off
        visit = self._care.start_visit(self._patient(stream), unit, stream.destination, self._agenda.now)
        self._care.arrive(visit, is_urgent=stream.is_urgent)

    def _patient(self, stream: ArrivalStream) -> Patient:
        hospital = stream.hospital_id
        if self._rng.random() < ANOTHER_HOSPITAL:
            hospital = self._rng.choice(list(self._populations))
        return self._populations[hospital].draw(
            self._profile(stream.destination or stream.department), self._agenda.now
        )

    def _profile(self, department: str) -> Profile:
        if department == EMERGENCY and self._rng.random() < CHILD_IN_EMERGENCY:
            return Profile.CHILD
        return PROFILES.get(department, Profile.ADULT)
