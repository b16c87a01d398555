"""The page "What if" over HTTP: /what-if."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import polars as pl
from starlette.requests import Request as HTTPRequest
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from patient_flow.contracts.access_log import Kind
from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.access_log import what_of
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.formats import LANGUAGES, Locale
from patient_flow.dashboard.panels.ahead import NOT_JUDGED
from patient_flow.dashboard.parts import Column, Legend, Table, Value
from patient_flow.dashboard.replies import PRIVATE, recorded
from patient_flow.dashboard.services import PageServices
from patient_flow.dashboard.templating import TEMPLATES
from patient_flow.dashboard.texts import Words
from patient_flow.dashboard.what_if import texts
from patient_flow.dashboard.what_if.model import Models
from patient_flow.forecasting.what_if import WhatIf, changes_of
from patient_flow.stores.warehouse.errors import WarehouseError

c = pl.col

MAX_BEDS = 999
FITTING_SECONDS = 3
"""After how long a page asks again for a model that is being computed."""
Place = tuple[str, str]
"""hospital_id and department; empty: the whole hospital."""
_LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Measure:
    """The measure in an address; what makes no sense there counts as none."""

    beds: int
    postponed: int
    earlier: int

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Measure:
        """The numbers of an address."""
        return cls(*(_number(query.get(name, "")) for name in ("beds", "postpone", "earlier")))

    @property
    def is_none(self) -> bool:
        """True where nothing would change."""
        return not (self.beds or self.postponed or self.earlier)


@dataclass(frozen=True)
class Context:
    """What an answer is made of: the figures of the page, and the reader's language."""

    figures: Figures
    words: Words
    locale: Locale

    def say(self, text: Text, **values: str) -> str:
        """``text`` in the reader's language, with ``values`` put in."""
        return text[self.words.language].format(**values)

    def name(self, place: Place) -> str:
        """A department, the whole hospital that the page is about, or one of all hospitals by its name."""
        hospital, department = place
        if department:
            return self.words.name(department)
        return self.say(texts.WHOLE) if self.figures.selection.hospital else self.figures.hospitals[hospital]


@dataclass(frozen=True)
class Result:
    """The answer: sentences, a drawing of the department or the one hospital, and a table per place."""

    caption: str
    sentences: Sequence[str]
    drawing: Any
    legend: Sequence[Legend]
    tables: Sequence[tuple[str, Table]]


