"""Bodies: hostile or odd, each is one statement or none, and the fast path says what the careful one says."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.contracts import events
from patient_flow.transforms import bodies

PLAIN = {
    "patient_id": "p-1",
    "gender": "Female",
    "age": 42,
    "department": "ICU",
    "admission_time": "2026-11-20T10:15:00.123456",
    "discharge_time": "2026-11-22T03:15:00.123456",
    "bed_id": 311,
    "hospital_id": 3,
}


def encoded(**changes: object) -> bytes:
    return json.dumps({**PLAIN, **changes}).encode()


texts = st.text(max_size=70)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
stays = st.lists(
    st.fixed_dictionaries(
        {"department": texts, "from": texts}, optional={"to": st.none() | texts, "bed_id": scalars, "note": scalars}
    ),
    max_size=3,
)
statements = st.dictionaries(st.sampled_from([*events.FIELDS, "name", "ward"]), values, max_size=8)


@given(statements)
def test_the_fast_path_and_the_careful_one_agree(statement: dict[str, object]) -> None:
    body = json.dumps(statement).encode()
    strict = bodies.read_strictly(body)
    if strict is None:
        return
    careful = bodies.read_carefully(body)
    stripped = {
        name: value.strip() if isinstance(value, str) else value
        for name in strict.__struct_fields__
        if (value := getattr(strict, name)) is not None
    }
    told = {name: getattr(careful.fields, name) for name in stripped}
    assert told == {
        name: str(value) if name in ("hospital_id", "bed_id") else value for name, value in stripped.items()
    }
    assert bodies.digests_of(bodies.lines_of([strict])) == [careful.digest]
    assert careful.extra is None
    assert careful.unusable == frozenset()


@given(st.binary(max_size=300) | statements.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_one_statement_or_a_named_refusal(body: bytes) -> None:
    try:
        statement = bodies.read_carefully(body)
    except bodies.Unreadable:
        return
    assert len(statement.digest) == 64
    msgspec.json.encode(statement.fields)


@given(statements, st.randoms())
def test_the_same_statement_in_other_words_has_the_same_digest(statement: dict[str, object], random: object) -> None:
    items = list(statement.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    other = {**dict(items), "absent": None}
    one = bodies.read_carefully(json.dumps(statement).encode())
    two = bodies.read_carefully(json.dumps(other, indent=2).encode())
    assert one.digest == two.digest


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"42",
        b'"text"',
        b"[]",
        b'[{"patient_id": "p"}]',
        b'{"patient_id": "p"',
        b'{"patient_id": "p"}{"patient_id": "q"}',
        b'{"patient_id": "p"},{"patient_id": "q"}',
        b'{"age": NaN}',
        b'{"age": Infinity}',
        b'{"patient_id": "\xff"}',
        b'{"name": "\xff"}',
        b'{"patient_id": "\\ud800"}',
        b'{"name": "\\ud800"}',
        b'{"name": "line\nbreak"}',
        b"\x00" * 20,
        b"{" * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' + b'{"x":' * 200 + b"1" + b"}" * 200 + b"}",
    ],
)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(bodies.Unreadable):
        bodies.read_carefully(body)
    assert bodies.read_strictly(body) is None


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"age": "42"}, "age", 42),
        ({"age": 42.0}, "age", 42),
        ({"hospital_id": "3"}, "hospital_id", "3"),
        ({"hospital_id": 3.0}, "hospital_id", "3"),
        ({"bed_id": 311.0}, "bed_id", "311"),
        ({"patient_id": 4711.0}, "patient_id", "4711"),
        ({"age": "42.0"}, "age", 42),
        ({"age": " 42 "}, "age", 42),
        ({"age": "4.2e1"}, "age", 42),
        ({"patient_id": 4711}, "patient_id", "4711"),
        ({"wait_minutes": "12.5"}, "wait_minutes", 12.5),
        ({"schema_version": 1.2}, "schema_version", "1.2"),
        ({"department": "  ICU "}, "department", "ICU"),
    ],
)
def test_a_value_that_can_be_taken_without_loss_is_taken(changes: dict[str, object], field: str, value: object) -> None:
    statement = bodies.read_carefully(encoded(**changes))
    assert getattr(statement.fields, field) == value
    assert statement.unusable == frozenset()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("age", 42.5),
        ("age", -1),
        ("age", 121),
        ("age", True),
        ("age", "1e2000"),
        ("age", "4_2"),
        ("age", "0x2A"),
        ("age", "４２"),
        ("age", "٤٢"),
        ("age", "nan"),
        ("age", "infinity"),
        ("wait_minutes", "1_0"),
        ("wait_minutes", "12,5"),
        ("patient_id", 1e17),
        ("age", 10**400),
        ("age", -(10**30)),
        ("wait_minutes", 10**400),
        ("age", [42]),
        ("wait_minutes", 10_081),
        ("wait_minutes", "soon"),
        ("bed_id", {"bed": 3}),
        ("bed_id", True),
        ("event_id", "e" * 65),
        ("hospital_id", 3.5),
        ("admission_time", 1763633700),
    ],
)
def test_a_value_that_cannot_be_used_is_marked_and_not_invented(field: str, value: object) -> None:
    statement = bodies.read_carefully(encoded(**{field: value}))
    assert getattr(statement.fields, field) is None
    assert statement.unusable == {field}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "boolean"),
        (3.5, "number"),
        ("x" * 65, "text longer than 64 characters"),
        ([3], "list"),
        ({"id": 3}, "object"),
    ],
)
def test_an_unusable_value_is_described_by_its_kind_alone(value: object, kind: str) -> None:
    assert bodies.read_carefully(encoded(hospital_id=value)).kinds == {"hospital_id": kind}


@given(stays)
def test_stays_are_read_as_listed_or_not_at_all(listed: list[dict[str, object]]) -> None:
    parsed = bodies.read_carefully(encoded(stays=listed))
    if "stays" in parsed.unusable:
        assert parsed.stays == ()
    else:
        assert [stay.department for stay in parsed.stays] == [str(entry["department"]).strip() for entry in listed]
    assert parsed.extra is None


@pytest.mark.parametrize(
    "value",
    ["ICU", {}, [3], [{"department": "ICU"}], [{"from": "2026-11-20T10:00:00Z"}], [{"department": "", "from": "x"}]],
)
def test_stays_that_lack_what_they_need_are_unusable_as_a_whole(value: object) -> None:
    parsed = bodies.read_carefully(encoded(stays=value))
    assert (parsed.stays, parsed.unusable) == ((), {"stays"})


def test_a_body_that_is_unwrapped_has_parts_with_digests_of_their_own() -> None:
    def unwrap(_: bytes, value: Mapping[str, object] | None) -> bodies.Interpretation:
        rows = (value or {}).get("rows")
        return bodies.Interpretation(tuple(rows) if isinstance(rows, list) else ())

    body = json.dumps({"rows": [PLAIN, {**PLAIN, "patient_id": "p-2"}]}).encode()
    parts = bodies.read_parts(body, (unwrap,))
    assert [part.fields.patient_id for part in parts] == ["p-1", "p-2"]
    assert len({part.digest for part in parts}) == 2
    assert parts[0].digest == bodies.read_carefully(encoded()).digest
    with pytest.raises(bodies.Ignored, match="body_is_empty"):
        bodies.read_parts(b'{"rows": []}', (unwrap,))


def test_numbers_beyond_every_type_stay_in_their_own_row() -> None:
    statement = bodies.read_carefully(b'{"age": 1e400, "patient_id": "p", "big": ' + b"9" * 5000 + b', "huge": 1e400}')
    assert statement.unusable == {"age"}
    assert statement.fields.patient_id == "p"
    assert json.loads(statement.extra or "")["huge"] == "1e400"


def test_unknown_fields_are_kept() -> None:
    statement = bodies.read_carefully(encoded(ward={"name": "3B", "beds": [1, 2]}))
    assert json.loads(statement.extra or "") == {"ward": {"name": "3B", "beds": [1, 2]}}


def test_a_byte_order_mark_is_ignored() -> None:
    assert bodies.read_carefully(b"\xef\xbb\xbf" + encoded()).fields.patient_id == "p-1"


def test_of_a_repeated_key_the_last_counts_on_both_paths() -> None:
    body = b'{"patient_id": "first", "patient_id": "last"}'
    strict = bodies.read_strictly(body)
    assert strict is not None
    assert strict.patient_id == bodies.read_carefully(body).fields.patient_id == "last"


def test_a_body_of_ten_megabytes_is_one_statement() -> None:
    assert bodies.read_carefully(encoded(note="x" * 10_000_000)).fields.patient_id == "p-1"


def test_the_nesting_limit_does_not_depend_on_the_callers_stack_depth() -> None:
    def depth(levels: int) -> bytes:
        return b'{"x":' + b"[" * levels + b"]" * levels + b"}"

    def from_deep_down(frames: int) -> bool:
        if frames:
            return from_deep_down(frames - 1)
        try:
            bodies.read_carefully(depth(98))
        except bodies.Unreadable:
            return False
        return True

    assert from_deep_down(0)
    assert from_deep_down(500)
    with pytest.raises(bodies.Unreadable):
        bodies.read_carefully(depth(100))


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_cell_of_a_table_states_no_number(text: str) -> None:
    read = bodies.read_carefully(json.dumps({"patient_id": "p1", "age": text, "wait_minutes": text}).encode())
    assert (read.fields.age, read.fields.wait_minutes, read.unusable) == (None, None, frozenset())
