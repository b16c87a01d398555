"""Which events were read with a source mapping or a department list that has changed since."""

from __future__ import annotations

from collections.abc import Iterator

from patient_flow.monitoring.finding import Finding, ok, warning
from patient_flow.monitoring.inputs import FormerRows
from patient_flow.wording import plural


def events_follow_mapping(former: FormerRows) -> Finding:
    """Silver and quarantine: no row was read before the source mapping or the department list changed."""
    rows = {cause: {"accepted": counts[0], "quarantined": counts[1]} for cause, counts in former.by_cause.items()}
    figures: dict[str, int | float] = {
        name: max((counts[name] for counts in rows.values()), default=0) for name in ("accepted", "quarantined")
    }
    if not any(figures.values()):
        return ok("All events were read with the present source mapping and department list.", figures)
    found = [f"{line}." for line in describe(former)]
    return warning(" ".join(found), figures, [{"changed": cause, **counts} for cause, counts in rows.items()])


def describe(former: FormerRows) -> Iterator[str]:
    """What is stale, and which command repairs it, one line per cause."""
    for cause, (accepted, quarantined) in former.by_cause.items():
        repairs = [
            f"{plural(count, f'{outcome} event')} (`patient-flow {command}`)"
            for count, outcome, command in (
                (accepted, "accepted", "rebuild"),
                (quarantined, "quarantined", "replay-quarantine"),
            )
            if count
        ]
        if repairs:
            yield f"read with a former {cause}: {' and '.join(repairs)}"
