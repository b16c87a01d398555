"""The model's M code: parameters that name the warehouse, and one query per table.

Every step folds into SQL, so that the same query serves Import, DirectQuery and Dual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SERVER, DATABASE, SCHEMA, SECURITY_SCHEMA = "WarehouseServer", "WarehouseDatabase", "WarehouseSchema", "SecuritySchema"


@dataclass(frozen=True)
class Source:
    """Default values of the parameters that name the warehouse."""

    server: str = "localhost"
    database: str = "patient_flow"
    schema: str = "dbo"
    security_schema: str = "security"

    @property
    def parameters(self) -> tuple[tuple[str, str, str], ...]:
        """(name, value, description) of each M parameter."""
        return (
            (SERVER, self.server, "Server of the warehouse: Synapse, SQL Server, Azure SQL or Fabric"),
            (DATABASE, self.database, "Database of the warehouse"),
            (SCHEMA, self.schema, "Schema of the star schema's tables and views"),
            (SECURITY_SCHEMA, self.security_schema, "Schema of ReaderScope, which holds who sees which rows"),
        )


def parameter(value: str) -> str:
    """The M expression of a text parameter."""
    return f'{_text(value)} meta [IsParameterQuery=true, Type="Text", IsParameterQueryRequired=true]'


def query(item: str, columns: Sequence[str], *steps: tuple[str, str], schema: str = SCHEMA) -> str:
    """Reads ``columns`` of the relation ``item`` and applies ``steps``, each a (name, expression).

    Naming the columns keeps the model as declared when the warehouse gains one.
    """
    written = [
        ("Source", f"Sql.Database({SERVER}, {DATABASE})"),
        ("Rows", f"Source{{[Schema = {schema}, Item = {_text(item)}]}}[Data]"),
        ("Columns", f"Table.SelectColumns(Rows, {_texts(columns)})"),
        *steps,
    ]
    lines = ",\n".join(f"\t{name} = {expression}" for name, expression in written)
    return f"let\n{lines}\nin\n\t{written[-1][0]}"


def _texts(values: Sequence[str]) -> str:
    return "{" + ", ".join(_text(value) for value in values) + "}"


def _text(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
