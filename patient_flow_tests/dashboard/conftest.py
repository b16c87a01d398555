"""One hospital for all tests of the dashboard, its dashboard in process, and the same behind a real port."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from patient_flow.dashboard import snapshot
from patient_flow.dashboard.access import SignIn, Viewer
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.server import Dashboard, Options
from patient_flow.dashboard.snapshot import Returns, Snapshot, Snapshots
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.hospital import Hospital, hospital
from patient_flow_tests.stacks import Stack

Clock = Callable[[], datetime]


@pytest.fixture(autouse=True)
def pages_wait_for_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine too; a test of a page that does not wait sets its own time."""
    monkeypatch.setattr(snapshot, "PAGE_TIMEOUT_SECONDS", 60.0)
    monkeypatch.setattr(snapshot, "NEWER_SECONDS", 60.0)


@pytest.fixture(scope="session")
def group(stack: Stack) -> Iterator[Hospital]:
    """The hospital group; its warehouse has been filled by the real pipeline."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    filled = hospital(stack, now)
    yield filled
    filled.warehouse.dispose()


@pytest.fixture(scope="session")
def snapshots(group: Hospital) -> Snapshots:
    """What the dashboard reads of it."""
    return Snapshots(group.warehouse, ZoneInfo(ZONE), lambda: group.now)


@pytest.fixture
def figures(group: Hospital, snapshots: Snapshots) -> Callable[..., Figures]:
    """The figures under some filters."""

    def make(viewer: Viewer | None = None, **filters: str | int) -> Figures:
        selection = Selection().but(**filters)
        return Figures(settled(snapshots, selection.days), selection, viewer or Viewer(), group.now)

    return make


@pytest.fixture
def returns(group: Hospital) -> Returns:
    """Readmissions, read on demand."""
    return Returns(group.warehouse, ZoneInfo(ZONE))


@pytest.fixture
def client(group: Hospital) -> Iterator[TestClient]:
    """The dashboard in process."""
    with client_of(group.warehouse, lambda: group.now) as made:
        yield made


@pytest.fixture
def signed_client(group: Hospital) -> Iterator[TestClient]:
    """The dashboard behind a proxy that signs viewers in."""
    sign_in = SignIn("X-User", "X-Hospitals", "X-Departments", trusted_proxies=("testclient",))
    with client_of(group.warehouse, lambda: group.now, Options(sign_in=sign_in)) as made:
        yield made


def client_of(warehouse: Warehouse, clock: Clock, options: Options | None = None) -> TestClient:
    """A client of a dashboard on ``warehouse``."""
    application = Dashboard(warehouse, ZoneInfo(ZONE), options, clock).application()
    return TestClient(application, base_url="http://localhost")


def settled(snapshots: Snapshots, days: int) -> Snapshot:
    """The snapshot once it has been read."""
    for _ in range(200):
        answer = snapshots.answer(days)
        assert not answer.problem
        if answer.snapshot is not None and not answer.is_reading:
            return answer.snapshot
        time.sleep(0.02)
    raise AssertionError("the warehouse was not read in time")
