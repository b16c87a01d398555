"""The transforms against the oracle: random hospital days, everything at once, no lake."""

from __future__ import annotations

from hypothesis import given

from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow_tests import oracle
from patient_flow_tests.builders import Delivery
from patient_flow_tests.examples import max_examples
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.scenarios.agreement import assert_agreement, computed
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS

LINES = list(DEPARTMENTS.iter_rows(named=True))


def assert_the_transforms_agree(received: list[Delivery]) -> None:
    verdict = oracle.validate(received, LINES)
    frames = computed(received, DEPARTMENTS)
    held = frames[SILVER_EVENTS.path].select("partition_id", "sequence_number", "part")
    assert set(held.iter_rows()) == {event.coordinates for event in verdict.accepted}
    assert_agreement(frames, verdict, DEPARTMENTS)


@max_examples(40)
@given(hospital_days.deliveries(hospital_days.consistent_days()))
def test_every_stay_version_census_hour_and_measure_of_a_consistent_day_is_the_oracles(
    received: list[Delivery],
) -> None:
    assert_the_transforms_agree(received)


@max_examples(50)
@given(hospital_days.deliveries(hospital_days.messy_days()))
def test_contradictory_events_are_made_sense_of_as_the_oracle_does(received: list[Delivery]) -> None:
    assert_the_transforms_agree(received)
