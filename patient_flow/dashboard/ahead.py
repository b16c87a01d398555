"""The forecast of the places on a page: tonight by place, the fan of one place, and how good it has been lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from patient_flow.contracts.forecasts import JUDGED_DAYS, JUDGED_HORIZON
from patient_flow.dashboard.snapshot import DAY
from patient_flow.monitoring.rules.forecasts import MODEL, Chance, Judgement, judge
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
_MIDNIGHT = "midnight "


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
        judged = judge(self._rows.snapshot.forecasts.scores)
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
        judged = [hospital for hospital, found in self.judgements.items() if found.days >= JUDGED_DAYS]
        rows = self._named(self._rows.snapshot.forecasts.beds).filter(
            c("hospital_id").is_in(judged),
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
        """Rows of hospitals whose forecast, or its baseline, may be shown, with ``staffed_beds`` and ``source``."""
        sources = {hospital: found.source for hospital, found in self.judgements.items() if found.is_shown}
        rows = self._named(self._rows.snapshot.forecasts.beds).filter(c("hospital_id").is_in(list(sources)))
        rows = rows.with_columns(
            source=c("hospital_id").replace_strict(sources, default=MODEL, return_dtype=pl.String)
        ).join(self._staffed, on=[*_PLACE, "target_at"], how="left")
        of_model = rows.filter(c("source") == MODEL)
        of_baselines = self._of_baselines(rows.filter(c("source") != MODEL))
        return pl.concat([of_model, of_baselines.select(of_model.columns)])

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
    def _staffed(self) -> pl.DataFrame:
        """hospital_id, department, target_at → staffed beds; of a hospital where all of its departments state them."""
        beds = self._named(self._rows.snapshot.forecasts.beds).filter(c("gender") == ALL, c("department") != WHOLE)
        stated = beds.join(self._rows.chosen.select("department_key", "staffed_beds"), on="department_key")
        stated = stated.select(*_PLACE, "target_at", c("staffed_beds").cast(pl.Float64))
        whole = stated.group_by("hospital_id", "target_at").agg(
            staffed_beds=pl.when(c("staffed_beds").null_count() == 0).then(c("staffed_beds").sum())
        )
        return pl.concat([stated, whole.with_columns(department=pl.lit(WHOLE)).select(stated.columns)])

    @cached_property
    def _scored(self) -> pl.DataFrame:
        return self._named(self._rows.snapshot.forecasts.scores)

    def _of_baselines(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``rows`` with the baseline of their ``source`` in place of the model: value ± how far it was off lately.

        Baselines know no genders, admissions or discharges.
        """
        rows = rows.filter(c("gender") == ALL)
        covered = self._rows.covered
        if rows.is_empty() or self.made_at is None or covered is None:
            return rows
        beds = self._occupied
        # The census ends with the newest event, which may be older than the forecast.
        made, week = pl.lit(min(self.made_at, covered[1])), c("target_at") - 7 * DAY
        rows = rows.with_columns(hour_at=pl.when(c("source") == "persistence").then(made).otherwise(week))
        rows = rows.join(beds, on=[*_PLACE, "hour_at"], how="left").with_columns(
            value=c("beds").fill_null(0).cast(pl.Float64)
        )
        errors = self._errors.sort("hours")
        rows = rows.sort("horizon_hours").join_asof(
            errors,
            left_on="horizon_hours",
            right_on="hours",
            by=[*_PLACE, "source"],
            strategy="nearest",
            check_sortedness=False,
        )
        value = c("value")
        spread = {
            **{name: (value - c(f"error_{share}")).clip(0) for share, name in ((95, "p025"), (90, "p05"), (80, "p10"))},
            **{name: value + c(f"error_{share}") for share, name in ((80, "p90"), (90, "p95"), (95, "p975"))},
            "p25": (value - c("error_50")).clip(0),
            "p75": value + c("error_50"),
        }
        nothing = pl.lit(None, pl.Float64)
        return rows.with_columns(
            expected_beds=value,
            p50=value,
            expected_admissions=nothing,
            expected_discharges=nothing,
            probability_full=nothing,
            **spread,
        )

    @cached_property
    def _errors(self) -> pl.DataFrame:
        """hospital_id, department, source, hours → how far the baseline was off: its quantiles of the last weeks."""
        of_midnight = pl.when(c("horizon").str.starts_with(_MIDNIGHT)).then(
            24 * c("horizon").str.strip_prefix(_MIDNIGHT).cast(pl.Int64, strict=False) - 6
        )
        hours = of_midnight.otherwise(c("horizon").str.strip_suffix("h").cast(pl.Int64, strict=False))
        frames = []
        for source in ("persistence", "week_ago"):
            error = c(f"{source}_absolute_error")
            frames.append(
                self._scored.group_by(*_PLACE, hours=hours)
                .agg(**{f"error_{share}": error.quantile(share / 100, "linear") for share in (50, 80, 90, 95)})
                .with_columns(source=pl.lit(source))
            )
        return pl.concat(frames)

    @cached_property
    def _occupied(self) -> pl.DataFrame:
        """hospital_id, department, hour_at → beds, of departments and of hospitals."""
        rows = self._rows.snapshot.census.join(
            self._rows.allowed.select("department_key", *_PLACE), on="department_key"
        )
        by_place = rows.group_by(*_PLACE, "hour_at").agg(beds=c("occupied_beds").sum())
        whole = by_place.group_by("hospital_id", "hour_at").agg(c("beds").sum()).with_columns(department=pl.lit(WHOLE))
        return pl.concat([by_place, whole.select(by_place.columns)])
