"""Numbers of persons are found in every format and layer, and a marker takes the place of one person's alone."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import pytest

from patient_flow.transforms.identifiers import find_identifiers, masked, redacted
from patient_flow.transforms.identifiers.opening import opened

ME, OTHER, MARK = "ME-1", "OTHER-2", "the-marker"


def bundle(*patients: str) -> dict[str, Any]:
    entries = []
    for number, patient in enumerate(patients):
        person = {"resourceType": "Patient", "id": f"x{number}", "identifier": [{"system": "HIS", "value": patient}]}
        visit = {"resourceType": "Encounter", "status": "finished", "subject": {"reference": f"urn:uuid:{number}"}}
        entries += [{"fullUrl": f"urn:uuid:{number}", "resource": person}, {"resource": visit}]
    return {"resourceType": "Bundle", "entry": entries}


HEAD, SECOND = "MSH|^~\\&|A|H1|||2026||ORU^R01|1\r", f"PID|2||{OTHER}^^^HIS||Else\r"
HL7 = f"{HEAD}PID|1||{ME}^^^HIS^MR||Name\rOBX|1|TX|a||b\r{SECOND}".encode()

BODIES: dict[str, Any] = {
    "the contract's own form": {"patient_id": ME, "bed_id": "4"},
    "a merge": {"patient_id": OTHER, "merged_patient_id": ME},
    "nested": {"visit": {"patient": {"mrn": ME}}},
    "FHIR reference": {"resourceType": "Observation", "subject": {"reference": f"https://x/Patient/{ME}/_history/2"}},
    "FHIR bundle": bundle(ME, OTHER),
    "a list": [{"patient_id": ME}, {"patient_id": OTHER}],
    "a number": {"patientNumber": 17},
    "a body in a text": {"message": json.dumps({"patient_id": ME})},
    "a body in base64 in a text": {"payload": base64.b64encode(gzip.compress(HL7)).decode()},
}


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("layer", [bytes, gzip.compress, zlib.compress, base64.b64encode])
def test_a_number_is_found_in_every_format_and_layer(name: str, layer: Any) -> None:
    stated = find_identifiers(layer(encoded(BODIES[name])))
    assert {"ME-1", "17"} & {number.value for number in stated.numbers}
    assert stated.is_opened


def test_other_facts_are_no_numbers() -> None:
    body = {"patient_id": OTHER, "bed_id": ME, "patient_class": ME, "note": ME, "hospital": {"id": ME}}
    assert [number.value for number in find_identifiers(encoded(body)).numbers] == [OTHER]


def test_a_number_comes_with_its_assigner_and_hospital() -> None:
    (number, _) = find_identifiers(HL7).numbers
    assert number.scoped == (ME, f"assigner\x1fHIS\x1f{ME}", f"hospital\x1fH1\x1f{ME}")


def without(body: Any) -> Any:
    new = redacted(encoded(body), lambda number: number.value == ME, MARK)
    return None if new is None else json.loads(opened(new)[0])


def test_a_record_of_the_person_gives_way_to_a_marker_and_others_stay() -> None:
    assert without([{"patient_id": ME, "name": "x"}, {"patient_id": OTHER}]) == [
        {"patient_id": MARK},
        {"patient_id": OTHER},
    ]
    assert without({"rows": [{"patient": {"id": ME}, "name": "x"}], "sent": 1}) == {
        "rows": [{"patient_id": MARK}],
        "sent": 1,
    }
    assert without({"patient_id": OTHER, "mother_id": ME}) == {"patient_id": OTHER, "mother_id": MARK}
    assert without({"patient_id": OTHER}) is None
    changed = without(bundle(ME, OTHER))
    assert changed["entry"][:2] == [
        {"resource": {"resourceType": "Patient"}},
        {"resource": {"resourceType": "Encounter", "status": "finished", "subject": {"identifier": {"value": MARK}}}},
    ]
    assert changed["entry"][2:] == bundle(ME, OTHER)["entry"][2:]


def test_lines_and_messages_keep_those_of_others() -> None:
    lines = b'{"patient_id": "ME-1", "name": "x"}\n{"patient_id": "OTHER-2"}\n'
    assert redacted(lines, lambda number: number.value == ME, MARK) == (
        b'{"patient_id":"the-marker"}\n{"patient_id": "OTHER-2"}\n'
    )
    message = redacted(HL7, lambda number: number.value == ME, MARK)
    assert message == f"{HEAD}PID|||{MARK}\r{SECOND}".encode()
    packed = redacted(gzip.compress(HL7), lambda number: number.value == ME, MARK)
    assert packed is not None
    assert gzip.decompress(packed) == message


def test_masking_replaces_a_value_in_any_field() -> None:
    assert masked(b'{"p": "ME-1", "q": ["ME-1", 3]}', ME.__eq__, MARK) == b'{"p":"the-marker","q":["the-marker",3]}'
    assert masked(b'{"p": "ME-12"}', ME.__eq__, MARK) is None


@pytest.mark.parametrize("body", [bytes(range(256)), b"\x1f\x8b not gzip", b"PK\x03\x04\x00\x00"])
def test_what_nothing_opens_says_so(body: bytes) -> None:
    assert not find_identifiers(body).is_opened


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", "Übergabe, ward 3".encode(), "Übergabe".encode("latin-1"), b"a,b\n1,2"]
)
def test_text_is_open_to_everybody(body: bytes) -> None:
    assert find_identifiers(body).is_opened
