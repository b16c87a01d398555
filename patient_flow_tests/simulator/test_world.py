"""The simulated world from its messages alone: emergency department, beds, plans, classes, steady state."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from patient_flow.simulator import departments
from patient_flow.simulator.demand import DAY
from patient_flow.simulator.feed import messages

from .builders import NOW, PARIS, plan
from .contract_checker import WITHOUT_BED, check_lifecycle

Event = dict[str, Any]
DAYS = 14
HOSPITALS = (1, 2, 3)
EMERGENCY = "Emergency"


@pytest.fixture(scope="module")
def feed() -> list[Event]:
    """Two weeks of three hospitals, each event checked against the contract."""
    network = [d for d in departments.load() if d.hospital_id in HOSPITALS]
    return [check_lifecycle(m.body) for m in messages(plan(start=NOW - DAYS * DAY, departments=network))]


@pytest.fixture(scope="module")
def visits(feed: list[Event]) -> list[list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in feed:
        if event["event_type"] != "merge_patient":
            found[event["visit_id"]].append(event)
    return list(found.values())


@pytest.fixture(scope="module")
def attendances(visits: list[list[Event]]) -> list[list[Event]]:
    """Visits that arrive in the emergency department in the first twelve days, so that all but a few have ended."""
    last = start() + timedelta(days=DAYS - 2)
    return [
        visit
        for visit in visits
        if visit[0].get("department") == EMERGENCY
        and visit[0]["visit_class"] == "emergency"
        and start() <= at(visit[0]) < last
        and not kinds(visit) & {"void_visit"}
    ]


def start() -> datetime:
    return datetime.fromtimestamp((NOW - DAYS * DAY) / 1e6, PARIS)


def at(event: Event, field: str = "event_time") -> datetime:
    return datetime.fromisoformat(event[field])


def kinds(visit: list[Event]) -> set[str]:
    return {event["event_type"] for event in visit}


def minutes(earlier: Event, later: Event) -> float:
    return (at(later) - at(earlier)).total_seconds() / 60


def ward_events(visit: list[Event]) -> list[Event]:
    """Placements outside the emergency department."""
    placements = [event for event in visit if event["event_type"] in {"admission", "transfer"}]
    return [event for event in placements if event["department"] != EMERGENCY]


def share(part: int, whole: int) -> float:
    return part / whole


def in_beds(feed: list[Event], instant: datetime) -> Counter[str]:
    """Patients in bed per department at an instant."""
    beds: dict[str, str] = {}
    for event in feed:
        if at(event) >= instant:
            break
        if event["event_type"] == "merge_patient":
            continue
        if "bed_id" in event and event["event_type"] != "discharge":
            beds[event["visit_id"]] = event["department"]
        else:
            beds.pop(event["visit_id"], None)
    return Counter(beds.values())


def test_three_quarters_of_emergency_patients_leave_without_a_bed_in_a_ward(attendances: list[list[Event]]) -> None:
    released = [visit for visit in attendances if not ward_events(visit) and "discharge" in kinds(visit)]
    assert 0.70 <= share(len(released), len(attendances)) <= 0.80


def test_a_few_percent_of_emergency_patients_leave_without_being_seen(attendances: list[list[Event]]) -> None:
    unseen = [v for v in attendances if v[-1].get("discharge_status") == "left_without_being_seen"]
    assert 0.02 <= share(len(unseen), len(attendances)) <= 0.06
    assert not any("seen_time" in event for visit in unseen for event in visit)


def test_everybody_else_is_seen_after_triage_and_before_any_decision(attendances: list[list[Event]]) -> None:
    for visit in attendances:
        steps = [e for e in visit if e["event_type"] == "triage" or {"seen_time", "decision_time"} & set(e)]
        stated = [("seen" if "seen_time" in e else "decided" if "decision_time" in e else "triage") for e in steps]
        assert stated == ["triage", "seen", "decided"][: len(stated)]
        assert not ward_events(visit) or "decided" in stated


def test_admitted_patients_board_until_a_bed_is_free(attendances: list[list[Event]]) -> None:
    waits = []
    for visit in attendances:
        decisions = [event for event in visit if "decision_time" in event]
        if decisions and ward_events(visit):
            waits.append(minutes(decisions[0], ward_events(visit)[0]))
    assert min(waits) > 0
    assert share(sum(wait > 240 for wait in waits), len(waits)) > 0.005
    assert 15 < sorted(waits)[len(waits) // 2] < 120


def test_some_emergency_patients_have_a_bay_and_others_none(attendances: list[list[Event]]) -> None:
    in_bay = [v for v in attendances if any(e.get("bed_id") and e["department"] == EMERGENCY for e in v)]
    assert 0.3 < share(len(in_bay), len(attendances)) < 0.8
    first = Counter(ward_events(visit)[0]["event_type"] for visit in attendances if ward_events(visit))
    assert set(first) == {"admission", "transfer"}


def test_no_bed_ever_holds_two_patients(feed: list[Event]) -> None:
    holder: dict[tuple[Any, ...], str] = {}
    place: dict[str, tuple[Any, ...]] = {}
    for event in feed:
        if event["event_type"] == "merge_patient":
            continue
        visit = event["visit_id"]
        holder.pop(place.pop(visit, ()), None)
        if "bed_id" in event and event["event_type"] != "discharge":
            bed = (event["hospital_id"], event["department"], event["bed_id"])
            assert bed not in holder
            holder[bed], place[visit] = visit, bed


@pytest.mark.parametrize("hour", [0, 6, 14])
def test_the_first_day_has_the_census_of_the_same_weekday_a_week_later(feed: list[Event], hour: int) -> None:
    first = start().replace(hour=hour, minute=0) + timedelta(days=1)
    early, late = in_beds(feed, first), in_beds(feed, first + timedelta(days=7))
    assert share(early.total(), late.total()) == pytest.approx(1, abs=0.06)
    for department, number in late.items():
        tolerance = 0.35 if department == EMERGENCY else 0.15
        assert share(early[department], number) == pytest.approx(1, abs=tolerance), department


def test_the_first_hour_is_like_the_same_hour_a_week_later(feed: list[Event]) -> None:
    def events_of_a_day(day: int) -> int:
        begin = start() + timedelta(days=day)
        return sum(1 for event in feed if begin <= at(event) < begin + timedelta(hours=12))

    assert share(events_of_a_day(0), events_of_a_day(7)) == pytest.approx(1, abs=0.12)


def test_every_hour_and_weekday_has_its_own_number_of_arrivals(attendances: list[list[Event]]) -> None:
    local = [at(visit[0]).astimezone(PARIS) for visit in attendances]
    hours = Counter(instant.hour for instant in local)
    assert sum(hours[hour] for hour in range(9, 13)) > 3 * sum(hours[hour] for hour in range(2, 6))
    planned_days = Counter(instant.weekday() for instant in local)
    assert planned_days[0] > planned_days[6] * 0.9


def test_plans_are_stated_and_are_not_exactly_what_happens(visits: list[list[Event]]) -> None:
    errors = []
    for visit in visits:
        plans = [event for event in visit if "planned_discharge_time" in event]
        if visit[-1]["event_type"] == "discharge" and plans and plans[-1]["visit_class"] == "inpatient":
            errors.append((at(visit[-1], "discharge_time") - at(plans[-1], "planned_discharge_time")).total_seconds())
    assert share(sum(abs(error) < 12 * 3600 for error in errors), len(errors)) > 0.4
    assert share(sum(error > 12 * 3600 for error in errors), len(errors)) > 0.1
    assert all(error != 0 for error in errors)


def test_some_patients_stay_in_bed_although_they_are_ready_to_leave(visits: list[list[Event]]) -> None:
    delays = []
    for visit in visits:
        ready = [event for event in visit if "ready_time" in event]
        if ready and visit[-1]["event_type"] == "discharge":
            delays.append((at(visit[-1], "discharge_time") - at(ready[-1])).total_seconds() / 3600)
    assert min(delays) > 0
    assert 0.1 < share(sum(delay > 6 for delay in delays), len(delays)) < 0.5


def test_day_cases_leave_on_the_day_they_come(visits: list[list[Event]]) -> None:
    day_cases = [v for v in visits if v[0]["visit_class"] == "day_case" and "discharge" in kinds(v)]
    assert len(day_cases) > 200
    late = [v for v in day_cases if at(v[-1], "discharge_time").astimezone(PARIS).date() != at(v[0]).date()]
    assert share(len(late), len(day_cases)) < 0.03  # corrected admissions and discharges


def test_all_classes_and_admission_types_occur(feed: list[Event]) -> None:
    assert {event.get("visit_class") for event in feed} >= {
        "inpatient",
        "emergency",
        "day_case",
        "observation",
        "outpatient",
        "virtual",
        "home",
    }
    assert {event.get("admission_type") for event in feed} >= {
        "emergency",
        "elective",
        "maternity",
        "newborn",
        "transfer",
    }


def test_visits_without_a_bed_name_none(feed: list[Event]) -> None:
    without = [event for event in feed if event.get("visit_class") in WITHOUT_BED]
    assert without
    assert not any("bed_id" in event for event in without)
    assert {"department" in event for event in without} == {True, False}


def test_a_provisional_number_is_merged_into_one_number_and_used_no_more(feed: list[Event]) -> None:
    merges = {e["merged_patient_id"]: (at(e), e["patient_id"]) for e in feed if e["event_type"] == "merge_patient"}
    assert 20 < len(merges) < 0.01 * len(feed)
    assert not {survivor for _, survivor in merges.values()} & set(merges)
    for event in feed:
        merged_at, _ = merges.get(event["patient_id"], (at(event), ""))
        assert at(event) <= merged_at


def test_now_and_then_a_discharge_is_recorded_late_or_never(feed: list[Event], visits: list[list[Event]]) -> None:
    discharges = [event for event in feed if event["event_type"] == "discharge"]
    late = [event for event in discharges if event["discharge_time"] != event["event_time"]]
    assert 0.0005 < share(len(late), len(discharges)) < 0.005
    ended = {v[0]["visit_id"] for v in visits if "discharge" in kinds(v)}
    end = at(feed[-1])
    silent = [
        visit
        for visit in visits
        if visit[0]["visit_class"] == "day_case" and visit[0]["visit_id"] not in ended and at(visit[0]) < end
    ]
    assert len(silent) < 0.02 * len(visits)


def test_a_transferred_patient_often_continues_in_another_hospital(visits: list[list[Event]]) -> None:
    arrivals = {(v[0]["patient_id"], v[0]["hospital_id"]): at(v[0]) for v in visits}
    transferred = [v for v in visits if v[-1].get("discharge_status") == "transferred" and ward_events(v)]
    followed = [
        v
        for v in transferred
        if any((v[-1]["patient_id"], h) in arrivals for h in HOSPITALS if h != v[-1]["hospital_id"])
    ]
    assert share(len(followed), len(transferred)) > 0.4


def test_events_of_a_visit_follow_each_other_in_time(visits: list[list[Event]]) -> None:
    for visit in visits:
        assert all(at(before) < at(after) for before, after in pairwise(visit))
