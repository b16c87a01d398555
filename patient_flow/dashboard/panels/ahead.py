"""The next hours and days: beds that will probably be occupied, how sure that is, and how good it has been lately."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.ahead import WHOLE, Ahead
from patient_flow.dashboard.headings import DEPARTMENT, HOSPITAL
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Legend, Panel, Table, Value

c = pl.col

TITLE = Text("The days ahead", "Les jours à venir")
TITLE_OF = Text("The days ahead: {name}", "Les jours à venir : {name}")
FREE_TONIGHT = Text(
    "free tonight: {free}, likely {low} to {high}", "libres cette nuit : {free}, probablement {low} à {high}"
)
OCCUPIED_TONIGHT = Text(
    "occupied tonight: {beds}, likely {low} to {high}", "occupés cette nuit : {beds}, probablement {low} à {high}"
)
NOT_JUDGED = Text(
    "No forecast is shown yet: {days} of {needed} days {days:has|have} been compared with what happened. A forecast "
    "must prove itself first.",
    "Aucune prévision n’est encore affichée : {days} {days:jour|jours} sur {needed} {days:a été comparé|ont été "
    "comparés} à la réalité. Une prévision doit d’abord faire ses preuves.",
)
NO_FORECAST = Text(
    "No forecast has been made yet: the job forecast makes one each hour, and one after each import.",
    "Aucune prévision n’a encore été faite : il y en a une par heure, et une après chaque import.",
)
_MEANING = Text(
    "“Likely”: the number lies in this range on 8 days out of 10; on 1 day out of 10 it is higher, on 1 lower. "
    "Pale: 19 days out of 20.",
    "« Probablement » : le nombre se situe dans cette plage 8 jours sur 10 ; 1 jour sur 10 il est plus élevé, 1 jour "
    "sur 10 plus bas. En pâle : 19 jours sur 20.",
)
_LATELY = Text(
    "Lately ({days} {days:day|days}, one day ahead): off by {error} {error:bed|beds} on average (supposing that "
    "nothing changes: {persistence}); within “likely” on {likely} of the days.",
    "Récemment ({days} {days:jour|jours}, un jour à l’avance) : {error} {error:lit|lits} d’écart en moyenne (en "
    "supposant que rien ne change : {persistence}) ; dans la plage « probable » {likely} des jours.",
)
_BASELINE = Text(
    "The forecast has done badly in the last week ({hospitals}). In its place: {baseline}.",
    "La prévision a été mauvaise la semaine passée ({hospitals}). À sa place : {baseline}.",
)
_BASELINES = {
    "persistence": Text("as many patients as now", "autant de patients que maintenant"),
    "week_ago": Text("as many patients as a week before", "autant de patients qu’une semaine plus tôt"),
}
_MADE = Text("Made from what was known at {moment}.", "Établie avec ce qui était connu le {moment}.")
_OLD = Text(
    "It is {age} old: no newer one has been made.", "Elle date d’il y a {age} : aucune plus récente n’a été faite."
)
_ALL_AGES = Text("All ages: a forecast by age is not made.", "Tous les âges : il n’y a pas de prévision par âge.")
_CHOOSE = Text(
    "Occupied beds tonight at midnight; the line marks staffed beds, the figures are the free ones. Choose a hospital "
    "or a department to see the next 7 days.",
    "Lits occupés cette nuit à minuit ; le trait marque les lits ouverts, les chiffres sont ceux des lits libres. "
    "Choisissez un hôpital ou un service pour voir les 7 prochains jours.",
)
_TARGET = Text("For", "Pour")
_WHOLE = Text("Whole hospital", "Tout l’hôpital")
_EXPECTED, _STAFFED = Text("Expected beds", "Lits attendus"), Text("Staffed beds", "Lits ouverts")
_LOW, _HIGH = Text("Likely from", "Probablement de"), Text("Likely to", "à")
_VERY_LOW, _VERY_HIGH = Text("19 of 20 from", "19 sur 20 de"), Text("19 of 20 to", "19 sur 20 à")
_ADMISSIONS, _DISCHARGES = (
    Text("Expected admissions", "Admissions attendues"),
    Text("Expected discharges", "Sorties attendues"),
)
_FREE, _FREE_LOW, _FREE_HIGH = (
    Text("Free", "Libres"),
    Text("Free, likely from", "Libres, probablement de"),
    Text("Free, likely to", "Libres, à"),
)
_FULL = Text("Chance of being full before", "Risque d’être complet d’ici là")
_LIKELY, _VERY_LIKELY = Text("Likely", "Probable"), Text("19 of 20", "19 sur 20")
_MEDIAN = Text("As likely more as fewer", "Autant de chances au-dessus qu’au-dessous")
_AT_LEAST, _RANGE = Text("Likely at least", "Probablement au moins"), Text("Likely range", "Plage probable")


def tonight_words(page: PanelContext, row: dict[str, Any]) -> str:
    """A row of ``Ahead.tonight`` as a sentence: free beds, or occupied ones where staffed beds are unknown."""
    number = page.locale.number
    if row["staffed_beds"] is None:
        beds, low, high = (number(_whole(row[name])) for name in ("expected_beds", "beds_low", "beds_high"))
        return page.say(OCCUPIED_TONIGHT, beds=beds, low=low, high=high)
    free, low, high = (number(_whole(row[name])) for name in ("free_beds", "free_low", "free_high"))
    return page.say(FREE_TONIGHT, free=free, low=low, high=high)


def state_words(page: PanelContext) -> str:
    """Why no forecast is shown; empty where one is."""
    ahead = page.figures.ahead
    if any(found.is_shown for found in ahead.judgements.values()) and ahead.made_at is not None:
        return ""
    if ahead.made_at is None:
        return page.say(NO_FORECAST)
    number = page.locale.number
    return page.say(NOT_JUDGED, days=page.locale.counted(ahead.days_judged), needed=number(ahead.days_needed))


def build(page: PanelContext) -> Panel:
    """The panel."""
    ahead = page.figures.ahead
    title = page.say(TITLE)
    silence = state_words(page)
    if silence:
        return Panel("ahead", title, silence, Table(_fan_columns(page), []), width="full", pending=True, period="")
    if ahead.place is not None and not ahead.fan.is_empty():
        return _of_place(page, ahead.place)
    rows = ahead.tonight if ahead.place is None else ahead.tonight.clear()
    is_by_hospital = not page.figures.selection.hospital and not page.figures.selection.department
    drawn = rows.filter(c("department") == WHOLE) if is_by_hospital else rows.filter(c("department") != WHOLE)
    note = " ".join([page.say(_CHOOSE), page.say(_MEANING), *_quality(page, ahead)])
    return Panel(
        "ahead",
        title,
        note,
        Table(_tonight_columns(page), [_tonight_row(page, row) for row in rows.iter_rows(named=True)]),
        charts.bars([_bar(page, row) for row in drawn.iter_rows(named=True)], title) if drawn.height else Markup(),
        [Legend("strong", page.say(_AT_LEAST)), Legend("weak", page.say(_RANGE))],
        width="full",
        period="",
    )


def _quality(page: PanelContext, ahead: Ahead) -> list[str]:
    """How good it has been lately, what replaces it where it was bad, and when it was made."""
    number = page.locale.number
    said = []
    if (lately := ahead.lately) is not None:
        said.append(
            page.say(
                _LATELY,
                days=page.locale.counted(lately.days),
                error=page.locale.counted(lately.absolute_error, 1),
                persistence=number(lately.persistence_absolute_error, 1),
                likely=page.locale.quantity(lately.within_likely_pct, "percent"),
            )
        )
    for source, words in _BASELINES.items():
        bad = [hospital for hospital, found in ahead.judgements.items() if found.source == source]
        if bad:
            names = ", ".join(page.figures.hospitals.get(hospital, hospital) for hospital in bad)
            said.append(page.say(_BASELINE, hospitals=names, baseline=page.say(words)))
    if page.figures.selection.age:
        said.append(page.say(_ALL_AGES))
    if ahead.made_at is not None:
        said.append(page.say(_MADE, moment=page.locale.moment(ahead.made_at)))
        if ahead.is_old:
            said.append(page.say(_OLD, age=page.locale.duration(page.figures.now - ahead.made_at)))
    return said


# --- one place ------------------------------------------------------------------------------------------------------


def _of_place(page: PanelContext, place: tuple[str, str]) -> Panel:
    ahead = page.figures.ahead
    rows = ahead.fan
    hospital, department = place
    name = page.name(department) if department else page.figures.hospitals.get(hospital, hospital)
    moments: list[datetime] = rows["target_at"].to_list()
    begun, last = page.figures.now, moments[-1]
    positions = [(at - begun) / (last - begun) for at in moments]
    hints = [_hint(page, row) for row in rows.iter_rows(named=True)]
    high = [*rows["p975"].to_list(), *rows["staffed_beds"].to_list()]
    is_of_all = not page.figures.selection.gender
    staffed = [value if is_of_all else None for value in rows["staffed_beds"].to_list()]
    tonight = [row for row in ahead.tonight.iter_rows(named=True) if (row["hospital_id"], row["department"]) == place]
    said = [f"{_capital(tonight_words(page, row))}." for row in tonight if is_of_all]
    chart = charts.fan(
        positions,
        [
            ("", rows["p025"].to_list(), rows["p975"].to_list()),
            ("likely", rows["p10"].to_list(), rows["p90"].to_list()),
        ],
        [charts.Series("weak dashed", staffed), charts.Series("strong", rows["p50"].to_list())],
        hints,
        _labels(page, moments, positions),
        page.scale(high if is_of_all else rows["p975"].to_list()),
    )
    return Panel(
        "ahead",
        page.say(TITLE_OF, name=name),
        " ".join([*said, page.say(_MEANING), *_quality(page, ahead)]),
        Table(_fan_columns(page), [_fan_row(row) for row in rows.iter_rows(named=True)]),
        chart,
        [
            Legend("strong", page.say(_MEDIAN)),
            Legend("likely", page.say(_LIKELY)),
            Legend("faint", page.say(_VERY_LIKELY)),
            *([Legend("g3", page.say(_STAFFED))] if is_of_all else []),
        ],
        width="full",
        period="",
    )


def _labels(page: PanelContext, moments: list[datetime], positions: list[float]) -> list[tuple[float, str]]:
    """The days, at their midnights."""
    zone = page.locale.zone
    return [
        (position, page.locale.day(at.astimezone(zone).date()))
        for at, position in zip(moments, positions, strict=True)
        if at.astimezone(zone).hour == 0 and position < 0.97
    ]


def _hint(page: PanelContext, row: dict[str, Any]) -> str:
    number = page.locale.number
    low, high = number(_whole(row["p10"])), number(_whole(row["p90"]))
    words = page.say(OCCUPIED_TONIGHT, beds=number(_whole(row["expected_beds"])), low=low, high=high)
    return f"{page.locale.moment(row['target_at'])}: {words.partition(': ')[2]}"


def _fan_columns(page: PanelContext) -> list[Column]:
    return [
        page.column("target_at", _TARGET, "moment"),
        page.column("expected_beds", _EXPECTED, "count"),
        page.column("beds_low", _LOW, "count"),
        page.column("beds_high", _HIGH, "count"),
        page.column("beds_very_low", _VERY_LOW, "count"),
        page.column("beds_very_high", _VERY_HIGH, "count"),
        page.column("staffed_beds", _STAFFED, "count"),
        page.column("expected_admissions", _ADMISSIONS, "count"),
        page.column("expected_discharges", _DISCHARGES, "count"),
        page.column("probability_full", _FULL, "percent"),
    ]


def _fan_row(row: dict[str, Any]) -> list[Value]:
    names = ("target_at", "expected_beds", "p10", "p90", "p025", "p975", "staffed_beds")
    return [
        *(_rounded(row[name]) for name in names),
        _rounded(row["expected_admissions"]),
        _rounded(row["expected_discharges"]),
        _percent(row["probability_full"]),
    ]


# --- several places -------------------------------------------------------------------------------------------------


def _bar(page: PanelContext, row: dict[str, Any]) -> charts.Bar:
    name, low = _name(page, row), max(row["beds_low"], 0.0)
    words = tonight_words(page, row)
    parts = [(low, "strong"), (row["beds_high"] - low, "weak")]
    links = {"hospital": row["hospital_id"], **({"department": row["department"]} if row["department"] else {})}
    return charts.Bar(
        name, parts, words.partition(": ")[2], page.link(**links), f"{name}: {words}", row["staffed_beds"]
    )


def _name(page: PanelContext, row: dict[str, Any]) -> str:
    return (
        page.name(row["department"])
        if row["department"] and not page.figures.splits_hospitals
        else row["hospital_name"]
    )


def _tonight_columns(page: PanelContext) -> list[Column]:
    return [
        page.column("hospital", HOSPITAL),
        page.column("department", DEPARTMENT),
        page.column("target_at", _TARGET, "moment"),
        page.column("staffed_beds", _STAFFED, "count"),
        page.column("expected_beds", _EXPECTED, "count"),
        page.column("beds_low", _LOW, "count"),
        page.column("beds_high", _HIGH, "count"),
        page.column("free_beds", _FREE, "count"),
        page.column("free_low", _FREE_LOW, "count"),
        page.column("free_high", _FREE_HIGH, "count"),
        page.column("expected_admissions", _ADMISSIONS, "count"),
        page.column("expected_discharges", _DISCHARGES, "count"),
        page.column("probability_full", _FULL, "percent"),
    ]


def _tonight_row(page: PanelContext, row: dict[str, Any]) -> list[Value]:
    names = (
        *("target_at", "staffed_beds", "expected_beds", "beds_low", "beds_high", "free_beds", "free_low", "free_high"),
        *("expected_admissions", "expected_discharges"),
    )
    department = page.name(row["department"]) if row["department"] else page.say(_WHOLE)
    return [
        row["hospital_name"],
        department,
        *(_rounded(row[name]) for name in names),
        _percent(row["probability_full"]),
    ]


def _whole(value: float) -> float:
    """The nearest whole number, never minus zero."""
    return float(round(value)) + 0.0


def _rounded(value: Any) -> Value:
    return round(value, 1) if isinstance(value, float) else value


def _percent(probability: float | None) -> Value:
    return None if probability is None else round(100 * probability, 1)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
