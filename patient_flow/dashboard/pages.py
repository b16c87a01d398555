"""One response: the page, its figures alone, its CSV, or a message when there are no figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.escalation import DEFAULT, Thresholds
from patient_flow.contracts.figure_changes import CURRENT
from patient_flow.contracts.fullness import Limits
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.ahead import WHOLE, Ahead
from patient_flow.dashboard.board import FORECAST, Board
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.formats import LANGUAGES, Locale, preferred_language
from patient_flow.dashboard.panels import OF_MEETING, panels
from patient_flow.dashboard.panels.cards import cards, key_figures
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Panel, Value
from patient_flow.dashboard.reading import PastRows
from patient_flow.dashboard.rows import PageRows
from patient_flow.dashboard.selection import AGE_BANDS, DEFAULT_DAYS, Selection
from patient_flow.dashboard.snapshot import PERIODS, Answer, Load
from patient_flow.dashboard.spreadsheet import to_csv
from patient_flow.dashboard.templating import TEMPLATES
from patient_flow.dashboard.texts import Words
from patient_flow.monitoring.rules.forecasts import MODEL
from patient_flow.monitoring.thresholds import SENDER_KNOWN_DAYS

CSV_COLUMNS = ("panel", "row", "measure", "value", "period")
MAX_SILENT_HOSPITALS = 6


@dataclass(frozen=True)
class Freshness:
    """The ages of the newest event at which the badge turns amber and red."""

    amber_after: timedelta = timedelta(minutes=15)
    red_after: timedelta = timedelta(hours=1)

    def state(self, load: Load, now: datetime) -> str:
        """``fresh``, ``behind``, ``stale`` or ``empty``."""
        if load.is_empty or load.newest_event_at is None:
            return "empty"
        age = now - load.newest_event_at
        if age >= self.red_after:
            return "stale"
        return "behind" if age >= self.amber_after else "fresh"


@dataclass(frozen=True)
class Request:
    """The request of a viewer."""

    selection: Selection
    viewer: Viewer
    language: str
    explicit_language: bool
    now: datetime

    @classmethod
    def of(cls, query: Mapping[str, str], accepted_languages: str, viewer: Viewer, now: datetime) -> Request:
        """The request in an address and its headers."""
        asked = query.get("lang", "")
        explicit = asked in LANGUAGES
        language = asked if explicit else preferred_language(accepted_languages)
        return cls(Selection.of(query), viewer, language, explicit, now)

    def address(self, selection: Selection, **more: str) -> str:
        """Query string of another page in the same language."""
        language = {"lang": self.language} if self.explicit_language else {}
        return "?" + urlencode({**selection.parameters, **language, **more})


@dataclass(frozen=True)
class Badge:
    """The freshness of the figures as a colour and a text."""

    state: str
    title: str
    lines: Sequence[str]
    moment: str
    """When it was made; a page that loses its server shows it."""


@dataclass(frozen=True)
class Message:
    """The text in place of figures."""

    title: str
    text: str


@dataclass(frozen=True)
class Option:
    """One choice of a filter."""

    value: str
    text: str


@dataclass(frozen=True)
class Filter:
    """One list of choices above the page."""

    name: str
    label: str
    chosen: str
    options: Sequence[Option]


@dataclass(frozen=True)
class Past:
    """What takes long to read and holds for long."""

    returns: PastRows
    usual: pl.DataFrame | None = None
    """The same weekday of the last weeks; None while it is being read."""


class Page:
    """One answer for one viewer."""

    def __init__(
        self,
        request: Request,
        answer: Answer,
        past: Past,
        zone: ZoneInfo,
        freshness: Freshness,
        limits: Limits,
        thresholds: Thresholds = DEFAULT,
        history: tuple[date, int] | None = None,
    ) -> None:
        """``history``: the first day, and how many days there will be, while an import is under way."""
        self._request = request
        self._answer = answer
        self._freshness = freshness
        self._history = history
        self._words = Words(request.language)
        self._locale = Locale(request.language, zone)
        self._figures: Figures | None = None
        self._panels: PanelContext | None = None
        if answer.snapshot is not None:
            self._figures = Figures(answer.snapshot, request.selection, request.viewer, request.now)
            if not self._figures.is_empty:
                everybody = request.selection.but(gender="", age="")
                rows = PageRows(answer.snapshot, everybody, request.viewer, request.now)
                self._panels = PanelContext(
                    self._figures,
                    past.returns,
                    self._words,
                    self._locale,
                    self._link,
                    Board(rows, past.usual, _tonight(rows), limits),
                    self._lists,
                    thresholds,
                )

    def html(self) -> str:
        """The whole page."""
        other = next(language for language in LANGUAGES if language != self._request.language)
        return TEMPLATES.get_template("page.html").render(
            **self._content(),
            filters=self._filters(self._figures) if self._figures else [],
            viewer=self._request.viewer,
            trends="trends" + self._request.address(self._request.selection.but(days=DEFAULT_DAYS, search="")),
            what_if="what-if" + self._request.address(self._request.selection.but(days=DEFAULT_DAYS, search="")),
            search=self._request.selection.search,
            explicit_language=self._request.explicit_language,
            other_language={"code": other, "address": self._request.address(self._request.selection, lang=other)},
        )

    def fragment(self) -> str:
        """The part of the page that a refresh replaces."""
        return TEMPLATES.get_template("figures.html").render(**self._content())

    def csv(self, panel_id: str) -> str:
        """One panel's table as CSV, or all tables with one row per value."""
        made = self._made
        chosen = next((panel for panel in made if panel.id == panel_id), None)
        if chosen:
            period = self._period_code(chosen)
            names = [column.key for column in chosen.table.columns]
            rows: list[Sequence[Value]] = [[*names, "period"], *([*row, period] for row in chosen.table.rows)]
        else:
            rows = [CSV_COLUMNS, *([*row, self._period_code(panel)] for panel in made for row in _long(panel))]
        return to_csv(rows)

    def _period_code(self, panel: Panel) -> str:
        """The time that a panel's figures cover, the same in every language; a column that differs says so itself."""
        days = self._request.selection.days
        codes = {"now": "now", "today": "today", "mean": f"mean_{days}_days", "period": f"{days}_days"}
        return codes.get(panel.period, "")

    @property
    def _periods(self) -> Mapping[str, str]:
        """The same in words."""
        days = self._request.selection.days
        mean = self._words("mean_today") if days == 1 else self._words("mean_days", days=str(days))
        return {
            "now": self._words("now"),
            "today": self._words("today"),
            "mean": mean,
            "period": self._panels.covered if self._panels else "",
        }

    @cached_property
    def _made(self) -> list[Panel]:
        return [key_figures(self._panels), *panels(self._panels)] if self._panels else []

    @property
    def panel_ids(self) -> set[str]:
        """Panels that :meth:`csv` knows."""
        return {panel.id for panel in self._made}

    def _content(self) -> dict[str, object]:
        badge = self._badge()
        selection = self._request.selection
        made = panels(self._panels) if self._panels else []
        return {
            "words": self._words,
            "locale": self._locale,
            "badge": badge,
            "banner": self._banner(badge.state),
            "message": self._message(),
            "figures_changed": self._figures_changed(),
            "cards": cards(self._panels) if self._panels else [],
            "panels": made,
            "jumps": [panel for panel in made if panel.id in OF_MEETING],
            "periods": self._periods,
            "text": self._panels.text if self._panels else str,
            "reset": self._request.address(Selection()) if selection != Selection() else "",
            "export": "export.csv" + self._request.address(selection, format="csv"),
        }

    def _link(self, **changes: str) -> str:
        return self._request.address(self._request.selection.but(**changes))

    def _lists(self, of: str, *, classes: str = "", **place: str) -> str:
        """Address of the patients behind a number; its filters are those of the number, not those of the page."""
        selection = Selection().but(**place)
        more = {"classes": classes} if classes else {}
        return "patients" + self._request.address(selection, of=of, **more)

    # --- state of the data --------------------------------------------------------------------------------------

    def _badge(self) -> Badge:
        words, locale, load = self._words, self._locale, self._answer.load
        state = self._state
        newest = self._figures.senders.newest_event_at if self._figures and self._panels else load.newest_event_at
        lines = []
        if newest is not None:
            lines.append(words("freshness", age=locale.duration(self._request.now - newest)))
        if load.lag is not None:
            lines.append(words("freshness_load", lag=locale.duration(load.lag)))
        if self._history is not None:
            first, days = self._history
            done = (self._request.now.astimezone(locale.zone).date() - first).days
            lines.append(words("history_since", day=locale.short_day(first), done=locale.counted(done), days=str(days)))
        moment = locale.moment(self._request.now)
        lines.append(words("as_of", moment=moment))
        lines.append(words("times_in", zone=locale.zone.key))
        return Badge(state, words(state), lines, moment)

    @property
    def _state(self) -> str:
        """That of the load or, where it is worse, of the hospitals on the page: others say nothing of their figures."""
        if self._answer.problem:
            return "unreachable"
        state = self._freshness.state(self._answer.load, self._request.now)
        if self._figures is None or self._panels is None or state not in ("fresh", "behind"):
            return state
        if not self._figures.senders.somebody_sends:
            return "stale"
        return "behind" if self._figures.senders.silent else state

    def _banner(self, state: str) -> str:
        load, now, locale = self._answer.load, self._request.now, self._locale
        if self._figures is None:
            return ""
        if state == "unreachable":
            loaded_at = load.loaded_at or now
            return self._words("unreachable_banner", moment=locale.moment(loaded_at))
        if state in ("stale", "behind") and load.newest_event_at is not None:
            age = locale.duration(now - load.newest_event_at)
            silence = "" if self._freshness.state(load, now) == "stale" else self._silence(self._figures)
            return silence or self._words(f"{state}_banner", age=age)
        return ""

    def _silence(self, figures: Figures) -> str:
        """The hospitals on the page that have stopped sending; empty when all of them send."""
        if self._panels is None:
            return ""
        if not figures.senders.silent:
            days = str(SENDER_KNOWN_DAYS)
            return "" if figures.senders.somebody_sends else self._words("nothing_new_banner", days=days)
        silent = [
            f"{figures.hospitals[hospital]} ({self._locale.duration(self._request.now - last)})"
            for hospital, last in figures.senders.silent.items()
        ]
        more = ["…"] if len(silent) > MAX_SILENT_HOSPITALS else []
        return self._words("silent_banner", hospitals=", ".join([*silent[:MAX_SILENT_HOSPITALS], *more]))

    def _figures_changed(self) -> str:
        """That figures follow other rules since a moment of the period, or of the week that cards compare with."""
        changed_at = self._answer.load.figures_changed_at
        if changed_at is None or self._panels is None or self._figures is None:
            return ""
        if changed_at.astimezone(self._locale.zone).date() < self._figures.compared_since:
            return ""
        return self._words(
            "figures_changed",
            moment=self._locale.moment(changed_at),
            figures=CURRENT.figures[self._request.language],
        )

    def _message(self) -> Message | None:
        if self._panels is not None:
            return None
        if self._figures is None and self._answer.is_reading:
            about = "reading"
        elif self._figures is None and self._answer.problem:
            about = "unreachable"
        else:
            about = "empty" if self._figures is None else "nothing"
        return Message(self._words(f"{about}_title"), self._words(f"{about}_text"))

    # --- filters ------------------------------------------------------------------------------------------------

    def _filters(self, figures: Figures) -> list[Filter]:
        words, chosen = self._words, self._request.selection
        everywhere = Option("", words("all_hospitals"))
        hospitals = [Option(number, name) for number, name in figures.hospitals.items() if number != events.UNKNOWN]
        departments = [Option(name, words.name(name)) for name in figures.departments if name != events.UNKNOWN]
        genders = [Option(gender, words.name(gender)) for gender in events.GENDERS]
        ages = [
            Option(band, words.name(band) if band == events.UNKNOWN else words("years", band=band))
            for band in AGE_BANDS
        ]
        return [
            Filter("hospital", words("hospital"), chosen.hospital, [everywhere, *hospitals]),
            Filter(
                "department",
                words("department"),
                chosen.department,
                [Option("", words("all_departments")), *departments],
            ),
            Filter("gender", words("gender"), chosen.gender, [Option("", words("all_genders")), *genders]),
            Filter("age", words("age"), chosen.age, [Option("", words("all_ages")), *ages]),
            Filter(
                "days",
                words("period"),
                str(chosen.days),
                [Option(str(days), words(f"days_{days}")) for days in PERIODS],
            ),
        ]


def _tonight(rows: PageRows) -> pl.DataFrame:
    """The forecast of departments at local midnight, for the board."""
    of_departments = Ahead(rows).tonight.filter(pl.col("department") != WHOLE)
    source = pl.when(pl.col("source") == MODEL).then(pl.lit(FORECAST)).otherwise("source")
    return of_departments.select("hospital_id", "department", "expected_beds", "expected_admissions", source=source)


def refusal(status: int, language: str) -> str:
    """The page for someone who may not see the figures."""
    words = Words(language)
    return TEMPLATES.get_template("refused.html").render(
        words=words,
        language=language,
        title=words(f"refused_{status}"),
        text=words("refused_text" if status < 500 else f"refused_{status}_text"),
    )


def _long(panel: Panel) -> list[list[Value]]:
    """A row per number: the texts and dates of its row name it."""
    rows: list[list[Value]] = []
    for record in panel.table.records():
        names = [value for value in record.values() if isinstance(value, (str, date))]
        name = " / ".join(str(value) for value in names)
        numbers = {key: value for key, value in record.items() if isinstance(value, (int, float)) or value is None}
        rows += [[panel.id, name, key, value] for key, value in numbers.items()]
    return rows
