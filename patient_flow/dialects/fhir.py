"""FHIR R4 Encounters (alone, or one in a Bundle with its Patient) → contract fields.

An Encounter is the state of a visit rather than an event, so most become snapshots. What is kept besides the contract
fields stands under ``fhir`` and identifies nobody. Not here: other resources, other FHIR releases, FHIR as XML, and
what ``statusHistory`` tells about the past.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from patient_flow.dialects import codes, times
from patient_flow.dialects.message import FHIR, Message, present

_Resource = Mapping[str, object]
_BED, _ROOM = "bd", "ro"
_VISIT_NUMBER, _PATIENT_NUMBER = "VN", "MR"
_WITHIN_THE_BODY = ("#", "urn:")
_NOT_TAKEN = ("planned", "reserved")
"""Status of a location where the patient has not been (yet)."""


def interpret(_body: bytes, value: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Contract fields and extras of an Encounter; None for a body that is no FHIR resource.

    Raises ``Unsupported`` for every other resource and for an Encounter that has not begun.
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
    reason = f"{len(encounters)} Encounters in a Bundle, instead of one" if kind == "Bundle" else f"{kind} is no visit"
    return Message(FHIR, {"fhir": {"resource": kind}}, reason)


def _encounter(encounter: _Resource, url: str, others: Mapping[str, _Resource]) -> Message:
    status = _text(encounter.get("status")) or ""
    event_type = codes.FHIR_EVENT_TYPES.get(status)
    period = _object(encounter.get("period"))
    begun, updated = _text(period.get("start")), _text(_object(encounter.get("meta")).get("lastUpdated"))
    is_state = event_type == "visit_snapshot"
    subject = _object(encounter.get("subject"))
    parts = _parts(encounter, others)
    patient = _patient(subject, parts)
    locations = _taken_locations(encounter)
    fields = present(
        event_type=event_type,
        visit_id=_identifier(encounter, _VISIT_NUMBER) or _lasting_id(encounter, url),
        event_time=_timestamp(updated or (None if is_state else begun)),
        patient_id=_patient_id(subject, patient),
        hospital_id=_organization_id(_object(encounter.get("serviceProvider")), parts),
        department=_location(locations, parts, is_bed=False),
        bed_id=_location(locations, parts, is_bed=True),
        gender=_text(patient.get("gender")),
        age=_age(_text(patient.get("birthDate")), updated or begun),
        arrival_time=_timestamp(begun) if event_type == "arrival" else None,
        admission_time=_timestamp(begun) if is_state else None,
        discharge_time=_timestamp(_text(period.get("end"))) if is_state else None,
        discharge_status=_disposition(encounter),
        fhir=present(
            resource="Encounter",
            status=status,
            patient_class=_text(_object(encounter.get("class")).get("code")),
        ),
    )
    return Message(FHIR, fields, None if event_type else f"an Encounter that is {status or 'without status'}")


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


def _patient_id(subject: _Resource, patient: _Resource) -> str | None:
    """The id behind a literal reference; where the reference only joins parts of this body, the Patient's own."""
    url = _joint(subject)
    if url is None:
        return _reference_id(subject)
    return _lasting_id(patient, url) or _identifier(patient, _PATIENT_NUMBER) or _logical_identifier(subject)


def _organization_id(provider: _Resource, parts: Mapping[str, _Resource]) -> str | None:
    """The same for an Organization, whose identifier says more to others than an id that may hold for one server."""
    url = _joint(provider)
    if url is None:
        return _reference_id(provider)
    own = parts.get(url, {})
    stated = _identifier(own) or _lasting_id(own, url) or _text(own.get("name"))
    return stated or _logical_identifier(provider) or _text(provider.get("display"))


def _location_name(place: _Resource, parts: Mapping[str, _Resource]) -> str | None:
    """The same for a Location, whose name comes first: it is by names that the reference list knows departments."""
    url = _joint(place)
    if url is None:
        return _text(place.get("display")) or _reference_id(place)
    own = parts.get(url, {})
    name = _text(place.get("display")) or _text(own.get("name"))
    return name or _identifier(own) or _lasting_id(own, url) or _logical_identifier(place)


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
    literal = (_text(reference.get("reference")) or "").partition("/_history/")[0]
    return literal.rpartition("/")[2] or _logical_identifier(reference) or _text(reference.get("display"))


def _logical_identifier(reference: _Resource) -> str | None:
    return _text(_object(reference.get("identifier")).get("value"))


def _identifier(resource: _Resource, preferred: str = "") -> str | None:
    """Value of the identifier of the ``preferred`` type, else of the first one."""
    identifiers = [item for item in _objects(resource.get("identifier")) if _text(item.get("value"))]
    typed = [item for item in identifiers if preferred in _code_list(item.get("type"))]
    return next((_text(item.get("value")) for item in (*typed, *identifiers)), None)


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
