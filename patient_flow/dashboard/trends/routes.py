"""The page "Over time" over HTTP: /trends and /trends.csv."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import polars as pl
from starlette.requests import Request as HTTPRequest
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from patient_flow.contracts import events
from patient_flow.contracts.access_log import Kind
from patient_flow.contracts.chart_notes import ChartNotes
from patient_flow.dashboard import queries
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.access_log import what_of
from patient_flow.dashboard.pages import Request, refusal
from patient_flow.dashboard.replies import PRIVATE, exported, recorded
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.services import PageServices
from patient_flow.dashboard.snapshot import Load
from patient_flow.dashboard.trends import figures, texts
from patient_flow.dashboard.trends.answer import CHARTS, CSVS, MONTHS, Asked, Found, csv_of
from patient_flow.dashboard.trends.daily import DailyTable, scope_of
from patient_flow.dashboard.trends.months import Months, months_of
from patient_flow.dashboard.trends.page import TrendsPage
from patient_flow.dashboard.trends.period import Period, PeriodError, default_period, period_of
from patient_flow.stores.warehouse.errors import WarehouseError

c = pl.col

PAGE_SECONDS, MORE_SECONDS = 0.4, 0.05
"""How long a page waits for the sums of its range, and for what stands beside them; the rest follows later."""

EXPORT_SECONDS = 30
"""How long the export of months waits for them."""

_LOG = logging.getLogger("uvicorn.error")


class Trends:
    """The answers to requests for ranges of dates, on one warehouse."""

    def __init__(
        self,
        services: PageServices,
        notes: ChartNotes,
        for_aggregate_readers: Callable[[HTTPRequest], Response],
    ) -> None:
        self._services = services
        self._notes = notes
        self._for_aggregate_readers = for_aggregate_readers
        self._daily = DailyTable(services.warehouse)
        self._months = Months(services.warehouse, services.zone, services.clock)
        self._departments: tuple[object, pl.DataFrame] = (None, pl.DataFrame())

    def routes(self) -> list[Route]:
        """The routes of the page."""
        return [Route("/trends", self._page), Route("/trends.csv", self._export)]

    def close(self, timeout: float) -> None:
        """Starts no more reads, and waits ``timeout`` seconds for the running one."""
        self._daily.close(timeout)
        self._months.close(timeout)

    def _page(self, http: HTTPRequest) -> Response:
        request = self._services.request(http)
        if request.viewer.is_aggregate_reader:
            return self._for_aggregate_readers(http)
        today = self._services.date_of(request.now)
        try:
            period, problem = period_of(http.query_params, today), None
        except PeriodError as error:
            period, problem = default_period(today), error.text
        asked = _asked(request, period)
        try:
            departments, found = self._answer(asked, with_figures=problem is None)
        except WarehouseError as error:
            _LOG.warning("the daily table cannot be read: %s", error)
            return HTMLResponse(refusal(502, asked.language), 502, headers=PRIVATE)
        page = TrendsPage(asked, found, *_choices(departments, request.viewer), self._services.zone, problem)
        if problem is not None:
            return HTMLResponse(page.html(), 400, headers=PRIVATE)
        ticket = self._services.recorder.record(Kind.PAGE, request.viewer, _what("trends", asked, departments))
        return recorded(HTMLResponse(page.html(), headers=PRIVATE), ticket)

    def _export(self, http: HTTPRequest) -> Response:
        request = self._services.request(http)
        if request.viewer.is_aggregate_reader:
            return self._for_aggregate_readers(http)
        language = request.language
        try:
            asked = _asked(request, period_of(http.query_params, self._services.date_of(request.now)))
            departments, found = self._answer(asked, with_figures=True, is_complete=True)
        except PeriodError as error:
            return PlainTextResponse(error.text[language] + "\n", 400, headers=PRIVATE)
        except WarehouseError as error:
            _LOG.warning("the daily table cannot be read: %s", error)
            return HTMLResponse(refusal(502, language), 502, headers=PRIVATE)
        wanted = http.query_params.get("of", CHARTS)
        name = wanted if wanted in CSVS else CHARTS
        if name == MONTHS and not self._complete(asked, found):
            headers = {**PRIVATE, "Retry-After": str(EXPORT_SECONDS)}
            return PlainTextResponse(texts.MONTHS_LATER[language] + "\n", 503, headers=headers)
        what = _what(f"export-trends-{name}", asked, departments)
        ticket = self._services.recorder.record(Kind.EXPORT, request.viewer, what)
        return exported(csv_of(asked, found, name), f"patient-flow-{name}", ticket)

    def _answer(self, asked: Asked, *, with_figures: bool, is_complete: bool = False) -> tuple[pl.DataFrame, Found]:
        """Departments, and the figures: all, or those that can be had in time. Raises ``WarehouseError``."""
        load = self._services.snapshots.load()
        if load.is_empty:
            return pl.DataFrame(schema={"hospital_id": pl.String, "department": pl.String}), Found()
        departments = self._known_departments(load)
        if not with_figures:
            return departments, Found()
        scope, period, version = scope_of(asked.selection, asked.viewer), asked.period, load.versions
        seconds, more_seconds = (None, None) if is_complete else (PAGE_SECONDS, MORE_SECONDS)
        rows = self._daily.by_date(version, scope, period.first, period.last, seconds)
        if rows is None:
            return departments, Found(is_reading=True)
        if rows.is_empty():
            return departments, Found()
        column = "hospital_id" if not asked.selection.hospital else "department"
        before = self._daily.by_date(version, scope, *figures.earlier(period), more_seconds)
        places = self._daily.by_place(version, scope, period.first, period.last, more_seconds)
        date_of, changed_at = self._services.date_of, load.figures_changed_at
        notes = self._notes.with_change(date_of(changed_at) if changed_at else None)
        everything = rows if before is None else pl.concat([before, rows])
        asked_from = period.first if before is None else figures.earlier(period)[0]
        known_since, today = figures.first_date(everything, asked_from), date_of(self._services.clock())
        return departments, Found(
            figures.compared(everything, period, known_since),
            figures.charts(rows, period, today, notes, asked.selection.hospital, known_since),
            None if places is None else figures.places(places, column),
            column,
            self._months.of(scope, months_of(period.first, period.last, rows)),
            known_since,
            has_partial_days=known_since is not None and bool((rows["date"] < known_since).any()),
            is_reading=before is None or places is None,
        )

    def _complete(self, asked: Asked, found: Found) -> bool:
        """Waits for the months of an export; False when they take too long."""
        scope, until = scope_of(asked.selection, asked.viewer), time.monotonic() + EXPORT_SECONDS
        while any(figures is None for figures in found.months.values()):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
            found.months.update(self._months.of(scope, list(found.months)))
        return True

    def _known_departments(self, load: Load) -> pl.DataFrame:
        version, known = self._departments
        if version != load.versions:
            known = queries.departments(self._services.warehouse)
            self._departments = (load.versions, known)
        return known


def _asked(request: Request, period: Period) -> Asked:
    selection = request.selection.but(days=Selection().days)
    return Asked(selection, period, request.viewer, request.language, request.explicit_language)


def _choices(departments: pl.DataFrame, viewer: Viewer) -> tuple[Mapping[str, str], list[str]]:
    """Hospitals (id → name) and names of departments that the viewer may choose."""
    for column, allowed in (("hospital_id", viewer.hospitals), ("department", viewer.departments)):
        if allowed is not None:
            departments = departments.filter(c(column).is_in(sorted(allowed)))
    if departments.is_empty():
        return {}, []
    named = departments.sort("valid_from").group_by("hospital_id").agg(c("hospital_name").last())
    named = named.with_columns(c("hospital_name").fill_null(c("hospital_id"))).sort("hospital_name", "hospital_id")
    hospitals = {number: name for number, name in named.iter_rows() if number != events.UNKNOWN}
    names = [name for name in departments["department"].unique().sort().to_list() if name != events.UNKNOWN]
    return hospitals, names


def _what(page: str, asked: Asked, departments: pl.DataFrame) -> str:
    known = {*departments["hospital_id"], *departments["department"]}
    span = f"from={asked.period.first} to={asked.period.last}"
    return what_of(f"{page} {span}", asked.selection, known)
