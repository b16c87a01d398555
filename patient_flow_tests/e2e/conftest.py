"""A machine for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from patient_flow_tests.e2e.processes import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """An empty folder with settings that point into it; all processes started in it end with the test."""
    with Machine(tmp_path / "machine") as running:
        yield running
