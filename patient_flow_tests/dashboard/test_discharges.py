"""The panel of discharges against the views of the same figures: expected today, delayed, and long stays."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.pipeline.load import load_warehouse
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.warehouse.views import TABLES as VIEWS
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import Delivery, department, department_list, event, run_micro_batches
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.test_pages import settled
from patient_flow_tests.stacks import Stack

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
"""Past, because the views ask the clock."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LISTED = department_list(*(department(department=name, **{"class": "inpatient"}) for name in ("ICU", "Surgery")))


def test_the_panel_counts_expected_and_delayed_discharges_and_long_stays(lake: Lake, stack: Stack) -> None:
    """A visit's nights are those of all its ward stays; an ended one is in no figure."""
    bodies = [
        event(visit_id="delayed", patient_id="1", event_time=NOW - 8 * DAY, planned_discharge_time=NOW - 3 * HOUR),
        event(visit_id="ready", patient_id="2", event_time=NOW - DAY, ready_time=NOW - 2 * HOUR, department="Surgery"),
        event(visit_id="expected", patient_id="3", event_time=NOW - 22 * DAY, planned_discharge_time=NOW + 2 * HOUR),
        event(
            visit_id="expected", patient_id="3", event_time=NOW - 2 * DAY, event_type="transfer", department="Surgery"
        ),
        event(visit_id="tomorrow", patient_id="4", event_time=NOW - DAY, planned_discharge_time=NOW + DAY),
        event(visit_id="gone", patient_id="5", event_time=NOW - 30 * DAY, planned_discharge_time=NOW - 9 * HOUR),
        event(visit_id="gone", patient_id="5", event_time=NOW - HOUR, event_type="discharge"),
    ]
    sent = [Delivery(body, NOW - HOUR, "0", number) for number, body in enumerate(bodies)]
    run_micro_batches(lake, [sent], LISTED)
    warehouse = Warehouse(stack.warehouse_url(), stack.warehouse_kind)
    load_warehouse(lake, warehouse, WAREHOUSE_TABLES, now=NOW, run_id="test")
    with client_of(warehouse, lambda: NOW) as client:
        page = settled(client, "/figures?lang=en")
        rows = list(csv.reader(io.StringIO(client.get("/export.csv?panel=discharges").text.removeprefix("\ufeff"))))
    names = {row["visit_id"] for row in warehouse.query(VIEWS["LongStays"].select()).iter_rows(named=True)}
    warehouse.dispose()
    assert len(names) == 2  # the view asks the clock; nights of weeks ago are the same all day
    assert dict(zip(rows[0], rows[1], strict=True)) == {
        "place": "ICU",
        "in_beds_now": "2",
        "expected_discharges": "1",
        "delayed_discharges": "1",
        "delay_hours_sum": "3.0",
        "long_stays_7": "1",
        "long_stays_14": "0",
        "long_stays_21": "0",
        "period": "now",
    }
    assert rows[2] == ["Surgery", "2", "1", "1", "2.0", "1", "1", "1", "now"]
    assert "2 expected today, 2 delayed by 5.0\N{NO-BREAK SPACE}h in all." in page
    assert "2 with 7+, 1 with 14+, 1 with 21+" in page
