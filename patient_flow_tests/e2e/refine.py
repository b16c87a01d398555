"""A process that takes bronze to the warehouse once, every step of a micro-batch but the first: says each one's name.

``python -m patient_flow_tests.e2e.refine``. The same calls as the Dagster assets make, without the seconds that Dagster
needs to start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from patient_flow.contracts import tables
from patient_flow.operations import step_context
from patient_flow.pipeline import graph, load
from patient_flow.services import Services
from patient_flow.settings import load as load_settings

STEPS = (
    "accept_events",
    "quarantine_events",
    "dim_time",
    "dim_department",
    "dim_patient",
    "fact_patient_flow",
    "fact_bed_census",
    "kpi_department_day",
    "data_quality_day",
    "load_warehouse",
)


def main() -> None:
    services = Services(load_settings())
    for step in STEPS:
        print(f"step {step}", flush=True)  # noqa: T201
        run(step, services)
    print("done", flush=True)  # noqa: T201


def run(step: str, services: Services) -> None:
    """One of :data:`STEPS`."""
    now = datetime.now(UTC)
    if step == "load_warehouse":
        load.load_warehouse(services.lake, services.warehouse, tables.WAREHOUSE_TABLES, now=now, run_id="refine")
    else:
        run = next(made.run for made in graph.STEPS if made.run.__name__ == step)
        run(step_context(services, run_id="refine", now=now))


if __name__ == "__main__":
    main()
