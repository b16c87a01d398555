"""Numbers, dates and durations as a reader of English or French expects them, in the hospital's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from patient_flow.wording import NARROW_SPACE, is_one, localized

LANGUAGES = ("en", "fr")

_SPACE = "\N{NO-BREAK SPACE}"
_DAYS = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "fr": ("lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."),
}
_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "fr": ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
}


class Counted(str):
    """A number as it is shown, with which words agree: ``"{beds} {beds:bed is|beds are} closed"``."""

    is_one: bool
    """Whether the singular follows: in English with 1, in French below 2."""

    def __format__(self, forms: str) -> str:
        """The number itself, or the first of two ``forms``, ``one|several``, where it is one, else the second."""
        if not forms:
            return str(self)
        one, several = forms.split("|")
        return one if self.is_one else several


@dataclass(frozen=True)
class Locale:
    """One language and one time zone."""

    language: str
    zone: ZoneInfo

    def number(self, value: float | None, digits: int = 0) -> str:
        """``1,234.5`` or ``1 234,5``; a dash for what is not known."""
        if value is None:
            return "–"
        text = f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")
        return localized(text, self.language)

    def counted(self, value: float, digits: int = 0) -> Counted:
        """:meth:`number`, with which words agree."""
        shown = Counted(self.number(value, digits))
        shown.is_one = is_one(round(value, digits), self.language)
        return shown

    def quantity(self, value: float | None, unit: str) -> str:
        """A number with its unit: count, percent, minutes or hours."""
        if value is None or unit == "count":
            return self.number(value)
        if unit == "percent":
            return self.number(value, 1) + (f"{NARROW_SPACE}%" if self.language == "fr" else "%")
        return self.number(value, 0 if unit == "minutes" else 1) + _SPACE + ("min" if unit == "minutes" else "h")

    def day(self, day: date) -> str:
        """``Mon 23 Nov`` or ``lun. 23 nov.``"""
        return f"{_DAYS[self.language][day.weekday()]}{_SPACE}{self.short_day(day)}"

    def short_day(self, day: date) -> str:
        """``23 Nov`` or ``23 nov.``"""
        return f"{day.day}{_SPACE}{_MONTHS[self.language][day.month - 1]}"

    def time(self, instant: datetime) -> str:
        """Hours and minutes on the hospital's clock."""
        return f"{instant.astimezone(self.zone):%H:%M}"

    def moment(self, instant: datetime) -> str:
        """Day and time on the hospital's clock."""
        return f"{self.day(instant.astimezone(self.zone).date())}, {self.time(instant)}"

    def hour(self, hour: int) -> str:
        """An hour of the day."""
        return f"{hour:02}{_SPACE}h" if self.language == "fr" else f"{hour:02}:00"

    def value(self, value: str | float | date | None, unit: str) -> str:
        """A value of a table with this unit."""
        if value is None:
            return "–"
        if isinstance(value, datetime):
            return self.moment(value)
        if isinstance(value, date):
            return self.day(value)
        if isinstance(value, str):
            return value
        if unit == "clock":
            return self.hour(int(value))
        if unit == "mean":
            return self.number(value, 1)
        return self.number(value) if unit == "whole_percent" else self.quantity(value, unit)

    def duration(self, span: timedelta) -> str:
        """A length of time in its largest sensible unit."""
        seconds = max(int(span.total_seconds()), 0)
        if seconds < 120:
            return f"{seconds}{_SPACE}s"
        if seconds < 7200:
            return f"{seconds // 60}{_SPACE}min"
        if seconds < 2 * 86400:
            return f"{seconds // 3600}{_SPACE}h"
        return f"{self.number(seconds // 86400)}{_SPACE}" + ("j" if self.language == "fr" else "d")


def preferred_language(accepted: str) -> str:
    """The language that an Accept-Language header prefers among ours; English when it names none of them."""
    weighted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")):
        tag, _, weight = part.strip().partition(";q=")
        language = tag.partition("-")[0].lower()
        try:
            weighted.append((-float(weight or 1), place, language))
        except ValueError:
            continue
    return next((language for weight, _, language in sorted(weighted) if language in LANGUAGES and weight < 0), "en")
