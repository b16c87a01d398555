"""Mapping files tried on sample files and drafted from them, by the commands that a person types."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from patient_flow.cli import cli
from patient_flow.dialects.mapping import parse_mappings
from patient_flow.errors import OperatorError
from patient_flow_tests.builders import event, snapshot
from patient_flow_tests.dialects.builders import adt
from patient_flow_tests.dialects.test_fhir import PATIENT, encounter

WARD = """case;patient;activity;day;clock;unit;sex
C1;P1;Aufnahme;19.11.2025;930;ICU-12;m
C1;P1;Entlassung;20.11.2025;1000;ICU-12;m
C2;P2;Aufnahme;19.11.2025;1100;Surgery;w
C2;P2;Labor;19.11.2025;1200;Surgery;w
C2;P9;Umzug;19.11.2025;1200;Surgery;d
C3;P3;Aufnahme;39.11.2025;1200;Surgery;q
"""
MAPPING = """
unwrap = ["gzip", "array"]

[[mapping]]
name = "laboratory"
ignore = "laboratory_row"
match.activity = "Labor"

[[mapping]]
name = "ward"
[mapping.match]
activity = { exists = true }
[mapping.lookup.units]
file = "units.csv"
key = "code"
by = "unit"
[mapping.rename]
visit_id = "case"
patient_id = "patient"
event_type = "activity"
gender = ["sex", "gender_code"]
department = "lookup.units.name"
[mapping.time]
event_time = { date = "day", time = "clock" }
[mapping.timestamp]
format = "%d.%m.%Y %H:%M"
zone = "Europe/Berlin"
[mapping.constant]
hospital_id = 1
[mapping.value_map.event_type]
Aufnahme = "admission"
Entlassung = "discharge"
[mapping.value_map.gender]
m = "Male"
w = "Female"
d = "Other"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ward.csv").write_text(WARD)
    (tmp_path / "units.csv").write_text("code,name\nICU-12,ICU\nother,Other\n")
    (tmp_path / "ward.toml").write_text(MAPPING)
    return tmp_path


def run(*arguments: object) -> str:
    result = _invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*arguments: object) -> str:
    error = _invoke(*arguments).exception
    assert isinstance(error, OperatorError)
    return str(error)


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["mapping", *map(str, arguments)])


def test_a_trial_shows_what_becomes_of_each_event_and_what_the_file_lacks(folder: Path) -> None:
    shown = run("try", folder / "ward.toml", folder / "ward.csv")
    assert "ward.csv, row 1: mapping 'ward': accepted\n  read: event_type='admission', visit_id='C1'" in shown
    assert "event_time=2025-11-19T08:30:00Z" in shown
    assert "row 4: mapping 'laboratory': ignored: laboratory_row" in shown
    assert "row 5: mapping 'ward': quarantined: event_type_is_unknown" in shown
    assert "wrong: event_type='Umzug'" in shown
    assert "row 6: mapping 'ward': quarantined: department_is_missing, event_time_is_unusable" in shown
    assert "wrong: event_time='39.11.2025 12:00'" in shown
    summary = shown.partition("\n\n6 events\n")[2]
    assert [line.split() for line in summary.splitlines()[:7]] == [
        ["accepted", "2"],
        ["ignored", "1"],
        ["laboratory_row", "1"],
        ["quarantined", "3"],
        ["department_is_missing", "2"],
        ["event_type_is_unknown", "1"],
        ["event_time_is_unusable", "1"],
    ]
    assert "paths never found: gender_code\n" in summary
    assert "values that value_map.event_type lacks: 'umzug' (1)\n" in summary
    assert "values that value_map.gender lacks: 'q' (1)\n" in summary
    assert "lookup 'units' has no row for 3 events\n" in summary
    assert "visit numbers with several patients: 1, such as 'C2' (2); visit_scope and patient_scope say" in summary


