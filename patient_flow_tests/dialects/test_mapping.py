"""What a source mapping does to the events it matches, seen through the contract reader and the rules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from patient_flow.dialects.mapping import parse_mappings
from patient_flow_tests.dialects.builders import Event, adt, extra, judged, only

EVENT: Event = {
    "src": "wardsys",
    "kind": "IN",
    "when": "20/11/2026 09:30",
    "patient": {"id": "P1", "name": "Any Body", "born": "1980-11-21"},
    "visit": {"no": 5},
    "loc": [{"ward": "intensive"}, {"ward": "old"}],
    "site": 3,
    "note": "kept",
}
MAPPING = """
[[mapping]]
name = "ward system"
drop = "patient.name"
[mapping.match]
src = "WARDSYS"
[mapping.rename]
event_type = "kind"
event_time = "when"
patient_id = "patient.id"
visit_id = "visit.no"
department = ["ward", "loc.0.ward"]
hospital_id = "site"
[mapping.value_map.event_type]
in = "admission"
OUT = "discharge"
[mapping.value_map.department]
Intensive = "ICU"
[mapping.timestamp]
format = "%d/%m/%Y %H:%M"
zone = "Europe/Paris"
"""


def mapped(event: Event, body: str, match: str = "src = { exists = true }") -> Event:
    """``event`` as a mapping with this body states it."""
    text = f'[[mapping]]\nname = "m"\n{body}\n[mapping.match]\n{match}\n'
    (interpret,) = parse_mappings(text, "test.toml").interpreters
    result = interpret(b"", event)
    return dict(result.parts[0]) if result is not None else {}


def test_a_foreign_event_is_read_as_one_of_the_contract() -> None:
    row = only(EVENT, MAPPING)
    assert (row["event_type"], row["patient_id"], row["visit_id"]) == ("admission", "P1", "5")
    assert (row["department"], row["hospital_id"]) == ("ICU", "3")
    assert row["event_time"] == datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    assert (row["reasons"], row["quality_flags"]) == ([], [])


def test_what_the_mapping_does_not_name_stays_among_the_extras() -> None:
    assert extra(only(EVENT, MAPPING)) == {
        "src": "wardsys",
        "patient": {"born": "1980-11-21"},
        "loc": [{}, {"ward": "old"}],
        "note": "kept",
    }


def test_the_event_itself_is_not_changed() -> None:
    before = repr(EVENT)
    only(EVENT, MAPPING)
    mapped(EVENT, MAPPING.split("[mapping.match]")[0].split('system"')[1])
    assert repr(EVENT) == before


def test_a_value_without_a_counterpart_is_quarantined_by_name() -> None:
    assert only({**EVENT, "kind": "SWAP"}, MAPPING)["reasons"] == ["event_type_is_unknown"]


def test_a_timestamp_that_cannot_be_read_is_quarantined_by_name() -> None:
    assert only({**EVENT, "when": "20.11.26"}, MAPPING)["reasons"] == ["event_time_is_unusable"]


def test_events_that_no_mapping_matches_are_read_as_they_are() -> None:
    event = {"patient_id": "P", "hospital_id": 1, "department": "ICU", "admission_time": "2026-11-20T09:00:00"}
    assert judged([event], MAPPING) == judged([event])


def test_the_first_mapping_that_matches_counts() -> None:
    second = MAPPING.replace("ward system", "second").replace('in = "admission"', 'in = "arrival"')
    assert only(EVENT, MAPPING + second)["event_type"] == "admission"
    assert only(EVENT, second + MAPPING)["event_type"] == "arrival"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('src = "wardsys"', True),
        ('src = "other"', False),
        ('src = ["other", " WardSys "]', True),
        ("site = 3", True),
        ('site = "3"', True),
        ('"visit.no" = [4, 5]', True),
        ("flag = true", True),
        ("missing = 1", False),
        ("missing = { exists = false }", True),
        ("empty = { exists = false }", True),
        ("nothing = { exists = false }", True),
        ("src = { exists = false }", False),
        ('src = { prefix = "WARD" }', True),
        ('src = { prefix = "bed" }', False),
        ('patient = { prefix = "P" }', False),
        ('patient = "P"', False),
        ('src = "wardsys"\nsite = 4', False),
        ('src = { not = "WARDSYS" }', False),
        ('src = { not = ["a", "b"] }', True),
        ('missing = { not = "a" }', True),
        ('src = { prefix = "ward", not = "wardsys" }', False),
        ('src = { prefix = "ward", not = { prefix = "wards2" } }', True),
        ("src = { not = { exists = true } }", False),
        ("src = { pattern = '^ward(sys|app)$' }", True),
        ("src = { pattern = 'SYS' }", True),
        ("src = { pattern = '^sys' }", False),
        ("missing = { pattern = '.*' }", False),
        ("site = { pattern = '^[0-9]$' }", True),
        ("patient = { pattern = 'P' }", False),
    ],
)
def test_a_mapping_is_for_the_events_that_fulfil_all_its_conditions(condition: str, holds: bool) -> None:
    event = {**EVENT, "flag": True, "empty": "  ", "nothing": None}
    assert bool(mapped(event, "constant.department = 'ICU'", condition)) == holds


def test_the_first_candidate_with_a_value_gives_the_field_and_all_candidates_are_removed() -> None:
    result = mapped({"src": 1, "a": " ", "b": "second", "c": "third"}, 'rename.patient_id = ["a", "b", "c"]')
    assert result == {"src": 1, "patient_id": "second"}


def test_a_field_keeps_its_own_value_when_no_candidate_has_one() -> None:
    assert mapped({"src": 1, "bed_id": 7}, 'rename.bed_id = "cot"') == {"src": 1, "bed_id": 7}


def test_one_source_field_can_give_two_fields() -> None:
    result = mapped({"src": 1, "t": "x"}, 'rename = { event_time = "t", admission_time = "t" }')
    assert result == {"src": 1, "event_time": "x", "admission_time": "x"}


def test_keys_that_contain_dots_and_colons_are_found() -> None:
    event = {"src": 1, "case:id": "C1", "time.stamp": "2026-11-20T10:00:00"}
    result = mapped(event, 'rename = { visit_id = "case:id", event_time = "time.stamp" }')
    assert result == {"src": 1, "visit_id": "C1", "event_time": "2026-11-20T10:00:00"}


def test_a_dropped_field_does_not_reach_the_extras_but_can_be_renamed() -> None:
    event = {"src": 1, "p": {"id": "P1", "name": "n"}, "event_type": "noise"}
    result = mapped(event, 'drop = ["p", "event_type", "nowhere.at.all"]\nrename.patient_id = "p.id"')
    assert result == {"src": 1, "patient_id": "P1"}


def test_a_constant_applies_to_every_event_of_the_source() -> None:
    assert mapped({"src": 1, "hospital_id": 9}, "constant.hospital_id = 3")["hospital_id"] == 3


def test_a_value_without_a_counterpart_takes_the_default_if_there_is_one() -> None:
    body = 'value_map.event_type = { 1 = "admission" }\notherwise.event_type = "update"'
    assert mapped({"src": 1, "event_type": 1.0}, body)["event_type"] == "admission"
    assert mapped({"src": 1, "event_type": "9"}, body)["event_type"] == "update"
    assert "event_type" not in mapped({"src": 1}, body), "what is missing is not invented"
    assert mapped({"src": 1, "event_type": ["9"]}, body)["event_type"] == ["9"]


def test_a_placeholder_value_can_be_mapped_to_null() -> None:
    text = MAPPING + '[mapping.value_map.discharge_time]\n"31/12/9999 00:00" = ""\n'
    row = only({**EVENT, "discharge_time": "31/12/9999 00:00"}, text)
    assert row["discharge_time"] is None
    assert row["quality_flags"] == []


def test_prefixes_tell_the_numbers_of_two_sources_apart() -> None:
    body = 'prefix = { patient_id = "A-", bed_id = "A-", visit_id = "A-" }'
    event = {"src": 1, "patient_id": 17, "bed_id": " 4 ", "visit_id": ["x"]}
    assert mapped(event, body) == {"src": 1, "patient_id": "A-17", "bed_id": "A-4", "visit_id": ["x"]}


@pytest.mark.parametrize(
    ("wait", "unit", "minutes"),
    [
        (90, "seconds", 1.5),
        ("2", "hours", 120.0),
        (7.5, "minutes", 7.5),
        (1, "days", 1440.0),
        ("soon", "hours", "soon"),
    ],
)
def test_a_wait_in_another_unit_becomes_minutes(wait: object, unit: str, minutes: object) -> None:
    assert mapped({"src": 1, "wait_minutes": wait}, f'unit.wait_minutes = "{unit}"')["wait_minutes"] == minutes


@pytest.mark.parametrize(
    ("born", "age"), [("1980-11-20", 46), ("19801121", 45), ("1980-11-20T08:00:00", 46), ("1980", None)]
)
def test_age_comes_from_a_birth_date_which_is_not_kept(born: str, age: int | None) -> None:
    text = MAPPING.replace('drop = "patient.name"', 'drop = "patient.name"\nage_from = "patient.born"')
    row = only({**EVENT, "patient": {"id": "P1", "born": born}}, text)
    assert row["age"] == age
    assert row["quality_flags"] == ([] if age else ["age_is_out_of_range"])
    assert "patient" not in extra(row)


def test_a_birthday_begins_at_midnight_of_the_named_zone() -> None:
    text = MAPPING.replace('drop = "patient.name"', 'age_from = "patient.born"')
    event = {**EVENT, "when": "21/11/2026 00:30", "patient": {"id": "P1", "born": "1980-11-21"}}
    assert only(event, text)["age"] == 46


def test_a_joined_identifier_needs_all_its_parts() -> None:
    body = 'constant.hospital_id = 3\njoin.visit_id = ["hospital_id", "patient_id", "ward.bed"]'
    event = {"src": 1, "patient_id": "P", "ward": {"bed": "B7"}}
    assert mapped(event, body)["visit_id"] == "3/P/B7"
    assert "visit_id" not in mapped({**event, "ward": {}}, body)


def test_the_parts_of_a_joined_identifier_do_not_stay_beside_it_in_clear() -> None:
    body = 'join = { patient_id = ["site", "p.mrn"], visit_id = ["site", "bed_id"] }'
    event = {"src": 1, "site": "S1", "p": {"mrn": "0815", "room": 4}, "bed_id": 7}
    rest = {"src": 1, "p": {"room": 4}, "bed_id": 7, "visit_id": "S1/7"}
    assert mapped(event, body) == {**rest, "patient_id": "S1/0815"}
    assert mapped({**event, "p": {"mrn": " ", "room": 4}}, body) == rest
    assert mapped({**event, "site": None}, body) == {"src": 1, "p": {"room": 4}, "bed_id": 7}


def test_a_joined_identifier_that_is_too_long_becomes_a_hash_of_itself() -> None:
    body = 'join.visit_id = ["a", "b"]'
    first, second = (mapped({"src": 1, "a": "a" * 60, "b": tail}, body)["visit_id"] for tail in ("12345", "12346"))
    assert first != second
    assert len(first) == len(second) == 32


@pytest.mark.parametrize(
    ("settings", "value", "read"),
    [
        ('format = "%d.%m.%Y %H:%M"', "20.11.2026 10:15", "2026-11-20T10:15:00"),
        ('format = ["%d.%m.%Y %H:%M", "%Y%m%d%H%M"]', "202611201015", "2026-11-20T10:15:00"),
        ('format = "%d.%m.%Y %H:%M %z"', "20.11.2026 10:15 +0100", "2026-11-20T09:15:00Z"),
        ('zone = "Europe/Paris"', "2026-07-01T10:00:00", "2026-07-01T08:00:00Z"),
        ('zone = "Europe/Paris"', "2026-07-01 10:00", "2026-07-01T08:00:00Z"),
        ('zone = "Europe/Paris"', "2026-7-1T10:0:0", "2026-07-01T08:00:00Z"),
        ('zone = "Europe/Paris"', "2026-07-01T10:00:00+00:00", "2026-07-01T10:00:00Z"),
        ('zone = "Europe/Paris"', "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
        ('zone = "Europe/Paris"', "2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
        ('zone = "Europe/Paris"', "2026-07-01", "2026-07-01"),
        ('zone = "Europe/Paris"', 17, 17),
        ('format = "unix"', 1795169700, "2026-11-20T10:15:00Z"),
        ('format = "unix"', "1795169700.5", "2026-11-20T10:15:00.500000Z"),
        ('format = "unix_ms"', 1795169700123, "2026-11-20T10:15:00.123000Z"),
        ('format = "unix"', 1e300, 1e300),
        ('format = "unix"', True, True),
        ("shift_days = -60000", "2180-05-06T19:17:00Z", "2016-01-27T19:17:00Z"),
        ("shift_days = 1000000", "9999-01-01T00:00:00Z", "9999-01-01T00:00:00Z"),
        ('zone = "Asia/Tokyo"', "0001-01-01T00:00:00", "0001-01-01T00:00:00"),
        ('zone = "UTC"\nadmission_time = { zone = "Asia/Tokyo" }', "2026-07-01T10:00:00", "2026-07-01T10:00:00Z"),
        ('zone = "UTC"\nevent_time = { zone = "Asia/Tokyo" }', "2026-07-01T10:00:00", "2026-07-01T01:00:00Z"),
    ],
)
def test_timestamps_are_read_as_the_source_writes_them(settings: str, value: object, read: object) -> None:
    assert mapped({"src": 1, "event_time": value}, f"[mapping.timestamp]\n{settings}")["event_time"] == read


def test_a_mapping_refines_hl7_messages_without_touching_json_events() -> None:
    text = (
        '[[mapping]]\nname = "north"\nformat = "hl7v2"\nmatch."hl7.sending_facility" = "NORTH"\n'
        'value_map.department.ICU = "Réa"\ntimestamp.zone = "Europe/Paris"\n'
    )
    row = only(adt("A01"), text)
    assert (row["department"], row["event_time"]) == ("Réa", datetime(2026, 11, 19, 9, 15, 30, tzinfo=UTC))
    assert only(adt("A01", msh={4: "SOUTH"}), text)["department"] == "ICU"
    assert only({**EVENT, "hl7": {"sending_facility": "NORTH"}}, text)["reasons"]


def test_a_mapping_can_give_an_otherwise_unsupported_message_an_event_type() -> None:
    text = (
        '[[mapping]]\nname = "end of the inpatient stay"\nformat = "hl7v2"\nmatch."hl7.trigger" = "A07"\n'
        'constant.event_type = "discharge"\n'
    )
    assert only(adt("A07"), text)["event_type"] == "discharge"
    assert only(adt("A05"), text)["reasons"] == ["message_type_is_unsupported"]


def test_a_byte_order_mark_and_windows_line_ends_in_the_file_do_no_harm() -> None:
    assert only(EVENT, "\ufeff" + MAPPING.replace("\n", "\r\n"))["event_type"] == "admission"


def test_an_event_without_a_matching_mapping_has_that_reason_instead_of_missing_fields() -> None:
    row = only({"src": None, "who": "P1", "when": "20/11/2026"}, MAPPING)
    assert row["reasons"] == ["no_mapping_matches"]
    assert only({"src": None, "who": "P1"})["reasons"] == [
        "patient_is_missing",
        "hospital_is_missing",
        "department_is_missing",
        "admission_time_is_unusable",
    ], "without a mapping file the contract's own form is what is missing"


def test_an_event_of_the_contract_that_no_mapping_fits_is_judged_as_such() -> None:
    assert only({"patient_id": "P1", "hospital_id": 3}, MAPPING)["reasons"] == [
        "department_is_missing",
        "admission_time_is_unusable",
    ]


def test_what_an_event_without_a_mapping_states_wrongly_is_still_named() -> None:
    row = only({"who": "P1", "event_type": "party", "admission_time": "at ten"}, MAPPING)
    assert row["reasons"] == ["no_mapping_matches", "event_type_is_unknown"]
    row = only({"who": "P1", "admission_time": "at ten"}, MAPPING)
    assert row["reasons"] == ["no_mapping_matches", "admission_time_is_unusable"]


def test_a_mapping_states_the_scope_of_its_numbers() -> None:
    row = only(
        EVENT, MAPPING.replace("[mapping.match]", 'patient_scope = "North"\nvisit_scope = "network"\n[mapping.match]')
    )
    assert (row["patient_scope"], row["visit_scope"]) == ("shared\x1fNorth", "")


@pytest.mark.parametrize("written", ["1_0", "0x10", "٣"])
def test_a_number_that_only_a_programming_language_reads_stays_as_it_is(written: str) -> None:
    event = {"src": "x", "wait_minutes": written, "admission_time": written}
    assert mapped(event, '[mapping.unit]\nwait_minutes = "hours"')["wait_minutes"] == written
    assert mapped(event, '[mapping.timestamp]\nformat = "unix"')["admission_time"] == written


def test_events_that_a_mapping_ignores_have_its_name_and_their_hospital() -> None:
    text = '[[mapping]]\nname = "lab"\nignore = "laboratory_row"\nmatch.kind = "LAB"\nrename.hospital_id = "site"\n'
    row = only({"kind": "lab", "site": 3}, text + MAPPING)
    assert (row["ignored_as"], row["hospital_id"]) == ("laboratory_row", "3")
    assert only(EVENT, text + MAPPING)["ignored_as"] is None
    hl7 = '[[mapping]]\nname = "plans"\nformat = "hl7v2"\nignore = "plan"\nmatch."hl7.trigger" = ["A05", "A38"]\n'
    assert only(adt("A05"), hl7)["ignored_as"] == "plan"
    assert only(adt("A01"), hl7)["ignored_as"] is None


@pytest.mark.parametrize("field", ["gender", "event_type", "discharge_status", "department"])
def test_a_value_of_any_field_can_be_mapped_to_nothing(field: str) -> None:
    event = {
        "patient_id": "P",
        "hospital_id": 1,
        "department": "ICU",
        "admission_time": "2026-11-20T09:00:00",
        "src": 1,
    }
    text = f'[[mapping]]\nname = "m"\nmatch.src = 1\nvalue_map.{field} = {{ "n/a" = "" }}\n'
    row = only({**event, field: "N/A"}, text)
    without = only({name: value for name, value in event.items() if name != field}, text)
    assert (row[field], row["reasons"], row["quality_flags"]) == (
        without[field],
        without["reasons"],
        without["quality_flags"],
    )


@pytest.mark.parametrize(
    ("date", "time", "read"),
    [
        ("20.11.2026", "09:30", "2026-11-20T09:30:00"),
        ("20.11.2026", "930", "2026-11-20T09:30:00"),
        ("20.11.2026", 930, "2026-11-20T09:30:00"),
        ("2026-11-20", "093015", "2026-11-20T09:30:15"),
        ("2026-11-20 00:00:00", "1899-12-30 09:30:00", "2026-11-20T09:30:00"),
        ("20261120", "09:30:00.5", "2026-11-20T09:30:00.500000"),
        ("20.11.2026", "9:30 PM", "2026-11-20T21:30:00"),
        ("2026-11-20", "09:30+01:00", "2026-11-20T08:30:00Z"),
        ("20.11.2026", None, "20.11.2026"),
        ("20.11.2026", "soon", "20.11.2026 soon"),
    ],
)
def test_a_timestamp_is_made_of_a_date_and_a_time_of_day(date: object, time: object, read: str) -> None:
    body = 'time.event_time = { date = "d", time = "t" }\ntimestamp.format = ["%d.%m.%Y %H:%M", "%d.%m.%Y %I:%M %p"]'
    assert mapped({"src": 1, "d": date, "t": time}, body) == {"src": 1, "event_time": read}
    assert mapped({"src": 1, "t": time}, body) == {"src": 1}


@pytest.mark.parametrize(
    ("length", "unit", "read"),
    [
        (90, "minutes", "2026-11-20T09:30:00Z"),
        ("1.5", "hours", "2026-11-20T09:30:00Z"),
        (-1, "days", "2026-11-19T08:00:00Z"),
        ("3600", "seconds", "2026-11-20T09:00:00Z"),
        (None, "minutes", None),
        (1e30, "days", "a time after an unreadable length"),
        ("long", "hours", "a time after an unreadable length"),
    ],
)
def test_a_timestamp_is_a_length_after_another_one(length: object, unit: str, read: str | None) -> None:
    event = {"src": 1, "begun": "2026-11-20 09:00", "los": length}
    zone = 'timestamp = { zone = "Europe/Paris" }\n'
    for start, body in (("admission_time", 'rename.admission_time = "begun"\n'), ("begun", "")):
        line = f'time.discharge_time = {{ from = "{start}", plus = "los", unit = "{unit}" }}'
        assert mapped(event, body + zone + line).get("discharge_time") == read
    assert "discharge_time" not in mapped({"src": 1, "los": length}, zone + line)


def test_a_part_that_a_pattern_does_not_find_is_not_made_up() -> None:
    body = """extract.bed_id = { path = "unit", pattern = '-([0-9]*)$' }"""
    assert mapped({"src": 1, "unit": "ICU-7", "bed_id": "B"}, body) == {"src": 1, "bed_id": "7"}
    for unit in ("ICU", "ICU-", None, ["ICU-7"], "x" * 600 + "-7"):
        assert mapped({"src": 1, "unit": unit, "bed_id": "B"}, body) == {"src": 1, "bed_id": "B"}
    own = """extract.department = { path = "department", pattern = '^(.*) ward$' }"""
    assert mapped({"src": 1, "department": "West ward"}, own)["department"] == "West"
    assert mapped({"src": 1, "department": "West"}, own)["department"] == "West"


def test_a_shift_comes_from_a_field_which_is_not_kept_and_without_it_no_time_is_read() -> None:
    body = 'timestamp = { shift_from = "s", shift_days = 1 }'
    event = {"src": 1, "event_time": "2185-09-01T10:00:00", "s": "-58001"}
    assert mapped(event, body) == {"src": 1, "event_time": "2026-11-14T10:00:00"}
    for shift in (None, "unknown", 1e30):
        assert mapped({**event, "s": shift}, body) == {"src": 1, "event_time": "a time whose shift is unknown"}
    assert only({**EVENT, "shift": None}, MAPPING + 'shift_from = "shift"\n')["reasons"] == ["event_time_is_unusable"]


@pytest.mark.parametrize(
    ("settings", "value", "read"),
    [
        ('date_only = "12:00"', "2026-11-20", "2026-11-20T12:00:00"),
        ('date_only = "12:00"', "20261120", "2026-11-20T12:00:00"),
        ('date_only = "06:30"\nzone = "Europe/Paris"', "2026-07-01", "2026-07-01T04:30:00Z"),
        ('date_only = "12:00"\nformat = "%d.%m.%Y"', " 20.11.2026 ", "2026-11-20T12:00:00"),
        ('date_only = "12:00"\nformat = ["%d.%m.%Y", "%d.%m.%Y %H:%M"]', "20.11.2026 07:00", "2026-11-20T07:00:00"),
        ('date_only = "12:00"', "2026-11", "2026-11"),
        ('date_only = "12:00"', "2026-1120", "2026-1120"),
        ('date_only = "12:00"', "2026-02-30", "2026-02-30"),
        ('format = "%d.%m.%y %H:%M"', "20.11.64 07:00", "1964-11-20T07:00:00"),
        ('format = "%d.%m.%y %H:%M"', "20.11.26 07:00", "2026-11-20T07:00:00"),
        ('format = "%d.%m.%y %H:%M"\npivot = 90', "20.11.64 07:00", "2064-11-20T07:00:00"),
        ('format = "%d.%m.%y %H:%M"\npivot = 0', "29.02.00 07:00", "29.02.00 07:00"),
    ],
)
def test_dates_without_a_time_and_years_of_two_digits(settings: str, value: object, read: object) -> None:
    assert mapped({"src": 1, "event_time": value}, f"[mapping.timestamp]\n{settings}")["event_time"] == read


def test_a_time_of_day_that_only_the_mapping_knows_is_flagged() -> None:
    text = MAPPING + 'date_only = "12:00"\n'
    assert only({**EVENT, "when": "2026-11-20"}, text)["quality_flags"] == ["time_is_estimated"]
    assert only(EVENT, text)["quality_flags"] == []


ROWS = [{"id": "P1", "sex": "F", "born": "1980-11-21"}, {"id": "", "sex": "M", "born": ""}]
WITH_PEOPLE = MAPPING.replace(
    "[mapping.match]",
    """age_from = "lookup.people.born"
