"""HL7 v2 ADT messages: what is recognised, what it is read as, what is kept and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from patient_flow.dialects import hl7
from patient_flow.transforms.bodies import Ignored, Unreadable, Unsupported
from patient_flow_tests.dialects.builders import Event, adt, extra, judged, only

EMERGENCY_ARRIVAL = (
    "MSH|^~\\&|TRIAGE|CITYHOSP^1.2.250.1^ISO|||20261119220317.1250+0100||ADT^A04^ADT_A01|20261119-000871|P|2.5.1\r"
    "EVN||20261119220316+0100||||20261119220100+0100\r"
    "PID|1||4711^^^CITYHOSP^PI~990077^^^CITYHOSP^MR||Muster^Erika^^^Frau||19560230|F|||Street 1^^Town\r"
    "PV1|1|E|ED^WAIT^^CITYHOSP||||||||||||||||V-2026-77^^^CITYHOSP^VN\r"
)
WARD_TRANSFER = (
    "MSH|^~\\&|PAS|NORTH|||20261118091204||ADT^A02|88213|P|2.3\n"
    "EVN|A02|20261118091200\n"
    "PID|||P-31||Doe^Jane||19991119|O\n"
    "PV1||I|4WEST^401^2^NORTH||||||||||||||||990||||||||||||||||||||||||||20261117\n"
    "PV2||||||||20261125\n"
)
DISCHARGE_IN_LATIN_1 = (
    "MSH|^~\\&|SIH|SUD|||20261119150000||ADT^A03^ADT_A03|5551|P|2.4||||||8859/1\r"
    "EVN||20261119145500\r"
    "PID|1||22~33||Nom^Prénom||19410704|M\r"
    "PV1|1|I|Réanimation^^^SUD||||||||||||||||V5|||||||||||||||||20\r"
)


def stated(message: str | bytes) -> Event:
    body = message if isinstance(message, bytes) else message.encode()
    read = hl7.interpret(body, None)
    assert read is not None
    return dict(read.parts[0])


def test_an_arrival_is_read_with_its_fraction_and_offset() -> None:
    row = only(EMERGENCY_ARRIVAL.encode())
    assert row["event_type"] == "arrival"
    assert row["event_time"] == datetime(2026, 11, 19, 21, 1, tzinfo=UTC), "EVN-6 tells when it happened"
    assert (row["patient_id"], row["visit_id"], row["hospital_id"]) == ("990077", "V-2026-77", "CITYHOSP")
    assert (row["department"], row["bed_id"], row["gender"]) == ("ED", None, "Female")
    assert row["event_id"] == "TRIAGE:CITYHOSP:20261119-000871"
    assert row["reasons"] == []


def test_a_transfer_keeps_what_is_useful_and_nothing_that_names_the_patient() -> None:
    row = only(WARD_TRANSFER.encode())
    assert (row["event_type"], row["department"], row["bed_id"], row["age"]) == ("transfer", "4WEST", "2", 26)
    assert extra(row) == {
        "hl7": {
            "type": "ADT",
            "trigger": "A02",
            "version": "2.3",
            "sending_application": "PAS",
            "sending_facility": "NORTH",
            "patient_class": "I",
            "room": "401",
        }
    }


def test_an_admission_given_as_a_date_alone_is_unusable_not_midnight() -> None:
    row = only(adt("A01", pv1={44: "20261117"}))
    assert row["admission_time"] is None
    assert row["quality_flags"] == ["department_is_not_listed", "optional_time_is_unusable"]


def test_the_declared_character_set_counts() -> None:
    row = only(DISCHARGE_IN_LATIN_1.encode("latin-1"))
    assert (row["department"], row["discharge_status"], row["patient_id"]) == ("Réanimation", "deceased", "22")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_without_a_declared_character_set_utf_8_and_latin_1_are_distinguished(encoding: str) -> None:
    body = adt("A01", pv1={3: "Pédiatrie^1^2^NORTH"}).decode().encode(encoding)
    assert stated(body)["department"] == "Pédiatrie"


def test_a_message_that_is_not_in_the_character_set_it_declares_is_unreadable() -> None:
    body = adt("A01", msh={18: "UNICODE UTF-8"}, pid={5: "Prénom"}).decode().encode("latin-1")
    with pytest.raises(Unreadable, match="character set"):
        hl7.interpret(body, None)
    assert only(body)["reasons"] == ["body_is_not_a_json_object"]


@pytest.mark.parametrize(
    ("trigger", "event_type"),
    [
        ("A01", "admission"),
        ("A02", "transfer"),
        ("A03", "discharge"),
        ("A04", "arrival"),
        ("A06", "admission"),
        ("A07", "update"),
        ("A08", "update"),
        ("A11", "cancel_admission"),
        ("A12", "cancel_transfer"),
        ("A13", "cancel_discharge"),
        ("a03", "discharge"),
    ],
)
def test_the_trigger_in_msh_9_takes_precedence_over_evn_1(trigger: str, event_type: str) -> None:
    assert stated(adt(trigger, evn={1: "A99"}))["event_type"] == event_type


@pytest.mark.parametrize("trigger", ["A05", "A14", "A17", "A37", "A42", "A44", "A45", "A50", "A60", ""])
def test_other_adt_messages_are_quarantined_by_name_and_carry_their_hospital(trigger: str) -> None:
    body = adt("A01", msh={9: f"ADT^{trigger}"})
    with pytest.raises(Unsupported):
        hl7.interpret(body, None)
    row = only(body)
    assert (row["reasons"], row["hospital_id"]) == (["message_type_is_unsupported"], "NORTH")


@pytest.mark.parametrize(
    ("message_type", "name"),
    [
        ("ORU^R01", "message_is_not_adt"),
        ("SIU^S12^SIU_S12", "message_is_not_adt"),
        ("ADT^A28", "message_updates_person_record"),
        ("ADT^A31^ADT_A05", "message_updates_person_record"),
    ],
)
def test_messages_that_say_nothing_about_patient_flow_are_ignored_by_name(message_type: str, name: str) -> None:
    body = adt("A01", msh={9: message_type})
    with pytest.raises(Ignored):
        hl7.interpret(body, None)
    row = only(body)
    assert (row["ignored_as"], row["reasons"], row["hospital_id"]) == (name, [], "NORTH")


def test_a_message_without_pv1_names_what_is_missing() -> None:
    body = adt("A01").split(b"PV1")[0]
    assert only(body)["reasons"] == ["visit_is_missing", "department_is_missing"]
    assert stated(body)["hospital_id"] == "NORTH", "the sending facility stands in for PV1-3.4"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r\n"])
@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b""), (b"\xef\xbb\xbf", b""), (b"\x0b", b"\x1c\r"), (b"\x0b\xef\xbb\xbf", b"\x1c\r\n"), (b" \r\n", b"\n\n")],
    ids=["plain", "byte order mark", "MLLP", "MLLP and byte order mark", "white space"],
)
def test_framing_and_line_ends_make_no_difference(end: str, before: bytes, after: bytes) -> None:
    assert stated(before + adt("A01", end=end) + after) == stated(adt("A01"))


def test_the_message_chooses_its_own_separators() -> None:
    usual = adt("A01", pid={3: "1^^^N^XX~2^^^N^MR"}).decode()
    unusual = usual.translate(str.maketrans("|^~\\&", "#$%*@"))
    assert stated(unusual) == stated(usual)
    assert stated(usual)["patient_id"] == "2"


def test_a_short_msh_2_leaves_the_usual_separators_in_place() -> None:
    short = adt("A01", pid={3: "1^^^N^XX~2^^^N^MR"}).replace(b"^~\\&", b"^", 1)
    assert stated(short)["patient_id"] == "2"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("A\\T\\E", "A&E"),
        ("A\\S\\B\\F\\C\\R\\D\\E\\E", "A^B|C~D\\E"),
        ("A\\X26\\E", "A&E"),
        ("A\\XC9\\", "AÉ"),
        ("A\\.br\\E", "A E"),
        ("A\\.sp99999999999\\E", "A E"),
        ("A\\H\\E", "A E"),
        ("A\\Zx\\E", "A\\Zx\\E"),
        ("A\\E", "A\\E"),
        ("A\\XG1\\E", "A\\XG1\\E"),
    ],
)
def test_escape_sequences_are_resolved_and_unknown_ones_left_alone(written: str, meant: str) -> None:
    assert stated(adt("A01", pv1={3: f"{written}^1^2^N"}))["department"] == meant


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("20290801070624+0115", "2029-08-01T05:51:24Z"),
        ("20261119101530.1234-0500", "2026-11-19T15:15:30.123400Z"),
        ("20261119101530.5", "2026-11-19T10:15:30.500000"),
        ("20261119101530", "2026-11-19T10:15:30"),
        ("202611191015", "2026-11-19T10:15:00"),
        ("2026111910", "2026-11-19T10:00:00"),
        ("20261119101530^S", "2026-11-19T10:15:30"),
    ],
)
def test_timestamps_of_every_precision_down_to_the_hour_are_instants(text: str, read: str) -> None:
    assert stated(adt("A01", evn={2: text}))["event_time"] == read


@pytest.mark.parametrize("text", ["2026", "202611", "20261119", "20261340101530", "202611191015301", "yesterday"])
def test_the_next_time_field_replaces_one_without_an_instant(text: str) -> None:
    assert stated(adt("A01", evn={2: text}))["event_time"] == "2026-11-19T10:16:00"


@pytest.mark.parametrize("text", ["20261119", "nonsense"])
def test_without_any_instant_the_event_is_quarantined_for_its_time(text: str) -> None:
    row = only(adt("A01", msh={7: text}, evn={2: text}))
    assert row["reasons"] == ["event_time_is_unusable"]


@pytest.mark.parametrize(
    ("field", "patient"),
    [
        ("1^^^N^SS~2^^^N^MR~3^^^N^PI", "2"),
        ("1^^^N^SS~3^^^N^PI", "3"),
        ("1^^^N^SS~4", "1"),
        ("~5", "5"),
        ("6", "6"),
        ('""', None),
    ],
)
def test_the_medical_record_number_is_preferred_among_the_identifiers(field: str, patient: str | None) -> None:
    assert stated(adt("A01", pid={3: field})).get("patient_id") == patient


@pytest.mark.parametrize(
    ("code", "status", "flagged"),
    [
        ("01", "home", False),
        ("1", "home", False),
        ("7", "left_against_advice", False),
        ("home", "home", False),
        ("20", "deceased", False),
        ("02", "transferred", False),
        ("03", "care_facility", False),
        ("62", "care_facility", False),
        ("X9", None, True),
        ("", None, False),
    ],
)
def test_dispositions_become_discharge_statuses_and_unknown_ones_are_flagged(
    code: str, status: str | None, flagged: bool
) -> None:
    row = only(adt("A03", pv1={36: code}))
    assert row["discharge_status"] == status
    assert ("discharge_status_is_unknown" in row["quality_flags"]) == flagged


@pytest.mark.parametrize(
    ("code", "gender"), [("F", "Female"), ("m", "Male"), ("O", "Other"), ("A", "Other"), ("U", "Unknown"), ("Z", "Z")]
)
def test_administrative_sex_becomes_gender(code: str, gender: str) -> None:
    assert stated(adt("A01", pid={8: code}))["gender"] == gender


@pytest.mark.parametrize(
    ("born", "age"),
    [("19801119", 46), ("19801120", 45), ("20261119", 0), ("198011190512", 46), ("1980", None), ("198013", None)],
)
def test_age_is_counted_in_full_years_at_the_event(born: str, age: int | None) -> None:
    assert stated(adt("A01", pid={7: born})).get("age") == age


def test_an_event_id_that_would_be_too_long_is_left_to_the_body() -> None:
    assert "event_id" not in stated(adt("A01", msh={10: "M" * 60}))
    assert "event_id" not in stated(adt("A01", msh={10: ""}))


@pytest.mark.parametrize(
    "body",
    [
        b"MSH|",
        b"MSH|||||",
        b"MSH|^^\\&|A",
        b"MSH^|",
        adt("A01") + adt("A02"),
        adt("A01", pid={5: "x" * 20_000}),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_broken_messages_are_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        hl7.interpret(body, None)


@pytest.mark.parametrize("body", [b"", b"{", b"BHS|^~\\&|", b"msh|^~\\&|", b"\x00", b"[]", b"MSH", b"MSHAPE"])
def test_other_bodies_are_left_to_others(body: bytes) -> None:
    assert hl7.interpret(body, None) is None
    assert hl7.interpret(b'{"MSH": 1}', {"MSH": 1}) is None


def test_a_long_attachment_beside_the_segments_that_matter_does_no_harm() -> None:
    attachment = b"OBX|1|ED|PDF||" + b"QUJD" * 500_000 + b"\r"
    assert stated(adt("A01") + attachment) == stated(adt("A01"))


@pytest.mark.parametrize(
    ("trigger", "code", "visit_class"),
    [
        ("A01", "E", "emergency"),
        ("A01", "I", "inpatient"),
        ("A01", "B", "inpatient"),
        ("A04", "O", "outpatient"),
        ("A04", "R", "outpatient"),
        ("A04", "p", "preadmission"),
        ("A01", "U", None),
        ("A01", "", None),
        ("A07", "I", "outpatient"),
        ("A07", "", "outpatient"),
    ],
)
def test_the_patient_class_is_the_class_of_the_visit(trigger: str, code: str, visit_class: str | None) -> None:
    row = only(adt(trigger, pv1={2: code}))
    assert row["visit_class"] == visit_class
    assert ("visit_class_is_unknown" in row["quality_flags"]) == (code == "U")


@pytest.mark.parametrize(
    ("code", "admission_type"),
    [
        ("A", "emergency"),
        ("E", "emergency"),
        ("U", "emergency"),
        ("C", "elective"),
        ("r", "elective"),
        ("L", "maternity"),
        ("N", "newborn"),
        ("9", None),
        ("", None),
    ],
)
def test_the_admission_type_is_read_and_an_unknown_one_flagged(code: str, admission_type: str | None) -> None:
    row = only(adt("A01", pv1={4: code}))
    assert row["admission_type"] == admission_type
    assert ("admission_type_is_unknown" in row["quality_flags"]) == (code == "9")


@pytest.mark.parametrize(
    ("written", "assigner"),
    [
        ("V9^^^NORTH", "NORTH"),
        ("V9^^^&1.2.250.1&ISO", "1.2.250.1"),
        ("V9^^^NORTH&1.2.250.1&ISO", "NORTH"),
        ("V9", None),
    ],
)
def test_who_assigned_a_number_is_the_first_filled_part_of_its_authority(written: str, assigner: str | None) -> None:
    fields = stated(adt("A01", pid={3: written}, pv1={19: written}))
    assert (fields["visit_id"], fields.get("visit_assigner"), fields.get("patient_assigner")) == (
        "V9",
        assigner,
        assigner,
    )


def test_the_assigner_is_that_of_the_preferred_number() -> None:
    fields = stated(adt("A01", pid={3: "1^^^INSURANCE^SS~2^^^NORTH^MR"}))
    assert (fields["patient_id"], fields["patient_assigner"]) == ("2", "NORTH")


def test_the_account_number_replaces_a_missing_visit_number_with_a_flag() -> None:
    row = only(adt("A01", pid={18: "ACC-1^^^BILLING"}, pv1={19: ""}))
    assert (row["visit_id"], row["visit_assigner"]) == ("ACC-1", "BILLING")
    assert "visit_is_an_account" in row["quality_flags"]
    assert "visit_is_an_account" not in only(adt("A01", pid={18: "ACC-1"}))["quality_flags"]


@pytest.mark.parametrize("unit", ["UF 1234", "^^^^^^^^^UF 1234"])
def test_the_unit_of_a_french_movement_replaces_a_missing_location(unit: str) -> None:
    body = adt("A01", pv1={3: ""}) + f"ZBE|1|20261119101530||INSERT|N|A01|{unit}\r".encode()
    assert stated(body)["department"] == "UF 1234"


@pytest.mark.parametrize("occurred", ["02061119101530", "00010101000000"])
def test_an_event_time_of_another_era_gives_way_to_the_time_of_recording(occurred: str) -> None:
    assert stated(adt("A01", evn={6: occurred}))["event_time"] == "2026-11-19T10:15:30"


def test_a_message_of_another_era_is_too_old_and_not_unreadable() -> None:
    assert only(adt("A01", msh={7: "19640101000000"}, evn={2: "19640101000000"}))["reasons"] == ["time_is_too_old"]


@pytest.mark.parametrize(("text", "planned"), [("20261125180000", (18, 0)), ("20261125", None), ("", None)])
def test_the_expected_discharge_is_a_plan_where_it_names_an_instant(text: str, planned: tuple[int, int] | None) -> None:
    row = only(adt("A01") + f"PV2||||||||20261101|{text}\r".encode())
    assert row["planned_discharge_time"] == (planned and datetime(2026, 11, 25, *planned, tzinfo=UTC))
    assert row["discharge_time"] is None
    assert "optional_time_is_unusable" not in row["quality_flags"]


@pytest.mark.parametrize("trigger", ["A18", "A34", "A40", "A47"])
def test_a_merge_names_the_number_that_stays_and_the_one_that_is_given_up(trigger: str) -> None:
    head = adt(trigger).split(b"PV1")[0]
    row = only(head + b"MRG|OLD-1^^^SOUTH^PI~OLD-2^^^SOUTH^MR\r")
    assert (row["event_type"], row["reasons"], row["quality_flags"]) == ("merge_patient", [], [])
    assert (row["patient_id"], row["patient_assigner"]) == ("P77", "NORTH")
    assert (row["merged_patient_id"], row["merged_patient_assigner"]) == ("OLD-2", "SOUTH")


def test_a_merge_without_the_number_that_is_given_up_is_quarantined() -> None:
    assert only(adt("A40"))["reasons"] == ["merged_patient_is_missing"]


def test_every_merge_of_a_message_is_an_event_of_its_own() -> None:
    head = adt("A40").split(b"PV1")[0]
    rows = judged([head + b"MRG|OLD-1\rPID|||P88^^^NORTH^MR\rMRG|OLD-2\rPID|||P99\r"])
    assert [(row["part"], row["parts"], row["patient_id"], row["merged_patient_id"]) for row in rows] == [
        (0, 2, "P77", "OLD-1"),
        (1, 2, "P88", "OLD-2"),
    ]
    assert len({row["event_id"] for row in rows}) == 2
    assert len({row["body_hash"] for row in rows}) == 2
