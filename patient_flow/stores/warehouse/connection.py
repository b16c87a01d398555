"""How a warehouse is named and what may be said about it: URLs without secrets, errors on one line."""

from __future__ import annotations

import re

import sqlalchemy as sa

_SECRET = re.compile(r"(?i)\b(pwd|password|secret|token|accesskey|sig)\s*=\s*(\{[^}]*\}|[^;&\s'\"]*)")
_HIDDEN = "***"


def masked(url: str) -> str:
    """``url`` fit to be shown: no password, no connection string."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return "PATIENT_FLOW_WAREHOUSE_URL"
    harmless = {name: value for name, value in parsed.query.items() if name.lower() in ("driver", "encrypt")}
    return parsed.set(query=harmless).render_as_string(hide_password=True)


def readable(error: Exception) -> str:
    """What the driver says, on one line, without statement, parameters or secrets.

    Of PostgreSQL only the message proper: its detail and context quote the row that was refused.
    """
    said = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
    proper = getattr(getattr(getattr(error, "orig", None), "diag", None), "message_primary", None)
    said = proper or said
    return _SECRET.sub(rf"\1={_HIDDEN}", " ".join(said.split()))
