"""What the demo's progress lines say of the warehouse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.pipeline.load import load_warehouse
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.status import progress
from patient_flow_tests.builders import Delivery, department, department_list, event, run_micro_batches
from patient_flow_tests.stacks import Stack


def test_patients_in_departments_without_known_beds_fill_no_others_beds(stack: Stack) -> None:
    now = datetime.now(UTC)
    began = now - timedelta(hours=3)
    places = ((1, "ICU"), (1, "ICU"), (2, "ICU"), (1, "Annex"))
    admitted = [
        event(
            event_type="admission",
            event_time=began,
            visit_id=f"v{number}",
            patient_id=f"p{number}",
            hospital_id=hospital,
            department=name,
        )
        for number, (hospital, name) in enumerate(places)
    ]
    services = Services(load(environ=stack.settings()))
    deliveries = [Delivery(body, began, "0", number) for number, body in enumerate(admitted)]
    run_micro_batches(services.lake, [deliveries], department_list(department(department="ICU", staffed_beds=4)))
    load_warehouse(services.lake, services.warehouse, WAREHOUSE_TABLES, now=now, run_id="test")
    shown = progress(services, now)
    assert shown is not None
    assert (shown.in_beds, shown.occupancy_pct) == (4, 50.0)
    assert progress(services, now, since=shown.loaded_at) is None
    services.warehouse.dispose()
