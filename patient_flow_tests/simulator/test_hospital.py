"""The simulated network follows the rules of a hospital."""

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import islice, pairwise, takewhile
from statistics import fmean

import pytest

from patient_flow import demo
from patient_flow.simulator import departments
from patient_flow.simulator.demand import DAY, HOUR
from patient_flow.simulator.departments import Department
from patient_flow.simulator.events import instant
from patient_flow.simulator.hospital import Network
from patient_flow.simulator.units import SimEvent, Unit

from .builders import NOW, PARIS, SEED, days_of

DAYS = 8


def network(*, seed: int = SEED, transfers: bool = True) -> Network:
    return Network(seed, NOW, departments.load(), PARIS, transfers=transfers)


@pytest.fixture(scope="module")
def week() -> list[SimEvent]:
    return days_of(network(), DAYS)


@pytest.fixture(scope="module")
def visits(week: list[SimEvent]) -> dict[str, list[SimEvent]]:
    found = defaultdict(list)
    for event in week:
        if event.kind != "merge_patient":
            found[event.visit_id].append(event)
    return found


def test_the_same_seed_and_start_give_the_same_week(week: list[SimEvent]) -> None:
    assert days_of(network(), 1) == [event for event in week if event.at < NOW + DAY]


def test_another_seed_gives_another_week(week: list[SimEvent]) -> None:
    assert list(islice(network(seed=SEED + 1).events(), 100)) != week[:100]


def test_events_come_in_order_of_time(week: list[SimEvent]) -> None:
    assert all(before.at <= after.at for before, after in pairwise(week))


def test_the_events_of_a_visit_follow_each_other_in_a_valid_order(visits: dict[str, list[SimEvent]]) -> None:
    successors = {
        "arrival": {"triage", "admission", "discharge", "void_visit", "cancel_admission"},
        "triage": {"admission", "discharge", "update"},
        "admission": {"transfer", "discharge", "update", "cancel_admission"},
        "cancel_admission": {"admission", "discharge"},
        "transfer": {"transfer", "discharge", "update", "cancel_transfer"},
        "cancel_transfer": {"discharge"},
        "update": {"update", "admission", "transfer", "discharge"},
        "discharge": {"cancel_discharge"},
        "cancel_discharge": {"discharge"},
        "void_visit": set(),
    }
    for visit in visits.values():
        assert visit[0].kind == "arrival"
        for before, after in pairwise(visit):
            assert after.kind in successors[before.kind]
            assert after.at > before.at


def test_every_stay_has_its_admission_in_the_feed(visits: dict[str, list[SimEvent]]) -> None:
    for visit in visits.values():
        kinds = [event.kind for event in visit]
        if "transfer" in kinds:
            assert kinds.index("admission") < kinds.index("transfer")
        if "admission" not in kinds:
            assert all(event.bed_id is None for event in visit)


def test_occupancy_is_that_of_a_busy_hospital_and_never_above_its_beds() -> None:
    simulated = network()
    samples: dict[str, list[float]] = defaultdict(list)
    next_sample = NOW
    for event in simulated.events():
        if event.at >= NOW + DAYS * DAY:
            break
        if event.at >= next_sample:
            next_sample += 3 * HOUR
            for unit in simulated.units.values():
                samples[unit.name].append(unit.occupied / unit.capacity)
    for name, shares in samples.items():
        lowest = 0.3 if name == "Emergency" else 0.7  # many emergency patients need no bay
        assert lowest < sum(shares) / len(shares) < 0.95, name
        assert max(shares) <= 1, name


def test_patients_return(visits: dict[str, list[SimEvent]]) -> None:
    per_patient = Counter(visit[0].patient_id for visit in visits.values())
    returned = sum(1 for number in per_patient.values() if number > 1)
    assert 0.02 < returned / len(per_patient) < 0.3


def test_a_patient_is_in_two_places_at_once_only_where_a_discharge_was_forgotten(
    visits: dict[str, list[SimEvent]],
) -> None:
    spans = defaultdict(list)
    for visit in visits.values():
        left_at = visit[-1].discharged_at or visit[-1].at
        is_over = visit[-1].kind in {"discharge", "void_visit"}
        spans[visit[0].patient_id].append((visit[0].at, left_at if is_over else NOW + DAYS * DAY))
    overlaps = [before for found in spans.values() for before, after in pairwise(sorted(found)) if before[1] > after[0]]
    assert len(overlaps) < 0.002 * len(visits)
    assert all(until == NOW + DAYS * DAY for _, until in overlaps)


def test_deceased_patients_do_not_return(visits: dict[str, list[SimEvent]]) -> None:
    died = {visit[-1].patient_id: visit[-1].at for visit in visits.values() if visit[-1].discharge_status == "deceased"}
    assert died
    for visit in visits.values():
        assert visit[0].at <= died.get(visit[0].patient_id, visit[0].at)


def test_monday_morning_is_busier_than_sunday_night(week: list[SimEvent]) -> None:
    arrivals = Counter(
        (local.weekday(), local.hour)
        for local in (instant(h.at).astimezone(PARIS) for h in week if h.kind == "arrival")
    )
    monday_morning = sum(arrivals[0, hour] for hour in range(9, 13))
    sunday_night = sum(arrivals[6, hour] for hour in range(1, 5))
    assert monday_morning > 3 * sunday_night


