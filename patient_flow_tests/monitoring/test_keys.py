"""Keys and versions: judged by what changed alone, and as a whole by the same rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.contracts import tables
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import references
from patient_flow.monitoring.inputs import ForeignKeys
from patient_flow.monitoring.rules.keys import (
    SCD2_MEMBERS,
    foreign_keys_exist,
    keys_unique,
    scd2_intervals_valid,
)
from patient_flow.stores.lake.changes import Changes

DAY = datetime(2026, 3, 1, tzinfo=UTC)
Span = tuple[int, int | None]


def versions(*spans: Span, member: str = "a") -> pl.DataFrame:
    """Versions of one member; days of March, None for open."""
    return pl.DataFrame(
        {
            "patient_id": [member] * len(spans),
            "valid_from": [DAY + timedelta(days=first) for first, _ in spans],
            "valid_to": [None if last is None else DAY + timedelta(days=last) for _, last in spans],
            "is_current": [last is None for _, last in spans],
        },
        schema={"patient_id": pl.String(), "valid_from": INSTANT, "valid_to": INSTANT, "is_current": pl.Boolean()},
    )


NONE = versions()


def is_valid(all_versions: pl.DataFrame) -> bool:
    return scd2_intervals_valid(all_versions, ["patient_id"]).is_ok


def chain(borders: Sequence[int]) -> pl.DataFrame:
    return versions(*zip(borders, [*borders[1:], None], strict=True))


def test_versions_that_follow_each_other_are_fine() -> None:
    assert is_valid(versions((1, 4), (4, 9), (9, None)))
    assert is_valid(NONE)


@pytest.mark.parametrize(
    "broken",
    [
        versions((1, 4), (5, None)),  # a gap
        versions((1, 6), (4, None)),  # an overlap
        versions((1, 4), (4, 9)),  # none is current
        versions((1, None), (9, None)),  # a second one beside it
        versions((1, None), (4, None)),  # two are
        versions((1, 9), (3, 5), (9, None)),  # one inside another
        versions((1, None), (1, None)),  # the same twice
        versions((5, 3), (3, None)),  # ends before it begins
        versions((1, 4), (4, None)).with_columns(is_current=pl.lit(value=True)),
    ],
)
def test_a_gap_an_overlap_or_no_single_current_version_is_an_error(broken: pl.DataFrame) -> None:
    finding = scd2_intervals_valid(broken, ["patient_id"])
    assert not finding.is_ok
    assert finding.is_error


def test_one_broken_member_among_many_is_counted() -> None:
    right = [versions((1, 4), (4, None), member=name) for name in "bcd"]
    finding = scd2_intervals_valid(pl.concat([*right, versions((1, 3), (4, None))]), ["patient_id"])
    assert finding.figures["broken_members"] == 1
    assert finding.figures["members"] == 4


BORDERS = st.sets(st.integers(0, 20), min_size=1)


@given(before=BORDERS, after=BORDERS)
def test_any_change_of_a_chain_into_a_chain_is_fine_though_only_changed_rows_are_seen(
    before: set[int], after: set[int]
) -> None:
    assert settled(chain(sorted(before)), chain(sorted(after)))


@given(before=BORDERS, after=st.sets(st.integers(0, 20), min_size=2), data=st.data())
def test_any_end_or_beginning_moved_off_its_neighbour_is_found(
    before: set[int], after: set[int], data: st.DataObject
) -> None:
    borders = sorted(after)
    spans: list[Span] = list(zip(borders, [*borders[1:], None], strict=True))
    place = data.draw(st.integers(0, len(spans) - 2))
    shift = data.draw(st.sampled_from([-1, 1]))
    end = spans[place][1]
    assert end is not None
    if data.draw(st.booleans()):
        spans[place] = (spans[place][0], end + shift)
    else:
        spans[place + 1] = (end + shift, spans[place + 1][1])
    assert not settled(chain(sorted(before)), versions(*spans))


@given(before=st.sets(st.integers(0, 20), min_size=2), data=st.data())
def test_any_version_lost_from_the_middle_or_the_end_is_found(before: set[int], data: st.DataObject) -> None:
    borders = sorted(before)
    spans: list[Span] = list(zip(borders, [*borders[1:], None], strict=True))
    lost = data.draw(st.integers(1, len(spans) - 1))
    assert not settled(versions(*spans), versions(*spans[:lost], *spans[lost + 1 :]))


def settled(old: pl.DataFrame, new: pl.DataFrame) -> bool:
    """Judged as a micro-batch does: by all versions of the members that changed."""
    before, after = changed(old, new)
    touched = pl.concat([before, after]).select("patient_id").unique()
    return is_valid(new.join(touched, on="patient_id", how="semi"))


def changed(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What a change feed shows: rows that are the same on both sides are left out."""
    columns = old.columns
    return old.join(new, on=columns, how="anti", nulls_equal=True), new.join(
        old, on=columns, how="anti", nulls_equal=True
    )


