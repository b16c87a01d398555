"""Timestamps of foreign dialects → the text that the contract reads: ISO 8601, with ``Z`` where the instant is known.

A timestamp without an offset stays without one until somebody says what zone it is in. Not here: which fields hold
timestamps, and what an unreadable one means for the event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from patient_flow.transforms import moments
from patient_flow.transforms.bodies import number_in

UNIX_UNITS = {"unix": timedelta(seconds=1), "unix_ms": timedelta(milliseconds=1)}
"""Formats that are numbers since 1970, and what they count."""

PIVOT = 50
"""50 to 99 are years of the twentieth century, 00 to 49 of this one, unless a mapping says otherwise."""

_DATE = re.compile(r"\d{4}(-?)\d\d\1\d\d", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_LENGTH = moments.MAX_LENGTH
_SHORT_PARTS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f")
"""``2026-1-2T3:4:5`` is no ISO 8601, and read all the same."""

_HL7_TIMESTAMP = re.compile(
    r"(?P<date>\d{8})(?P<hour>\d\d)(?:(?P<minute>\d\d)(?:(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?)?"
    r"(?P<offset>[+-]\d{4})?",
    re.ASCII,
)
_BIRTH_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?!\d-)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Timestamps:
    """How a source writes timestamps: strptime formats tried in order before ISO 8601, zone of naive ones, shift.

    A date without a time of day, in one of ``date_formats`` or ISO 8601, gets the time ``date_only`` where there is
    one. ``shift_from`` is the path of a number of days by which the timestamps of an event are moved besides. A year
    of two digits from ``pivot`` on is of the last century.
    """

    formats: tuple[str, ...] = ()
    zone: ZoneInfo | None = None
    shift: timedelta = timedelta()
    date_formats: tuple[str, ...] = ()
    date_only: time | None = None
    shift_from: str | None = None
    pivot: int = PIVOT

    def normalised(self, value: object, shift: timedelta = timedelta()) -> object:
        """``value`` in the contract's form; ``value`` itself when it is no timestamp of this source."""
        moment = self.read(value, shift)
        return value if moment is None else in_contract_form(moment) or value

    def read(self, value: object, shift: timedelta = timedelta()) -> datetime | None:
        """The moment that ``value`` names, moved by ``shift``; aware if it has an offset or this source has a zone.

        Local times that a clock shows twice are the first of the two; those it skips are read with the offset from
        before the change (``fold=0`` for both).
        """
        moment = self._instant(value) or self._of_date(value)
        if moment is None:
            return None
        try:
            located = moment.replace(tzinfo=self.zone, fold=0) if moment.tzinfo is None else moment
            return located + (self.shift + shift)
        except OverflowError:
            return None

    def is_date(self, value: object) -> bool:
        """True for a date that gets its time of day from ``date_only``."""
        return self.date_only is not None and self._instant(value) is None and self._of_date(value) is not None

    def _instant(self, value: object) -> datetime | None:
        for form in self.formats:
            moment = _from_unix(value, UNIX_UNITS[form]) if form in UNIX_UNITS else self._parsed(value, form)
            if moment is not None:
                return moment
        return from_iso(value)

    def _of_date(self, value: object) -> datetime | None:
        if self.date_only is None or not isinstance(value, str):
            return None
        text = value.strip()
        found = next((day for form in self.date_formats if (day := self._parsed(text, form)) is not None), None)
        if found is None and _DATE.fullmatch(text):
            found = _from_format(text.replace("-", ""), "%Y%m%d")
        return None if found is None else datetime.combine(found.date(), self.date_only)

    def _parsed(self, value: object, form: str) -> datetime | None:
        moment = _from_format(value, form)
        if moment is None or "%y" not in form:
            return moment
        century = 1900 if moment.year % 100 >= self.pivot else 2000
        try:
            return moment.replace(year=century + moment.year % 100)
        except ValueError:  # 29 February
            return None


def in_contract_form(moment: datetime) -> str | None:
    """ISO 8601: UTC with ``Z``, or without an offset if ``moment`` has none; None beyond the calendar's ends."""
    if moment.tzinfo is None:
        return moment.isoformat()
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None


def from_iso(value: object) -> datetime | None:
    """The moment of an ISO 8601 text; None for anything else. A date alone names no moment."""
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        return None
    found = (moments.parse_iso(value), *(_from_format(value, form) for form in _SHORT_PARTS))
    return next((moment for moment in found if moment is not None), None)


def from_hl7(text: str) -> datetime | None:
    """The moment of an HL7 v2 timestamp that is precise to the hour at least; None for anything else."""
    match = _HL7_TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    clock = f"{match['hour']}:{match['minute'] or '00'}:{match['second'] or '00'}"
    fraction = f".{match['fraction'][:6]:0<6}" if match["fraction"] else ""
    try:
        return datetime.fromisoformat(f"{match['date']}T{clock}{fraction}{match['offset'] or ''}")
    except ValueError:
        return None


def age_at(birth_date: str, moment: datetime) -> int | None:
    """Full years from ``birth_date`` (``YYYY-MM-DD`` or ``YYYYMMDD``, a time after it does not matter) to ``moment``.

    None when the text holds no full date: from a year alone the age could be wrong by one.
    """
    match = _BIRTH_DATE.match(birth_date.strip())
    if match is None:
        return None
    try:
        born = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return moment.year - born.year - ((moment.month, moment.day) < (born.month, born.day))


def _from_format(value: object, form: str) -> datetime | None:
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        return None
    try:
        return datetime.strptime(value.strip(), form)  # noqa: DTZ007  # naive until the source's zone is applied
    except ValueError:
        return None


def _from_unix(value: object, unit: timedelta) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > _MAX_LENGTH:
        return None
    try:
        number = value if isinstance(value, int | float) else number_in(value)
        return None if number is None else _EPOCH + unit * number
    except (ValueError, OverflowError):
        return None
