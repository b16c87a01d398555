"""The views against the same figures counted one by one in plain Python, on the databases of both stacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.views import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stacks import Stack
from patient_flow_tests.stores.warehouse.builders import (
    HOUR,
    ZONE,
    Attendance,
    Hospital,
    Stay,
    Version,
    everything,
    hospital,
    nights_between,
    patient_id,
    time_key,
)

NOW = datetime.now(UTC)
THIS_HOUR = NOW.replace(minute=0, second=0, microsecond=0)
GENDERS = ("Female", "Male", "Other", "Unknown")
MONTH = timedelta(days=30)

HOSPITALS: Mapping[str, Callable[[], Hospital]] = {
    "until_now": lambda: hospital(THIS_HOUR - timedelta(days=75), THIS_HOUR),
    "spring_forward": lambda: hospital(datetime(2025, 3, 28, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC), visits=60),
    "fall_back": lambda: hospital(datetime(2025, 10, 24, tzinfo=UTC), datetime(2025, 10, 28, tzinfo=UTC), visits=60),
}

Row = dict[str, Any]
Key = tuple[Any, ...]


@pytest.fixture(scope="module", params=HOSPITALS)
def known(request: pytest.FixtureRequest) -> Hospital:
    """A hospital: one that goes on today, and two that live through a change of the clocks."""
    return HOSPITALS[request.param]()


@pytest.fixture(scope="module")
def filled(stack: Stack, known: Hospital) -> Iterator[Warehouse]:
    """A warehouse that holds it; tests only read it."""
    warehouse = Warehouse(stack.warehouse_url(), stack.warehouse_kind)
    warehouse.init()
    warehouse.load(everything(known.frames()), newest_event_at=known.last, loaded_at=NOW, run_id="test")
    yield warehouse
    warehouse.dispose()


def rows_of(warehouse: Warehouse, view: str, *key: str) -> dict[Key, Row]:
    """Rows of a view by key; a key that is there twice is a mistake."""
    found = warehouse.query(sa.select(TABLES[view])).to_dicts()
    by_key = {tuple(row[name] for name in key): row for row in found}
    assert len(by_key) == len(found)
    return by_key


def assert_same(found: Mapping[Key, Row], expected: Mapping[Key, Row], *, hours: float = 1e-6) -> None:
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        for name, value in row.items():
            is_number = isinstance(value, int | float)
            assert found[key][name] == (pytest.approx(value, rel=1e-9, abs=hours) if is_number else value), name


def local(instant: datetime) -> datetime:
    return instant.astimezone(ZoneInfo(ZONE))


def percentile(values: Iterable[float], share: float) -> float:
    """PERCENTILE.INC of a spreadsheet."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def percent(part: float, whole: float | None) -> float | None:
    return 100 * part / whole if whole else None


def grouped(stays: Iterable[Stay], day: Callable[[Stay], date]) -> dict[Key, list[Stay]]:
    groups: dict[Key, list[Stay]] = defaultdict(list)
    for stay in stays:
        groups[day(stay), stay.version.hospital, stay.version.department, stay.gender].append(stay)
    return groups


def admitted_on(stay: Stay) -> date:
    return local(stay.admission).date()


def left_on(stay: Stay) -> date:
    assert stay.discharge
    return local(stay.discharge).date()


def has_ended(stay: Stay) -> bool:
    return stay.discharge is not None and stay.discharge <= NOW


def is_confirmed(known: Stay | Attendance) -> bool:
    return known.confirmed_until is None or known.confirmed_until >= NOW


def is_open(stay: Stay) -> bool:
    return stay.admission <= NOW and not has_ended(stay) and is_confirmed(stay)


def is_discharge(stay: Stay) -> bool:
    """Day cases stand beside the others."""
    return stay.is_end and has_ended(stay) and not stay.is_day_case


