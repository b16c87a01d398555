"""Numbers → HTML and SVG: bars, columns, lines, a heat map. Pure functions without texts of their own.

Across, everything is in percent of the space there is; down, in pixels: a chart fits a phone and a wall without
scaling its texts. Colours are classes of the style sheet, so that light, dark and print need one drawing. Curves lie in
a nested drawing that is stretched with its frame. What a chart shows also stands in a table, so drawings are hidden
from screen readers; the labels and values of bars are ordinary text and are not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from patient_flow.dashboard import svg

LEFT, WIDTH = 9.0, 88.0
"""Where a plot begins and how wide it is, in percent: the scale's numbers and half a label need the rest."""
PLOT_HEIGHT = 190
TOP, BOTTOM = 14, 22
"""Pixels above the plot, and below it for the steps' labels."""
BAR_HEIGHT = 16
CELL_HEIGHT = 22
LABELLED_STEPS = 7
"""So many labels fit under the columns of a week; more steps than that are labelled more thinly."""
HEAT_LEVELS = (50, 60, 70, 80, 90, 100, 110, 120)
"""Upper bounds of the levels of occupancy; above 100 % there are three more."""


@dataclass(frozen=True)
class Bar:
    """One bar of a list: parts that add up, each a value and its class."""

    label: str
    parts: Sequence[tuple[float, str]]
    value: str
    href: str = ""
    hint: str = ""
    tick: float | None = None


@dataclass(frozen=True)
class Cell:
    """One cell of a heat map; the level follows from the percentage, None leaves it empty."""

    percent: float | None
    hint: str


@dataclass(frozen=True)
class Series:
    """One value per step, None where there is none."""

    css: str
    values: Sequence[float | None]


def bars(rows: Sequence[Bar], label: str, *, mark: float | None = None, least: float = 0.0) -> Markup:
    """A list of horizontal bars on one scale, which reaches ``least`` at least; ``mark`` draws a line through all."""
    longest = max([sum(value for value, _ in row.parts) for row in rows], default=0.0)
    ticks = max((row.tick or 0.0 for row in rows), default=0.0)
    scale = max(longest, ticks, least, mark or 0.0) or 1.0
    return svg.tag("div", *(_bar(row, scale, mark) for row in rows), css="bars", role="group", aria_label=label)


def _bar(row: Bar, scale: float, mark: float | None) -> Markup:
    drawn: list[Markup] = [svg.tag("rect", css="track", width="100%", height=BAR_HEIGHT)]
    x = 0.0
    for value, css in row.parts:
        width = 100 * value / scale
        drawn.append(svg.tag("rect", css=css, x=svg.percent(x), width=svg.percent(width), height=BAR_HEIGHT))
        x += width
    for position, css in ((mark, "mark"), (row.tick, "tick")):
        if position is not None:
            at = svg.percent(min(100 * position / scale, 99.9))
            drawn.append(svg.tag("line", css=css, x1=at, x2=at, y1=0, y2=BAR_HEIGHT))
    return Markup().join(
        [
            svg.named(row.label, row.href),
            svg.tag("svg", svg.title(row.hint), *drawn, height=BAR_HEIGHT, width="100%", aria_hidden="true"),
            svg.tag("span", row.value, css="value"),
        ]
    )


def heat(rows: Sequence[tuple[str, str, Sequence[Cell]]], columns: Sequence[str], label: str) -> Markup:
    """A heat map: rows of (label, address, cells) under ``columns``; every third column is labelled."""
    width = 100 / len(columns)
    head = [
        svg.tag("text", name, x=svg.percent((place + 0.5) * width), y=12, text_anchor="middle", css="axis")
        for place, name in enumerate(columns)
        if place % 3 == 0
    ]
    lines = [svg.tag("span"), svg.tag("svg", *head, height=16, width="100%", aria_hidden="true")]
    for name, href, cells in rows:
        drawn = [
            svg.tag(
                "rect",
                svg.title(cell.hint),
                css=f"cell {heat_level(cell.percent)}",
                x=svg.percent(place * width),
                width=svg.percent(width),
                height=CELL_HEIGHT,
            )
            for place, cell in enumerate(cells)
        ]
        lines += [svg.named(name, href), svg.tag("svg", *drawn, height=CELL_HEIGHT, width="100%", aria_hidden="true")]
    return svg.tag("div", *lines, css="heat", role="group", aria_label=label)


