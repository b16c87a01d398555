"""The discrete-event simulation of a hospital network: opening, arrivals, and the stream of simulated events.

When an emergency department is crowded, the next arrivals are diverted. Arrival rates follow the beds at ``start``; a
later version of a department changes its beds only. Everything follows from ``(seed, start, departments, zone,
transfers)``; times are microseconds since 1970 (UTC) on the hospital's own clock.

Not here: the steps of a visit (``emergency``, ``inpatient``), the events on the wire (``events``) and their
sending (``feed``, ``sending``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import partial
from hashlib import blake2b
from random import Random

from .agenda import Agenda
from .demand import (
    DAY,
    DEFAULT_URGENT_SHARE,
    EMERGENCY,
    MINUTE,
    URGENT_SHARE,
    ArrivalStream,
    WeeklyPattern,
    arrival_streams,
    lognormal,
    stay_in_progress,
)
from .departments import Department
from .emergency import Emergency
from .inpatient import SIGMA, TO_REGISTRATION, Inpatient
from .population import Patient, Population, Profile
from .register import Register
from .units import SimEvent, Unit, Visit
from .updates import PROFILES

# Shares of patients from another hospital's population, and of children in the emergency department.
ANOTHER_HOSPITAL = 0.03
CHILD_IN_EMERGENCY = 0.2

# Patients per bed of an emergency department above which the next arrivals are diverted.
MAX_CROWDING = 1.6
# The same where every patient needs a bed: patients waiting per bed.
MAX_QUEUE = 0.4

# The simulation begins this long before ``start``, with the beds filled as on an average day.
WARM_UP = 4 * DAY
INITIAL_OCCUPANCY = 0.89
MAX_INITIAL_STAY = 45 * DAY

CONSULTATION = 40 * MINUTE
VIRTUAL = 0.2


class Network:
    """Hospitals with their units from ``start`` on; read :meth:`events`."""

    def __init__(
        self,
        seed: int,
        start: int,
        departments: list[Department],
        zone: tzinfo = UTC,
        *,
        transfers: bool = True,
        demand: float = 1.0,
        reserve: float = 0.0,
    ) -> None:
        """``transfers=False``: every visit is a single stay that ends as planned, without any correction.

        ``demand``: arrivals relative to those of a busy network. ``reserve``: share of its beds that a department keeps
        free of planned patients; ambulances go elsewhere when only half of it is left.
        ``visits_per_second`` is the average over a week; ``run_id`` is the common part of all ids of this run.
        """
        self.run_id = blake2b(f"{seed}/{start}".encode(), digest_size=5).hexdigest()
        self.units: dict[tuple[int | str, str], Unit] = {}
        self.visits_per_second = 0.0
        self._rng = Random(f"{seed}/{start}")
        self._week = WeeklyPattern(zone)
        self._agenda = Agenda(start - WARM_UP)
        self._register = Register(self._agenda, self._rng, self.run_id, corrections=transfers)
        self._inpatient = Inpatient(self._agenda, self._rng, self._week, self._register, self.units)
        self._emergency = Emergency(self._agenda, self._rng, self._register, self._inpatient)
        self._transfers = transfers
        self._demand = demand
        self._reserve = reserve
        self._populations: dict[int | str, Population] = {}
        self._has_started = False
        self._open_at_start: frozenset[str] = frozenset()
        self._open(start - WARM_UP, departments)
        self._agenda.at(start, self._begin)

    def events(self) -> Iterator[SimEvent]:
        """All simulated events in order of time, without end.

        The first ones lie before ``start``: the events of the visits that are open when the simulation begins.
        """
        opening: list[SimEvent] = []
        recorded = self._register.events
        for _ in self._agenda.run():
            if not self._has_started:
                opening += recorded
            else:
                yield from [event for event in opening if event.visit_id in self._open_at_start]
                opening.clear()
                yield from recorded
            recorded.clear()

    def _begin(self) -> None:
        self._has_started = True
        self._open_at_start = frozenset(self._register.open_visits)

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self, begin: int, departments: list[Department]) -> None:
        versions: dict[tuple[int | str, str], list[Department]] = {}
        for department in sorted(departments, key=lambda d: d.valid_from):
            versions.setdefault((department.hospital_id, department.name), []).append(department)
        hospitals: dict[int | str, list[Department]] = {}
        for (hospital, name), known in versions.items():
            current = ([d for d in known if d.valid_from <= begin] or known[:1])[-1]
            number = len(hospitals.setdefault(hospital, [])) + 1
            hospitals[hospital].append(current)
            unit = self.units[hospital, name] = Unit(current, number * 1000 + 1)
            for later in known:
                if later.valid_from > begin:
                    self._agenda.at(later.valid_from, partial(self._resize, unit, later))
        for hospital, current_departments in hospitals.items():
            beds = sum(department.staffed_beds for department in current_departments)
            self._populations[hospital] = Population(self._rng, beds)
            for stream in arrival_streams(current_departments, transfers=self._transfers):
                wanted = replace(stream, per_hour=stream.per_hour * self._demand)
                self.visits_per_second += wanted.per_hour / 3600
                self._schedule_arrival(wanted, begin)
        for unit in self.units.values():
            if unit.name != EMERGENCY or not self._transfers:
                self._fill(unit, begin)

    def _fill(self, unit: Unit, begin: int) -> None:
        """Place patients who were admitted before ``begin`` and leave after it."""
        for _ in range(round(unit.capacity * INITIAL_OCCUPANCY * self._demand)):
            length = min(stay_in_progress(self._rng, unit.department), MAX_INITIAL_STAY)
            elapsed = int(length * self._rng.random())
            wait = lognormal(self._rng, TO_REGISTRATION, SIGMA)
            ends = max(begin - elapsed + length, begin + 1)
            self._agenda.at(begin - elapsed - wait, partial(self._arrive_before, unit, begin - elapsed, ends))

    def _arrive_before(self, unit: Unit, admission: int, ends: int) -> None:
        now = self._agenda.now
        patient = self._populations[unit.hospital_id].draw(self._profile(unit.name), now)
        is_urgent = self._rng.random() < URGENT_SHARE.get(unit.name, DEFAULT_URGENT_SHARE)
        reason = "maternity" if unit.name == "Maternity" else "emergency" if is_urgent else "elective"
        visit = self._register.open(patient, unit, None, now, "inpatient", reason)
        self._register.record("arrival", visit)
        self._agenda.at(admission, partial(self._admit_before, visit, ends))

    def _admit_before(self, visit: Visit, ends: int) -> None:
        if visit.unit.has_free_bed:
            self._inpatient.admit(visit, ends)
        else:
            self._register.close(visit)

    def _resize(self, unit: Unit, department: Department) -> None:
        unit.resize(department)
        self._inpatient.assign_beds(unit)

    # -- arrivals -----------------------------------------------------------------------------------------------

    def _schedule_arrival(self, stream: ArrivalStream, after: int) -> None:
        self._agenda.at(self._week.next_arrival(self._rng, stream, after), partial(self._arrive, stream))

    def _arrive(self, stream: ArrivalStream) -> None:
        self._schedule_arrival(stream, self._agenda.now)
        unit = self.units[stream.hospital_id, stream.department]
        if stream.visit_class == "outpatient":
            self._consult(self._patient(stream), unit)
        elif stream.is_urgent and (self._is_diverted(unit) or not self._has_reserve(stream)):
            return  # before they reach this hospital
        elif not stream.is_urgent and (not unit.has_free_bed or unit.has_waiting or not self._has_reserve(stream)):
            return  # the planned admission is called off
        else:
            self._start_visit(stream, unit)

    def _is_diverted(self, unit: Unit) -> bool:
        return unit.present > MAX_CROWDING * unit.capacity or len(unit.queue) > MAX_QUEUE * unit.capacity

    def _has_reserve(self, stream: ArrivalStream) -> bool:
        """True where the department that will admit the patient keeps its reserve of free beds.

        Patients who are on their way to it through the emergency department count.
        """
        if not self._reserve or self._goes_home(stream):
            return True
        unit = self._admitting(stream)
        kept = self._reserve / 2 if stream.is_urgent else self._reserve
        return unit.demanded() <= (1 - kept) * unit.capacity

    def _goes_home(self, stream: ArrivalStream) -> bool:
        return stream.department == EMERGENCY and stream.destination is None

    def _admitting(self, stream: ArrivalStream) -> Unit:
        return self.units[stream.hospital_id, stream.destination or stream.department]

    def _start_visit(self, stream: ArrivalStream, unit: Unit) -> None:
        now = self._agenda.now
        if stream.admission_type == "newborn":
            patient = self._populations[stream.hospital_id].newborn(now)
        else:
            patient = self._patient(stream)
        visit_class, reason = stream.visit_class, stream.admission_type
        visit = self._register.open(patient, unit, stream.destination, now, visit_class, reason)
        if self._reserve and not self._goes_home(stream):
            self._admitting(stream).expected.append(visit)
        if unit.name == EMERGENCY and self._transfers:
            self._emergency.arrive(visit)
        else:
            self._inpatient.arrive(visit)

    def _consult(self, patient: Patient, unit: Unit) -> None:
        """An outpatient visit: a consultation in the department or by video, without a bed."""
        visit_class = "virtual" if self._rng.random() < VIRTUAL else "outpatient"
        visit = self._register.open(patient, unit, None, self._agenda.now, visit_class, "elective")
        self._register.record("arrival", visit)
        self._agenda.after(lognormal(self._rng, CONSULTATION, SIGMA), partial(self._end_consultation, visit))

    def _end_consultation(self, visit: Visit) -> None:
        self._register.record("discharge", visit)
        self._register.close(visit)

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
