"""What many tests share: a lake on disk, a hub in a thread, the shipped departments."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, settings

from patient_flow.local_hub.testing import HubThread
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake import Lake
from patient_flow.stores.reference import read_departments

settings.register_profile(
    "patient_flow", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("patient_flow")


def require_program(name: str, install: str) -> str:
    """Path of a program; without it the test skips and says how to install it, and fails where CI is set."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: {install}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def require_module(name: str, install: str) -> None:
    """For the top of a test module: without package ``name`` it is skipped as a whole, and fails where CI is set."""
    if importlib.util.find_spec(name) is None:
        missing = f"{name} is not installed: {install}"
        if os.environ.get("CI"):
            raise ModuleNotFoundError(missing)
        pytest.skip(missing, allow_module_level=True)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake(f"{tmp_path}/lake/{{layer}}")


@pytest.fixture(scope="session")
def departments() -> pl.DataFrame:
    """The shipped list of 7 hospitals and 7 departments."""
    return read_departments()


@pytest.fixture
def hub_thread(tmp_path: Path) -> Iterator[HubThread]:
    """A local Event Hub named patient-flow with 4 partitions."""
    with HubThread(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def hub(hub_thread: HubThread) -> Hub:
    """The pipeline's view of that hub."""
    return Hub(connection=hub_thread.connection, host="127.0.0.1", name="patient-flow", consumer_group="$Default")
