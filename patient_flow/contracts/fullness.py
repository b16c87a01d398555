"""How full a department is: levels of occupancy, their limits and colours.

Stated once for the bed alerts, the dashboard and Power BI. A colour never stands alone: the percentage is beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from patient_flow.contracts.measure_types import Text

HIGH_PCT, CRITICAL_PCT, FULL_PCT = 85, 95, 100
"""Percent of staffed beds from which a department is at a level; from the last on, no staffed bed is free."""
RESOLVES_PCT, HIGH_HOURS = 80, 2
"""A bed alert opens above the high level for so many hours, or at the critical level at once; below, it is over."""


@dataclass(frozen=True)
class Level:
    """A level of occupancy; ``light`` and ``dark`` are backgrounds for dark and for light text."""

    name: str
    label: Text
    light: str
    dark: str


AMPLE = Level("ample", Text("below {high} %", "moins de {high} %"), "#e3f1e8", "#173324")
HIGH = Level("high", Text("{high} % and more", "{high} % et plus"), "#fbe7b2", "#4a3a08")
CRITICAL = Level("critical", Text("{critical} % and more", "{critical} % et plus"), "#f6bf93", "#65330b")
FULL = Level("full", Text("{full} % and more: no bed free", "{full} % et plus : aucun lit libre"), "#ee9a90", "#7a201a")
LEVELS = (AMPLE, HIGH, CRITICAL, FULL)
"""From empty to full."""


@dataclass(frozen=True)
class Limits:
    """The limits of a network, in percent of staffed beds, and the rest of the rule of its bed alerts."""

    high: float = HIGH_PCT
    critical: float = CRITICAL_PCT
    resolves: float = RESOLVES_PCT
    hours: int = HIGH_HOURS

    @property
    def window(self) -> timedelta:
        """The last hours that decide whether an alert is open."""
        return timedelta(hours=self.hours + 48)

    def level(self, occupancy_pct: float | None) -> Level | None:
        """The level of an occupancy; None where it is not known."""
        if occupancy_pct is None:
            return None
        if occupancy_pct >= FULL_PCT:
            return FULL
        if occupancy_pct >= self.critical:
            return CRITICAL
        return HIGH if occupancy_pct >= self.high else AMPLE

    @property
    def levels(self) -> Sequence[Level]:
        """The levels that these limits leave room for, from empty to full."""
        reached = {self.level(bound): None for bound in (-math.inf, self.high, self.critical, FULL_PCT)}
        return [level for level in LEVELS if level in reached]

    @property
    def names(self) -> Mapping[str, str]:
        """The limits as the labels of levels name them."""
        return {"high": f"{self.high:g}", "critical": f"{self.critical:g}", "full": f"{FULL_PCT:g}"}
