"""Columns: their type and the sources of their value. Short constructors for common kinds.

A source is a column of another table or of an external system. Columns that only select the row are not sources. A
column without sources names what generates it in ``generated_by``.

Suffixes: ``_id`` given by the sender; ``_key`` a surrogate key (63-bit, deterministic, 0 = unknown member); ``_at`` a
UTC instant; ``_date`` a date in the hospital's zone; ``_minutes``, ``_hours``, ``_beds`` units; ``is_``/``has_``
booleans; ``valid_from`` inclusive, ``valid_to`` exclusive, null = open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.events import MAX_ID_LENGTH

INSTANT = pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String)

Sources = tuple[tuple[str, str], ...]
"""(path, column) of each source."""


@dataclass(frozen=True)
class Column:
    """One column. ``length`` bounds a text in the warehouse; ``lake_only`` keeps a column out of the warehouse.

    ``sources`` are the columns that determine its value; ``generated_by`` names what generates it where there is none.
    """

    name: str
    dtype: pl.DataType | type[pl.DataType]
    description: str
    sources: Sources = ()
    nullable: bool = True
    length: int = MAX_ID_LENGTH
    lake_only: bool = False
    generated_by: str = ""


@dataclass(frozen=True)
class ExternalSource:
    """An external system that tables are made from; ``path`` is its asset key."""

    path: str
    columns: tuple[str, ...]

    def of(self, *names: str) -> Sources:
        """Some of its columns, as sources of a column. Raises ``KeyError`` for an unknown name."""
        return sources_of(self.path, self.columns, names)


EVENT_HUB = ExternalSource(
    "source/event_hub",
    (
        *("created_at", "partition_id", "sequence_number", "offset", "enqueued_time", "partition_key", "properties"),
        *events.FIELDS,
    ),
)
"""The hub's own attributes of an event, and the fields of the contract, which its body carries."""

DEPARTMENT_LIST = ExternalSource(
    "source/department_list",
    (
        *("hospital_id", "hospital_name", "department", "staffed_beds", "staff", "expected_los_hours", "valid_from"),
        *("class", "beds", "women_beds", "men_beds", "unconfirmed_days", "valid_to"),
    ),
)


def sources_of(path: str, known: tuple[str, ...], names: tuple[str, ...]) -> Sources:
    """The columns ``names`` at ``path`` as sources. Raises ``KeyError`` for a name that is not ``known``."""
    for name in names:
        if name not in known:
            raise KeyError(f"{path} has no column {name}")
    return tuple((path, name) for name in names)


def made_of(sources: Sources, *columns: Column) -> tuple[Column, ...]:
    """``columns`` with the same ``sources``."""
    return tuple(replace(column, sources=sources) for column in columns)


def generated(by: str, *columns: Column) -> tuple[Column, ...]:
    """``columns`` without sources; ``by`` names what generates them."""
    return tuple(replace(column, generated_by=by) for column in columns)


def identifier(name: str, description: str, sources: Sources = (), *, nullable: bool = True) -> Column:
    """An identifier that the sender gives."""
    return Column(name, pl.String(), description, sources, nullable)


def text(name: str, description: str, length: int, sources: Sources = ()) -> Column:
    """A text of at most ``length`` characters."""
    return Column(name, pl.String(), description, sources, length=length)


def surrogate(name: str, description: str, sources: Sources = ()) -> Column:
    """A surrogate key."""
    return Column(name, pl.Int64(), description, sources, nullable=False)


def hashed(name: str, description: str, sources: Sources = (), **options: Any) -> Column:
    """A 63-bit hash for look-ups."""
    return Column(name, pl.Int64(), description, sources, **options)


def at(name: str, description: str, sources: Sources = (), *, nullable: bool = True) -> Column:
    """A UTC instant."""
    return Column(name, INSTANT, description, sources, nullable)


def count(name: str, description: str, sources: Sources = ()) -> Column:
    """A number of things."""
    return Column(name, pl.Int64(), description, sources, nullable=False)


def number(name: str, description: str, sources: Sources = ()) -> Column:
    """A number that may be unknown."""
    return Column(name, pl.Float64(), description, sources)


def flag(name: str, description: str, sources: Sources = ()) -> Column:
    """True or false."""
    return Column(name, pl.Boolean(), description, sources, nullable=False)


def month(name: str, of: str, sources: Sources = ()) -> Column:
    """A month that a table is partitioned by."""
    description = f"UTC month (YYYY-MM) of {of}: partition"
    return Column(name, pl.String(), description, sources, nullable=False, lake_only=True)
