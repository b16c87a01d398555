"""Everything in bronze about one person: found by bytes first, then by reading what may be about the person.

Silver knows the merges; bronze is read once for the number, and once more for the numbers that merges bring. The bytes
are looked for as they are and in the forms that formats give them; bodies that hide theirs (compressed, base64,
escaped) are always read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from patient_flow.contracts.erasure import marker
from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, EVENT_COORDINATES, QUARANTINE, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.pipeline import received
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import scopes
from patient_flow.transforms.erasure import Erasures
from patient_flow.transforms.identifiers import find_identifiers, masked, redacted
from patient_flow.transforms.identifiers.number import IsPerson, Number
from patient_flow.transforms.identifiers.opening import opened
from patient_flow.transforms.keys import pseudonyms
from patient_flow.transforms.read import ParserConfig, pseudonymise, read_events

READ = (*received.BODY_COLUMNS, "partition_key", "properties")
"""Columns of bronze that a search reads."""

_UNREADABLE = "body_is_not_a_json_object"

_GZIP_IN_BASE64 = b"H4sI"
_ZLIB_IN_BASE64 = (
    *(b"eJ" + bytes([end]) for end in b"wxyz"),
    *(b"eN" + bytes([end]) for end in b"opqr"),
    *(b"eA" + bytes([end]) for end in b"EFGH"),
    *(b"eF" + bytes([end]) for end in b"4567"),
)
_ESCAPES = (*(b"\\u00" + bytes([digit]) for digit in b"234567"), b"\\X")
_COMPRESSED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\xff\xfe", b"\xfe\xff")

c = pl.col


class ScopeRequired(OperatorError):
    """The number is known under several scopes; the message lists them."""


@dataclass(frozen=True)
class Person:
    """The numbers of a person, each with its scope (``scopes.scoped``).

    ``is_only_one`` where nobody else has one of them under another scope, ``is_known`` where bronze has an event that
    states the first. ``other_scopes`` are those under which bronze knows the number of somebody else.
    """

    numbers: frozenset[str]
    is_only_one: bool = True
    is_known: bool = True
    other_scopes: tuple[str, ...] = ()

    @cached_property
    def plain(self) -> frozenset[str]:
        """The numbers without their scopes."""
        return frozenset(map(scopes.plain, self.numbers))

    def has(self, number: Number) -> bool:
        """True when ``number`` is one of the person's. One whose scope the body does not say counts if it is unique."""
        if any(text in self.numbers for text in number.scoped):
            return True
        return self.is_only_one and number.assigner is None and number.value in self.plain


@dataclass(frozen=True)
class Found:
    """Bronze rows about a person: as they are, and with the person replaced by a marker.

    ``rows`` has the columns of bronze and new_body, new_key, new_properties, whole. Two kinds stay as they are, by
    their coordinates: ``mentions`` name a number outside of identifier fields, and of ``unseparated`` the events of
    others would change.
    """

    rows: pl.DataFrame
    mentions: list[Coordinates]
    unseparated: list[Coordinates]


def find_person(lake: Lake, parser: ParserConfig, number: str, scope: str | None) -> Person:
    """The person with this ``number``: all numbers that merges join with it.

    Raises :class:`ScopeRequired` where it is known under several scopes and none is given, and for a ``scope`` that
    is none. One under which the number is not known is a person of whom nothing has come yet.
    """
    if scope is not None and not scopes.is_scope(scope):
        raise ScopeRequired(f"--scope takes network, hospital=ID, assigner=NAME or shared=NAME; it is {scope!r}")
    bronze, silver = lake.open(BRONZE_EVENTS), lake.open(SILVER_EVENTS)
    known: set[str] = set()
    for rows in _candidates(bronze, {number}):
        known |= {text for text in _numbers_of(read_events(rows, parser)) if scopes.plain(text) == number}
    chosen = {text for text in known if scope is None or scopes.is_named(text, scope)}
    if scope is not None and not chosen:
        chosen = {scopes.of_name(scope, number)}
    if len(chosen) > 1:
        named = ", ".join(sorted(scopes.describe(text) for text in chosen))
        raise ScopeRequired(f"the number is known under several scopes: {named}. Say which one with --scope")
    numbers = frozenset(chosen or {number})
    while (more := numbers | _merged_with(bronze, silver, parser, numbers)) != numbers:
        numbers = more
    return Person(
        numbers,
        is_only_one=len(known | numbers) == len(numbers),
        is_known=bool(known & chosen),
        other_scopes=tuple(sorted(scopes.describe(text) for text in known - numbers)),
    )