class WhatIfPages:
    """The answers to "what if", on one warehouse."""

    def __init__(self, services: PageServices, for_aggregate_readers: Callable[[HTTPRequest], Response]) -> None:
        self._services = services
        self._for_aggregate_readers = for_aggregate_readers
        self._models = Models(services.warehouse, services.zone)

    def routes(self) -> list[Route]:
        """The routes of the page."""
        return [Route("/what-if", self._page)]

    def close(self, timeout: float) -> None:
        """Starts no more fits, and waits ``timeout`` seconds for the running one."""
        self._models.close(timeout)

    def _page(self, http: HTTPRequest) -> Response:
        request = self._services.request(http)
        if request.viewer.is_aggregate_reader:
            return self._for_aggregate_readers(http)
        language, selection, measure = request.language, request.selection, Measure.of(http.query_params)
        words, locale = Words(language), Locale(language, self._services.zone)
        answer = self._services.snapshots.answer(selection.days)
        page, message, result, ticket = None, texts.UNAVAILABLE[language], None, None
        if answer.snapshot is not None:
            figures = Figures(answer.snapshot, selection, request.viewer, request.now)
            page = Context(figures, words, locale)
            message, result = self._answer(page, measure)
            departments = answer.snapshot.departments
            known = {*departments["hospital_id"], *departments["department"]}
            ticket = self._services.recorder.record(Kind.PAGE, request.viewer, what_of("what-if", selection, known))
        other = next(code for code in LANGUAGES if code != language)
        query = {**http.query_params, "lang": other}
        body = TEMPLATES.get_template("what_if.html").render(
            words=words,
            say=lambda text: text[language],
            texts=texts,
            language=language,
            is_explicit_language=request.explicit_language,
            viewer=request.viewer,
            selection=selection,
            measure=measure,
            hospitals=page.figures.hospitals if page else {},
            departments=page.figures.departments if page else [],
            message=message,
            result=result,
            text=locale.value,
            back="./" + (f"?{urlencode({'lang': language})}" if request.explicit_language else ""),
            other_language={"code": other, "address": f"?{urlencode(query)}"},
        )
        again = {"Refresh": str(FITTING_SECONDS)} if message == texts.FITTING[language] else {}
        return recorded(HTMLResponse(body, headers={**PRIVATE, **again}), ticket)

    def _answer(self, page: Context, measure: Measure) -> tuple[str, Result | None]:
        """Why there is no answer, or the answer."""
        figures, ahead = page.figures, page.figures.ahead
        hospital, department = figures.selection.hospital, figures.selection.department
        versions = figures.snapshot.departments
        if ahead.made_at is not None:
            self._models.prepare(versions, ahead.made_at)  # while the reader still chooses
        is_of_all = not hospital and not department and figures.viewer.departments is None
        if measure.is_none or not (hospital in figures.hospitals or is_of_all):
            return page.say(texts.CHOOSE), None
        if not department and (measure.beds or measure.postponed):
            return page.say(texts.NEEDS_DEPARTMENT), None
        reason = _reason_against(page)
        if reason or ahead.made_at is None:
            return reason, None
        try:
            changes = changes_of(
                versions, hospital, department, measure.beds, float(measure.postponed), measure.earlier
            )
            changes = [change for change in changes if _holds(page, change.hospital_id)]
            found = self._models.compare(versions, ahead.made_at, changes)
        except ValueError:
            return page.say(texts.TOO_MANY), None
        except WarehouseError as error:
            _LOG.warning("the stays for the model cannot be read: %s", error)
            return page.say(texts.UNAVAILABLE), None
        if found is None:
            return page.say(texts.FITTING), None
        return "", _result(page, found, _places(page, found))


def _holds(page: Context, hospital: str) -> bool:
    judgement = page.figures.ahead.judgements.get(hospital)
    return hospital in page.figures.hospitals and judgement is not None and judgement.holds


def _reason_against(page: Context) -> str:
    """Why no forecast on the page answers questions; empty where one does."""
    ahead = page.figures.ahead
    judgements = [found for hospital, found in ahead.judgements.items() if hospital in page.figures.hospitals]
    if ahead.made_at is None or ahead.tonight.is_empty() or not judgements:
        if judgements and not any(found.is_shown for found in judgements):
            days, needed = page.locale.counted(ahead.days_judged), page.locale.number(ahead.days_needed)
            return page.say(NOT_JUDGED, days=days, needed=needed)
        return page.say(texts.NOTHING)
    return "" if any(found.holds for found in judgements) else page.say(texts.BAD_WEEK)


def _places(page: Context, found: WhatIf) -> list[Place]:
    """The places of the answer that the viewer may see: of one hospital all of them, of several each as a whole."""
    figures, hospital = page.figures, page.figures.selection.hospital
    if not hospital:
        return [(number, "") for number in figures.hospitals if number in set(found.rows["hospital_id"])]
    seen = figures.chosen.filter(c("department_key") != 0)["department"].unique().sort().to_list()
    return [(hospital, name) for name in (seen if figures.viewer.departments is not None else ["", *seen])]


def _result(page: Context, found: WhatIf, places: Sequence[Place]) -> Result:
    is_midnight = c("target_at").dt.convert_time_zone(page.locale.zone.key).dt.hour() == 0
    ahead = found.rows.filter(is_midnight, c("target_at") > page.figures.now)
    frames = {place: ahead.filter(c("hospital_id") == place[0], c("department") == place[1]) for place in places}
    frames = {place: rows for place, rows in frames.items() if not rows.is_empty()}
    first = next((place for place in frames if place[1] == page.figures.selection.department), next(iter(frames), None))
    return Result(
        page.say(texts.CAPTION, moment=page.locale.moment(found.made_at)),
        [_sentence(page, place, rows.row(0, named=True)) for place, rows in frames.items()],
        _drawing(page, frames[first]) if first is not None and len({hospital for hospital, _ in frames}) == 1 else "",
        [
            Legend("strong", page.say(texts.CHANGED)),
            Legend("g3", page.say(texts.AS_IT_IS)),
            Legend("likely", page.say(texts.LIKELY)),
        ],
        [(page.name(place), _table(page, rows)) for place, rows in frames.items()],
    )


