"""Parts of a page: cards, panels, and the tables behind their charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from markupsafe import Markup

Value = str | int | float | date | datetime | None


@dataclass(frozen=True)
class Column:
    """A column of a table: its key in the CSV, its heading, and how its values read."""

    key: str
    heading: str
    unit: str = "text"


@dataclass(frozen=True)
class Table:
    """Rows as they are; the page formats them, the CSV does not."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]

    def records(self) -> list[dict[str, Value]]:
        """Rows by column key."""
        return [dict(zip((column.key for column in self.columns), row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Cell:
    """A cell of a grid: its text, where it leads, and its class."""

    text: str
    href: str = ""
    css: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Group:
    """Rows of a grid under a head, which folds them; without a head they stand alone."""

    id: str
    head: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    more: Cell | None = None
    """Rows that are left out, and where they are."""


@dataclass(frozen=True)
class Grid:
    """A table on the face of a panel, whose numbers lead somewhere."""

    columns: Sequence[Column]
    groups: Sequence[Group]


@dataclass(frozen=True)
class Legend:
    """A class of the chart and what it stands for."""

    css: str
    text: str


@dataclass(frozen=True)
class Panel:
    """One part of the page."""

    id: str
    title: str
    note: str
    table: Table
    chart: Markup = field(default_factory=Markup)
    legend: Sequence[Legend] = ()
    width: str = "half"
    more: Table | None = None
    """Rows that stand open below the chart."""
    period: str = "period"
    """The time that the figures cover (``now``, ``today``, ``mean`` or ``period``); empty where the title says it."""
    grid: Grid | None = None
    """Shown in place of a chart; then ``table`` is for the CSV only."""
    sheet_note: str = ""
    """Said on paper only."""
    pending: bool = False
    """True where there are no numbers and the note says why."""


@dataclass(frozen=True)
class ShownCard:
    """A key figure in words."""

    name: str
    value: str
    change: str
    note: str = ""
    """A note on the data that the value excludes."""
    meaning: str = ""
    """The measure's definition, in one line."""
    href: str = ""
    """The list of patients behind it."""
