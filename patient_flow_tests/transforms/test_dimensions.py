"""Slowly changing dimensions: versions of patients and departments, and the join of a moment to its version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.monitoring.rules.keys import scd2_intervals_valid
from patient_flow.transforms import dimensions
from patient_flow.transforms.visits.merges import survivors
from patient_flow_tests import oracle
from patient_flow_tests.builders import accepted, at, deliveries, department, department_list, event
from patient_flow_tests.examples import max_examples
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.scenarios.agreement import assert_agreement, computed
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS

BEDS_ADDED = datetime(2026, 3, 1, tzinfo=UTC)


def versions_of(*bodies: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(gender, age, valid_from, valid_to, is_current) of the one patient in these events."""
    frame = dimensions.patient_versions(accepted(bodies, DEPARTMENTS)).sort("valid_from")
    assert frame["patient_id"].n_unique() == 1
    return frame.select("gender", "age", "valid_from", "valid_to", "is_current").rows()


def seen(clock: str, **said: Any) -> dict[str, Any]:
    """The patient is seen, and something is said of gender or age, or nothing."""
    return event(event_type="triage", event_time=at(clock), department=None, **{"gender": None, "age": None, **said})


def test_the_first_observation_opens_the_first_version() -> None:
    assert versions_of(seen("10:00", gender="F", age=42)) == [("Female", 42, at("10:00"), None, True)]


def test_an_observation_that_changes_nothing_makes_no_version() -> None:
    assert len(versions_of(seen("10:00", gender="F", age=42), seen("11:00", gender="Female", age=42))) == 1


def test_a_change_closes_one_version_and_opens_the_next() -> None:
    assert versions_of(seen("10:00", age=42), seen("12:00", age=43)) == [
        ("Unknown", 42, at("10:00"), at("12:00"), False),
        ("Unknown", 43, at("12:00"), None, True),
    ]


def test_what_an_event_does_not_state_stays_as_last_known() -> None:
    assert versions_of(seen("10:00", gender="F"), seen("11:00", age=42), seen("12:00")) == [
        ("Female", None, at("10:00"), at("11:00"), False),
        ("Female", 42, at("11:00"), None, True),
    ]


def test_an_age_out_of_range_states_nothing() -> None:
    assert versions_of(seen("10:00", age=42), seen("11:00", age=142)) == [("Unknown", 42, at("10:00"), None, True)]


def test_a_late_observation_splits_the_version_it_falls_into() -> None:
    late = seen("11:00", age=50)
    for order in (
        [seen("10:00", age=42), seen("12:00", age=42), late],
        [late, seen("12:00", age=42), seen("10:00", age=42)],
    ):
        assert [row[1:3] for row in versions_of(*order)] == [(42, at("10:00")), (50, at("11:00")), (42, at("12:00"))]


def test_a_value_that_comes_back_is_a_version_of_its_own() -> None:
    frame = dimensions.patient_versions(
        accepted([seen("10:00", age=1), seen("11:00", age=2), seen("12:00", age=1)], DEPARTMENTS)
    )
    assert frame.height == frame["patient_key"].n_unique() == 3


def test_of_observations_at_one_instant_the_last_in_order_counts() -> None:
    """At one instant the hub's order decides, not the name of the event."""
    both = [seen("10:00", age=42, event_id="b"), seen("10:00", age=41, event_id="a")]
    assert [row[1] for row in versions_of(*both)] == [41]


def test_a_patient_is_the_same_in_every_hospital() -> None:
    assert len(versions_of(seen("10:00", age=42, hospital_id=1), seen("11:00", age=42, hospital_id=2))) == 1


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "0-4"),
        (4, "0-4"),
        (5, "5-17"),
        (17, "5-17"),
        (18, "18-39"),
        (64, "40-64"),
        (65, "65-79"),
        (80, "80+"),
        (None, "Unknown"),
    ],
)
def test_each_age_has_its_band(age: int | None, band: str) -> None:
    frame = pl.DataFrame({"age": [age]}, schema={"age": pl.Int16})
    assert frame.select(dimensions.age_band(pl.col("age"))).item() == band


