"""The panels of a page, one module each.

A module has ``build``, which makes its panel, or None where the filters leave it out. A new panel is a module here and
its line in :data:`BUILDERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from patient_flow.dashboard.panels import (
    ahead,
    alerts,
    arrivals,
    board,
    discharges,
    emergency,
    emergency_now,
    escalation,
    flows,
    heat,
    hospitals,
    hours,
    movements,
    occupancy,
    overstays,
    quality,
    readmissions,
    stays,
    waits,
)
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Panel

BUILDERS: tuple[Callable[[PanelContext], Panel | None], ...] = (
    alerts.build,
    board.build,
    emergency_now.build,
    arrivals.build,
    hospitals.build,
    escalation.build,
    escalation.history,
    ahead.build,
    hours.build,
    emergency.build,
    discharges.build,
    occupancy.build,
    heat.build,
    movements.build,
    waits.build,
    stays.build,
    flows.build,
    overstays.build,
    readmissions.build,
    quality.build,
)
"""In the order of the page."""


OF_MEETING = ("board", "emergency_now", "arrivals", "hospitals", "escalation", "ahead", "discharges")
"""Ids of panels with the questions of a bed meeting: links above them lead there."""


def panels(page: PanelContext) -> list[Panel]:
    """The panels of ``page``."""
    return [panel for build in BUILDERS if (panel := build(page)) is not None]
