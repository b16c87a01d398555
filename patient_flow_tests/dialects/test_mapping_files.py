"""Mapping files that make no sense are refused as a whole, with the line and what to do."""

from __future__ import annotations

import pytest

from patient_flow.dialects.mapping import parse_mappings
from patient_flow.dialects.mapping_checks import MappingError

HEAD = '[[mapping]]\nname = "m"\nmatch.a = 1\n'


def refusal(text: str) -> str:
    with pytest.raises(MappingError) as refused:
        parse_mappings(text, "site.toml")
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("rename = ", "this is not TOML"),
        ("renam.patient_id = 'p'", "unknown key 'renam' (did you mean 'rename'?)"),
        ("rename.patientid = 'p'", "'patientid' is no field of the contract (did you mean 'patient_id'?)"),
        ("rename.patient_id = 7", "patient_id must be a text"),
        ("rename.patient_id = []", "the list is empty"),
        ("rename = 'x'", "rename must be a table, as in [mapping.rename]"),
        ("constant.patient_id = 'p'", "patient_id cannot stand in constant: only schema_version"),
        ("constant.event_time = 'now'", "event_time cannot stand in constant"),
        ("constant.event_type = 'admision'", "'admision' is no event_type (did you mean 'admission'?)"),
        ("constant.hospital_id = 1.5", "hospital_id must be given as text or a whole number"),
        ("constant.hospital_id = true", "hospital_id must be given as text or a whole number"),
        ("value_map.gender.x = 'Femal'", "'Femal' is no gender (did you mean 'Female'?)"),
        ("value_map.gender = 'Female'", "gender must be a table"),
        ("otherwise.department = 'Other'", "otherwise needs a value_map for department"),
        ("match.b = []", "a condition is a value"),
        ("match.b = ''", "a condition is a value"),
        ("match.b = [[1]]", "a condition is a value"),
        ("match.b = { exist = true }", "unknown condition 'exist' (did you mean 'exists'?)"),
        ("match.hl7.trigger = 'A01'", """a path with dots is written in quotes, as in "hl7.trigger" = ..."""),
        ("match.b = { exists = 1 }", "exists is true or false"),
        ("match.b = { exists = true, prefix = 'x' }", "a condition is either"),
        ("match.b = {}", "a condition is either"),
        ("timestamp.zone = 'Europe/Pariss'", "'Europe/Pariss' is no IANA zone (did you mean 'Europe/Paris'?)"),
        ("timestamp.zone = '../etc'", "is no IANA zone"),
        ("timestamp.format = '%d.%m.%Y'", "does not hold a full date and hour"),
        ("timestamp.format = '%d.%m.%Y %I:%M'", "does not hold a full date and hour"),
        ("timestamp.format = '%d.%m %H:%M'", "does not hold a full date and hour"),
        ("timestamp.format = '%Y-%m-%d %H:%M %Q'", "is no strptime format"),
        ("timestamp.format = '%Y-%m-%d %H:%M %'", "is no strptime format"),
        ("timestamp.format = '%Y-%m-%d %H:%M %Z'", "names of zones (%Z) are ambiguous"),
        ("timestamp.shift_days = 0.5", "shift_days is a whole number"),
        ("timestamp.zon = 'UTC'", "unknown key 'zon' (did you mean 'zone'?)"),
        ("timestamp.event_time.zon = 'UTC'", "unknown key 'zon'"),
        ("unit.wait_minutes = 'weeks'", "'weeks' is no unit"),
        ("unit.age = 'hours'", "age cannot stand in unit: only wait_minutes can"),
        ("prefix.age = 'x'", "age cannot stand in prefix"),
        ("join.visit_id = ['a', '']", "visit_id must be a text"),
        ("drop = [3]", "drop must be a text"),
        ("patient_scope = 3", "patient_scope must be a text"),
        ("visit_scope = 'hospitals'", "'hospitals' is nearly 'hospital'"),
        ("visit_scope = 'Assigner'", "'Assigner' is nearly 'assigner'"),
        (f"visit_scope = '{'x' * 65}'", "visit_scope is longer than 64 characters"),
        ("constant.visit_class = 'inpatent'", "'inpatent' is no visit_class (did you mean 'inpatient'?)"),
        ("age_from = ''", "age_from must be a text"),
        ("format = 'hl7'", "'hl7' is no format (did you mean 'hl7v2'?)"),
    ],
)
def test_a_mistake_is_named_with_its_line(line: str, says: str) -> None:
    message = refusal(f"{HEAD}# a comment\n{line}\n")
    assert message.startswith("site.toml, line 5: ")
    assert says in message


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("rename.gender = 'sex'\nconstant.gender = 'Other'", "line 5: gender stands in constant and in rename"),
        ("constant.hospital_id = 1\njoin.hospital_id = ['a']", "line 4: hospital_id stands in constant and in join"),
        (
            "constant.gender = 'Other'\nvalue_map.gender.x = 'Male'",
            "line 4: gender stands in constant and in value_map",
        ),
        ("rename.age = 'a'\nage_from = 'b'", "line 5: age comes from rename and from age_from"),
    ],
)
def test_a_contradiction_is_named(lines: str, says: str) -> None:
    assert says in refusal(f"{HEAD}{lines}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: no mapping"),
        ("# only a comment\n", "line 1: no mapping"),
        ("mapping = []\n", "line 1: no mapping"),
        ('\n[mapping]\nname = "m"\n', "line 2: no mapping: begin each one with a line [[mapping]]"),
        ('[[mappings]]\nname = "m"\n', "line 1: unknown key 'mappings' (did you mean 'mapping'?)"),
        ("\n[[mapping]]\nmatch.a = 1\n", "line 2: the mapping has no name"),
        ('\n[[mapping]]\nname = "m"\n', "line 2: match does not say which events"),
        ('[[mapping]]\nname = "m"\n[mapping.match]\n', "line 3: match does not say which events"),
        ('[[mapping]]\nname = ""\n', "line 2: name must be a text"),
        (HEAD + HEAD, "line 5: there is a mapping 'm' before"),
        ("mapping = 'x'\n", "line 1: no mapping"),
        ("mapping = ['x']\n", "line 1: "),
        ('[[mapping]]\nname = "never closed\n', "line 2: this is not TOML"),
        ('[[mapping]]\nname = "m"\nname = "n"\n', "line 3: this is not TOML"),
        ("[[mapping]]\nname = '''m", "line 2: this is not TOML"),
    ],
)
def test_a_file_as_a_whole_can_be_wrong(text: str, says: str) -> None:
    assert says in refusal(text)


def test_the_line_is_right_in_the_second_mapping_and_after_a_value_over_several_lines() -> None:
    text = (
        HEAD
        + '\n[[mapping]] # second\nname = "n"\nmatch.a = [\n  1,\n  2, # = x\n]\n\n[mapping.timestamp]\nzone = "Mars"\n'
    )
    assert refusal(text).startswith("site.toml, line 13: 'Mars' is no IANA zone")


def test_every_mistake_of_an_inline_table_is_found_in_its_line() -> None:
    assert refusal(f"{HEAD}rename = {{ visit_id = 'v', beds = 'b' }}\n").startswith("site.toml, line 4: 'beds'")


def test_hl7_and_fhir_mappings_may_be_for_all_messages() -> None:
    for form in ("hl7v2", "fhir"):
        assert parse_mappings(f'[[mapping]]\nname = "all"\nformat = "{form}"\n', "site.toml").interpreters
