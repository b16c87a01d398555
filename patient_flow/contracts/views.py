"""The warehouse's views: what each measure is, in SQL, declared once for every target."""

from __future__ import annotations

from dataclasses import dataclass

from patient_flow.contracts.tables import Column


@dataclass(frozen=True)
class View:
    """One view."""

    name: str
    description: str
    columns: tuple[Column, ...]
    sql: str


VIEWS: tuple[View, ...] = ()
