"""The viewer and what they may see, from headers that a reverse proxy sets after it has signed the viewer in.

Without a configured user header nobody signs in and everybody sees everything: right on one machine, or behind a proxy
that lets only the right people through. With one, a request counts only when it comes from a trusted proxy and carries
it exactly once. A limit is a JSON list of names, or names separated by commas, each URL-encoded; both in UTF-8. Limits
fail closed: a configured header that is missing or empty gives nothing; only ``*`` alone gives all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.datastructures import Headers

from patient_flow.errors import DataError

EVERYTHING = "*"
FULL = "full"
"""Value of the aggregates header for viewers who may see small numbers."""


class Refused(DataError):
    """The request may not see the page; ``status`` is 401 (not signed in) or 403."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Viewer:
    """A person and the rows they may see; None means all rows."""

    name: str = ""
    hospitals: frozenset[str] | None = None
    departments: frozenset[str] | None = None
    is_aggregate_reader: bool = False
    """True for those who see published days and months only."""


@dataclass(frozen=True)
class SignIn:
    """Names of the headers that carry user, hospitals and departments; an empty name switches its header off."""

    user_header: str = ""
    hospitals_header: str = ""
    departments_header: str = ""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    aggregates_header: str = ""

    def __post_init__(self) -> None:
        if (self.hospitals_header or self.departments_header) and not self.user_header:
            raise ValueError(
                "limits by hospital or department need a user header: set PATIENT_FLOW_DASHBOARD_USER_HEADER"
            )

    def viewer(self, headers: Headers, peer: str) -> Viewer:
        """The viewer that ``headers`` name. Raises :class:`Refused`."""
        is_aggregate_reader = not self._sees_small_numbers(headers, peer)
        if not self.user_header:
            return Viewer(is_aggregate_reader=is_aggregate_reader)
        if peer not in self.trusted_proxies:
            raise Refused(403, "the request does not come from a trusted proxy")
        name = _value(headers, self.user_header)
        if not name:
            raise Refused(401, "nobody is signed in")
        hospitals, departments = _limit(headers, self.hospitals_header), _limit(headers, self.departments_header)
        return Viewer(name, hospitals, departments, is_aggregate_reader)

    def _sees_small_numbers(self, headers: Headers, peer: str) -> bool:
        """Without the header nobody is an aggregate reader; with it, everybody for whom a proxy does not say "full"."""
        if not self.aggregates_header:
            return True
        return peer in self.trusted_proxies and headers.getlist(self.aggregates_header) == [FULL]


def _value(headers: Headers, header: str) -> str:
    """The header's text, empty where it is absent. Sent twice it is refused: one of the two is not the proxy's."""
    values = headers.getlist(header)
    if len(values) > 1:
        raise Refused(
            403, f"the header {header} was sent {len(values)} times; the proxy must replace what a client sends"
        )
    raw = values[0].encode("latin-1") if values else b""
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip()


def _limit(headers: Headers, header: str) -> frozenset[str] | None:
    if not header:
        return None
    text = _value(headers, header)
    if text == EVERYTHING:
        return None
    return frozenset(filter(None, (name.strip() for name in _names(text, header))))


def _names(text: str, header: str) -> list[str]:
    if text.startswith("["):
        try:
            names = json.loads(text)
        except ValueError:
            names = None
        if isinstance(names, list) and all(isinstance(name, str | int) for name in names):
            return [str(name) for name in names]
        raise Refused(403, f"the header {header} is not a JSON list of names")
    if "," in text and " " in text:
        # "Ear, Nose and Throat" is one department; cut at the comma, it would open another one.
        raise Refused(403, f"the header {header} must be a JSON list, or URL-encoded names separated by commas")
    return [unquote(name) for name in text.split(",")]
