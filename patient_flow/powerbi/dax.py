"""The measures of ``contracts.measures`` as DAX.

Conditions on a dimension, and exclusions, keep what a visual filters; the others replace it. DAX takes an empty value
for zero, so a comparison that an empty value must not pass says so. An expression that asks for now reads the variable
``Instant``; :func:`with_instant` defines it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard, assert_never

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import (
    DEPARTMENTS,
    HOURS,
    STAYS,
    AtMost,
    Balance,
    Condition,
    Differs,
    Equals,
    Exceeds,
    Flag,
    HandWritten,
    Known,
    Measure,
    MoreThan,
    Part,
    Passed,
    Percentile,
    Quantity,
    Ratio,
    Simple,
    Unit,
    Unset,
)
from patient_flow.contracts.tables import LAKE_TABLES
from patient_flow.powerbi.relationships import RELATIONSHIPS

UNIT_NAMES: dict[Unit, str] = {"percent": " %", "minutes": " minutes", "hours": " hours", "count": "", "beds": ""}
_TABLES = {table.name: table.warehouse_name for table in LAKE_TABLES}
_INACTIVE = {(link.from_table, link.from_column) for link in RELATIONSHIPS if not link.is_active}


def name_of(measure: Measure) -> str:
    """Its name in the model: the English label and the unit."""
    return measure.label.en + UNIT_NAMES[measure.unit]


def format_of(measure: Measure) -> str:
    """Its format string."""
    if measure.unit == "percent":
        return "0.0%"
    decimals = measure.decimals if measure.unit == "count" else 1
    return "#,0" + ("." + "0" * decimals if decimals else "")


def home_of(measure: Measure) -> str:
    """The table under which the field list shows it: that of its topic's first part."""
    quantities = [each for other in measures.MEASURES if other.topic == measure.topic for each in other.quantities]
    return _TABLES[next((part.table for part in quantities if isinstance(part, Part)), STAYS)]


def with_instant(dax: str) -> str:
    """``dax`` with the variable ``Instant``, if it reads it."""
    if "Instant" not in dax:
        return dax
    return "VAR Instant = UTCNOW()\nRETURN\n" + "\n".join(f"    {line}" for line in dax.splitlines())


def expression(measure: Measure) -> str:
    """The DAX of ``measure``. Raises ``ValueError`` for a hand-written one."""
    value = measure.value
    match value:
        case Part():
            dax = total(value)
        case Percentile():
            column = f"{_TABLES[value.rows.table]}[{value.column}]"
            dax = _calculate(f"PERCENTILE.INC({column}, {value.share})", value.rows)
        case Ratio():
            # + 0: nothing of something is 0, not unknown.
            dax = f"DIVIDE({_operand(value.part)} + 0, {_operand(value.whole)})"
        case Balance():
            dax = " - ".join([" + ".join(map(_operand, value.plus)), *map(_operand, value.minus)])
        case HandWritten():
            raise ValueError(f"{measure.name} is hand-written")
        case _:
            assert_never(value)
    return with_instant(dax)


def total(part: Part) -> str:
    """The rows that ``part`` counts, or their sum, under whatever filters a visual has."""
    table = _TABLES[part.table]
    if part.total:
        return _calculate(f"SUM({table}[{part.total}])", part)
    # Evaluated under the conditions of CALCULATE; as one of them it would not see the relationship that they switch to.
    compared = [_exceeds(part, condition) for condition in part.where if isinstance(condition, Exceeds)]
    rows = f"FILTER({table}, {' && '.join(compared)})" if compared else table
    return _calculate(f"COUNTROWS({rows})", part)


def filters(part: Part) -> list[str]:
    """The conditions under which a row counts, and the hours by which it is dated."""
    table = _TABLES[part.table]
    key = part.dated_by.removesuffix("_at") + "_time_key"
    if (table, key) not in _INACTIVE:
        return conditions(part)
    hours = [_holds(part, condition) for condition in part.where if _is_of_hours(condition)]
    found = conditions(replace(part, where=tuple(each for each in part.where if not _is_of_hours(each))))
    # Not USERELATIONSHIP: Power BI refuses it where row-level security is defined. The hours chosen become those of
    # this key; they are read before the filters that reach the fact by its active relationship are removed.
    found += ["REMOVEFILTERS(DimTime)", "REMOVEFILTERS(DimDate)"]
    chosen = "VALUES(DimTime[time_key])"
    chosen = f"CALCULATETABLE({', '.join([chosen, *hours])})" if hours else chosen
    found.append(f"TREATAS({chosen}, {table}[{key}])")
    return found


def conditions(part: Part) -> list[str]:
    """The conditions under which a row counts, whatever its date."""
    found = [_holds(part, condition) for condition in part.where if not isinstance(condition, Exceeds)]
    if part.may_be_planned:
        instant = f"{_TABLES[part.table]}[{part.dated_by}]"
        found += [f"{instant} <= Instant", f"NOT ISBLANK({instant})"]
    return found


def _is_of_hours(condition: Condition) -> TypeGuard[Simple]:
    return condition.of == HOURS


def _operand(quantity: Quantity) -> str:
    """A part in a larger expression: by the name of its measure where it is one."""
    named = next((measure for measure in measures.MEASURES if measure.value == quantity), None)
    if named is not None:
        return f"[{name_of(named)}]"
    if isinstance(quantity, HandWritten):
        return f"[{name_of(measures.BY_NAME[quantity.name])}]"
    return total(quantity)


def _calculate(aggregate: str, part: Part) -> str:
    conditions = filters(part)
    if not conditions:
        return aggregate
    line = f"CALCULATE({', '.join([aggregate, *conditions])})"
    if len(line) <= 100 and "\n" not in line:
        return line
    arguments = ",\n".join([aggregate, *conditions])
    return "CALCULATE(\n" + "\n".join(f"    {each}" for each in arguments.splitlines()) + "\n)"


def _exceeds(part: Part, condition: Exceeds) -> str:
    limit = f"RELATED({_TABLES[DEPARTMENTS]}[{condition.limit}])"
    return f"NOT ISBLANK({limit}) && {_TABLES[part.table]}[{condition.column}] > {limit}"


def _holds(part: Part, condition: Simple) -> str:
    table = _TABLES[condition.of or part.table]
    column = f"{table}[{condition.column}]"
    match condition:
        case Flag():
            dax = f"{column} = TRUE()"
        case Unset():
            dax = f"{column} <> TRUE()"
        case Passed():
            dax = f"NOT ISBLANK({column}) && {column} <= Instant"
        case Known():
            dax = f"NOT ISBLANK({column})"
        case AtMost():
            dax = f"NOT ISBLANK({column}) && {column} <= {condition.limit:g}"
        case MoreThan():
            dax = f"{column} > {condition.limit:g}"
        case Equals():
            dax = f"{column} = {_literal(condition.value)}"
        case Differs():
            dax = f"{column} <> {_literal(condition.value)}"
        case _:
            assert_never(condition)
    return f"KEEPFILTERS({dax})" if condition.of or isinstance(condition, Differs) else dax


def _literal(value: str | int) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
