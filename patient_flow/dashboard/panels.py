"""Figures → what stands on the page: a title, a sentence, a chart, and the table behind it, in one language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

import polars as pl
from markupsafe import Markup

from patient_flow.contracts import events
from patient_flow.dashboard import charts
from patient_flow.dashboard.figures import ADMISSION, QUALITY_TOTAL, Card, Figures
from patient_flow.dashboard.formats import Locale
from patient_flow.dashboard.parts import Column, Legend, Panel, ShownCard, Table, Value
from patient_flow.dashboard.snapshot import Readmissions
from patient_flow.dashboard.texts import Words

c = pl.col

LONGEST_SHOWN = 6
RULES_SHOWN = 10
HOURS = range(24)
GENDER_CSS = {gender: f"g{place}" for place, gender in enumerate(events.GENDERS)}


class Panels:
    """All parts of one page; ``link`` gives the address of the same page with other filters."""

    def __init__(
        self, figures: Figures, returns: Readmissions, words: Words, locale: Locale, link: Callable[..., str]
    ) -> None:
        self._figures = figures
        self._returns = returns
        self._words = words
        self._locale = locale
        self._link = link
        self._by_place = words("by_hospital" if figures.splits_hospitals else "by_place")
        self._place = Column("place", words("place_hospital" if figures.splits_hospitals else "place"))

    def cards(self) -> list[ShownCard]:
        """The key figures."""
        return [
            ShownCard(
                self._words(card.name),
                self._locale.quantity(_rounded(card.value, card.unit), card.unit),
                self._change(card),
                self._left_out if card.name == "occupancy" else "",
            )
            for card in self._figures.cards
        ]

    @property
    def _left_out(self) -> str:
        """The patients whom no occupancy counts, in words; empty where there are none."""
        count = self._figures.in_unknown_beds
        return self._words("in_unknown_beds", count=self._locale.number(count)) if count else ""

    def all(self) -> list[Panel]:
        """The panels in the order of the page."""
        hours = [self.hours()] if self._figures.selection.department else []
        return [
            *hours,
            self.occupancy(),
            self.heat(),
            self.movements(),
            self.waits(),
            self.stays(),
            self.flows(),
            self.overstays(),
            self.readmissions(),
            self.quality(),
        ]

    def key_figures(self) -> Panel:
        """The cards as a table, for the CSV."""
        rows = [(card.name, card.unit, card.value, card.before) for card in self._figures.cards]
        columns = (Column("figure", ""), Column("unit", ""), Column("value", ""), Column("a_week_ago", ""))
        return Panel("key_figures", "", "", Table(columns, rows))

    # --- beds ---------------------------------------------------------------------------------------------------

    def occupancy(self) -> Panel:
        """Occupancy by place and gender."""
        frame, locale = self._figures.occupancy, self._locale
        genders = [gender for gender in events.GENDERS if gender in frame["gender"]]
        rows, drawn = [], []
        for (place,), part in frame.group_by("place", maintain_order=True):
            by_gender = dict(part.select("gender", "occupancy_pct").iter_rows())
            hours, unknown = (int(part[name].sum()) for name in ("occupied_bed_hours", "unknown_bed_hours"))
            staffed = part["staffed_bed_hours"][0]
            total = 100 * (hours - unknown) / staffed if staffed else None
            shares_of_genders = (by_gender.get(gender) for gender in genders)
            rows.append((self._name(place), hours, unknown, staffed, total, *shares_of_genders))
            if total is not None:
                shares = [(by_gender.get(gender) or 0.0, GENDER_CSS[gender]) for gender in genders]
                hint = "; ".join(
                    f"{self._name(gender)} {locale.quantity(by_gender.get(gender), 'percent')}" for gender in genders
                )
                text = locale.quantity(total, "percent")
                drawn.append((total, charts.Bar(self._name(place), shares, text, self._drill(str(place)), hint)))
        drawn.sort(key=lambda item: -item[0])
        columns = [
            self._place,
            self._column("occupied_bed_hours", "count"),
            self._column("unknown_bed_hours", "count"),
            self._column("staffed_bed_hours", "count"),
            self._column("occupancy_pct", "percent"),
            *(Column(f"{gender.lower()}_pct", self._name(gender), "percent") for gender in genders),
        ]
        title = self._words("occupancy_panel", place=self._by_place)
        return Panel(
            "occupancy",
            title,
            self._words("occupancy_note"),
            Table(columns, rows),
            charts.bars([bar for _, bar in drawn], title, mark=100.0, least=110.0) if drawn else Markup(),
            [Legend(GENDER_CSS[gender], self._name(gender)) for gender in genders],
            width="narrow",
        )

    def heat(self) -> Panel:
        """Occupancy by place (or date) and hour of the day."""
        frame, locale = self._figures.heat, self._locale
        one = self._figures.is_one_place
        drawn, rows = [], []
        for (row,), part in frame.group_by("row", maintain_order=True):
            found = dict(part.select("hour", "occupancy_pct").iter_rows())
            name = locale.day(row) if isinstance(row, date) else self._name(row)
            shares = [found.get(hour) for hour in HOURS]
            cells = [
                charts.Cell(share, f"{name}, {locale.hour(hour)}: {locale.quantity(share, 'percent')}")
                for hour, share in zip(HOURS, shares, strict=True)
            ]
            drawn.append((name, "" if one else self._drill(str(row)), cells))
            rows.append((row if isinstance(row, date) else name, *shares))
        columns = [
            self._column("date", "date") if one else self._place,
            *(Column(f"occupancy_pct_{hour:02}", locale.hour(hour), "whole_percent") for hour in HOURS),
        ]
        bounds = [f"<{charts.HEAT_LEVELS[0]}", *(f"{bound}+" for bound in charts.HEAT_LEVELS)]
        title = self._words("heat_panel")
        return Panel(
            "heat",
            title,
            self._words("heat_note_one") if one else self._words("heat_note", place=self._by_place),
            Table(columns, rows),
            charts.heat(drawn, [f"{hour:02}" for hour in HOURS], title) if drawn else Markup(),
            [Legend(f"h{level}", text) for level, text in enumerate(bounds)],
            width="wide",
        )

    def hours(self) -> Panel:
        """The chosen department hour by hour: where drilling down leads."""
        frame, locale = self._figures.hours, self._locale
        moments = frame["hour_at"].to_list()
        occupied, staffed = frame["occupied_bed_hours"].to_list(), frame["staffed_bed_hours"].to_list()
        is_short = self._figures.selection.days == 1
        labels = [
            (locale.time(at) if is_short else locale.short_day(at.astimezone(locale.zone).date()))
            if is_short or at.astimezone(locale.zone).hour == 12
            else ""
            for at in moments
        ]
        shares = frame["occupancy_pct"].to_list()
        hints = [
            f"{locale.moment(at)}: {self._words('of_total', part=locale.number(beds), whole=locale.number(of))} "
            f"({locale.quantity(share, 'percent')})"
            for at, beds, of, share in zip(moments, occupied, staffed, shares, strict=True)
        ]
        columns = [
            self._column("hour_at", "moment"),
            Column("occupied_beds", self._words("occupied_beds"), "count"),
            Column("staffed_beds", self._words("staffed_beds"), "count"),
            self._column("occupancy_pct", "percent"),
        ]
        named = self._words("hours_panel", name=self._name(self._figures.selection.department))
        return Panel(
            "hours",
            named,
            self._words("hours_note"),
            Table(columns, list(zip(moments, occupied, staffed, shares, strict=True))),
            charts.lines(
                _thinned(labels),
                [charts.Series("strong", occupied), charts.Series("weak dashed", staffed)],
                hints,
                self._scale([*occupied, *staffed]),
                label_every=1,
            )
            if moments
            else Markup(),
            [Legend("strong", self._words("occupied_beds")), Legend("g3", self._words("staffed_beds"))],
            width="full",
        )

    # --- movements, waits, stays --------------------------------------------------------------------------------

    def movements(self) -> Panel:
        """Admissions and discharges over time."""
        frame, words = self._figures.movements, self._words
        steps, admissions, discharges = (frame[name].to_list() for name in ("step", "admissions", "discharges"))
        hints = [
            f"{self._step(step)}: {words('admissions')} {self._locale.number(came)}, "
            f"{words('discharges')} {self._locale.number(left)}"
            for step, came, left in zip(steps, admissions, discharges, strict=True)
        ]
        return Panel(
            "movements",
            words("movements_panel"),
            words("movements_note", step=self._by_step),
            Table(
                [self._step_column, self._column("admissions", "count"), self._column("discharges", "count")],
                frame.rows(),
            ),
            charts.columns(
                [self._short_step(step) for step in steps],
                [charts.Series("strong", admissions), charts.Series("weak", discharges)],
                hints,
                self._scale([*admissions, *discharges]),
            ),
            [Legend("strong", words("admissions")), Legend("weak", words("discharges"))],
        )

    def waits(self) -> Panel:
        """Waiting percentiles over time."""
        frame, locale = self._figures.waits, self._locale
        steps, medians, nineties = (frame[name].to_list() for name in ("step", "p50", "p90"))
        hints = [
            f"{self._step(row['step'])}: {self._words('p50')} {locale.quantity(row['p50'], 'minutes')}, "
            f"{self._words('p90')} {locale.quantity(row['p90'], 'minutes')}, {self._words('within_240_pct')} "
            f"{locale.quantity(row['within_240_pct'], 'percent')}"
            for row in frame.iter_rows(named=True)
        ]
        columns = [
            self._step_column,
            self._column("waits", "count"),
            self._column("p50", "minutes"),
            self._column("p90", "minutes"),
            self._column("within_240_pct", "percent"),
        ]
        return Panel(
            "waits",
            self._words("waits_panel"),
            self._words("waits_note", step=self._by_step),
            Table(columns, frame.select("step", "waits", "p50", "p90", "within_240_pct").rows()),
            charts.lines(
                [self._short_step(step) for step in steps],
                [charts.Series("strong", medians), charts.Series("weak", nineties)],
                hints,
                self._scale([*medians, *nineties]),
                band=True,
            ),
            [Legend("strong", self._words("p50")), Legend("weak", self._words("p90"))],
        )

    def stays(self) -> Panel:
        """Length of stay by place."""
        frame = self._figures.stays.sort("median_hours", descending=True)
        drawn = [
            charts.Bar(
                self._name(row["place"]),
                [(row["median_hours"], "strong")],
                self._locale.quantity(row["median_hours"], "hours"),
                self._drill(row["place"]),
                f"{self._words('mean_hours')} {self._locale.quantity(row['mean_hours'], 'hours')}",
                row["mean_hours"],
            )
            for row in self._listed(frame).iter_rows(named=True)
        ]
        columns = [
            self._place,
            self._column("ended_visits", "count"),
            self._column("median_hours", "hours"),
            self._column("mean_hours", "hours"),
        ]
        title = self._words("stays_panel", place=self._by_place)
        return Panel(
            "stays",
            title,
            self._words("stays_note"),
            Table(columns, self._named_rows(frame.select("place", "ended_visits", "median_hours", "mean_hours"))),
            charts.bars(drawn, title) if drawn else Markup(),
            width="narrow",
        )

    def flows(self) -> Panel:
        """Where patients come from and go to."""
        frame = self._figures.flows
        links, rows = [], []
        for origin, target, patients in frame.select("origin", "department", "patients").iter_rows():
            names = self._name(origin), self._name(target)
            rows.append((*names, patients))
            hint = f"{names[0]} → {names[1]}: {self._locale.number(patients)}"
            links.append(charts.Link(*names, patients, hint, "arriving" if origin == ADMISSION else ""))
        rows.sort(key=lambda row: -int(row[2]))
        columns = [
            self._column("origin"),
            Column("department", self._words("destination")),
            self._column("patients", "count"),
        ]
        return Panel(
            "flows",
            self._words("flows_panel"),
            self._words("flows_note"),
            Table(columns, rows),
            charts.sankey(links, self._words("other_departments")) if links else Markup(),
            width="wide",
        )

    # --- what needs attention -----------------------------------------------------------------------------------

    def overstays(self) -> Panel:
        """Patients who stay longer than expected."""
        frame, words = self._figures.overstays, self._words
        drawn = [
            charts.Bar(
                self._name(row["place"]),
                [(row["open_overstays"], "strong"), (row["in_beds"] - row["open_overstays"], "faint")],
                words(
                    "of_total",
                    part=self._locale.number(row["open_overstays"]),
                    whole=self._locale.number(row["in_beds"]),
                ),
                self._drill(row["place"]),
            )
            for row in self._listed(frame).sort("open_overstays", descending=True).iter_rows(named=True)
            if row["in_beds"]
        ]
        columns = [
            self._place,
            Column("in_beds", words("in_beds_column"), "count"),
            self._column("open_overstays", "count"),
            self._column("ended_overstays", "count"),
        ]
        longest = [
            Column("hospital", words("hospital")),
            Column("department", words("department")),
            self._column("bed_id"),
            self._column("stay_hours", "hours"),
            self._column("hours_over", "hours"),
        ]
        rows = [
            (row["hospital_name"], self._name(row["department"]), row["bed_id"], row["stay_hours"], row["hours_over"])
            for row in self._figures.longest.head(LONGEST_SHOWN).iter_rows(named=True)
        ]
        return Panel(
            "overstays",
            words("overstays_panel"),
            words("overstays_note"),
            Table(columns, self._named_rows(frame.select("place", "in_beds", "open_overstays", "ended_overstays"))),
            charts.bars(drawn, words("overstays_panel")) if drawn else Markup(),
            width="narrow",
            more=Table(longest, rows) if rows else None,
        )

    def readmissions(self) -> Panel:
        """Patients who came back."""
        words, locale = self._words, self._locale
        first, last = self._figures.returns_between
        note = words("readmissions_note", first=locale.short_day(first), last=locale.short_day(last))
        columns = [
            self._place,
            self._column("discharges", "count"),
            self._column("readmissions", "count"),
            self._column("readmission_pct", "percent"),
        ]
        if self._returns.rows is None:
            missing = words("readmissions_pending" if self._returns.is_pending else "readmissions_unavailable")
            return Panel(
                "readmissions",
                words("readmissions_panel"),
                f"{note} {missing}",
                Table(columns, []),
                width="third",
                pending=True,
            )
        frame = self._figures.readmissions(self._returns.rows)
        drawn = [
            charts.Bar(
                self._name(row["place"]),
                [(row["readmission_pct"], "strong")],
                locale.quantity(row["readmission_pct"], "percent"),
                self._drill(row["place"]),
                words("of_total", part=locale.number(row["readmissions"]), whole=locale.number(row["discharges"])),
            )
            for row in self._listed(frame).sort("readmission_pct", descending=True).iter_rows(named=True)
        ]
        rows = self._named_rows(frame.select("place", "discharges", "readmissions", "readmission_pct"))
        return Panel(
            "readmissions",
            words("readmissions_panel"),
            note,
            Table(columns, rows),
            charts.bars(drawn, words("readmissions_panel"), least=5.0) if drawn else Markup(),
            width="third",
        )

    def quality(self) -> Panel:
        """Events by quality rule."""
        words, locale, frame = self._words, self._locale, self._figures.quality
        columns = [
            self._column("rule"),
            self._column("accepted", "count"),
            self._column("flagged", "count"),
            self._column("quarantined", "count"),
        ]
        if frame is None:
            note = words("quality_hidden")
            return Panel("quality", words("quality_panel"), note, Table(columns, []), width="broad", pending=True)
        broken = frame.filter(c("rule") != QUALITY_TOTAL).sort(c("flagged") + c("quarantined"), "rule", descending=True)
        total = frame.filter(c("rule") == QUALITY_TOTAL)
        sums = {name: int(total[name].sum()) for name in ("accepted", "quarantined")}
        drawn = [
            charts.Bar(
                words.rule(row["rule"]),
                [(row["quarantined"], "strong"), (row["flagged"], "weak")],
                locale.number(row["flagged"] + row["quarantined"]),
            )
            for row in broken.head(RULES_SHOWN).iter_rows(named=True)
        ]
        rows = [
            (words.rule(row["rule"]), row["accepted"], row["flagged"], row["quarantined"])
            for row in pl.concat([total, broken]).iter_rows(named=True)
        ]
        counts = f"{words('accepted')} {locale.number(sums['accepted'])}, " + (
            f"{words('quarantined')} {locale.number(sums['quarantined'])}. "
        )
        return Panel(
            "quality",
            words("quality_panel"),
            counts + words("quality_note"),
            Table(columns, rows),
            charts.bars(drawn, words("quality_panel")) if drawn else Markup(),
            [Legend("strong", words("quarantined")), Legend("weak", words("flagged"))],
            width="broad",
        )

    # --- words and values ---------------------------------------------------------------------------------------

    def text(self, value: Value, unit: str) -> str:
        """A value of a table as the page shows it."""
        if value is None:
            return "–"
        if isinstance(value, datetime):
            return self._locale.moment(value)
        if isinstance(value, date):
            return self._locale.day(value)
        if isinstance(value, str):
            return value
        if unit == "clock":
            return self._locale.hour(int(value))
        return self._locale.number(value) if unit == "whole_percent" else self._locale.quantity(value, unit)

    def _change(self, card: Card) -> str:
        value, before = _rounded(card.value, card.unit), _rounded(card.before, card.unit)
        if value is None or before is None:
            return self._words("unknown_before")
        moment = self._locale.moment(self._figures.week_ago)
        if value == before:
            return self._words("same", moment=moment)
        difference = abs(value - before)
        arrow = "▲" if value > before else "▼"
        if card.unit == "percent":
            size = self._words("points", change=self._locale.number(difference, 1))
        else:
            size = self._locale.quantity(difference, card.unit)
        return self._words("versus", change=f"{arrow} {size}", moment=moment)

    def _listed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows for a chart: departments that only a mistyped event names stay in the table."""
        listed = frame.filter(c("place").is_in(self._figures.listed_places))
        return frame if listed.is_empty() else listed

    def _name(self, value: object) -> str:
        return self._words.name(str(value))

    def _named_rows(self, frame: pl.DataFrame) -> list[tuple[Value, ...]]:
        return [(self._name(row[0]), *row[1:]) for row in frame.iter_rows()]

    def _column(self, key: str, unit: str = "text") -> Column:
        return Column(key, self._words(key), unit)

    def _drill(self, place: str) -> str:
        """Address of a bar's own page: a department's hours, or a hospital's."""
        if not self._figures.splits_hospitals:
            return "" if self._figures.selection.department else self._link(department=place)
        ids = [number for number, name in self._figures.hospitals.items() if name == place]
        return self._link(hospital=ids[0]) if len(ids) == 1 else ""

    @property
    def _by_step(self) -> str:
        return self._words("by_hour" if self._figures.selection.days == 1 else "by_day")

    @property
    def _step_column(self) -> Column:
        if self._figures.selection.days == 1:
            return Column("hour", self._words("step_hour"), "clock")
        return Column("date", self._words("step_day"), "date")

    def _step(self, step: date | int) -> str:
        return self._locale.day(step) if isinstance(step, date) else self._locale.hour(step)

    def _short_step(self, step: date | int) -> str:
        return self._locale.short_day(step) if isinstance(step, date) else f"{step:02}"

    def _scale(self, values: Sequence[float | None]) -> charts.Scale:
        known = [value for value in values if value is not None]
        ticks = charts.round_ticks(max(known, default=0))
        digits = 0 if ticks[1] >= 1 else 1
        return charts.Scale(ticks[-1], [(tick, self._locale.number(tick, digits)) for tick in ticks])


def _rounded(value: float | None, unit: str) -> float | None:
    """As many digits as the page shows: changes are those of the shown figures."""
    return None if value is None else round(value, 1 if unit in ("percent", "hours") else 0)


def _thinned(labels: Sequence[str]) -> list[str]:
    """At most about seven labels, evenly spread."""
    named = [place for place, label in enumerate(labels) if label]
    every = -(-len(named) // charts.LABELLED_STEPS) or 1
    kept = set(named[::every])
    return [label if place in kept else "" for place, label in enumerate(labels)]
