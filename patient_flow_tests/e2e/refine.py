"""A process that takes bronze to the warehouse once, every step of a micro-batch but the first: says each one's name.

``python -m patient_flow_tests.e2e.refine``. The same calls as the Dagster assets make, without the seconds that Dagster
needs to start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from patient_flow.contracts import tables
from patient_flow.pipeline import gold, load, silver
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
    lake, zone, now = services.lake, services.settings.timezone, datetime.now(UTC)
    match step:
        case "accept_events":
            silver.accept_events(lake, services.parser, run_id="refine")
        case "quarantine_events":
            silver.quarantine_events(lake, services.parser, now=now, run_id="refine")
        case "dim_department":
            gold.dim_department(lake, services.departments, run_id="refine")
        case "dim_time" | "kpi_department_day" | "data_quality_day":
            getattr(gold, step)(lake, zone, run_id="refine")
        case "load_warehouse":
            load.load_warehouse(lake, services.warehouse, tables.WAREHOUSE_TABLES, now=now, run_id="refine")
        case _:
            getattr(gold, step)(lake, run_id="refine")


if __name__ == "__main__":
    main()