lookup.people = { file = "people.csv", key = "id", by = "patient.id" }
[mapping.match]
"lookup.people.sex" = { not = "M" }""",
).replace("[mapping.rename]", '[mapping.rename]\ngender = "lookup.people.sex"')


def test_a_row_of_a_second_file_is_read_and_nothing_else_of_it_is_kept() -> None:
    row = only(EVENT, WITH_PEOPLE, lambda _: ROWS)
    assert (row["gender"], row["age"], row["reasons"]) == ("Female", 45, [])
    assert "lookup" not in extra(row)
    unknown = only({**EVENT, "patient": {"id": "P2"}}, WITH_PEOPLE, lambda _: ROWS)
    assert (unknown["gender"], unknown["age"], unknown["reasons"]) == (None, None, [])


def test_any_field_of_a_message_can_be_read_and_is_not_kept_elsewhere() -> None:
    text = """[[mapping]]
name = "by number"
format = "hl7v2"
match."PID-5.2" = "Person"
rename = { patient_id = "PID-3[2]", bed_id = "ZZ1-2.1.2", visit_id = ["PID-18", "PV1-19"], department = "PV1-3.2" }
"""
    message = adt("A01", pid={3: "P77^^^NORTH^MR~P-2^^^SOUTH"}) + b"ZZ1|x|a&b2^c\r"
    row = only(message, text)
    assert [row[name] for name in ("patient_id", "bed_id", "visit_id", "department")] == ["P-2", "b2", "V9", "12"]
    plain = only(message)
    assert extra(row) == extra(plain)
    other = only(message.replace(b"Person", b"Nobody"), text)
    assert (other["patient_id"], extra(other)) == ("P77", extra(plain)), "no mapping takes it, and nothing more is kept"
