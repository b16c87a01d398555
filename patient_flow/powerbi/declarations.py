"""The parts of a semantic model as plain values. Not here: the contents of this model, and TMDL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Storage(Enum):
    """Storage mode of a table: a copy in Power BI, or a query to the warehouse each time."""

    IMPORT = "import"
    DIRECT_QUERY = "directquery"


class DataType(Enum):
    """Data types of columns, by their names in TMDL."""

    INTEGER = "int64"
    NUMBER = "double"
    TEXT = "string"
    TRUTH = "boolean"
    MOMENT = "dateTime"


@dataclass(frozen=True)
class Column:
    """One column: read from the warehouse, or calculated when it has an ``expression`` (DAX)."""

    name: str
    data_type: DataType
    description: str
    format: str = ""
    folder: str = ""
    expression: str = ""
    sort_by: str = ""
    is_hidden: bool = False
    is_key: bool = False
    is_date_only: bool = False


@dataclass(frozen=True)
class Hierarchy:
    """A way to drill down; ``levels`` are (name, column) from the top."""

    name: str
    description: str
    levels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Measure:
    """A named DAX expression. ``table`` is where the field list shows it."""

    name: str
    table: str
    folder: str
    format: str
    description: str
    dax: str


@dataclass(frozen=True)
class Table:
    """One table; ``query`` (M) reads it from the warehouse relation ``item``."""

    name: str
    description: str
    item: str
    columns: tuple[Column, ...]
    query: str
    hierarchies: tuple[Hierarchy, ...] = ()
    is_fact: bool = False
    is_hidden: bool = False
    is_calendar: bool = False


@dataclass(frozen=True)
class Relationship:
    """Many rows of ``from_table`` to one of ``to_table``; filters flow from the one to the many."""

    from_table: str
    from_column: str
    to_table: str
    to_column: str
    is_active: bool = True


@dataclass(frozen=True)
class Role:
    """Row-level security: which rows of which table a member sees, as (table, DAX condition)."""

    name: str
    description: str
    permissions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Contents:
    """What a model consists of, besides roles."""

    tables: tuple[Table, ...]
    measures: tuple[Measure, ...]
    relationships: tuple[Relationship, ...]
