"""Spans of instants: they narrow down which files a read or a merge touches. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import polars as pl

SPAN_GAP = timedelta(hours=12)
"""Instants further apart than this are read as separate spans."""
MAX_SPANS = 50
"""Spans that one read uses at most; the nearest ones are joined."""
MERGE_GAP = timedelta(minutes=10)
MAX_MERGE_SPANS = 100
"""The same for a merge, which writes every file again that one of its spans touches: here a closer look pays."""
MAX_LITERALS = 1_000
"""Values that a merge lists to narrow down its target; with more of them nearly every file contains one."""


def spans_of(instants: pl.Series, gap: timedelta = SPAN_GAP, limit: int = MAX_SPANS) -> list[tuple[datetime, datetime]]:
    """Inclusive spans that cover ``instants`` (or dates), cut at the widest gaps; nulls are left out.

    At most ``limit`` spans, more than ``gap`` apart.
    """
    ordered = instants.drop_nulls().unique().sort()
    if ordered.is_empty():
        return []
    gaps = ordered.diff().to_frame("gap").with_row_index("start").filter(pl.col("gap") > gap)
    starts = sorted([0, *gaps.top_k(limit - 1, by="gap")["start"]])
    ends = [*(start - 1 for start in starts[1:]), ordered.len() - 1]
    return [(ordered[start], ordered[end]) for start, end in zip(starts, ends, strict=True)]


def within_spans(column: str, spans: Iterable[tuple[datetime, datetime]]) -> pl.Expr:
    """True where ``column`` lies in one of the inclusive ``spans``."""
    return pl.any_horizontal(pl.lit(False), *(pl.col(column).is_between(first, last) for first, last in spans))


def merge_predicate(keys: Iterable[str], partitions: pl.DataFrame, sort_values: pl.Series | None) -> str:
    """SQL predicate of a merge of source ``s`` into target ``t`` on ``keys``.

    ``partitions`` and ``sort_values`` are the partition columns and the sort column of the target rows that the merge
    changes. As literals they let delta-rs skip partitions and files; without them each merge reads the whole table.
    """
    conditions = [
        f"t.`{values.name}` IN ({', '.join(_literal(value) for value in values.unique().sort())})"
        for values in partitions
    ]
    if sort_values is not None:
        conditions += _sort_conditions(sort_values)
    return " AND ".join([*conditions, *(f"t.`{key}` = s.`{key}`" for key in keys)])


def _sort_conditions(values: pl.Series) -> list[str]:
    """Conditions on the target alone that hold for all rows with these ``values`` in the sort column."""
    column = f"t.`{values.name}`"
    if values.null_count():
        return []
    if values.dtype.is_temporal():
        gap = timedelta(days=1) if values.dtype == pl.Date else MERGE_GAP
        spans = spans_of(values, gap, MAX_MERGE_SPANS)
        narrow = [f"{column} BETWEEN {_literal(first)} AND {_literal(last)}" for first, last in spans]
        return [f"({' OR '.join(narrow)})"]
    distinct = values.unique().sort()
    if distinct.len() > MAX_LITERALS:
        return []
    # delta-rs does not use a long IN list to skip files, but it uses this.
    return [f"({' OR '.join(f'{column} = {value}' for value in distinct)})"]


def _literal(value: object) -> str:
    if isinstance(value, datetime):
        return f"arrow_cast('{value.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    quoted = str(value).replace("'", "''")
    return f"'{quoted}'"
