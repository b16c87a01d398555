"""Fixtures: a hub in a thread, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from patient_flow.local_hub.testing import HubThread


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    """A hub ``patient-flow`` with 4 partitions, a hub ``other`` with as many, and groups ``etl`` and ``other``."""
    with HubThread(tmp_path / "hub", ["patient-flow", "other"], consumer_groups=("etl", "other")) as running:
        yield running
