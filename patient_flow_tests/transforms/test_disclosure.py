"""Small numbers: an attacker with integer programming finds no hidden count in what aggregate readers see.

The attacker knows the rules of publication, every published row of all days, that counts are whole and not negative,
that patients at midnight are those of the midnight before, plus admissions, minus discharges, and that moves between
departments cancel out. For each hidden count the attacker asks whether it could be 1, and whether it could be
threshold - 1.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from patient_flow.transforms.disclosure import ALL, Cell, Counts, Disclosure, PublishedDay

FIRST = date(2026, 11, 1)
DAY = timedelta(days=1)
THRESHOLD = 5
GENDERS = ("Female", "Male", "Other")


def simulate(chance: random.Random, departments: Sequence[str], days: int, per_day: float, stay: float) -> list[Counts]:
    """A hospital's days: patients are admitted, move, and leave; ``per_day`` admissions on average."""
    in_beds: list[tuple[str, str]] = []
    made = []
    for _ in range(days):
        admitted: Counter[Cell] = Counter()
        discharged: Counter[Cell] = Counter()
        arrivals = sum(chance.random() < per_day / 100 for _ in range(100))
        for _ in range(arrivals):
            cell = Cell(chance.choice(departments), chance.choices(GENDERS, (10, 9, 0.2))[0])
            admitted[cell] += 1
            in_beds.append(cell)
        staying = []
        for department, gender in in_beds:
            if chance.random() < 1 / stay:
                discharged[Cell(department, gender)] += 1
            else:
                moved = chance.choice(departments) if chance.random() < 0.1 else department
                staying.append((moved, gender))
        in_beds = staying
        attended = sum(chance.random() < per_day / 50 for _ in range(100))
        departed = sum(chance.random() < 0.97 for _ in range(attended))
        within = sum(chance.random() < 0.7 for _ in range(departed))
        made.append(
            Counts(
                dict(admitted),
                dict(discharged),
                dict(Counter(Cell(*patient) for patient in in_beds)),
                {Cell(departments[0], "Female"): attended},
                departed,
                within,
                arrivals - (arrivals > 3),
                30.0 * arrivals,
            )
        )
    return made


def publish(days: Sequence[Counts], departments: Sequence[str], **how: bool) -> list[PublishedDay]:
    rule = Disclosure(THRESHOLD)
    return list(
        rule.days(
            "H1",
            lambda day: days[(day - FIRST).days],
            lambda _: departments,
            [FIRST + number * DAY for number in range(len(days))],
            is_midnight_known=how.pop("is_midnight_known", False),
            **how,
        )
    )


