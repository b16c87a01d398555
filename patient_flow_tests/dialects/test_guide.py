"""The guide for integrators keeps what it promises: its mapping files are valid and its first example is exact."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from patient_flow.dialects.mapping import parse_mappings
from patient_flow_tests.dialects.builders import extra, only

GUIDE = (Path(__file__).parents[2] / "infra" / "docs" / "source-mappings.md").read_text(encoding="utf-8")
FILES = [
    text for text in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL) if "[[mapping]]" in text or "unwrap" in text
]


def test_the_guide_has_examples() -> None:
    assert len(FILES) >= 5


@pytest.mark.parametrize("text", FILES)
def test_its_mapping_files_are_valid(text: str) -> None:
    assert parse_mappings(text, "guide.toml")


def test_its_first_example_gives_the_stated_result() -> None:
    (event,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    row = only(json.loads(event), FILES[0])
    assert (row["event_type"], row["event_time"]) == ("admission", datetime(2026, 11, 20, 8, 30, tzinfo=UTC))
    assert (row["patient_id"], row["visit_id"], row["hospital_id"]) == ("0815", "W-77120", "3")
    assert (row["department"], row["bed_id"], row["gender"], row["age"]) == ("ICU", "07", "Female", 45)
    assert extra(row) == {"src": "WARDSYS", "isolation": True}
    assert row["reasons"] == []
