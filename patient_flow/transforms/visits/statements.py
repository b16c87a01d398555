"""F14, F16: statements on a visit as a whole, its arrival and triage among them."""

from __future__ import annotations

from patient_flow.transforms.visits.model import ARRIVAL, TRIAGE, UPDATE, Event


class Statements:
    """The statements of a visit's events, noted in order: the last one counts, of arrival and triage the earliest."""

    __slots__ = (
        "_arrival_fields",
        "_triage_correction",
        "_triages",
        "admission_type",
        "arrival_classes",
        "arrival_correction",
        "arrivals",
        "decision",
        "first_triage",
        "seen",
        "wait",
        "wait_placement",
    )

    def __init__(self) -> None:
        self.arrivals: list[Event] = []
        self.first_triage: Event | None = None
        self.arrival_classes: dict[int, str | None] = {}
        self.arrival_correction: int | None = None
        self.seen: int | None = None
        self.decision: int | None = None
        self.wait: float | None = None
        self.wait_placement = 0
        self.admission_type: str | None = None
        self._arrival_fields: list[int] = []
        self._triages: list[int] = []
        self._triage_correction: int | None = None

    def register(self, event: Event, visit_class: str | None) -> None:
        """Keeps an arrival, or the first triage, with the class in force."""
        if event.type == ARRIVAL:
            self.arrival_classes[len(self.arrivals)] = visit_class
            self.arrivals.append(event)
        elif event.type == TRIAGE and self.first_triage is None:
            self.arrival_classes[-1] = visit_class
            self.first_triage = event

    def note(self, event: Event, placements: int) -> None:
        """Keeps the statements of ``event``, before which there are as many ``placements``."""
        if event.seen is not None:
            self.seen = event.seen
        if event.decision is not None:
            self.decision = event.decision
        if event.wait is not None:
            self.wait, self.wait_placement = event.wait, placements
        if event.admission_type is not None:
            self.admission_type = event.admission_type
        if event.arrival is not None or event.triage is not None or event.type == TRIAGE:
            self._note_arrival(event)

    def _note_arrival(self, event: Event) -> None:
        """An update corrects the arrival and the triage; of the statements of others the earliest counts (F14)."""
        if event.arrival is not None:
            if event.type == UPDATE:
                self.arrival_correction = event.arrival
            elif event.type != ARRIVAL:
                self._arrival_fields.append(event.arrival)
        if event.type == UPDATE and event.triage is not None:
            self._triage_correction = event.triage
        elif event.type == TRIAGE or event.triage is not None:
            self._triages.append(event.time if event.triage is None else event.triage)

    @property
    def arrival(self) -> int | None:
        """The arrival that events state."""
        if self.arrival_correction is not None:
            return self.arrival_correction
        dates = [event.arrival if event.arrival is not None else event.time for event in self.arrivals]
        return min([*dates, *self._arrival_fields], default=None)

    @property
    def triage(self) -> int | None:
        """The triage that events state."""
        return self._triage_correction if self._triage_correction is not None else min(self._triages, default=None)
