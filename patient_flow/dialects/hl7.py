"""HL7 v2 ADT messages (pipe-delimited) → contract fields.

What is kept besides them stands under ``hl7`` and identifies nobody: no names, addresses, birth dates or numbers of
persons. Not here: other transports of HL7 v2 (XML, batch files) and the meaning of local codes (source mappings).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import islice, pairwise

import hl7  # type: ignore[import-untyped]

from patient_flow.contracts.events import EARLIEST_TIME, MAX_ID_LENGTH, MERGE, NO_ADT, PERSON_RECORD
from patient_flow.dialects import codes, times
from patient_flow.dialects.hl7_paths import FieldPath
from patient_flow.dialects.message import HL7V2, Message, present
from patient_flow.transforms.bodies import Interpretation, Unreadable

_BOM = b"\xef\xbb\xbf"
_FRAMING = b" \t\r\n\x0b\x1c"
"""White space, and what MLLP puts around a message on the wire."""

_MAX_CHARACTERS = 16_384
"""Of the segments that are read: they hold a few hundred in practice, and parsing costs memory."""

_BEGINNING = re.compile(rb"MSH[^\w\s]")
_HEADER = re.compile(r"MSH(?P<field>[^\w\s])(?P<others>[^\w\s]{1,5}?)(?P=field)")
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

_MESSAGE_TYPE = re.compile("[A-Z][A-Z0-9]{2}")
VISIT_IS_AN_ACCOUNT = "visit_is_an_account"

_PATIENT_NUMBER_TYPES = ("MR", "PI")
"""Of several identifiers in PID-3: the medical record number, else the internal one, else the first."""


@cache
def _pattern(segment: str) -> re.Pattern[str]:
    return re.compile(rf"[\r\n]({segment}[^\w\r\n][^\r\n]*)")


_SEGMENTS = {name: _pattern(name) for name in ("EVN", "PID", "MRG", "PV1", "PV2", "ZBE")}


def interpret(body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
    """Contract fields and extras of an HL7 v2 message; None for any other body.

    Raises ``Ignored`` for a message that is no ADT message or only updates a person's record, ``Unsupported`` for an
    ADT message of another kind, ``Unreadable`` for a broken one.
    """
    message = read(body) if value is None else None
    return None if message is None else message.settled()


def read(body: bytes, wanted: tuple[FieldPath, ...] = ()) -> Message | None:
    """The statement of an HL7 v2 message, with or without an event type; None for any other body.

    It states the ``wanted`` values besides, each under its path. Raises ``Unreadable``.
    """
    content = body.strip(_FRAMING).removeprefix(_BOM).lstrip(_FRAMING)
    if not _BEGINNING.match(content):
        return None
    text = _decoded(content)
    message = _stated(text, wanted)
    further = [] if message.stated.get("event_type") != MERGE else _further_merges(text, wanted)
    return replace(message, more=tuple(_numbered(stated, place) for place, stated in enumerate(further, start=1)))


def _further_merges(text: str, wanted: tuple[FieldPath, ...]) -> list[Mapping[str, object]]:
    """The statements of a merge message but the first: each PID with an MRG after it is a merge of its own."""
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    patients = [place for place, line in enumerate(lines) if line.startswith("PID")]
    groups = [lines[start:end] for start, end in pairwise([*patients, len(lines)])]
    merges = [group for group in groups if any(line.startswith("MRG") for line in group)]
    heads = lines[: patients[0]] if patients else []
    return [_stated("\r".join([*heads, *group]), wanted).stated for group in merges[1:]]


def _numbered(stated: Mapping[str, object], place: int) -> Mapping[str, object]:
    """All merges of a message share its control id; their position distinguishes them."""
    event_id = f"{stated.get('event_id')}#{place}"
    return {**stated, "event_id": event_id} if len(event_id) <= MAX_ID_LENGTH and stated.get("event_id") else stated


def _decoded(content: bytes) -> str:
    """Decoded as MSH-18 states. Without MSH-18: UTF-8 if valid, else ISO 8859-1, which can represent every byte."""
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

    def __init__(self, text: str, more: Iterable[str] = ()) -> None:
        header = _HEADER.match(text)
        if header is None:
            raise Unreadable("MSH-1 and MSH-2 do not name the separators")
        if _NEXT_HEADER.search(text):
            raise Unreadable("more than one message in a body")
        found = [text.partition("\r")[0].partition("\n")[0]]
        patterns = (*_SEGMENTS.values(), *(_pattern(name) for name in more if name not in (*_SEGMENTS, "MSH")))
        found.extend(segment[1] for pattern in patterns if (segment := pattern.search(text)))
        message = "\r".join(found)
        if len(message) > _MAX_CHARACTERS:
            raise Unreadable(f"the segments that are read are longer than {_MAX_CHARACTERS} characters together")
        given = header["others"]
        marks = header["field"] + (given + _USUAL_MARKS[len(given) :])[: len(_USUAL_MARKS)]
        self._marks: dict[str, str] = dict(zip(_MARK_NAMES, marks, strict=True))
        if len(set(marks)) < len(marks):
            raise Unreadable("MSH-1 and MSH-2 use one character for two purposes")
        escape = re.escape(self._marks["E"])
        self._escaped = re.compile(f"{escape}([^{escape}]+){escape}")
        self._segments = {str(segment[0]): segment for segment in hl7.parse(message)}

    def text(self, segment: str, field: int, component: int = 1, subcomponent: int = 1) -> str | None:
        """One subcomponent of one component of a field's first repetition; None when empty."""
        return next(self.repetitions(segment, field, component, subcomponent), None)

    def value(self, path: FieldPath) -> str | None:
        """The value at ``path``; None when empty."""
        found = self.repetitions(path.segment, path.field, path.component, path.subcomponent)
        return next(islice(found, path.repetition - 1, None), None)

    def repetitions(self, segment: str, field: int, component: int = 1, subcomponent: int = 1) -> Iterator[str | None]:
        """The component in each repetition of a field."""
        fields = self._segments.get(segment, ())
        if len(fields) > field:
            for repetition in fields[field]:
                yield self._part(repetition, component, subcomponent)

    def _part(self, repetition: object, component: int, subcomponent: int) -> str | None:
        # The library splits only what has a separator in it: a value without one is plain text.
        parts = repetition if isinstance(repetition, list) else [repetition]
        if len(parts) < component:
            return None
        part = parts[component - 1]
        inner = part if isinstance(part, list) else [part]
        if len(inner) < subcomponent:
            return None
        raw = str(inner[subcomponent - 1])
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


