"""The page "What if": the same model with and without a measure, for those who may see it."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from patient_flow_tests.dashboard.test_pages import settled, text


def free(page: str) -> list[tuple[str, int, int]]:
    """Place, free beds with the measure and without it, of the sentences."""
    found = re.findall(r"<p>([^,<]+), [^:]+:\d\d: (\S+) free beds with the measure .*? instead of (\S+)\.</p>", page)
    return [(place, *(int(value.replace("\N{MINUS SIGN}", "-")) for value in values)) for place, *values in found]


def test_opened_beds_are_free_beds_of_the_department_and_its_hospital(client: TestClient) -> None:
    settled(client)
    page = text(client, "/what-if?hospital=1&department=ICU&beds=4&lang=en")
    assert [(place, after - before) for place, after, before in free(page)] == [("Whole hospital", 4), ("ICU", 4)]
    assert "8 days out of 10" in page
    assert "Avec la mesure" in text(client, "/what-if?hospital=1&department=ICU&beds=4&lang=fr")


def test_earlier_discharges_of_all_departments_free_beds(client: TestClient) -> None:
    settled(client)
    found = free(text(client, "/what-if?hospital=1&earlier=12&lang=en"))
    assert [place for place, _, _ in found] == ["Whole hospital", "Emergency", "ICU", "Surgery"]
    assert all(after >= before for _, after, before in found)
    assert found[0][1] > found[0][2]


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


def test_a_viewer_of_one_department_gets_its_answer_and_no_total(signed_client: TestClient) -> None:
    scope = {"X-User": "someone", "X-Hospitals": "1", "X-Departments": "ICU"}
    settled(signed_client, **scope)
    page = text(signed_client, "/what-if?hospital=1&department=ICU&beds=2&lang=en", **scope)
    assert [place for place, _, _ in free(page)] == ["ICU"]
    other = text(signed_client, "/what-if?hospital=2&department=ICU&beds=2&lang=en", **scope)
    assert "Choose a hospital and a measure." in other