def department_hours(known: Hospital) -> Iterable[tuple[datetime, Version]]:
    """Every department version in every hour in which its staffed beds count (F19)."""
    hours = [hour for hour, _, _ in known.census()]
    first: dict[Key, datetime] = {}
    days: set[Key] = set()
    for hour, version, _ in sorted(known.census(), key=lambda cell: cell[0]):
        first.setdefault((version.hospital,), hour)
        first.setdefault((version.hospital, version.department), hour)
        days.add((version.hospital, local(hour).date()))
    hour = min(hours)
    while hour <= max(hours):
        for version in known.versions:
            place = (version.hospital, version.department)
            opened = min(v.valid_from for v in known.versions if (v.hospital, v.department) == place)
            has_begun = (place in first and hour >= first[place]) or opened > first[version.hospital,]
            if version.is_valid_at(hour) and has_begun and (version.hospital, local(hour).date()) in days:
                yield hour, version
        hour += HOUR


def test_bed_occupancy_counts_staffed_beds_in_empty_hours(filled: Warehouse, known: Hospital) -> None:
    census = known.census()
    expected = {}
    for hour, version in department_hours(known):
        occupied = sum(census[hour, version, gender] for gender in GENDERS)
        if version.beds is None and not occupied:
            continue
        is_midnight = local(hour).hour == 0
        expected[time_key(hour), version.hospital, version.department] = {
            "occupied_beds": occupied,
            "staffed_beds": version.beds,
            "occupancy_pct": percent(occupied, version.beds),
            "midnight_occupied_beds": occupied if is_midnight else None,
            "midnight_staffed_beds": version.beds if is_midnight else None,
        }
    found = rows_of(filled, "BedOccupancyHourly", "time_key", "hospital_id", "department")
    assert_same(found, expected)
    assert all(row["date"] == local(row["hour_start_at"]).date() for row in found.values())
    assert all(row["hour"] == local(row["hour_start_at"]).hour for row in found.values())


def test_occupancy_by_gender_divides_by_the_beds_of_the_whole_department(filled: Warehouse, known: Hospital) -> None:
    census = known.census()
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for hour, version in department_hours(known):
        for gender in GENDERS:
            figures = sums[local(hour).date(), version.hospital, version.department, gender]
            for start in (0, 2) if local(hour).hour == 0 else (0,):
                figures[start] += census[hour, version, gender]
                figures[start + 1] += version.beds or 0
    expected = {
        key: {
            "occupied_bed_hours": occupied,
            "staffed_bed_hours": staffed or None,
            "occupancy_pct": percent(occupied, staffed),
            "midnight_occupancy_pct": percent(at_midnight, staffed_at_midnight),
        }
        for key, (occupied, staffed, at_midnight, staffed_at_midnight) in sums.items()
        if staffed or occupied
    }
    found = rows_of(filled, "BedOccupancyByGender", "date", "hospital_id", "department", "gender")
    assert_same(found, expected)


def test_movements_are_counted_on_the_local_date_they_happened(filled: Warehouse, known: Hospital) -> None:
    expected: dict[Key, Row] = {}
    columns = ("admissions", "day_cases", "transfers_in", "discharges", "early_discharges", "visits")
    nothing: Row = {**dict.fromkeys(columns, 0), "early_discharge_pct": None}
    for key, stays in grouped(known.stays, admitted_on).items():
        expected[key] = nothing | {
            "admissions": sum(stay.is_start and not stay.is_day_case for stay in stays),
            "day_cases": sum(stay.is_start and stay.is_day_case for stay in stays),
            "transfers_in": sum(stay.origin is not None for stay in stays),
            "visits": len({stay.visit for stay in stays}),
        }
    for key, stays in grouped(filter(has_ended, known.stays), left_on).items():
        ended = [stay for stay in stays if is_discharge(stay)]
        early = sum(stay.discharge is not None and local(stay.discharge).hour < 17 for stay in ended)
        if ended:
            expected[key] = expected.get(key, nothing) | {
                "discharges": len(ended),
                "early_discharges": early,
                "early_discharge_pct": percent(early, len(ended)),
            }
    assert_same(rows_of(filled, "AdmissionsDaily", "date", "hospital_id", "department", "gender"), expected)


