"""What the demo's progress lines say of the warehouse."""

from __future__ import annotations

import re
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.pipeline.load import load_warehouse
from patient_flow.services import Services
from patient_flow.settings import load, local_hub_connection
from patient_flow.status import Progress, progress, report
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import Delivery, department, department_list, event, run_micro_batches
from patient_flow_tests.stacks import Stack

LISTED = department_list(
    department(department="ICU", staffed_beds=4),
    department(department="Emergency", staffed_beds=8, **{"class": "emergency"}),
)


def test_patients_in_departments_without_known_beds_fill_no_others_beds(stack: Stack) -> None:
    now = datetime.now(UTC)
    began = now - timedelta(hours=3)
    places = ((1, "ICU"), (1, "ICU"), (2, "ICU"), (1, "Annex"), (1, "Emergency"))
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
    run_micro_batches(services.lake, [deliveries], LISTED)
    load_warehouse(services.lake, services.warehouse, WAREHOUSE_TABLES, now=now, run_id="test")
    shown = progress(services, now)
    assert shown is not None
    assert (shown.in_beds, shown.occupancy_pct) == (5, 50.0), "of the headline's classes alone"
    assert (shown.days_judged, shown.is_forecast_shown) == (None, False)
    assert progress(services, now, since=shown.loaded_at) is None
    services.warehouse.dispose()


@pytest.mark.parametrize(("received", "unjudged"), [(9, ""), (12, " + 3 not judged yet")])
def test_the_line_of_totals_adds_up_while_an_import_appends_events(received: int, unjudged: str) -> None:
    totals = Progress(datetime(2026, 11, 29, tzinfo=UTC), received, 6, 2, 1, 4, None, None)
    assert str(totals).startswith(
        f"{received} events received = 6 accepted + 2 quarantined + 1 ignored{unjudged}; 4 patients"
    )


@pytest.mark.embedded_only("it is about systems that do not answer")
def test_a_system_that_says_nothing_keeps_nobody_from_the_answers_of_the_others(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = local_hub_connection(silent.getsockname()[1])
        services = Services(load(environ={**stack.settings(), "PATIENT_FLOW_EVENTHUB_CONNECTION": connection}))
        run_micro_batches(services.lake, [[Delivery(event(), datetime.now(UTC), "0", 1)]], LISTED)
        answers = threading.Event()
        monkeypatch.setattr(Warehouse, "row_counts", lambda _: answers.wait())
        report(services, 1.0)
        answers.set()
    hub, lake, warehouse = (part.splitlines() for part in re.split("Lake|Warehouse", capsys.readouterr().out))
    silence = "  no answer within 1 s; `patient-flow status --wait 60` waits longer"
    assert hub[1:] == [silence]
    assert any(line.startswith("  gold/fact_patient_flow ") for line in lake)
    assert warehouse[1:] == [silence]


@pytest.mark.parametrize(
    ("days", "is_shown", "words"),
    [
        (None, False, "; no forecast yet"),
        (9, False, "; forecast not shown yet, 9 of 28 days judged"),
        (30, True, "; forecast shown"),
    ],
)
def test_the_line_says_what_the_forecast_waits_for(days: int | None, is_shown: bool, words: str) -> None:
    totals = Progress(datetime(2026, 11, 29, tzinfo=UTC), 9, 6, 2, 1, 4, None, None, 0, days, is_shown)
    assert str(totals).endswith(words)
