"""DAX evaluated by an engine that is not Microsoft's and not ours, on the sample, at the sample's time.

The engine says None for an error as well as for an empty value: whoever compares must expect a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from patient_flow_tests.powerbi import sample
from patient_flow_tests.powerbi.star import Star
from patient_flow_tests.required import require_module

require_module("pbix_mcp", "uv sync --all-groups")
from pbix_mcp.dax import engine  # noqa: E402

NO_TABLE = "(none)"
"""Names a date table that is not there: else the engine guesses one and leaves its relationships aside."""


@contextmanager
def at_the_samples_time(*, signed_in: str = "") -> Iterator[None]:
    """The engine's clock shows the sample's now, and ``signed_in`` is who asks."""
    functions = engine._engine._func_map
    usual = dict(functions)
    functions["UTCNOW"] = lambda *_: sample.NOW.replace(tzinfo=None)
    functions["USERPRINCIPALNAME"] = lambda *_: signed_in
    try:
        yield
    finally:
        functions.update(usual)


class Model:
    """The generated model with the sample's rows in it, or ``more`` in their place."""

    def __init__(self, star: Star, more: Mapping[str, pl.DataFrame] | None = None) -> None:
        self._measures = {name: measure.expression for name, measure in star.measures.items()}
        found = {**sample.model_rows(), **(more or {})}
        self._tables = {name: _table(star, name, found[name]) for name in star.tables}
        self._relationships = [
            {
                "FromTable": many.table,
                "FromColumn": many.column,
                "ToTable": one.table,
                "ToColumn": one.column,
                "IsActive": is_active,
            }
            for many, one, is_active in star.relationships
        ]

    def values(
        self, names: Sequence[str], filters: Mapping[str, Sequence[object]], *, more: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """What the measures ``names`` say under ``filters``; ``more`` are measures that the model lacks."""
        with at_the_samples_time():
            found = engine.evaluate_measures_batch(
                list(names),
                self._tables,
                {**self._measures, **(more or {})},
                filter_context={column: list(chosen) for column, chosen in filters.items()},
                relationships=self._relationships,
                date_table=NO_TABLE,
            )
        return {name: _number(value) for name, value in found.items()}

    def count(self, table: str, condition: str, *, signed_in: str) -> int:
        """Rows of ``table`` for which ``condition`` holds when ``signed_in`` asks."""
        with at_the_samples_time(signed_in=signed_in):
            found = engine.evaluate_measure(
                "Count",
                self._tables,
                {"Count": f"COUNTROWS(FILTER({table}, {condition})) + 0"},
                relationships=self._relationships,
                date_table=NO_TABLE,
            )
        assert found is not None, condition
        return int(found)


def _table(star: Star, name: str, found: pl.DataFrame) -> dict[str, Any]:
    columns = [column for column, node in star.columns[name].items() if not node.expression]
    rows = found.select(columns)
    return {"columns": columns, "rows": [[_cell(value) for value in row] for row in rows.iter_rows()]}


def _cell(value: object) -> object:
    """Moments without a zone and dates as midnights: so the model has them."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value  # noqa: DTZ001


def _number(value: object) -> object:
    return value.replace(tzinfo=UTC).timestamp() if isinstance(value, datetime) else value
