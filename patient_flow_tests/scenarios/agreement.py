"""Holds the tables of silver and gold against the oracle, row by row, in natural terms.

Surrogate keys are followed to the rows they name and pseudonyms to the identifiers they stand for, so agreement also
means that every key finds exactly its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from patient_flow.contracts import tables
from patient_flow.pipeline.checkpoints import CENSUS_UNTIL
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms import calendar, census, dimensions, facts, kpis, quality, staffing
from patient_flow.transforms.visits import merges
from patient_flow.transforms.visits.fold import fold
from patient_flow_tests import oracle, oracle_visits
from patient_flow_tests.builders import ZONE, Delivery, accepted_and_repeated, contents

TABLES = (
    tables.SILVER_EVENTS,
    tables.IGNORED,
    tables.QUARANTINE,
    tables.DIM_DEPARTMENT,
    tables.DIM_PATIENT,
    tables.FACT_PATIENT_FLOW,
    tables.FACT_ED_ATTENDANCE,
    tables.FACT_BED_CENSUS,
    tables.KPI_DEPARTMENT_DAY,
    tables.DATA_QUALITY_DAY,
)
"""What must not depend on the way of the events: all but bronze, and DimTime, which is the same for all days here."""

Frames = Mapping[str, pl.DataFrame]


def everything(lake: Lake) -> dict[str, pl.DataFrame]:
    """Every table of silver and gold, rows in the order of their keys."""
    return {table.path: contents(lake, table) for table in TABLES}


def computed(received: Iterable[Delivery], departments: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Silver's events and gold by the transforms alone, from everything at once, without a lake."""
    silver, repeated = accepted_and_repeated(received, departments)
    survivors, _ = merges.survivors(silver)
    patients = pl.concat([dimensions.unknown_patient(), dimensions.patient_versions(silver, survivors=survivors)])
    places = dimensions.department_versions(departments, silver.select("hospital_id", "department"))
    folded = fold(silver, places, unconfirmed_days=oracle.UNCONFIRMED_DAYS, zone=ZONE, received_again=repeated)
    flow = facts.fact_patient_flow(folded.stays, patients, places)
    attended = facts.fact_ed_attendance(folded.attendances, patients, places)
    frames = {tables.SILVER_EVENTS: silver, tables.DIM_PATIENT: patients, tables.DIM_DEPARTMENT: places}
    if silver.is_empty():
        hourly, measured = tables.FACT_BED_CENSUS.empty(), tables.KPI_DEPARTMENT_DAY.empty()
    else:
        until = silver["enqueued_at"].max()
        hourly = census.bed_hours(census.spans(flow, until=until), places)
        first = hourly.select(calendar.hour_start(pl.col("time_key").min())).item() if hourly.height else None
        instants = [flow["admission_at"], flow["discharge_at"].drop_nulls(), attended["arrival_at"]]
        if first is not None:
            instants.append(pl.datetime_range(first, until, "1h", time_unit="us", eager=True))
        dates = pl.concat(instants).dt.convert_time_zone(ZONE).dt.date().unique()
        measured = kpis.kpi_department_day(
            flow.select(kpis.FACT_COLUMNS),
            attended.select(kpis.ATTENDANCE_COLUMNS),
            hourly,
            places,
            wanted=kpis.every_department(dates, places),
            staffed=staffing.staffing(hourly, places, ZONE),
            until=until,
            zone=ZONE,
        )
    frames |= {
        tables.FACT_PATIENT_FLOW: flow,
        tables.FACT_ED_ATTENDANCE: attended,
        tables.FACT_BED_CENSUS: hourly,
        tables.KPI_DEPARTMENT_DAY: measured,
        tables.DATA_QUALITY_DAY: quality.data_quality_day(
            silver, tables.IGNORED.empty(), tables.QUARANTINE.empty(), ZONE
        ),
    }
    return {table.path: frame.sort(table.key) for table, frame in frames.items()}


def assert_agreement(frames: Frames, verdict: oracle.Verdict, reference: pl.DataFrame) -> None:
    """``frames`` hold what the oracle says of the accepted events."""
    lines = list(reference.iter_rows(named=True))
    expected = oracle.Gold(verdict.accepted, lines, ZONE, verdict.repeated)
    actual = Natural(frames, verdict)
    assert actual.patients() == _sorted(
        (version.of, version.valid_from, version.valid_to, *version.attributes) for version in expected.patients
    )
    assert actual.departments() == _sorted(
        (*version.of, version.valid_from, version.valid_to, *version.attributes) for version in expected.departments
    )
    assert actual.flows() == _by(("visit", "number"), map(_flow, expected.flows))
    assert actual.attendances() == _by(("visit",), map(_attendance, expected.facts.attendances))
    assert actual.census() == expected.census
    assert actual.kpis() == {
        key: {name: _nearly(value) for name, value in row.items()} for key, row in expected.kpis.items()
    }


def assert_same(actual: Frames, expected: Frames) -> None:
    """Both hold the same rows in all tables, keys included, nothing ignored."""
    assert actual.keys() == expected.keys()
    for path, frame in expected.items():
        assert actual[path].to_dicts() == frame.to_dicts(), path