@dataclass
class Attacker:
    """An integer program over all counts of a hospital."""

    departments: Sequence[str]
    names: dict[tuple[object, ...], int] = field(default_factory=dict)
    rows: list[dict[int, int]] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    free: set[int] = field(default_factory=set)

    def variable(self, *name: object, is_free: bool = False) -> int:
        number = self.names.setdefault(name, len(self.names))
        if is_free:
            self.free.add(number)
        return number

    def equal(self, terms: dict[int, int], value: int = 0) -> None:
        self.rows.append(terms)
        self.values.append(value)

    def know(self, published: Sequence[PublishedDay]) -> None:
        """Every count of a published day: known where the row says it, and tied to the others."""
        days = sorted({row.date for row in published})
        for day in days:
            for name in ("admissions", "discharges", "midnight", "attendances"):
                self.sums(day, name)
            self.balance(day, days)
            self.parts(day)
        for row in published:
            for name in (
                *("admissions", "discharges", "midnight", "attendances"),
                *("departures", "within_240", "waits"),
            ):
                value = getattr(row, name)
                if value is not None:
                    self.equal({self.variable(name, row.date, row.department, row.gender): 1}, value)
        for row in published:
            if row.gender != ALL:  # the genders without a row have none
                for gender in GENDERS:
                    rows = {
                        other.gender
                        for other in published
                        if (other.date, other.department) == (row.date, row.department)
                    }
                    if gender not in rows:
                        self.equal({self.variable("admissions", row.date, row.department, gender): 1}, 0)

    def sums(self, day: date, name: str) -> None:
        total = self.variable(name, day, ALL, ALL)
        parts = {self.variable(name, day, department, ALL): 1 for department in self.departments}
        self.equal({**parts, total: -1})
        if name == "admissions":
            for department in self.departments:
                genders = {self.variable(name, day, department, gender): 1 for gender in GENDERS}
                self.equal({**genders, self.variable(name, day, department, ALL): -1})

    def balance(self, day: date, days: Sequence[date]) -> None:
        """Of each department, with moves that cancel out: that of the hospital follows."""
        moves = {}
        for department in self.departments:
            moved = self.variable("moved in", day, department, is_free=True)
            moves[moved] = 1
            before = self.variable("midnight", day - DAY, department, ALL)
            self.equal(
                {
                    before: 1,
                    self.variable("admissions", day, department, ALL): 1,
                    self.variable("discharges", day, department, ALL): -1,
                    moved: 1,
                    self.variable("midnight", day, department, ALL): -1,
                }
            )
        self.equal(moves)

    def parts(self, day: date) -> None:
        """A part and the rest of it, neither negative."""
        for whole, part in (("attendances", "departures"), ("departures", "within_240"), ("admissions", "waits")):
            rest = self.variable("rest", part, day)
            self.equal(
                {self.variable(part, day, ALL, ALL): 1, rest: 1, self.variable(whole, day, ALL, ALL): -1},
            )

    def could_be(self, number: int, value: int) -> bool:
        size = len(self.names)
        rows, columns, data = [], [], []
        for index, terms in enumerate([*self.rows, {number: 1}]):
            for column, factor in terms.items():
                rows.append(index)
                columns.append(column)
                data.append(factor)
        known = np.array([*self.values, value], dtype=float)
        matrix = csr_array((data, (rows, columns)), shape=(len(known), size))
        lower = np.array([-np.inf if index in self.free else 0.0 for index in range(size)])
        found = milp(
            np.zeros(size),
            constraints=LinearConstraint(matrix, known, known),
            bounds=Bounds(lower, np.inf),
            integrality=np.ones(size),
        )
        return bool(found.success)


def hidden(published: Sequence[PublishedDay]) -> list[tuple[object, ...]]:
    """Every count that a row leaves out, of the kinds that its level has; genders below a department without them."""
    names = []
    with_genders = {(row.date, row.department) for row in published if row.gender != ALL}
    for row in published:
        if row.gender != ALL:
            continue
        kinds = ["admissions", "midnight", "attendances"]
        kinds += ["discharges", "departures", "within_240", "waits"] if row.department == ALL else []
        names += [(kind, row.date, row.department, ALL) for kind in kinds if getattr(row, kind) is None]
        if row.department != ALL and row.admissions != 0 and (row.date, row.department) not in with_genders:
            names += [("admissions", row.date, row.department, gender) for gender in GENDERS]
    return names


def disclosed(published: Sequence[PublishedDay], departments: Sequence[str], sample: int, seed: int) -> list[object]:
    """Hidden counts that could not be 1, or not be threshold - 1."""
    attacker = Attacker(departments)
    attacker.know(published)
    names = hidden(published)
    chosen = random.Random(seed).sample(names, min(sample, len(names)))
    return [
        (name, value)
        for name in chosen
        for value in (1, THRESHOLD - 1)
        if not attacker.could_be(attacker.variable(*name), value)
    ]


HOSPITALS: dict[str, tuple[Sequence[str], float, float]] = {
    "one department": (("ICU",), 6, 3),
    "small": (("ICU", "Surgery"), 7, 4),
    "nearly empty": (("ICU", "Surgery"), 1.5, 1.2),
    "medium": (("Emergency", "ICU", "Maternity", "Surgery"), 30, 4),
    "one day": (("Day", "Ward"), 12, 1),
}


@pytest.mark.parametrize("name", HOSPITALS)
def test_every_hidden_count_can_be_anything_small(name: str) -> None:
    departments, per_day, stay = HOSPITALS[name]
    chance = random.Random(name)
    published = publish(simulate(chance, departments, 31, per_day, stay), departments)
    assert any(value is not None for row in published for value in (row.midnight, row.attendances))
    assert disclosed(published, departments, sample=25, seed=1) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", HOSPITALS)
def test_no_month_of_any_hospital_discloses_a_count(name: str, seed: int) -> None:
    departments, per_day, stay = HOSPITALS[name]
    chance = random.Random(f"{name} {seed}")
    published = publish(simulate(chance, departments, 31, per_day, stay), departments)
    assert disclosed(published, departments, sample=60, seed=seed) == []