def added(rows: pl.DataFrame, grown_by: int) -> Changes:
    return Changes(rows.clear(), rows, grown_by=grown_by)


def test_a_key_added_twice_is_an_error_although_the_net_change_shows_it_once() -> None:
    after = pl.DataFrame({"stay_key": [1, 2]})
    assert keys_unique(added(after, 2), ["stay_key"]).is_ok
    finding = keys_unique(added(after, 3), ["stay_key"])
    assert finding.is_error
    assert finding.figures["duplicates"] == 1


def test_of_a_whole_table_every_key_is_compared() -> None:
    rows = pl.DataFrame({"time_key": [1, 1, 2], "gender": ["F", "M", "F"]})
    assert keys_unique(added(rows, 3), ["time_key", "gender"]).is_ok
    assert keys_unique(added(rows, 3), ["time_key"]).is_error


def test_a_key_missing_from_its_dimension_is_an_error_counted_by_column() -> None:
    rows = pl.DataFrame({"patient_key": [1, 2, 3], "department_key": [7, 7, 8]})
    known = {"patient_key": pl.Series([1, 2, 3]), "department_key": pl.Series([7])}
    finding = foreign_keys_exist(ForeignKeys(rows, known))
    assert finding.is_error
    assert finding.figures["missing department_key"] == 1
    assert finding.figures["missing patient_key"] == 0
    assert foreign_keys_exist(ForeignKeys(rows, {**known, "department_key": pl.Series([7, 8])})).is_ok
    assert foreign_keys_exist(ForeignKeys(rows.clear(), known)).is_ok


def test_every_fact_points_to_its_dimensions() -> None:
    assert {column: table.name for column, table in references(tables.FACT_PATIENT_FLOW).items()} == {
        "patient_key": "dim_patient",
        "department_key": "dim_department",
        "from_department_key": "dim_department",
        "arrival_time_key": "dim_time",
        "admission_time_key": "dim_time",
        "discharge_time_key": "dim_time",
    }
    assert set(references(tables.FACT_BED_CENSUS)) == {"time_key", "department_key"}
    assert references(tables.DIM_PATIENT) == {}


def test_every_versioned_table_declares_its_natural_key() -> None:
    with_versions = {table.path for table in tables.LAKE_TABLES if "valid_to" in table.schema}
    assert set(SCD2_MEMBERS) == with_versions


def test_a_department_may_close_and_open_again() -> None:
    closed = versions((1, 3), (5, 7))
    assert not scd2_intervals_valid(closed, ["patient_id"]).is_ok
    assert scd2_intervals_valid(closed, ["patient_id"], may_pause=True).is_ok
    for broken in (versions((1, 3), (2, None)), versions((1, None), (2, None)), versions((3, 1), (4, None))):
        assert not scd2_intervals_valid(broken, ["patient_id"], may_pause=True).is_ok
