"""The measures of ``contracts.measures`` as SQL over the aliases of the views' templates.

``f`` is FactPatientFlow, ``a`` FactEdAttendance, ``c`` FactBedCensus, ``d`` DimDepartment and ``t`` DimTime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import (
    ATTENDANCES,
    CENSUS,
    DEPARTMENTS,
    HOURS,
    STAYS,
    AtMost,
    Condition,
    Differs,
    Equals,
    Exceeds,
    Flag,
    Known,
    MoreThan,
    Part,
    Passed,
    Percentile,
    Ratio,
    Unset,
)

ALIASES = {STAYS: "f", ATTENDANCES: "a", CENSUS: "c", HOURS: "t", DEPARTMENTS: "d"}


@dataclass(frozen=True)
class MeasureSql:
    """Functions for the templates. Names are those of the declarations; unknown ones raise ``KeyError``."""

    now: str
    true: str

    def rows(self, name: str) -> str:
        """Condition on ``f``, ``d`` and ``t``: the row is one that the part ``name`` counts in the hour ``t``."""
        part = _part(name)
        alias = ALIASES[part.table]
        dated = [f"{alias}.{part.dated_by.removesuffix('_at')}_time_key = t.time_key"]
        ended = [f"{alias}.{part.dated_by} <= {self.now}"] if part.may_be_planned else []
        return " AND ".join([*dated, *ended, *([self.counts(name)] if part.where else [])])

    def counts(self, name: str, alias: str = "") -> str:
        """Condition on a row alone: the part ``name`` counts it, whatever its date; ``alias`` instead of the usual."""
        part = _part(name)
        return " AND ".join(self._holds(part, condition, alias=alias) for condition in part.where)

    def total(self, name: str, given: str = "", *, bare: bool = False) -> str:
        """Count or sum of the part ``name`` over rows that the part ``given`` counts; columns without alias if bare."""
        part = _part(name)
        met = _part(given).where if given else ()
        conditions = [self._holds(part, condition, bare=bare) for condition in part.where if condition not in met]
        value = ("" if bare else f"{ALIASES[part.table]}.") + part.total if part.total else "1"
        if not conditions:
            return f"SUM({value})" if part.total else "COUNT(*)"
        otherwise = "" if part.total else " ELSE 0"
        return f"SUM(CASE WHEN {' AND '.join(conditions)} THEN {value}{otherwise} END)"

    def percentile(self, name: str, column: str = "", place: str = "place", last_place: str = "last_place") -> str:
        """The percentile ``name`` over rows that have their ``place`` (from 0) and ``last_place`` by the column.

        Linear interpolation between the two values next to the wanted place.
        """
        found = measures.PARTS[name]
        if not isinstance(found, Percentile):
            raise KeyError(name)
        gap = f"ABS({place} - {found.share} * {last_place})"
        return f"SUM(CASE WHEN {gap} < 1 THEN {column or found.column} * (1 - {gap}) ELSE 0 END)"

    def ratio(self, name: str, part: str = "", whole: str = "") -> str:
        """The ratio ``name`` of two columns or expressions, by default the columns named like its parts."""
        measure = measures.BY_NAME[name]
        if not isinstance(measure.value, Ratio):
            raise KeyError(name)
        times = "100 * " if measure.unit == "percent" else ""
        return (
            f"{times}CAST({part or measure.value.part.name} AS FLOAT) / NULLIF({whole or measure.value.whole.name}, 0)"
        )

    def _holds(self, part: Part, condition: Condition, *, bare: bool = False, alias: str = "") -> str:
        column = ("" if bare else f"{alias or ALIASES[condition.of or part.table]}.") + condition.column
        match condition:
            case Flag():
                return f"{column} = {self.true}"
            case Unset():
                return f"({column} IS NULL OR {column} <> {self.true})"
            case Passed():
                return f"{column} <= {self.now}"
            case Known():
                return f"{column} IS NOT NULL"
            case AtMost():
                return f"{column} <= {condition.limit:g}"
            case MoreThan():
                return f"{column} > {condition.limit:g}"
            case Equals():
                return f"{column} = {_literal(condition.value)}"
            case Differs():
                return f"{column} <> {_literal(condition.value)}"
            case Exceeds():
                return f"{column} > d.{condition.limit}"
            case _:
                assert_never(condition)


def _part(name: str) -> Part:
    found = measures.PARTS[name]
    if not isinstance(found, Part):
        raise KeyError(name)
    return found


def _literal(value: str | int) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