def assert_places_of_events(lake: Lake, verdict: oracle.Verdict) -> None:
    """Every event is in exactly one of silver, ignored and quarantine: the one that the oracle names, and why."""
    silver, quarantine = contents(lake, tables.SILVER_EVENTS), contents(lake, tables.QUARANTINE)
    coordinates = ("partition_id", "sequence_number", "part")
    assert set(silver.select(coordinates).iter_rows()) == {event.coordinates for event in verdict.accepted}
    assert silver.height == len(verdict.accepted)
    reasons = {row[:3]: row[3] for row in quarantine.select(*coordinates, "reasons").iter_rows()}
    assert reasons == verdict.rejected
    assert quarantine.height == len(verdict.rejected)
    ignored = contents(lake, tables.IGNORED)
    names = {row[:3]: row[3] for row in ignored.select(*coordinates, "name").iter_rows()}
    assert names == {place: name for place, (_, _, name) in verdict.ignored.items()}
    assert ignored.height == len(verdict.ignored)


def assert_quality(lake: Lake, verdict: oracle.Verdict) -> None:
    """DataQualityDay counts what the oracle counts."""
    rows = contents(lake, tables.DATA_QUALITY_DAY).iter_rows(named=True)
    counted = {(row.pop("date"), row.pop("hospital_id"), row.pop("rule")): row for row in rows}
    assert counted == oracle.quality(verdict, ZONE)


def assert_census_is_up_to_the_newest_event(lake: Lake, verdict: oracle.Verdict) -> None:
    """The census knows up to which hour it has counted."""
    until = CENSUS_UNTIL.read(lake.open(tables.FACT_BED_CENSUS).checkpoint)
    assert until == oracle.newest(verdict.accepted)


