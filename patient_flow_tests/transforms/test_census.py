"""Occupied beds per hour: half-open stays, versions of departments as of each hour, and changes that add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.contracts.tables import FACT_BED_CENSUS, FACT_PATIENT_FLOW
from patient_flow.transforms import census, dimensions
from patient_flow_tests.builders import at, department, department_list
from patient_flow_tests.examples import max_examples

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
LISTED = department_list(department(), department(staffed_beds=12, valid_from=NOON), department(department="Surgery"))
DEPARTMENTS = dimensions.department_versions(LISTED, LISTED.select("hospital_id", "department"))
OLD_ICU, NEW_ICU = (
    DEPARTMENTS.filter(department="ICU", staffed_beds=beds)["department_key"].item() for beds in (10, 12)
)
UNTIL = at("23:59")

Times = tuple[datetime, datetime | None]


def stays(*times: Times, gender: str = "Female") -> pl.DataFrame:
    """Fact rows, as far as the census looks at them, in the ICU."""
    return pl.DataFrame(
        [
            {
                "stay_key": number,
                "department_key": OLD_ICU,
                "gender": gender,
                "admission_at": start,
                "discharge_at": end,
            }
            for number, (start, end) in enumerate(times)
        ],
        schema={name: FACT_PATIENT_FLOW.schema[name] for name in census.STAY_COLUMNS},
    )


def counted(frame: pl.DataFrame, until: datetime = UNTIL, **bounds: Any) -> pl.DataFrame:
    """The census of these stays."""
    return census.bed_hours(census.spans(frame, until=until, **bounds), DEPARTMENTS).sort("time_key")


def hours(frame: pl.DataFrame) -> list[int]:
    """Hours of 20 March in which somebody lies in bed."""
    return [key % 100 for key in frame["time_key"]]


@pytest.mark.parametrize(
    ("start", "end", "occupied"),
    [
        ("10:00", "12:00", [10, 11]),  # from the hour it begins at to the hour before it ends
        ("10:00", "12:01", [10, 11, 12]),
        ("10:01", "12:00", [11]),
        ("10:01", "10:59", []),  # between two counts
        ("10:00", "10:00", []),  # ends as it begins
        ("22:30", None, [23]),
        ("22:30", "08:00 +3", [23]),  # planned beyond the newest event
    ],
)
def test_a_stay_occupies_a_bed_from_its_admission_until_before_its_discharge(
    start: str, end: str | None, occupied: list[int]
) -> None:
    assert hours(counted(stays((at(start), at(end) if end else None)))) == occupied


def test_microseconds_count() -> None:
    late, early = at("10:00") + timedelta(microseconds=1), at("12:00") + timedelta(microseconds=1)
    assert hours(counted(stays((late, early)))) == [11, 12]


def test_the_hour_of_the_newest_event_counts_and_no_later_one() -> None:
    assert hours(counted(stays((at("10:00"), None)), until=at("12:00"))) == [10, 11, 12]
    assert hours(counted(stays((at("10:00"), None)), until=at("11:59"))) == [10, 11]


def test_patients_admitted_before_the_first_hour_are_in_bed() -> None:
    assert counted(stays((at("22:00 -2"), at("02:00")))).height == 2 + 24 + 2


def test_each_hour_refers_to_the_department_version_valid_then() -> None:
    """Not to the one valid at admission: the denominator changes while the patient stays."""
    frame = counted(stays((at("10:00"), at("14:00"))))
    assert frame["department_key"].to_list() == [OLD_ICU, OLD_ICU, NEW_ICU, NEW_ICU]


def test_patients_of_one_hour_are_added_by_gender() -> None:
    together = pl.concat(
        [stays((at("10:00"), at("11:00")), (at("09:30"), None)), stays((at("10:00"), None), gender="Male")]
    )
    frame = counted(together, until=at("10:00")).sort("gender")
    assert frame.select("gender", "occupied_beds").rows() == [("Female", 2), ("Male", 1)]


def test_an_empty_hour_has_no_row() -> None:
    frame = counted(stays())
    assert (frame.height, frame.schema) == (0, FACT_BED_CENSUS.schema)


def test_a_stay_in_an_unknown_department_counts_there() -> None:
    nowhere = stays((at("10:00"), at("11:00"))).with_columns(department_key=pl.lit(0, dtype=pl.Int64))
    assert counted(nowhere)["department_key"].to_list() == [0]


_minutes = st.integers(0, 3 * 24 * 60)
_times = st.tuples(_minutes, st.none() | _minutes).map(
    lambda said: (at("00:00") + timedelta(minutes=said[0]), said[1] and at("00:00") + timedelta(minutes=sum(said)))
)


@max_examples(40)
@given(st.lists(_times, max_size=6), st.lists(_times, max_size=6), st.integers(0, 60), st.integers(0, 30))
def test_what_a_change_of_stays_does_to_the_census_is_the_difference(
    before: list[Times], after: list[Times], hour: int, later: int
) -> None:
    """So a micro-batch may count only what changed, and the hours since for those who did not."""
    counted_until, until = at("00:00") + timedelta(hours=hour), at("00:00") + timedelta(hours=hour + later)
    unchanged = stays(*before[:2])
    old, new = counted(stays(*before), counted_until), counted(pl.concat([unchanged, stays(*after)]), until)
    change = census.bed_hours(
        pl.concat(
            [
                census.spans(stays(*before[2:]), until=counted_until, weight=-1),
                census.spans(stays(*after), until=until),
                census.spans(unchanged, until=until, after=counted_until),
            ]
        ),
        DEPARTMENTS,
    )
    key = list(FACT_BED_CENSUS.key)
    assert census.add(old, change).sort(key).equals(new.sort(key))
