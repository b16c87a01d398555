"""The forecast of the places on a page: tonight by place, the fan of one place, and how good it has been lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from patient_flow.contracts.forecasts import JUDGED_DAYS, JUDGED_HORIZON
from patient_flow.dashboard.snapshot import DAY
from patient_flow.monitoring.rules.forecasts import MODEL, Chance, Judgement, judgements
from patient_flow.monitoring.thresholds import FORECAST_FULL_HOURS
from patient_flow.transforms.calendar import first_hour

if TYPE_CHECKING:
    from patient_flow.dashboard.rows import PageRows

c = pl.col

ALL = "All"
WHOLE = ""
"""``department`` of a whole hospital."""
OLD_AFTER = timedelta(hours=3)
"""Age of the newest forecast from which on the page warns of it: it is made hourly."""
_PLACE = ("hospital_id", "department")


@dataclass(frozen=True)
class Lately:
    """The forecasts a day ahead of the last weeks: mean distance from the outcome in beds, and that of persistence.

    ``within_likely_pct`` and ``within_very_likely_pct`` are the shares of outcomes within the 80 % and 95 % intervals.
    """

    days: int
    absolute_error: float
    persistence_absolute_error: float
    within_likely_pct: float
    within_very_likely_pct: float


class Ahead:
    """Rows of the newest forecast that filters and viewer leave. An age has no forecast: the filter is ignored.

    The total of a hospital is for viewers of all its departments.
    """

    def __init__(self, rows: PageRows) -> None:
        self._rows = rows

    @cached_property
    def made_at(self) -> datetime | None:
        """Up to when the forecast knows what happened; None without a forecast."""
        newest = self._rows.snapshot.forecasts.beds["made_at"].max()
        return newest if isinstance(newest, datetime) else None

    @property
    def is_old(self) -> bool:
        """True where the hourly forecast has not been made for some hours."""
        return self.made_at is not None and self._rows.now - self.made_at > OLD_AFTER

    @cached_property
    def judgements(self) -> dict[str, Judgement]:
        """hospital_id → judgement, of the hospitals on the page; none judged counts as no days."""
        judged = judgements(self._rows.snapshot.forecasts.beds)
        return {hospital: judged.get(hospital, Judgement(0)) for hospital in self._hospitals}

    @property
    def days_judged(self) -> int:
        """Of the hospital with the most."""
        return max((found.days for found in self.judgements.values()), default=0)

    @property
    def days_needed(self) -> int:
        """Days that must be judged before a forecast is shown."""
        return JUDGED_DAYS

    @cached_property
    def _hospitals(self) -> list[str]:
        return self._rows.chosen.filter(c("department_key") != 0)["hospital_id"].unique().sort().to_list()

    @cached_property
    def tonight(self) -> pl.DataFrame:
        """Places that may be shown, at the next local midnight.

        hospital_id, hospital_name, department (:data:`WHOLE` = the hospital), target_at, staffed_beds (null where
        unknown), expected_beds, beds_low, beds_high (the 80 % interval), free_beds, free_low, free_high,
        expected_admissions, expected_discharges (from ``made_at`` on), probability_full, source.
        """
        midnight = first_hour(self._rows.today + DAY, self._rows.snapshot.zone)
        rows = self._shown.filter(c("target_at") == midnight, c("gender") == ALL)
        return rows.select(
            *("hospital_id", "hospital_name", "department", "target_at", "staffed_beds", "expected_beds"),
            beds_low="p10",
            beds_high="p90",
            free_beds=c("staffed_beds") - c("expected_beds"),
            free_low=c("staffed_beds") - c("p90"),
            free_high=c("staffed_beds") - c("p10"),
            expected_admissions="expected_admissions",
            expected_discharges="expected_discharges",
            probability_full="probability_full",
            source="source",
        ).sort("hospital_name", "hospital_id", "department")

    @cached_property
    def place(self) -> tuple[str, str] | None:
        """The one place (hospital_id, department) whose fan the page shows; None where filters leave several."""
        hospitals, department = self._hospitals, self._rows.selection.department
        if len(hospitals) != 1 or (not department and self._rows.viewer.departments is not None):
            return None
        return hospitals[0], department or WHOLE

    @cached_property
    def fan(self) -> pl.DataFrame:
        """The hours ahead of :attr:`place`, for the chosen gender, in order; empty where none may be shown."""
        place = self.place or ("", "")
        gender = self._rows.selection.gender or ALL
        is_here = (c("hospital_id") == place[0]) & (c("department") == place[1]) & (c("gender") == gender)
        return self._shown.filter(is_here, c("target_at") > self._rows.now).sort("target_at")

    @property
    def chances(self) -> list[Chance]:
        """Of all departments and hospitals to reach their staffed beds, as the view BedsExpected has them."""
        rows = self._shown.filter(
            c("gender") == ALL,
            c("horizon_hours") == FORECAST_FULL_HOURS,
            c("probability_full").is_not_null(),
            c("target_at") > self._rows.now,
        )
        return [
            Chance(hospital, department, probability, FORECAST_FULL_HOURS)
            for hospital, department, probability in rows.select(
                "hospital_name", "department", "probability_full"
            ).iter_rows()
        ]

    @cached_property
    def lately(self) -> Lately | None:
        """How good forecasts a day ahead of the places in :attr:`tonight` have been in the last weeks."""
        places = self.tonight if self.place is None else self.tonight.filter(*self._is_place)
        rows = self._scored.filter(c("horizon") == JUDGED_HORIZON)
        rows = rows.join(places.filter(c("source") == MODEL), on=_PLACE, how="semi")
        since = rows["date"].unique().sort().tail(JUDGED_DAYS)
        rows = rows.filter(c("date").is_in(since.implode()))
        if rows.is_empty():
            return None
        names = ("absolute_error", "persistence_absolute_error", "covered_80", "covered_95")
        error, persistence, likely, very_likely = rows.select(c(names).mean()).row(0)
        return Lately(len(since), error, persistence, 100 * likely, 100 * very_likely)

    @property
    def _is_place(self) -> tuple[pl.Expr, pl.Expr]:
        place = self.place or ("", "")
        return c("hospital_id") == place[0], c("department") == place[1]

    # --- rows -------------------------------------------------------------------------------------------------------

    @cached_property
    def _shown(self) -> pl.DataFrame:
        """Rows of hospitals whose forecast, or its baseline, may be shown."""
        return self._named(self._rows.snapshot.forecasts.beds.filter(c("source").is_not_null()))

    def _named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``rows`` of the places on the page, with ``hospital_name`` and ``department``."""
        chosen = self._rows.chosen
        places = chosen.select("department_key", "department", "hospital_name")
        of_departments = rows.filter(c("department_key") != 0).join(places, on="department_key")
        if self._rows.selection.department or self._rows.viewer.departments is not None:
            return of_departments
        names = chosen.group_by("hospital_id").agg(c("hospital_name").first())
        whole = rows.filter(c("department_key") == 0).join(names, on="hospital_id")
        return pl.concat([of_departments, whole.with_columns(department=pl.lit(WHOLE)).select(of_departments.columns)])

    @cached_property
    def _scored(self) -> pl.DataFrame:
        return self._named(self._rows.snapshot.forecasts.scores)
