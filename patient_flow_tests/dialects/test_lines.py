"""Where the keys of a TOML text stand."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from patient_flow.dialects.lines import LineIndex

TEXT = '''# first
top = 1

[[mapping]]   # one
name = "[not a header]"
rename.a = "x"
rename."b.c" = "y"

[mapping.match]
k = { exists = true }
m = """
fake = 1
[fake]
"""

[[mapping]]
name = "two"
[mapping.value_map.event_type]
A01 = "admission"
[[mapping.deep]]
x = 1
[[mapping.deep]]
x = 2
'''


def test_every_key_has_its_line_number() -> None:
    lines = LineIndex(TEXT)
    assert lines.line_of(("top",)) == 2
    assert lines.line_of(("mapping", 0)) == 4
    assert lines.line_of(("mapping", 0, "name")) == 5
    assert lines.line_of(("mapping", 0, "rename", "a")) == 6
    assert lines.line_of(("mapping", 0, "rename", "b.c")) == 7
    assert lines.line_of(("mapping", 0, "match", "k", "exists")) == 10
    assert lines.line_of(("mapping", 0, "match", "m")) == 11
    assert lines.line_of(("mapping", 1)) == 16
    assert lines.line_of(("mapping", 1, "value_map", "event_type", "A01")) == 19
    assert lines.line_of(("mapping", 1, "deep", 1, "x")) == 23


def test_what_is_not_in_the_text_has_the_line_of_the_table_around_it() -> None:
    lines = LineIndex(TEXT)
    assert lines.line_of(("mapping", 1, "match")) == 16
    assert lines.line_of(("fake",)) == 1
    assert lines.line_of(()) == 1


@given(st.text(alphabet="abm=[]\n'\"#. 1{},", max_size=60))
def test_any_valid_text_can_be_indexed(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert LineIndex(text).line_of(("a",)) >= 1
