"""Places inside a JSON object."""

from __future__ import annotations

import pytest

from patient_flow.dialects import paths

VALUE = {
    "a": {"b": {"c": 1}, "d": 2},
    "x.y": 3,
    "list": [{"id": 1}, {"id": 2}, "text"],
    "blank": " ",
    "nothing": None,
    "a.b": "whole key",
    "0": "text key",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.d", 2),
        ("a.b", "whole key"),
        ("a.b.c", 1),
        ("x.y", 3),
        ("list.1.id", 2),
        ("list.2", "text"),
        ("list.3", None),
        ("list.-1", None),
        ("list.99999999999", None),
        ("list.2.id", None),
        ("a.d.e", None),
        ("a.", None),
        ("", None),
        (".", None),
        ("blank", None),
        ("nothing", None),
        ("0", "text key"),
    ],
)
def test_a_path_leads_to_its_value_or_nowhere(path: str, value: object) -> None:
    assert paths.value_at(VALUE, path) == value


def test_what_is_removed_leaves_no_empty_object_and_the_original_whole() -> None:
    before = repr(VALUE)
    result = paths.without(VALUE, ["a.b.c", "list.0.id", "list.2", "x.y", "nowhere", "a.d"])
    assert result == {
        "list": [{}, {"id": 2}, None],
        "blank": " ",
        "nothing": None,
        "a.b": "whole key",
        "0": "text key",
    }
    assert repr(VALUE) == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" x ", "x"),
        ("", None),
        (3, "3"),
        (3.0, "3"),
        (3.5, "3.5"),
        (True, "true"),
        (None, None),
        ([1], None),
        ({}, None),
    ],
)
def test_scalars_have_a_text(value: object, text: str | None) -> None:
    assert paths.text_of(value) == text