def test_waits_within_240_minutes_include_exactly_240(filled: Warehouse, known: Hospital) -> None:
    expected = {}
    for key, stays in grouped(known.stays, admitted_on).items():
        waits = [stay.wait for stay in stays if stay.is_start and stay.wait is not None and not stay.is_day_case]
        if waits:
            within = sum(wait <= 240 for wait in waits)
            expected[key] = {
                "waits": len(waits),
                "wait_minutes_sum": sum(waits),
                "wait_minutes_mean": sum(waits) / len(waits),
                "wait_minutes_p50": percentile(waits, 0.5),
                "wait_minutes_p90": percentile(waits, 0.9),
                "waits_within_240": within,
                "within_240_pct": percent(within, len(waits)),
            }
    assert any(row["waits"] > 1 for row in expected.values())
    assert_same(rows_of(filled, "WaitingTimes", "date", "hospital_id", "department", "gender"), expected)


def test_length_of_stay_is_of_ended_visits_and_open_ones_stand_beside_it(filled: Warehouse, known: Hospital) -> None:
    expected: dict[Key, Row] = {}
    nothing = {"ended_visits": 0, "length_of_stay_hours_median": None, "open_visits": 0, "current_stay_hours_sum": None}
    for key, stays in grouped(filter(is_discharge, known.stays), left_on).items():
        nights = sum(stay.nights or 0 for stay in stays)
        lengths = [(stay.discharge - stay.visit_admission) / HOUR for stay in stays if stay.discharge]
        expected[key] = nothing | {
            "ended_visits": len(lengths),
            "length_of_stay_hours_sum": sum(lengths),
            "length_of_stay_hours_mean": sum(lengths) / len(lengths),
            "length_of_stay_hours_median": percentile(lengths, 0.5),
            "nights_sum": nights,
            "nights_mean": nights / len(lengths),
            "in_bed_hours_sum": sum(lengths),
            "in_bed_hours_mean": sum(lengths) / len(lengths),
        }
    found = rows_of(filled, "LengthOfStay", "date", "hospital_id", "department", "gender")
    today = local(NOW).date()
    # Today's hour is in the calendar of the hospital that goes on today only.
    is_counted = known.last == THIS_HOUR
    staying = [stay for stay in known.stays if is_counted and is_open(stay) and not stay.is_day_case]
    for key, stays in grouped(staying, lambda _: today).items():
        hours = sum((datetime.now(UTC) - stay.visit_admission) / HOUR for stay in stays)
        expected[key] = nothing | expected.get(key, {}) | {"open_visits": len(stays)}
        # These grow while the test runs.
        del expected[key]["current_stay_hours_sum"]
        assert found[key]["current_stay_hours_sum"] == pytest.approx(hours, abs=0.05 * len(stays))
    assert_same(found, expected)


def test_current_patients_are_in_bed_at_this_moment(filled: Warehouse, known: Hospital) -> None:
    found = rows_of(filled, "CurrentPatients", "stay_key")
    expected = {(stay.key,): stay for stay in known.stays if is_open(stay)}
    assert found.keys() == expected.keys()
    for key, stay in expected.items():
        row, hours = found[key], stay.hours_until(datetime.now(UTC))
        assert row["stay_hours"] == pytest.approx(hours, abs=0.05)
        assert row["admission_at"] == stay.admission
        assert row["planned_discharge_at"] == stay.planned
        assert row["date"] == admitted_on(stay)
        assert row["is_overstay"] is (stay.version.expected_hours is not None and hours > stay.version.expected_hours)