def _stated(message: str, wanted: tuple[FieldPath, ...]) -> Message:
    segments = _Segments(message, dict.fromkeys(path.segment for path in wanted))
    text = segments.text
    trigger = (text("MSH", 9, 2) or "").upper()
    kind = (text("MSH", 9) or "").upper()
    event_type = codes.HL7_EVENT_TYPES.get(trigger) if kind == "ADT" else None
    event_time = _first_instant(text("EVN", 6), text("EVN", 2), text("MSH", 7))
    visit_number = _visit_number(segments)
    fields = present(
        event_type=event_type,
        event_id=_event_id(segments),
        event_time=_timestamp(event_time),
        **_patients(segments),
        **visit_number,
        hospital_id=text("PV1", 3, 4) or text("MSH", 4),
        department=text("PV1", 3) or text("ZBE", 7) or text("ZBE", 7, 10),
        bed_id=text("PV1", 3, 3),
        gender=_coded(codes.HL7_GENDERS, text("PID", 8)),
        age=_age(text("PID", 7), event_time),
        visit_class="outpatient" if trigger == codes.OUTPATIENT_AGAIN else _coded(codes.HL7_CLASSES, text("PV1", 2)),
        admission_type=_coded(codes.HL7_ADMISSION_TYPES, text("PV1", 4)),
        **_times(segments, event_type),
        discharge_status=_discharge_status(text("PV1", 36)),
        hl7=_kept(segments, kind, trigger),
        **{path.text: segments.value(path) for path in wanted},
    )
    return Message(
        HL7V2,
        fields,
        unsupported=None if event_type else f"{kind}^{trigger} is no event that the contract knows",
        ignored_as=_ignored_as(kind, trigger),
        flags=frozenset({VISIT_IS_AN_ACCOUNT} if visit_number and not text("PV1", 19) else ()),
    )


def _ignored_as(kind: str, trigger: str) -> str | None:
    if _MESSAGE_TYPE.fullmatch(kind) and kind != "ADT":
        return NO_ADT
    return PERSON_RECORD if trigger in codes.HL7_PERSON_RECORDS else None


