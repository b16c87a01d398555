"""The input of every panel: the page's figures, and names, values and links in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.escalation import DEFAULT, Thresholds
from patient_flow.contracts.measure_types import Text, Unit
from patient_flow.dashboard import charts
from patient_flow.dashboard.board import Board
from patient_flow.dashboard.escalation import Escalation
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.formats import Locale
from patient_flow.dashboard.headings import DEPARTMENT, HOSPITAL
from patient_flow.dashboard.parts import Cell, Column, Value
from patient_flow.dashboard.reading import PastRows
from patient_flow.dashboard.texts import Words

c = pl.col

OF_TOTAL = Text("{part} of {whole}", "{part} sur {whole}")
_DAY, _HOUR = Text("Day", "Jour"), Text("Hour", "Heure")


@dataclass(frozen=True)
class PanelContext:
    """One page; ``link`` gives the address of the same page with other filters."""

    figures: Figures
    returns: PastRows
    words: Words
    locale: Locale
    link: Callable[..., str]
    board: Board
    lists: Callable[..., str]
    """Address of the list of patients behind a number."""
    thresholds: Thresholds = DEFAULT
    """Of escalation levels."""

    @cached_property
    def escalation(self) -> Escalation:
        """The escalation levels of the page's hospitals."""
        return Escalation(self.figures, self.thresholds)

    # --- texts ------------------------------------------------------------------------------------------------------

    def say(self, text: Text, **values: str) -> str:
        """``text`` in the reader's language, with ``values`` put in."""
        return text[self.words.language].format(**values)

    def label(self, measure: str) -> str:
        """The name of a declared measure."""
        return self.say(measures.BY_NAME[measure].label)

    def name(self, value: object) -> str:
        """A name from the data in the reader's language."""
        return self.words.name(str(value))

    def of_total(self, part: float, whole: float) -> str:
        """``3 of 10``."""
        return self.say(OF_TOTAL, part=self.locale.number(part), whole=self.locale.number(whole))

    def text(self, value: Value, unit: str) -> str:
        """A value of a table as the page shows it."""
        return self.locale.value(value, unit)

    # --- cells ------------------------------------------------------------------------------------------------------

    def number_cell(self, value: float | None, digits: int = 0) -> Cell:
        """A number that leads nowhere."""
        return Cell(self.locale.number(value, digits))

    def patients_cell(self, value: int | None, of: str, **place: str) -> Cell:
        """A number of patients, as a link to their list."""
        return Cell(self.locale.number(value), self.lists(of, **place) if value else "")

    def level_cell(self, occupancy_pct: float | None) -> Cell:
        """An occupancy in the colour of its level."""
        level = self.board.limits.level(occupancy_pct)
        return Cell(self.locale.quantity(occupancy_pct, "percent"), css=f"level-{level.name}" if level else "")

    # --- columns ----------------------------------------------------------------------------------------------------

    def measured(self, *names: str) -> list[Column]:
        """Columns of declared measures."""
        return [Column(name, self.label(name), _unit(measures.BY_NAME[name].unit)) for name in names]

    def column(self, key: str, heading: Text, unit: str = "text") -> Column:
        """A column that is no measure."""
        return Column(key, self.say(heading), unit)

    @property
    def covered(self) -> str:
        """The period in a sentence."""
        covered = self.words(f"days_{self.figures.selection.days}")
        return covered[:1].lower() + covered[1:]

    @property
    def place_column(self) -> Column:
        """The column of places: departments, or hospitals where one department of several is chosen."""
        return self.column("place", HOSPITAL if self.figures.splits_hospitals else DEPARTMENT)

    @property
    def by_place(self) -> str:
        """Such a place in a sentence."""
        return self.say(HOSPITAL if self.figures.splits_hospitals else DEPARTMENT).lower()

    # --- places -----------------------------------------------------------------------------------------------------

    def listed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows for a chart: departments that only a mistyped event names stay in the table."""
        listed = frame.filter(c("place").is_in(self.figures.listed_places))
        return frame if listed.is_empty() else listed

    def named_rows(self, frame: pl.DataFrame) -> list[tuple[Value, ...]]:
        """Rows with the name of their place in the reader's language."""
        return [(self.name(row[0]), *row[1:]) for row in frame.iter_rows()]

    def drill(self, place: str) -> str:
        """Address of a place's own page: a department's hours, or a hospital's."""
        if not self.figures.splits_hospitals:
            return "" if self.figures.selection.department else self.link(department=place)
        ids = [number for number, name in self.figures.hospitals.items() if name == place]
        return self.link(hospital=ids[0]) if len(ids) == 1 else ""

    # --- steps in time ----------------------------------------------------------------------------------------------

    @property
    def by_step(self) -> str:
        """A step in a sentence."""
        return self.say(_HOUR if self.figures.selection.days == 1 else _DAY).lower()

    @property
    def step_column(self) -> Column:
        """The column of steps."""
        if self.figures.selection.days == 1:
            return self.column("hour", _HOUR, "clock")
        return self.column("date", _DAY, "date")

    def step(self, step: date | int) -> str:
        """A step in full."""
        return self.locale.day(step) if isinstance(step, date) else self.locale.hour(step)

    def short_step(self, step: date | int) -> str:
        """A step below a chart."""
        return self.locale.short_day(step) if isinstance(step, date) else f"{step:02}"

    def scale(self, values: Sequence[float | None]) -> charts.Scale:
        """The axis of a chart of ``values``."""
        known = [value for value in values if value is not None]
        ticks = charts.round_ticks(max(known, default=0))
        digits = 0 if ticks[1] >= 1 else 1
        return charts.Scale(ticks[-1], [(tick, self.locale.number(tick, digits)) for tick in ticks])


def _unit(unit: Unit) -> str:
    return "count" if unit == "beds" else unit
