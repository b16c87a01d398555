"""Timestamps of foreign dialects → the text that the contract reads: ISO 8601, with ``Z`` where the instant is known.

A timestamp without an offset stays without one until somebody says what zone it is in. Not here: which fields hold
timestamps, and what an unreadable one means for the event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from patient_flow.transforms import moments
from patient_flow.transforms.bodies import number_in

UNIX_UNITS = {"unix": timedelta(seconds=1), "unix_ms": timedelta(milliseconds=1)}
"""Formats that are numbers since 1970, and what they count."""

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
    """A source's timestamps: strptime formats tried in order before ISO 8601, zone of naive ones, shift."""

    formats: tuple[str, ...] = ()
    zone: ZoneInfo | None = None
    shift: timedelta = timedelta()

    def normalised(self, value: object) -> object:
        """``value`` as the contract reads it; ``value`` itself when it is no timestamp of this source."""
        moment = self.read(value)
        return value if moment is None else in_contract_form(moment) or value

    def read(self, value: object) -> datetime | None:
        """The moment that ``value`` names, aware if it has an offset or this source has a zone.

        Local times that a clock shows twice are the first of the two; those it skips are read with the offset from
        before the change (``fold=0`` for both).
        """
        for form in self.formats:
            moment = _from_unix(value, UNIX_UNITS[form]) if form in UNIX_UNITS else _from_format(value, form)
            if moment is not None:
                break
        else:
            moment = from_iso(value)
        if moment is None:
            return None
        try:
            located = moment.replace(tzinfo=self.zone, fold=0) if moment.tzinfo is None else moment
            return located + self.shift
        except OverflowError:
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
