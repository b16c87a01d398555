"""The page "What if" over HTTP: /what-if."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import polars as pl
from starlette.requests import Request as HTTPRequest
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from patient_flow.contracts.access_log import Kind
from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.access_log import Recorder, what_of
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.formats import LANGUAGES, Locale, preferred_language
from patient_flow.dashboard.panels.ahead import NOT_JUDGED
from patient_flow.dashboard.parts import Column, Legend, Table, Value
from patient_flow.dashboard.replies import PRIVATE, recorded
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.snapshot import Snapshots
from patient_flow.dashboard.templating import TEMPLATES
from patient_flow.dashboard.texts import Words
from patient_flow.dashboard.what_if import texts
from patient_flow.dashboard.what_if.model import Models
from patient_flow.forecasting.what_if import WhatIf, changes_of
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.warehouse import Warehouse

c = pl.col

MAX_BEDS = 999
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

    def name(self, department: str) -> str:
        """A department, or the whole hospital, in the reader's language."""
        return self.words.name(department) if department else self.say(texts.WHOLE)


@dataclass(frozen=True)
class Result:
    """The answer: sentences, a drawing of the department or hospital, and a table per place."""

    caption: str
    sentences: Sequence[str]
    drawing: Any
    legend: Sequence[Legend]
    tables: Sequence[tuple[str, Table]]


class WhatIfPages:
    """The answers to "what if", on one warehouse."""

    def __init__(
        self,
        warehouse: Warehouse,
        zone: ZoneInfo,
        clock: Callable[[], datetime],
        snapshots: Snapshots,
        recorder: Recorder,
        viewer_of: Callable[[HTTPRequest], Viewer],
        for_aggregate_readers: Callable[[HTTPRequest], Response],
    ) -> None:
        self._zone = zone
        self._clock = clock
        self._snapshots = snapshots
        self._recorder = recorder
        self._viewer_of = viewer_of
        self._for_aggregate_readers = for_aggregate_readers
        self._models = Models(warehouse, zone)

    def routes(self) -> list[Route]:
        """The routes of the page."""
        return [Route("/what-if", self._page)]

    def _page(self, http: HTTPRequest) -> Response:
        viewer = self._viewer_of(http)
        if viewer.is_aggregate_reader:
            return self._for_aggregate_readers(http)
        asked = http.query_params.get("lang", "")
        language = asked if asked in LANGUAGES else preferred_language(http.headers.get("Accept-Language", ""))
        words, locale = Words(language), Locale(language, self._zone)
        selection, measure = Selection.of(http.query_params), Measure.of(http.query_params)
        answer = self._snapshots.answer(selection.days)
        page, message, result, ticket = None, texts.UNAVAILABLE[language], None, None
        if answer.snapshot is not None:
            figures = Figures(answer.snapshot, selection, viewer, self._clock())
            page = Context(figures, words, locale)
            message, result = self._answer(page, measure)
            departments = answer.snapshot.departments
            known = {*departments["hospital_id"], *departments["department"]}
            ticket = self._recorder.record(Kind.PAGE, viewer, what_of("what-if", selection, known))
        other = next(code for code in LANGUAGES if code != language)
        query = {**http.query_params, "lang": other}
        body = TEMPLATES.get_template("what_if.html").render(
            words=words,
            say=lambda text: text[language],
            texts=texts,
            language=language,
            is_explicit_language=asked in LANGUAGES,
            viewer=viewer,
            selection=selection,
            measure=measure,
            hospitals=page.figures.hospitals if page else {},
            departments=page.figures.departments if page else [],
            message=message,
            result=result,
            text=locale.value,
            back="./" + (f"?{urlencode({'lang': asked})}" if asked in LANGUAGES else ""),
            other_language={"code": other, "address": f"?{urlencode(query)}"},
        )
        return recorded(HTMLResponse(body, headers=PRIVATE), ticket)

    def _answer(self, page: Context, measure: Measure) -> tuple[str, Result | None]:
        """Why there is no answer, or the answer."""
        figures, ahead = page.figures, page.figures.ahead
        hospital, department = figures.selection.hospital, figures.selection.department
        if hospital not in figures.hospitals or measure.is_none:
            return page.say(texts.CHOOSE), None
        if not department and (measure.beds or measure.postponed):
            return page.say(texts.NEEDS_DEPARTMENT), None
        judgement = ahead.judgements.get(hospital)
        if judgement is None or ahead.made_at is None or ahead.tonight.is_empty():
            if judgement is not None and not judgement.is_shown:
                number = page.locale.number
                days, needed = number(judgement.days), number(ahead.days_needed)
                return page.say(NOT_JUDGED, days=days, needed=needed), None
            return page.say(texts.NOTHING), None
        if not judgement.holds:
            return page.say(texts.BAD_WEEK), None
        versions = figures.snapshot.departments
        try:
            changes = changes_of(
                versions, hospital, department, measure.beds, float(measure.postponed), measure.earlier
            )
            found = self._models.compare(versions, ahead.made_at, changes)
        except ValueError:
            return page.say(texts.TOO_MANY), None
        except WarehouseError as error:
            _LOG.warning("the stays of a hospital cannot be read: %s", error)
            return page.say(texts.UNAVAILABLE), None
        return "", _result(page, found, _places(page))


def _places(page: Context) -> list[str]:
    """The places of the answer that the viewer may see; "" is the whole hospital."""
    figures = page.figures
    seen = figures.chosen.filter(c("department_key") != 0)["department"].unique().sort().to_list()
    return seen if figures.viewer.departments is not None else ["", *seen]


def _result(page: Context, found: WhatIf, places: Sequence[str]) -> Result:
    is_midnight = c("target_at").dt.convert_time_zone(page.locale.zone.key).dt.hour() == 0
    ahead = found.rows.filter(is_midnight, c("target_at") > page.figures.now)
    frames = {name: ahead.filter(c("department") == name) for name in places}
    frames = {name: rows for name, rows in frames.items() if not rows.is_empty()}
    first = page.figures.selection.department or next(iter(frames), "")
    return Result(
        page.say(texts.CAPTION, moment=page.locale.moment(found.made_at)),
        [_sentence(page, name, rows.row(0, named=True)) for name, rows in frames.items()],
        _drawing(page, frames[first]) if first in frames else "",
        [
            Legend("strong", page.say(texts.CHANGED)),
            Legend("g3", page.say(texts.AS_IT_IS)),
            Legend("likely", page.say(texts.LIKELY)),
        ],
        [(page.name(name), _table(page, rows)) for name, rows in frames.items()],
    )


def _sentence(page: Context, department: str, row: dict[str, Any]) -> str:
    """The first target of a place in words."""
    number, staffed = page.locale.number, row["changed_staffed_beds"]
    if staffed is None:
        text, values = texts.TONIGHT_OCCUPIED, ("changed_expected", "changed_low", "changed_high", "expected")
        figures = [row[name] for name in values]
    else:
        text = texts.TONIGHT_FREE
        figures = [staffed - row[name] for name in ("changed_expected", "changed_high", "changed_low")]
        figures.append(row["staffed_beds"] - row["expected"])
    after, low, high, before = (number(round(value) + 0.0) for value in figures)
    name, moment = page.name(department), page.locale.moment(row["target_at"])
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
