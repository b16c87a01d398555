"""The rules file (TOML) of a second source → which extract wins over the stream for which facts and hospitals.

A file that makes no sense is refused as a whole, with the line that is wrong, like a source mapping.
"""

from __future__ import annotations

import tomllib

from patient_flow.dialects.lines import LineIndex
from patient_flow.dialects.mapping_checks import (
    MappingError,
    Place,
    expect_known,
    expect_table,
    expect_text,
    expect_texts,
    nearest,
)
from patient_flow.dialects.toml_errors import explain
from patient_flow.transforms.names import fold_name
from patient_flow.transforms.reconciliation import FACTS, MAX_DISCHARGES_PCT, ExtractRule

_KEYS = ("files", "hospitals", "departments", "wins", "max_discharges_pct")


def parse_rules(text: str, name: str) -> tuple[ExtractRule, ...]:
    """The rules in the content ``text`` of the file ``name``, in their order. Raises :class:`MappingError`."""
    text = text.removeprefix("\ufeff")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, problem = explain(text, error)
        raise MappingError(f"{name}, line {line}: {problem}") from None
    place = Place(name, LineIndex(text), ())
    for key in content:
        if key in _KEYS:
            raise place.at(key).error(f"{key} belongs to a rule: put it below a line [[rule]]")
    expect_known(content, ("rule",), place)
    tables = content.get("rule")
    if not isinstance(tables, list) or not tables:
        raise place.at("rule").error("no rule: begin each one with a line [[rule]]")
    rules = tuple(_rule(table, place.at("rule", number)) for number, table in enumerate(tables))
    for number, rule in enumerate(rules):
        if any(earlier.files in ("*", rule.files) and earlier.hospitals is None for earlier in rules[:number]):
            raise place.at("rule", number).error(
                "a rule before this one is for every hospital of these files, so this one is never used: put it first"
            )
    return rules


def _rule(table: object, place: Place) -> ExtractRule:
    if not isinstance(table, dict):
        raise place.error("a rule must be a table: begin it with a line [[rule]]")
    content = expect_table(table, place)
    expect_known(content, _KEYS, place)
    departments = _names(content, "departments", place)
    return ExtractRule(
        expect_text(content["files"], place.at("files")) if "files" in content else "*",
        _names(content, "hospitals", place),
        None if departments is None else tuple(map(fold_name, departments)),
        _facts(content.get("wins", []), place.at("wins")),
        _percentage(content.get("max_discharges_pct", MAX_DISCHARGES_PCT), place.at("max_discharges_pct")),
    )


def _names(content: dict[str, object], key: str, place: Place) -> tuple[str, ...] | None:
    if key not in content:
        return None
    value = content[key]
    items = [str(item) if type(item) is int else item for item in (value if isinstance(value, list) else [value])]
    return expect_texts(items, place.at(key))


def _facts(value: object, place: Place) -> frozenset[str]:
    names = value if isinstance(value, list) else [value]
    for name in names:
        if name not in FACTS:
            near = nearest(name, FACTS) if isinstance(name, str) else ""
            raise place.error(f"{name!r} is nothing that an extract can win{near}: use {', '.join(FACTS)}")
    return frozenset(names)


def _percentage(value: object, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise place.error(f"max_discharges_pct must be a number from 0 to 100; it is {value!r}")
    return float(value)
