"""Visits by number: frames of events in the order of visits, and frames with a row for each visit, without joins.

Events that are sorted by visit get the number of their visit, from 0. Whatever is known of visits, row by row, is then
gathered by these numbers: a join by visit_id would hash the identifiers of all rows again for each frame.
"""

from __future__ import annotations

import polars as pl

VISIT = "visit"
"""Number of the visit among those that are folded together."""

c = pl.col


def numbered(ordered: pl.DataFrame) -> pl.DataFrame:
    """``ordered`` (sorted by visit_id) with the number of each row's visit."""
    is_new = c("visit_id").ne_missing(c("visit_id").shift())
    number = (is_new.cum_sum() - 1).cast(pl.get_index_type()).set_sorted()
    return ordered.with_columns(number.alias(VISIT))


def is_first() -> pl.Expr:
    """True for the first event of each visit."""
    return c(VISIT).ne_missing(c(VISIT).shift())


def gathered(values: pl.Series, places: pl.Series) -> pl.Series:
    """The ``values`` at ``places`` (row numbers); null where a place is null."""
    return values.gather(places)


def rows_at(frame: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """The rows of ``frame`` at ``places`` (row numbers); nulls where a place is null."""
    return frame.select(column.gather(places) for column in frame.get_columns())


def row_of_each(numbers: pl.Series, height: int) -> pl.Series:
    """For each number from 0 up to ``height``, the row in which ``numbers``, which are distinct, have it, or null."""
    places = pl.repeat(None, height, dtype=pl.get_index_type(), eager=True)
    return places.scatter(numbers, pl.int_range(numbers.len(), dtype=pl.get_index_type(), eager=True))
