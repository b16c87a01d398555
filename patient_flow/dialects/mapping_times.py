"""How a mapping file says what its timestamps look like, and of which fields they are made."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from patient_flow.contracts import events
from patient_flow.dialects import times
from patient_flow.dialects.derived import TimeAfter, TimeParts
from patient_flow.dialects.mapping_checks import (
    Place,
    expect_fields,
    expect_known,
    expect_table,
    expect_text,
    expect_texts,
    last,
)
from patient_flow.dialects.rewriting import MAX_SHIFT_DAYS

UNITS = {
    "seconds": timedelta(seconds=1),
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
}
_TIMESTAMP_KEYS = ("format", "zone", "shift_days", "shift_from", "date_only", "pivot")
_YEARS = ("%Y", "%y", "%G", "%c", "%x")
_SAMPLES = (datetime(2027, 11, 23, 14, 35, 41, tzinfo=UTC), datetime(1998, 2, 6, 3, 20, 15, tzinfo=UTC))
"""Two moments that differ in every part of a timestamp."""
_JAVA = (
    ("yyyy", "%Y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
)
"""Letters of Java, .NET and spreadsheets, and what they are here."""
_ABBREVIATION = re.compile("[A-Z]{3,5}")
_OFFSET = re.compile(r"(UTC|GMT)?[+-]\d{1,2}(:?\d\d)?")


def read_timestamps(value: object, place: Place) -> dict[str, times.Timestamps]:
    """The section ``timestamp``, for each time field."""
    table = expect_table(value, place)
    expect_known(table, (*_TIMESTAMP_KEYS, *events.TIME_FIELDS), place)
    common = _timestamp({key: item for key, item in table.items() if key in _TIMESTAMP_KEYS}, place, times.Timestamps())
    return {name: _timestamp(table.get(name, {}), place.at(name), common) for name in events.TIME_FIELDS}


def read_times(value: object, place: Place) -> dict[str, TimeParts | TimeAfter]:
    """The section ``time``: timestamps made of several fields."""
    return {name: _time(item, at) for name, item, at in expect_fields(value, place, events.TIME_FIELDS)}


def read_unit(value: object, name: str, place: Place) -> timedelta:
    """A unit of time by its name."""
    unit = expect_text(value, place)
    if unit not in UNITS:
        raise place.error(f"{unit!r} is no unit of {name}: use one of {', '.join(UNITS)}")
    return UNITS[unit]


def _time(value: object, place: Place) -> TimeParts | TimeAfter:
    table = expect_table(value, place)
    expect_known(table, ("date", "time", "from", "plus", "unit"), place)
    if table.keys() == {"date", "time"}:
        return TimeParts(expect_text(table["date"], place.at("date")), expect_text(table["time"], place.at("time")))
    if table.keys() == {"from", "plus", "unit"}:
        start, length = expect_text(table["from"], place.at("from")), expect_text(table["plus"], place.at("plus"))
        return TimeAfter(start, length, read_unit(table["unit"], "plus", place.at("unit")))
    raise place.error(
        'a time is made of { date = "path", time = "path" }, or of { from = "field or path", plus = "path of a '
        'length", unit = "minutes" }'
    )


def _timestamp(value: object, place: Place, common: times.Timestamps) -> times.Timestamps:
    """``common`` with the settings that ``value`` overrides."""
    table = expect_table(value, place)
    expect_known(table, _TIMESTAMP_KEYS, place)
    changes: dict[str, Any] = {}
    if "date_only" in table:
        changes["date_only"] = _time_of_day(table["date_only"], place.at("date_only"))
    if "format" in table:
        forms = expect_texts(table["format"], place.at("format"))
        may_be_date = bool(changes.get("date_only") or common.date_only)
        whole = {form: _expect_time_format(form, place.at("format"), may_be_date=may_be_date) for form in forms}
        changes["formats"] = tuple(form for form in forms if whole[form])
        changes["date_formats"] = tuple(form for form in forms if not whole[form])
    if "zone" in table:
        changes["zone"] = _zone(expect_text(table["zone"], place.at("zone")), place.at("zone"))
    if "shift_days" in table:
        days = _whole(table["shift_days"], MAX_SHIFT_DAYS, "of days", place.at("shift_days"))
        changes["shift"] = timedelta(days=days)
    if "shift_from" in table:
        changes["shift_from"] = expect_text(table["shift_from"], place.at("shift_from"))
    if "pivot" in table:
        changes["pivot"] = _whole(
            table["pivot"], 100, "of years, the first that is of the last century,", place.at("pivot")
        )
    return replace(common, **changes)


def _whole(value: object, limit: int, what: str, place: Place) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > limit:
        raise place.error(f"{last(place)} is a whole number {what} up to {limit}")
    return value


def _time_of_day(value: object, place: Place) -> time:
    text = value if isinstance(value, str) else ""
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007  # a time of day on any clock
    except ValueError:
        raise place.error('date_only is the time of day for a date without one, in quotes, such as "12:00"') from None


def _zone(name: str, place: Place) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise place.error(f"{name!r} is no IANA zone{_nearest_zone(name)}") from None


def _nearest_zone(name: str) -> str:
    """What to write instead. An abbreviation resembles others that lie on another continent."""
    if _ABBREVIATION.fullmatch(name):
        return ": abbreviations are ambiguous and know no change of clocks: use a name such as Europe/Paris"
    if _OFFSET.fullmatch(name):
        return ": an offset knows no change of clocks: use a name such as Europe/Paris"
    zones = [zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix/"))]
    places = {zone.rpartition("/")[2].casefold(): zone for zone in sorted(zones)}
    folded = {zone.casefold(): zone for zone in zones}
    wanted = name.strip().replace(" ", "_").casefold()
    near = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.75) or difflib.get_close_matches(wanted, places, n=1)
    found = folded.get(near[0]) or places.get(near[0]) if near else None
    hint = f" (did you mean {found!r}?)" if found else ""
    return f"{hint}: use a name such as Europe/Paris"


def _expect_time_format(form: str, place: Place, *, may_be_date: bool) -> bool:
    """True for a number since 1970 or a strptime format with date and hour; False for a date alone, if that may be."""
    if form in times.UNIX_UNITS:
        return True
    if "%" not in form:
        raise place.error(f"{form!r} is no strptime format: {_in_strptime(form)}")
    if "%Z" in form:
        raise place.error(f"{form!r}: names of zones (%Z) are ambiguous: use %z for an offset, or zone")
    try:
        kept = [_parts_kept(sample, form) for sample in _SAMPLES]
    except (ValueError, re.error):
        raise place.error(f"{form!r} is no strptime format: write it as in %d/%m/%Y %H:%M:%S") from None
    if all(parts == 4 for parts in kept):
        return True
    if not all(parts >= 3 for parts in kept):
        raise place.error(f"{form!r} does not hold a full date and hour: a timestamp must name an instant")
    if not may_be_date:
        raise place.error(
            f"{form!r} does not hold a full date and hour: a timestamp must name an instant; for a date without a "
            'time say date_only = "12:00", for a time of day in another field see [mapping.time]'
        )
    return False


def _in_strptime(form: str) -> str:
    """``form`` in the letters of strptime, where it is written in those of other languages."""
    written = form
    for theirs, ours in _JAVA:
        written = written.replace(theirs, ours)
    return f"write {written!r}" if written.count("%") >= 3 else "write it as in %d/%m/%Y %H:%M:%S, or unix or unix_ms"


def _parts_kept(sample: datetime, form: str) -> int:
    """How many of year, month, day and hour ``form`` keeps, before the first that it loses."""
    text = sample.strftime(form)
    if not any(year in form for year in _YEARS):  # Python warns of a day and month alone: give both another year
        text, form = f"{text} 1904", f"{form} %Y"
    read = datetime.strptime(text, form)  # noqa: DTZ007  # only the digits are compared
    same = [ours == theirs for ours, theirs in zip(read.timetuple()[:4], sample.timetuple()[:4], strict=True)]
    return same.index(False) if False in same else len(same)
