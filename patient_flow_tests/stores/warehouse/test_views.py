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

from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.views import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stacks import Stack
from patient_flow_tests.stores.warehouse.builders import (
    HOUR,
    ZONE,
    Hospital,
    Stay,
    Version,
    everything,
    hospital,
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
            assert found[key][name] == (value if value is None else pytest.approx(value, rel=1e-9, abs=hours)), name


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


def is_open(stay: Stay) -> bool:
    return stay.admission <= NOW and not has_ended(stay)


def department_hours(known: Hospital) -> Iterable[tuple[datetime, Version]]:
    """Every department version valid in every hour between the first and the last of the census."""
    hours = [hour for hour, _, _ in known.census()]
    hour = min(hours)
    while hour <= max(hours):
        for version in known.versions:
            if version.is_valid_at(hour):
                yield hour, version
        hour += HOUR


def test_bed_occupancy_counts_staffed_beds_also_in_hours_with_nobody_in_bed(filled: Warehouse, known: Hospital) -> None:
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
    nothing = {"admissions": 0, "transfers_in": 0, "discharges": 0, "visits": 0}
    for key, stays in grouped(known.stays, admitted_on).items():
        expected[key] = nothing | {
            "admissions": sum(stay.is_start for stay in stays),
            "transfers_in": sum(stay.origin is not None for stay in stays),
            "visits": len({stay.visit for stay in stays}),
        }
    for key, stays in grouped(filter(has_ended, known.stays), left_on).items():
        ended = sum(stay.is_end for stay in stays)
        if ended:
            expected[key] = expected.get(key, nothing) | {"discharges": ended}
    assert_same(rows_of(filled, "AdmissionsDaily", "date", "hospital_id", "department", "gender"), expected)


def test_waits_within_240_minutes_include_exactly_240(filled: Warehouse, known: Hospital) -> None:
    expected = {}
    for key, stays in grouped(known.stays, admitted_on).items():
        waits = [stay.wait for stay in stays if stay.is_start and stay.wait is not None]
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
    ended = [stay for stay in known.stays if stay.is_end and has_ended(stay)]
    for key, stays in grouped(ended, left_on).items():
        lengths = [(stay.discharge - stay.visit_admission) / HOUR for stay in stays if stay.discharge]
        expected[key] = nothing | {
            "ended_visits": len(lengths),
            "length_of_stay_hours_sum": sum(lengths),
            "length_of_stay_hours_mean": sum(lengths) / len(lengths),
            "length_of_stay_hours_median": percentile(lengths, 0.5),
        }
    found = rows_of(filled, "LengthOfStay", "date", "hospital_id", "department", "gender")
    today = local(NOW).date()
    # Today's hour is in the calendar of the hospital that goes on today only.
    staying = filter(is_open, known.stays) if known.last == THIS_HOUR else ()
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
        assert row["planned_discharge_at"] == stay.discharge
        assert row["date"] == admitted_on(stay)
        assert row["is_overstay"] is (stay.version.expected_hours is not None and hours > stay.version.expected_hours)


def test_inflow_names_where_patients_come_from(filled: Warehouse, known: Hospital) -> None:
    expected: dict[Key, Row] = defaultdict(lambda: {"admissions": 0, "transfers_in": 0, "patients": 0})
    for stay in known.stays:
        source = stay.origin.department if stay.origin else "Admission"
        place = (stay.version.hospital, stay.version.department)
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
        if stay.is_end and has_ended(stay):
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
    ended = [stay for stay in known.stays if stay.is_end and has_ended(stay) and stay.status != "deceased"]
    expected = {}
    for key, stays in grouped(ended, left_on).items():
        passed = [stay for stay in stays if stay.discharge and stay.discharge + MONTH <= NOW]
        returned = [stay for stay in passed if _comes_back(stay, known.stays)]
        expected[key] = {
            "discharges": len(passed),
            "readmissions": len(returned),
            "readmission_pct": percent(len(returned), len(passed)),
            "discharges_pending": len(stays) - len(passed),
        }
    assert any(row["readmissions"] for row in expected.values())
    assert_same(rows_of(filled, "Readmissions", "date", "hospital_id", "department", "gender"), expected)


def _comes_back(stay: Stay, stays: Iterable[Stay]) -> bool:
    assert stay.discharge
    return any(
        other.is_start
        and other.visit != stay.visit
        and patient_id(other.patient) == patient_id(stay.patient)
        and stay.discharge <= other.admission <= stay.discharge + MONTH
        for other in stays
    )


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


def test_freshness_tells_versions_and_age(warehouse: Warehouse) -> None:
    newest = NOW - timedelta(minutes=10)
    frames = HOSPITALS["spring_forward"]().frames()
    warehouse.load(everything(frames), newest_event_at=newest, loaded_at=NOW, run_id="run 1")
    found = rows_of(warehouse, "DataFreshness", "table_name")
    assert len(found) == 7
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
    assert found.height == (7 if view.name == "DataFreshness" else 0)
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