def find_rows(
    lake: Lake, parser: ParserConfig, person: Person, erased_at: datetime, on_progress: Callable[[int], None]
) -> Found:
    """Every bronze row about ``person``, and how it is without the person."""
    bronze, silver = lake.open(BRONZE_EVENTS), lake.open(SILVER_EVENTS)
    judge = _Judge(parser, person, erased_at)
    judged = [judge.of(rows) for rows in _candidates(bronze, set(person.plain), on_progress)]
    # What a mapping makes of an identifier need not be in the body: silver knows its events by the pseudonym.
    found = pl.concat([_NOTHING, *(changed for changed, _, _ in judged)]).select(COORDINATES)
    accepted = _accepted(silver, parser, person.numbers).select(COORDINATES).unique()
    missing = accepted.join(found, on=list(COORDINATES), how="anti")
    judged.append(judge.of(received.at_coordinates(bronze, missing, READ)))
    changes = pl.concat([changed for changed, _, _ in judged]).unique(COORDINATES)
    rows = received.at_coordinates(bronze, changes).join(changes, on=list(COORDINATES), how="inner")
    return Found(
        rows,
        [row for _, mentions, _ in judged for row in mentions],
        [row for _, _, unseparated in judged for row in unseparated],
    )


def find_unopened(lake: Lake) -> pl.DataFrame:
    """Coordinates of the rejected bodies that are no text, and that nothing opened: nobody can say whom they name."""
    if not lake.exists(QUARANTINE):
        return QUARANTINE.empty().select(COORDINATES)
    rejected = lake.open(QUARANTINE).scan().filter(c("reasons").list.contains(_UNREADABLE))
    rows = rejected.select(*COORDINATES, "body").collect(engine="streaming")
    is_closed = [not find_identifiers(body or b"").is_opened for body in rows["body"]]
    return rows.filter(pl.Series(is_closed, dtype=pl.Boolean)).select(COORDINATES).sort(COORDINATES)


# --- bytes


def _candidates(
    bronze: LakeTable, numbers: set[str], on_progress: Callable[[int], None] = lambda _: None
) -> Iterator[pl.DataFrame]:
    """Bronze rows that may name one of ``numbers``, some at once."""
    needles = sorted({form for number in numbers for form in _forms(number)})
    body, stated = c("body"), c("properties").fill_null("")
    is_near = pl.any_horizontal(
        *(body.bin.contains(needle) for needle in (*needles, _GZIP_IN_BASE64, *_ZLIB_IN_BASE64, *_ESCAPES)),
        *(body.bin.starts_with(beginning) for beginning in _COMPRESSED),
        c("partition_key").is_in(sorted(numbers)),
        *(stated.str.contains(form.decode("utf-8", "ignore"), literal=True) for form in needles if form),
    )
    read = 0
    for rows in bronze.batches(READ, received.ROWS_AT_ONCE, weighed="body", max_bytes=received.BYTES_AT_ONCE):
        read += rows.height
        near = rows.filter(is_near.fill_null(value=False))
        if near.height:
            yield near
        on_progress(read)


def _forms(number: str) -> set[bytes]:
    """The bytes of a number in JSON, in HL7, and inside base64."""
    plain = {number, json.dumps(number)[1:-1], number.replace("/", "\\/"), _hl7_escaped(number)}
    forms = {text.encode() for text in plain} | {number.encode("utf-16-le"), number.encode("utf-16-be")}
    if number.isascii() is False:
        forms.add(number.encode("latin-1", "replace"))
    if number.isdecimal() and len(number) > 1:
        forms.add(f"{number[0]}.{number[1:].rstrip('0') or '0'}".encode())
    return {form for form in forms if form} | _in_base64(number.encode())


def _in_base64(data: bytes) -> set[bytes]:
    """What of ``data`` is certain in a base64 text, wherever in it ``data`` begins."""
    found = set()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + data)
        start, end = (0, 2, 3)[shift], (len(data) + shift) // 3 * 4
        if len(inner := text[start:end]) >= 3:
            found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def _hl7_escaped(number: str) -> str:
    for character, name in (("\\", "E"), ("|", "F"), ("^", "S"), ("~", "R"), ("&", "T")):
        number = number.replace(character, f"\\{name}\\")
    return number


# --- what is read


