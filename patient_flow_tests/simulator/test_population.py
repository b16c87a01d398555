"""People return, age, and are not drawn while they are in care."""

from collections import Counter
from random import Random

import pytest

from patient_flow.simulator.demand import DAY
from patient_flow.simulator.population import YEAR, Patient, Population, Profile

from .builders import NOW, SEED


def test_some_people_come_often() -> None:
    population = Population(Random(SEED), beds=10)
    visits = Counter(population.draw(Profile.ADULT, NOW).patient_id for _ in range(600))
    assert len(visits) < 600
    assert max(visits.values()) >= 4


def test_patients_in_care_are_not_drawn_again() -> None:
    population = Population(Random(SEED), beds=1)
    drawn = []
    for _ in range(Profile.MOTHER.per_bed):
        patient = population.draw(Profile.MOTHER, NOW)
        patient.is_in_care = True
        drawn.append(patient.patient_id)
    assert len(set(drawn)) == Profile.MOTHER.per_bed


def test_an_age_grows_on_the_birthday() -> None:
    patient = Patient("p", "Female", born=NOW - 42 * YEAR)
    assert [patient.age(NOW - 1), patient.age(NOW), patient.age(NOW + YEAR - 1)] == [41, 42, 42]


@pytest.mark.parametrize("profile", list(Profile))
def test_a_profile_keeps_its_ages_over_the_years(profile: Profile) -> None:
    population = Population(Random(SEED), beds=2)
    for day in range(0, 365 * 10, 3):
        patient = population.draw(profile, NOW + day * DAY)
        assert profile.youngest - 1 <= patient.age(NOW + day * DAY) <= profile.oldest


def test_mothers_are_women() -> None:
    population = Population(Random(SEED), beds=2)
    assert {population.draw(Profile.MOTHER, NOW).gender for _ in range(50)} == {"Female"}


def test_deceased_people_are_replaced() -> None:
    population = Population(Random(SEED), beds=1)
    seen = set()
    for _ in range(3 * Profile.MOTHER.per_bed):
        patient = population.draw(Profile.MOTHER, NOW)
        assert patient.patient_id not in seen
        seen.add(patient.patient_id)
        patient.is_alive = False
