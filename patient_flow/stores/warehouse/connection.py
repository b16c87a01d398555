"""Warehouse URLs and database errors without secrets."""

from __future__ import annotations

import re

import sqlalchemy as sa

_SECRET = re.compile(r"(?i)\b(pwd|password|secret|token|accesskey|sig)\s*=\s*(\{[^}]*\}|[^;&\s'\"]*)")
_HIDDEN = "***"


def masked(url: str) -> str:
    """``url`` without password and connection string."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return "PATIENT_FLOW_WAREHOUSE_URL"
    harmless = {name: value for name, value in parsed.query.items() if name.lower() in ("driver", "encrypt")}
    return parsed.set(query=harmless).render_as_string(hide_password=True)


def readable(error: Exception) -> str:
    """The driver's message on one line, without statement, parameters or secrets.

    Of PostgreSQL only the primary message: detail and context quote the rejected row.
    """
    message = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
    primary = getattr(getattr(getattr(error, "orig", None), "diag", None), "message_primary", None)
    return _SECRET.sub(rf"\1={_HIDDEN}", " ".join((primary or message).split()))
