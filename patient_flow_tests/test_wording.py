"""Words agree with the number before them."""

from __future__ import annotations

import pytest

from patient_flow.wording import plural


@pytest.mark.parametrize(
    ("number", "one", "several", "language", "text"),
    [
        (0, "event", "", "en", "0 events"),
        (1, "event", "", "en", "1 event"),
        (2_000, "event", "", "en", "2,000 events"),
        (12_345_678_901, "byte", "", "en", "12,345,678,901 bytes"),
        (1, "event is", "events are", "en", "1 event is"),
        (2, "event is", "events are", "en", "2 events are"),
        (1.0, "day", "", "en", "1 day"),
        (0.2, "day", "", "en", "0.2 days"),
        (0, "patient", "", "fr", "0 patient"),
        (1.5, "heure", "", "fr", "1,5 heure"),
        (2, "heure", "", "fr", "2 heures"),
        (1_200, "heure", "", "fr", "1\N{NARROW NO-BREAK SPACE}200 heures"),
    ],
)
def test_words_agree_with_their_number(number: float, one: str, several: str, language: str, text: str) -> None:
    assert plural(number, one, several, language=language) == text
