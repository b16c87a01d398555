"""Silver → gold: every table, in the order of the graph. Not here: how one is made."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from patient_flow.pipeline.aggregates import data_quality_day, fact_bed_census, kpi_department_day
from patient_flow.pipeline.dimensions import dim_department, dim_patient, dim_time
from patient_flow.pipeline.flow import fact_patient_flow
from patient_flow.pipeline.steps import StepResult
from patient_flow.stores.lake.catalog import Lake


def all_steps(lake: Lake, departments: pl.DataFrame, zone: str, *, run_id: str) -> Iterator[StepResult]:
    """Every gold table, in the order of the graph."""
    yield dim_time(lake, zone, run_id=run_id)
    yield dim_department(lake, departments, run_id=run_id)
    yield dim_patient(lake, run_id=run_id)
    yield fact_patient_flow(lake, run_id=run_id)
    yield fact_bed_census(lake, run_id=run_id)
    yield kpi_department_day(lake, zone, run_id=run_id)
    yield data_quality_day(lake, zone, run_id=run_id)