def test_inflow_names_where_patients_come_from(filled: Warehouse, known: Hospital) -> None:
    expected: dict[Key, Row] = defaultdict(lambda: {"admissions": 0, "transfers_in": 0, "patients": 0})
    for stay in known.stays:
        source = stay.origin.department if stay.origin else "Admission"
        place = (stay.version.hospital, stay.version.department)
        if stay.is_day_case and stay.origin is None:
            continue
        row = expected[admitted_on(stay), *place, source, stay.gender]
        row["admissions" if stay.origin is None else "transfers_in"] += 1
        row["patients"] += 1
    key = ("date", "hospital_id", "department", "from_department", "gender")
    assert_same(rows_of(filled, "DepartmentInflow", *key), expected)


def test_overstays_are_ended_or_not(filled: Warehouse, known: Hospital) -> None:
    expected: dict[Key, Row] = {}
    for stay in known.stays:
        end = stay.discharge if has_ended(stay) else datetime.now(UTC)
        limit = stay.version.expected_hours
        is_listed = has_ended(stay) or (is_open(stay) and known.last == THIS_HOUR)
        if end and limit is not None and is_listed and stay.hours_until(end) > limit:
            day = left_on(stay) if has_ended(stay) else local(NOW).date()
            over = stay.hours_until(end) - limit
            expected[stay.key,] = {"is_open": not has_ended(stay), "hours_over": over, "date": day}
    found = rows_of(filled, "Overstays", "stay_key")
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key]["is_open"] is row["is_open"]
        assert found[key]["date"] == row["date"]
        assert found[key]["hours_over"] == pytest.approx(row["hours_over"], abs=0.05 if row["is_open"] else 1e-6)


def test_bed_turnover_divides_discharges_by_average_staffed_beds(filled: Warehouse, known: Hospital) -> None:
    beds: dict[Key, list[int]] = defaultdict(list)
    for hour, version in department_hours(known):
        if version.beds is not None:
            beds[local(hour).date(), version.hospital, version.department].append(version.beds)
    discharges: dict[Key, int] = defaultdict(int)
    for stay in known.stays:
        if is_discharge(stay):
            discharges[left_on(stay), stay.version.hospital, stay.version.department] += 1
    expected = {}
    for key in beds.keys() | discharges.keys():
        average = sum(beds[key]) / len(beds[key]) if beds[key] else None
        expected[key] = {
            "discharges": discharges[key],
            "hours": len(beds[key]),
            "average_staffed_beds": average,
            "bed_turnover": discharges[key] / average if average else None,
        }
    assert_same(rows_of(filled, "BedTurnover", "date", "hospital_id", "department"), expected)


def test_readmissions_follow_a_discharge_alive_whose_30_days_have_passed(filled: Warehouse, known: Hospital) -> None:
    ended = [stay for stay in known.stays if is_discharge(stay) and stay.status not in ("deceased", "transferred")]
    expected = {}
    for key, stays in grouped(ended, left_on).items():
        passed = [stay for stay in stays if stay.discharge and stay.discharge + MONTH <= NOW]
        returns = [_returns(stay, known.stays) for stay in passed]
        expected[key] = {
            "discharges": len(passed),
            "readmissions": sum(bool(found) for found in returns),
            "readmission_pct": percent(sum(bool(found) for found in returns), len(passed)),
            "emergency_readmissions": sum(any(back.is_emergency for back in found) for found in returns),
            "discharges_pending": len(stays) - len(passed),
        }
    assert any(row["readmissions"] for row in expected.values())
    assert_same(rows_of(filled, "Readmissions", "date", "hospital_id", "department", "gender"), expected)


def test_an_admission_within_24_hours_of_a_transfer_continues_a_spell(known: Hospital) -> None:
    """The hospitals of these tests have such admissions, else the comparison above would not notice them."""
    assert any(stay.is_start and _continues(stay, known.stays) for stay in known.stays)


