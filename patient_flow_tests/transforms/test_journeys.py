"""The journeys of flow.md, one test each, on the pure fold; the numbers are those of its table."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from patient_flow.transforms.visits.fold import fold
from patient_flow_tests.transforms.feeds import ZONE, attendances, departments, flags, folded, silver, stays

NIGHTLY = [f"02:00+{day}" for day in range(1, 120)]


def test_1_treated_and_released_is_an_attendance_and_nothing_else() -> None:
    facts = folded("A04 08:00 ED", "A03 13:00")
    assert attendances(facts) == ["08:00 13:00 discharged 300"]
    assert stays(facts) == []


def test_2_an_emergency_stay_then_a_ward_is_one_admission() -> None:
    facts = folded(
        "A01 08:00 ED class=E admitted=08:00", "A06 12:00 W class=I admitted=08:00", "A03 09:00+2 admitted=08:00"
    )
    assert stays(facts) == ["ED 08:00 12:00 emergency", "W 12:00 09:00+2 ward start end wait=240"]
    assert attendances(facts) == ["08:00 12:00 admitted 240"]


def test_3_an_admission_time_that_repeats_the_arrival_is_no_admission_time() -> None:
    facts = folded("A04 08:00 ED", "A01 09:00 W admitted=08:00")
    assert stays(facts) == ["W 09:00 - ward start wait=60"]
    assert attendances(facts) == ["08:00 09:00 admitted 60"]
    assert flags(facts.stays) == ["admission_time_is_arrival"]


def test_4_a_repeated_discharge_time_ends_no_later_stay() -> None:
    facts = folded(
        "A01 10:00 W admitted=10:00",
        "A03 12:00",
        "A01 20:00 W admitted=10:00",
        "A08 21:00 admitted=10:00 discharged=12:00",
    )
    assert stays(facts) == ["W 10:00 12:00 ward start", "W 20:00 - ward"]


def test_5_a_cancelled_discharge_stays_cancelled_though_updates_repeat_it() -> None:
    facts = folded("A01 08:00 W", "A03 15:00", "A08 15:10 discharged=15:00", "A13 15:30", "A08 16:00 discharged=15:00")
    assert stays(facts) == ["W 08:00 - ward start"]


def test_6_a_plan_that_passes_ends_nothing() -> None:
    facts = folded("A01 08:00 W", "A08 11:00 discharged=18:00", "A08 20:00 discharged=18:00")
    assert stays(facts) == ["W 08:00 - ward start"]
    assert facts.stays["planned_discharge_at"].dt.hour().to_list() == [18]


def test_7_a_discharge_ends_at_its_discharge_time() -> None:
    facts = folded("A01 08:00 W", "A03 15:00 discharged=15:02")
    assert stays(facts) == ["W 08:00 15:02 ward start end"]


def test_8_two_encounters_of_one_way_are_one_attendance_and_one_admission() -> None:
    facts = folded(
        "row 12:20 ED visit=v1 class=E admitted=08:00 discharged=12:10", "row 12:30 W visit=v2 class=I admitted=12:00"
    )
    assert attendances(facts) == ["08:00 12:00 admitted 240"]
    assert stays(facts) == ["ED 08:00 12:10 emergency", "W 12:00 - ward start wait=240"]


def test_9_one_encounter_that_moves() -> None:
    facts = folded(
        "row 08:10 ED class=E admitted=08:00",
        "row 12:05 W class=I admitted=08:00",
        "row 09:00+1 W class=I admitted=08:00 discharged=08:30+1",
    )
    assert stays(facts) == ["ED 08:00 12:05 emergency", "W 12:05 08:30+1 ward start end wait=245"]
    assert flags(facts.stays) == ["time_is_estimated"]


def test_10_the_states_of_one_encounter_are_one_stay() -> None:
    facts = folded(
        "row 08:01 W class=I admitted=08:00",
        "row 10:00 W class=I admitted=08:00",
        "row 14:30 W class=I admitted=08:00 discharged=14:00",
    )
    assert stays(facts) == ["W 08:00 14:00 ward start end"]


def test_11_a_nightly_row_does_not_move_patients_whom_the_sender_moves() -> None:
    facts = folded("A01 10:00 ICU", "A02 12:00 X", "row 02:00+1 X admitted=10:00")
    assert stays(facts) == ["ICU 10:00 12:00 ward start", "X 12:00 - ward transfer"]
    assert flags(facts.stays) == []


def test_12_an_update_with_the_former_department_does_not_move_the_patient_back() -> None:
    facts = folded("A01 08:00 ED class=E", "A02 12:00 W class=I sent=16:00", "A08 13:00 ED", "A08 14:00 ED")
    assert stays(facts) == ["ED 08:00 12:00 emergency", "W 12:00 - ward start wait=240"]
    assert flags(facts.stays) == ["update_names_an_earlier_department"]


def test_13_a_cancel_within_the_minute_undoes_what_the_hub_took_before_it() -> None:
    facts = folded("A01 08:00 X", "A02 12:00 ICU sent=12:00", "A12 12:00 sent=12:01", "A02 12:00 W sent=12:02")
    assert stays(facts) == ["X 08:00 12:00 ward start", "W 12:00 - ward transfer"]


def test_14_a_side_stay_ends_no_attendance() -> None:
    facts = folded("A01 08:00 ED class=E", "A02 09:00 CT", "A02 10:00 ED", "A03 12:00 status=home")
    assert stays(facts) == ["ED 08:00 09:00 emergency", "CT 09:00 10:00 side", "ED 10:00 12:00 emergency"]
    assert attendances(facts) == ["08:00 12:00 discharged 240"]


def test_15_a_ward_stay_hours_after_going_home_is_no_outcome_of_the_attendance() -> None:
    facts = folded("A01 08:00 ED class=E", "A03 10:00 status=home", "A01 20:00 W class=I")
    assert attendances(facts) == ["08:00 10:00 discharged 120"]
    assert stays(facts) == ["ED 08:00 10:00 emergency", "W 20:00 - ward start"]


def test_16_back_to_the_emergency_department_is_one_admission_and_one_discharge() -> None:
    facts = folded("A01 08:00 ED class=E", "A02 12:00 W class=I", "A02 18:00 ED", "A03 20:00 status=home")
    assert stays(facts) == [
        "ED 08:00 12:00 emergency",
        "W 12:00 18:00 ward start end wait=240 home",
        "ED 18:00 20:00 emergency",
    ]
    assert attendances(facts) == ["08:00 12:00 admitted 240"]


def test_17_an_outpatient_with_a_bed_is_in_bed() -> None:
    facts = folded("A01 08:00 W class=I bed=7", "A07 10:00+2 W class=O bed=7", "A03 10:00+4")
    assert stays(facts) == ["W 08:00 10:00+4 ward start end"]


def test_18_an_outpatient_without_a_bed_is_discharged() -> None:
    facts = folded("A01 08:00 W class=I bed=7", "A07 10:00+2 W class=O", "A03 10:00+4 status=home")
    assert stays(facts) == ["W 08:00 10:00+2 ward start end home"]


def test_19_a_cancelled_visit_is_no_attendance() -> None:
    facts = folded("A04 08:00 ED", "A11 08:20")
    assert (attendances(facts), stays(facts)) == ([], [])


def test_20_a_reference_snapshot_of_the_emergency_department() -> None:
    facts = folded("row 08:05 ED own=no admitted=08:00 discharged=18:00")
    assert stays(facts) == ["ED 08:00 18:00 emergency"]
    assert attendances(facts) == ["08:00 18:00 discharged 600"]
    assert facts.attendances["confirmed_until"].dt.hour().to_list() == [18]


def test_21_a_snapshot_sent_every_night_confirms_its_stay() -> None:
    facts = folded("row 08:05 W own=no admitted=08:00", again=NIGHTLY)
    assert stays(facts) == ["W 08:00 - ward start"]
    first, until = facts.stays["confirmed_spans"][0]
    assert until - first > timedelta(days=120)
    assert facts.stays["last_confirmed_at"][0] == until - timedelta(days=90)


def test_22_a_stay_of_the_year_2000_counts_ninety_days_then_and_from_its_arrival_on() -> None:
    facts = folded("row 08:00 W own=no admitted=2000-01-01T00:00")
    spans = facts.stays["confirmed_spans"][0].to_list()
    assert [f"{instant:%Y-%m-%d}" for instant in spans] == ["2000-01-01", "2000-03-31", "2026-03-20", "2026-06-18"]


def test_23_a_patient_who_is_placed_elsewhere_takes_one_bed() -> None:
    facts = folded("A01 08:00 W visit=v1", "A01 10:00+5 X visit=v2")
    assert stays(facts) == ["W 08:00 - ward start", "X 10:00+5 - ward start"]
    until = dict(facts.stays.select("visit_id", "confirmed_until").iter_rows())
    assert until["v1"] == facts.stays.filter(visit_id="v2")["admission_at"][0]
    assert flags(facts.stays.filter(visit_id="v1")) == ["patient_is_elsewhere"]
    assert flags(facts.stays.filter(visit_id="v2")) == []


def test_24_a_discharge_to_a_nursing_facility_is_a_discharge_like_home() -> None:
    facts = folded(
        "A01 08:00 W visit=v1", "A03 12:00+3 visit=v1 status=care_facility", "A01 08:00+10 W visit=v2 type=emergency"
    )
    assert stays(facts) == ["W 08:00 12:00+3 ward start end care_facility", "W 08:00+10 - ward start"]
    assert facts.stays.sort("visit_id")["admission_type"].to_list() == [None, "emergency"]


@pytest.mark.parametrize(
    ("first", "last", "nights"), [("10:00", "00:00+1", 1), ("00:00", "09:00", 0), ("10:00", "09:00+1", 1)]
)
def test_25_nights_are_midnights(first: str, last: str, nights: int) -> None:
    assert folded(f"A01 {first} W", f"A03 {last}").stays["nights"].to_list() == [nights]


def test_26_one_number_in_two_hospitals_is_two_visits() -> None:
    facts = folded(
        "A01 08:00 W visit=h1/1001 number=1001 hospital=1 patient=p1",
        "A01 09:00 W visit=h2/1001 number=1001 hospital=2 patient=p2",
    )
    assert stays(facts) == ["W 08:00 - ward start", "W 09:00 - ward start"]
    assert flags(facts.stays) == []


def test_26_one_number_with_and_without_an_assigner_is_flagged() -> None:
    facts = folded(
        "A01 08:00 W visit=h1/1001 number=1001 patient=p1", "A01 09:00 W visit=k/1001 number=1001 patient=p2"
    )
    assert stays(facts) == ["W 08:00 - ward start", "W 09:00 - ward start"]
    assert all(flags == ["visit_number_has_two_scopes"] for flags in facts.stays["quality_flags"].to_list())


CHAIN = (
    "A01 08:00 W visit=v1 patient=A",
    "A40 09:00 patient=B gives_up=A",
    "A40 10:00 patient=C gives_up=B",
    "A01 12:00 X visit=v2 patient=A",
    "A01 13:00 W visit=v3 patient=B",
)


@pytest.mark.parametrize("order", list(permutations(range(5)))[::7])
def test_27_a_chain_of_merges_gives_everything_to_the_last_number(order: tuple[int, ...]) -> None:
    facts = folded(*(CHAIN[number] for number in order))
    assert facts.stays["patient_id"].to_list() == ["C"] * 3
    assert flags(facts.stays) == ["patient_is_elsewhere"]


def test_27_a_merge_that_closes_a_circle_does_nothing() -> None:
    facts = folded(*CHAIN, "A40 14:00 patient=A gives_up=C")
    assert facts.stays["patient_id"].to_list() == ["C"] * 3
    assert "merge_closes_a_circle" in flags(facts.stays)


def test_28_without_a_list_an_arrival_is_assumed_to_be_an_emergency() -> None:
    facts = folded("A04 08:00 Emergency", "triage 08:10", "A03 11:00", listed={})
    assert attendances(facts) == ["08:00 11:00 discharged 180"]
    assert flags(facts.attendances) == ["emergency_is_assumed"]
    assert facts.attendances["minutes_to_triage"].to_list() == [10]


JOURNEYS = (
    ("A01 08:00 ED class=E admitted=08:00", "A06 12:00 W class=I admitted=08:00", "A03 09:00+2 admitted=08:00"),
    ("A01 08:00 W", "A03 15:00", "A08 15:10 discharged=15:00", "A13 15:30", "A08 16:00 discharged=15:00"),
    ("A01 08:00 X", "A02 12:00 ICU sent=12:00", "A12 12:00 sent=12:01", "A02 12:00 W sent=12:02"),
    ("row 08:10 ED class=E admitted=08:00", "row 12:05 W class=I admitted=08:00", "row 09:00+1 W admitted=08:00"),
)


@pytest.mark.parametrize("lines", JOURNEYS)
def test_the_order_in_which_events_reach_us_changes_nothing(lines: tuple[str, ...]) -> None:
    rows, listed = silver(*lines), departments()
    first = fold(rows, listed, unconfirmed_days=90, zone=ZONE)
    for order in permutations(range(rows.height)):
        other = fold(rows[list(order)], listed, unconfirmed_days=90, zone=ZONE)
        assert other.stays.equals(first.stays)
        assert other.attendances.equals(first.attendances)
