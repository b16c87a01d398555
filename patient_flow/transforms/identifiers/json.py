"""Numbers of persons in a JSON value, FHIR resources among them: found, and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from patient_flow.transforms import moments
from patient_flow.transforms.identifiers.number import IsPerson, Number
from patient_flow.transforms.identifiers.opening import BASE64, BOM

_PERSON = ("patient", "person", "subject", "merged", "survivor", "mother", "beneficiary")
_SECONDARY = ("mother", "merged")
"""Of another person than the record is about."""
_NUMBERS = ("mrn", "pid", "ipp", "nip", "nir", "ins", "nhsnumber", "nhsno", "ssn", "medicalrecordnumber")
_ID_LIKE = ("id", "ids", "number", "no", "nr", "num", "value", "identifier", "reference", "display", "extension")
_OTHER_FACTS = ("class", "assigner", "age", "gender", "sex", "name", "type", "status", "scope", "count", "birthdate")
_FHIR_PERSONS = ("Patient", "Person", "RelatedPerson")
_TIMES = (
    *("event_time", "effectiveDateTime", "issued", "authoredOn", "recordedDate", "recorded", "occurrenceDateTime"),
    *("admission_time", "timestamp", "date", "lastUpdated"),
)
Path = tuple[str, ...]
"""Folded names of fields, from the root."""
_MIN_NESTED = 16
"""Characters of a text that may be a body itself."""

_decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


def read(content: bytes) -> Any:
    """The object, list or text that ``content`` is in JSON; None where it is none."""
    try:
        value = _decode(content.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict | list | str) else None


def lines(content: bytes) -> list[tuple[bytes, Any]] | None:
    """Each line with its value where ``content`` is JSON lines; None where it is not."""
    found = [(line, read(line)) for line in content.splitlines(keepends=True) if line.strip()]
    return found if found and all(value is not None for _, value in found) else None


def folded(name: str) -> str:
    """The name of a field, for comparison."""
    return "".join(character for character in name.casefold() if character.isalnum())


def text_of(value: object) -> str | None:
    """A text or whole number as text; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def _is_identifier(path: Path) -> bool:
    """True when the field at ``path`` (folded names from the root) identifies a person."""
    last = path[-1] if path else ""
    if last in _NUMBERS:
        return True
    if any(noun in last for noun in _PERSON):
        return not last.endswith(_OTHER_FACTS)
    return last in _ID_LIKE and any(noun in name for name in path[:-1] for noun in _PERSON)


def _is_nested(value: object) -> bool:
    """True for a text that is a body itself."""
    if not isinstance(value, str) or len(value) < _MIN_NESTED:
        return False
    start = value[:64].lstrip()
    return start.startswith(("{", "[", "MSH")) or BASE64.fullmatch(value.encode("utf-8", "replace")) is not None


@dataclass(frozen=True)
class Search:
    """Finds numbers; ``inner`` finds those of a body within a text."""

    inner: Callable[[bytes], Iterable[Number]]

    def numbers(self, value: object) -> Iterator[Number]:
        """Every number of a person in ``value``."""
        return self.found(value, (), None, own_only=False)

    def found(self, value: object, path: Path, hospital: str | None, *, own_only: bool) -> Iterator[Number]:
        """Numbers in ``value`` at ``path``; with ``own_only`` not those of records in a list of records."""
        if isinstance(value, dict):
            hospital = text_of(value.get("hospital_id")) or hospital
            path = of_person(value, path)
            for name in value:
                yield from self.in_field(value, name, (*path, folded(name)), hospital, own_only=own_only)
        elif isinstance(value, list):
            if not own_only or not path or path[-1].startswith(("identifier", "contained")):
                for item in value:
                    yield from self.found(item, path, hospital, own_only=own_only)
        elif _is_nested(value):
            yield from self.inner(str(value).encode())

    def in_field(
        self, record: dict[str, Any], name: str, path: Path, hospital: str | None, *, own_only: bool
    ) -> Iterator[Number]:
        """Numbers in one field of ``record``."""
        item = record[name]
        text = None if isinstance(item, dict | list) else text_of(item)
        if text is None or not _is_identifier(path):
            yield from self.found(item, path, hospital, own_only=own_only)
            return
        is_secondary = any(noun in part for part in path for noun in _SECONDARY)
        assigner = text_of(record.get("system")) or text_of(record.get(f"{name.removesuffix('_id')}_assigner"))
        if path[-1] == "reference":
            text = text.partition("/_history/")[0].rpartition("/")[2]
        yield Number(text, assigner, hospital, is_secondary)


