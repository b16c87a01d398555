"""How often rows of the past are read again."""

from __future__ import annotations

from concurrent.futures import Future

import polars as pl
import pytest

from patient_flow.dashboard import reading
from patient_flow.dashboard.reading import Reading


@pytest.mark.parametrize(("took", "holds"), [(0.1, 30.0), (2.0, 100.0), (60.0, 900.0)])
def test_what_is_quick_to_read_is_read_again_sooner(took: float, holds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an import of history a small site shows the right rows within a minute."""
    now = 1000.0
    monkeypatch.setattr(reading.time, "monotonic", lambda: now)
    rows, kept = Future[pl.DataFrame](), Reading()
    assert kept.is_due
    kept.start(rows)
    now += took
    rows.set_result(pl.DataFrame())
    kept.settle()
    now += holds - took
    assert not kept.is_due
    now += 0.5
    assert kept.is_due
