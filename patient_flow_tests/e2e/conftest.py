"""A machine for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from patient_flow.pipeline import key_check
from patient_flow_tests.e2e.processes import Machine
from patient_flow_tests.stacks import Stack

REAL_COST = 2**15


@pytest.fixture(scope="package", autouse=True)
def _real_cost() -> Iterator[None]:
    """Commands in processes of their own read the number of the key that a test's process wrote."""
    lowered, key_check.COST = key_check.COST, REAL_COST
    yield
    key_check.COST = lowered


@pytest.fixture
def machine(tmp_path: Path, stack: Stack) -> Iterator[Machine]:
    """An empty folder with settings that point to an empty stack; all processes started in it end with the test."""
    with Machine(tmp_path / "machine", stack=stack) as running:
        yield running