def _sentence(page: Context, place: Place, row: dict[str, Any]) -> str:
    """The first target of a place in words."""
    staffed = row["changed_staffed_beds"]
    if staffed is None:
        text, values = texts.TONIGHT_OCCUPIED, ("changed_expected", "changed_low", "changed_high", "expected")
        figures = [row[name] for name in values]
    else:
        text = texts.TONIGHT_FREE
        figures = [staffed - row[name] for name in ("changed_expected", "changed_high", "changed_low")]
        figures.append(row["staffed_beds"] - row["expected"])
    after, low, high, before = (page.locale.counted(round(value)) for value in figures)
    name, moment = page.name(place), page.locale.moment(row["target_at"])
    return page.say(text, name=name, moment=moment, after=after, low=low, high=high, before=before)


def _drawing(page: Context, rows: pl.DataFrame) -> Any:
    moments: list[datetime] = rows["target_at"].to_list()
    begun = page.figures.now
    positions = [(at - begun) / (moments[-1] - begun) for at in moments]
    hints = [page.locale.moment(at) for at in moments]
    labels = [
        (position, page.locale.day(at.astimezone(page.locale.zone).date()))
        for at, position in zip(moments, positions, strict=True)
        if at.astimezone(page.locale.zone).hour == 0 and 0.03 < position < 0.97
    ]
    return charts.fan(
        positions,
        [("likely", rows["changed_low"].to_list(), rows["changed_high"].to_list())],
        [
            charts.Series("weak dashed", rows["expected"].to_list()),
            charts.Series("strong", rows["changed_expected"].to_list()),
        ],
        hints,
        labels,
        _scale(page, [*rows["high"].to_list(), *rows["changed_high"].to_list()]),
    )


def _scale(page: Context, values: Sequence[float]) -> charts.Scale:
    ticks = charts.round_ticks(max(values))
    return charts.Scale(ticks[-1], [(tick, page.locale.number(tick, 0 if ticks[1] >= 1 else 1)) for tick in ticks])


def _table(page: Context, rows: pl.DataFrame) -> Table:
    columns = [Column("target_at", page.say(texts.AT), "moment")]
    for suffix in ("", "_changed"):
        for key, text, unit in (
            ("expected", texts.EXPECTED, "count"),
            ("likely", texts.LIKELY, "range"),
            ("free", texts.FREE, "count"),
            ("full", texts.FULL, "percent"),
        ):
            heading = page.say(text)
            named = page.say(texts.WITH, name=heading) if suffix else heading
            columns.append(Column(key + suffix, named, unit))
    return Table(columns, [_row(page, row) for row in rows.iter_rows(named=True)])


def _row(page: Context, row: dict[str, Any]) -> list[Value]:
    values: list[Value] = [row["target_at"]]
    number = page.locale.number
    for prefix in ("", "changed_"):
        expected, full, staffed = (row[prefix + name] for name in ("expected", "full", "staffed_beds"))
        values += [
            round(expected, 1),
            page.say(texts.RANGE, low=number(row[f"{prefix}low"]), high=number(row[f"{prefix}high"])),
            None if staffed is None else round(staffed - expected, 1),
            None if full is None else round(100 * full, 1) + 0.0,
        ]
    return values


def _number(text: str) -> int:
    """A whole number of sensible size; 0 for anything else."""
    digits = text.strip().removeprefix("+")
    is_number = digits.removeprefix("-").isascii() and digits.removeprefix("-").isdigit() and len(digits) <= 4
    return max(-MAX_BEDS, min(int(digits), MAX_BEDS)) if is_number else 0
