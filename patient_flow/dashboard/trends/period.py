"""The range of dates of a page, and the steps of its charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from patient_flow.contracts.measure_types import Text
from patient_flow.errors import DataError

DAY = timedelta(days=1)
DEFAULT_DAYS = 90
MAX_YEARS = 15
MAX_DAILY_POINTS, MAX_WEEKLY_DAYS = 92, 760
"""Longer ranges are drawn by week, then by month, unless the address names the step."""
STEPS = {"day": "1d", "week": "1w", "month": "1mo"}
"""Steps of charts, as Polars truncates to them; a week begins on Monday."""

_NO_DATE = Text("“{value}” is no date: write it as 2026-03-31.", "« {value} » n’est pas une date : écrivez 2026-03-31.")
_REVERSED = Text(
    "The range is empty: it begins on {first} and ends on {last}, before that. Swap the two dates.",
    "La période est vide : elle commence le {first} et se termine avant, le {last}. Échangez les deux dates.",
)
_AHEAD = Text(
    "The range ends on {last}, after today ({today}).", "La période se termine le {last}, après ce jour ({today})."
)
_LONG = Text(
    "The range is longer than {years} years; choose a shorter one.",
    "La période dépasse {years} ans ; choisissez-en une plus courte.",
)


class PeriodError(DataError):
    """The range in an address cannot be shown; ``text`` says why, ``values`` fill it in."""

    def __init__(self, text: Text, **values: str) -> None:
        super().__init__(text.en.format(**values))
        self.text = Text(text.en.format(**values), text.fr.format(**values))


@dataclass(frozen=True)
class Period:
    """Local dates from ``first`` to ``last``, both included, and the step of charts."""

    first: date
    last: date
    step: str

    @property
    def days(self) -> int:
        """Number of dates."""
        return (self.last - self.first).days + 1

    @property
    def before(self) -> Period:
        """The range of the same length directly before."""
        return Period(self.first - self.days * DAY, self.first - DAY, self.step)

    @property
    def year_before(self) -> Period:
        """The same weekdays a year before: 364 days earlier."""
        return Period(self.first - 364 * DAY, self.last - 364 * DAY, self.step)

    @property
    def parameters(self) -> dict[str, str]:
        """The range as in an address."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat(), "by": self.step}


def default_period(today: date) -> Period:
    """The last closed days."""
    return Period(today - DEFAULT_DAYS * DAY, today - DAY, "day")


def period_of(query: Mapping[str, str], today: date) -> Period:
    """The range in an address; a missing end is yesterday, a missing beginning 90 days before the end.

    Raises :class:`PeriodError` for one that cannot be shown.
    """
    last = _date(query.get("to", "")) or today - DAY
    first = _date(query.get("from", "")) or last - (DEFAULT_DAYS - 1) * DAY
    if first > last:
        raise PeriodError(_REVERSED, first=first.isoformat(), last=last.isoformat())
    if last > today:
        raise PeriodError(_AHEAD, last=last.isoformat(), today=today.isoformat())
    if (last - first).days > MAX_YEARS * 366:
        raise PeriodError(_LONG, years=str(MAX_YEARS))
    step = query.get("by", "")
    return Period(first, last, step if step in STEPS else _step_for((last - first).days + 1))


def _step_for(days: int) -> str:
    if days <= MAX_DAILY_POINTS:
        return "day"
    return "week" if days <= MAX_WEEKLY_DAYS else "month"


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError:
        raise PeriodError(_NO_DATE, value=text.strip()[:40]) from None
