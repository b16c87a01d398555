"""Bodies become columns at once: each row states what its own body does, and hashes are those of single values."""

from __future__ import annotations

import hashlib
import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.transforms import bodies, keys
from patient_flow.transforms.columns import columns, parse_each
from patient_flow_tests.transforms.test_bodies import PLAIN, statements

hostile = st.sampled_from(
    [b"", b"null", b"[1]", b"{", b'{"age":1}{"age":2}', b"{},{}", b"\xff", b'{"bed_id":"\\ud800"}']
)
contract_values = {
    "bed_id": st.text(max_size=64) | st.integers(-(10**18), 10**18),
    "wait_minutes": st.integers(0, 10_080) | st.floats(0, 10_080),
    "age": st.integers(0, 120),
    "department": st.text(max_size=64),
    "event_time": st.text(max_size=64),
    "visit_class": st.text(max_size=64),
}
to_the_letter = st.fixed_dictionaries({}, optional=contract_values).map(lambda changes: {**PLAIN, **changes})
feeds = st.lists(
    hostile | (statements | to_the_letter).map(lambda statement: json.dumps(statement).encode()), max_size=6
)


def as_column_holds_it(name: str, value: object) -> object:
    if value is None or name == "age":
        return value
    return float(str(value)) if name == "wait_minutes" else str(value)


@given(feeds)
def test_columns_state_what_the_bodies_state_one_by_one(feed: list[bytes]) -> None:
    parsed = parse_each(pl.Series("body", feed, dtype=pl.Binary), (), ())
    frame = columns(parsed)
    for name in (*bodies.COMMON_FIELDS, *bodies.RARE_FIELDS):
        one_by_one = [as_column_holds_it(name, getattr(item, name, None)) for item in parsed.fields]
        assert frame[name].to_list() == one_by_one
    assert [digest for place, digest in enumerate(frame["digest"]) if place not in parsed.careful] == [
        hashlib.sha256(line).hexdigest()
        for place, item in enumerate(parsed.fields)
        if place not in parsed.careful
        for line in [bodies.lines_of([item]).rstrip(b"\n")]
    ]


@given(st.lists(st.none() | st.sampled_from("abc") | st.text(max_size=5), max_size=12))
def test_a_hash_depends_on_its_own_value_alone(identifiers: list[str | None]) -> None:
    frame = pl.DataFrame({"id": identifiers}, schema={"id": pl.String})
    keyed = keys.with_surrogate_key(frame, "key", [pl.col("id")])
    key = hashlib.sha512(b"secret").digest()
    assert keys.pseudonyms(frame["id"], "secret", "patient").to_list() == [
        text if text is None else hashlib.blake2b(text.encode(), digest_size=16, key=key, person=b"patient").hexdigest()
        for text in identifiers
    ]
    assert keyed["key"].to_list() == [
        text
        if text is None
        else max(1, int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1)
        for text in identifiers
    ]
