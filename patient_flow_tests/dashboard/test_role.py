"""The dashboard on PostgreSQL with no more rights than a deployment gives it: it shows what the owner would see."""

from __future__ import annotations

import pytest

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.pipeline.load import load_warehouse
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.hospital import Hospital
from patient_flow_tests.dashboard.test_pages import NUMBERED, records, settled
from patient_flow_tests.stacks import Servers
from patient_flow_tests.stores.warehouse.roles import DASHBOARD, PIPELINE, guard_as_deployed, url_of


@pytest.mark.parametrize("filters", ["days=28", "days=7&hospital=1&gender=Female&age=40-64"])
def test_its_role_shows_what_the_tables_hold(group: Hospital, running: Servers, filters: str) -> None:
    url = running.new_url()
    guard_as_deployed(url)
    loader, screen = (Warehouse(url_of(user, url), "postgresql") for user in (PIPELINE, DASHBOARD))
    load_warehouse(group.lake, loader, WAREHOUSE_TABLES, now=group.now, run_id="test")
    shown = []
    for warehouse in (group.warehouse, screen):
        with client_of(warehouse, lambda: group.now) as client:
            settled(client, f"/figures?{filters}")
            shown.append(records(client, f"/export.csv?{filters}"))
    assert {row["panel"] for row in shown[0]} >= set(NUMBERED)
    assert shown[0] == shown[1]
    for used in (loader, screen):
        used.dispose()
