"""The paths of a mapping, against what can stand there: fields of HL7 messages and of Encounters, columns of files."""

from __future__ import annotations

from collections.abc import Iterator

from patient_flow.contracts import events
from patient_flow.dialects.derived import TimeAfter
from patient_flow.dialects.hl7_paths import FieldPath, likely_path, parse_path
from patient_flow.dialects.mapping_checks import Place, nearest
from patient_flow.dialects.message import FHIR, HL7V2
from patient_flow.dialects.rewriting import LOOKUP, SourceMapping

_KEPT = {
    HL7V2: (
        *("type", "trigger", "version", "sending_application", "sending_facility", "patient_class", "admission_type"),
        *("room", "prior_department", "disposition", "expected_discharge"),
    ),
    FHIR: ("resource", "status", "patient_class"),
}
"""What the readers of both formats keep besides the fields of the contract."""
_NAMES = {
    form: (*events.FIELDS, *(f"{prefix}.{name}" for name in _KEPT[form]))
    for form, prefix in ((HL7V2, "hl7"), (FHIR, "fhir"))
}


def paths_of(mapping: SourceMapping) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys in the file, path) of everything that a mapping reads in an event."""
    for path in mapping.match:
        yield ("match", path), path
    for name, candidates in mapping.rename.items():
        yield from ((("rename", name), path) for path in candidates)
    for name, extract in mapping.extract.items():
        yield ("extract", name, "path"), extract.path
    for name, time in mapping.time.items():
        is_after = isinstance(time, TimeAfter)
        for key, path in zip(("from", "plus") if is_after else ("date", "time"), time.paths, strict=True):
            yield ("time", name, key), path
    for name, parts in mapping.join.items():
        yield from ((("join", name), path) for path in parts)
    for name, source in mapping.timestamp.items():
        if source.shift_from:
            yield ("timestamp", name, "shift_from"), source.shift_from
    for name, lookup in mapping.lookup.items():
        yield ("lookup", name, "by"), lookup.by
    if mapping.age_from:
        yield ("age_from",), mapping.age_from
    yield from ((("drop",), path) for path in mapping.drop)


def expect_known_paths(mapping: SourceMapping, place: Place) -> None:
    """Refuses a path at which no event of the mapping's format can have a value."""
    for keys, path in paths_of(mapping):
        head = path.split(".")[0]
        if head == LOOKUP and mapping.lookup:
            _expect_column(mapping, path, place.at(*keys))
        elif mapping.format in _NAMES:
            _expect_name(mapping.format, path, place.at(*keys))


def hl7_fields(mappings: tuple[SourceMapping, ...]) -> tuple[FieldPath, ...]:
    """The fields of HL7 messages that mappings read by their numbers."""
    read = {path for mapping in mappings if mapping.format == HL7V2 for _, path in paths_of(mapping)}
    return tuple(field for path in sorted(read) if (field := parse_path(path)) is not None)


def _expect_column(mapping: SourceMapping, path: str, place: Place) -> None:
    _, _, rest = path.partition(".")
    name, _, column = rest.partition(".")
    if name not in mapping.lookup:
        raise place.error(
            f"there is no lookup {name!r}{nearest(name, mapping.lookup)}: known are {', '.join(mapping.lookup)}"
        )
    columns = mapping.lookup[name].columns
    if column not in columns:
        raise place.error(
            f"the file of lookup {name!r} has no column {column!r}{nearest(column, columns)}: its columns are "
            f"{', '.join(columns)}"
        )


def _expect_name(form: str, path: str, place: Place) -> None:
    names = _NAMES[form]
    if path in names or path.startswith(f"{events.STAYS}."):
        return
    if form == FHIR:
        raise place.error(f"an Encounter has no {path!r} here{nearest(path, names)}: known are {', '.join(names)}")
    if parse_path(path) is not None:
        return
    likely = likely_path(path)
    hint = f" (did you mean {likely!r}?)" if likely else nearest(path, names)
    raise place.error(
        f"{path!r} is nothing that is read of an HL7 message{hint}: use a field of the contract, hl7.trigger and the "
        "like, or a field of the message by its number, as in ZBE-7 or PV1-3.4"
    )