def _numbers_of(frame: pl.DataFrame) -> set[str]:
    """Numbers of patients in a read frame, each with its scope."""
    found = frame.select(_scoped())
    return {text for name in found.columns for text in found[name].drop_nulls().unique()}


def _scoped() -> list[pl.Expr]:
    return [scopes.scoped("patient_id", "patient_scope"), scopes.scoped("merged_patient_id", "merged_patient_scope")]


def _accepted(silver: LakeTable, parser: ParserConfig, numbers: Iterable[str]) -> pl.DataFrame:
    """Coordinates of accepted events of ``numbers``, and whether one is a merge."""
    hashed = pseudonyms(pl.Series(sorted(numbers), dtype=pl.String), parser.secret, "patient").implode()
    rows = silver.scan().filter(c("patient_id").is_in(hashed) | c("merged_patient_id").is_in(hashed))
    return rows.select(*COORDINATES, is_merge=c("merged_patient_id").is_not_null()).collect(engine="streaming")


def _merged_with(bronze: LakeTable, silver: LakeTable, parser: ParserConfig, numbers: frozenset[str]) -> frozenset[str]:
    """The numbers that accepted merges join with one of ``numbers``."""
    merges = _accepted(silver, parser, numbers).filter("is_merge")
    frame = read_events(received.fetch(bronze, merges), parser)
    pairs = frame.select(_scoped()).drop_nulls()
    return frozenset(text for pair in pairs.iter_rows() if numbers & set(pair) for text in pair)


def whole_body(marker: str) -> str:
    """The body that takes the place of one that is about an erased person alone."""
    return json.dumps({"patient_id": marker})


