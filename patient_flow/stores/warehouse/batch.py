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

    ``since`` is the version that the warehouse must hold now (None: nothing yet), ``version`` the one it holds
    afterwards. ``removed`` has at least the key columns of rows that changed or went; ``rows`` are changed and added
    rows in gold's schema. With ``is_whole_table`` they are all rows there are, and replace everything.
    ``identity`` tells the gold table from another one that was at its place before; None leaves what is recorded.
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
