"""The guide for integrators keeps what it promises: its mapping files are valid and its first example is exact."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from patient_flow.dialects.mapping import parse_mappings
from patient_flow_tests.dialects.builders import Event, extra, only

GUIDE = (Path(__file__).parents[2] / "infra" / "docs" / "source-mappings.md").read_text(encoding="utf-8")
FILES = [
    text for text in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL) if "[[mapping]]" in text or "unwrap" in text
]


def test_the_guide_has_examples() -> None:
    assert len(FILES) >= 5


def rows_of_the_guide(file: str) -> list[dict[str, str]]:
    """The rows of the one file that an example looks up."""
    (table,) = re.findall(r"```csv\n(.*?)```", GUIDE, re.DOTALL)
    assert file == "patients.csv"
    return list(csv.DictReader(table.splitlines()))


def examples() -> Iterator[tuple[str, bytes, Event]]:
    """(mapping file, event, what is read) of every event with a result below it."""
    text, event = "", b""
    for language, block in re.findall(r"```(\w+(?: result)?)\n(.*?)```", GUIDE, re.DOTALL):
        if language == "toml":
            text = block
        elif language in ("json", "hl7"):
            event = block.encode()
        elif language == "json result":
            yield text, event, json.loads(block)


@pytest.mark.parametrize("text", FILES)
def test_its_mapping_files_are_valid(text: str) -> None:
    assert parse_mappings(text, "guide.toml", rows_of_the_guide)


@pytest.mark.parametrize(("text", "event", "result"), list(examples()))
def test_each_example_reads_as_it_says(text: str, event: bytes, result: Event) -> None:
    row = only(event, text, rows_of_the_guide)
    for name, value in row.items():
        if isinstance(value, datetime):
            row[name] = value.isoformat().replace("+00:00", "Z")
    assert {name: row[name] for name in result} == result


def test_its_first_example_gives_the_stated_result() -> None:
    event = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)[0]
    row = only(json.loads(event), FILES[0])
    assert (row["event_type"], row["event_time"]) == ("admission", datetime(2026, 11, 20, 8, 30, tzinfo=UTC))
    assert (row["patient_id"], row["visit_id"], row["hospital_id"]) == ("0815", "W-77120", "3")
    assert (row["department"], row["bed_id"], row["gender"], row["age"]) == ("ICU", "07", "Female", 45)
    assert extra(row) == {"src": "WARDSYS", "isolation": True}
    assert row["reasons"] == []
