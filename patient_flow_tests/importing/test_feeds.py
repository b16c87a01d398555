"""Files as hospitals have them, each with one mapping: nights when clocks change, wards by row, months, a FHIR export.

What is right was worked out by hand from the rows.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.dialects import fhir
from patient_flow.dialects.mapping import parse_mappings
from patient_flow.files import examine
from patient_flow.pipeline import imports
from patient_flow.transforms import dimensions
from patient_flow.transforms.accept import accept, candidates, validate
from patient_flow.transforms.read import ParserConfig, read_events
from patient_flow.transforms.visits.fold import Folded, fold
from patient_flow_tests.builders import SECRET, ZONE, department, department_list

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LISTED = department_list(
    department(hospital_id="1", department="Emergency", **{"class": "emergency"}),
    department(hospital_id="1", department="ICU", **{"class": "critical_care"}),
    department(hospital_id="1", department="Surgery", **{"class": "inpatient"}),
)

LOG = """
[[mapping]]
name = "bed movements"
[mapping.match]
Fall = { exists = true }
[mapping.rename]
visit_id = "Fall"
patient_id = "Fall"
event_type = "Art"
event_time = "Zeit"
department = "Station"
[mapping.constant]
hospital_id = 1
[mapping.value_map.event_type]
A = "admission"
V = "transfer"
E = "discharge"
[mapping.value_map.department]
INT1 = "ICU"
CH2 = "Surgery"
[mapping.timestamp]
format = "%d.%m.%Y %H:%M"
zone = "Europe/Berlin"
"""
WARDS = """
[[mapping]]
name = "wards by row"
[mapping.match]
ward = { exists = true }
[mapping.rename]
visit_id = "case"
patient_id = "patient"
department = "ward"
event_time = "from"
admission_time = "admitted"
discharge_time = "until"
[mapping.constant]
hospital_id = 1
"""
VISITS = """
[[mapping]]
name = "one row per visit"
[mapping.match]
case = { exists = true }
[mapping.rename]
visit_id = "case"
patient_id = "patient"
department = "ward"
admission_time = "admitted"
discharge_time = "left"
[mapping.constant]
hospital_id = 1
[mapping.timestamp]
format = "%Y-%m-%d %H:%M"
zone = "Europe/Paris"
"""


def folded(mapping: str | None, *files: Path) -> tuple[Folded, list[str]]:
    """Stays and attendances of files that are imported one after another, and why rows are refused."""
    mappings = () if mapping is None else parse_mappings(mapping, "site.toml").interpreters
    parser = ParserConfig(LISTED, SECRET, mappings, formats=(fhir.interpret,))
    rows, refused = [SILVER_EVENTS.empty()], []
    for number, file in enumerate(files):
        for batch in imports.batches(examine(file), parser, NOW + timedelta(days=number), None):
            judged = validate(read_events(batch, parser))
            refused += judged["reasons"].explode().drop_nulls().to_list()
            rows.append(candidates(judged, SECRET))
    accepted = accept(pl.concat(rows), SILVER_EVENTS.empty()).rows
    places = dimensions.department_versions(LISTED, accepted.select("hospital_id", "department"))
    return fold(accepted, places, unconfirmed_days=90, zone=ZONE), refused


def stays(found: Folded) -> list[tuple[Any, ...]]:
    """Department and length in hours of the stays, in order."""
    rows = found.stays.sort("admission_at", "stay_number")
    return [
        (row["department"], None if row["length_of_stay_hours"] is None else round(row["length_of_stay_hours"], 4))
        for row in rows.iter_rows(named=True)
    ]


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_night_when_clocks_change_has_seven_or_nine_hours(tmp_path: Path) -> None:
    log = written(
        tmp_path / "log.csv",
        "Fall;Art;Zeit;Station",
        "1;A;25.10.2025 22:00;INT1",
        "1;E;26.10.2025 06:00;INT1",
        "2;A;28.03.2026 22:00;INT1",
        "2;V;29.03.2026 03:00;CH2",
        "2;E;29.03.2026 06:00;CH2",
        "3;A;26.10.2025 01:30;CH2",
        "3;E;26.10.2025 02:30;CH2",  # the first of the two
        "4;A;29.03.2026 01:30;CH2",
        "4;E;29.03.2026 02:30;CH2",  # no such time: 03:30
    )
    found, refused = folded(LOG, log)
    assert refused == []
    assert stays(found) == [
        ("ICU", 9.0),
        ("Surgery", 1.0),
        ("ICU", 4.0),
        ("Surgery", 1.0),
        ("Surgery", 3.0),
    ]
    ended = found.stays.filter("is_visit_end").sort("admission_at")
    assert ended["nights"].to_list() == [1, 0, 0, 1]


def test_wards_by_row_are_one_visit_with_its_moves(tmp_path: Path) -> None:
    table = written(
        tmp_path / "wards.csv",
        "case,patient,ward,from,until,admitted",
        "c1,p1,Surgery,2026-01-04T12:00:00Z,2026-01-06T09:00:00Z,2026-01-01T08:00:00Z",
        "c1,p1,ICU,2026-01-01T08:00:00Z,2026-01-04T12:00:00Z,2026-01-01T08:00:00Z",
        "c2,p2,Surgery,2026-05-31T10:00:00Z,,2026-05-31T10:00:00Z",
    )
    found, refused = folded(WARDS, table)
    assert refused == []
    assert stays(found) == [("ICU", 76.0), ("Surgery", 45.0), ("Surgery", None)]
    assert found.stays["is_visit_start"].sum() == 2
    assert found.stays["is_visit_end"].sum() == 1


def test_of_monthly_tables_the_later_one_counts(tmp_path: Path) -> None:
    january = written(
        tmp_path / "2026-01.csv",
        "case,patient,ward,admitted,left",
        "c1,p1,ICU,2026-01-10 08:00,2026-01-12 08:00",
        "c2,p2,Surgery,2026-01-30 08:00,",
    )
    february = written(
        tmp_path / "2026-02.csv",
        "case,patient,ward,admitted,left",
        "c2,p2,Surgery,2026-01-30 08:00,2026-02-03 20:00",
        "c3,p3,ICU,2026-02-27 23:30,2026-03-01 00:00",
    )
    found, refused = folded(VISITS, january, february)
    assert refused == []
    assert stays(found) == [("ICU", 48.0), ("Surgery", 108.0), ("ICU", 24.5)]
    assert found.stays.filter("is_visit_end").sort("admission_at")["nights"].to_list() == [2, 4, 2]
    found, _ = folded(VISITS, february, january)
    assert stays(found) == [("ICU", 48.0), ("Surgery", None), ("ICU", 24.5)]


def test_a_fhir_export_counts_beds_and_attendances_and_nothing_else(tmp_path: Path) -> None:
    def encounter(name: str, kind: str, start: str, end: str | None, *places: tuple[str, str, str | None]) -> str:
        period = {"start": f"2026-05-{start}:00Z"} | ({"end": f"2026-05-{end}:00Z"} if end else {})
        located = [
            {
                "location": {"display": place},
                "period": {"start": f"2026-05-{since}:00Z"} | ({"end": f"2026-05-{until}:00Z"} if until else {}),
            }
            for place, since, until in places
        ]
        return json.dumps(
            {
                "resourceType": "Encounter",
                "id": name,
                "status": "finished" if end else "in-progress",
                "class": {"code": kind},
                "subject": {"reference": f"Patient/{name[0]}"},
                "serviceProvider": {"reference": "Organization/1"},
                "period": period,
                "location": located,
            }
        )

    export = written(
        tmp_path / "Encounter.ndjson",
        json.dumps({"resourceType": "Patient", "id": "a", "gender": "female"}),
        encounter("a1", "EMER", "01T08:00", "01T12:00", ("Emergency", "01T08:00", "01T12:00")),
        encounter(
            "a2", "IMP", "01T12:00", "06T12:00", ("ICU", "01T12:00", "05T12:00"), ("Surgery", "05T12:00", "06T12:00")
        ),
        encounter("b1", "AMB", "02T09:00", "02T09:30"),
        encounter("c1", "IMP", "30T10:00", None, ("Surgery", "30T10:00", None)),
        encounter("d1", "VR", "02T10:00", "02T10:20"),
    )
    found, refused = folded(None, export)
    assert refused == []
    assert stays(found) == [("Emergency", 4.0), ("ICU", 96.0), ("Surgery", 24.0), ("Surgery", None)]
    assert found.stays["is_visit_start"].sum() == 2
    assert found.attendances.select("outcome", "minutes_in_department").rows() == [("admitted", 240.0)]
