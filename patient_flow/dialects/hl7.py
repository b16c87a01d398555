"""HL7 v2 ADT messages (pipe-delimited) → contract fields.

What is kept besides them stands under ``hl7`` and identifies nobody: no names, addresses, birth dates or numbers of
persons. Not here: other transports of HL7 v2 (XML, batch files) and the meaning of local codes (source mappings).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import hl7  # type: ignore[import-untyped]

from patient_flow.contracts.events import MAX_ID_LENGTH
from patient_flow.dialects import codes, times
from patient_flow.dialects.message import HL7V2, Message, present
from patient_flow.transforms.bodies import Unreadable

_BOM = b"\xef\xbb\xbf"
_FRAMING = b" \t\r\n\x0b\x1c"
"""White space, and what MLLP puts around a message on the wire."""

_MAX_CHARACTERS = 16_384
"""Of the segments that are read: they hold a few hundred in practice, and parsing costs memory."""

_BEGINNING = re.compile(rb"MSH[^\w\s]")
_HEADER = re.compile(r"MSH(?P<field>[^\w\s])(?P<others>[^\w\s]{1,5}?)(?P=field)")
_SEGMENTS = tuple(re.compile(rf"[\r\n]({name}[^\w\r\n][^\r\n]*)") for name in ("EVN", "PID", "PV1"))
_NEXT_HEADER = re.compile(r"[\r\n]MSH[^\w\r\n]")
_USUAL_MARKS = "^~\\&"
"""Separators of components and repetitions, escape character, separator of subcomponents: where MSH-2 is shorter."""
_MARK_NAMES = "FSRET"
"""How escape sequences name the field separator and those four, in that order."""

_HEXADECIMAL = re.compile(r"X([0-9A-Fa-f]{2})+")
_HIGHLIGHTING = ("H", "N")
_NULL = '""'
"""Written by a sender to say: delete the value."""

_CHARACTER_SETS = {
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
}
"""Names in MSH-18 (HL7 table 0211) that settle how the bytes are read."""
_MSH_18 = 17
"""Place of the character set between the field separators of the header (MSH-1 is the first separator itself)."""

_PATIENT_NUMBER_TYPES = ("MR", "PI")
"""Of several identifiers in PID-3: the medical record number, else the internal one, else the first."""


def interpret(body: bytes, value: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Contract fields and extras of an HL7 v2 message; None for any other body.

    Raises ``Unsupported`` for a message that is no ADT message about a patient's flow, ``Unreadable`` for a broken one.
    """
    message = read(body) if value is None else None
    return None if message is None else message.settled()


def read(body: bytes) -> Message | None:
    """The statement of an HL7 v2 message, with or without an event type; None for any other body.

    Raises ``Unreadable``.
    """
    content = body.strip(_FRAMING).removeprefix(_BOM).lstrip(_FRAMING)
    if not _BEGINNING.match(content):
        return None
    return _stated(_Segments(_decoded(content)))


def _decoded(content: bytes) -> str:
    """As MSH-18 says. Without a word on it: UTF-8 if it is valid UTF-8, else ISO 8859-1, which loses no difference."""
    header = re.split(rb"[\r\n]", content, maxsplit=1)[0]
    fields = header.split(content[3:4], _MSH_18 + 1)
    name = re.split(rb"[^\w /-]", fields[_MSH_18], maxsplit=1)[0] if len(fields) > _MSH_18 else b""
    declared = _CHARACTER_SETS.get(name.decode("ascii", "replace").strip().upper())
    try:
        return content.decode(declared or "utf-8")
    except UnicodeDecodeError:
        if declared:
            raise Unreadable(f"the message is not in the character set {declared} that it declares") from None
        return content.decode("iso8859-1")


