"""The check of the access log: figures for the auditor, no names, and an error for every sign of tampering."""

from __future__ import annotations

from patient_flow.contracts.access_log import Head, Review
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rules.system import access_log_intact

VIEWS = {
    ("2026-11-19", "page"): 3,
    ("2026-11-20", "page"): 2,
    ("2026-11-20", "export"): 1,
    ("2026-11-20", "patients"): 4,
}


def test_an_intact_log_shows_its_views_by_day_the_newest_first() -> None:
    finding = access_log_intact(Review([], 9, VIEWS, [Head("a", 9, "f")], ["a"]))
    assert finding.is_ok
    assert finding.message.startswith("9 lines in 1 chain are intact; fingerprint ")
    assert finding.figures == {"lines": 9, "chains": 1, "views": 10, "chains without an end": 1}
    assert list(finding.rows) == [
        {"date": "2026-11-20", "page": 2, "refresh": 0, "export": 1, "patients": 4},
        {"date": "2026-11-19", "page": 3, "refresh": 0, "export": 0, "patients": 0},
    ]


def test_tampering_is_an_error_in_its_own_words() -> None:
    finding = access_log_intact(Review(["Line 2 of chain a was changed."], 9, VIEWS, [Head("a", 9, "f")], []))
    assert (finding.severity, finding.message) == (Severity.ERROR, "Line 2 of chain a was changed.")
