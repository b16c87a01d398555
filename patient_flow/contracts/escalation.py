"""Escalation levels of a hospital: the four measures that decide, and their thresholds (PATIENT_FLOW_ESCALATION).

After the Operational Pressures Escalation Levels of NHS England (OPEL): one level per hospital from 1 to 4, the highest
that any of the measures reaches. The board's colours and the level take the same thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from patient_flow.contracts.measure_types import Text, Unit
from patient_flow.contracts.toml_keys import TomlKeys
from patient_flow.errors import OperatorError

LEVELS = (1, 2, 3, 4)
BOARDING_MINUTES = 240
"""A patient who has waited longer than this for a bed, counted from the decision to admit, boards."""


class EscalationError(OperatorError):
    """The thresholds cannot be used; the message names line and key of each mistake."""


class Pressure(StrEnum):
    """A measure that decides about the level."""

    OCCUPANCY = "occupancy_pct"
    LONGEST_WAIT = "longest_wait_hours"
    BOARDING = "boarding_pct"
    DELAYED = "delayed_pct"


@dataclass(frozen=True)
class Declared:
    """Name, unit and meaning of a pressure."""

    label: Text
    unit: Unit
    meaning: Text


PRESSURES = {
    Pressure.OCCUPANCY: Declared(
        Text("Bed occupancy", "Occupation des lits"),
        "percent",
        Text(
            "occupied / staffed beds of the headline classes (inpatient, critical care, maternity)",
            "lits occupés / lits ouverts des classes principales (hospitalisation, soins critiques, maternité)",
        ),
    ),
    Pressure.LONGEST_WAIT: Declared(
        Text("Longest wait for a bed", "Plus longue attente d’un lit"),
        "hours",
        Text(
            "hours since the decision to admit, of those in the emergency department who wait for a bed",
            "heures depuis la décision d’hospitaliser, des patients des urgences en attente d’un lit",
        ),
    ),
    Pressure.BOARDING: Declared(
        Text("Boarding over 4 h", "Attente d’un lit de plus de 4 h"),
        "percent",
        Text(
            "patients who have waited more than 4 hours for a bed / patients in the emergency department",
            "patients en attente d’un lit depuis plus de 4 heures / patients présents aux urgences",
        ),
    ),
    Pressure.DELAYED: Declared(
        Text("Delayed discharges", "Sorties retardées"),
        "percent",
        Text(
            "patients in bed after their ready time, else planned discharge / occupied beds",
            "patients présents après l’heure de sortie médicale, sinon la sortie prévue / lits occupés",
        ),
    ),
}


@dataclass(frozen=True)
class Thresholds:
    """For each pressure the values from which on levels 2, 3 and 4 hold."""

    occupancy_pct: tuple[float, float, float] = (92, 95, 98)
    longest_wait_hours: tuple[float, float, float] = (4, 8, 12)
    boarding_pct: tuple[float, float, float] = (10, 20, 30)
    delayed_pct: tuple[float, float, float] = (10, 15, 20)

    def of(self, pressure: Pressure) -> tuple[float, float, float]:
        """The thresholds of ``pressure``."""
        found: tuple[float, float, float] = getattr(self, pressure.value)
        return found

    def level(self, pressure: Pressure, value: float | None) -> int:
        """The level that ``value`` reaches by itself: 1 where it is unknown."""
        return 1 if value is None else 1 + sum(value >= limit for limit in self.of(pressure))


DEFAULT = Thresholds()


def parse_thresholds(text: str, name: str) -> Thresholds:
    """The thresholds in the TOML ``text`` of the file ``name``; a pressure that it leaves out keeps its default.

    Raises :class:`EscalationError` with every mistake.
    """
    try:
        toml = TomlKeys(text)
    except ValueError as error:
        raise EscalationError(f"PATIENT_FLOW_ESCALATION: {name}, {error}") from error
    known = [field.name for field in fields(Thresholds)]
    faults = [
        f"line {toml.line(key)}: {fault}" for key, value in toml.values.items() if (fault := _fault(key, value, known))
    ]
    if faults:
        raise EscalationError(f"PATIENT_FLOW_ESCALATION: {name}, {'; '.join(faults)}")
    given = {key: (float(low), float(middle), float(high)) for key, (low, middle, high) in toml.values.items()}
    return Thresholds(**given)


def _fault(key: str, value: object, known: list[str]) -> str:
    if key not in known:
        return f"{key} is unknown; the file has {', '.join(known)}"
    if not isinstance(value, list) or len(value) != len(LEVELS) - 1:
        return (
            f"{key} must be a list of three numbers, for levels 2, 3 and 4, as in {key} = {list(getattr(DEFAULT, key))}"
        )
    if any(isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < 1e6 for limit in value):
        return f"{key} must have numbers above 0; it is {value}"
    if not value[0] < value[1] < value[2]:
        return f"{key} must rise from level 2 to level 4; it is {value}"
    return ""
