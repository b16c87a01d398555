"""Where midnight lies within a UTC hour, a day has the hours that begin on it, in every table alike."""

from __future__ import annotations

import polars as pl
import pytest

from patient_flow.contracts.tables import DIM_TIME, FACT_PATIENT_FLOW, KPI_DEPARTMENT_DAY
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests import builders
from patient_flow_tests.builders import at, deliveries, event, run_micro_batches

c = pl.col


def visit(number: int, admitted: str, left: str) -> list[dict[str, object]]:
    said = {"visit_id": f"v{number}", "patient_id": f"p{number}"}
    return [
        event(event_time=at(admitted), **said),
        event(event_type="discharge", event_time=at(left), **said),
    ]


@pytest.mark.embedded_only("it is about dates, which no store knows")
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"])
def test_the_daily_measures_count_a_stay_on_the_date_that_its_hour_has(
    zone: str, lake: Lake, departments: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "ZONE", zone)
    around_midnight = ["02:20", "02:40", "03:20", "18:05", "18:20", "18:35", "18:50", "19:10", "22:50", "23:10"]
    visits = [visit(number, start, "23:30") for number, start in enumerate(around_midnight)]
    batches = [deliveries([body for one in visits[first::3] for body in one]) for first in range(3)]
    run_micro_batches(lake, batches, departments)
    day_of = dict(lake.open(DIM_TIME).scan().select("time_key", "date").collect().iter_rows())
    stays = lake.open(FACT_PATIENT_FLOW).scan().collect()
    daily = lake.open(KPI_DEPARTMENT_DAY).scan().collect()
    for measure, key in (("admissions", "admission_time_key"), ("discharges", "discharge_time_key")):
        by_star = stays.group_by(date=c(key).replace_strict(day_of, return_dtype=pl.Date)).len().sort("date")
        by_day = daily.group_by("date").agg(c(measure).sum()).filter(c(measure) > 0).sort("date")
        assert by_day.rows() == by_star.rows()
