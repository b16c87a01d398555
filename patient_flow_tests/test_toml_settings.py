"""Small TOML files of settings: what they may say, and errors that name line and key."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from patient_flow.contracts.chart_notes import ChartNote, ChartNotes, ChartNotesError, parse_notes
from patient_flow.contracts.measure_types import Text
from patient_flow.services import Services
from patient_flow.settings import load

NOTES = """
[[note]]
date = 2026-03-02
hospital = "1"
measure = "four_hour_pct"
en = "Second triage nurse"
fr = "Deuxième infirmière"

[[note]]
date = 2026-01-05
en = "New list of beds"

[targets]
four_hour_pct = 78
"""


def test_notes_and_targets_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "notes.toml"
    file.write_text(NOTES)
    services = Services(load(environ={"PATIENT_FLOW_CHART_NOTES": str(file)}))
    nurse = ChartNote(date(2026, 3, 2), Text("Second triage nurse", "Deuxième infirmière"), "1", "four_hour_pct")
    beds = ChartNote(date(2026, 1, 5), Text("New list of beds", "New list of beds"))
    assert services.chart_notes == ChartNotes((nurse, beds), {"four_hour_pct": 78.0})
    assert services.chart_notes.of("four_hour_pct", "1") == [beds, nurse]
    assert services.chart_notes.of("four_hour_pct", "") == [beds, nurse]
    assert services.chart_notes.of("four_hour_pct", "2") == [beds]
    assert services.chart_notes.of("admissions", "1") == [beds]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[note]]\ndate = 2026-03-02", "line 1: en, the text of the note, is missing"),
        ('[[note]]\nen = "x"\ndate = "2026-03-02"', "line 3: date must be a date without quotes"),
        (
            '[[note]]\nen = "x"\ndate = 2026-03-02\nhospital = 1',
            'line 4: hospital must be a text, as in hospital = "1"',
        ),
        (f"{NOTES}\nward_pct = 3", "line 16: ward_pct is no measure"),
        ('[[note]]\nen = "x"\ndate = 2026-01-01\n[[note]]\nen = "y"\nmeasure = "waits"', "line 4: date must be a date"),
        ("[notes]", "line 1: notes is unknown"),
        ('[targets]\nfour_hour_pct = "78"', "line 2: four_hour_pct must be a number"),
        ("[[note]\n", "line 1: this is not TOML"),
    ],
)
def test_a_mistake_in_the_notes_is_named_with_its_line_and_key(text: str, message: str) -> None:
    with pytest.raises(ChartNotesError) as error:
        parse_notes(text, "notes.toml")
    assert str(error.value).startswith("PATIENT_FLOW_CHART_NOTES: notes.toml, line")
    assert message in str(error.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ChartNotesError) as error:
        parse_notes("colour = 1\n[[note]]\n[targets]\nwaits = true\n", "notes.toml")
    assert str(error.value).count("line") == 4


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChartNotesError, match=r"none\.toml cannot be read"):
        _ = Services(load(environ={"PATIENT_FLOW_CHART_NOTES": str(tmp_path / "none.toml")})).chart_notes
