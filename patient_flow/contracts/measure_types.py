"""The form in which measures are declared: conditions on rows, parts that add up, and how parts combine.

Each engine renders it: ``transforms.measures`` as Polars expressions, ``stores.warehouse.views`` as SQL,
``powerbi.dax`` as DAX. It holds what the measures need and no more; it is no general expression language.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Unit = Literal["count", "percent", "minutes", "hours", "beds"]
STAYS, CENSUS, HOURS, DEPARTMENTS = "fact_patient_flow", "fact_bed_census", "dim_time", "dim_department"
ATTENDANCES = "fact_ed_attendance"


@dataclass(frozen=True)
class Flag:
    """The boolean ``column`` is true. ``of`` names the dimension that has the column; empty = the counted table."""

    column: str
    of: str = ""


@dataclass(frozen=True)
class Unset:
    """The boolean ``column`` is not true: false or unknown."""

    column: str
    of: str = ""


@dataclass(frozen=True)
class Passed:
    """The instant ``column`` is known and not later than now; in Polars the caller leaves later ones null."""

    column: str
    of: str = ""


@dataclass(frozen=True)
class Known:
    """``column`` is not null."""

    column: str
    of: str = ""


@dataclass(frozen=True)
class AtMost:
    """``column`` is known and not greater than ``limit``."""

    column: str
    limit: float
    of: str = ""


@dataclass(frozen=True)
class MoreThan:
    """``column`` is known and greater than ``limit``."""

    column: str
    limit: float
    of: str = ""


@dataclass(frozen=True)
class Equals:
    """``column`` has this value."""

    column: str
    value: str | int
    of: str = ""


@dataclass(frozen=True)
class Differs:
    """``column`` is known and has another value."""

    column: str
    value: str | int
    of: str = ""


@dataclass(frozen=True)
class Exceeds:
    """``column`` is greater than ``limit``, a column of the row's department; both are known."""

    column: str
    limit: str
    of: str = ""


Simple = Flag | Unset | Passed | Known | AtMost | MoreThan | Equals | Differs
"""Conditions on one column."""
Condition = Simple | Exceeds


@dataclass(frozen=True)
class Part:
    """Rows of a gold table, counted or summed: additive over dates, departments and genders.

    ``name`` is its column in the daily table (if ``is_daily``) and in the views. A row counts on the local date of
    the instant ``dated_by``; one that may be planned (``may_be_planned``) counts when its time has come. ``total`` is
    the column to sum (a whole number if ``is_whole``); empty = the rows are counted.
    """

    name: str
    description: str
    where: tuple[Condition, ...] = ()
    total: str = ""
    table: str = STAYS
    dated_by: str = "admission_at"
    may_be_planned: bool = False
    is_whole: bool = True
    is_daily: bool = True

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(table, column) of all that decides its value."""
        read = [(condition.of or self.table, condition.column) for condition in self.where]
        read += [(DEPARTMENTS, condition.limit) for condition in self.where if isinstance(condition, Exceeds)]
        read += [(self.table, self.dated_by)] if self.may_be_planned else []
        return tuple(dict.fromkeys([*read, *([(self.table, self.total)] if self.total else [])]))

    def only(self, name: str, description: str, *where: Condition, is_daily: bool = True) -> Part:
        """The same with further conditions."""
        return Part(
            name,
            description,
            (*self.where, *where),
            self.total,
            self.table,
            self.dated_by,
            self.may_be_planned,
            self.is_whole,
            is_daily,
        )

    def sum_of(self, column: str, name: str, description: str) -> Part:
        """The sum of ``column`` over the rows that this part counts; null where there are none."""
        return Part(
            name, description, self.where, column, self.table, self.dated_by, self.may_be_planned, is_whole=False
        )


@dataclass(frozen=True)
class Percentile:
    """The ``share`` quantile of ``column`` over the rows of a part, linearly interpolated (PERCENTILE.INC)."""

    name: str
    description: str
    rows: Part
    column: str
    share: float


@dataclass(frozen=True)
class Ratio:
    """``part`` divided by ``whole``; unknown where ``whole`` is 0 or unknown. In percent if the measure's unit is."""

    part: Quantity
    whole: Quantity


@dataclass(frozen=True)
class Balance:
    """The sum of ``plus`` less the sum of ``minus``."""

    plus: tuple[Quantity, ...]
    minus: tuple[Quantity, ...] = ()


@dataclass(frozen=True)
class HandWritten:
    """A quantity with an expression of its own in each engine, found there by this name.

    ``is_daily``: the daily table has it as a column.
    """

    name: str
    description: str
    is_daily: bool = False


Quantity = Part | HandWritten
Value = Part | Percentile | Ratio | Balance | HandWritten


class Better(Enum):
    """Which direction of a measure is good."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True)
class Text:
    """A text in the languages of the dashboard."""

    en: str
    fr: str

    def __getitem__(self, language: str) -> str:
        """The text in ``language`` (en or fr)."""
        return self.fr if language == "fr" else self.en


@dataclass(frozen=True)
class Measure:
    """One measure.

    ``name`` is its column in views and exports, ``label`` what people read, ``meaning`` one line that explains it.
    ``digits`` are the decimal places that a reader sees; -1 = as usual for the unit.
    """

    name: str
    value: Value
    label: Text
    meaning: Text
    unit: Unit = "count"
    better: Better = Better.NEITHER
    digits: int = -1
    topic: str = ""

    @property
    def decimals(self) -> int:
        """Decimal places that a reader sees."""
        if self.digits >= 0:
            return self.digits
        return 0 if self.unit in ("count", "minutes") else 1

    @property
    def quantities(self) -> tuple[Quantity | Percentile, ...]:
        """The parts of the value."""
        value = self.value
        if isinstance(value, Ratio):
            return value.part, value.whole
        return (*value.plus, *value.minus) if isinstance(value, Balance) else (value,)
