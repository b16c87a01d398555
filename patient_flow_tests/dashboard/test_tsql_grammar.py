"""What pages, exports, status and alerts ask, recorded on a hospital with figures, as Microsoft's parsers read it."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from types import SimpleNamespace
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from patient_flow import status
from patient_flow.dashboard.server import Options
from patient_flow.dashboard.snapshot import Returns, Snapshots
from patient_flow.orchestration import probes
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.conftest import client_of, settled
from patient_flow_tests.dashboard.hospital import Hospital
from patient_flow_tests.stores.warehouse.replaying import Recorded, replay, statements
from patient_flow_tests.stores.warehouse.test_transact_sql import Recorder, server, warehouse
from patient_flow_tests.stores.warehouse.test_tsql_grammar import faults, pytestmark

__all__ = ["pytestmark", "server", "warehouse"]


@pytest.fixture(scope="module")
def recorded(group: Hospital) -> Recorded:
    """The statements of every page and of what runs beside the pipeline."""
    today = group.now.date()
    with statements() as found, ExitStack() as open_readers:
        snapshots = Snapshots(group.warehouse, ZoneInfo(ZONE), lambda: group.now)
        for days in (1, 7, 28):
            settled(snapshots, days)
        returns = Returns(group.warehouse, ZoneInfo(ZONE))
        returns.between(today - timedelta(days=60), today - timedelta(days=31))
        client = open_readers.enter_context(client_of(group.warehouse, lambda: group.now, Options()))
        for path in (
            "/",
            "/figures",
            "/export.csv",
            "/patients",
            "/patients.csv",
            f"/trends?from={today - timedelta(days=40)}&to={today}",
        ):
            assert client.get(path).status_code == 200
        for of in ("totals", "chart"):
            client.get(f"/trends.csv?of={of}&from={today - timedelta(days=40)}&to={today}&hospital=1")
        services = cast(Services, SimpleNamespace(warehouse=group.warehouse, settings=load(environ={}), lake=None))
        probes.probe_warehouse(services, group.now)
        list(status._warehouse_lines(services, group.now))
        returns.close(10)
    assert len(found) > 30
    return found


@pytest.mark.embedded_only("it records on SQLite and replays on a recorder")
def test_what_pages_and_alerts_ask_is_in_the_grammar_of_each_engine(
    warehouse: Warehouse, server: Recorder, recorded: Recorded
) -> None:
    replay(warehouse, recorded)
    assert len(server.statements) >= len(recorded)
    assert faults(warehouse.kind, "\nGO\n".join(server.statements) + "\nGO\n") == ""
