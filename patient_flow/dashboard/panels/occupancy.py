"""Occupancy by place and gender."""

from __future__ import annotations

from markupsafe import Markup

from patient_flow.contracts import events
from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Legend, Panel, Table

TITLE = Text("Occupancy by {place} and gender", "Occupation par {place} et sexe")
NOTE = Text(
    "Occupied in percent of staffed bed hours; the line marks 100 %.",
    "Heures-lits occupées en % des lits ouverts ; le trait marque 100 %.",
)
_UNKNOWN_BEDS = Text("of which in unknown beds", "dont lits inconnus")
_CSS = {gender: f"g{place}" for place, gender in enumerate(events.GENDERS)}


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame, locale = page.figures.occupancy, page.locale
    genders = [gender for gender in events.GENDERS if gender in frame["gender"]]
    rows, drawn = [], []
    for (place,), part in frame.group_by("place", maintain_order=True):
        by_gender = dict(part.select("gender", "occupancy_pct").iter_rows())
        hours, unknown = (int(part[name].sum()) for name in ("occupied_bed_hours", "unknown_bed_hours"))
        staffed = part["staffed_bed_hours"][0]
        total = 100 * (hours - unknown) / staffed if staffed else None
        rows.append((page.name(place), hours, unknown, staffed, total, *(by_gender.get(gender) for gender in genders)))
        if total is not None:
            shares = [(by_gender.get(gender) or 0.0, _CSS[gender]) for gender in genders]
            hint = "; ".join(
                f"{page.name(gender)} {locale.quantity(by_gender.get(gender), 'percent')}" for gender in genders
            )
            text = locale.quantity(total, "percent")
            drawn.append((total, charts.Bar(page.name(place), shares, text, page.drill(str(place)), hint)))
    drawn.sort(key=lambda item: -item[0])
    columns = [
        page.place_column,
        *page.measured("occupied_bed_hours"),
        page.column("unknown_bed_hours", _UNKNOWN_BEDS, "count"),
        *page.measured("staffed_bed_hours", "occupancy_pct"),
        *(Column(f"{gender.lower()}_pct", page.name(gender), "percent") for gender in genders),
    ]
    title = page.say(TITLE, place=page.by_place)
    return Panel(
        "occupancy",
        title,
        page.say(NOTE),
        Table(columns, rows),
        charts.bars([bar for _, bar in drawn], title, mark=100.0, least=110.0) if drawn else Markup(),
        [Legend(_CSS[gender], page.name(gender)) for gender in genders],
        width="narrow",
        period="mean",
    )
