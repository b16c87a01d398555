"""The input and the result of a load: batches and row counts.

Not here: how a batch reaches a database (``changes``, ``targets``).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.contracts.tables import Table


@dataclass(frozen=True)
class Batch:
    """The net change of one gold table between two of its Delta versions.

    ``since`` is the version that the warehouse must have loaded before (None: nothing), ``version`` the one loaded
    afterwards. ``removed`` has at least the warehouse table's primary key of changed and deleted rows, as they were
    loaded; ``rows`` are changed and added rows in gold's schema. With ``is_whole_table`` they are the complete table
    and replace all rows. ``identity`` is that of the gold table, which changes when it is created again; None keeps the
    recorded one.
    """

    table: Table
    since: int | None
    version: int
    removed: pl.DataFrame
    rows: pl.DataFrame
    is_whole_table: bool = False
    identity: int | None = None


@dataclass(frozen=True)
class Written:
    """Rows that one batch deleted from and inserted into its table; a changed row counts in both."""

    deleted: int
    inserted: int

    @property
    def total(self) -> int:
        """Rows deleted and inserted."""
        return self.deleted + self.inserted
