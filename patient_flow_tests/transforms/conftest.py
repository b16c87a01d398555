"""Feeds of tests are small; visits are folded as columns all the same where they are plain."""

from __future__ import annotations

import pytest

from patient_flow.transforms.visits import plain


@pytest.fixture(autouse=True)
def columns_for_few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MIN_EVENTS", 0)