def test_the_attacker_finds_a_count_that_only_its_cell_hides() -> None:
    """The test of the test: without the secondary rules the balance and the sums give the counts away."""
    departments = ("ICU", "Surgery")
    days = simulate(random.Random(4), departments, 31, 7, 4)

    def cells_only(day: date, counts: Counts) -> list[PublishedDay]:
        def shown(count: int) -> int | None:
            return None if 1 <= count < THRESHOLD else count

        rows = [
            PublishedDay(
                day,
                "H1",
                admissions=shown(sum(counts.admissions.values())),
                discharges=shown(sum(counts.discharges.values())),
                midnight=shown(sum(counts.midnight.values())),
            )
        ]
        for department in departments:
            admitted = sum(count for cell, count in counts.admissions.items() if cell.department == department)
            rows.append(PublishedDay(day, "H1", department, admissions=shown(admitted)))
        return rows

    published = [row for number, counts in enumerate(days) for row in cells_only(FIRST + number * DAY, counts)]
    attacker = Attacker(departments)
    attacker.know(published)
    names = [name for name in hidden(published) if name[0] in ("admissions", "discharges") and name[3] == ALL]
    found = [name for name in names if not all(attacker.could_be(attacker.variable(*name), value) for value in (1, 4))]
    assert found


def test_days_before_the_published_ones_disclose_nothing_about_them() -> None:
    """Months later an import brings older days; they join what is published."""
    departments = ("ICU", "Surgery")
    days = simulate(random.Random(8), departments, 31, 8, 3)
    later = [row for row in publish(days, departments) if row.date >= FIRST + 15 * DAY]
    assert later
    rule = Disclosure(THRESHOLD)

    def rows(first: int, last: int, *, joins: bool) -> list[PublishedDay]:
        dates = [FIRST + number * DAY for number in range(first, last)]
        of: Callable[[date], Counts] = lambda day: days[(day - FIRST).days]  # noqa: E731
        return list(rule.days("H1", of, lambda _: departments, dates, is_midnight_known=False, joins_published=joins))

    published = [*rows(0, 15, joins=True), *rows(15, 31, joins=False)]
    assert disclosed(published, departments, sample=40, seed=2) == []


def test_what_is_large_is_shown_and_zero_is_too() -> None:
    counts = Counts(
        {Cell("ICU", "Female"): 10, Cell("ICU", "Male"): 6},
        {Cell("ICU", "Male"): 12},
        {Cell("ICU", "Female"): 40},
        {},
        waits=16,
        wait_minutes=480.4,
    )
    rows = publish([counts], ("ICU", "Surgery"), is_midnight_known=True)
    total, icu, women, men, surgery = rows
    assert (total.admissions, total.discharges, total.midnight, total.attendances) == (16, 12, 40, 0)
    assert (total.waits, total.wait_minutes, total.departures) == (16, 480, 0)
    assert (icu.admissions, women.admissions, men.admissions, surgery.admissions) == (16, 10, 6, 0)


@pytest.mark.parametrize("small", ["admissions", "discharges", "midnight"])
def test_a_small_count_hides_the_balance_of_its_day_and_the_flows_of_the_next(small: str) -> None:
    cell = Cell("ICU", "Female")
    large = Counts({cell: 20}, {cell: 20}, {cell: 20})
    days = [large, replace(large, **{small: {cell: 3}}), large, large]  # type: ignore[arg-type]
    totals = [row for row in publish(days, ("ICU",), is_midnight_known=True) if row.department == ALL]
    shown = [(row.admissions is not None, row.discharges is not None, row.midnight is not None) for row in totals]
    assert shown == [(True, True, True), (False, False, False), (False, False, True), (True, True, True)]


def test_a_share_is_hidden_with_its_rest() -> None:
    cell = Cell("Emergency", "Female")
    for departures, within, is_shown in (
        (50, 40, True),
        (47, 40, False),
        (50, 47, False),
        (50, 3, False),
        (50, 0, True),
    ):
        (total, _) = publish([Counts(attendances={cell: 50}, departures=departures, within_240=within)], ("Emergency",))
        assert (total.attendances, total.within_240 is not None) == (50, is_shown)
