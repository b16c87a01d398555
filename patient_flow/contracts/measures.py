"""The measures' thresholds. What each measure is, in SQL, stands in ``contracts.views``."""

WAIT_STANDARD_MINUTES = 240
"""A wait of at most this many minutes meets the standard (exactly 240 passes)."""

READMISSION_DAYS = 30
"""A readmission is an admission of a patient discharged alive at most this many days before."""

QUARANTINE_WARNING_PCT = 10.0
"""Share of a day's events in quarantine above which somebody should look at the senders."""

QUARANTINE_LEAST_EVENTS = 100
"""Of a day with fewer events, as every day begins, the share in quarantine says nothing."""

DATA_AGE_WARNING_MINUTES = 5
"""Lag from hub to warehouse above which the pipeline is late."""

DATA_AGE_FAILURE_MINUTES = 15
"""Lag from hub to warehouse above which what people look at is no longer the present."""

OCCUPANCY_PLAUSIBLE_PCT = 150.0
"""Occupancy of a department above which its beds or its discharges are more likely wrong than its patients many."""

OCCUPANCY_AUDITED_HOURS = 48
"""The audit judges so many of the newest hours by it: nobody can do anything about one that is long past."""

SENDER_SILENT_HOURS = 6
"""A hospital that sent events in the days before and none for so long has probably lost its connection."""

SENDER_KNOWN_DAYS = 7
"""Days in which a hospital must have sent something to be missed."""

VOLUME_WEEKS = 4
"""Weeks back whose same hour an hour's volume is compared with."""

VOLUME_FACTOR = 3.0
"""An hour with more than so many times the usual events, or less than the usual divided by it, is odd."""

VOLUME_LEAST_EVENTS = 50
"""Hours that usually have fewer events are not compared: chance rules them."""

NEW_FIELD_HOURS = 24
"""So long an unknown field counts as new after its first event."""

FIELD_KNOWN_DAYS = 30
"""Days in which an unknown field must have been sent to be known."""

DEPARTMENT_LIST_WARNING_DAYS = 550
"""Age of the newest line of the department list above which beds and staff are probably no longer true."""
