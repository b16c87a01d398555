"""Arrivals at emergency departments today, hour by hour, against the same weekday of the last weeks."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.board import MIN_USUAL_WEEKS
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Legend, Panel, Table

TITLE = Text("Emergency arrivals by hour, against the usual", "Arrivées aux urgences par heure et habitude")
NOTE = Text(
    "{arrived} since midnight; usually {usual} by this time. Band: 10th to 90th percentile of {weeks} earlier {day}. "
    "The line ends with the last full hour.",
    "{arrived} depuis minuit ; d’habitude {usual} à ce moment. Bande : du 10ᵉ au 90ᵉ centile de {weeks} {day} "
    "précédents. La courbe s’arrête à la dernière heure entière.",
)
_NO_BAND = Text(
    "{arrived} since midnight. No usual band yet: it takes {needed} earlier {day}, and {weeks} {weeks:is|are} known.",
    "{arrived} depuis minuit. Pas encore de bande habituelle : il faut {needed} {day} précédents, {weeks} {weeks:est "
    "connu|sont connus}.",
)
_READING = Text(
    "{arrived} since midnight. The usual band is being read and appears by itself.",
    "{arrived} depuis minuit. La bande habituelle est en cours de lecture et s’affichera d’elle-même.",
)
_DAYS = (
    Text("Mondays", "lundis"),
    Text("Tuesdays", "mardis"),
    Text("Wednesdays", "mercredis"),
    Text("Thursdays", "jeudis"),
    Text("Fridays", "vendredis"),
    Text("Saturdays", "samedis"),
    Text("Sundays", "dimanches"),
)
_HOUR = Text("Hour", "Heure")
_TODAY, _BAND = Text("Today", "Aujourd’hui"), Text("Usual, 10th to 90th percentile", "Habituel, 10ᵉ au 90ᵉ centile")
_MEDIAN = Text("Usual, median", "Habituel, médiane")
_LOW, _HIGH = (
    Text("Usual, 10th percentile", "Habituel, 10ᵉ centile"),
    Text("Usual, 90th percentile", "Habituel, 90ᵉ centile"),
)


def build(page: PanelContext) -> Panel | None:
    """The panel; None where the filters leave no emergency department."""
    board, locale = page.board, page.locale
    frame = board.arrivals
    if board.emergency.is_empty() and not frame["arrivals"].sum():
        return None
    hours, today, low, high, median = (frame[name].to_list() for name in ("hour", "arrivals", "p10", "p90", "p50"))
    weeks = len(board.arrival_days)
    is_known = weeks >= MIN_USUAL_WEEKS
    clock = page.figures.now.astimezone(locale.zone)
    before = sum(value or 0 for value in median[: clock.hour]) if is_known else 0
    usual = before + (median[clock.hour] or 0) * clock.minute / 60 if is_known else 0
    said = {
        "arrived": locale.number(sum(value or 0 for value in today)),
        "weeks": locale.counted(weeks),
        "day": page.say(_DAYS[page.figures.today.weekday()]),
    }
    drawn = [value if hour < clock.hour else None for hour, value in zip(hours, today, strict=True)]
    hints = [
        f"{locale.hour(hour)}: {page.say(_TODAY)} {locale.number(now)}, {page.say(_MEDIAN)} {locale.number(middle, 1)}"
        for hour, now, middle in zip(hours, today, median, strict=True)
    ]
    columns = [
        page.column("hour", _HOUR, "clock"),
        page.column("arrivals", _TODAY, "count"),
        page.column("p10", _LOW, "mean"),
        page.column("p50", _MEDIAN, "mean"),
        page.column("p90", _HIGH, "mean"),
    ]
    series = [
        *([charts.Series("weak dashed", low), charts.Series("weak dashed", high)] if is_known else []),
        *([charts.Series("dashed", median)] if is_known else []),
        charts.Series("strong", drawn),
    ]
    note = NOTE if is_known else _READING if board.usual is None else _NO_BAND
    return Panel(
        "arrivals",
        page.say(TITLE),
        page.say(note, usual=locale.number(usual), needed=str(MIN_USUAL_WEEKS), **said),
        Table(columns, frame.select("hour", "arrivals", "p10", "p50", "p90").rows()),
        charts.lines([f"{hour:02}" for hour in hours], series, hints, page.scale([*today, *high]), band=is_known),
        [
            Legend("strong", page.say(_TODAY)),
            *([Legend("faint", page.say(_BAND)), Legend("g3", page.say(_MEDIAN))] if is_known else []),
        ],
        period="today",
    )