def _returns(stay: Stay, stays: Iterable[Stay]) -> list[Stay]:
    """The admissions that make ``stay`` a readmission's index."""
    assert stay.discharge
    known = list(stays)
    return [
        other
        for other in known
        if other.is_start
        and not other.is_day_case
        and other.visit != stay.visit
        and patient_id(other.patient) == patient_id(stay.patient)
        and stay.discharge <= other.admission <= stay.discharge + MONTH
        and not _continues(other, known)
    ]


def _continues(start: Stay, stays: Iterable[Stay]) -> bool:
    """The admission joins a spell whose last discharge was a transfer."""
    return any(
        other.is_end
        and not other.is_day_case
        and other.status == "transferred"
        and other.discharge is not None
        and other.discharge <= NOW
        and other.visit != start.visit
        and other.admission < start.admission
        and patient_id(other.patient) == patient_id(start.patient)
        and abs(start.admission - other.discharge) <= timedelta(days=1)
        for other in stays
    )


def test_beds_now_are_staffed_beds_less_the_patients_in_them(filled: Warehouse, known: Hospital) -> None:
    expected = {}
    for version in known.versions:
        place = (version.hospital, version.department)
        here = [s for s in known.stays if is_open(s) and (s.version.hospital, s.version.department) == place]
        if version.is_valid_at(NOW) and (version.beds is not None or here):
            count = {gender: sum(stay.gender == gender for stay in here) for gender in GENDERS}
            expected[place] = {
                "staffed_beds": version.beds,
                "closed_beds": _less(version.physical_beds, version.beds),
                "occupied_beds": len(here),
                "free_beds": _less(version.beds, len(here)),
                "free_women_beds": _less(version.women_beds, count["Female"]),
                "free_men_beds": _less(version.men_beds, count["Male"]),
            }
    assert_same(rows_of(filled, "BedsNow", "hospital_id", "department"), expected)


def _less(beds: int | None, taken: int | None) -> int | None:
    return None if beds is None or taken is None else beds - taken


def _is_there(attended: Attendance) -> bool:
    return (attended.departure is None or attended.departure > NOW) and is_confirmed(attended)


def test_emergency_now_counts_who_is_there_and_who_waits_for_a_bed(filled: Warehouse, known: Hospital) -> None:
    there: dict[Key, list[Attendance]] = defaultdict(list)
    for attended in filter(_is_there, known.attendances):
        there[attended.version.hospital, attended.version.department].append(attended)
    found = rows_of(filled, "EmergencyNow", "hospital_id", "department")
    assert found.keys() == there.keys()
    for key, present in there.items():
        decisions = [each.decision for each in present if each.decision and each.decision <= NOW]
        assert (found[key]["in_department"], found[key]["waiting_for_bed"]) == (len(present), len(decisions))
        longest = max(((datetime.now(UTC) - decision) / timedelta(minutes=1) for decision in decisions), default=None)
        assert found[key]["longest_wait_minutes"] == (longest if longest is None else pytest.approx(longest, abs=3))


def test_attendances_count_on_the_date_of_arrival_and_shares_are_of_the_departed(
    filled: Warehouse, known: Hospital
) -> None:
    groups: dict[Key, list[Attendance]] = defaultdict(list)
    for each in known.attendances:
        day = local(each.arrival).date()
        groups[day, each.version.hospital, each.version.department, each.gender].append(each)
    expected = {key: _emergency_day(attended) for key, attended in groups.items()}
    found = rows_of(filled, "EmergencyDaily", "date", "hospital_id", "department", "gender")
    assert_same(found, expected)


