"""Who looks and what they may see, from headers that a reverse proxy sets after it has signed the viewer in.

Without a configured user header nobody signs in and everybody sees everything: right on one machine, or behind a proxy
that lets only the right people through. With one, a request counts only when it comes from a trusted proxy and carries
it. Limits fail closed: a configured header that is missing or empty gives nothing, ``*`` gives all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from patient_flow.errors import DataError

EVERYTHING = "*"


class Refused(DataError):
    """The request may not see the page; ``status`` is 401 (not signed in) or 403."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Viewer:
    """A person and the rows they may see; None stands for all."""

    name: str = ""
    hospitals: frozenset[str] | None = None
    departments: frozenset[str] | None = None


@dataclass(frozen=True)
class SignIn:
    """Names of the headers that carry user, hospitals and departments; an empty name switches its header off."""

    user_header: str = ""
    hospitals_header: str = ""
    departments_header: str = ""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")

    def __post_init__(self) -> None:
        if (self.hospitals_header or self.departments_header) and not self.user_header:
            raise ValueError(
                "limits by hospital or department need a user header: set PATIENT_FLOW_DASHBOARD_USER_HEADER"
            )

    def viewer(self, headers: Mapping[str, str], peer: str) -> Viewer:
        """The viewer that ``headers`` (case-insensitive) name. Raises :class:`Refused`."""
        if not self.user_header:
            return Viewer()
        if peer not in self.trusted_proxies:
            raise Refused(403, "the request does not come from a trusted proxy")
        name = headers.get(self.user_header, "").strip()
        if not name:
            raise Refused(401, "nobody is signed in")
        return Viewer(name, _limit(headers, self.hospitals_header), _limit(headers, self.departments_header))


def _limit(headers: Mapping[str, str], header: str) -> frozenset[str] | None:
    if not header:
        return None
    allowed = frozenset(filter(None, (part.strip() for part in headers.get(header, "").split(","))))
    return None if EVERYTHING in allowed else allowed
