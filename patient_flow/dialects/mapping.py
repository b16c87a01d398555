"""A source mapping file (TOML) → one interpreter that puts the events it matches into the words of the contract.

A file that makes no sense is refused as a whole, with the line that is wrong. Not here: finding and reading the file,
and what a mapping does to an event (``rewriting``).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from patient_flow.dialects import fhir, hl7
from patient_flow.dialects.lines import LineIndex
from patient_flow.dialects.mapping_checks import MappingError, Place, expect_known, expect_table, expect_text, nearest
from patient_flow.dialects.mapping_sections import SECTIONS
from patient_flow.dialects.message import JSON, Message
from patient_flow.dialects.rewriting import SourceMapping
from patient_flow.dialects.unwrapping import OPENERS, Opener, open_path, unwrapper
from patient_flow.transforms.bodies import Interpretation, Interpreter, Unwrapper


@dataclass(frozen=True)
class SourceMappings:
    """What a mapping file adds to reading: which bodies are unwrapped, and who interprets what is in them."""

    interpreters: tuple[Interpreter, ...] = ()
    unwrap: Unwrapper | None = None


def parse_mappings(text: str, name: str) -> SourceMappings:
    """The content ``text`` of the mapping file ``name``.

    The interpreter tries the mappings in order and rewrites an event with the first that matches. HL7 v2 and FHIR
    bodies it reads itself, so that mappings can refine them; every other event that no mapping matches it leaves alone
    (None). Raises :class:`MappingError`.
    """
    mappings, openers = _read(text.removeprefix("\ufeff"), name)

    def interpret(body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
        message = _message(body, value)
        if message is None:
            return None
        for mapping in mappings:
            if mapping.format == message.format and mapping.takes(message.stated):
                rewritten = replace(
                    message,
                    stated=mapping.rewritten(message.stated),
                    more=tuple(mapping.rewritten(stated) for stated in message.more),
                )
                return rewritten.settled(patient_scope=mapping.patient_scope, visit_scope=mapping.visit_scope)
        return None if message.format == JSON else message.settled()

    return SourceMappings((interpret,) if mappings else (), unwrapper(openers) if openers else None)


def _message(body: bytes, value: Mapping[str, object] | None) -> Message | None:
    if value is None:
        return hl7.read(body)
    return fhir.read(value) or Message(JSON, value)


def _read(text: str, file: str) -> tuple[tuple[SourceMapping, ...], tuple[Opener, ...]]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        stated = re.search(r"line (\d+)", str(error))
        line = stated[1] if stated else text.count("\n") + 1
        raise MappingError(f"{file}, line {line}: this is not TOML: {error}") from None
    place = Place(file, LineIndex(text), ())
    expect_known(content, ("mapping", "unwrap"), place)
    openers = _openers(content["unwrap"], place.at("unwrap")) if "unwrap" in content else ()
    tables = content.get("mapping", [])
    if not isinstance(tables, list) or not (tables or openers):
        raise place.at("mapping").error("no mapping: begin each one with a line [[mapping]]")
    mappings = tuple(_mapping(table, place.at("mapping", number)) for number, table in enumerate(tables))
    for number, mapping in enumerate(mappings):
        if mapping.name in {earlier.name for earlier in mappings[:number]}:
            raise place.at("mapping", number, "name").error(
                f"there is a mapping {mapping.name!r} before: give each its own name"
            )
    return mappings, openers


def _openers(value: object, place: Place) -> tuple[Opener, ...]:
    """The envelopes that ``unwrap`` names: words, and tables { path = "..." } for lists of events in an object."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise place.error("the list is empty: name at least one")
    return tuple(_opener(item, place) for item in items)


def _opener(item: object, place: Place) -> Opener:
    if isinstance(item, dict):
        expect_known(item, ("path",), place)
        return open_path(expect_text(item.get("path"), place.at("path")))
    name = expect_text(item, place)
    if name not in OPENERS:
        raise place.error(
            f"{name!r} is no envelope{nearest(name, OPENERS)}: use one of {', '.join(OPENERS)}, or "
            '{ path = "..." } for the events at a path of an object'
        )
    return OPENERS[name]


def _mapping(table: object, place: Place) -> SourceMapping:
    content = expect_table(table, place)
    if "unwrap" in content:
        raise place.at("unwrap").error("unwrap is for the whole file: put it before the first [[mapping]]")
    expect_known(content, SECTIONS, place)
    if "name" not in content:
        raise place.error('the mapping has no name: add name = "..."')
    mapping = SourceMapping(**{key: SECTIONS[key](value, place.at(key)) for key, value in content.items()})
    if not mapping.match and mapping.format == JSON:
        raise place.at("match").error(
            "match does not say which events the mapping is for: add a condition, as in [mapping.match] with "
            'source = "..." or patient = { exists = true }'
        )
    _expect_no_contradiction(mapping, place)
    return mapping


def _expect_no_contradiction(mapping: SourceMapping, place: Place) -> None:
    for section, others in (("constant", ("rename", "join", "value_map")), ("otherwise", ("constant",))):
        for other in others:
            for name in getattr(mapping, section).keys() & getattr(mapping, other).keys():
                raise place.at(section, name).error(f"{name} stands in {section} and in {other}: decide for one")
    for name in mapping.otherwise.keys() - mapping.value_map.keys():
        raise place.at("otherwise", name).error(
            f"otherwise needs a value_map for {name}: add [mapping.value_map.{name}]"
        )
    if mapping.age_from and "age" in mapping.rename:
        raise place.at("age_from").error("age comes from rename and from age_from: decide for one")
