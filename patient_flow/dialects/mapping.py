"""A source mapping file (TOML) → one interpreter that puts the events it matches into the words of the contract.

A file that makes no sense is refused as a whole, with the line that is wrong. Not here: finding and reading the file,
and what a mapping does to an event (``rewriting``).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from patient_flow.dialects import fhir, hl7
from patient_flow.dialects.hl7_paths import FieldPath
from patient_flow.dialects.lines import LineIndex
from patient_flow.dialects.mapping_checks import (
    MappingError,
    Place,
    ReadRows,
    expect_known,
    expect_table,
    expect_text,
    nearest,
    no_other_file,
)
from patient_flow.dialects.mapping_paths import expect_known_paths, hl7_fields
from patient_flow.dialects.mapping_sections import SECTIONS
from patient_flow.dialects.message import HL7V2, JSON, Message
from patient_flow.dialects.rewriting import SourceMapping
from patient_flow.dialects.toml_errors import explain
from patient_flow.dialects.unwrapping import OPENERS, Opener, open_path, unwrapper
from patient_flow.transforms.bodies import Ignored, Interpretation, Interpreter, Unwrapper


@dataclass(frozen=True)
class SourceMappings:
    """A mapping file, checked: which bodies are unwrapped, and what is made of the events in them."""

    mappings: tuple[SourceMapping, ...] = ()
    unwrap: Unwrapper | None = None
    hl7_fields: tuple[FieldPath, ...] = ()
    digest: str = ""
    """Identifies what the file says, and the rows that it looks up; comments and layout make no difference."""

    @property
    def interpreters(self) -> tuple[Interpreter, ...]:
        """The interpreter of the file, where it has mappings."""
        return (self.interpret,) if self.mappings else ()

    def interpret(self, body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
        """What the first mapping that matches makes of an event.

        HL7 v2 and FHIR bodies are read here, so that mappings can refine them; every other event that no mapping
        matches is left alone (None). Raises ``Ignored``, ``Unsupported`` or ``Unreadable``.
        """
        message = self.read(body, value)
        if message is None:
            return None
        mapping, seen = self.choose(message)
        if mapping is None:
            return None if message.format == JSON else self._without_fields(message).settled()
        first, *others = (mapping.rewritten(each) for each in (seen, *map(mapping.seen, message.more)))
        rewritten = replace(
            message,
            stated=first.stated,
            more=tuple(other.stated for other in others),
            flags=message.flags.union(first.flags, *(other.flags for other in others)),
        )
        if mapping.ignore is not None:
            raise Ignored(mapping.ignore, rewritten.hospital_id)
        settled = self._without_fields(rewritten)
        return settled.settled(patient_scope=mapping.patient_scope, visit_scope=mapping.visit_scope)

    def read(self, body: bytes, value: Mapping[str, object] | None) -> Message | None:
        """The statement of an event before a mapping refines it; None for a body of no known format."""
        if value is None:
            return hl7.read(body, self.hl7_fields)
        return fhir.read(value) or Message(JSON, value)

    def choose(self, message: Message) -> tuple[SourceMapping | None, Mapping[str, object]]:
        """The mapping that is for ``message``, and what it sees of it."""
        for mapping in self.mappings:
            if mapping.format == message.format:
                seen = mapping.seen(message.stated)
                if mapping.takes(seen):
                    return mapping, seen
        return None, message.stated

    def _without_fields(self, message: Message) -> Message:
        """``message`` without the fields that were read for the mappings: they may be anybody's names."""
        if not self.hl7_fields or message.format != HL7V2:
            return message
        names = {field.text for field in self.hl7_fields}
        first, *others = (
            {name: value for name, value in stated.items() if name not in names}
            for stated in (message.stated, *message.more)
        )
        return replace(message, stated=first, more=tuple(others))


def parse_mappings(text: str, name: str, read: ReadRows = no_other_file) -> SourceMappings:
    """The content ``text`` of the mapping file ``name``; ``read`` gives the rows of files that it looks up.

    Raises :class:`MappingError`.
    """
    text = text.removeprefix("\ufeff")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, problem = explain(text, error)
        raise MappingError(f"{name}, line {line}: {problem}") from None
    place = Place(name, LineIndex(text), (), read)
    _expect_sections(content, place)
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
    return SourceMappings(
        mappings, unwrapper(openers) if openers else None, hl7_fields(mappings), _digest(content, mappings)
    )


def _digest(content: Mapping[str, object], mappings: tuple[SourceMapping, ...]) -> str:
    rows = [lookup.rows for mapping in mappings for lookup in mapping.lookup.values()]
    return hashlib.sha256(json.dumps([content, rows], sort_keys=True, default=str).encode()).hexdigest()


def unreachable(mappings: tuple[SourceMapping, ...]) -> list[tuple[str, str]]:
    """(mapping, the one before it that takes every event of its format): such a mapping matches nothing."""
    every: dict[str, str] = {}
    found = []
    for mapping in mappings:
        if mapping.format in every:
            found.append((mapping.name, every[mapping.format]))
        elif not mapping.match:
            every[mapping.format] = mapping.name
    return found


def _expect_sections(content: Mapping[str, object], place: Place) -> None:
    for key in content:
        if key in SECTIONS:
            raise place.at(key).error(
                f"{key} belongs to a mapping: put it below a line [[mapping]], as a table [mapping.{key}]"
                if isinstance(content[key], dict)
                else f"{key} belongs to a mapping: put it below a line [[mapping]]"
            )
    expect_known(content, ("mapping", "unwrap"), place)


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
    expect_known_paths(mapping, place)
    return mapping


def _expect_no_contradiction(mapping: SourceMapping, place: Place) -> None:
    for section, others in _EXCLUDE_EACH_OTHER:
        for other in others:
            for name in getattr(mapping, section).keys() & getattr(mapping, other).keys():
                raise place.at(section, name).error(f"{name} stands in {section} and in {other}: decide for one")
    for name in mapping.otherwise.keys() - mapping.value_map.keys():
        raise place.at("otherwise", name).error(
            f"otherwise needs a value_map for {name}: add [mapping.value_map.{name}]"
        )
    if mapping.age_from and "age" in mapping.rename:
        raise place.at("age_from").error("age comes from rename and from age_from: decide for one")


_EXCLUDE_EACH_OTHER = (
    ("constant", ("rename", "extract", "join", "value_map")),
    ("otherwise", ("constant",)),
    ("time", ("rename", "extract")),
)
"""A section, and others that may not state the same field."""
