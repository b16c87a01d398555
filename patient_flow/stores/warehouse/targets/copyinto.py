"""Loads of Synapse and Fabric: many rows by COPY INTO from a Parquet file, few by INSERT."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import polars as pl
import sqlalchemy as sa

from patient_flow.stores.warehouse.errors import WarehouseMisconfigured
from patient_flow.stores.warehouse.targets.tsql import TransactSQL
from patient_flow.wording import plural

Exporter = Callable[[str, pl.DataFrame], str]
"""``export(table_name, frame)``: writes Parquet where the warehouse can read it, returns its https URL."""

FEW_ROWS = 300
"""Up to this number of rows INSERT is faster than COPY, which takes seconds to start."""

PARAMETERS_PER_STATEMENT = 2000


class CopyInto(TransactSQL):
    """A warehouse without multi-row VALUES, where single rows are slow and files are fast."""

    def __init__(self, export: Exporter | None = None) -> None:
        self._export = export

    def engine_options(self) -> dict[str, bool]:
        """No multi-row VALUES; ignores error 111214, a rollback without a transaction."""
        return {"use_insertmanyvalues": False, "ignore_no_transaction_on_rollback": True}

    @abstractmethod
    def copy_options(self) -> str:
        """The WITH clause of COPY INTO."""

    def fill(self, connection: sa.Connection, stage: sa.Table, rows: pl.DataFrame) -> None:
        """Few rows by INSERT … SELECT, more by COPY INTO from an exported file.

        Raises :class:`WarehouseMisconfigured` for many rows without an exporter.
        """
        if rows.height <= FEW_ROWS:
            self._insert(connection, stage, rows)
            return
        if self._export is None:
            raise WarehouseMisconfigured(
                f"{plural(rows.height, 'row')} for {stage.name} need COPY INTO, and this warehouse has no place to "
                "export files to: set PATIENT_FLOW_LAKE_URI to a storage account that it can read"
            )
        connection.exec_driver_sql(self.copy_statement(stage, self._export(stage.name, rows)))

    def copy_statement(self, stage: sa.Table, url: str) -> str:
        """COPY INTO ``stage`` from the Parquet file at ``url``."""
        preparer = self.dialect().identifier_preparer
        columns = ", ".join(preparer.quote(column.name) for column in stage.columns)
        source = url.replace("'", "''")
        return f"COPY INTO {preparer.format_table(stage)} ({columns})\nFROM '{source}'\nWITH ({self.copy_options()})"

    def _insert(self, connection: sa.Connection, stage: sa.Table, rows: pl.DataFrame) -> None:
        names = [column.name for column in stage.columns]
        for chunk in rows.select(names).iter_slices(PARAMETERS_PER_STATEMENT // len(names)):
            selects = [
                sa.select(*(sa.literal(value, stage.c[name].type) for name, value in row.items()))
                for row in chunk.iter_rows(named=True)
            ]
            connection.execute(sa.insert(stage).from_select(names, sa.union_all(*selects)))
