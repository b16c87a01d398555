"""Replies of the dashboard: headers, refusals, and the line in the access log that each has to wait for."""

from __future__ import annotations

import logging
from datetime import datetime

from starlette.requests import Request as HTTPRequest
from starlette.responses import HTMLResponse, Response

from patient_flow.dashboard.access import Refused
from patient_flow.dashboard.access_log import LogFull, Ticket
from patient_flow.dashboard.formats import preferred_language
from patient_flow.dashboard.pages import refusal

REQUEST_HEADER = "X-Request-ID"
"""Leads from an answer, or the proxy's log of it, to its line in the access log."""
RETRY_SECONDS = 15

_LOG = logging.getLogger("uvicorn.error")

PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Accept-Language, Cookie"}
"""Answers depend on who asks: only the viewer's own browser may keep them, and must ask whether they still hold."""

UNKEPT = {**PRIVATE, "Cache-Control": "no-store"}
"""Lists of patients and files: not even the browser of a shared workstation may keep them."""


def refused(http: HTTPRequest, error: Exception) -> Response:
    """The page for someone who may not see the figures."""
    status = error.status if isinstance(error, Refused) else 403
    _LOG.warning("refused: %s", error)
    language = preferred_language(http.headers.get("Accept-Language", ""))
    return HTMLResponse(refusal(status, language), status, headers=PRIVATE)


def exported(body: str, name: str, ticket: Ticket | None) -> Response:
    """``body`` as a file. Raises :class:`LogFull` when its line cannot be written: nothing leaves without one."""
    require_line(ticket)
    headers = {**UNKEPT, "Content-Disposition": f'attachment; filename="{name}.csv"'}
    return recorded(Response("\ufeff" + body, media_type="text/csv; charset=utf-8", headers=headers), ticket)


def require_line(ticket: Ticket | None) -> None:
    """Returns once the line is in the access log. Raises :class:`LogFull` when it cannot be written in time."""
    if ticket is not None and not ticket.wait():
        ticket.withdraw()
        raise LogFull("the line of an export or a list of patients could not be written in time")


def recorded(response: Response, ticket: Ticket | None) -> Response:
    """``response`` once its line is in the access log, or cannot be written now, or after a few seconds."""
    if ticket is not None:
        ticket.wait_for_attempt()
        response.headers[REQUEST_HEADER] = ticket.entry.request_id
    return response


def log_full(http: HTTPRequest, _: Exception) -> Response:
    """The page for someone whose line cannot be written."""
    language = preferred_language(http.headers.get("Accept-Language", ""))
    headers = {**PRIVATE, "Retry-After": str(RETRY_SECONDS)}
    return HTMLResponse(refusal(503, language), 503, headers=headers)


def iso(instant: datetime | None) -> str | None:
    """An instant in JSON."""
    return None if instant is None else instant.isoformat()
