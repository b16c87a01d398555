"""No body and no JSON object makes an interpreter fail in any other way than the two it may."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.dialects import fhir, hl7
from patient_flow.dialects.mapping import parse_mappings
from patient_flow.transforms import bodies
from patient_flow.transforms.json_objects import json_object
from patient_flow_tests.dialects.builders import EXAMPLES, adt, example
from patient_flow_tests.dialects.test_fhir import PATIENT, bundle, encounter
from patient_flow_tests.examples import max_examples

EVERYTHING = """
[[mapping]]
name = "uses every key"
drop = ["name", "a.b"]
age_from = "born"
match.src = { exists = true }
rename = { patient_id = ["p.id", "p"], event_time = "t", bed_id = "a.0.b", wait_minutes = "w" }
constant = { hospital_id = 3 }
value_map.event_type = { 1 = "admission" }
otherwise.event_type = "update"
unit.wait_minutes = "hours"
prefix = { patient_id = "x", visit_id = "y" }
join = { visit_id = ["hospital_id", "patient_id", "a"], event_id = ["t"] }
timestamp = { format = ["unix", "unix_ms", "%d/%m/%Y %H:%M", "%c"], zone = "Europe/Paris", shift_days = -9 }

[[mapping]]
name = "uses every other key"
match = { t = { exists = true }, event_type = { not = "x" }, name = { pattern = "a|b", not = { prefix = "c" } } }
extract = { department = { path = "name", pattern = "^(.+)-" }, patient_id = { path = "patient_id", pattern = "(.)" } }
time.event_time = { date = "t", time = "w" }
time.discharge_time = { from = "t", plus = "a", unit = "days" }
time.ready_time = { from = "event_time", plus = "w", unit = "seconds" }
timestamp = { format = ["%d.%m.%y", "%Y-%m-%d %H:%M"], date_only = "12:00", shift_from = "p", pivot = 30 }
value_map.event_type = { 1 = "" }

[[mapping]]
name = "reads fields of messages by their numbers"
format = "hl7v2"
rename = { department = "ZBE-7.10", visit_id = ["PV1-19[2].4.1", "PID-18"], bed_id = "ZZZ-3" }
time.admission_time = { date = "PV1-44", time = "MSH-7" }
match."MSH-12" = { not = "1" }
"""
INTERPRETERS = [
    hl7.interpret,
    fhir.interpret,
    *(
        interpret
        for text in (EVERYTHING, *map(example, EXAMPLES))
        for interpret in parse_mappings(text, "test.toml").interpreters
    ),
]

MESSAGES = [adt(trigger, pid={3: "1^^^N^MR~2"}) for trigger in ("A01", "A03", "A04", "A40")]
MESSAGES += [message + b"MRG|2^^^N&1.2&ISO^MR\rPID|||4\rMRG|5\r" for message in MESSAGES[3:]]
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["2026-11-20T10:00:00", "20/11/2026 10:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00", "A01"])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "id", "reference", "coding", "code", "value"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["src", "t", "p", "a", "w", "born", "name", "event_type", "visit_id", "admission_time", "sex", "ward_name"]
objects = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), values, max_size=8)
ELEMENTS = (
    *("status", "subject", "period", "location", "identifier", "meta", "contained", "hospitalization", "class"),
)
elements = st.fixed_dictionaries({}, optional=dict.fromkeys(ELEMENTS, values))


def try_all(body: bytes) -> None:
    value = json_object(body)
    for interpret in INTERPRETERS:
        try:
            stated = interpret(body, value)
        except (bodies.Ignored, bodies.Unsupported, bodies.Unreadable):
            continue
        assert stated is None or all(msgspec.json.encode(part) for part in stated.parts), "what is stated can be stored"


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    try_all(body)
    try_all(b"MSH" + body)


@given(st.sampled_from(MESSAGES), st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=4)), max_size=6))
@max_examples(300)
def test_any_damage_to_a_message(message: bytes, damages: list[tuple[int, bytes]]) -> None:
    for place, bytes_put_in in damages:
        message = message[:place] + bytes_put_in + message[place + len(bytes_put_in) :]
    try_all(message)


@given(st.text(alphabet='|^~\\&\r\nMSHPIDEVN12A0X.sp"', max_size=120))
def test_any_heap_of_separators(text: str) -> None:
    try_all(b"MSH|^~\\&|" + text.encode())


@given(objects)
@max_examples(200)
def test_any_json_object(value: dict[str, Any]) -> None:
    try_all(msgspec.json.encode(value))
    try_all(msgspec.json.encode({**value, "src": 1}))


@given(elements)
def test_any_encounter(changes: dict[str, Any]) -> None:
    try_all(msgspec.json.encode(encounter(**changes)))
    try_all(msgspec.json.encode(bundle(encounter(**changes), {**PATIENT, **changes})))
    try_all(msgspec.json.encode({"resourceType": "Bundle", **changes, "entry": [changes, 3]}))