def heat_level(percent: float | None) -> str:
    """Class of a percentage in a heat map."""
    if percent is None:
        return "none"
    return f"h{sum(percent >= bound for bound in HEAT_LEVELS)}"


def columns(steps: Sequence[str], series: Sequence[Series], hints: Sequence[str], scale: Scale) -> Markup:
    """Groups of upright columns, one group per step; the last group is still growing."""
    step = WIDTH / max(len(steps), 1)
    width = step * 0.76 / len(series)
    drawn = [*_grid(scale), *_step_labels(steps, step)]
    for order, one in enumerate(series):
        for place, value in enumerate(one.values):
            x = LEFT + place * step + step * 0.12 + order * width
            growing = " growing" if place == len(steps) - 1 else ""
            height = scale.height(value or 0)
            drawn.append(
                svg.tag(
                    "rect",
                    css=one.css + growing,
                    x=svg.percent(x),
                    y=f"{TOP + PLOT_HEIGHT - height:.1f}",
                    width=svg.percent(width),
                    height=f"{height:.1f}",
                )
            )
    return _plot(drawn + _hovers(hints, step))


def lines(
    steps: Sequence[str],
    series: Sequence[Series],
    hints: Sequence[str],
    scale: Scale,
    *,
    band: bool = False,
    label_every: int = 0,
) -> Markup:
    """Curves over steps; with ``band`` the space between the first two is filled."""
    step = WIDTH / max(len(steps), 1)
    curves = [svg.tag("path", css=f"curve {one.css}", d=_path(one.values, scale)) for one in series]
    if band:
        curves.insert(0, svg.tag("path", css="band", d=_between(series[0].values, series[1].values, scale)))
    dots = [
        svg.tag(
            "circle",
            css=f"dot {one.css}",
            cx=svg.percent(LEFT + (place + 0.5) * step),
            cy=f"{scale.y(value):.1f}",
            r=2.5,
        )
        for one in series
        for place, value in enumerate(one.values)
        if value is not None and len(steps) <= 28 and "dashed" not in one.css
    ]
    labels = _step_labels(steps, step, label_every)
    return _plot([*_grid(scale), *labels, _stretched(curves), *dots, *_hovers(hints, step)])


def _stretched(shapes: Sequence[Markup]) -> Markup:
    """Shapes in percent of the plot."""
    return svg.tag(
        "svg",
        *shapes,
        x=svg.percent(LEFT),
        y=TOP,
        width=svg.percent(WIDTH),
        height=PLOT_HEIGHT,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
    )


def fan(
    positions: Sequence[float],
    bands: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    curves: Sequence[Series],
    hints: Sequence[str],
    labels: Sequence[tuple[float, str]],
    scale: Scale,
) -> Markup:
    """Bands (class, low, high) and curves over ``positions`` (0 to 1, ascending); ``labels`` stand below theirs."""
    drawn = [*_grid(scale)]
    for position, name in labels:
        drawn.append(
            svg.tag("text", name, css="axis", x=_across(position), y=TOP + PLOT_HEIGHT + 16, text_anchor="middle")
        )
    shapes = [
        svg.tag(
            "path",
            css=f"band {css}",
            d="M" + "L".join([*_spots(positions, low, scale), *reversed(_spots(positions, high, scale))]) + "Z",
        )
        for css, low, high in bands
    ]
    for curve in curves:
        known = [(at, value) for at, value in zip(positions, curve.values, strict=True) if value is not None]
        if known:
            spots = _spots([at for at, _ in known], [value for _, value in known], scale)
            shapes.append(svg.tag("path", css=f"curve {curve.css}", d="M" + "L".join(spots)))
    drawn.append(_stretched(shapes))
    edges = [0.0, *((low + high) / 2 for low, high in itertools.pairwise(positions)), 1.0]
    for hint, (left, right) in zip(hints, itertools.pairwise(edges), strict=True):
        width = svg.percent(WIDTH * (right - left))
        drawn.append(
            svg.tag("rect", svg.title(hint), css="hover", x=_across(left), y=TOP, width=width, height=PLOT_HEIGHT)
        )
    return _plot(drawn)


