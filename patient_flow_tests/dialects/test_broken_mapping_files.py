"""Mapping files as beginners break them: each ends in one sentence with the line and a remedy."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from patient_flow.dialects.mapping import parse_mappings
from patient_flow.dialects.mapping_checks import MappingError
from patient_flow.errors import OperatorError

JSON = '[[mapping]]\nname = "m"\nmatch.a = 1\n'
HL7 = '[[mapping]]\nname = "m"\nformat = "hl7v2"\n'
FHIR = '[[mapping]]\nname = "m"\nformat = "fhir"\n'
LOOKUP = 'lookup.people = { file = "people.csv", key = "id", by = "p" }\n'
BROKEN = {
    "a name with a blank": (
        JSON + '[mapping.value_map.event_type]\nER Triage = "triage"',
        5,
        'write "ER Triage" = ...',
    ),
    "a name with an accent": (JSON + '[mapping.value_map.gender]\nmännlich = "Male"', 5, 'write "männlich" = ...'),
    "a table with a blank": (
        JSON + "[mapping.value map]\n",
        4,
        'needs quotes: write it as in [mapping."mapping.value map"]',
    ),
    "a text without quotes": (JSON + "timestamp.zone = Europe/Paris", 4, 'write timestamp.zone = "Europe/Paris"'),
    "no value": (JSON + "drop =\n", 4, "drop has no value: write one after ="),
    "typographic quotes": (JSON + "age_from = “born”", 4, "typographic quotes are no quotes"),
    "a quote that does not close": (JSON + 'age_from = "born\ndrop = "x"', 4, "put the same quote at its end"),
    "a list that does not close": (JSON + 'drop = ["x", "y"\n\n[mapping.rename]\nage = "a"', 4, "is not closed"),
    "a backslash in double quotes": (JSON + r'match.b = { pattern = "\d+" }', 4, "put the text in single quotes"),
    "capital true": (JSON + "match.b = { exists = True }", 4, "write true or false in small letters"),
    "a colon": (JSON + 'age_from: "born"', 4, "after =, not after a colon"),
    "a name twice": (JSON + 'drop = "x"\ndrop = "y"', 5, "drop stands twice: keep one of both"),
    "a table twice": (JSON + '[mapping.rename]\nage = "a"\n[mapping.rename]\n', 6, "begin the next mapping with"),
    "one bracket": ('[mapping]\nname = "m"', 1, "begin each one with a line [[mapping]]"),
    "a section outside": ("[match]\na = 1\n" + JSON, 1, "put it below a line [[mapping]], as a table [mapping.match]"),
    "nothing": ("\n\n", 1, "no mapping: begin each one with a line [[mapping]]"),
    "a field that is none": (JSON + 'rename.ward = "w"', 4, "'ward' is no field of the contract"),
    "an abbreviated zone": (JSON + 'timestamp.zone = "CEST"', 4, "abbreviations are ambiguous and know no change of"),
    "an offset for a zone": (JSON + 'timestamp.zone = "UTC+1"', 4, "an offset knows no change of clocks"),
    "a city for a zone": (JSON + 'timestamp.zone = "Berlin"', 4, "did you mean 'Europe/Berlin'?"),
    "a format of Java": (JSON + 'timestamp.format = "dd.MM.yyyy HH:mm"', 4, "write '%d.%m.%Y %H:%M'"),
    "a format of a date": (JSON + 'timestamp.format = "%d.%m.%Y"', 4, 'say date_only = "12:00"'),
    "noon without quotes": (JSON + "timestamp.date_only = 12", 4, 'in quotes, such as "12:00"'),
    "half of a time": (JSON + 'time.event_time = { date = "d" }', 4, 'made of { date = "path", time = "path" }'),
    "a unit that is none": (
        JSON + 'time.discharge_time = { from = "event_time", plus = "los", unit = "min" }',
        4,
        "'min' is no unit of plus: use one of seconds, minutes",
    ),
    "a time twice": (
        JSON + 'rename.event_time = "t"\ntime.event_time = { date = "d", time = "t" }',
        5,
        "decide for one",
    ),
    "no group": (JSON + "extract.bed_id = { path = 'u', pattern = '[0-9]+' }", 4, "exactly one pair of parentheses"),
    "a broken pattern": (JSON + "match.b = { pattern = '([' }", 4, "is no pattern"),
    "a costly pattern": (JSON + "match.b = { pattern = '^(a+)+$' }", 4, "may take very long"),
    "a condition that is none": (
        JSON + "match.b = { regex = 'a' }",
        4,
        "unknown condition 'regex': use exists, prefix",
    ),
    "a word that is none": (
        JSON + "constant.event_type = 'Admission'",
        4,
        "'Admission' is no event_type (did you mean",
    ),
    "an HL7 path with dots": (HL7 + "rename.department = 'ZBE.7.1'", 4, "did you mean 'ZBE-7.1'?"),
    "an HL7 path in small letters": (HL7 + "match.'pid-18' = { exists = true }", 4, "did you mean 'PID-18'?"),
    "an HL7 name that is none": (HL7 + "match.'hl7.triger' = 'A01'", 4, "did you mean 'hl7.trigger'?"),
    "an HL7 field zero": (HL7 + "age_from = 'PID-0'", 4, "is nothing that is read of an HL7 message"),
    "a FHIR name that is none": (FHIR + "match.'fhir.class' = 'AMB'", 4, "did you mean 'fhir.patient_class'?"),
    "a name for the ignored": (JSON + "ignore = 'Lab rows'", 4, "use small letters, digits and _"),
    "a name that is taken": (JSON + "ignore = 'already_received'", 4, "has a meaning already"),
    "a lookup without a key": (JSON + "lookup.people = { file = 'people.csv', by = 'p' }", 4, "the lookup has no key"),
    "a lookup of no file": (JSON + LOOKUP.replace("people.csv", "none.csv"), 4, "none.csv: there is no such file"),
    "a lookup of no column": (JSON + LOOKUP.replace('"id"', '"ident"'), 4, "no column 'ident' in row 1"),
    "a lookup with a key twice": (
        JSON + LOOKUP.replace("people", "twice"),
        4,
        "row 2 has the same id as an earlier row",
    ),
    "a path of no column": (JSON + LOOKUP + "rename.gender = 'lookup.people.gendr'", 5, "did you mean 'gender'?"),
    "a path of no lookup": (JSON + LOOKUP + "rename.gender = 'lookup.peple.gender'", 5, "did you mean 'people'?"),
}
FILES = {
    "people.csv": [{"id": "1", "gender": "F"}, {"id": "2", "gender": "M"}],
    "twice.csv": [{"id": "1", "gender": "F"}, {"id": "1", "gender": "M"}],
}


def read(file: str) -> list[Mapping[str, object]]:
    if file not in FILES:
        raise OperatorError(f"{file}: there is no such file")
    return list(FILES[file])


@pytest.mark.parametrize(("text", "line", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_line_and_remedy(text: str, line: int, says: str) -> None:
    with pytest.raises(MappingError) as refused:
        parse_mappings(text, "site.toml", read)
    message = str(refused.value)
    assert message.startswith(f"site.toml, line {line}: ")
    assert says in message
    assert "\n" not in message


def test_an_abbreviated_zone_is_no_other_abbreviation() -> None:
    with pytest.raises(MappingError) as refused:
        parse_mappings(BROKEN["an abbreviated zone"][0], "site.toml")
    assert "EST'" not in str(refused.value).replace("CEST'", "")


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN) >= 30
