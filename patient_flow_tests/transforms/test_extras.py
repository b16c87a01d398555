"""Names of unknown fields: as a JSON parser finds them, without parsing what differs in values alone."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.transforms.extras import names_in, outline

texts = st.text(max_size=6) | st.text(alphabet='"\\\\{}[]:,a1 \n', max_size=6)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def outlines(*extras: dict[str, Any]) -> list[str]:
    series = pl.Series("extra", [msgspec.json.encode(extra).decode() for extra in extras], dtype=pl.String)
    return series.to_frame().select(outline(pl.col("extra")).unique()).to_series().to_list()


@given(st.lists(st.dictionaries(texts, values, max_size=4), max_size=3))
def test_names_are_those_that_a_parser_finds(extras: list[dict[str, Any]]) -> None:
    assert names_in(outlines(*extras)) == {name for extra in extras for name in extra}


def test_events_with_the_same_fields_give_the_same_names() -> None:
    found = outlines(
        *({"message": f"m-{number}", "tags": [number, "x"], "at": {"ward": number}} for number in range(9))
    )
    assert found == ['{"message":"tags":[]"at":{"ward":}}']
