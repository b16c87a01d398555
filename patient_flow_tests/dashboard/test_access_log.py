"""Who looked: a line for each page and export, also while the table is locked, and no patient in any line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from patient_flow.contracts.access_log import Entry, Kind
from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.dashboard import access_log
from patient_flow.dashboard.access import SignIn, Viewer
from patient_flow.dashboard.server import Options
from patient_flow.pipeline.load import load_warehouse
from patient_flow.settings import LOCAL_ACCESS_LOG_KEY
from patient_flow.stores.warehouse.access_log import AccessLog
from patient_flow.stores.warehouse.schema import ACCESS_LOG
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.hospital import Hospital
from patient_flow_tests.dashboard.test_pages import settled
from patient_flow_tests.stacks import Servers

KEY = LOCAL_ACCESS_LOG_KEY  # the warehouse is shared with tests that use the default
HEADERS = {"X-User": "a. martin", "X-Hospitals": "*", "X-Departments": '["ICU", "Surgery"]'}
SIGN_IN = SignIn("X-User", "X-Hospitals", "X-Departments", trusted_proxies=("testclient",))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, group: Hospital, running: Servers) -> Iterator[Warehouse]:
    """The hospital's warehouse, on both databases."""
    if request.param == group.warehouse.kind:
        yield group.warehouse
        return
    warehouse = Warehouse(running.new_url(), request.param) if request.param == "postgresql" else group.warehouse
    load_warehouse(group.lake, warehouse, WAREHOUSE_TABLES, now=group.now, run_id="test")
    yield warehouse
    warehouse.dispose()


@contextmanager
def dashboard(warehouse: Warehouse, now: datetime) -> Iterator[TestClient]:
    """A dashboard behind a sign-in, whose figures have been read, and an empty log."""
    with client_of(warehouse, lambda: now, Options(SIGN_IN, access_log_key=KEY)) as client:
        settled(client, "/figures?days=28", **HEADERS)  # a page that is still being read leaves no line
        yield client


def entries(warehouse: Warehouse) -> dict[str, Entry]:
    """By request."""
    return {entry.request_id: entry for entry in AccessLog(warehouse).views(datetime.min.replace(tzinfo=UTC))}


def new_entries(warehouse: Warehouse, before: dict[str, Entry], at_least: int = 0) -> dict[str, Entry]:
    """Those since, once there are enough of them."""
    deadline = time.monotonic() + 20
    while len(found := entries(warehouse)) < len(before) + at_least and time.monotonic() < deadline:
        time.sleep(0.05)
    return {request: entry for request, entry in found.items() if request not in before}


def locked(warehouse: Warehouse) -> AbstractContextManager[sa.Connection]:
    """Holds what a line needs, as a long load on SQLite or an administrator on PostgreSQL would."""

    @contextmanager
    def held() -> Iterator[sa.Connection]:
        with warehouse.writing() as connection:
            if warehouse.kind == "postgresql":
                connection.exec_driver_sql('LOCK TABLE "AccessLog" IN EXCLUSIVE MODE')
            yield connection

    return held()