def assert_versions_are_sound(frame: pl.DataFrame, subject: list[str]) -> None:
    """No overlap, no gap, no empty version, one current version, no two versions that say the same in a row."""
    for versions in frame.sort("valid_from").partition_by(subject):
        assert versions["valid_to"].to_list() == [*versions["valid_from"][1:], None]
        assert versions["valid_from"].n_unique() == versions.height
        assert versions["is_current"].to_list() == [False] * (versions.height - 1) + [True]


@max_examples(30)
@given(hospital_days.deliveries(hospital_days.messy_days()), st.randoms(use_true_random=False))
def test_versions_of_any_patients_in_any_order_are_sound_and_the_oracles(received: list[Any], dice: Any) -> None:
    silver = accepted(received, DEPARTMENTS)
    heirs, _ = survivors(silver)
    patients = dimensions.patient_versions(silver, survivors=heirs)
    assert_versions_are_sound(patients, ["patient_id"])
    shuffled = silver.sample(fraction=1, shuffle=True, seed=dice.randrange(99))
    again = dimensions.patient_versions(shuffled, survivors=survivors(shuffled)[0])
    assert again.sort("patient_key").equals(patients.sort("patient_key"))
    verdict = oracle.validate(received, list(DEPARTMENTS.iter_rows(named=True)))
    expected = oracle.patient_versions(verdict.accepted)
    assert sorted((v.valid_from, v.attributes[0]) for v in expected) == sorted(
        patients.select("valid_from", "gender").rows()
    )


def test_departments_have_the_versions_of_the_list() -> None:
    listed = department_list(department(), department(staffed_beds=12, valid_from=BEDS_ADDED))
    versions = dimensions.department_versions(listed, listed.clear()).sort("valid_from")
    assert_versions_are_sound(versions, ["hospital_id", "department"])
    assert versions.filter(pl.col("department_key") != 0)["staffed_beds"].to_list() == [10, 12]


def test_lines_of_the_list_that_change_nothing_make_no_version() -> None:
    listed = department_list(department(), department(valid_from=BEDS_ADDED))
    assert dimensions.department_versions(listed, listed.clear()).height == 1 + 1


def test_a_department_that_only_events_name_is_inferred_once() -> None:
    listed = department_list(department())
    named = pl.DataFrame({"hospital_id": ["1", "1", "1", "2"], "department": ["Helipad", "Helipad", None, "ICU"]})
    inferred = dimensions.department_versions(listed, named).filter("is_inferred", pl.col("department_key") != 0)
    assert sorted(inferred.select("hospital_id", "department", "hospital_name", "staffed_beds").rows()) == [
        ("1", "Helipad", "Saint-Aubin", None),
        ("2", "ICU", None, None),
    ]


def test_a_listed_department_is_never_inferred() -> None:
    listed = department_list(department())
    versions = dimensions.department_versions(listed, listed.select("hospital_id", "department"))
    assert versions.filter(pl.col("department_key") != 0)["is_inferred"].to_list() == [False]


def test_an_unknown_department_of_an_unknown_hospital_is_the_unknown_member() -> None:
    """A sender may write so; it is no second member of that name, and its stays have the key 0."""
    received = deliveries(
        [
            event(hospital_id="Unknown", department="Unknown"),
            event(hospital_id="Unknown", event_type="transfer", event_time=at("12:00")),
            event(hospital_id="Unknown", visit_id="v2", patient_id="p2"),
        ]
    )
    frames = computed(received, DEPARTMENTS)
    departments = frames["gold/dim_department"]
    assert departments.filter(hospital_id="Unknown").select("department", "is_inferred").rows() == [
        ("Unknown", True),
        ("ICU", True),
    ]
    assert scd2_intervals_valid(departments, ("hospital_id", "department")).is_ok
    assert frames["gold/fact_patient_flow"].filter(department_key=0).height == 1
    assert_agreement(frames, oracle.validate(received, list(DEPARTMENTS.iter_rows(named=True))), DEPARTMENTS)


def test_every_dimension_has_its_unknown_member_with_key_0() -> None:
    nobody = dimensions.unknown_patient()
    nowhere = dimensions.department_versions(
        department_list(), pl.DataFrame(schema={"hospital_id": pl.String, "department": pl.String})
    )
    assert nobody.select("patient_key", "gender", "age_band", "is_current").rows() == [(0, "Unknown", "Unknown", True)]
    assert nowhere.select("department_key", "department", "is_current").rows() == [(0, "Unknown", True)]