def of_person(record: dict[str, Any], path: Path) -> Path:
    """The path to the fields of ``record``: a FHIR resource that is a person says so."""
    return (*path, "patient") if record.get("resourceType") in _FHIR_PERSONS else path


def time_in(value: object) -> datetime | None:
    """The time of what ``value`` states, from its outermost object that has one."""
    if isinstance(value, dict):
        for name in _TIMES:
            if (found := _instant(value.get(name))) is not None:
                return found
        for item in value.values():
            if isinstance(item, dict) and (found := time_in(item)) is not None:
                return found
    return None


def _instant(value: object) -> datetime | None:
    moment = moments.parse_iso(value) if isinstance(value, str) else None
    try:
        return None if moment is None else moments.in_utc(moment)
    except OverflowError:
        return None


@dataclass(frozen=True)
class Redaction:
    """Replaces the records of a person: an object of a list, or the whole, whose own numbers are that person's.

    ``inner`` does it in a body within a text.
    """

    search: Search
    is_person: IsPerson
    marker: str
    inner: Callable[[bytes], bytes | None]

    def of(self, value: Any, path: Path = (), hospital: str | None = None) -> Any:
        """``value`` without the person."""
        if isinstance(value, dict):
            hospital = text_of(value.get("hospital_id")) or hospital
            own = self.search.found(value, path, hospital, own_only=True)
            if any(self.is_person(number) and not number.is_secondary for number in own):
                return self._marked(value)
            inner = of_person(value, path)
            return {name: self._field(value, name, (*inner, folded(name)), hospital) for name in value}
        if isinstance(value, list):
            return self._list(value, path, hospital)
        if _is_nested(value):
            changed = self.inner(value.encode())
            return value if changed is None else changed.decode()
        return value

    def _field(self, record: dict[str, Any], name: str, path: Path, hospital: str | None) -> Any:
        item = record[name]
        if not isinstance(item, dict | list) and _is_identifier(path) and not _is_nested(item):
            found = self.search.in_field(record, name, path, hospital, own_only=True)
            return self.marker if any(self.is_person(number) for number in found) else item
        return self.of(item, path, hospital)

    def _list(self, items: list[Any], path: Path, hospital: str | None) -> list[Any]:
        done = [self.of(item, path, hospital) for item in items]
        gone = {url for item, new in zip(items, done, strict=True) if item != new for url in _urls(item)}
        while gone:  # what refers to a record of the person is about that person too
            found = {
                place
                for place, item in enumerate(items)
                if done[place] == item and isinstance(item, dict) and gone & set(_references(item))
            }
            if not found:
                break
            for place in found:
                done[place] = self._marked(items[place])
            gone = {url for place in found for url in _urls(items[place])}
        return done

    def _marked(self, record: dict[str, Any]) -> dict[str, Any]:
        """What stays of a record: its kind, where the number of records of a kind decides how a body is read."""
        resource = record.get("resource")
        if isinstance(resource, dict):
            return {"resource": self._marked(resource)}
        kind = record.get("resourceType")
        if kind == "Encounter":
            subject = {"identifier": {"value": self.marker}}
            return {"resourceType": kind, "status": record.get("status"), "subject": subject}
        return {"patient_id": self.marker} if kind is None else {"resourceType": kind}


def _urls(entry: object) -> Iterator[str]:
    """How other resources refer to one of a Bundle."""
    if isinstance(entry, dict):
        resource = entry.get("resource")
        resource = resource if isinstance(resource, dict) else entry
        if resource.get("resourceType") in _FHIR_PERSONS:
            if isinstance(entry.get("fullUrl"), str):
                yield entry["fullUrl"]
            yield f"{resource['resourceType']}/{resource.get('id')}"


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def masked(value: Any, is_number: Callable[[str], bool], marker: str) -> Any:
    """``value`` with ``marker`` in the place of every text or number for which ``is_number`` holds."""
    if isinstance(value, dict):
        return {name: masked(item, is_number, marker) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, is_number, marker) for item in value]
    text = text_of(value)
    return marker if text is not None and is_number(text) else value