def test_pages_and_exports_leave_a_line_and_refreshes_one_an_hour(
    filled: Warehouse, group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "LOCK_SECONDS", 60.0)  # a busy machine is no lock
    with dashboard(filled, group.now) as client:
        before = entries(filled)
        page = client.get("/?department=ICU&days=28", headers=HEADERS)
        for _ in range(5):
            refreshed = client.get("/figures?department=ICU&days=28", headers=HEADERS)
            assert "X-Request-ID" not in refreshed.headers
        export = client.get("/export.csv?panel=waits&hospital=1&gender=Female", headers=HEADERS)
        unknown = client.get("/?hospital=12345678", headers=HEADERS)
        assert {page.status_code, export.status_code, unknown.status_code} == {200}
        monkeypatch.setattr(access_log, "HEARTBEAT", timedelta(0))
        client.get("/figures?department=ICU&days=28", headers=HEADERS)
    found = new_entries(filled, before)
    assert len(found) == 4
    seen, exported, other = (found.pop(reply.headers["X-Request-ID"]) for reply in (page, export, unknown))
    (again,) = found.values()
    scope = 'hospitals *; departments ["ICU", "Surgery"]'
    assert (seen.viewer, seen.kind, seen.what, seen.scope) == (
        "a. martin",
        "page",
        "page department=ICU days=28",
        scope,
    )
    assert (again.kind, again.what) == ("refresh", seen.what)
    assert (exported.kind, exported.what) == ("export", "export-waits hospital=1 gender=Female")
    assert other.what == "page hospital=?"  # a name that no hospital has may be anything, also a patient's number
    assert AccessLog(filled).review(KEY, group.now).findings == []


def test_while_the_log_is_locked_a_page_is_shown_and_an_export_is_not(
    filled: Warehouse, group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "LOCK_SECONDS", 0.4)
    with dashboard(filled, group.now) as client:
        before = entries(filled)
        with locked(filled):
            assert client.get("/?gender=Male", headers=HEADERS).status_code == 200
            refused = client.get("/export.csv?lang=en&gender=Male", headers=HEADERS)
            assert (refused.status_code, "Content-Disposition" in refused.headers) == (503, False)
            assert "The access log cannot be written" in refused.text
            assert refused.headers["Retry-After"]
            assert client.get("/patients?of=in_beds", headers=HEADERS).status_code == 503
            assert entries(filled) == before
        found = new_entries(filled, before, at_least=1)
        assert [entry.what for entry in found.values()] == ["page gender=Male"]
        assert client.get("/export.csv?gender=Male", headers=HEADERS).status_code == 200


def test_without_its_table_pages_are_shown_at_once_until_too_many_lines_wait(
    group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "LOCK_SECONDS", 0.4)
    monkeypatch.setattr(access_log, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(access_log, "MAX_WAITING_LINES", 5)
    with dashboard(group.warehouse, group.now) as client:
        before = entries(group.warehouse)
        with group.warehouse.writing() as connection:
            connection.exec_driver_sql('ALTER TABLE "AccessLog" RENAME TO "Elsewhere"')
        try:
            statuses = [client.get(f"/?gender=Male&lang=en&n={n}", headers=HEADERS).status_code for n in range(7)]
            assert statuses == [200] * 5 + [503] * 2
            assert client.get("/export.csv", headers=HEADERS).status_code == 503
            assert client.get("/health").status_code == 200
        finally:
            with group.warehouse.writing() as connection:
                connection.exec_driver_sql('ALTER TABLE "Elsewhere" RENAME TO "AccessLog"')
        assert len(new_entries(group.warehouse, before, at_least=5)) == 5
    assert AccessLog(group.warehouse).review(KEY, group.now).findings == []


def test_a_line_fits_whatever_a_viewer_is_called_and_may_see() -> None:
    many = Viewer("é" * 500 + "\x00", frozenset(f"Hôpital {number}" for number in range(500)), frozenset())
    scope = access_log.scope_of(many)
    assert len(scope) <= ACCESS_LOG.c.scope.type.length
    assert " more; departments []" in scope
    assert access_log.scope_of(Viewer()) == "hospitals *; departments *"


def test_the_end_of_the_process_ends_its_chain(filled: Warehouse, group: Hospital) -> None:
    with dashboard(filled, group.now) as client:
        client.get("/", headers=HEADERS)
    with filled.reading() as connection:
        last = sa.select(ACCESS_LOG.c.kind).order_by(ACCESS_LOG.c.at.desc(), ACCESS_LOG.c.number.desc())
        assert Kind.END in list(connection.scalars(last.limit(30)))
    assert AccessLog(filled).review(KEY, group.now + timedelta(days=1)).unfinished == []
