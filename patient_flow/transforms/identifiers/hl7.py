"""Numbers of persons in an HL7 v2 message: found, and replaced. Its bytes stay as they are elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from patient_flow.transforms.identifiers.number import IsPerson, Number

_NUMBERS = {"PID": (2, 3, 4, 21), "MRG": (1, 2, 4), "NK1": (33,), "QRD": (8,), "QPD": (3,), "PD1": (4,)}
_TIMES = (("EVN", 6), ("EVN", 2), ("MSH", 7))
_INSTANT = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?(?:\.\d+)?([+-]\d{4})?")
_GROUP = ("PID", "PD1", "MRG", "NK1", "PV1", "PV2", "GT1", "IN1", "IN2", "IN3", "AL1", "DG1", "OBX", "ZBE")


@dataclass(frozen=True)
class Message:
    """The segments of a message, split by its own separators; bytes outside ASCII stay as they are."""

    segments: tuple[str, ...]
    ends: tuple[str, ...]
    field: str
    component: str
    repetition: str

    @classmethod
    def read(cls, content: bytes) -> Message | None:
        """The message that ``content`` is; None where it is none."""
        text = content.decode("latin-1")
        start = text.find("MSH")
        if start < 0 or text[:start].strip("\ufeff\xef\xbb\xbf \t\r\n\x0b\x1c\x00") or len(text) < start + 8:
            return None
        if text[start + 3].isalnum():
            return None
        pieces = re.split(r"([\r\n]+)", text)
        marks = text[start + 4 : start + 8]
        return cls(tuple(pieces[::2]), (*pieces[1::2], ""), text[start + 3], marks[0], marks[1])

    def numbers(self) -> Iterator[Number]:
        """Every number of a person."""
        hospital = self._first("PV1", 3, 4) or self._first("MSH", 4, 1)
        for segment in self.segments:
            yield from self._of(segment, hospital)

    def _of(self, segment: str, hospital: str | None) -> Iterator[Number]:
        fields = segment.split(self.field)
        for place in _NUMBERS.get(fields[0].strip(), ()):
            if place < len(fields):
                for repetition in fields[place].split(self.repetition):
                    parts = repetition.split(self.component)
                    value = self._plain(parts[0])
                    assigner = self._plain(re.split("[&]", parts[3])[0]) if len(parts) > 3 else ""
                    if value:
                        is_secondary = (fields[0], place) in (("PID", 21), ("NK1", 33))
                        yield Number(value, assigner or None, hospital, is_secondary)

    def time(self) -> datetime | None:
        """When it happened, or was sent."""
        for segment, place in _TIMES:
            if (found := _instant(self._first(segment, place, 1))) is not None:
                return found
        return None

    def redacted(self, is_person: IsPerson, marker: str) -> bytes | None:
        """The message without the segments of the person; None where it has none, nor a number of that person."""
        hospital = self._first("PV1", 3, 4) or self._first("MSH", 4, 1)
        starts = [place for place, segment in enumerate(self.segments) if segment.startswith("PID")]
        kept, changed = list(self.segments), False
        for number, start in enumerate(starts):
            end = starts[number + 1] if number + 1 < len(starts) else len(kept)
            group = [place for place in range(start, end) if kept[place][:3] in _GROUP]
            found = [number for place in group for number in self._of(self.segments[place], hospital)]
            if any(is_person(number) and not number.is_secondary for number in found):
                changed = True
                for place in group:
                    kept[place] = self._marked(kept[place][:3], marker)
        if not changed:
            return self.masked_numbers(is_person, marker)
        return self._joined(kept)

    def _marked(self, name: str, marker: str) -> str:
        fields = {"PID": 3, "MRG": 1}
        return name + self.field * fields[name] + marker if name in fields else ""

    def masked_numbers(self, is_person: IsPerson, marker: str) -> bytes | None:
        """The message with the person's numbers alone replaced."""
        known = {number.value for number in self.numbers() if is_person(number)}
        return self.masked(known.__contains__, marker) if known else None

    def masked(self, is_number: Callable[[str], bool], marker: str) -> bytes | None:
        """The message with ``marker`` for every value that ``is_number``; None where none is."""
        pattern = re.compile(rf"[^{re.escape(self.field + self.component + self.repetition)}&\r\n]+")
        done = [
            pattern.sub(lambda found: marker if is_number(self._plain(found[0])) else found[0], segment)
            for segment in self.segments
        ]
        return None if done == list(self.segments) else self._joined(done)

    def _joined(self, segments: list[str]) -> bytes:
        pairs = [(text, end) for text, end in zip(segments, self.ends, strict=True) if text or not end]
        return "".join(text + end for text, end in pairs).encode("latin-1", "replace")

    def _first(self, name: str, place: int, component: int) -> str | None:
        place -= name == "MSH"
        for segment in self.segments:
            fields = segment.strip("\x0b\x1c\xef\xbb\xbf ").split(self.field)
            if fields[0] == name and place < len(fields):
                parts = fields[place].split(self.repetition)[0].split(self.component)
                return self._plain(parts[component - 1]) or None if len(parts) >= component else None
        return None

    def _plain(self, text: str) -> str:
        try:
            return text.strip().encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            return text.strip()


def _instant(text: str | None) -> datetime | None:
    match = _INSTANT.match(text or "")
    if match is None:
        return None
    *parts, offset = match.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    zone: timezone = UTC
    try:
        if offset:
            minutes = int(offset[1:3]) * 60 + int(offset[3:])
            zone = timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
