"""ParserConfig and judging: typed values, reasons and flags of one event at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.contracts import events, rules
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.events import LONGEST_PLAN
from patient_flow.contracts.tables import COORDINATES, SILVER_EVENTS
from patient_flow.transforms.accept import candidates, validate
from patient_flow.transforms.details import describe
from patient_flow.transforms.keys import derived_visits
from patient_flow.transforms.read import ParserConfig, parse_timestamps, read_events

ENQUEUED = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONGEST = ENQUEUED + LONGEST_PLAN
READING = ParserConfig(
    pl.DataFrame({"hospital_id": ["3", "4"], "department": ["ICU", "Surgery"]}),
    secret="a key",
)
SNAPSHOT = {
    "patient_id": "p-1",
    "hospital_id": 3,
    "department": "ICU",
    "gender": "Female",
    "age": 42,
    "admission_time": "2026-11-20T10:15:00.123456",
}
ADMISSION = {
    **SNAPSHOT,
    "event_type": "admission",
    "event_id": "e-1",
    "visit_id": "v-1",
    "event_time": "2026-11-20T10:15:00Z",
}

PLACING = ("arrival", "admission", "transfer")
MERGE = {
    "event_type": "merge_patient",
    "event_time": "2026-11-20T10:15:00Z",
    "hospital_id": 3,
    "patient_id": "p-1",
    "merged_patient_id": "p-0",
}


def bronze(*bodies: bytes) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "hub_created_at": pl.Series([ENQUEUED] * len(bodies), dtype=INSTANT),
            "partition_id": ["0"] * len(bodies),
            "sequence_number": pl.Series(range(len(bodies)), dtype=pl.Int64),
            "enqueued_at": pl.Series([ENQUEUED] * len(bodies), dtype=INSTANT),
            "body": pl.Series(bodies, dtype=pl.Binary),
        }
    )


def judged(*bodies: bytes) -> pl.DataFrame:
    return validate(read_events(bronze(*bodies), READING))


def encoded(base: dict[str, object], **changes: object) -> bytes:
    return json.dumps({name: value for name, value in {**base, **changes}.items() if value is not None}).encode()


def one(base: dict[str, object], **changes: object) -> dict[str, Any]:
    return judged(encoded(base, **changes)).row(0, named=True)


def test_a_snapshot_needs_no_more_than_the_reference_format_has() -> None:
    row = one(SNAPSHOT)
    assert (row["reasons"], row["quality_flags"]) == ([], [])
    assert row["event_type"] == "visit_snapshot"
    assert row["event_time"] == row["admission_time"] == datetime(2026, 11, 20, 10, 15, 0, 123456, UTC)
    assert row["visit_id"] is None
    assert len(row["event_id"]) == 64


def test_a_snapshot_without_a_visit_number_has_the_visit_of_its_hospital_patient_and_admission() -> None:
    def visit(**changes: object) -> str:
        row = candidates(judged(encoded(SNAPSHOT, **changes)), "a key").row(0, named=True)
        assert row["visit_number_hash"] is None
        return str(row["visit_id"])

    same = {"department": "Surgery", "age": 43}
    assert visit() == visit(**same)
    for other in ({"hospital_id": 4}, {"patient_id": "p-2"}, {"admission_time": "2026-11-20T10:16:00"}):
        assert visit() != visit(**other)
    frame = candidates(judged(encoded(SNAPSHOT)), "a key")
    assert derived_visits(frame).item() == visit(), "gold can derive it again, with another patient"


@pytest.mark.parametrize(
    ("base", "changes", "reasons"),
    [
        (SNAPSHOT, {"patient_id": None}, ["patient_is_missing"]),
        (SNAPSHOT, {"patient_id": " "}, ["patient_is_missing"]),
        (SNAPSHOT, {"patient_id": "x" * 65}, ["patient_is_missing"]),
        (SNAPSHOT, {"patient_id": "a\x00b"}, ["patient_is_missing"]),
        (SNAPSHOT, {"hospital_id": None}, ["hospital_is_missing"]),
        (SNAPSHOT, {"department": None}, ["department_is_missing"]),
        (SNAPSHOT, {"admission_time": None}, ["admission_time_is_unusable"]),
        (SNAPSHOT, {"admission_time": "yesterday"}, ["admission_time_is_unusable"]),
        (SNAPSHOT, {"admission_time": "2026-11-20"}, ["admission_time_is_unusable"]),
        (SNAPSHOT, {"admission_time": "2026-11-20T12:05:00.000001"}, ["admission_is_in_the_future"]),
        (SNAPSHOT, {"arrival_time": "2026-11-20T13:00:00"}, ["arrival_is_in_the_future"]),
        (SNAPSHOT, {"triage_time": "2026-11-20T13:00:00"}, ["triage_is_in_the_future"]),
        (SNAPSHOT, {"discharge_time": "2026-11-20T10:15:00.123455"}, ["discharge_precedes_admission"]),
        (SNAPSHOT, {"schema_version": "2.0"}, ["schema_version_is_unsupported"]),
        (SNAPSHOT, {"schema_version": "1,5"}, ["schema_version_is_unsupported"]),
        (SNAPSHOT, {"schema_version": {}}, ["schema_version_is_unsupported"]),
        (SNAPSHOT, {"event_type": "party"}, ["event_type_is_unknown"]),
        (SNAPSHOT, {"event_type": ["admission"]}, ["event_type_is_unknown"]),
        (ADMISSION, {"visit_id": None}, ["visit_is_missing"]),
        (ADMISSION, {"event_time": None}, ["event_time_is_unusable"]),
        (ADMISSION, {"event_time": "2026-11-20T12:06:00Z"}, ["event_is_in_the_future"]),
        (ADMISSION, {"event_time": "1989-12-31T23:59:59Z"}, ["time_is_too_old"]),
        (ADMISSION, {"event_time": "0001-01-01T00:00:00"}, ["time_is_too_old"]),
        (SNAPSHOT, {"admission_time": "1964-02-03T10:00:00"}, ["time_is_too_old"]),
        (MERGE, {"merged_patient_id": None}, ["merged_patient_is_missing"]),
        (MERGE, {"patient_id": None}, ["patient_is_missing"]),
        (MERGE, {"hospital_id": None}, ["hospital_is_missing"]),
        (SNAPSHOT, {"department": None, "visit_class": "inpatient"}, ["department_is_missing"]),
        (SNAPSHOT, {"department": None, "visit_class": "day_case"}, ["department_is_missing"]),
        (SNAPSHOT, {"department": "nan"}, ["department_is_missing"]),
        (SNAPSHOT, {"patient_id": "null"}, ["patient_is_missing"]),
        (SNAPSHOT, {"hospital_id": "NULL"}, ["hospital_is_missing"]),
        (SNAPSHOT, {"admission_time": "NaT"}, ["admission_time_is_unusable"]),
        (SNAPSHOT, {"event_type": "null"}, ["event_type_is_unknown"]),
        (
            ADMISSION,
            {"event_type": "discharge", "discharge_time": "2026-11-20T12:06:00Z"},
            ["discharge_is_in_the_future"],
        ),
        (
            ADMISSION,
            {"event_type": "discharge", "discharge_time": "9999-12-31T00:00:00"},
            ["discharge_is_in_the_future"],
        ),
        (SNAPSHOT, {"admission_time": "9999-12-31T00:00:00"}, ["admission_is_in_the_future"]),
        (
            SNAPSHOT,
            {"patient_id": None, "hospital_id": None, "schema_version": "7"},
            ["schema_version_is_unsupported", "patient_is_missing", "hospital_is_missing"],
        ),
    ],
)
def test_every_reason_is_named(base: dict[str, object], changes: dict[str, object], reasons: list[str]) -> None:
    assert one(base, **changes)["reasons"] == reasons


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (SNAPSHOT, {"admission_time": "2026-11-20T12:05:00"}),  # exactly five minutes ahead
        (SNAPSHOT, {"discharge_time": "2027-01-01T00:00:00"}),  # a planned discharge
        (SNAPSHOT, {"discharge_time": "9999-12-31T00:00:00"}),  # none that anybody planned
        (SNAPSHOT, {"discharge_time": "2026-11-20T10:15:00.123456"}),  # a stay of no length
        (SNAPSHOT, {"schema_version": "1.7"}),
        (ADMISSION, {"event_type": "ADMISSION"}),
        (ADMISSION, {"event_type": "update", "department": None}),
        (ADMISSION, {"event_type": "update", "discharge_time": "2026-12-24T00:00:00"}),
        (ADMISSION, {"event_type": "void_visit", "department": None}),
        (MERGE, {}),
        *((SNAPSHOT, {"department": None, "visit_class": name}) for name in events.CLASSES_WITHOUT_BED),
        *((ADMISSION, {"event_type": name, "department": None, "visit_class": "VIRTUAL"}) for name in PLACING),
    ],
)
def test_what_the_contract_allows_is_accepted(base: dict[str, object], changes: dict[str, object]) -> None:
    assert one(base, **changes)["reasons"] == []


@pytest.mark.parametrize(
    ("changes", "flags", "field", "value"),
    [
        ({"age": 121}, ["age_is_out_of_range"], "age", None),
        ({"age": -1}, ["age_is_out_of_range"], "age", None),
        ({"gender": "?"}, ["gender_is_unknown"], "gender", "Unknown"),
        ({"gender": 7}, ["gender_is_unknown"], "gender", "Unknown"),
        ({"gender": "m"}, [], "gender", "Male"),
        ({"gender": "Unknown"}, [], "gender", "Unknown"),
        ({"gender": None}, [], "gender", None),
        ({"wait_minutes": -5}, ["wait_is_out_of_range"], "wait_minutes", None),
        ({"department": " icu "}, [], "department", "ICU"),
        ({"department": "surgery"}, ["department_is_not_listed"], "department", "Surgery"),
        ({"department": "Emergancy"}, ["department_is_not_listed"], "department", "Emergancy"),
        ({"discharge_status": "HOME"}, [], "discharge_status", "home"),
        ({"discharge_status": "moon"}, ["discharge_status_is_unknown"], "discharge_status", None),
        ({"bed_id": [1]}, ["bed_is_unusable"], "bed_id", None),
        ({"discharge_time": "never"}, ["optional_time_is_unusable"], "discharge_time", None),
        ({"discharge_time": "9999-12-31T23:59:59Z"}, ["optional_time_is_unusable"], "discharge_time", None),
        ({"discharge_time": LONGEST.isoformat()}, [], "discharge_time", LONGEST),
        (
            {"discharge_time": (LONGEST + timedelta(microseconds=1)).isoformat()},
            ["optional_time_is_unusable"],
            "discharge_time",
            None,
        ),
        ({"discharge_time": "1900-01-01T00:00:00"}, ["optional_time_is_unusable"], "discharge_time", None),
        ({"arrival_time": "0001-01-01T00:00:00+02:00"}, ["optional_time_is_unusable"], "arrival_time", None),
        ({"bed_id": 17}, [], "bed_id", "17"),
        ({"bed_id": "nan"}, [], "bed_id", None),
        ({"hospital_id": "3.0"}, [], "hospital_id", "3"),
        ({"hospital_id": 3.0}, [], "hospital_id", "3"),
        ({"age": "4_2"}, ["age_is_out_of_range"], "age", None),
        ({"visit_class": "Inpatient"}, [], "visit_class", "inpatient"),
        ({"visit_class": "IMP"}, ["visit_class_is_unknown"], "visit_class", None),
        ({"admission_type": "Elective"}, [], "admission_type", "elective"),
        ({"admission_type": 7}, ["admission_type_is_unknown"], "admission_type", None),
        ({"discharge_status": "care_facility"}, [], "discharge_status", "care_facility"),
        ({"seen_time": "2026-11-20T10:30:00"}, [], "seen_time", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ({"seen_time": "2026-11-20T12:05:00"}, [], "seen_time", datetime(2026, 11, 20, 12, 5, tzinfo=UTC)),
        ({"seen_time": "2026-11-20T12:05:01"}, ["optional_time_is_in_the_future"], "seen_time", None),
        ({"decision_time": "2026-11-21T12:00:00"}, ["optional_time_is_in_the_future"], "decision_time", None),
        ({"ready_time": "2026-11-21T12:00:00"}, ["optional_time_is_in_the_future"], "ready_time", None),
        ({"ready_time": "1989-12-31T00:00:00"}, ["optional_time_is_unusable"], "ready_time", None),
        (
            {"planned_discharge_time": "2026-12-24T12:00:00Z"},
            [],
            "planned_discharge_time",
            datetime(2026, 12, 24, 12, tzinfo=UTC),
        ),
        (
            {"planned_discharge_time": "9999-12-31T00:00:00Z"},
            ["optional_time_is_unusable"],
            "planned_discharge_time",
            None,
        ),
        ({"patient_assigner": "x" * 65}, ["assigner_is_unusable"], "patient_assigner", None),
        ({"stays": "ICU"}, ["stays_are_unusable"], "stays", None),
        ({"stays": []}, [], "stays", None),
        ({"source": "reconciliation"}, [], "source", "reconciliation"),
    ],
)
def test_repairs_are_flagged_and_nothing_is_invented(
    changes: dict[str, object], flags: list[str], field: str, value: object
) -> None:
    row = one(SNAPSHOT, **changes)
    assert (row["reasons"], row["quality_flags"], row[field]) == ([], flags, value)


@pytest.mark.parametrize("said", ["cardiology", "Cardiology", "CARDIOLOGY"])
@pytest.mark.parametrize(
    ("hospital", "spelling", "is_listed"),
    [("1", "Cardiology", True), ("2", "CARDIOLOGY", True), ("3", "Cardiology", False)],
)
def test_a_department_is_spelled_as_its_own_hospital_lists_it(
    said: str, hospital: str, spelling: str, is_listed: bool
) -> None:
    """And as the first that lists it where its own does not."""
    listed = pl.DataFrame({"hospital_id": ["1", "2"], "department": ["Cardiology", "CARDIOLOGY"]})
    body = json.dumps({**SNAPSHOT, "hospital_id": hospital, "department": said}).encode()
    row = read_events(bronze(body), ParserConfig(listed, secret="a key")).row(0, named=True)
    assert (row["department"], row["department_is_listed"]) == (spelling, is_listed)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-20T10:15:00", (10, 15)),
        ("2026-11-20T10:15:00.000000", (10, 15)),
        ("2026-11-20T10:15:00Z", (10, 15)),
        ("2026-11-20T10:15:00.5Z", (10, 15, 0, 500_000)),
        ("2026-11-20T11:15:00+01:00", (10, 15)),
        ("2026-11-20T11:15:00+0100", (10, 15)),
        ("2026-11-20 10:15", (10, 15)),
        ("20261120T101500Z", (10, 15)),
        ("2026-11-20T10:15:00z", (10, 15)),
        ("2026-11-20t10:15:00z", (10, 15)),
        ("2026-11-20 11:15:00.0000000 +01:00", (10, 15)),  # SQL Server, datetimeoffset
        ("2026-11-20 10:15:00.1234567", (10, 15, 0, 123_456)),  # SQL Server, datetime2
        ("2026-11-20T10:15:00.1234567Z", (10, 15, 0, 123_456)),  # .NET, round trip
        ("2026-11-20 11:15:00.000000000 +1:00", (10, 15)),  # Oracle, TIMESTAMP WITH TIME ZONE
        ("2026-11-20 10:15:00.123456789", (10, 15, 0, 123_456)),  # pandas
        ("2026-11-20 11:15:00.123+01", (10, 15, 0, 123_000)),  # PostgreSQL
        ("2026-11-20 10:15:00 UTC", (10, 15)),  # BigQuery, Ruby
        ("2026-11-20T11:15:00+01:00[Europe/Paris]", (10, 15)),  # Java
        ("2026-11-20 11:15:00 +0100", (10, 15)),
        ("2026-11-20T10:15:00,5", (10, 15, 0, 500_000)),
        ("2026-11-20\u00a010:15:00", (10, 15)),
        ("2026-11-20T05:15:00\u221205:00", (10, 15)),
        ("2026-11-19T24:00:00", (0, 0)),
        ("2026-11-19T24:00:01", None),
        ("2026-11-20T10:15:00 Europe/Paris", None),
        ("2026-11-20T10:15:00+99:00", None),
        ("2026-11-20T1_:15:00", None),
        ("20-NOV-26 10.15.00.000000 AM", None),
        ("/Date(1795169700000)/", None),
        ("2026-11-20T10:15", (10, 15)),
        ("2026-11-20", None),
        ("-2026-11-20T10:15:00", None),
        ("2026-11-20T10:15:60", None),
        ("2026-1-2T3:4:5", None),
        ("202611201015301", None),
        ("20261120X101500", None),
        ("0000-11-20T10:15:00", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("10:15", None),
        ("2026-13-20T10:15:00", None),
        ("", None),
    ],
)
def test_timestamps_are_iso_8601_and_utc_without_an_offset(text: str, instant: tuple[int, ...] | None) -> None:
    parsed = parse_timestamps(pl.Series([text, "2026-11-20T10:15:00", None]))
    assert parsed.dtype == INSTANT
    assert parsed[0] == (None if instant is None else datetime(2026, 11, 20, *instant, tzinfo=UTC))


def test_ids_become_keyed_pseudonyms_and_names_never_do_match() -> None:
    body = json.dumps({**ADMISSION, "visit_id": "p-1"}).encode()
    row = candidates(judged(body), "a key").row(0, named=True)
    other = candidates(judged(body), "another key").row(0, named=True)
    assert row["patient_id"] != row["visit_id"]  # the same number as a patient and as a visit
    assert row["patient_id"] != other["patient_id"]
    assert len(row["patient_id"]) == 32
    assert "p-1" not in str(row)


@pytest.mark.parametrize(("body", "tells_nothing"), [(SNAPSHOT, set()), (ADMISSION, {"event_id", "event_key"})])
def test_without_the_key_no_hash_in_silver_identifies_a_patient(
    body: dict[str, object], tells_nothing: set[str]
) -> None:
    """Whoever has silver and a list of all patients could try each of them; an id that the sender gave is no hash."""
    mine, theirs = (candidates(judged(json.dumps(body).encode()), key) for key in ("a key", "another key"))
    derived = {"event_id", "visit_id", "patient_id", "event_key", "body_hash", "visit_hash", "patient_hash"}
    assert {name for name in derived if mine[name].equals(theirs[name])} == tells_nothing
    assert mine["event_id"].str.len_chars().item() <= 64


@given(st.lists(st.binary(max_size=60) | st.sampled_from([json.dumps(SNAPSHOT).encode(), b"{}", b"[]"]), max_size=12))
def test_no_body_changes_another(bodies: list[bytes]) -> None:
    together = judged(*bodies).drop(*COORDINATES)
    alone = [judged(body).drop(*COORDINATES) for body in bodies]
    assert together.rows() == [row for frame in alone for row in frame.rows()]
    assert together.height == len(bodies)


def test_candidates_have_the_schema_of_silver_even_when_there_are_none() -> None:
    assert candidates(judged(b"no"), "k").schema == SILVER_EVENTS.schema
    assert candidates(judged(), "k").schema == SILVER_EVENTS.schema


def test_every_rule_with_an_expression_can_be_broken() -> None:
    """A rule that nothing breaks is a rule that does not work."""
    hostile = [
        b"x",
        *(
            json.dumps({name: value for name, value in {**base, **changes}.items() if value is not None}).encode()
            for base, changes in [
                (SNAPSHOT, {"schema_version": "2", "event_type": "x", "patient_id": None, "hospital_id": None}),
                (SNAPSHOT, {"department": None, "admission_time": None, "age": 900, "gender": "x"}),
                (SNAPSHOT, {"admission_time": "2027-01-01T00:00", "arrival_time": "2027-01-01T00:00"}),
                (SNAPSHOT, {"triage_time": "2027-01-01T00:00", "discharge_time": "2020-01-01T00:00"}),
                (SNAPSHOT, {"event_id": "", "bed_id": {}, "wait_minutes": -1, "discharge_status": "x"}),
                (SNAPSHOT, {"visit_class": "x", "admission_type": "x", "patient_assigner": {}, "stays": 3}),
                (SNAPSHOT, {"admission_time": "1964-01-01T00:00", "ready_time": "2027-01-01T00:00"}),
                (SNAPSHOT, {"stays": [{"department": "ICU", "from": "2027-01-01T00:00"}]}),
                (MERGE, {"merged_patient_id": None}),
                (SNAPSHOT, {"event_id": {}, "department": "x", "triage_time": "x"}),
                (ADMISSION, {"visit_id": None, "event_time": None}),
                (
                    ADMISSION,
                    {"event_type": "discharge", "discharge_time": "2027-01-01T00:00", "event_time": "2027-01-01T00:00"},
                ),
            ]
        ),
    ]
    frame = judged(*hostile)
    broken = set(frame["reasons"].explode()) | set(frame["quality_flags"].explode())
    of_expressions = {rule.name for rule in rules.RULES if rule.violation is not None}
    of_formats = {"message_type_is_unsupported", "no_mapping_matches", *rules.INTERPRETERS_FLAGS}  # see dialects
    assert of_expressions - broken <= of_formats


@pytest.mark.parametrize(
    "written",
    [
        "Réa Pédiatrie",
        "Re\u0301a Pe\u0301diatrie",
        "réa pédiatrie",
        "Réa\u00a0Pédiatrie",
        "Réa  Pédiatrie",
        "Réa\tPédiatrie",
        "Ré\u200ba Pédia\u200dtrie\ufeff",
        "\u3000Réa\u2009Pédiatrie ",
        "Ｒéa Pédiatrie",
    ],
)
def test_a_department_is_the_same_however_its_name_is_encoded(written: str) -> None:
    listed = pl.DataFrame({"hospital_id": ["3"], "department": ["Réa Pédiatrie"]})
    row = read_events(bronze(encoded(SNAPSHOT, department=written)), ParserConfig(listed, "a key")).row(0, named=True)
    assert (row["department"], row["department_is_listed"]) == ("Réa Pédiatrie", True)


def test_a_department_in_no_list_keeps_its_case_and_loses_invisible_characters() -> None:
    assert one(SNAPSHOT, department="4\u200b  West\u00a0B ")["department"] == "4 West B"


KINDS = (
    "absent boolean number text list object longer than 64 characters with control that is no timestamp date without",
    "a time before 1990 unknown value minutes hours days later than the hub's clock",
)


def told(base: dict[str, object], **changes: object) -> dict[str, str]:
    """Each reason with its detail."""
    frame = judged(encoded(base, **changes))
    return dict(zip(frame["reasons"][0], describe(frame)[0], strict=True))


@pytest.mark.parametrize(
    ("base", "changes", "details"),
    [
        (SNAPSHOT, {"patient_id": None}, {"patient_is_missing": "patient_id: absent"}),
        (SNAPSHOT, {"patient_id": {"id": "p"}}, {"patient_is_missing": "patient_id: object"}),
        (SNAPSHOT, {"patient_id": "Erika " * 20}, {"patient_is_missing": "patient_id: text longer than 64 characters"}),
        (SNAPSHOT, {"patient_id": "a\x00b"}, {"patient_is_missing": "patient_id: text with control characters"}),
        (SNAPSHOT, {"hospital_id": 3.5}, {"hospital_is_missing": "hospital_id: number"}),
        (
            SNAPSHOT,
            {"admission_time": "2026-11-20"},
            {"admission_time_is_unusable": "admission_time: date without a time"},
        ),
        (
            SNAPSHOT,
            {"admission_time": "at ten"},
            {"admission_time_is_unusable": "admission_time: text that is no timestamp"},
        ),
        (SNAPSHOT, {"admission_time": 1763633700}, {"admission_time_is_unusable": "admission_time: number"}),
        (SNAPSHOT, {"admission_time": "1964-01-01T00:00"}, {"time_is_too_old": "admission_time: before 1990"}),
        (ADMISSION, {"event_time": "1964-01-01T00:00"}, {"time_is_too_old": "event_time: before 1990"}),
        (ADMISSION, {"event_type": "party"}, {"event_type_is_unknown": "event_type: unknown value"}),
        (
            ADMISSION,
            {"event_time": "2026-11-20T13:00:00Z"},
            {"event_is_in_the_future": "event_time: 60 minutes later than the hub's clock"},
        ),
    ],
)
def test_each_reason_has_a_detail_that_names_the_field_and_no_value(
    base: dict[str, object], changes: dict[str, object], details: dict[str, str]
) -> None:
    assert told(base, **changes) == details


@given(st.dictionaries(st.sampled_from([*ADMISSION]), st.text(min_size=4, max_size=70) | st.integers(10**5)))
def test_no_detail_holds_a_value_of_the_event(changes: dict[str, object]) -> None:
    said = told(ADMISSION, **changes)
    frame = judged(encoded(ADMISSION, **changes))
    assert list(said) == frame["reasons"][0].to_list()
    known = " ".join((*ADMISSION, *KINDS))
    for detail in said.values():
        words = detail.replace(":", "").replace(",", "").split()
        assert all(word in known or word.isdecimal() for word in words), detail


def stays_of(*listed: dict[str, object], **changes: object) -> dict[str, Any]:
    without = {"department": None, "admission_time": None}
    return one(SNAPSHOT, **{**without, "stays": list(listed), **changes})


def hours(row: dict[str, Any]) -> list[tuple[object, ...]]:
    """Departments, beds and the hours of 20 November at which each stay begins and ends."""
    midnight = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    return [
        (
            stay["department"],
            stay["bed_id"],
            (stay["from"] / 1e6 - midnight) / 3600,
            stay["to"] and (stay["to"] / 1e6 - midnight) / 3600,
        )
        for stay in json.loads(row["stays"])
    ]


def test_stays_are_kept_in_order_and_give_what_the_snapshot_leaves_out() -> None:
    row = stays_of(
        {"department": "surgery", "bed_id": 7, "from": "2026-11-20T11:00:00"},
        {"department": " icu", "from": "2026-11-20T09:00:00+01:00", "to": "2026-11-20 11:00:00z"},
    )
    assert (row["reasons"], row["quality_flags"]) == ([], ["department_is_not_listed"])
    assert hours(row) == [("ICU", None, 8, 11), ("Surgery", "7", 11, None)]
    assert (row["department"], row["bed_id"]) == ("Surgery", "7")
    assert row["admission_time"] == row["event_time"] == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert not row["states_event_time"]


def test_stays_ahead_of_the_hub_are_left_out_and_their_ends_open() -> None:
    row = stays_of(
        {"department": "ICU", "from": "2026-11-20T09:00:00", "to": "2026-11-20T18:00:00"},
        {"department": "Surgery", "from": "2026-11-20T18:00:00"},
    )
    assert hours(row) == [("ICU", None, 9, None)]
    assert (row["department"], row["quality_flags"]) == ("ICU", ["stay_is_in_the_future"])


@pytest.mark.parametrize("end", ["9999-12-31T00:00:00", "1900-01-01T00:00:00", None])
def test_a_stay_whose_end_is_a_placeholder_is_open(end: str | None) -> None:
    assert hours(stays_of({"department": "ICU", "from": "2026-11-20T09:00:00", "to": end})) == [("ICU", None, 9, None)]


@pytest.mark.parametrize(
    "entry",
    [
        {"department": "ICU", "from": "this morning"},
        {"department": "ICU", "from": "1964-01-01T00:00:00"},
        {"department": "ICU", "from": "2026-11-20T09:00:00", "to": "later"},
    ],
)
def test_stays_with_an_unreadable_time_are_dropped_as_a_whole(entry: dict[str, object]) -> None:
    row = one(SNAPSHOT, stays=[entry])
    assert (row["stays"], row["quality_flags"], row["reasons"]) == (None, ["stays_are_unusable"], [])


def test_stays_are_for_snapshots_only() -> None:
    row = one(ADMISSION, stays=[{"department": "ICU", "from": "2026-11-20T09:00:00"}])
    assert (row["stays"], row["quality_flags"]) == (None, ["stays_are_unusable"])


@pytest.mark.parametrize(
    ("base", "changes", "is_own"),
    [
        (SNAPSHOT, {}, False),
        (SNAPSHOT, {"event_time": "2026-11-20T11:00:00"}, True),
        (SNAPSHOT, {"event_time": "never"}, False),
        (ADMISSION, {}, True),
    ],
)
def test_silver_distinguishes_a_snapshots_own_time_from_its_admission(
    base: dict[str, object], changes: dict[str, object], is_own: bool
) -> None:
    assert candidates(judged(encoded(base, **changes)), "k")["states_event_time"].item() is is_own


def test_the_future_is_measured_from_the_hubs_clock() -> None:
    late = timedelta(minutes=5)
    assert one(SNAPSHOT, admission_time=(ENQUEUED + late).isoformat())["reasons"] == []
