"""The measures' thresholds. What each measure is, in SQL, stands in ``contracts.views``."""

WAIT_STANDARD_MINUTES = 240
"""A wait of at most this many minutes meets the standard (exactly 240 passes)."""

READMISSION_DAYS = 30
"""A readmission is an admission of a patient discharged alive at most this many days before."""

QUARANTINE_WARNING_PCT = 10.0
"""Share of a day's events in quarantine above which somebody should look at the senders."""
