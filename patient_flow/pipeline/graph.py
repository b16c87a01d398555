"""The steps of a micro-batch, one per table, declared once for everything that enumerates steps.

Assets and their order, lineage and code versions, and the rebuilds follow from :data:`STEPS`. Their order
is that of the tables' declaration in ``contracts.tables``. Not here: how a table is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from patient_flow.contracts.columns import DEPARTMENT_LIST, EVENT_HUB, ExternalSource
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    DIM_TIME,
    ERASED,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    FORECAST_ARRIVALS,
    FORECAST_BEDS,
    FORECAST_SCORE,
    FORECAST_SHOWN,
    IGNORED,
    KPI_DEPARTMENT_DAY,
    LAKE_TABLES,
    QUARANTINE,
    SILVER_EVENTS,
    Table,
)
from patient_flow.pipeline import aggregates, bronze, daily_measures, dimensions, flow, forecast, silver, unaccepted
from patient_flow.pipeline.steps import StepContext, StepResult


@dataclass(frozen=True)
class Step:
    """How one table is computed.

    ``run`` reads what is new in ``reads``, and commits rows and checkpoints together. ``depends_on`` names the modules
    whose code decides what stands in the table, besides that of ``run``: the transforms that ``run`` calls. Which
    rules check the table, the catalogue says (``monitoring.catalogue``). A step that goes on with what the step of
    another table left in memory comes ``after`` it.
    """

    table: Table
    run: Callable[[StepContext], StepResult]
    reads: tuple[Table | ExternalSource, ...]
    depends_on: tuple[str, ...] = ()
    after: tuple[Table, ...] = ()

    @property
    def needs(self) -> frozenset[str]:
        """Paths of the tables that must be made before this step begins."""
        return frozenset(source.path for source in (*self.reads, *self.after) if isinstance(source, Table))

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules that its code version covers, without the name of the package."""
        return (self.run.__module__.partition(".")[2], *self.depends_on)


_FOLD = (
    "pipeline.clusters",
    "pipeline.folding",
    "transforms.facts",
    "transforms.order",
    *(
        f"transforms.visits.{module}"
        for module in (
            "admissions",
            "attendances",
            "cancels",
            "confirmations",
            "departments",
            "fold",
            "merges",
            "numbers",
            "places",
            "plain",
            "plain_spans",
            "plain_stays",
            "rows",
            "snapshots",
            "statements",
            "stays",
            "timeline",
        )
    ),
)
_PARSING = (
    "pipeline.erased",
    "transforms.accept",
    "transforms.erasure",
    "dialects.mapping",
    "dialects.hl7",
    "dialects.fhir",
)
_UNACCEPTED = ("pipeline.judging", "pipeline.moves", *_PARSING)

_MODEL = (
    "pipeline.known",
    "transforms.feeds",
    "transforms.keys",
    *(
        f"forecasting.{module}"
        for module in (
            "arrivals",
            "beds",
            "calendar",
            "distributions",
            "feed_hours",
            "feeds",
            "forecast",
            "full",
            "places",
        )
    ),
)

