"""One answer of the page "Over time" as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup

from patient_flow.contracts import events
from patient_flow.contracts.measure_types import Measure, Text
from patient_flow.contracts.measures import BY_NAME
from patient_flow.dashboard.formats import LANGUAGES, Locale
from patient_flow.dashboard.parts import Column, Table, Value
from patient_flow.dashboard.templating import TEMPLATES
from patient_flow.dashboard.texts import Words
from patient_flow.dashboard.trends import drawing, texts
from patient_flow.dashboard.trends.answer import CSVS, MONTHS, PLACES, TOTALS, Asked, Found
from patient_flow.dashboard.trends.figures import Chart
from patient_flow.dashboard.trends.months import MEASURES as MONTHLY
from patient_flow.dashboard.trends.months import Month
from patient_flow.dashboard.trends.period import STEPS
from patient_flow.transforms.control_charts import Assurance, SpecialCause, Variation

MAX_TABLE_ROWS = 40
"""Rows of the table below a chart: the newest; the CSV has all."""
_LEGEND = {
    **{kind: texts.VARIATIONS[kind] for kind in (Variation.COMMON, Variation.IMPROVEMENT, Variation.CONCERN)},
    Variation.HIGH: texts.NEUTRAL,
}


class TrendsPage:
    """One answer for one viewer. ``problem`` takes the place of figures."""

    def __init__(
        self,
        asked: Asked,
        found: Found,
        hospitals: Mapping[str, str],
        departments: Sequence[str],
        zone: ZoneInfo,
        problem: Text | None = None,
    ) -> None:
        self._asked = asked
        self._found = found
        self._hospitals = hospitals
        self._departments = departments
        self._words = Words(asked.language)
        self._locale = Locale(asked.language, zone)
        self._problem = problem

    # --- HTML ---------------------------------------------------------------------------------------------------

    def html(self) -> str:
        """The whole page."""
        other = next(language for language in LANGUAGES if language != self._asked.language)
        has_data = bool(self._found.compared)
        return TEMPLATES.get_template("trends.html").render(
            asked=self._asked,
            words=self._words,
            say=self._say,
            texts=texts,
            language=self._asked.language,
            other_language={"code": other, "address": self._asked.address(lang=other)},
            back="./" + ("?" + urlencode({"lang": self._asked.language}) if self._asked.is_explicit_language else ""),
            filters=self._filters(),
            steps=[(step, self._say(texts.STEPS[step])) for step in STEPS],
            problem=self._in_place_of_figures(),
            notices=self._notices() if has_data else [],
            tables=self._tables() if has_data else [],
            charts=[self._chart(chart) for chart in self._found.charts],
            charts_title=self._titled(texts.CHARTS),
            charts_note=self._say(texts.CHARTS_NOTE, steps=self._say(texts.STEPS_OF[self._asked.period.step])),
            legend=[(drawing.shape(kind), self._say(text)) for kind, text in _LEGEND.items()],
            pending=self._pending + self._found.is_reading,
            export={name: self._asked.address("trends.csv", of=name) for name in CSVS},
            text=self._text,
        )

    def _say(self, text: Text, /, **values: str) -> str:
        return text[self._asked.language].format(**values) if values else text[self._asked.language]

    def _notices(self) -> list[str]:
        notices = [self._say(texts.NO_AGES)] if self._asked.selection.age else []
        since = self._found.known_since
        if since is not None and since > self._asked.period.first:
            text = texts.COMPLETE_SINCE if self._found.has_partial_days else texts.DATA_SINCE
            notices.append(self._say(text, first=self._day(since)))
        return notices

    def _in_place_of_figures(self) -> str:
        if self._problem:
            return self._say(self._problem)
        if self._found.compared:
            return ""
        return self._say(texts.READING if self._found.is_reading else texts.NO_DATA)

    @property
    def _pending(self) -> int:
        """Months that are still being read."""
        return sum(figures is None for figures in self._found.months.values())

    def _tables(self) -> list[dict[str, object]]:
        reading = " " + self._say(texts.READING_NOTE) if self._found.is_reading else ""
        made = [
            (TOTALS, texts.COMPARED, self._say(texts.COMPARED_NOTE) + reading, self._totals()),
            (PLACES, texts.PLACES, self._say(texts.PLACES_NOTE) + reading, self._places()),
        ]
        if self._found.months:
            pending = self._say(texts.MONTHS_PENDING, count=self._locale.counted(self._pending))
            waiting = f" {pending}" if self._pending else ""
            made.append((MONTHS, texts.MONTHS, self._say(texts.MONTHS_NOTE) + waiting, self._months()))
        return [
            {"id": name, "title": self._titled(title), "note": note, "table": table}
            for name, title, note, table in made
        ]

    def _titled(self, title: Text) -> str:
        """A title with its range of dates."""
        period = self._asked.period
        dates = self._say(texts.RANGE, first=self._day(period.first), last=self._day(period.last))
        return f"{self._say(title)} · {dates}"

    def _totals(self) -> Table:
        period = self._asked.period
        headings = (
            self._say(texts.RANGE, first=self._day(period.first), last=self._day(period.last)),
            self._say(texts.BEFORE, first=self._day(period.before.first), last=self._day(period.before.last)),
            self._say(
                texts.YEAR_BEFORE, first=self._day(period.year_before.first), last=self._day(period.year_before.last)
            ),
        )
        columns = [Column("measure", self._say(texts.MEASURE))]
        columns += [Column(f"value_{number}", heading, "shown") for number, heading in enumerate(headings)]
        rows = [
            (
                self._say(one.measure.label),
                *(self._quantity(value, one.measure) for value in (one.value, one.before, one.year_before)),
            )
            for one in self._found.compared
        ]
        return Table(columns, rows)

    def _places(self) -> Table:
        frame, column = self._found.places, self._found.place_column
        if frame is None:
            return Table((), ())
        measures = [BY_NAME[name] for name in frame.columns if name != column and frame[name].is_not_null().any()]
        heading = self._words("hospital" if column == "hospital_id" else "department")
        columns = [Column("place", heading), *(Column(one.name, self._say(one.label), "shown") for one in measures)]
        rows = [
            (self._place(row[column]), *(self._quantity(row[one.name], one) for one in measures))
            for row in frame.iter_rows(named=True)
        ]
        return Table(columns, rows)

    def _months(self) -> Table:
        measures = [BY_NAME[name] for name in MONTHLY]
        known = [
            one for one in measures if any(row and row[one.name] is not None for row in self._found.months.values())
        ]
        columns = [Column("month", self._say(texts.MONTH))]
        columns += [Column(one.name, self._say(one.label), "shown") for one in known]
        rows = [
            (self._span(month), *(self._quantity(row[one.name] if row else None, one) for one in known))
            for month, row in self._found.months.items()
        ]
        return Table(columns, rows)

    def _chart(self, chart: Chart) -> dict[str, object]:
        points, measure = chart.points, chart.measure
        rows = points.to_dicts()
        columns = (
            *(Column("step", self._say(texts.STEP)), Column("value", self._say(texts.VALUE), "shown")),
            *(Column("mean", self._say(texts.MEAN), "shown"), Column("lower", self._say(texts.LOWER), "shown")),
            *(Column("upper", self._say(texts.UPPER), "shown"), Column("cause", self._say(texts.CAUSE))),
            Column("meaning", self._say(texts.MEANING)),
        )
        shown = [
            (
                self._day(row["step"]),
                *(self._precise(row[name], measure) for name in ("value", "mean", "lower_limit", "upper_limit")),
                self._cause(row),
                self._say(texts.VARIATIONS[Variation(row["variation"])]),
            )
            for row in rows
        ]
        hints = [f"{row[0]}: {row[1]}, {row[6]}{': ' + row[5] if row[5] else ''}" for row in shown]
        return {
            "id": f"chart-{measure.name}",
            "title": self._say(measure.label),
            "meaning": self._say(measure.meaning),
            "sentence": self._sentence(chart, rows[-1]),
            "drawing": self._drawn(chart, hints),
            "table": Table(columns, shown[-MAX_TABLE_ROWS:]),
            "summary": self._say(texts.TABLE)
            if len(shown) <= MAX_TABLE_ROWS
            else self._say(texts.NEWEST, count=str(MAX_TABLE_ROWS), points=str(len(shown))),
        }

    def _drawn(self, chart: Chart, hints: Sequence[str]) -> Markup:
        span = chart.points["value"].max() or 0
        digits = 0 if isinstance(span, float) and abs(span) >= 10 else 1
        return drawing.drawn(
            chart.points,
            chart.target,
            [note.date for note in chart.notes],
            hints,
            lambda value: self._locale.number(value, digits),
            self._locale.short_day if self._asked.period.days < 365 else lambda day: f"{day:%Y-%m}",
        )

    def _sentence(self, chart: Chart, last: Mapping[str, object]) -> str:
        """What is seen in the chart."""
        measure = chart.measure
        names = ("mean", "lower_limit", "upper_limit", "value")
        mean, lower, upper, value = (self._precise(_number(last[name]), measure) for name in names)
        levels = texts.MEAN_ONLY if last["upper_limit"] is None else texts.LEVELS
        said = [self._say(levels, mean=mean, lower=lower, upper=upper)]
        if chart.assurance is not None and chart.target is not None:
            target = self._precise(chart.target, measure)
            said.append(self._say(texts.ASSURANCES[Assurance(chart.assurance)], target=target))
        cause = self._cause(last)
        step = self._day(last["step"]) if isinstance(last["step"], date) else ""
        if cause:
            meaning = self._say(texts.VARIATIONS[Variation(str(last["variation"]))])
            said.append(self._say(texts.LAST_SPECIAL, value=value, step=step, cause=cause, meaning=meaning))
        else:
            said.append(self._say(texts.LAST_COMMON, value=value, step=step))
        special = int(chart.points["special_cause"].is_not_null().sum())
        counted = self._locale.counted
        said.append(self._say(texts.COUNTED, special=counted(special), points=counted(chart.points.height)))
        if last["is_provisional"]:
            said.append(self._say(texts.PROVISIONAL))
        said += [
            self._say(texts.REBASED, day=self._day(note.date), text=self._say(note.text).rstrip("."))
            for note in chart.notes
        ]
        return " ".join(said)

    def _cause(self, row: Mapping[str, object]) -> str:
        cause = row["special_cause"]
        return self._say(texts.CAUSES[SpecialCause(str(cause))]) if cause else ""

    # --- values -------------------------------------------------------------------------------------------------

    def _day(self, day: date) -> str:
        return f"{self._locale.short_day(day)} {day.year}"

    def _span(self, month: Month) -> str:
        """A whole month as year and month, a part of one by its dates."""
        if month.first.day == 1 and (month.last + timedelta(days=1)).day == 1:
            return f"{month.first:%Y-%m}"
        return self._say(texts.RANGE, first=self._day(month.first), last=self._day(month.last))

    def _place(self, name: str) -> str:
        return self._hospitals.get(name, name) if self._found.place_column == "hospital_id" else self._words.name(name)

    def _quantity(self, value: float | None, measure: Measure) -> str:
        if value is not None and measure.unit == "count" and measure.decimals:
            return self._locale.number(value, measure.decimals)
        return self._locale.quantity(value, "count" if measure.unit == "beds" else measure.unit)

    def _precise(self, value: float | None, measure: Measure) -> str:
        """A value of a chart: means and limits of counts have a decimal."""
        if value is None or measure.unit in ("percent", "hours") or value == int(value):
            return self._quantity(value, measure)
        if measure.unit == "minutes":
            return self._locale.quantity(value, "minutes")
        return self._locale.number(value, 1)

    def _text(self, value: Value, unit: str) -> str:
        return (
            str(value) if unit in ("shown", "text") else self._locale.number(value if isinstance(value, float) else 0)
        )

    def _filters(self) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
        words, chosen = self._words, self._asked.selection
        hospitals = [("", words("all_hospitals")), *((number, name) for number, name in self._hospitals.items())]
        departments = [("", words("all_departments")), *((name, words.name(name)) for name in self._departments)]
        genders = [("", words("all_genders")), *((gender, words.name(gender)) for gender in events.GENDERS)]
        return [
            ("hospital", words("hospital"), chosen.hospital, hospitals),
            ("department", words("department"), chosen.department, departments),
            ("gender", words("gender"), chosen.gender, genders),
        ]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
