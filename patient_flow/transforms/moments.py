"""ISO 8601 texts, in the spellings that databases and programming languages write, → moments.

One parser for the contract's own form and for foreign dialects: a text that the one reads, the other must not refuse.
Not here: the usual spelling, which ``transforms.read`` parses as a column, and what a moment means.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta

MAX_LENGTH = 64

_DATE = r"(?P<date>[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-?W[0-9]{2}-?[0-9])"
_CLOCK = r"(?P<hour>[0-9]{2})(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?)?"
_OFFSET = r"(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{1,2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)"
_MOMENT = re.compile(rf"{_DATE}[Tt ]{_CLOCK}(?: ?{_OFFSET}(?:\[[A-Za-z0-9_+/-]+\])?)?")
"""A blank may stand before the offset (SQL Server, Oracle); a zone's name may follow it in brackets (Java)."""
_HOUR_AFTER_THE_LAST = "24"
_UTC = ("Z", "z", "UTC", "GMT")
_MINUS = str.maketrans("\u2212\u2010\u2011\u2013", "----")
"""ISO 8601 prefers the minus sign to the hyphen; writers take other dashes for it."""


def parse_iso(text: str) -> datetime | None:
    """The moment that ``text`` names, aware where it states an offset; None where it names none.

    A date alone names no moment. Digits beyond microseconds are cut off. 24:00 is midnight at the end of its day.
    """
    if len(text) > MAX_LENGTH:
        return None
    match = _MOMENT.fullmatch(" ".join(unicodedata.normalize("NFKC", text).translate(_MINUS).split()))
    if match is None:
        return None
    part = match.groupdict()
    is_end_of_day = part["hour"] == _HOUR_AFTER_THE_LAST
    if is_end_of_day and int((part["minute"] or "0") + (part["second"] or "0") + (part["fraction"] or "0")):
        return None
    hour = "00" if is_end_of_day else part["hour"]
    fraction = f".{part['fraction'][:6]:0<6}" if part["fraction"] else ""
    clock = f"{hour}:{part['minute'] or '00'}:{part['second'] or '00'}{fraction}"
    try:
        moment = datetime.fromisoformat(f"{part['date']}T{clock}{_offset(part['zone'])}")
        return moment + timedelta(days=1) if is_end_of_day else moment
    except (ValueError, OverflowError):
        return None


def _offset(zone: str | None) -> str:
    """In the form ``+HH:MM``; "" for none."""
    if zone is None or zone in _UTC:
        return "" if zone is None else "+00:00"
    digits = zone[1:].replace(":", "")
    if len(digits) % 2:
        digits = f"0{digits}"
    return (
        zone[0]
        + ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
        + (":00" if len(digits) == 2 else "")
    )


def in_utc(moment: datetime) -> datetime:
    """``moment`` in UTC; one without an offset is UTC already. Raises ``OverflowError`` beyond the calendar's ends."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