@dataclass
class Natural:
    """Gold's tables without surrogate keys and pseudonyms."""

    frames: Frames
    verdict: oracle.Verdict

    def __post_init__(self) -> None:
        events = {event.coordinates: event for event in self.verdict.accepted}
        silver = self.frames["silver/patient_events"]
        held = list(silver.select("partition_id", "sequence_number", "part", "visit_id", "patient_id").iter_rows())
        pairs = {(row[3], events[row[:3]].visit) for row in held}
        people = {(row[4], events[row[:3]].patient) for row in held}
        self._visits, self._people = dict(pairs), {**dict(people), "Unknown": None}
        assert len(pairs) == len(self._visits) == len(set(self._visits.values())), "one pseudonym per visit"
        assert len(people) == len(dict(people)) == len({name for _, name in people}), "one pseudonym per patient"
        self._places = {
            row["department_key"]: (row["hospital_id"], row["department"], row["valid_from"])
            for row in self.frames["gold/dim_department"].iter_rows(named=True)
        }
        self._patients = {row["patient_key"]: row for row in self.frames["gold/dim_patient"].iter_rows(named=True)}
        assert len(self._places) == self.frames["gold/dim_department"].height, "one key per department version"
        assert len(self._patients) == self.frames["gold/dim_patient"].height, "one key per patient version"

    def patients(self) -> list[tuple[Any, ...]]:
        columns = ("patient_id", "valid_from", "valid_to", "gender", "age", "is_current")
        rows = [row for row in self.frames["gold/dim_patient"].select("patient_key", *columns).iter_rows() if row[0]]
        assert all(is_current == (valid_to is None) for _, _, _, valid_to, _, _, is_current in rows)
        return _sorted((self._people[row[1]], *row[2:-1]) for row in rows)

    def departments(self) -> list[tuple[Any, ...]]:
        columns = ("hospital_id", "department", "valid_from", "valid_to", "hospital_name")
        capacity = ("staffed_beds", "staff", "expected_los_hours", "is_inferred", "class", "unconfirmed_days")
        rows = self.frames["gold/dim_department"].filter(pl.col("department_key") != 0).select(*columns, *capacity)
        return _sorted(rows.iter_rows())

    def flows(self) -> list[dict[str, Any]]:
        return _by(("visit", "number"), map(self._flow, self.frames["gold/fact_patient_flow"].iter_rows(named=True)))

    def _flow(self, row: dict[str, Any]) -> dict[str, Any]:
        patient = self._patients[row["patient_key"]]
        times = ("arrival_at", "admission_at", "discharge_at")
        assert [row[f"{name.removesuffix('_at')}_time_key"] for name in times] == [
            _time_key(row[name]) for name in times
        ]
        return {
            "visit": self._visits[row["visit_id"]],
            "number": row["stay_number"],
            "patient": (self._people[patient["patient_id"]], patient["valid_from"]),
            "gender": row["gender"],
            "place": self._places[row["department_key"]],
            "came_from": self._places[row["from_department_key"]] if row["from_department_key"] else None,
            **{name: row[name] for name in times},
            "wait": (_nearly(row["wait_minutes"]), row["wait_source"]),
            "hours": _nearly(row["length_of_stay_hours"]),
            "visit_hours": _nearly(row["visit_length_of_stay_hours"]),
            "in_bed_hours": _nearly(row["in_bed_hours"]),
            **{name: row[name] for name in SAME},
            "bed": row["bed_id"],
            "status": row["discharge_status"],
            "flags": sorted(row["quality_flags"]),
        }

    def attendances(self) -> list[dict[str, Any]]:
        rows = self.frames["gold/fact_ed_attendance"].iter_rows(named=True)
        return _by(("visit",), map(self._attendance, rows))

    def _attendance(self, row: dict[str, Any]) -> dict[str, Any]:
        patient = self._patients[row["patient_key"]]
        assert [row["arrival_time_key"], row["departure_time_key"]] == [
            _time_key(row["arrival_at"]),
            _time_key(row["departure_at"]),
        ]
        return {
            "visit": self._visits[row["visit_id"]],
            "patient": self._people[patient["patient_id"]],
            "place": self._places[row["department_key"]][:2] if row["department_key"] else None,
            **{name: row[name] for name in ("arrival_at", "triage_at", "departure_at", "outcome", *CONFIRMED)},
            "minutes": _nearly(row["minutes_in_department"]),
            "flags": sorted(row["quality_flags"]),
        }

    def census(self) -> dict[tuple[Any, ...], int]:
        rows = self.frames["gold/fact_bed_census"]
        columns = ("time_key", "department_key", "gender", "occupied_beds")
        return {
            (_instant(hour), self._places[place], gender): beds
            for hour, place, gender, beds in rows.select(columns).rows()
        }

    def kpis(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {
            (row.pop("date"), self._places[row.pop("department_key")], row.pop("gender")): {
                name: _nearly(value) for name, value in row.items()
            }
            for row in self.frames["gold/kpi_department_day"].iter_rows(named=True)
        }


CONFIRMED = ("last_confirmed_at", "confirmed_until", "last_enqueued_at")
SAME = (
    *("is_visit_start", "is_visit_end", "is_transfer", "is_day_case", "is_observation", "nights", "stay_kind"),
    *("visit_class", "admission_type", "planned_discharge_at", "ready_at", *CONFIRMED),
)
"""Columns of the fact that need no translation."""


def _flow(flow: oracle.Flow) -> dict[str, Any]:
    stay = flow.stay
    return {
        "visit": stay.visit,
        "number": stay.number,
        "patient": (stay.patient, flow.patient_from),
        "gender": flow.gender,
        "place": flow.place,
        "came_from": flow.came_from,
        "arrival_at": stay.arrival,
        "admission_at": stay.begins,
        "discharge_at": stay.ends,
        "wait": (_nearly(stay.wait), stay.wait_source),
        "hours": _nearly(_hours(None if stay.ends is None else stay.ends - stay.begins)),
        "visit_hours": _nearly(_hours(stay.visit_length)),
        "in_bed_hours": _nearly(_hours(stay.in_bed)),
        "is_visit_start": stay.is_visit_start,
        "is_visit_end": stay.is_visit_end,
        "is_transfer": stay.is_transfer,
        "is_day_case": stay.is_day_case,
        "is_observation": stay.is_observation,
        "nights": stay.nights,
        "stay_kind": stay.kind,
        "visit_class": stay.visit_class,
        "admission_type": stay.admission_type,
        "planned_discharge_at": stay.planned,
        "ready_at": stay.ready,
        **_confirmed(stay),
        "bed": stay.bed,
        "status": stay.status,
        "flags": sorted(stay.all_flags),
    }


def _attendance(attendance: oracle_visits.Attendance) -> dict[str, Any]:
    departure, department = attendance.departure, attendance.department
    minutes = None if departure is None else (departure - attendance.arrival) / timedelta(minutes=1)
    return {
        "visit": attendance.visit,
        "patient": attendance.patient,
        "place": (attendance.hospital, department) if department else None,
        "arrival_at": attendance.arrival,
        "triage_at": attendance.triage,
        "departure_at": departure,
        "outcome": attendance.outcome,
        **_confirmed(attendance),
        "minutes": _nearly(None if minutes is None or minutes < 0 else minutes),
        "flags": sorted(attendance.all_flags),
    }


def _confirmed(fact: oracle_visits.Stay | oracle_visits.Attendance) -> dict[str, Any]:
    return {
        "last_confirmed_at": fact.last_confirmed,
        "confirmed_until": fact.confirmed_until,
        "last_enqueued_at": fact.last_enqueued,
    }


def _hours(length: timedelta | None) -> float | None:
    return None if length is None else length / timedelta(hours=1)


def _nearly(value: Any) -> Any:
    """Floating point numbers rounded, so that the two ways of adding up compare equal."""
    return round(value, 6) if isinstance(value, float) else value


def _sorted(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: str(row[:3]))


def _by(names: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str([row[name] for name in names]))


def _time_key(instant: datetime | None) -> int:
    return 0 if instant is None else int(instant.strftime("%Y%m%d%H"))


def _instant(time_key: int) -> datetime:
    return datetime.strptime(str(time_key), "%Y%m%d%H").replace(tzinfo=UTC)