def _across(position: float) -> str:
    return svg.percent(LEFT + WIDTH * position)


def _spots(positions: Sequence[float], values: Sequence[float], scale: Scale) -> list[str]:
    return [f"{100 * x:.2f} {100 - 100 * y / scale.top:.2f}" for x, y in zip(positions, values, strict=True)]


@dataclass(frozen=True)
class Scale:
    """An upright scale from 0 to a round number above ``top``, with names for its ticks."""

    top: float
    ticks: Sequence[tuple[float, str]]

    def height(self, value: float) -> float:
        """Pixels that ``value`` takes."""
        return PLOT_HEIGHT * value / self.top

    def y(self, value: float) -> float:
        """Pixels from the top of the drawing."""
        return TOP + PLOT_HEIGHT - self.height(value)


def round_ticks(highest: float) -> list[float]:
    """About four round numbers from 0 up to at least ``highest``."""
    rough = max(highest, 1e-9) / 4
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    if highest >= 4:
        step = max(step, 1.0)
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)] if highest > 0 else [0.0, 1.0]


def _grid(scale: Scale) -> list[Markup]:
    drawn = []
    for value, name in scale.ticks:
        y = f"{scale.y(value):.1f}"
        drawn.append(svg.tag("line", css="grid", x1=svg.percent(LEFT), x2=svg.percent(LEFT + WIDTH), y1=y, y2=y))
        at = f"{scale.y(value) + 4:.1f}"
        drawn.append(svg.tag("text", name, css="axis", x=svg.percent(LEFT - 1.2), y=at, text_anchor="end"))
    return drawn


def _step_labels(steps: Sequence[str], step: float, every: int = 0) -> list[Markup]:
    every = every or (1 if len(steps) <= LABELLED_STEPS else math.ceil(len(steps) / (LABELLED_STEPS - 1)))
    return [
        svg.tag(
            "text",
            name,
            css="axis",
            x=svg.percent(LEFT + (place + 0.5) * step),
            y=TOP + PLOT_HEIGHT + 16,
            text_anchor="middle",
        )
        for place, name in enumerate(steps)
        if name and (len(steps) - 1 - place) % every == 0
    ]


def _hovers(hints: Sequence[str], step: float) -> list[Markup]:
    return [
        svg.tag(
            "rect",
            svg.title(hint),
            css="hover",
            x=svg.percent(LEFT + place * step),
            y=TOP,
            width=svg.percent(step),
            height=PLOT_HEIGHT,
        )
        for place, hint in enumerate(hints)
    ]


def _plot(drawn: Sequence[Markup]) -> Markup:
    return svg.tag("svg", *drawn, css="chart", width="100%", height=TOP + PLOT_HEIGHT + BOTTOM, aria_hidden="true")


def _points(values: Sequence[float | None], scale: Scale) -> list[list[tuple[float, float]]]:
    """Points in percent of the plot, in pieces without gaps."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((100 * (place + 0.5) / len(values), 100 - 100 * value / scale.top))
    return [piece for piece in pieces if piece]


def _path(values: Sequence[float | None], scale: Scale) -> str:
    return "".join("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in piece) for piece in _points(values, scale))


def _between(low: Sequence[float | None], high: Sequence[float | None], scale: Scale) -> str:
    shapes = []
    for lower, upper in zip(_points(low, scale), _points(high, scale), strict=True):
        shapes.append("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in [*lower, *reversed(upper)]) + "Z")
    return "".join(shapes)