class _Judge:
    """Decides of candidate rows which are about a person, and how they are without."""

    def __init__(self, parser: ParserConfig, person: Person, erased_at: datetime) -> None:
        self._parser, self._person, self._erased_at = parser, person, erased_at
        self._is_own = pl.any_horizontal(c(name).is_in(sorted(person.numbers)) for name in _NUMBERS_OF_PART)
        is_number, text = person.plain.__contains__, marker(erased_at)
        self._ways = (WithoutPerson(person.has, is_number, text), WithoutPerson(None, is_number, text))

    def of(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Coordinates], list[Coordinates]]:
        """The changed rows (coordinates, new_body, new_key, new_properties, whole); mentions elsewhere; unseparated."""
        left, changed, mentions = parts_of(rows, self._parser, self._is_own), [_NOTHING], []
        for way in self._ways:
            found = []
            for row in left.iter_rows(named=True):
                if (new := way.of(row)) is not None:
                    found.append({**{name: row[name] for name in COORDINATES}, **new})
                elif way.is_person is not None and self._mentions(row["body"] or b""):
                    mentions.append(_named(row))
            new_rows = pl.DataFrame(found, schema=_NOTHING.schema) if found else _NOTHING
            wrong = self._changes_others(left, new_rows)
            changed.append(self._keep_identity(left, new_rows.join(wrong, on=list(COORDINATES), how="anti")))
            left = left.join(wrong, on=list(COORDINATES), how="semi")
        return pl.concat(changed), mentions, [_named(row) for row in left.iter_rows(named=True)]

    def _changes_others(self, rows: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
        """Coordinates of changed rows in which other parts would be others too, or the person's would stay."""
        several = changed.filter(~c("whole")).select(*COORDINATES, "new_body")
        before = rows.join(several, on=list(COORDINATES), how="inner")
        if before.is_empty():
            return before.select(COORDINATES)
        marked = replace(self._parser, erasures=Erasures(instants=frozenset({self._erased_at})))
        columns = ["patient_id", "merged_patient_id", "visit_id", "event_type", "event_time", "hospital_id"]
        former = read_events(before.select(received.BODY_COLUMNS), self._parser).with_columns(_scoped())
        latter = read_events(before.with_columns(body="new_body").select(received.BODY_COLUMNS), marked)
        both = former.select(*EVENT_COORDINATES, *columns, own=self._is_own.fill_null(value=False)).join(
            latter.with_columns(_scoped()).select(*EVENT_COORDINATES, *columns, "erased_at"),
            on=list(EVENT_COORDINATES),
            how="full",
            suffix="_after",
            coalesce=True,
        )
        is_other = pl.any_horizontal(c(name).ne_missing(c(f"{name}_after")) for name in columns)
        is_wrong = pl.when("own").then(c("erased_at").is_null()).otherwise(is_other)
        return both.filter(is_wrong.fill_null(value=True)).select(COORDINATES).unique()

    def _keep_identity(self, rows: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
        """An event that states no event_id is known by its whole body: what it was known by becomes its event_id."""
        others = changed.filter(~c("whole"), c("new_body").bin.starts_with(b"{")).select(*COORDINATES, "new_body")
        if others.is_empty() or self._parser.mappings or self._parser.unwrap:
            return changed
        frame = read_events(rows.join(others, on=list(COORDINATES), how="semi"), self._parser)
        known = frame.filter(c("parts") == 1, c("patient_id").is_not_null()).with_columns(_scoped())
        named = dict(
            zip(
                known.select(COORDINATES).iter_rows(),
                pseudonymise(known, self._parser.secret)["event_id"],
                strict=True,
            )
        )
        bodies = []
        for *coordinates, body in changed.select(*COORDINATES, "new_body").iter_rows():
            value = json.loads(body) if tuple(coordinates) in named and body.startswith(b"{") else None
            if value is not None and value.get("event_id") is None:
                body = json.dumps({"event_id": named[tuple(coordinates)], **value}).encode()
            bodies.append(body)
        return changed.with_columns(new_body=pl.Series(bodies, dtype=pl.Binary()))

    def _mentions(self, body: bytes) -> bool:
        content, _ = opened(body)
        return any(len(number) > _SHORT and number.encode() in content for number in self._person.plain)


def parts_of(rows: pl.DataFrame, parser: ParserConfig, is_own: pl.Expr) -> pl.DataFrame:
    """``rows`` with all_own and any_own (of their parts, by ``is_own``), and states_none (they name no patient)."""
    frame = read_events(rows.select(received.BODY_COLUMNS), parser)
    parts = frame.with_columns(_scoped()).select(
        *COORDINATES,
        own=is_own.fill_null(value=False),
        states_none=c("patient_id").is_null() & c("merged_patient_id").is_null(),
    )
    judged = parts.group_by(COORDINATES).agg(
        all_own=c("own").all(), any_own=c("own").any(), states_none=c("states_none").all()
    )
    return rows.join(judged, on=list(COORDINATES), how="left")


@dataclass(frozen=True)
class WithoutPerson:
    """What stays of a bronze row without a person, whose numbers ``is_person`` knows with their scope.

    ``is_number`` knows them without: so they stand in keys, properties and fields that no format declares. Where
    ``is_person`` is None the numbers alone are replaced, wherever they stand.
    """

    is_person: IsPerson | None
    is_number: Callable[[str], bool]
    marker: str

    def of(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """new_body, new_key, new_properties and whole of a row of :func:`parts_of`; None where nothing changes."""
        body, key, properties = row["body"] or b"", row["partition_key"], row["properties"]
        is_keyed = key is not None and self.is_number(key)
        if row["all_own"] or (is_keyed and row["states_none"] and not find_identifiers(body).numbers):
            return self._whole()
        new_body = None if self.is_person is None else redacted(body, self.is_person, self.marker)
        if new_body is None and row["any_own"]:
            new_body = masked(body, self.is_number, self.marker)
        is_alone = row["states_none"] and new_body is not None and not self._names_others(new_body)
        if is_alone or (new_body is None and row["any_own"]):
            return self._whole()
        new_properties = self._properties(properties)
        if new_body is None and not is_keyed and new_properties == properties:
            return None
        return {
            "new_body": row["body"] if new_body is None else new_body,
            "new_key": None if is_keyed else key,
            "new_properties": new_properties,
            "whole": False,
        }

    def _whole(self) -> dict[str, Any]:
        return {"new_body": whole_body(self.marker).encode(), "new_key": None, "new_properties": None, "whole": True}

    def _names_others(self, body: bytes) -> bool:
        return any(number.value != self.marker for number in find_identifiers(body).numbers)

    def _properties(self, text: str | None) -> str | None:
        changed = None if text is None else masked(text.encode(), self.is_number, self.marker)
        return text if changed is None else changed.decode()


Coordinates = dict[str, str]


def _named(row: dict[str, Any]) -> Coordinates:
    return {name: str(row[name]) for name in COORDINATES}


_NOTHING = pl.DataFrame(
    schema={
        **{name: BRONZE_EVENTS.schema[name] for name in COORDINATES},
        "new_body": pl.Binary(),
        "new_key": pl.String(),
        "new_properties": pl.String(),
        "whole": pl.Boolean(),
    }
)
_NUMBERS_OF_PART = ("patient_id", "merged_patient_id")
_SHORT = 5
"""Shorter numbers occur by chance."""
