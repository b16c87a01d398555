"""What becomes of gold rows on their way to staging."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from patient_flow.contracts.columns import INSTANT, TEXTS, Column
from patient_flow.contracts.tables import FACT_BED_CENSUS
from patient_flow.stores.warehouse.changes import change, stored_value
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow_tests.stores.warehouse.builders import census_of, changed


def stored(values: list[object], column: Column) -> list[object]:
    frame = pl.DataFrame({column.name: values}, schema={column.name: column.dtype})
    return frame.select(stored_value(column)).to_series().to_list()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], ""),
        (["one"], "one"),
        (["one", "two"], "one,two"),
        (["123456789", "x"], "123456789"),
        (["1234567", "89"], "1234567,89"),
        (["12345678", "9", "x"], "12345678,9"),
        (["12345678901234"], "1234567890"),
        (None, None),
    ],
)
def test_flags_become_a_text_that_is_cut_between_flags(flags: list[str] | None, text: str | None) -> None:
    assert stored([flags], Column("flags", TEXTS, "", length=10)) == [text]


def test_instants_are_stored_as_utc_without_a_zone() -> None:
    instant = datetime(2026, 3, 29, 1, 0, 0, 123456, tzinfo=UTC)
    assert stored([instant, None], Column("at", INSTANT, "")) == [instant.replace(tzinfo=None), None]


def test_a_key_is_staged_once_and_a_row_wins_over_its_removal() -> None:
    batch = changed(FACT_BED_CENSUS, census_of({1: 1, 2: 2}), census_of({2: 3, 4: 4}), since=None, version=1)
    staged = change(batch).staged
    assert staged.select("time_key", "occupied_beds", "is_present").rows() == [
        (1, None, False),
        (2, 3, True),
        (4, 4, True),
    ]
    assert change(batch).rows.columns == ["time_key", "department_key", "gender", "occupied_beds"]


def test_a_text_longer_than_declared_is_refused_with_its_column() -> None:
    long = census_of({1: 1}).with_columns(gender=pl.lit("x" * 17))
    with pytest.raises(WarehouseError, match=r"gold/fact_bed_census.gender contains a text of 17 characters"):
        change(changed(FACT_BED_CENSUS, long, long, since=None, version=1))
