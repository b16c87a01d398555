"""Arrivals fill the beds, follow the weekly profile, and lengths of stay follow the list."""

from collections import Counter
from datetime import UTC, datetime
from random import Random
from statistics import fmean, median

import pytest

from patient_flow.simulator import demand
from patient_flow.simulator.demand import DAY, HOUR, SECOND, ArrivalStream, WeeklyPattern
from patient_flow.simulator.departments import Department
from patient_flow.simulator.events import instant

from .builders import NOW, PARIS, SEED

SURGERY = Department(1, "Surgery", 100, 96.0, 0)
EMERGENCY = Department(1, "Emergency", 40, 6.0, 0)


def test_a_department_alone_is_filled_to_the_target() -> None:
    streams = demand.arrival_streams([SURGERY], transfers=True)
    stays = sum(stream.per_hour for stream in streams if stream.visit_class == "inpatient")
    day_cases = sum(stream.per_hour for stream in streams if stream.visit_class == "day_case")
    occupied = stays * demand.mean_stay_hours(SURGERY) + day_cases * demand.DAY_CASE_HOURS
    assert occupied == pytest.approx(demand.TARGET_OCCUPANCY * SURGERY.staffed_beds)


def test_urgent_patients_come_by_emergency_where_there_is_one() -> None:
    streams = demand.arrival_streams([EMERGENCY, SURGERY], transfers=True)
    assert {stream.department for stream in streams if stream.is_urgent} == {"Emergency"}
    assert [stream.destination for stream in streams if stream.is_urgent] == ["Surgery", None]
    direct = demand.arrival_streams([EMERGENCY, SURGERY], transfers=False)
    assert {stream.department for stream in direct if stream.is_urgent} == {"Emergency", "Surgery"}


def test_three_in_ten_stays_exceed_what_is_expected() -> None:
    rng = Random(SEED)
    stays = [demand.stay(rng, SURGERY) / HOUR for _ in range(20_000)]
    assert median(stays) == pytest.approx(0.75 * 96, rel=0.03)
    assert fmean(stays) == pytest.approx(demand.mean_stay_hours(SURGERY), rel=0.03)
    assert sum(stay > 96 for stay in stays) / len(stays) == pytest.approx(0.3, abs=0.02)


def test_a_patient_found_in_a_bed_has_a_longer_stay_than_average() -> None:
    rng = Random(SEED)
    stays = [demand.stay(rng, SURGERY) for _ in range(50_000)]
    met = fmean(demand.stay_in_progress(rng, SURGERY) for _ in range(50_000))
    assert met == pytest.approx(sum(stay * stay for stay in stays) / sum(stays), rel=0.03)


def test_arrivals_reach_their_average_and_planned_ones_keep_office_hours() -> None:
    rng, week = Random(SEED), WeeklyPattern(PARIS)
    stream = ArrivalStream(1, "Surgery", None, False, per_hour=5.0)
    at, arrivals = NOW, []
    while (at := week.next_arrival(rng, stream, at)) < NOW + 28 * DAY:
        arrivals.append(at)
    assert len(arrivals) / (28 * 24) == pytest.approx(5.0, rel=0.05)
    hours = Counter(instant(arrival).astimezone(PARIS).hour for arrival in arrivals)
    assert set(hours) <= set(range(6, 18))


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), 1),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), 3),
        (datetime(2026, 10, 25, 0, 59, tzinfo=UTC), 2),
        (datetime(2026, 10, 25, 1, 0, tzinfo=UTC), 2),
    ],
)
def test_local_time_follows_summer_time(utc: datetime, local: int) -> None:
    at = int(utc.timestamp()) * SECOND
    assert WeeklyPattern(PARIS).local(at) % DAY // HOUR == local


def test_inpatient_units_discharge_by_day_and_less_at_weekends() -> None:
    rng, week = Random(SEED), WeeklyPattern(PARIS)
    waited = 0
    for hour in range(7 * 24 * 10):
        chosen = week.discharge_at(rng, NOW + hour * HOUR)
        ready, left = (instant(at).astimezone(PARIS) for at in (NOW + hour * HOUR, chosen))
        assert 9 <= left.hour < 19
        if ready.date() != left.date():
            assert ready.weekday() >= 5
            assert left.weekday() == 0
            waited += 1
    assert waited / (2 * 24 * 10) == pytest.approx(demand.WAITS_FOR_MONDAY, abs=0.1)


def test_a_day_case_leaves_before_the_evening_and_no_earlier_than_after_an_hour() -> None:
    rng, week = Random(SEED), WeeklyPattern(PARIS)
    for hour in range(24):
        admitted = NOW + hour * HOUR
        ended = week.day_case_end(rng, admitted)
        assert ended - admitted >= HOUR
        assert instant(ended).astimezone(PARIS).hour <= 20 or ended - admitted == HOUR


def test_three_in_four_emergency_arrivals_are_planned_to_be_released() -> None:
    streams = demand.arrival_streams([EMERGENCY, SURGERY], transfers=True)
    arrivals = {s.destination: s.per_hour for s in streams if s.department == "Emergency"}
    assert arrivals[None] / sum(arrivals.values()) == pytest.approx(demand.RELEASED_SHARE)
