"""The fields of a body of a known format, before and after a source mapping rewrites them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from patient_flow.dialects.paths import text_of
from patient_flow.transforms.bodies import Ignored, Interpretation, Unsupported

JSON, HL7V2, FHIR = "json", "hl7v2", "fhir"
FORMATS = (JSON, HL7V2, FHIR)


@dataclass(frozen=True, slots=True)
class Message:
    """The statement of one body: contract fields, and everything else that is kept as extras.

    ``unsupported`` says why the format itself gives this message no event type, ``ignored_as`` under which name it
    is ignored; a mapping may still give it an event type. ``flags`` are quality flags that the format raises, ``more``
    the statements of further events in the same body.
    """

    format: str
    stated: Mapping[str, object]
    unsupported: str | None = None
    ignored_as: str | None = None
    flags: frozenset[str] = frozenset()
    more: tuple[Mapping[str, object], ...] = ()

    @property
    def hospital_id(self) -> str | None:
        """The hospital as text, where the statement has one."""
        return text_of(self.stated.get("hospital_id"))

    def settled(self, *, patient_scope: str | None = None, visit_scope: str | None = None) -> Interpretation:
        """The statement, under a mapping's policies for the scopes of numbers.

        Raises ``Ignored`` or ``Unsupported`` for a message that neither format nor mapping gives an event type.
        """
        if self.stated.get("event_type") is None:
            if self.ignored_as is not None:
                raise Ignored(self.ignored_as, self.hospital_id)
            if self.unsupported is not None:
                raise Unsupported(self.unsupported, self.hospital_id)
        return Interpretation((self.stated, *self.more), self.flags, patient_scope, visit_scope)


def present(**fields: object) -> dict[str, object]:
    """``fields`` without those that say nothing."""
    return {name: value for name, value in fields.items() if value not in (None, "", {})}