def test_every_event_type_and_discharge_status_occurs_within_a_week(week: list[SimEvent]) -> None:
    assert {event.kind for event in week} == {
        "arrival",
        "triage",
        "admission",
        "transfer",
        "discharge",
        "update",
        "cancel_admission",
        "cancel_transfer",
        "cancel_discharge",
        "void_visit",
        "merge_patient",
    }
    statuses = {event.discharge_status for event in week if event.kind == "discharge"}
    assert statuses == {
        "home",
        "care_facility",
        "transferred",
        "deceased",
        "left_against_advice",
        "left_without_being_seen",
        "other",
    }


def test_genders_and_ages_fit_the_departments(week: list[SimEvent]) -> None:
    genders = Counter(event.gender for event in week)
    assert set(genders) == {"Female", "Male", "Other", "Unknown"}
    assert genders["Other"] + genders["Unknown"] < 0.03 * genders.total()
    assert all(0 <= event.age <= 100 for event in week)
    assert all(h.gender == "Female" and 15 <= h.age <= 50 for h in week if h.department == "Maternity")
    assert all(h.age <= 18 for h in week if h.department == "Pediatrics")


def test_the_stays_under_way_at_the_start_have_their_events_before_it(week: list[SimEvent]) -> None:
    before = [event for event in week if event.at <= NOW]
    open_visits = {event.visit_id for event in before}
    assert not open_visits & {event.visit_id for event in before if event.kind == "void_visit"}
    assert all(event.kind != "discharge" or event.visit_id in open_visits for event in before)
    placed = {event.visit_id for event in before if event.kind in {"admission", "transfer"}}
    beds = sum(unit.capacity for unit in network().units.values())
    assert 0.7 * beds < len(placed) < 0.95 * beds
    assert len(open_visits) > len(placed)  # others wait in the emergency department
    assert instant(before[0].at) > instant(NOW) - timedelta(days=51)


def test_without_transfers_every_visit_is_one_stay_that_ends_as_planned() -> None:
    planned = {}
    for event in days_of(network(transfers=False), 3):
        assert event.kind in {"arrival", "triage", "admission", "discharge"}
        if event.kind == "admission":
            assert event.discharge_status is not None
            planned[event.visit_id] = event.planned_discharge
        elif event.kind == "discharge" and event.bed_id is not None:
            assert event.at == planned.pop(event.visit_id)


def test_a_hospital_without_emergency_admits_everybody_directly() -> None:
    clinic = [Department(1, "Surgery", 20, 48.0, 0), Department(1, "Oncology", 10, 60.0, 0)]
    events = days_of(Network(SEED, NOW, clinic), 10)
    assert {event.department for event in events} - {None} == {"Surgery", "Oncology"}


def test_departments_keep_their_reserve_of_beds_whatever_the_demand() -> None:
    clinic = [Department(1, "Surgery", 20, 48.0, 0), Department(1, "Oncology", 10, 60.0, 0)]
    occupied = {}
    for reserve in (0.0, 0.3):
        simulated = Network(SEED, NOW, clinic, demand=2.0, reserve=reserve)
        shares = [
            sum(unit.occupied for unit in simulated.units.values()) / 30
            for event in takewhile(lambda event: event.at < NOW + 12 * DAY, simulated.events())
            if event.at > NOW + 8 * DAY
        ]
        occupied[reserve] = fmean(shares)
    assert occupied[0.0] > 0.9
    assert 0.6 < occupied[0.3] < 0.85  # half of the reserve is for urgent patients


def test_patients_on_their_way_through_the_emergency_department_count_against_the_reserve() -> None:
    """Otherwise many departments of the demo are full at once: more than three bed alerts."""
    simulated = Network(SEED, NOW, departments.load(), PARIS, demand=demo.DEMAND, reserve=demo.RESERVE)
    full, following = [], NOW + 5 * DAY
    for event in takewhile(lambda event: event.at < NOW + 20 * DAY, simulated.events()):
        if event.at >= following:
            full.append(sum(unit.capacity > 0 and unit.occupied >= unit.capacity for unit in simulated.units.values()))
            following += HOUR
    assert 1 <= max(full) <= 3
    assert fmean(full) < 0.2


def test_a_new_version_of_a_department_changes_its_beds_when_it_becomes_valid() -> None:
    versions = [Department(1, "Surgery", 20, 48.0, 0), Department(1, "Surgery", 12, 48.0, NOW + 5 * DAY)]
    clinic = Network(SEED, NOW, versions)
    (unit,) = clinic.units.values()
    days_of(clinic, 4)
    assert unit.capacity == 20
    days_of(clinic, 15)
    assert unit.capacity == 12
    assert unit.occupied <= 12


def test_a_unit_with_fewer_beds_than_before_assigns_none_until_it_is_below_its_capacity() -> None:
    unit = Unit(Department(1, "ICU", 3, 24.0, 0), first_bed=1)
    beds = [unit.assign() for _ in range(3)]
    unit.resize(Department(1, "ICU", 2, 24.0, 1))
    answers = []
    for bed in (beds[0], beds[2]):
        unit.release(bed)
        answers.append(unit.has_free_bed)
    assert answers == [False, True]
    assert unit.assign() == beds[0]
