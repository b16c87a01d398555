"""Bodies → columns, one row per part: the fields that each body states, lightly typed, and the reason of its refusal.

Only the loop over bodies is here; ``transforms.read`` gives the columns their types and meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from patient_flow.contracts import events, rules
from patient_flow.transforms import bodies, scopes

VOCABULARIES = {"visit_class": events.VISIT_CLASSES, "admission_type": events.ADMISSION_TYPES}
UNUSABLE = (
    "event_id",
    "gender",
    "bed_id",
    "discharge_status",
    *VOCABULARIES,
    "patient_assigner",
    "visit_assigner",
    "merged_patient_assigner",
    *events.TIME_FIELDS,
    *events.NUMBER_FIELDS,
)
"""Fields whose rules ask whether something was stated that cannot be used."""
_STATED = {
    name: {"age": pl.Int16(), "wait_minutes": pl.Float64()}.get(name, pl.String())
    for name in (*bodies.COMMON_FIELDS, *bodies.RARE_FIELDS)
}
"""Types of the fields as they are stated. Identifiers that are numbers become texts."""
MAY_HOLD_CONTROL_CHARACTERS = "may_hold_control_characters"
"""Column that is false where no text of the frame holds one."""
_LINES_AT_ONCE = 50_000
"""Statements that are encoded at once: bounds the memory of their JSON."""


@dataclass(frozen=True)
class Parsed:
    """Fields of every part; by its place, more of the parts that were read carefully.

    ``refused`` are unreadable (False) or unsupported (True); ``ignored`` say under which name. ``counts`` gives the
    number of parts of the bodies that hold several, ``bodies`` the body of each event that one of them wrapped.
    """

    fields: list[bodies.Fields] = field(default_factory=list)
    careful: dict[int, bodies.ParsedBody] = field(default_factory=dict)
    refused: dict[int, bool] = field(default_factory=dict)
    ignored: dict[int, str] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)


def parse_each(
    body: pl.Series,
    mappings: tuple[bodies.Interpreter, ...],
    formats: tuple[bodies.Interpreter, ...],
    unwrap: bodies.Unwrapper | None = None,
) -> Parsed:
    """Every part of every body. A body that cannot be read is one part, which states nothing."""
    parsed = Parsed()
    # A mapping may refine an event that follows the contract to the letter, so it has to see every body.
    read_strictly = None if mappings or unwrap is not None else bodies.read_strictly
    for row, content in enumerate(body.to_list()):
        if read_strictly and content is not None and (strict := read_strictly(content)) is not None:
            parsed.fields.append(strict)
            continue
        first = len(parsed.fields)
        if unwrap is None or content is None:
            _parse(bodies.Item(content or b""), mappings, formats, parsed)
        else:
            _parse_wrapped(content, mappings, formats, unwrap, parsed)
        if len(parsed.fields) > first + 1:
            parsed.counts[row] = len(parsed.fields) - first
    return parsed


def _parse_wrapped(
    content: bytes,
    mappings: tuple[bodies.Interpreter, ...],
    formats: tuple[bodies.Interpreter, ...],
    unwrap: bodies.Unwrapper,
    parsed: Parsed,
) -> None:
    try:
        items = unwrap(content)
    except bodies.Unreadable:
        parsed.refused[len(parsed.fields)] = False
        _add((_without_statement(content),), parsed)
        return
    if items is None:
        _parse(bodies.Item(content), mappings, formats, parsed)
        return
    if not items:
        parsed.ignored[len(parsed.fields)] = events.EMPTY_BODY
        _add((_without_statement(content),), parsed)
    for item in items:
        first = len(parsed.fields)
        _parse(item, mappings, formats, parsed)
        if len(items) > 1:
            parsed.bodies.update(dict.fromkeys(range(first, len(parsed.fields)), item.body))


def _parse(
    item: bodies.Item,
    mappings: tuple[bodies.Interpreter, ...],
    formats: tuple[bodies.Interpreter, ...],
    parsed: Parsed,
) -> None:
    strict = None if mappings else bodies.read_strictly(item.body)
    if strict is not None:
        parsed.fields.append(strict)
        return
    place, hospital_id = len(parsed.fields), None
    try:
        parts = bodies.read_parts(item.body, mappings, formats, item.envelope)
    except bodies.Unreadable:
        parsed.refused[place] = False
    except bodies.Unsupported as error:
        parsed.refused[place], hospital_id = True, error.hospital_id
    except bodies.Ignored as error:
        parsed.ignored[place], hospital_id = error.name, error.hospital_id
    else:
        _add(parts, parsed)
        return
    _add((_without_statement(item.body, hospital_id),), parsed)


def _add(parts: tuple[bodies.ParsedBody, ...], parsed: Parsed) -> None:
    for part in parts:
        parsed.careful[len(parsed.fields)] = part
        parsed.fields.append(part.fields)


def _without_statement(content: bytes, hospital_id: str | None = None) -> bodies.ParsedBody:
    return bodies.ParsedBody(bodies.AllFields(hospital_id=hospital_id), bodies.digest(content))


def one_row_per_part(received: pl.DataFrame, parsed: Parsed) -> pl.DataFrame:
    """``received`` (a row per body) with ``part`` and ``parts``: a row for each part of ``parsed``."""
    whole = received.with_columns(part=pl.lit(0, pl.Int32), parts=pl.lit(1, pl.Int32))
    if not parsed.counts:
        return whole
    rows = received.height
    counted = whole.with_columns(parts=pl.Series([parsed.counts.get(row, 1) for row in range(rows)], dtype=pl.Int32))
    return counted.with_columns(part=pl.int_ranges("parts", dtype=pl.Int32)).explode("part")


def columns(parsed: Parsed) -> pl.DataFrame:
    """The contract fields of each part, lightly typed: texts and timestamps as text, numbers in range or null."""
    careful, height = parsed.careful, len(parsed.fields)
    stated, digests, is_escaped = _stated(parsed.fields)
    for place, part in careful.items():
        digests[place] = part.digest
    unusable: dict[str, list[int]] = {}
    for place, part in careful.items():
        for name in part.kinds:
            unusable.setdefault(name, []).append(place)
    return pl.DataFrame(
        [
            *stated,
            *(marks(f"{name}_unusable", height, unusable.get(name, [])) for name in (*UNUSABLE, events.STAYS)),
            _texts("kinds", height, {place: _kinds(part) for place, part in careful.items() if part.kinds}),
            _texts("extra", height, {place: part.extra for place, part in careful.items() if part.extra}),
            pl.Series("digest", digests, dtype=pl.String),
            constant(MAY_HOLD_CONTROL_CHARACTERS, is_escaped, height, pl.Boolean()),
            _sparse("part_body", height, parsed.bodies, pl.Binary()),
            marks("is_unreadable", height, [place for place, known in parsed.refused.items() if not known]),
            marks("is_unsupported", height, [place for place, known in parsed.refused.items() if known]),
            _texts("ignored_as", height, parsed.ignored),
            marks("has_no_mapping", height, [place for place, part in careful.items() if part.has_no_mapping]),
            *(
                marks(name, height, [place for place, part in careful.items() if name in part.flags])
                for name in rules.INTERPRETERS_FLAGS
            ),
            *(
                _texts(name, height, {place: text for place, part in careful.items() if (text := getattr(part, name))})
                for name in scopes.POLICIES
            ),
        ]
    )


def _kinds(part: bodies.ParsedBody) -> str:
    return ";".join(f"{name}={kind}" for name, kind in part.kinds.items())


def _stated(fields: list[bodies.Fields]) -> tuple[list[pl.Series], list[str], bool]:
    """The contract fields as columns, the digests of the statements, and whether one may hold control characters.

    Polars reads JSON lines as columns, several times as fast as a loop over fields. It trusts its lines: it would join
    or split rows of foreign ones. These are encoded here, from values that were validated one by one.
    """
    readable = {name: pl.Int64() if dtype == pl.Int16() else dtype for name, dtype in _STATED.items()}  # no Int16
    frames, digests, is_escaped = list[pl.DataFrame](), list[str](), False
    for start in range(0, len(fields), _LINES_AT_ONCE):
        some = fields[start : start + _LINES_AT_ONCE]
        lines = bodies.lines_of(some)
        digests += bodies.digests_of(lines)
        is_escaped |= bodies.may_hold_control_characters(lines)
        names = (*bodies.COMMON_FIELDS, *bodies.rare_fields_of(some))  # a column without values takes time too
        frames.append(pl.read_ndjson(lines, schema={name: readable[name] for name in names}))
    read = frames[0] if len(frames) == 1 else pl.concat([pl.DataFrame(schema=readable), *frames], how="diagonal")
    of = {column.name: column for column in read.rechunk()}
    absent = constant("absent", None, read.height, pl.String())
    return [of.get(name, absent.alias(name)).cast(dtype) for name, dtype in _STATED.items()], digests, is_escaped


def _texts(name: str, height: int, found: dict[int, str]) -> pl.Series:
    return _sparse(name, height, found, pl.String())


def _sparse(name: str, height: int, found: Mapping[int, object], dtype: pl.DataType) -> pl.Series:
    nothing = constant(name, None, height, dtype)
    return nothing.scatter(list(found), pl.Series(list(found.values()), dtype=dtype)) if found else nothing


def marks(name: str, height: int, places: list[int]) -> pl.Series:
    """A column that is true at ``places``."""
    none = constant(name, False, height, pl.Boolean())
    return none.scatter(places, True) if places else none


def constant(name: str, value: object, height: int, dtype: pl.DataType) -> pl.Series:
    """A column that holds ``value`` in each row, in a twentieth of the time of ``pl.repeat``, which runs a query."""
    return pl.Series(name, [value], dtype=dtype).new_from_index(0, height)