@pytest.mark.parametrize(
    ("moment", "beds"),
    [
        (datetime(2019, 1, 1, tzinfo=UTC), 10),  # before the first version the first one counts
        (BEDS_ADDED - timedelta(microseconds=1), 10),
        (BEDS_ADDED, 12),
    ],
)
def test_a_moment_finds_the_version_valid_then(moment: datetime, beds: int) -> None:
    """valid_from belongs to the version, valid_to no longer."""
    versions = dimensions.department_versions(
        department_list(department(), department(staffed_beds=12, valid_from=BEDS_ADDED)),
        pl.DataFrame(schema={"hospital_id": pl.String, "department": pl.String}),
    )
    moments = pl.DataFrame({"hospital_id": ["1"], "department": ["ICU"], "at": [moment]})
    found = dimensions.version_at(
        moments, versions, by=["hospital_id", "department"], at="at", columns=["department_key"]
    )
    assert found.join(versions, on="department_key")["staffed_beds"].to_list() == [beds]


def test_a_moment_of_something_unknown_finds_the_unknown_member() -> None:
    versions = dimensions.department_versions(department_list(department()), DEPARTMENTS.clear())
    moments = pl.DataFrame({"hospital_id": ["9"], "department": ["ICU"], "at": [at("10:00")]})
    found = dimensions.version_at(
        moments, versions, by=["hospital_id", "department"], at="at", columns=["department_key"]
    )
    assert found["department_key"].to_list() == [0]


@max_examples(100)
@given(st.data())
def test_events_after_a_moment_and_the_version_before_it_are_as_good_as_all_events(data: st.DataObject) -> None:
    """A micro-batch reads a patient's history only from the earliest event that it brings."""
    hour = st.integers(0, 8)
    said = st.fixed_dictionaries({"gender": st.sampled_from([None, "F", "M"]), "age": st.sampled_from([None, 41, 42])})
    drawn = data.draw(st.lists(st.tuples(hour, said), min_size=1, max_size=8))
    events = accepted(
        [seen(f"{10 + clock}:00", **values, event_id=str(n)) for n, (clock, values) in enumerate(drawn)], DEPARTMENTS
    )
    since = at(f"{10 + data.draw(hour)}:00")
    whole = dimensions.patient_versions(events).sort("valid_from")
    earlier = dimensions.patient_versions(events.filter(pl.col("event_time") < since)).sort("valid_from")
    known = earlier.tail(1)
    restricted = dimensions.patient_versions(events.filter(pl.col("event_time") >= since), known)
    untouched = whole.filter(pl.col("valid_from") < known["valid_from"].max()) if known.height else whole.clear()
    assert pl.concat([untouched, restricted]).sort("valid_from").equals(whole)


@given(st.permutations(["W X", "w x", "W x", "ｗ X"]), st.integers(0, 4))
def test_spellings_of_a_department_that_is_in_no_list_are_one_department(spellings: list[str], count: int) -> None:
    """Its key is the same for any spelling that is seen, and it is shown in the smallest of them."""
    seen_first = spellings[: count + 1]
    named = pl.DataFrame({"hospital_id": "9", "department": seen_first})
    inferred = dimensions.department_versions(DEPARTMENTS.clear(), named).filter(pl.col("department_key") != 0)
    known = dimensions.department_versions(DEPARTMENTS.clear(), pl.DataFrame({"hospital_id": "9", "department": "w x"}))
    assert inferred["department"].to_list() == [min(seen_first)]
    assert inferred["department_key"].to_list() == known.filter(hospital_id="9")["department_key"].to_list()


def test_two_spellings_in_the_list_of_a_hospital_are_versions_of_one_department() -> None:
    listed = department_list(department(), department(department="icu", staffed_beds=12, valid_from=BEDS_ADDED))
    versions = dimensions.department_versions(listed, listed.select("hospital_id", "department"))
    assert versions.filter(pl.col("department_key") != 0).select("department", "staffed_beds").rows() == [
        ("ICU", 10),
        ("ICU", 12),
    ]
