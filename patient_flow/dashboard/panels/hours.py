"""The chosen department hour by hour: where drilling down leads."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Legend, Panel, Table

TITLE = Text("Beds hour by hour: {name}", "Lits heure par heure : {name}")
NOTE = Text(
    "Patients in beds; the dashed line shows staffed beds.",
    "Patients hospitalisés ; le trait pointillé montre les lits ouverts.",
)
_HOUR = Text("Hour", "Heure")
_OCCUPIED, _STAFFED = Text("Occupied beds", "Lits occupés"), Text("Staffed beds", "Lits ouverts")


def build(page: PanelContext) -> Panel | None:
    """The panel; None where no department is chosen."""
    if not page.figures.selection.department:
        return None
    frame, locale = page.figures.hours, page.locale
    moments = frame["hour_at"].to_list()
    occupied, staffed = frame["occupied_bed_hours"].to_list(), frame["staffed_bed_hours"].to_list()
    is_short = page.figures.selection.days == 1
    labels = [
        (locale.time(at) if is_short else locale.short_day(at.astimezone(locale.zone).date()))
        if is_short or at.astimezone(locale.zone).hour == 12
        else ""
        for at in moments
    ]
    shares = frame["occupancy_pct"].to_list()
    hints = [
        f"{locale.moment(at)}: {page.of_total(beds, of)} ({locale.quantity(share, 'percent')})"
        for at, beds, of, share in zip(moments, occupied, staffed, shares, strict=True)
    ]
    columns = [
        page.column("hour_at", _HOUR, "moment"),
        page.column("occupied_beds", _OCCUPIED, "count"),
        page.column("staffed_beds", _STAFFED, "count"),
        *page.measured("occupancy_pct"),
    ]
    series = [charts.Series("strong", occupied), charts.Series("weak dashed", staffed)]
    scale = page.scale([*occupied, *staffed])
    return Panel(
        "hours",
        page.say(TITLE, name=page.name(page.figures.selection.department)),
        page.say(NOTE),
        Table(columns, list(zip(moments, occupied, staffed, shares, strict=True))),
        charts.lines(_thinned(labels), series, hints, scale, label_every=1) if moments else Markup(),
        [Legend("strong", page.say(_OCCUPIED)), Legend("g3", page.say(_STAFFED))],
        width="full",
    )


def _thinned(labels: Sequence[str]) -> list[str]:
    """At most about seven labels, evenly spread."""
    named = [place for place, label in enumerate(labels) if label]
    every = -(-len(named) // charts.LABELLED_STEPS) or 1
    kept = set(named[::every])
    return [label if place in kept else "" for place, label in enumerate(labels)]
