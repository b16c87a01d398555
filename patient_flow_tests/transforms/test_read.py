"""ParserConfig and judging: typed values, reasons and flags of one event at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.contracts import rules
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.events import LONGEST_PLAN
from patient_flow.contracts.tables import COORDINATES, SILVER_EVENTS
from patient_flow.transforms.accept import candidates, validate
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


def one(base: dict[str, object], **changes: object) -> dict[str, object]:
    stated = {name: value for name, value in {**base, **changes}.items() if value is not None}
    return judged(json.dumps(stated).encode()).row(0, named=True)


def test_a_snapshot_needs_no_more_than_the_reference_format_has() -> None:
    row = one(SNAPSHOT)
    assert (row["reasons"], row["quality_flags"]) == ([], [])
    assert row["event_type"] == "visit_snapshot"
    assert row["event_time"] == row["admission_time"] == datetime(2026, 11, 20, 10, 15, 0, 123456, UTC)
    assert row["visit_id"].startswith("derived")
    assert len(row["event_id"]) == 64


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
def test_without_the_key_no_hash_in_silver_tells_who_it_is(body: dict[str, object], tells_nothing: set[str]) -> None:
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
    assert of_expressions - broken <= {"message_type_is_unsupported"}  # see dialects


def test_the_future_is_measured_from_the_hubs_clock() -> None:
    late = timedelta(minutes=5)
    assert one(SNAPSHOT, admission_time=(ENQUEUED + late).isoformat())["reasons"] == []
