"""The catchment population of a hospital, from which patients are drawn.

Not here: arrivals and visits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random
from uuid import UUID

from .demand import DAY

YEAR = int(365.2425 * DAY)

GENDERS = ("Female", "Male", "Other", "Unknown")
GENDER_SHARES = (0.520, 0.465, 0.005, 0.010)

# A few people attend often: raising a uniform number to this power favours low indexes.
FREQUENT_ATTENDERS = 1.5


class Profile(Enum):
    """A population group, with its age range (years, both inclusive) and its size per staffed bed."""

    CHILD = (0, 17, 12)
    MOTHER = (16, 49, 8)
    ADULT = (18, 99, 60)

    def __init__(self, youngest: int, oldest: int, per_bed: int) -> None:
        self.youngest = youngest
        self.oldest = oldest
        self.per_bed = per_bed


@dataclass(slots=True, eq=False)
class Patient:
    """One person; ``born`` in microseconds since 1970 (UTC)."""

    patient_id: str
    gender: str
    born: int
    is_in_care: bool = False
    is_alive: bool = True

    def age(self, at: int) -> int:
        """Completed years at the instant ``at``."""
        return max(0, (at - self.born) // YEAR)


class Population:
    """The catchment population of one hospital: bounded, so patients return; a person is created when first drawn."""

    def __init__(self, rng: Random, beds: int) -> None:
        self._rng = rng
        self._people: dict[Profile, list[Patient | None]] = {p: [None] * max(1, p.per_bed * beds) for p in Profile}

    def draw(self, profile: Profile, at: int) -> Patient:
        """A person of this profile who is not in care at the instant ``at``."""
        people = self._people[profile]
        while True:
            index = int(len(people) * self._rng.random() ** FREQUENT_ATTENDERS)
            patient = people[index]
            if patient is None or not patient.is_alive or patient.age(at) > profile.oldest:
                patient = people[index] = self._person(profile, at)
            if not patient.is_in_care:
                return patient

    def newborn(self, at: int) -> Patient:
        """A child born in this hospital at the instant ``at``."""
        gender = self._rng.choices(GENDERS, GENDER_SHARES)[0]
        return Patient(patient_number(self._rng), gender, at)

    def _person(self, profile: Profile, at: int) -> Patient:
        rng = self._rng
        if profile is Profile.ADULT:
            age = rng.triangular(profile.youngest, profile.oldest, 72)  # older people are admitted more often
        else:
            age = rng.uniform(profile.youngest, profile.oldest + 1)
        gender = GENDERS[0] if profile is Profile.MOTHER else rng.choices(GENDERS, GENDER_SHARES)[0]
        return Patient(patient_number(rng), gender, at - int(age * YEAR))


def patient_number(rng: Random) -> str:
    """A new patient number, a random UUID."""
    return str(UUID(int=rng.getrandbits(128), version=4))
