"""Escalation on the page, against the plain list of stays: level, deciding measure, history, readers and thresholds."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta

import pytest
from starlette.testclient import TestClient

from patient_flow.contracts.escalation import Thresholds
from patient_flow.dashboard.server import Options
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.hospital import DEPARTMENTS, Hospital
from patient_flow_tests.dashboard.test_pages import settled

NAMES = {"1": "Saint-Aubin", "2": "La Rivière"}
LIMITS = (92, 95, 98)


def records(client: TestClient, path: str, **headers: str) -> list[dict[str, str]]:
    reply = client.get(path, headers=headers)
    assert reply.status_code == 200, reply.text
    return list(csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"))))


def occupancy(group: Hospital, hospital: str, at: datetime) -> float:
    staffed = DEPARTMENTS.filter(hospital_id=hospital)["staffed_beds"].sum()
    return 100 * sum(stay.hospital == hospital and stay.is_in_bed(at) for stay in group.stays) / staffed


def level(percent: float) -> int:
    return 1 + sum(percent >= limit for limit in LIMITS)


def test_the_level_now_is_that_of_the_plain_list(group: Hospital, client: TestClient) -> None:
    rows = {row["hospital"]: row for row in records(client, "/export.csv?panel=escalation")}
    assert set(rows) == set(NAMES.values())
    for hospital, name in NAMES.items():
        expected = occupancy(group, hospital, group.now)
        assert float(rows[name]["occupancy_pct"]) == pytest.approx(expected)
        assert int(rows[name]["level"]) == level(expected)
        assert rows[name]["deciding"] == ("Bed occupancy" if expected >= LIMITS[0] else "")
        assert float(rows[name]["delayed_pct"]) == 0


def test_the_history_has_the_level_of_every_hour(group: Hospital, client: TestClient) -> None:
    settled(client)
    runs = records(client, "/export.csv?panel=escalation_history")
    hour = group.now.replace(minute=0, second=0, microsecond=0)
    for hospital, name in NAMES.items():
        own = [
            (datetime.fromisoformat(run["since"]), run["until"] and datetime.fromisoformat(run["until"]), run["level"])
            for run in runs
            if run["hospital"] == name
        ]
        assert own[0][0] == hour - timedelta(days=7)
        assert [run[1] for run in own] == [*(run[0] for run in own[1:]), ""]
        for back in range(7 * 24 + 1):
            at = hour - timedelta(hours=back)
            found = [int(number) for since, until, number in own if since <= at and (not until or at < until)]
            assert found == [level(occupancy(group, hospital, at))], (name, at)


def test_the_page_says_rule_and_reason_in_both_languages(group: Hospital) -> None:
    options = Options(escalation=Thresholds(occupancy_pct=(1, 2, 3)))
    with client_of(group.warehouse, lambda: group.now, options) as client:
        english, french = client.get("/?lang=en").text, client.get("/?lang=fr").text
    assert "Bed occupancy 1 / 2 / 3 %" in english
    assert "Level 4" in english
    assert "≥ 3.0%" in english
    assert "Niveau 4" in french
    assert "Occupation des lits 1 / 2 / 3 %" in french


def test_a_level_is_that_of_the_whole_hospital_whatever_the_other_filters(client: TestClient) -> None:
    everything = records(client, "/export.csv?panel=escalation")
    assert records(client, "/export.csv?panel=escalation&gender=Male&department=ICU&age=18-39") == everything
    assert records(client, "/export.csv?panel=escalation&hospital=2") == [
        row for row in everything if row["hospital"] == NAMES["2"]
    ]


def test_readers_see_the_levels_of_their_hospitals_and_none_when_limited_to_departments(
    signed_client: TestClient,
) -> None:
    one = {"X-User": "ada", "X-Hospitals": "2", "X-Departments": "*"}
    assert [row["hospital"] for row in records(signed_client, "/export.csv?panel=escalation", **one)] == [NAMES["2"]]
    ward = {"X-User": "ada", "X-Hospitals": "*", "X-Departments": "ICU"}
    assert 'id="escalation' not in signed_client.get("/", headers=ward).text
