"""The simulated network follows the rules of a hospital."""

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import islice, pairwise

import pytest

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
        found[event.visit_id].append(event)
    return found


def test_the_same_seed_and_start_give_the_same_week(week: list[SimEvent]) -> None:
    assert days_of(network(), 1) == [event for event in week if event.at < NOW + DAY]


def test_another_seed_gives_another_week(week: list[SimEvent]) -> None:
    assert list(islice(network(seed=SEED + 1).events(), 100)) != week[:100]


def test_happenings_come_in_order_of_time(week: list[SimEvent]) -> None:
    assert all(before.at <= after.at for before, after in pairwise(week))


def test_the_events_of_a_visit_follow_each_other_in_a_valid_order(visits: dict[str, list[SimEvent]]) -> None:
    successors = {
        "arrival": {"triage", "admission", "discharge"},
        "triage": {"admission", "discharge"},
        "admission": {"transfer", "discharge", "update", "cancel_admission"},
        "cancel_admission": {"admission", "discharge"},
        "transfer": {"transfer", "discharge", "update", "cancel_transfer"},
        "cancel_transfer": {"transfer", "discharge", "update"},
        "update": {"update", "transfer", "discharge"},
        "discharge": {"cancel_discharge"},
        "cancel_discharge": {"discharge"},
    }
    for visit in visits.values():
        assert visit[0].kind in {"arrival", "admission"}
        for before, after in pairwise(visit):
            assert after.kind in successors[before.kind]
            assert after.at > before.at


def test_every_stay_has_its_admission_in_the_feed(visits: dict[str, list[SimEvent]]) -> None:
    for visit in visits.values():
        kinds = [event.kind for event in visit]
        if "transfer" in kinds:
            assert kinds.index("admission") < kinds.index("transfer")
        if "discharge" in kinds and "admission" not in kinds:
            assert visit[-1].discharge_status == "left_without_being_seen"
            assert visit[-1].bed_id is None


def test_no_bed_ever_holds_two_patients_and_no_department_has_more_patients_than_beds(week: list[SimEvent]) -> None:
    """Derived from the events alone, as the pipeline sees them."""
    capacity = {(d.hospital_id, d.name): d.staffed_beds for d in sorted(departments.load(), key=lambda d: d.valid_from)}
    holder: dict[tuple[object, str, int], str] = {}
    place: dict[str, tuple[object, str, int]] = {}
    occupied: Counter[tuple[object, str]] = Counter()
    for event in week:
        old = place.pop(event.visit_id, None)
        if old is not None:
            del holder[old]
            occupied[old[:2]] -= 1
        if event.bed_id is None or event.kind in {"discharge", "cancel_admission"}:
            continue
        bed = (event.hospital_id, event.department, event.bed_id)
        assert bed not in holder
        holder[bed], place[event.visit_id] = event.visit_id, bed
        occupied[bed[:2]] += 1
        assert occupied[bed[:2]] <= capacity[bed[:2]]


def test_occupancy_is_that_of_a_busy_hospital() -> None:
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
        assert 0.6 < sum(shares) / len(shares) < 0.95, name
        assert max(shares) <= 1, name


def test_patients_return(visits: dict[str, list[SimEvent]]) -> None:
    per_patient = Counter(visit[0].patient_id for visit in visits.values())
    returned = sum(1 for number in per_patient.values() if number > 1)
    assert 0.02 < returned / len(per_patient) < 0.3


def test_nobody_is_in_two_places_at_once(visits: dict[str, list[SimEvent]]) -> None:
    spans = defaultdict(list)
    for visit in visits.values():
        ended = visit[-1].kind == "discharge"
        spans[visit[0].patient_id].append((visit[0].at, visit[-1].at if ended else NOW + DAYS * DAY))
    for patient_spans in spans.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(patient_spans)))


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
    }
    statuses = {event.discharge_status for event in week if event.kind == "discharge"}
    assert statuses == {
        "home",
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


def test_patients_in_bed_at_the_start_were_admitted_before_it(week: list[SimEvent]) -> None:
    before = [event for event in week if event.at <= NOW]
    beds = sum(unit.capacity for unit in network().units.values())
    assert 0.65 * beds < sum(1 for event in before if event.kind == "admission") < 0.9 * beds
    assert instant(before[0].at) > instant(NOW) - timedelta(days=46)


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
    assert {event.department for event in events} == {"Surgery", "Oncology"}


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
