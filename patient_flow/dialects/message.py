"""What a body of a known format states, before and after a source mapping refines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from patient_flow.transforms.bodies import Unsupported

JSON, HL7V2, FHIR = "json", "hl7v2", "fhir"
FORMATS = (JSON, HL7V2, FHIR)


@dataclass(frozen=True, slots=True)
class Message:
    """The statement of one body: contract fields, and everything else that is kept as extras.

    ``unsupported`` says why the format itself gives this message no event type; a mapping may still give it one.
    """

    format: str
    stated: Mapping[str, object]
    unsupported: str | None = None

    def settled(self) -> Mapping[str, object]:
        """The statement; raises ``Unsupported`` for a message that neither format nor mapping gives an event type."""
        if self.unsupported is not None and self.stated.get("event_type") is None:
            raise Unsupported(self.unsupported)
        return self.stated


def present(**fields: object) -> dict[str, object]:
    """``fields`` without those that say nothing."""
    return {name: value for name, value in fields.items() if value not in (None, "", {})}
