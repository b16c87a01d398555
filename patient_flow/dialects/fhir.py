"""FHIR R4 Encounters (alone, or one in a Bundle with its Patient) → contract fields.

An Encounter is the state of a visit rather than an event, so most become snapshots. What is kept besides the contract
fields stands under ``fhir`` and identifies nobody. Not here: other resources, other FHIR releases, FHIR as XML, and
what ``statusHistory`` tells about the past.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from patient_flow.contracts.events import NO_ENCOUNTER
from patient_flow.dialects import codes, times
from patient_flow.dialects.message import FHIR, Message, present
from patient_flow.transforms import moments
from patient_flow.transforms.bodies import Interpretation

_Resource = Mapping[str, object]
_BED, _ROOM = "bd", "ro"
_VISIT_NUMBER, _PATIENT_NUMBER = "VN", "MR"
_WITHIN_THE_BODY = ("#", "urn:")
END_IS_ESTIMATED = "time_is_estimated"
_NOT_TAKEN = ("planned", "reserved")
"""Status of a location where the patient has not been (yet)."""


def interpret(_body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
    """Contract fields and extras of an Encounter; None for a body that is no FHIR resource.

    Raises ``Ignored`` for every other resource, ``Unsupported`` for an Encounter that has not begun.
    """
    message = None if value is None else read(value)
    return None if message is None else message.settled()


def read(value: Mapping[str, object]) -> Message | None:
    """The statement of a FHIR resource, with or without an event type; None when ``value`` is none."""
    kind = value.get("resourceType")
    if not isinstance(kind, str):
        return None
    if kind == "Encounter":
        return _encounter(value, "", others={})
    others = _entries(value) if kind == "Bundle" else {}
    encounters = [url for url, resource in others.items() if resource.get("resourceType") == "Encounter"]
    if len(encounters) == 1:
        return _encounter(others[encounters[0]], encounters[0], others)
    resource = {"fhir": {"resource": kind}}
    if encounters:
        return Message(FHIR, resource, unsupported=f"{len(encounters)} Encounters in a Bundle, instead of one")
    return Message(FHIR, resource, ignored_as=NO_ENCOUNTER)


def _encounter(encounter: _Resource, url: str, others: Mapping[str, _Resource]) -> Message:
    status = _text(encounter.get("status")) or ""
    event_type = codes.FHIR_EVENT_TYPES.get(status)
    period = _object(encounter.get("period"))
    begun, updated = _text(period.get("start")), _text(_object(encounter.get("meta")).get("lastUpdated"))
    ended = _text(period.get("end"))
    is_state = event_type == "visit_snapshot"
    is_end_estimated = status == "finished" and ended is None
    subject = _object(encounter.get("subject"))
    parts = _parts(encounter, others)
    patient = _patient(subject, parts)
    locations = _taken_locations(encounter)
    visit_id, visit_assigner = _visit_number(encounter, url)
    patient_id, patient_assigner = _patient_number(subject, patient)
    code = _class_code(encounter)
    fields = present(
        event_type=event_type,
        visit_id=visit_id,
        visit_assigner=visit_assigner,
        event_time=_timestamp(updated or (None if is_state else begun)),
        patient_id=patient_id,
        patient_assigner=patient_assigner,
        hospital_id=_organization_id(_object(encounter.get("serviceProvider")), parts),
        department=_location(locations, parts, is_bed=False),
        bed_id=_location(locations, parts, is_bed=True),
        stays=_stays(encounter, parts) if is_state else None,
        gender=_text(patient.get("gender")),
        age=_age(_text(patient.get("birthDate")), updated or begun),
        visit_class=codes.FHIR_CLASSES.get(code.upper(), code) if code else None,
        arrival_time=_timestamp(begun) if event_type == "arrival" else None,
        admission_time=_timestamp(begun) if is_state else None,
        discharge_time=_timestamp(updated if is_end_estimated else ended) if is_state else None,
        discharge_status=_disposition(encounter),
        fhir=present(resource="Encounter", status=status, patient_class=code),
    )
    return Message(
        FHIR,
        fields,
        unsupported=None if event_type else f"an Encounter that is {status or 'without status'}",
        flags=frozenset({END_IS_ESTIMATED} if is_end_estimated else ()),
    )


def _class_code(encounter: _Resource) -> str | None:
    return _text(_object(encounter.get("class")).get("code"))


def _entries(bundle: _Resource) -> dict[str, _Resource]:
    """The resources of a Bundle by ``fullUrl`` (by position if they have none)."""
    entries = enumerate(_objects(bundle.get("entry")))
    return {_text(entry.get("fullUrl")) or str(number): _object(entry.get("resource")) for number, entry in entries}


def _parts(encounter: _Resource, others: Mapping[str, _Resource]) -> dict[str, _Resource]:
    """The resources that came along, contained or bundled, by what the Encounter may call them."""
    bundled = {f"{item.get('resourceType')}/{item.get('id')}": item for item in others.values() if item.get("id")}
    contained = {f"#{item.get('id')}": item for item in _objects(encounter.get("contained"))}
    return {**bundled, **others, **contained}


def _patient(subject: _Resource, parts: Mapping[str, _Resource]) -> _Resource:
    """The Patient that ``subject`` refers to; empty when it did not come along."""
    patient = parts.get(_text(subject.get("reference")) or "", {})
    return patient if patient.get("resourceType") == "Patient" else {}


def _patient_number(subject: _Resource, patient: _Resource) -> tuple[str | None, str | None]:
    """The number of the patient, and the system that assigned it.

    It is the id behind a literal reference; where the reference only joins parts of this body, the Patient's own.
    """
    url = _joint(subject)
    if url is None:
        literal = _literal_id(subject)
        return (literal, None) if literal else _logical_identifier(subject, or_display=True)
    lasting = _lasting_id(patient, url)
    if lasting:
        return lasting, None
    number = _identifier(patient, _PATIENT_NUMBER)
    return number if number[0] else _logical_identifier(subject)


def _visit_number(encounter: _Resource, url: str) -> tuple[str | None, str | None]:
    """The number of the visit, and the system that assigned it."""
    number = _identifier(encounter, _VISIT_NUMBER)
    return number if number[0] else (_lasting_id(encounter, url), None)


def _organization_id(provider: _Resource, parts: Mapping[str, _Resource]) -> str | None:
    """The same for an Organization. Its identifier comes first: an id may be valid on one server only."""
    url = _joint(provider)
    if url is None:
        return _reference_id(provider)
    own = parts.get(url, {})
    stated = _identifier(own)[0] or _lasting_id(own, url) or _text(own.get("name"))
    return stated or _logical_identifier(provider)[0] or _text(provider.get("display"))


def _location_name(place: _Resource, parts: Mapping[str, _Resource]) -> str | None:
    """The same for a Location. Its name comes first, because the department list identifies departments by name."""
    url = _joint(place)
    if url is None:
        return _text(place.get("display")) or _reference_id(place)
    own = parts.get(url, {})
    name = _text(place.get("display")) or _text(own.get("name"))
    return name or _identifier(own)[0] or _lasting_id(own, url) or _logical_identifier(place)[0]


def _joint(reference: _Resource) -> str | None:
    """The literal reference, if it only joins parts of this body: every body may have another for the same thing."""
    literal = _text(reference.get("reference")) or ""
    return literal if literal.startswith(_WITHIN_THE_BODY) else None


def _lasting_id(resource: _Resource, url: str) -> str | None:
    """The ``id`` of a resource that this body calls ``url``, unless it holds for this body alone as such a URL does."""
    own = _text(resource.get("id"))
    if own is None or url.startswith("#") or own.startswith(_WITHIN_THE_BODY):
        return None
    return None if url.startswith("urn:") and url.lower().endswith(f":{own.lower()}") else own


def _reference_id(reference: _Resource) -> str | None:
    """``Organization/3``, also as a URL or with a version → ``3``; else the identifier, else the display text."""
    return _literal_id(reference) or _logical_identifier(reference, or_display=True)[0]


def _literal_id(reference: _Resource) -> str:
    literal = (_text(reference.get("reference")) or "").partition("/_history/")[0]
    return literal.rpartition("/")[2]


def _logical_identifier(reference: _Resource, *, or_display: bool = False) -> tuple[str | None, str | None]:
    """Value and system of the identifier in a reference; its display text where there is none, if wanted."""
    identifier = _object(reference.get("identifier"))
    value = _text(identifier.get("value"))
    if value is None:
        return (_text(reference.get("display")) if or_display else None), None
    return value, _text(identifier.get("system"))


def _identifier(resource: _Resource, preferred: str = "") -> tuple[str | None, str | None]:
    """Value and system of the identifier of the ``preferred`` type, else of the first one."""
    identifiers = [item for item in _objects(resource.get("identifier")) if _text(item.get("value"))]
    typed = [item for item in identifiers if preferred in _code_list(item.get("type"))]
    return next(
        ((_text(item.get("value")), _text(item.get("system"))) for item in (*typed, *identifiers)), (None, None)
    )


def _taken_locations(encounter: _Resource) -> list[_Resource]:
    """Locations where the patient has been, the newest first: those that still hold before those that are over."""
    taken = [item for item in _objects(encounter.get("location")) if item.get("status") not in _NOT_TAKEN]
    taken.reverse()
    return sorted(taken, key=_is_over)


def _is_over(location: _Resource) -> bool:
    return location.get("status") == "completed" or _object(location.get("period")).get("end") is not None


def _location(locations: Iterable[_Resource], parts: Mapping[str, _Resource], *, is_bed: bool) -> str | None:
    """Name of the first bed, or of the first place that is neither bed nor room."""
    for location in locations:
        kinds = _code_list(location.get("physicalType"))
        if (_BED in kinds) if is_bed else not kinds & {_BED, _ROOM}:
            return _location_name(_object(location.get("location")), parts)
    return None


def _stays(encounter: _Resource, parts: Mapping[str, _Resource]) -> list[dict[str, object]] | None:
    """The placements in order, if every location that is a department has a start (flow F9).

    A bed belongs to the stay in which its own period begins; one without a period to the last stay.
    """
    taken = [item for item in _objects(encounter.get("location")) if item.get("status") not in _NOT_TAKEN]
    is_place = [not _code_list(item.get("physicalType")) & {_BED, _ROOM} for item in taken]
    placed = [(_instant(item, "start"), item) for item, place in zip(taken, is_place, strict=True) if place]
    timed = sorted(((since, item) for since, item in placed if since is not None), key=lambda pair: pair[0])
    names = [_location_name(_object(item.get("location")), parts) for _, item in timed]
    if not timed or len(timed) < len(placed) or None in names:
        return None
    beds: dict[int, str | None] = {}
    for item in taken:
        if _BED in _code_list(item.get("physicalType")):
            since = _instant(item, "start")
            holding = [number for number, (start, _) in enumerate(timed) if since is None or start <= since]
            beds[holding[-1] if holding else 0] = _location_name(_object(item.get("location")), parts)
    return [
        present(
            **{"from": _period(item, "start"), "to": _period(item, "end")}, department=name, bed_id=beds.get(number)
        )
        for number, ((_, item), name) in enumerate(zip(timed, names, strict=True))
    ]


def _period(location: _Resource, end: str) -> str | None:
    return _timestamp(_text(_object(location.get("period")).get(end)))


def _instant(location: _Resource, end: str) -> datetime | None:
    """The instant at which the period of a location starts or ends; without an offset it counts as UTC."""
    moment = times.from_iso(_period(location, end))
    try:
        return None if moment is None else moments.in_utc(moment)
    except OverflowError:
        return None


def _disposition(encounter: _Resource) -> str | None:
    stay = _object(encounter.get("hospitalization"))
    stated = sorted(_code_list(stay.get("dischargeDisposition")))
    known = (codes.FHIR_DISCHARGE_STATUSES[code] for code in stated if code in codes.FHIR_DISCHARGE_STATUSES)
    return next(known, stated[0] if stated else None)


def _age(birth_date: str | None, at: str | None) -> int | None:
    moment = times.from_iso(at)
    return times.age_at(birth_date, moment) if birth_date and moment else None


def _timestamp(text: str | None) -> str | None:
    """In the contract's form; as it is when it names no instant (a date alone does not)."""
    moment = times.from_iso(text)
    return text if moment is None else times.in_contract_form(moment) or text


def _code_list(concept: object) -> set[str]:
    """The codes of a CodeableConcept."""
    return {code for coding in _objects(_object(concept).get("coding")) if (code := _text(coding.get("code")))}


def _text(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _object(value: object) -> _Resource:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[_Resource]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
