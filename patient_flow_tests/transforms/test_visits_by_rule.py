"""The rules in plain Python: flow.md's journeys, and the package's fold held against them on random feeds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from patient_flow_tests.transforms import feeds
from patient_flow_tests.transforms.feeds import clock
from patient_flow_tests.visits_by_rule import comparison, counting, generator
from patient_flow_tests.visits_by_rule.clusters import Hospital
from patient_flow_tests.visits_by_rule.departments import DepartmentList
from patient_flow_tests.visits_by_rule.events import Event

E = "A01 08:00 ED class=E"
NIGHTLY = [f"02:00+{day}" for day in range(1, 121)]

JOURNEYS: list[tuple[str, list[str], list[str], list[str]]] = [
    ("1 treated and released", ["A04 08:00 ED", "A03 13:00"], [], ["08:00 13:00 discharged 300"]),
    (
        "2 emergency stay, then ward",
        [f"{E} admitted=08:00", "A06 12:00 W class=I admitted=08:00", "A03 09:00+2 admitted=08:00"],
        ["ED 08:00 12:00 emergency", "W 12:00 09:00+2 ward start end wait=240"],
        ["08:00 12:00 admitted 240"],
    ),
    (
        "3 admission time is the arrival",
        ["A04 08:00 ED", "A01 09:00 W admitted=08:00"],
        ["W 09:00 - ward start wait=60"],
        ["08:00 09:00 admitted 60"],
    ),
    (
        "4 repeated discharge time",
        ["A01 10:00 W", "A03 12:00", "A01 20:00 W admitted=10:00", "A08 21:00 discharged=12:00"],
        ["W 10:00 12:00 ward start", "W 20:00 - ward"],
        [],
    ),
    (
        "5 cancelled discharge repeated by updates",
        ["A01 08:00 W", "A03 15:00", "A08 15:10 discharged=15:00", "A13 15:30", "A08 16:00 discharged=15:00"],
        ["W 08:00 - ward start"],
        [],
    ),
    (
        "6 a plan repeated after it has passed",
        ["A01 08:00 W", "A08 11:00 discharged=18:00", "A08 20:00 discharged=18:00"],
        ["W 08:00 - ward start planned=18:00"],
        [],
    ),
    ("7 discharge time", ["A01 08:00 W", "A03 15:00 discharged=15:02"], ["W 08:00 15:02 ward start end"], []),
    (
        "8 two Encounters",
        [
            "row 12:20 ED visit=v1 class=E admitted=08:00 discharged=12:10",
            "row 12:30 W visit=v2 class=I admitted=12:00",
        ],
        ["ED 08:00 12:10 emergency", "W 12:00 - ward start wait=240"],
        ["08:00 12:00 admitted 240"],
    ),
    (
        "9 one Encounter that moves",
        [
            "row 08:10 ED class=E admitted=08:00",
            "row 12:05 W class=I admitted=08:00",
            "row 09:00+1 W class=I admitted=08:00 discharged=08:30+1",
        ],
        ["ED 08:00 12:05 emergency", "W 12:05 08:30+1 ward start end wait=245 time_is_estimated"],
        ["08:00 12:05 admitted 245"],
    ),
    (
        "10 states of one Encounter",
        [
            "row 08:01 W class=I admitted=08:00",
            "row 10:00 W class=I admitted=08:00",
            "row 14:30 W class=I admitted=08:00 discharged=14:00",
        ],
        ["W 08:00 14:00 ward start end"],
        [],
    ),
    (
        "11 a nightly row beside a stream",
        ["A01 10:00 ICU", "A02 12:00 X", "row 02:00+1 X admitted=10:00"],
        ["ICU 10:00 12:00 ward start", "X 12:00 - ward transfer"],
        [],
    ),
    (
        "12 a boarder moved late",
        [E, "A02 12:00 W class=I sent=16:00", "A08 13:00 ED", "A08 14:00 ED"],
        ["ED 08:00 12:00 emergency", "W 12:00 - ward start wait=240 update_names_an_earlier_department"],
        ["08:00 12:00 admitted 240"],
    ),
    (
        "13 a cancel within the minute",
        ["A01 08:00 X", "A02 12:00 ICU sent=12:00", "A12 12:00 sent=12:01", "A02 12:00 W sent=12:02"],
        ["X 08:00 12:00 ward start", "W 12:00 - ward transfer"],
        [],
    ),
    (
        "14 a side stay ends no attendance",
        [E, "A02 09:00 CT", "A02 10:00 ED", "A03 12:00 status=home"],
        ["ED 08:00 09:00 emergency", "CT 09:00 10:00 side", "ED 10:00 12:00 emergency"],
        ["08:00 12:00 discharged 240"],
    ),
    (
        "15 back on a ward hours later",
        [E, "A03 10:00 status=home", "A01 20:00 W class=I"],
        ["ED 08:00 10:00 emergency", "W 20:00 - ward start"],
        ["08:00 10:00 discharged 120"],
    ),
    (
        "16 back to the emergency department",
        [E, "A02 12:00 W class=I", "A02 18:00 ED", "A03 20:00 status=home"],
        ["ED 08:00 12:00 emergency", "W 12:00 18:00 ward start end wait=240 home", "ED 18:00 20:00 emergency"],
        ["08:00 12:00 admitted 240"],
    ),
    (
        "17 outpatient with a bed",
        ["A01 08:00 W class=I bed=7", "A07 10:00+2 W class=O bed=7", "A03 10:00+4"],
        ["W 08:00 10:00+4 ward start end"],
        [],
    ),
    (
        "18 outpatient without a bed",
        ["A01 08:00 W class=I bed=7", "A07 10:00+2 W class=O", "A03 10:00+4 status=home"],
        ["W 08:00 10:00+2 ward start end home"],
        [],
    ),
    ("19 cancelled visit", ["A04 08:00 ED", "A11 08:20"], [], []),
    (
        "20 reference snapshot of the emergency department",
        ["row 08:05 ED own=no admitted=08:00 discharged=18:00"],
        ["ED 08:00 18:00 emergency planned=18:00"],
        ["08:00 18:00 discharged 600"],
    ),
    ("21 one snapshot every night", ["row 08:00 W own=no"], ["W 08:00 - ward start"], []),
    ("22 a snapshot of long ago", ["row 2000-01-01 W own=no sent=08:00"], ["W 2000-01-01 - ward start"], []),
    (
        "23 missing discharge",
        ["A01 08:00 W visit=v1", "A01 08:00+5 X visit=v2"],
        ["W 08:00 - ward start patient_is_elsewhere", "X 08:00+5 - ward start"],
        [],
    ),
    (
        "24 a nursing facility",
        ["A01 08:00 W", "A03 10:00 status=care_facility", "A01 08:00+10 W visit=v2 type=emergency"],
        ["W 08:00 10:00 ward start end care_facility", "W 08:00+10 - ward start"],
        [],
    ),
    (
        "25 nights",
        ["A01 10:00 W", "A03 00:00+1", "A01 00:00+1 W visit=v2", "A03 09:00+1 visit=v2"],
        ["W 10:00 00:00+1 ward start end nights=1", "W 00:00+1 09:00+1 ward start end"],
        [],
    ),
    (
        "26 one number under two scopes",
        ["A01 08:00 W visit=v1 number=1001", "A01 09:00 W visit=v2 number=1001 patient=p2"],
        [
            "W 08:00 - ward start visit_number_has_two_scopes",
            "W 09:00 - ward start visit_number_has_two_scopes",
        ],
        [],
    ),
    (
        "27 a chain of merges, arriving in reverse",
        [
            "A01 08:00 W visit=v1 patient=A",
            "A40 11:00 patient=C gives_up=B",
            "A40 10:00 patient=B gives_up=A",
            "A01 12:00 X visit=v2 patient=A",
        ],
        ["W 08:00 - ward start patient_is_elsewhere of=C", "X 12:00 - ward start of=C"],
        [],
    ),
]


def facts_of(lines: list[str], listed: dict[str, str] | None = None, again: list[str] | None = None) -> Any:
    events = [Event.of(row) for row in feeds.silver(*lines).iter_rows(named=True)]
    repeats = {"v1": [feeds.at(at) for at in again or []]}
    departments = DepartmentList(feeds.departments(listed).iter_rows(named=True))
    return Hospital(events, departments, unconfirmed_days=90, zone="UTC", again=repeats).facts()


def stay_line(row: dict[str, Any]) -> str:
    marks = [mark for mark in ("start", "end") if row[f"is_visit_{mark}"]] + ["transfer"] * row["is_transfer"]
    marks += [f"wait={row['wait_minutes']:g}"] if row["wait_minutes"] is not None else []
    marks += [row["discharge_status"]] if row["discharge_status"] else []
    marks += [f"planned={clock(row['planned_discharge_at'])}"] if row["planned_discharge_at"] else []
    marks += ["nights=1"] if row["nights"] == 1 and row["discharge_at"].hour == 0 else []
    marks += [flag for flag in row["quality_flags"] if not flag.startswith("admission_time")]
    marks += [f"of={row['patient_id']}"] if row["patient_id"] != "p1" and row["patient_id"] != "p2" else []
    return " ".join(
        [row["department"], clock(row["admission_at"]), clock(row["discharge_at"]), row["stay_kind"], *marks]
    )


def attendance_line(row: dict[str, Any]) -> str:
    minutes = "" if row["minutes_in_department"] is None else f" {row['minutes_in_department']:g}"
    return f"{clock(row['arrival_at'])} {clock(row['departure_at'])} {row['outcome']}{minutes}"


@pytest.mark.parametrize(("lines", "stays", "attendances"), [j[1:] for j in JOURNEYS], ids=[j[0] for j in JOURNEYS])
def test_a_journey_through_the_rules(lines: list[str], stays: list[str], attendances: list[str]) -> None:
    facts = facts_of(lines)
    assert [stay_line(row) for row in facts.stays] == stays
    assert [attendance_line(row) for row in facts.attendances] == attendances


DECIDED: list[tuple[str, list[str], list[str], list[str]]] = [
    (
        "F7 a snapshot that restates the stay before a transfer is not silent",
        ["row 04:00 X admitted=00:30 sent=05:00", "A08 04:00 ICU", "row 10:30 X admitted=02:00", "A02 12:30 W"],
        ["ICU 02:00 12:30 ward start", "W 12:30 - ward transfer"],
        [],
    ),
    (
        "F2 all visits of an ambiguous number are flagged",
        [
            "A01 08:00 W visit=v1 number=1001",
            "A01 09:00 W visit=v2 number=1001 patient=p2",
            "A01 09:00+90 W visit=v3 number=1001 patient=p9",
        ],
        [
            "W 08:00 - ward start visit_number_has_two_scopes",
            "W 09:00 - ward start visit_number_has_two_scopes",
            "W 09:00+90 - ward start visit_number_has_two_scopes of=p9",
        ],
        [],
    ),
    (
        "F5 outpatient in the emergency department undoes an end by class",
        ["A01 08:00 W class=I", "A08 09:00 class=V", "A08 09:30 ED class=O"],
        ["ED 08:00 - emergency"],
        ["08:00 - None"],
    ),
    (
        "F14 a triage stands for the arrival where a stated arrival is later than the first stay",
        ["row 05:00 U admitted=03:00", "triage 05:00 triaged=03:00", "A03 03:00+1 arrived=04:00"],
        ["U 03:00 03:00+1 ward start end"],
        ["03:00 03:00 admitted 0"],
    ),
    (
        "F6 a snapshot dates the first placement, whatever lies between",
        [
            "row 00:00 ED own=no stays=X/00:00/03:00,ICU/03:00/ sent=04:00",
            "row 00:30 CT admitted=00:00",
            "row 00:00+1 U admitted=02:00",
        ],
        [
            "X 02:00 02:00 ward start stay_times_conflict",
            "CT 00:30 03:00 side time_is_estimated",
            "ICU 03:00 00:00+1 ward transfer",
            "U 00:00+1 - ward transfer time_is_estimated",
        ],
        [],
    ),
    (
        "F5 an end by class stands until a placement follows, whatever ends later",
        ["A08 13:30 class=P", "row 14:00 ICU admitted=12:00 stays=ICU/12:00/15:00 sent=15:00", "A03 12:00+1"],
        ["ICU 12:00 13:30 ward start end"],
        [],
    ),
    (
        "F11 the end that a nightly row states ends the stay after the transfers",
        ["A01 10:00 ICU", "A02 12:00 W", "row 10:00 W own=no discharged=18:00 status=home sent=02:00+1"],
        ["ICU 10:00 12:00 ward start", "W 12:00 18:00 ward end transfer home"],
        [],
    ),
    (
        "F11 the last stated end counts, though it lies before the arrival and ends nothing",
        ["A04 08:00 ED discharged=08:00", "A08 11:00 discharged=07:00"],
        [],
        ["08:00 - None"],
    ),
    (
        "F1 a discharge event goes before the end that a row states",
        ["A01 10:00 W", "A02 12:00 X", "A03 17:00", "row 10:00 X own=no discharged=18:00 sent=02:00+1"],
        ["W 10:00 12:00 ward start", "X 12:00 17:00 ward end transfer"],
        [],
    ),
    (
        "F11 the end of a row whose stays lie before it",
        ["row 08:00 W own=no stays=X/08:00/12:00,W/12:00/ discharged=18:00 sent=20:00"],
        ["X 08:00 12:00 ward start", "W 12:00 18:00 ward end transfer"],
        [],
    ),
    (
        "F15 what answers an attendance has none of its own, though its stay then begins after its triage",
        [
            "A02 02:00 U visit=v2 class=E",
            "A01 00:00+1 W visit=v1 admitted=23:30-1",
            "triage 00:00+1 visit=v1 sent=00:01+1",
        ],
        ["W 00:00+1 - ward start wait=1320", "U 02:00 - emergency patient_is_elsewhere"],
        ["02:00 00:00+1 admitted 1320"],
    ),
]


@pytest.mark.parametrize(("lines", "stays", "attendances"), [d[1:] for d in DECIDED], ids=[d[0] for d in DECIDED])
def test_fold_and_rules_agree_where_random_feeds_once_differed(
    lines: list[str], stays: list[str], attendances: list[str]
) -> None:
    rules, fold = facts_of(lines), feeds.folded(*lines)
    by_rule = sorted(rules.stays, key=lambda row: (row["visit_id"], row["stay_number"]))
    assert [stay_line(row) for row in by_rule] == stays
    assert [stay_line(row) for row in fold.stays.sort("visit_id", "stay_number").iter_rows(named=True)] == stays
    assert [attendance_line(row) for row in rules.attendances] == attendances
    assert [attendance_line(row) for row in fold.attendances.iter_rows(named=True)] == attendances


def test_journey_20_the_attendance_lasts_as_long_as_its_plan() -> None:
    facts = facts_of(["row 08:05 ED own=no admitted=08:00 discharged=18:00"])
    assert clock(facts.attendances[0]["confirmed_until"]) == "18:00"


def test_journey_21_repeats_confirm_120_days() -> None:
    stay = facts_of(["row 08:00 W own=no"], again=NIGHTLY).stays[0]
    assert [clock(at) for at in stay["confirmed_spans"]] == ["08:00", "02:00+210"]


def test_journey_22_confirms_90_days_of_2000_and_from_today() -> None:
    stay = facts_of(["row 2000-01-01 W own=no sent=08:00"]).stays[0]
    first, last, *again = stay["confirmed_spans"]
    assert (last - first).days == 90
    assert [clock(at) for at in again] == ["08:00", "08:00+90"]


def test_journey_28_no_list_at_all() -> None:
    facts = facts_of(["A04 08:00 ED", "triage 08:10", "A03 10:00"], listed={})
    assert [attendance_line(row) for row in facts.attendances] == ["08:00 10:00 discharged 120"]
    assert facts.attendances[0]["quality_flags"] == ["emergency_is_assumed"]


@pytest.mark.parametrize("block", range(4))
def test_the_fold_follows_the_rules_on_random_feeds(block: int) -> None:
    for seed in range(block * 60, block * 60 + 60):
        feed = generator.feed(seed)
        found = comparison.differences(feed)
        assert not found, f"seed {seed}: {found[0]}\n{comparison.lines(comparison.shrink(feed))}"


@pytest.mark.parametrize("block", range(4))
def test_plain_visits_follow_the_rules_on_random_feeds(block: int) -> None:
    for seed in range(block * 60, block * 60 + 60):
        feed = generator.plain_feed(seed)
        found = comparison.differences(feed)
        assert not found, f"seed {seed}: {found[0]}\n{comparison.lines(comparison.shrink(feed))}"


def test_a_seed_gives_the_same_feed() -> None:
    assert generator.feed(7) == generator.feed(7)


def test_staffed_hours_run_from_the_first_patient_hour() -> None:
    hour = datetime.fromisoformat("2026-03-20T10:00:00+00:00")
    census = {(hour, "1", "W", "Female"): 1}
    departments = [
        {"hospital_id": "1", "department": name, "staffed_beds": 10, "valid_from": begins, "valid_to": None}
        for name, begins in (("W", feeds.at("00:00-9")), ("X", feeds.at("00:00-9")), ("ICU", feeds.at("20:00")))
    ]
    found = counting.staffed(census, departments, "UTC")
    assert {name: hours for (_, _, name, _), hours in found.items()} == {"W": 140, "ICU": 40}
