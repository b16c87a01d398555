"""Bodies that hold several events: which envelopes are opened, what is in them, and what is left as it is."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.dialects.mapping import parse_mappings
from patient_flow.dialects.mapping_checks import MappingError
from patient_flow.dialects.unwrapping import MAX_BYTES, OPENERS, unwrapper
from patient_flow.transforms import bodies
from patient_flow_tests.dialects.builders import adt, extra, judged, only
from patient_flow_tests.dialects.test_fhir import PATIENT, encounter

ALL = unwrapper(OPENERS.values())
EVERYTHING = f"unwrap = {json.dumps(list(OPENERS))}\n"
A, B = ({"patient_id": name, "hospital_id": 1, "department": "ICU"} for name in "ab")
CLOUD_EVENT = {"specversion": "1.0", "id": "7", "source": "/north", "type": "hospital.visit"}
GRID_EVENT = {"id": "7", "subject": "visit", "eventType": "Visit", "eventTime": "2026-11-20T09:00:00Z"}


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def lines(*values: object, end: bytes = b"\n") -> bytes:
    return end.join(map(encoded, values)) + end


@pytest.mark.parametrize(
    "body",
    [
        encoded([A, B]),
        b"\xef\xbb\xbf \n" + encoded([A, B]),
        lines(A, B),
        lines(A, B, end=b"\r\n") + b"\n\n",
        b"\xef\xbb\xbf" + lines(A, B),
        zipped(encoded([A, B])),
        zipped(lines(A)) + zipped(lines(B)),
        encoded([{**CLOUD_EVENT, "data": A}, {**CLOUD_EVENT, "data": B}]),
        encoded({**CLOUD_EVENT, "data": [A, B]}),
        encoded({**CLOUD_EVENT, "data": lines(A, B).decode()}),
        encoded({**CLOUD_EVENT, "data_base64": base64.b64encode(zipped(lines(A, B))).decode()}),
        encoded([{**GRID_EVENT, "data": A}, {**GRID_EVENT, "data": B}]),
        lines({**GRID_EVENT, "data": A}, [B]),
        encoded([[A], [], [[B]]]),
    ],
)
def test_the_events_of_every_envelope_are_those_that_were_put_in(body: bytes) -> None:
    assert [json.loads(item.body) for item in ALL(body) or ()] == [A, B]
    rows = judged([body], EVERYTHING)
    assert [(row["part"], row["parts"], row["patient_id"]) for row in rows] == [(0, 2, "a"), (1, 2, "b")]
    assert [row["body_hash"] for row in rows] == [row["body_hash"] for row in judged([A, B])], "as if each came alone"


@pytest.mark.parametrize(
    "body",
    [
        encoded(A),
        json.dumps({"a": [1, 2], "b": {"c": 3}}, indent=2).encode(),
        json.dumps([A, B], indent=2).encode()[:-4],
        b"rubbish\nand more",
        b"",
        b"   ",
        adt("A01"),
        adt("A01", end="\n"),
        encoded(encounter()),
        encoded({"specversion": "1.0", "data": A}),
    ],
)
def test_a_body_that_is_no_envelope_stays_as_it_is(body: bytes) -> None:
    found = ALL(body)
    assert found is None or (found == () and not body.strip())


def test_without_a_mapping_nothing_is_unwrapped() -> None:
    assert only(encoded([A, B]))["reasons"] == ["body_is_not_a_json_object"]
    only_gzip = judged([encoded([A, B]), zipped(encoded(A))], 'unwrap = "gzip"')
    assert [row["patient_id"] for row in only_gzip] == [None, "a"]


@pytest.mark.parametrize("body", [b"[]", b"\n\n", zipped(b""), encoded(CLOUD_EVENT), b"FHS|^~\\&|X\rFTS|0\r"])
def test_an_envelope_without_an_event_is_ignored_by_name(body: bytes) -> None:
    assert only(body, EVERYTHING)["ignored_as"] == "body_is_empty"


@pytest.mark.parametrize(
    "body",
    [
        zipped(encoded([A, B]))[:-9],
        b"\x1f\x8brubbish",
        zipped(encoded(A)) + b"rubbish",
        encoded({**CLOUD_EVENT, "data_base64": "no base64!"}),
        encoded({**CLOUD_EVENT, "data_base64": 7}),
        zipped(b"[" * 9),
        b"[" * 12 + encoded(A) + b"]" * 12,
        zipped(b" " * (MAX_BYTES + 1)),
    ],
    ids=["cut off", "damaged", "more after it", "no base64", "no text", "half", "nested too deep", "too large"],
)
def test_a_damaged_or_excessive_envelope_is_one_unreadable_body(body: bytes) -> None:
    row = only(body, EVERYTHING)
    assert (row["parts"], row["reasons"]) == (1, ["body_is_not_a_json_object"])


def test_what_is_wrong_with_one_event_does_not_touch_the_others() -> None:
    rows = judged([lines(A, 3, "text") + b"{broken\n" + lines({**B, "schema_version": "9"})], EVERYTHING)
    assert [row["reasons"] for row in rows] == [
        ["admission_time_is_unusable"],
        *[["body_is_not_a_json_object"]] * 3,
        ["schema_version_is_unsupported", "admission_time_is_unusable"],
    ]
    assert rows[3]["part_body"] == b"{broken"


def test_messages_of_an_hl7_batch_are_events_of_their_own() -> None:
    first, second = adt("A01"), adt("A03", msh={10: "M-2"}, pid={3: "P78"})
    lab = adt("A01", msh={9: "ORU^R01", 10: "M-3"})
    batch = b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + first + second + lab + b"BTS|3\rFTS|1"
    for body in (batch, batch.replace(b"\r", b"\r\n"), b"\x0b" + first + b"\x1c\r\x0b" + second + b"\x1c\r" + lab):
        rows = judged([body], 'unwrap = "hl7_batch"')
        assert [(row["event_type"], row["patient_id"], row["ignored_as"]) for row in rows] == [
            ("admission", "P77", None),
            ("discharge", "P78", None),
            ("visit_snapshot", None, "message_is_not_adt"),
        ]
    assert only(batch)["reasons"] == ["body_is_not_a_json_object"]
    alone = judged([b"BHS|^~\\&|X\r" + first + b"BTS|1\r"], 'unwrap = "hl7_batch"')
    assert [(row["part"], row["parts"], row["reasons"]) for row in alone] == [(0, 1, [])]


def test_each_encounter_of_a_bundle_is_read_with_what_it_refers_to() -> None:
    def entry(resource: dict[str, Any]) -> dict[str, Any]:
        return {"fullUrl": f"https://fhir/{resource['resourceType']}/{resource['id']}", "resource": resource}

    people = [{**PATIENT, "id": name, "gender": gender} for name, gender in (("p1", "female"), ("p2", "male"))]
    visits = [
        encounter(id=f"e{number}", identifier=None, subject={"reference": f"Patient/p{number}"}) for number in (1, 2)
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": list(map(entry, [*people, *visits]))}
    rows = judged([bundle], 'unwrap = "fhir_bundle"')
    assert [(row["visit_id"], row["patient_id"], row["gender"]) for row in rows] == [
        ("e1", "p1", "Female"),
        ("e2", "p2", "Male"),
    ]
    people[0]["gender"] = "other"
    changed = judged([{**bundle, "entry": list(map(entry, [*people, *visits]))}], 'unwrap = "fhir_bundle"')
    assert changed[1]["body_hash"] == rows[1]["body_hash"], "another patient of the Bundle makes no other event"
    assert only(bundle)["reasons"] == ["message_type_is_unsupported"]


ENVELOPES = """
unwrap = ["cloudevents", { path = "batch.rows" }]
[[mapping]]
name = "wrapped"
match = { "envelope.type" = ["hospital.visit", "ward"] }
rename = { hospital_id = ["envelope.source", "envelope.batch.site"], event_id = "envelope.id" }
"""


def test_a_mapping_reads_the_envelope_and_nothing_of_it_is_kept() -> None:
    event = {"patient_id": "a", "department": "ICU", "admission_time": "2026-11-20T09:00:00Z", "note": "kept"}
    row = only({**CLOUD_EVENT, "data": event}, ENVELOPES)
    assert (row["hospital_id"], row["event_id"], row["reasons"]) == ("/north", "7", [])
    assert extra(row) == {"note": "kept"}
    again = only({**CLOUD_EVENT, "id": "8", "time": "2026-11-20T09:00:00Z", "data": event}, ENVELOPES)
    assert again["body_hash"] == row["body_hash"]


def test_the_events_at_a_path_know_what_stands_beside_them() -> None:
    event = {"patient_id": "a", "department": "ICU", "admission_time": "2026-11-20T09:00:00Z"}
    body = {"type": "ward", "batch": {"site": 3, "rows": [event, {**event, "patient_id": "b", "envelope": "mine"}]}}
    first, second = judged([body], ENVELOPES)
    assert (first["hospital_id"], first["parts"], first["extra"]) == ("3", 2, None)
    assert (second["hospital_id"], extra(second)) == (None, {"envelope": "mine"}), "a key of its own goes before"
    assert only({"type": "ward", "batch": {"rows": event}}, ENVELOPES)["patient_id"] == "a"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("unwrap = 'gz'", "line 1: 'gz' is no envelope (did you mean 'gzip'?): use one of gzip, lines"),
        ("unwrap = []", "line 1: the list is empty"),
        ("unwrap = { pat = 'a' }", "line 1: unknown key 'pat' (did you mean 'path'?)"),
        ("unwrap = { path = '' }", "line 1: path must be a text"),
        ("[[mapping]]\nname = 'a'\nunwrap = 'gzip'", "line 3: unwrap is for the whole file: put it before the first"),
    ],
)
def test_an_unknown_envelope_is_refused_with_its_line(line: str, says: str) -> None:
    with pytest.raises(MappingError) as refused:
        parse_mappings(line, "site.toml")
    assert says in str(refused.value)


@given(
    st.binary(max_size=60), st.sampled_from([b"", b"[", b"{", b"\x1f\x8b", b"MSH|", b"FHS|^~\\&|\rMSH|", b'{"data":'])
)
def test_any_bytes(body: bytes, beginning: bytes) -> None:
    for content in (beginning + body, zipped(beginning + body)):
        try:
            found = ALL(content)
        except bodies.Unreadable:
            continue
        assert found is None or sum(len(item.body) for item in found) <= MAX_BYTES
