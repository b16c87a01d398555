"""When the feeds of the hospitals on a page began."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from patient_flow.contracts import events
from patient_flow.forecasting.feeds import began

if TYPE_CHECKING:
    from patient_flow.dashboard.rows import PageRows

SEEN_DAYS = 63
"""Days back whose departures tell when a feed began: those of the eight weeks of a typical band, and one more."""

c = pl.col


class Feeds:
    """The feeds of the hospitals on a page."""

    def __init__(self, rows: PageRows) -> None:
        self._rows = rows

    @cached_property
    def began(self) -> pl.DataFrame:
        """hospital_id, began: the first local day of each hospital's feed (of its beds where nobody left)."""
        snapshot = self._rows.snapshot
        fed = (
            snapshot.departures.join(snapshot.departments, on="department_key")
            .group_by("hospital_id", "date")
            .agg(c("departures").sum())
            .group_by("hospital_id")
            .agg(fed=began())
        )
        first = c("first_hour").dt.convert_time_zone(snapshot.zone.key).dt.date().min()
        return (
            snapshot.first_hours.join(self._rows.chosen, on="department_key")
            .group_by("hospital_id")
            .agg(first=first)
            .join(fed, on="hospital_id", how="left")
            .select("hospital_id", began=pl.coalesce("fed", "first"))
        )

    def before(self, day: date) -> set[str]:
        """Ids of the hospitals whose feed began before ``day``, so that figures of that day are whole."""
        return set(self.began.filter(c("began") < day)["hospital_id"])

    def are_whole(self, day: date) -> bool:
        """True when the feeds of all hospitals with known beds (of all, where none are known) began before ``day``."""
        fed = set(self.began["hospital_id"]) - {events.UNKNOWN}
        needed = fed & set(self._rows.listed_at(self._rows.now)["hospital_id"]) or fed
        return bool(needed) and needed <= self.before(day)
