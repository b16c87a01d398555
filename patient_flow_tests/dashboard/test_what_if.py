"""The page "What if": the same model with and without a measure, for those who may see it."""

from __future__ import annotations

import re
import time
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from starlette.testclient import TestClient

from patient_flow import forecast_report
from patient_flow.dashboard import queries
from patient_flow.dashboard.formats import Locale
from patient_flow.dashboard.what_if.model import Models
from patient_flow.forecasting.what_if import changes_of
from patient_flow_tests.builders import ZONE, step_context
from patient_flow_tests.dashboard.hospital import DEPARTMENTS, Hospital
from patient_flow_tests.dashboard.test_pages import settled, text


def answer(client: TestClient, query: str, **headers: str) -> str:
    """The page once the model has been fitted: until then a browser is asked to come again."""
    settled(client, **headers)
    for _ in range(100):
        reply = client.get(f"/what-if?{query}&lang=en", headers=headers)
        assert reply.status_code == 200
        if "Refresh" not in reply.headers:
            return reply.text
        time.sleep(0.05)
    raise AssertionError("the model was not fitted in time")


def free(page: str) -> list[tuple[str, int, int]]:
    """Place, free beds with the measure and without it, of the sentences."""
    found = re.findall(r"<p>([^,<]+), [^:]+:\d\d: (\S+) free beds? with the measure .*? instead of (\S+)\.</p>", page)
    return [(place, *(int(value.replace("\N{MINUS SIGN}", "-")) for value in values)) for place, *values in found]


def test_opened_beds_are_free_beds_of_the_department_and_its_hospital(client: TestClient) -> None:
    page = answer(client, "hospital=1&department=ICU&beds=4")
    assert [(place, after - before) for place, after, before in free(page)] == [("Whole hospital", 4), ("ICU", 4)]
    assert "8 days out of 10" in page
    assert "Avec la mesure" in text(client, "/what-if?hospital=1&department=ICU&beds=4&lang=fr")


def test_earlier_discharges_of_all_departments_free_beds(client: TestClient) -> None:
    found = free(answer(client, "hospital=1&earlier=12"))
    assert [place for place, _, _ in found] == ["Whole hospital", "Emergency", "ICU", "Surgery"]
    assert all(after >= before for _, after, before in found)
    assert found[0][1] > found[0][2]


@pytest.mark.embedded_only("what the page makes of a request, on any database")
@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", "Choose a hospital and a measure."),
        ("?hospital=1&department=ICU", "Choose a hospital and a measure."),
        ("?hospital=1&beds=2", "belong to a department"),
        ("?hospital=1&earlier=13", "0 to 12 hours earlier"),
        ("?hospital=nowhere&earlier=2", "Choose a hospital and a measure."),
        ("?hospital=1&department=ICU&beds=%3Cscript%3E", "Choose a hospital and a measure."),
    ],
)
def test_a_question_without_an_answer_says_why(client: TestClient, query: str, answer: str) -> None:
    settled(client)
    page = text(client, f"/what-if{query}{'&' if query else '?'}lang=en")
    assert answer in page
    assert not free(page)


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_a_viewer_of_one_department_gets_its_answer_and_no_total(signed_client: TestClient) -> None:
    scope = {"X-User": "someone", "X-Hospitals": "1", "X-Departments": "ICU"}
    page = answer(signed_client, "hospital=1&department=ICU&beds=2", **scope)
    assert [place for place, _, _ in free(page)] == ["ICU"]
    other = text(signed_client, "/what-if?hospital=2&department=ICU&beds=2&lang=en", **scope)
    assert "Choose a hospital and a measure." in other
    assert not free(answer(signed_client, "earlier=2", **scope))


def test_earlier_discharges_of_all_hospitals_are_answered_for_each_that_the_viewer_may_see(
    client: TestClient, signed_client: TestClient
) -> None:
    page = answer(client, "earlier=12")
    found = free(page)
    assert 'class="legend"' not in page  # several hospitals have no common drawing
    assert [place for place, _, _ in found] == ["La Rivière", "Saint-Aubin"]
    assert all(after > before for _, after, before in found)
    scope = {"X-User": "someone", "X-Hospitals": "2", "X-Departments": "*"}
    assert free(answer(signed_client, "earlier=12", **scope)) == found[:1]


@pytest.mark.embedded_only("what the page makes of a request, on any database")
@pytest.mark.parametrize(
    ("hospital", "department", "beds", "earlier"), [("1", "ICU", 2, 3), ("2", "", 0, 4), ("", "", 0, 12)]
)
def test_page_and_command_give_the_same_figures(
    client: TestClient, group: Hospital, hospital: str, department: str, beds: int, earlier: int
) -> None:
    page = answer(client, f"hospital={hospital}&department={department}&beds={beds}&earlier={earlier}")
    context = step_context(group.lake, DEPARTMENTS, now=group.now)
    found = forecast_report.what_if(context, hospital, department, beds, 0, earlier)
    versions, models = queries.departments(group.warehouse), Models(group.warehouse, ZoneInfo(ZONE))
    models.prepare(versions, found.made_at).result()
    changes = changes_of(versions, hospital, department, beds, 0, earlier)
    again = models.compare(versions, found.made_at, changes)
    models.close(1.0)
    assert again is not None
    assert_frame_equal(again.rows, found.rows)
    ahead = found.rows.filter(pl.col("department") == department, pl.col("target_at") > group.now)
    locale = Locale("en", ZoneInfo(ZONE))
    shown = {
        (locale.moment(row["target_at"]), locale.value(round(row[name], 1), "count"))
        for row in ahead.iter_rows(named=True)
        for name in ("expected", "changed_expected")
    }
    cells = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", line) for line in re.findall(r"<tr>.*?</tr>", page)]
    on_page = {(line[0], cell) for line in cells for cell in line[1:]}
    in_page = {moment for moment, _ in on_page}
    assert in_page
    assert {one for one in shown if one[0] in in_page} <= on_page