ALL_STEPS = tuple(
    sorted(
        (
            Step(
                BRONZE_EVENTS,
                bronze.ingest,
                reads=(EVENT_HUB,),
                depends_on=("stores.hub", "stores.amqp"),
            ),
            Step(
                SILVER_EVENTS,
                silver.accept_events,
                reads=(BRONZE_EVENTS, DEPARTMENT_LIST),
                depends_on=(*_PARSING, "pipeline.withdrawal"),
            ),
            Step(
                ERASED,
                unaccepted.record_erased,
                reads=(BRONZE_EVENTS, SILVER_EVENTS),
                depends_on=_UNACCEPTED,
            ),
            Step(
                IGNORED,
                unaccepted.ignore_events,
                reads=(BRONZE_EVENTS, SILVER_EVENTS, ERASED),
                depends_on=_UNACCEPTED,
            ),
            Step(
                QUARANTINE,
                unaccepted.quarantine_events,
                reads=(BRONZE_EVENTS, SILVER_EVENTS, ERASED, IGNORED),
                depends_on=_UNACCEPTED,
            ),
            Step(
                DIM_TIME,
                dimensions.dim_time,
                reads=(SILVER_EVENTS,),
                depends_on=("transforms.calendar",),
            ),
            Step(
                DIM_DEPARTMENT,
                dimensions.dim_department,
                reads=(SILVER_EVENTS, DEPARTMENT_LIST),
                depends_on=("transforms.dimensions",),
            ),
            Step(
                DIM_PATIENT,
                dimensions.dim_patient,
                reads=(SILVER_EVENTS,),
                depends_on=("transforms.dimensions",),
            ),
            Step(
                FACT_PATIENT_FLOW,
                flow.fact_patient_flow,
                reads=(SILVER_EVENTS, IGNORED, DIM_PATIENT, DIM_DEPARTMENT),
                depends_on=_FOLD,
            ),
            Step(
                FACT_ED_ATTENDANCE,
                flow.fact_ed_attendance,
                reads=(SILVER_EVENTS, IGNORED, DIM_PATIENT, DIM_DEPARTMENT),
                depends_on=_FOLD,
                after=(FACT_PATIENT_FLOW,),
            ),
            Step(
                FACT_BED_CENSUS,
                aggregates.fact_bed_census,
                reads=(FACT_PATIENT_FLOW, DIM_DEPARTMENT, SILVER_EVENTS),
                depends_on=("transforms.census",),
            ),
            Step(
                KPI_DEPARTMENT_DAY,
                daily_measures.kpi_department_day,
                reads=(FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE, FACT_BED_CENSUS, DIM_DEPARTMENT),
                depends_on=("transforms.kpis", "transforms.measures"),
            ),
            Step(
                DATA_QUALITY_DAY,
                aggregates.data_quality_day,
                reads=(SILVER_EVENTS, IGNORED, QUARANTINE),
                depends_on=("transforms.quality",),
            ),
            Step(
                FORECAST_BEDS,
                forecast.forecast_beds,
                reads=(SILVER_EVENTS, FACT_PATIENT_FLOW, FACT_BED_CENSUS, KPI_DEPARTMENT_DAY, DIM_DEPARTMENT),
                depends_on=_MODEL,
            ),
            Step(
                FORECAST_ARRIVALS,
                forecast.forecast_arrivals,
                reads=(SILVER_EVENTS, FACT_ED_ATTENDANCE, FACT_BED_CENSUS, KPI_DEPARTMENT_DAY, DIM_DEPARTMENT),
                depends_on=_MODEL,
            ),
            Step(
                FORECAST_SCORE,
                forecast.forecast_score,
                reads=(FORECAST_BEDS, FACT_BED_CENSUS, DIM_DEPARTMENT, DATA_QUALITY_DAY),
                depends_on=("forecasting.scores", "forecasting.baselines"),
            ),
            Step(
                FORECAST_SHOWN,
                forecast.forecast_shown,
                reads=(FORECAST_BEDS, FORECAST_SCORE, FACT_BED_CENSUS, DIM_DEPARTMENT),
                depends_on=(
                    "forecasting.shown",
                    "forecasting.scores",
                    "forecasting.baselines",
                    "monitoring.rules.forecasts",
                ),
            ),
        ),
        key=lambda step: LAKE_TABLES.index(step.table),
    )
)
"""In the order of the declaration of tables: every table is made after those that it is made from."""

STEPS = tuple(step for step in ALL_STEPS if not step.table.is_forecast)
"""The steps of a micro-batch, and of a rebuild."""

FORECASTS = tuple(step for step in ALL_STEPS if step.table.is_forecast)
"""The steps of the hourly job."""

GOLD = tuple(step for step in STEPS if step.table.layer == "gold")


def step_of(table: Table) -> Step:
    """The step that makes ``table``. Raises ``StopIteration`` for a table that no step makes."""
    return next(step for step in ALL_STEPS if step.table is table)


def run_gold(context: StepContext) -> Iterator[StepResult]:
    """Runs the steps of all gold tables in order; yields the result of each."""
    for step in GOLD:
        yield step.run(context)
