"""The hospitals of a page that still send events, for the badge and the banner."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from patient_flow.contracts import events
from patient_flow.dashboard.rows import PageRows
from patient_flow.dashboard.snapshot import DAY
from patient_flow.monitoring.thresholds import SENDER_KNOWN_DAYS, SENDER_SILENT

c = pl.col


class Senders:
    """The newest events of the hospitals that the rows of a page come from."""

    def __init__(self, rows: PageRows) -> None:
        self._rows = rows

    @cached_property
    def newest_event_at(self) -> datetime | None:
        """When the hub accepted the newest event of the chosen hospitals; None when that is long ago."""
        if self._senders.keys() >= self._rows.snapshot.last_sent.keys():
            return self._rows.snapshot.load.newest_event_at  # knows of visits that wait for a bed, too
        return max(self._senders.values(), default=None)

    @cached_property
    def silent(self) -> dict[str, datetime]:
        """Id → newest event of the chosen hospitals that sent in the last days, but nothing for hours: oldest first.

        A hospital that only a mistyped event names is not missed, unless nobody else is chosen.
        """
        listed = set(self._rows.chosen.filter(~c("is_inferred"))["hospital_id"])
        known = self._rows.now - SENDER_KNOWN_DAYS * DAY
        return {
            hospital: last
            for hospital, last in sorted(self._senders.items(), key=lambda sender: sender[1])
            if known <= last < self._silent_since and (hospital in listed or not listed)
        }

    @property
    def somebody_sends(self) -> bool:
        """False when nothing new comes from the chosen hospitals, while others had patients in the last days."""
        return any(last >= self._silent_since for last in self._senders.values()) or not self._rows.snapshot.last_sent

    @property
    def _silent_since(self) -> datetime:
        return self._rows.now - timedelta(hours=SENDER_SILENT.warning)

    @cached_property
    def _senders(self) -> dict[str, datetime]:
        """Id → newest event of the chosen hospitals, as far as they had patients in the last days."""
        chosen = set(self._rows.chosen["hospital_id"]) - {events.UNKNOWN}
        return {hospital: last for hospital, last in self._rows.snapshot.last_sent.items() if hospital in chosen}