def _kept(segments: _Segments, kind: str, trigger: str) -> dict[str, object]:
    """The extras: what may be useful and identifies nobody."""
    text = segments.text
    return present(
        type=kind,
        trigger=trigger,
        version=text("MSH", 12),
        sending_application=text("MSH", 3),
        sending_facility=text("MSH", 4),
        patient_class=text("PV1", 2),
        admission_type=text("PV1", 4),
        room=text("PV1", 3, 2),
        prior_department=text("PV1", 6),
        disposition=text("PV1", 36),
        expected_discharge=text("PV2", 9),
    )


def _times(segments: _Segments, event_type: str | None) -> dict[str, object]:
    """A registration begins with the patient's arrival; an admission may or may not follow."""
    begun, expected = _timestamp(segments.text("PV1", 44)), segments.text("PV2", 9)
    return {
        "arrival_time" if event_type == "arrival" else "admission_time": begun,
        "discharge_time": _timestamp(segments.text("PV1", 45)),
        # Most senders give a date alone, which is no instant and no fault.
        "planned_discharge_time": _timestamp(expected) if expected and times.from_hl7(expected) else None,
    }


def _event_id(segments: _Segments) -> str | None:
    """MSH-10 is unique for its sender only. Too long together: none, and the body itself identifies the event."""
    control_id = segments.text("MSH", 10)
    sender = (segments.text("MSH", 3), segments.text("MSH", 4))
    event_id = ":".join(filter(None, (*sender, control_id)))
    return event_id if control_id and len(event_id) <= MAX_ID_LENGTH else None


def _visit_number(segments: _Segments) -> dict[str, object]:
    """PV1-19, else the account number (PID-18), with who assigned it."""
    for segment, field in (("PV1", 19), ("PID", 18)):
        number = segments.text(segment, field)
        if number:
            return {"visit_id": number, "visit_assigner": _assigner(segments, segment, field)}
    return {}


def _patients(segments: _Segments) -> dict[str, object]:
    """The patient's number (PID-3), and the number that a merge gives up (MRG-1), with who assigned them."""
    number, assigner = _patient_number(segments, "PID", 3)
    merged, merged_assigner = _patient_number(segments, "MRG", 1)
    return {
        "patient_id": number,
        "patient_assigner": assigner,
        "merged_patient_id": merged,
        "merged_patient_assigner": merged_assigner,
    }


def _patient_number(segments: _Segments, segment: str, field: int) -> tuple[str | None, str | None]:
    """The preferred number among the repetitions of a field, and who assigned it."""
    numbers = list(segments.repetitions(segment, field))
    kinds = [(kind or "").upper() for kind in segments.repetitions(segment, field, 5)]
    assigners = [
        namespace or universal
        for namespace, universal in zip(
            segments.repetitions(segment, field, 4, 1), segments.repetitions(segment, field, 4, 2), strict=True
        )
    ]
    stated = [each for each in zip(numbers, kinds, assigners, strict=True) if each[0]]
    for wanted in _PATIENT_NUMBER_TYPES:
        for number, kind, assigner in stated:
            if kind == wanted:
                return number, assigner
    return (stated[0][0], stated[0][2]) if stated else (None, None)


def _assigner(segments: _Segments, segment: str, field: int) -> str | None:
    return segments.text(segment, field, 4, 1) or segments.text(segment, field, 4, 2)


def _coded(table: Mapping[str, str], code: str | None) -> str | None:
    """The contract's value for ``code``; a code that is not listed is returned unchanged."""
    return table.get((code or "").upper(), code)


def _discharge_status(disposition: str | None) -> str | None:
    return codes.HL7_DISCHARGE_STATUSES.get((disposition or "").zfill(2), disposition)


def _first_instant(*texts: str | None) -> str | None:
    """The first that names a usable instant; if none does, the first text, for the rules to name what is wrong."""
    stated = [text for text in texts if text]
    return next((text for text in stated if _is_usable(text)), stated[0] if stated else None)


def _is_usable(text: str) -> bool:
    """An instant that is not centuries ago: some senders fill a field with a date such as 02060101."""
    moment = times.from_hl7(text)
    return moment is not None and moment.year >= EARLIEST_TIME.year


def _timestamp(text: str | None) -> str | None:
    """In the contract's form; as it is when it names no instant (a date alone does not)."""
    moment = times.from_hl7(text) if text else None
    return text if moment is None else times.in_contract_form(moment) or text


def _age(birth_date: str | None, event_time: str | None) -> int | None:
    moment = times.from_hl7(event_time) if event_time else None
    return times.age_at(birth_date, moment) if birth_date and moment else None