def _emergency_day(attended: list[Attendance]) -> Row:
    gone = [each for each in attended if each.departure and each.departure <= NOW]
    lengths = [_minutes(each.arrival, each.departure) for each in gone]
    boarded = [_minutes(each.decision, each.departure) for each in gone if each.outcome == "admitted" and each.decision]
    times = {
        "minutes_to_triage": [_minutes(each.arrival, each.triage) for each in attended if each.triage],
        "minutes_to_seen": [_minutes(each.arrival, each.seen) for each in attended if each.seen],
        "minutes_in_department": lengths,
        "boarding_minutes": boarded,
    }
    counts = {
        "ed_within_240": sum(length <= 240 for length in lengths),
        "ed_over_720": sum(length > 720 for length in lengths),
        "ed_left_without_being_seen": sum(each.outcome == "left_without_being_seen" for each in gone),
        "ed_admitted": sum(each.outcome == "admitted" for each in gone),
    }
    shares = ("four_hour_pct", "ed_over_720_pct", "left_without_being_seen_pct", "conversion_pct")
    return {
        "attendances": len(attended),
        "ed_departed": len(gone),
        **counts,
        **{name: percent(part, len(gone)) for name, part in zip(shares, counts.values(), strict=True)},
        "ed_over_480": sum(length > 480 for length in lengths),
        "ed_boarding_over_240": sum(length > 240 for length in boarded),
        **{
            f"{name}_p{share}": percentile(values, share / 100) if values else None
            for name, values in times.items()
            for share in (50, 90, 95)
        },
    }


def _minutes(first: datetime | None, last: datetime | None) -> float:
    assert first
    assert last
    return (last - first) / timedelta(minutes=1)


def test_expected_discharges_are_planned_for_today(filled: Warehouse, known: Hospital) -> None:
    today = local(NOW).date()
    planned = {
        (stay.key,): {"planned_discharge_at": stay.planned, "date": today}
        for stay in known.stays
        if is_open(stay) and stay.planned and local(stay.planned).date() == today and known.last == THIS_HOUR
    }
    assert_same(rows_of(filled, "ExpectedDischarges", "stay_key"), planned)


def test_delayed_discharges_are_due_by_ready_time_else_by_plan(filled: Warehouse, known: Hospital) -> None:
    due = {(stay.key,): stay.ready or stay.planned for stay in known.stays if is_open(stay)}
    late = {key: at for key, at in due.items() if at and at <= NOW}
    found = rows_of(filled, "DelayedDischarges", "stay_key")
    late_by_now = {key for key, at in due.items() if at and at <= datetime.now(UTC)}  # the tests run for minutes
    assert late.keys() <= found.keys() <= late_by_now
    for key, at in late.items():
        assert found[key]["due_at"] == at
        assert found[key]["delay_hours"] == pytest.approx((datetime.now(UTC) - at) / HOUR, abs=0.05)


def test_long_stays_have_seven_nights_or_more(filled: Warehouse, known: Hospital) -> None:
    expected = {}
    for stay in filter(is_open, known.stays if known.last == THIS_HOUR else ()):
        nights = nights_between(stay.visit_admission, NOW)
        if nights >= 7:
            expected[stay.key,] = {
                "nights": nights,
                "first_admission_at": stay.visit_admission,
                "has_14_nights": nights >= 14,
                "has_21_nights": nights >= 21,
            }
    found = rows_of(filled, "LongStays", "stay_key")
    if known.last == THIS_HOUR:
        assert expected
        assert_same(found, expected)