class _Segments:
    """The segments of one message that say something about patient flow, taken apart by the parser library."""

    def __init__(self, text: str) -> None:
        header = _HEADER.match(text)
        if header is None:
            raise Unreadable("MSH-1 and MSH-2 do not name the separators")
        if _NEXT_HEADER.search(text):
            raise Unreadable("more than one message in a body")
        found = [text.partition("\r")[0].partition("\n")[0]]
        found.extend(segment[1] for pattern in _SEGMENTS if (segment := pattern.search(text)))
        message = "\r".join(found)
        if len(message) > _MAX_CHARACTERS:
            raise Unreadable(f"MSH, EVN, PID and PV1 are longer than {_MAX_CHARACTERS} characters together")
        given = header["others"]
        marks = header["field"] + (given + _USUAL_MARKS[len(given) :])[: len(_USUAL_MARKS)]
        self._marks: dict[str, str] = dict(zip(_MARK_NAMES, marks, strict=True))
        if len(set(marks)) < len(marks):
            raise Unreadable("MSH-1 and MSH-2 use one character for two purposes")
        escape = re.escape(self._marks["E"])
        self._escaped = re.compile(f"{escape}([^{escape}]+){escape}")
        self._segments = {str(segment[0]): segment for segment in hl7.parse(message)}

    def text(self, segment: str, field: int, component: int = 1) -> str | None:
        """One component (its first subcomponent) of a field's first repetition; None when empty."""
        return next(self.repetitions(segment, field, component), None)

    def repetitions(self, segment: str, field: int, component: int = 1) -> Iterator[str | None]:
        """The component in each repetition of a field."""
        fields = self._segments.get(segment, ())
        if len(fields) > field:
            for repetition in fields[field]:
                yield self._part(repetition, component)

    def _part(self, repetition: object, component: int) -> str | None:
        # The library splits only what has a separator in it: a value without one is plain text.
        parts = repetition if isinstance(repetition, list) else [repetition]
        if len(parts) < component:
            return None
        part = parts[component - 1]
        raw = str(part[0] if isinstance(part, list) and part else part)
        return None if raw == _NULL else self._escaped.sub(self._unescaped, raw).strip() or None

    def _unescaped(self, sequence: re.Match[str]) -> str:
        """The text that an escape sequence stands for; an unknown sequence stays as it is.

        The library's own function trusts the repeat counts inside, and logs what it does not know, with the value.
        """
        name = sequence[1]
        if _HEXADECIMAL.fullmatch(name):
            return bytes.fromhex(name[1:]).decode("iso8859-1")
        if name.startswith(".") or name in _HIGHLIGHTING:
            return " "
        return self._marks.get(name) or str(sequence[0])


def _stated(segments: _Segments) -> Message:
    text = segments.text
    trigger = (text("MSH", 9, 2) or "").upper()
    kind = (text("MSH", 9) or "").upper()
    event_type = codes.HL7_EVENT_TYPES.get(trigger) if kind == "ADT" else None
    event_time = _first_instant(text("EVN", 6), text("EVN", 2), text("MSH", 7))
    begun, gender, disposition = text("PV1", 44), text("PID", 8), text("PV1", 36)
    fields = present(
        event_type=event_type,
        event_id=_event_id(segments),
        visit_id=text("PV1", 19),
        event_time=_timestamp(event_time),
        patient_id=_patient_number(segments),
        hospital_id=text("PV1", 3, 4) or text("MSH", 4),
        department=text("PV1", 3),
        bed_id=text("PV1", 3, 3),
        gender=codes.HL7_GENDERS.get((gender or "").upper(), gender),
        age=_age(text("PID", 7), event_time),
        # A registration begins with the patient's arrival; an admission may or may not follow.
        arrival_time=_timestamp(begun) if event_type == "arrival" else None,
        admission_time=_timestamp(begun) if event_type != "arrival" else None,
        discharge_time=_timestamp(text("PV1", 45)),
        discharge_status=codes.HL7_DISCHARGE_STATUSES.get((disposition or "").zfill(2), disposition),
        hl7=present(
            type=kind,
            trigger=trigger,
            version=text("MSH", 12),
            sending_application=text("MSH", 3),
            sending_facility=text("MSH", 4),
            patient_class=text("PV1", 2),
            room=text("PV1", 3, 2),
            prior_department=text("PV1", 6),
            disposition=disposition,
        ),
    )
    return Message(HL7V2, fields, None if event_type else f"{kind}^{trigger} states nothing about a patient's flow")


def _event_id(segments: _Segments) -> str | None:
    """MSH-10 is unique for its sender only. Too long together: none, and the body itself identifies the event."""
    control_id = segments.text("MSH", 10)
    sender = (segments.text("MSH", 3), segments.text("MSH", 4))
    event_id = ":".join(filter(None, (*sender, control_id)))
    return event_id if control_id and len(event_id) <= MAX_ID_LENGTH else None


def _patient_number(segments: _Segments) -> str | None:
    numbers = list(segments.repetitions("PID", 3))
    kinds = [(kind or "").upper() for kind in segments.repetitions("PID", 3, 5)]
    by_kind = {kind: number for number, kind in reversed(list(zip(numbers, kinds, strict=True))) if number}
    preferred = (by_kind[kind] for kind in _PATIENT_NUMBER_TYPES if kind in by_kind)
    return next(preferred, next(filter(None, numbers), None))


def _first_instant(*texts: str | None) -> str | None:
    """The first that names an instant; if none does, the first text, for the rules to name as unusable."""
    stated = [text for text in texts if text]
    return next((text for text in stated if times.from_hl7(text)), stated[0] if stated else None)


def _timestamp(text: str | None) -> str | None:
    """In the contract's form; as it is when it names no instant (a date alone does not)."""
    moment = times.from_hl7(text) if text else None
    return text if moment is None else times.in_contract_form(moment) or text


def _age(birth_date: str | None, event_time: str | None) -> int | None:
    moment = times.from_hl7(event_time) if event_time else None
    return times.age_at(birth_date, moment) if birth_date and moment else None