def test_a_trial_reads_every_format_and_counts_the_parts_of_wrapped_bodies(folder: Path) -> None:
    bodies = [event(visit_id="v1"), [event(visit_id="v2"), event(visit_id="v1"), {"odd": 1}], snapshot(), []]
    (folder / "events.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, bodies)).encode()))
    (folder / "messages.hl7").write_bytes(adt("A01") + adt("A05", msh={10: "2"}) + adt("A08", msh={9: "ORU^R01"}))
    resources = [encounter(), PATIENT]
    (folder / "fhir.ndjson").write_text("\n".join(map(json.dumps, resources)))
    shown = run("try", folder / "ward.toml", folder / "*.[jhn]*", "--as-of", "2026-12-01", "--events", 50)
    outcomes = [line.rpartition(": mapping ")[2] for line in shown.splitlines() if ", row " in line]
    names = [line.partition(", row ")[2] for line in shown.splitlines() if ", row " in line]
    assert names == [
        "1: no mapping: accepted",
        "2, part 0 of 3: no mapping: accepted",
        "2, part 1 of 3: no mapping: quarantined: event_is_a_duplicate",
        "2, part 2 of 3: no mapping: quarantined: no_mapping_matches",
        "3: no mapping: accepted",
        "4: no mapping: ignored: body_is_empty",
        "1: no mapping: accepted",
        "2: no mapping: ignored: resource_is_not_an_encounter",
        "1: no mapping: accepted",
        "2: no mapping: quarantined: message_type_is_unsupported",
        "3: no mapping: ignored: message_is_not_adt",
    ], outcomes
    assert "it matches no event: look at its match, and at the mappings before it" in shown


def test_only_so_many_events_are_shown_but_every_fault(folder: Path) -> None:
    shown = run("try", folder / "ward.toml", folder / "ward.csv", "--events", 1, "--rows", 5)
    assert [line.split(":")[0] for line in shown.splitlines() if ", row " in line] == [
        "ward.csv, row 1",
        *(f"ward.csv, row {row}" for row in (3, 5)),
    ]
    assert "2 more events are not shown (--events shows more)" in shown
    assert "only the first 5 rows were tried of ward.csv (--rows)" in shown


def test_a_valid_file_is_described_and_a_mapping_that_matches_nothing_is_named(folder: Path) -> None:
    assert run("check", folder / "ward.toml").splitlines() == [
        f"{folder / 'ward.toml'}: 2 mappings: 'laboratory', 'ward'",
        "  lookup 'units' of 'ward': 2 rows; columns code, name",
    ]
    hl7 = '[[mapping]]\nname = "{}"\nformat = "hl7v2"\n'
    (folder / "hl7.toml").write_text(hl7.format("all") + hl7.format("more"))
    assert "warning: 'more' matches nothing: 'all' before it takes every event" in run("check", folder / "hl7.toml")


def test_what_cannot_be_read_is_one_sentence(folder: Path) -> None:
    assert refusal("check", folder / "none.toml") == f"{folder / 'none.toml'} cannot be read: No such file or directory"
    assert "there is no such file" in refusal("try", folder / "ward.toml", folder / "none.csv")
    (folder / "latin.toml").write_bytes("[[mapping]]\nname = 'Städt'\n".encode("latin-1"))
    assert refusal("check", folder / "latin.toml").endswith("is not UTF-8: save it as UTF-8")
    (folder / "units.csv").unlink()
    assert f"{folder / 'ward.toml'}, line 14: units.csv: there is no such file" in refusal(
        "check", folder / "ward.toml"
    )


VISITS = """subject_id,hadm_id,admittime,dischtime,careunit,disposition,dob,patient_name
1,22,2025-05-06 22:23:00,2025-05-07 17:15:00,ICU,HOME,1961-04-30,Any Body
2,23,2025-06-06 22:23:00,,Surgery,DIED,1950-01-01,Some One
"""
LOG = {
    "case:id": "A",
    "concept:name": "ER Registration",
    "time:timestamp": "2014-10-22T11:15:41+02:00",
    "org:group": "A",
}


def test_a_draft_is_a_valid_mapping_file_that_a_person_can_finish(folder: Path) -> None:
    (folder / "visits.csv").write_text(VISITS)
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, [LOG, {**LOG, "concept:name": "CRP"}])))
    draft = run("suggest", folder / "visits.csv", folder / "ward.csv", folder / "log.jsonl")
    assert len(parse_mappings(draft, "draft.toml").mappings) == 3
    for line in (
        'age_from = "dob"',
        'drop = ["patient_name"]',
        'admission_time = "admittime"   # in all events',
        'discharge_time = "dischtime"   # in 50 % of the events',
        'DIED = "deceased"',
        'event_time = { date = "day", time = "clock" }',
        'format = ["%d.%m.%Y %H:%M"]',
        'Aufnahme = "admission"',
        '# finish: Labor = "..."',
        '"case:id" = { exists = true }',
        '"ER Registration" = "arrival"',
        '# finish: patient_id = "..."',
        'hospital_id = "1"   # finish: the samples name no hospital',
    ):
        assert line in draft
    (folder / "draft.toml").write_text(draft)
    shown = run("try", folder / "draft.toml", folder / "visits.csv", folder / "ward.csv")
    assert "accepted                                         6" in shown


def test_a_draft_for_messages_and_resources_shows_their_codes(folder: Path) -> None:
    (folder / "messages.hl7").write_bytes(adt("A01") + adt("A03", msh={10: "2"}))
    (folder / "fhir.ndjson").write_text(json.dumps(encounter()))
    draft = run("suggest", folder / "messages.hl7", folder / "fhir.ndjson")
    assert {mapping.format for mapping in parse_mappings(draft, "draft.toml").mappings} == {"hl7v2", "fhir"}
    assert "#   MSH-9.2: A01 (1), A03 (1)" in draft
    assert "#   class.code: IMP (1)" in draft
