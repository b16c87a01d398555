"""A number of a person, as bodies state it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from patient_flow.transforms.keys import SEPARATOR


@dataclass(frozen=True)
class Number:
    """A number of a person as a body states it. ``is_secondary`` where the record is about somebody else."""

    value: str
    assigner: str | None = None
    hospital: str | None = None
    is_secondary: bool = False

    @property
    def scoped(self) -> tuple[str, ...]:
        """The forms of ``scopes.scoped`` under which it may be known."""
        found = [self.value]
        if self.assigner:
            found.append(SEPARATOR.join(("assigner", self.assigner, self.value)))
        if self.hospital:
            found.append(SEPARATOR.join(("hospital", self.hospital, self.value)))
        return tuple(found)


IsPerson = Callable[[Number], bool]
"""True for a number of the person."""