def test_unconfirmed_stays_are_listed_apart(filled: Warehouse, known: Hospital) -> None:
    stays = {(stay.visit, "ward") for stay in known.stays if not has_ended(stay) and not is_confirmed(stay)}
    attended = {
        (f"a{each.key:05}", "attendance")
        for each in known.attendances
        if each.departure is None and not is_confirmed(each)
    }
    assert stays
    assert attended
    assert rows_of(filled, "UnconfirmedStays", "visit_id", "kind").keys() == stays | attended


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Atlantic/Azores", date(2026, 10, 25)),  # has midnight twice
        ("America/Havana", date(2026, 3, 8)),  # begins at one o'clock
        ("Asia/Kolkata", date(2026, 3, 8)),  # has its first full UTC hour at half past midnight
    ],
)
def test_every_day_has_one_midnight_whatever_the_clocks_do(warehouse: Warehouse, zone: str, day: date) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    first, last = noon - timedelta(days=2), noon + timedelta(days=2)
    version = Version(1, "H1", "Surgery", 5, None)
    lying = Stay(1, "v1", 1, 2, "Male", version, None, first, last, first, is_end=True)
    made = Hospital(first, last, [version], [lying], zone)
    warehouse.load(everything(made.frames()), newest_event_at=None, loaded_at=NOW, run_id="test")
    hours = rows_of(warehouse, "BedOccupancyHourly", "time_key").values()
    daily = rows_of(warehouse, "BedOccupancyByGender", "date", "gender")
    for whole_day in (day - timedelta(days=1), day, day + timedelta(days=1)):
        at_midnight = [row for row in hours if row["date"] == whole_day and row["midnight_staffed_beds"] is not None]
        assert [(row["midnight_occupied_beds"], row["midnight_staffed_beds"]) for row in at_midnight] == [(1, 5)]
        row = daily[whole_day, "Male"]
        assert (row["midnight_occupied_beds"], row["midnight_staffed_beds"]) == (1, 5)
        assert row["midnight_occupancy_pct"] == pytest.approx(20)


def test_freshness_shows_versions_and_age(warehouse: Warehouse) -> None:
    newest = NOW - timedelta(minutes=10)
    frames = HOSPITALS["spring_forward"]().frames()
    warehouse.load(everything(frames), newest_event_at=newest, loaded_at=NOW, run_id="run 1")
    found = rows_of(warehouse, "DataFreshness", "table_name")
    assert len(found) == len(WAREHOUSE_TABLES)
    row = found["FactPatientFlow",]
    assert row["gold_version"] == 0
    assert row["loaded_at"] == NOW
    assert row["newest_event_at"] == newest
    assert row["lag_seconds"] == pytest.approx(600)
    assert row["age_seconds"] == pytest.approx((datetime.now(UTC) - newest).total_seconds(), abs=30)
    assert row["run_id"] == "run 1"


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_views_of_an_empty_warehouse_have_their_columns_and_no_rows(warehouse: Warehouse, view: Any) -> None:
    found = warehouse.query(sa.select(TABLES[view.name]))
    assert found.columns == [column.name for column in view.columns]
    assert found.schema == pl.Schema({column.name: column.dtype for column in view.columns})
    assert found.height == (len(WAREHOUSE_TABLES) if view.name == "DataFreshness" else 0)
    as_the_database_names_them = warehouse.query(f'SELECT * FROM "{view.name}"')
    assert as_the_database_names_them.columns == found.columns


def test_a_readmission_on_the_last_moment_of_the_thirtieth_day_counts(warehouse: Warehouse) -> None:
    version = Version(1, "H1", "Surgery", 5, 24.0)
    first = datetime(2025, 1, 1, tzinfo=UTC)
    left = first + timedelta(hours=5, microseconds=123_457)

    def stay(key: int, patient: int, admission: datetime, discharge: datetime) -> Stay:
        return Stay(key, f"v{key}", 1, patient, "Male", version, None, admission, discharge, admission, is_end=True)

    in_time, too_late = left + MONTH, left + MONTH + timedelta(microseconds=1)
    made = Hospital(
        first,
        first + timedelta(days=40),
        [version],
        [
            stay(1, 2, first, left),
            stay(2, 2, in_time, in_time + HOUR),
            stay(3, 4, first, left),
            stay(4, 4, too_late, too_late + HOUR),
        ],
    )
    warehouse.load(everything(made.frames()), newest_event_at=None, loaded_at=NOW, run_id="test")
    row = rows_of(warehouse, "Readmissions", "date")[first.date(),]
    assert (row["discharges"], row["readmissions"]) == (2, 1)
