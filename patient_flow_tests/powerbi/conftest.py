"""The committed project, and the one that the generator makes now."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import patient_flow
from patient_flow.powerbi import project
from patient_flow_tests.powerbi.star import Star

ROOT = Path(patient_flow.__file__).parents[1]
COMMITTED = ROOT / "infra" / "powerbi"


@pytest.fixture(scope="session")
def files(departments: pl.DataFrame) -> dict[str, str]:
    """The project as the generator makes it."""
    return project.files(departments)


@pytest.fixture(scope="session")
def star(files: dict[str, str]) -> Star:
    """What it says."""
    return Star(files)
