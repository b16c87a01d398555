"""The dashboard over HTTP: routes, headers, sign-in, and the process that serves them.

Nothing leaves the machine but the answers: the page loads only what this server has, and its policy tells browsers to
refuse anything else.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import hashlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request as HTTPRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from uvicorn.protocols.http.h11_impl import H11Protocol

from patient_flow.contracts.access_log import Kind
from patient_flow.contracts.chart_notes import ChartNotes
from patient_flow.contracts.escalation import DEFAULT, Thresholds
from patient_flow.contracts.fullness import Limits
from patient_flow.dashboard.access import Refused, SignIn
from patient_flow.dashboard.access_log import LogFull, Recorder, Ticket, what_of
from patient_flow.dashboard.aggregates import DAYS, MONTHS, AggregatePage
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.history import History
from patient_flow.dashboard.levels import style_sheet
from patient_flow.dashboard.middleware import BoundedQueue, Headers, KnownHosts
from patient_flow.dashboard.pages import Freshness, Page, Past, Request, refusal
from patient_flow.dashboard.patient_page import PatientPage
from patient_flow.dashboard.patients import HEADLINE, IN_BEDS, TITLES, PatientList
from patient_flow.dashboard.reading import PastRows
from patient_flow.dashboard.replies import PRIVATE, UNKEPT, exported, iso, log_full, recorded, refused, require_line
from patient_flow.dashboard.rows import PageRows
from patient_flow.dashboard.services import PageServices
from patient_flow.dashboard.snapshot import Answer, Returns, Snapshots
from patient_flow.dashboard.trends.routes import Trends
from patient_flow.dashboard.usual import UsualDays
from patient_flow.dashboard.what_if.routes import WhatIfPages
from patient_flow.errors import OperatorError
from patient_flow.services import Services
from patient_flow.settings import LOCAL_ACCESS_LOG_KEY, LOOPBACK_HOSTS
from patient_flow.stores.warehouse.access_log import AccessLog
from patient_flow.stores.warehouse.aggregates import Aggregates
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.warehouse import Warehouse

STATIC = Path(__file__).parent / "static"
REFRESH_SECONDS = 15
"""How often an open page asks for new figures."""
PENDING_SECONDS = 2
"""How soon it asks again while something is missing."""
PARTING_SECONDS = 2.0
"""For what is being read when the server ends: a connection in use cannot be closed."""
PAGES_AT_ONCE = 8
"""Pages are made by processors, not by waiting: more at once would only take more memory."""
REQUEST_HEAD_SECONDS = 10.0
"""A connection that has not sent a whole request head after this time is closed."""
REFRESH_HEADER = "X-Refresh-Seconds"
SWITCH_SECONDS = 0.0005
"""How long a thread that reads the warehouse keeps the interpreter from one that makes a page: a page asks for it a
thousand times, and would wait up to 5 ms each time."""


_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  (compared with, not bound to)
_LOG = logging.getLogger("uvicorn.error")


class DashboardError(OperatorError):
    """The dashboard cannot be served; the message says what to do."""


@dataclass(frozen=True)
class Options:
    """Options of an operator."""

    sign_in: SignIn = field(default_factory=SignIn)
    freshness: Freshness = field(default_factory=Freshness)
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    """Host names that the dashboard answers to (``*.example.org`` for a domain)."""
    access_log_key: str = field(default=LOCAL_ACCESS_LOG_KEY, repr=False)
    suppress_below: int = 0
    """The smallest count that aggregate readers see: stated on their page."""
    chart_notes: ChartNotes = field(default_factory=ChartNotes)
    escalation: Thresholds = DEFAULT
    limits: Limits = field(default_factory=Limits)
    """From which occupancy a department is highly or critically full: those of the bed alerts."""
    history_days: int = 0
    """Days of history that an import is expected to bring: the page says how far it is."""


class Dashboard:
    """The answers to all requests, on one warehouse."""

    def __init__(
        self,
        warehouse: Warehouse,
        zone: ZoneInfo,
        options: Options | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._warehouse = warehouse
        self._zone = zone
        self._options = options or Options()
        self._clock = clock
        self._snapshots = Snapshots(warehouse, zone, clock)
        self._returns = Returns(warehouse, zone, self._snapshots)
        self._history = History(warehouse, self._options.history_days)
        self._usual = UsualDays(warehouse, zone)
        self._recorder = Recorder(AccessLog(warehouse), self._options.access_log_key, clock)
        self._pages = PageServices(warehouse, zone, clock, self._snapshots, self._recorder, self._options.sign_in)
        self._trends = Trends(self._pages, self._options.chart_notes, self._aggregates)
        self._what_if = WhatIfPages(self._pages, self._aggregates)

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/figures", self._fragment),
                Route("/export.csv", self._export),
                Route("/patients", self._patients),
                Route("/patients.csv", self._patients_csv),
                Route("/levels.css", _levels),
                Route("/health", self._health),
                *self._trends.routes(),
                *self._what_if.routes(),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            middleware=[
                Middleware(Headers),
                Middleware(KnownHosts, allowed_hosts=[*self._options.hosts], www_redirect=False),
                Middleware(BoundedQueue),
                Middleware(GZipMiddleware, minimum_size=1000),
            ],
            exception_handlers={Refused: refused, LogFull: log_full},
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        # The longest period is read ahead of its first viewer; an earlier viewer waits for it once.
        threading.Thread(target=self._warm, name="warm", daemon=True).start()
        current_default_thread_limiter().total_tokens = PAGES_AT_ONCE
        yield
        # Readmissions first: their reader waits for periods, which nobody reads once the snapshots are closed.
        for part in (self._returns, self._snapshots, self._usual, self._trends, self._what_if, self._recorder):
            part.close(PARTING_SECONDS)

    def _warm(self) -> None:
        """Reads what pages need ahead of the first viewer: the usual days once the shortest period is there."""
        shortest = self._snapshots.warm()
        if shortest is not None:
            concurrent.futures.wait([shortest])
            self._usual.of(self._pages.date_of(self._clock()))

    # --- routes: plain functions, each in a worker thread -------------------------------------------------------

    def _page(self, http: HTTPRequest) -> Response:
        if self._pages.viewer(http).is_aggregate_reader:
            return self._aggregates(http)
        request, answer = self._asked(http)
        ticket = self._record(Kind.PAGE, "page", request, answer)
        page, _ = self._made(request, answer)
        return recorded(HTMLResponse(page.html(), headers=PRIVATE), ticket)

    def _fragment(self, http: HTTPRequest) -> Response:
        if self._pages.viewer(http).is_aggregate_reader:
            raise Refused(403, "an aggregate reader asked for figures of now")
        request, answer = self._asked(http)
        ticket = self._record(Kind.REFRESH, "page", request, answer)
        page, pending = self._made(request, answer)
        body = page.fragment()
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'
        headers = {**PRIVATE, "ETag": tag, REFRESH_HEADER: str(PENDING_SECONDS if pending else REFRESH_SECONDS)}
        if http.headers.get("If-None-Match") == tag:
            return recorded(Response(status_code=304, headers=headers), ticket)
        return recorded(HTMLResponse(body, headers=headers), ticket)

    def _export(self, http: HTTPRequest) -> Response:
        if self._pages.viewer(http).is_aggregate_reader:
            return self._aggregates(http, is_export=True)
        request, answer = self._asked(http)
        page, _ = self._made(request, answer)
        panel = http.query_params.get("panel", "")
        name = "-".join(filter(None, ("export", panel if panel in page.panel_ids else "")))
        ticket = self._record(Kind.EXPORT, name, request, answer)
        return exported(page.csv(panel), name.replace("export", "patient-flow"), ticket)

    def _patients(self, http: HTTPRequest) -> Response:
        """The patients behind a number, as a page: as with an export, nothing is shown without its line."""
        request, answer, listed = self._listed(http)
        if listed is None:
            return HTMLResponse(refusal(502, request.language), 502, headers=PRIVATE)
        ticket = self._record(Kind.PATIENTS, f"patients of={listed.of}", request, answer)
        require_line(ticket)
        return recorded(HTMLResponse(PatientPage(request, listed, self._zone).html(), headers=UNKEPT), ticket)

    def _patients_csv(self, http: HTTPRequest) -> Response:
        """The same as CSV, with all rows."""
        request, answer, listed = self._listed(http)
        if listed is None:
            return HTMLResponse(refusal(502, request.language), 502, headers=PRIVATE)
        ticket = self._record(Kind.PATIENTS, f"export-patients of={listed.of}", request, answer)
        return exported(PatientPage(request, listed, self._zone).csv(), f"patient-flow-patients-{listed.of}", ticket)

    def _listed(self, http: HTTPRequest) -> tuple[Request, Answer, PatientList | None]:
        """The list that an address names; None where the warehouse cannot be read. Raises :class:`Refused`."""
        if self._pages.viewer(http).is_aggregate_reader:
            raise Refused(403, "an aggregate reader asked for a list of patients")
        request, answer = self._asked(http)
        if answer.snapshot is None:
            return request, answer, None
        rows = PageRows(answer.snapshot, request.selection, request.viewer, request.now)
        of = http.query_params.get("of", "")
        is_headline = http.query_params.get("classes") == HEADLINE
        return request, answer, PatientList(rows, of if of in TITLES else IN_BEDS, is_headline)

    def _aggregates(self, http: HTTPRequest, *, is_export: bool = False) -> Response:
        """Published days and months: all that an aggregate reader gets."""
        request = self._pages.request(http)
        viewer, language, today = request.viewer, request.language, self._pages.date_of(request.now)
        page = AggregatePage(Aggregates(self._warehouse), viewer, language, today, self._options.suppress_below)
        of = MONTHS if http.query_params.get("of") == MONTHS else DAYS
        try:
            body = page.csv(of) if is_export else page.html()
        except WarehouseError as error:
            _LOG.warning("the published days cannot be read: %s", error)
            return HTMLResponse(refusal(502, language), 502, headers=PRIVATE)
        kind, what = (Kind.EXPORT, f"export-aggregates-{of}") if is_export else (Kind.PAGE, "aggregates")
        ticket = self._recorder.record(kind, viewer, what)
        if is_export:
            return exported(body, f"patient-flow-{of}", ticket)
        return recorded(HTMLResponse(body, headers=PRIVATE), ticket)

    def _health(self, _: HTTPRequest) -> Response:
        now = self._clock()
        try:
            load = self._snapshots.load()
        except WarehouseError:
            return JSONResponse({"status": "unreachable"}, status_code=503)
        seconds = None if load.newest_event_at is None else (now - load.newest_event_at).total_seconds()
        return JSONResponse(
            {
                "status": self._options.freshness.state(load, now),
                "newest_event_at": iso(load.newest_event_at),
                "newest_event_age_seconds": seconds,
                "loaded_at": iso(load.loaded_at),
                "lag_seconds": None if load.lag is None else load.lag.total_seconds(),
            }
        )

    def _asked(self, http: HTTPRequest) -> tuple[Request, Answer]:
        """The request, and the figures for it."""
        request = self._pages.request(http)
        return request, self._snapshots.answer(request.selection.days)

    def _record(self, kind: Kind, page: str, request: Request, answer: Answer) -> Ticket | None:
        """A line in the access log; a page without figures needs none."""
        if answer.snapshot is None:
            return None
        departments = answer.snapshot.departments
        known = {*departments["hospital_id"], *departments["department"]}
        return self._recorder.record(kind, request.viewer, what_of(page, request.selection, known))

    def _made(self, request: Request, answer: Answer) -> tuple[Page, bool]:
        """The page, and whether something on it is still missing."""
        past = self._past(answer, request)
        options, since = self._options, self._history.since(answer.load, request.now.astimezone(self._zone).date())
        history = None if since is None else (since, self._history.days)
        page = Page(request, answer, past, self._zone, options.freshness, options.limits, options.escalation, history)
        is_missing = (
            past.usual is None and answer.snapshot is not None and self._usual.is_pending(answer.snapshot.today)
        )
        return page, answer.is_reading or past.returns.is_pending or is_missing

    def _past(self, answer: Answer, request: Request) -> Past:
        if answer.snapshot is None:
            return Past(PastRows(problem=answer.problem))
        figures = Figures(answer.snapshot, request.selection, request.viewer, request.now)
        return Past(self._returns.between(*figures.returns_between), self._usual.of(answer.snapshot.today))


def _levels(_: HTTPRequest) -> Response:
    return Response(style_sheet(), media_type="text/css")


def serve(
    services: Services,
    host: str = "127.0.0.1",
    port: int = 8050,
    *,
    on_ready: Callable[[str], None],
    options: Options | None = None,
) -> None:
    """Serves the dashboard of the warehouse that the settings name, until SIGINT or SIGTERM.

    ``on_ready`` gets the address when the server answers; port 0 takes any free one. Raises :class:`DashboardError`
    when the port is taken.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        option = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        raise DashboardError(f"{host}:{port} cannot be served ({reason}): give another {option}") from error
    printed = f"[{host}]" if ":" in host else host
    options = options or Options()
    if host not in _ANY_ADDRESS:
        options = replace(options, hosts=(*options.hosts, host, printed))
    address = f"http://{printed}:{listener.getsockname()[1]}/"
    dashboard = Dashboard(services.warehouse, ZoneInfo(services.settings.timezone), options)
    config = uvicorn.Config(
        dashboard.application(),
        log_level="warning",
        access_log=False,
        ws="none",
        http=_TimedProtocol,
        timeout_graceful_shutdown=5,
        # The sign-in trusts the machine at the other end of the connection, not the one that a header names.
        proxy_headers=False,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        _Server(config, lambda: on_ready(address)).run(sockets=[listener])
    finally:
        services.warehouse.dispose()


class _Server(uvicorn.Server):
    """uvicorn that calls back when it is ready, and returns after a signal instead of raising it again."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then print the address."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles signals where that is possible: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


class _TimedProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request head does not arrive in time; uvicorn waits without limit."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(REQUEST_HEAD_SECONDS, self._close_if_no_request)

    def data_received(self, data: bytes) -> None:
        """Starts the clock again for the first bytes of a further request."""
        is_between_requests = self.cycle is not None and self.cycle.response_complete
        super().data_received(data)
        if is_between_requests and self.cycle.response_complete and not self.transport.is_closing():
            self._stop_clock()
            self._head_timer = self.loop.call_later(REQUEST_HEAD_SECONDS, self._close_if_no_request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _close_if_no_request(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
