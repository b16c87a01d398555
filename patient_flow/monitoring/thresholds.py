"""Every threshold of the catalogue's rules, stated once. Settings take their defaults from here."""

from __future__ import annotations

from dataclasses import dataclass

from patient_flow.contracts import escalation, fullness


@dataclass(frozen=True)
class Threshold:
    """Limits above which a rule warns or fails; ``error`` is None where the rule has no such limit."""

    unit: str
    warning: float
    error: float | None = None


OCCUPANCY_PCT = fullness.HIGH_PCT
OCCUPANCY_CRITICAL_PCT = fullness.CRITICAL_PCT
OCCUPANCY = Threshold("% of staffed beds", OCCUPANCY_PCT, OCCUPANCY_CRITICAL_PCT)
OCCUPANCY_RESOLVES_PCT = fullness.RESOLVES_PCT
OCCUPANCY_HOURS = fullness.HIGH_HOURS
"""Defaults of PATIENT_FLOW_ALERT_OCCUPANCY_…: above the warning for so many hours, or above the error at once."""
OCCUPANCY_PLAUSIBLE = Threshold("% of staffed beds", 150)
OCCUPANCY_AUDITED_HOURS = 48
"""Hours of the audit that are compared with the staffed beds: nobody can act on older ones."""


def delayed_limit(levels: escalation.Thresholds) -> Threshold:
    """Delayed patients of a hospital, as the escalation levels 3 and 4 count them."""
    return Threshold("% of the patients in beds", *levels.delayed_pct[1:])


DELAYED = delayed_limit(escalation.DEFAULT)
DATA_AGE = Threshold("minutes", 5, 15)
DATA_STALE_MINUTES = 15
QUARANTINE = Threshold("% of a day's events", 10)
QUARANTINE_SPIKE_PCT = 20
QUARANTINE_MIN_EVENTS = 100
"""Of fewer events no share is judged."""
NO_EVENTS_HOURS = 6
SENDER_SILENT = Threshold("hours", 6)
SENDER_KNOWN_DAYS = 7
"""A hospital is expected to send if it did in these days."""
VOLUME = Threshold("times the usual events, or the usual divided by it", 3)
VOLUME_WEEKS = 4
VOLUME_MIN_EVENTS = 50
"""Hours that usually have fewer events are not compared."""
NEW_FIELD_HOURS = 24
FIELD_KNOWN_DAYS = 30
"""An unknown field is new for the first, unless it was sent in the second."""
DEPARTMENT_LIST_AGE = Threshold("days", 550)
DISK_ERROR_MIB, DISK_WARNING_MIB = 200, 1024
DISK_ERROR_PCT, DISK_WARNING_PCT = 2, 5
"""Free room on a disk below both of which it is full or nearly full: MiB, and percent of its size."""
FORECAST_WEEK_DAYS = 7
FORECAST_LOST_DAYS = 6
"""Of the last week's days, those on which a baseline must have been better before it is shown instead."""
FORECAST_FULL_PCT = 80
FORECAST_FULL_HOURS = 24
FORECAST_FULL = Threshold("% probability within 24 hours", FORECAST_FULL_PCT)
