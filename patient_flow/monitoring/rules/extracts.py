"""A nightly extract held against the stream: do both have the same patients in bed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from patient_flow.monitoring.finding import Finding, Row, ok, warning
from patient_flow.wording import plural

MAX_ROWS = 500
"""Differences that the check names; of more it states the number."""


def stream_matches_extract(extracts: int, counts: Mapping[str, int], rows: Sequence[Row], corrections: int) -> Finding:
    """``counts`` has the differences by kind, ``rows`` one each: kind, hospital, where each side has the patient."""
    total = sum(counts.values())
    figures = {"extracts": extracts, "differences": total, "corrections": corrections, **counts}
    if not total:
        return ok("The stream has the same patients in bed as the extract.", figures)
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in counts.items())
    made = plural(corrections, "correction was made", "corrections were made")
    message = f"The stream and the extract differ in {plural(total, 'visit')} ({kinds}); {made}."
    return warning(message, figures, rows[:MAX_ROWS])
