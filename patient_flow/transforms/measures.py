"""The measures of ``contracts.measures`` as Polars expressions over the rows that they count.

The frame has the columns of the counted table and those that conditions name of its dimensions.
"""

from __future__ import annotations

from typing import assert_never

import polars as pl

from patient_flow.contracts.measure_types import (
    AtMost,
    Balance,
    Condition,
    Differs,
    Equals,
    Exceeds,
    Flag,
    HandWritten,
    Known,
    Measure,
    MoreThan,
    Part,
    Passed,
    Percentile,
    Quantity,
    Ratio,
    Unset,
)

c = pl.col


def holds(condition: Condition) -> pl.Expr:
    """True where ``condition`` holds; false or null where it does not."""
    column = c(condition.column)
    match condition:
        case Flag():
            return column
        case Unset():
            return ~column.fill_null(value=False)
        case Known() | Passed():
            return column.is_not_null()
        case AtMost():
            return column <= condition.limit
        case MoreThan():
            return column > condition.limit
        case Equals():
            return column == condition.value
        case Differs():
            return column != condition.value
        case Exceeds():
            return column > c(condition.limit)
        case _:
            assert_never(condition)


def counts(part: Part) -> pl.Expr:
    """True for the rows that ``part`` counts; whether their date fits is the caller's to decide."""
    return pl.all_horizontal(pl.lit(True), *map(holds, part.where))


def total(part: Part) -> pl.Expr:
    """The number of rows that ``part`` counts, or their sum.

    Floats are added in ascending order, since another order differs in the last digit; null where there are none.
    """
    if not part.total:
        return (counts(part).sum() if part.where else pl.len()).cast(pl.Int64)
    values = c(part.total).filter(counts(part)).drop_nulls()
    return values.sum() if part.is_whole else pl.when(values.len() > 0).then(values.sort().sum())


def percentile(of: Percentile) -> pl.Expr:
    """The percentile of the rows that its part counts; null where there are none."""
    return c(of.column).filter(counts(of.rows)).drop_nulls().quantile(of.share, "linear")


def aggregate(measure: Measure) -> pl.Expr:
    """The value of ``measure`` over a group of rows, under its name. Raises ``ValueError`` for a hand-written one."""
    value = measure.value
    match value:
        case Part():
            made = total(value)
        case Percentile():
            made = percentile(value)
        case Ratio():
            made = ratio(measure, _total(value.part), _total(value.whole))
        case Balance():
            made = pl.sum_horizontal(*map(_total, value.plus), *(-_total(less) for less in value.minus))
        case HandWritten():
            raise ValueError(f"{measure.name} is hand-written")
        case _:
            assert_never(value)
    return made.alias(measure.name)


def ratio(measure: Measure, part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """``part`` of ``whole`` in the unit of ``measure``; null where ``whole`` is 0 or unknown."""
    return pl.when(whole > 0).then((100 if measure.unit == "percent" else 1) * part / whole)


def _total(quantity: Quantity) -> pl.Expr:
    if isinstance(quantity, HandWritten):
        raise ValueError(f"{quantity.name} is hand-written")  # noqa: TRY004 - a mistake in a declaration
    return total(quantity)
