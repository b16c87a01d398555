"""A control chart as SVG: points by meaning (colour and shape), mean, limits, target, and the dates of its notes.

Across in percent, down in pixels, as in ``dashboard.charts``; the scale begins at the lowest value, not at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date

import polars as pl
from markupsafe import Markup

from patient_flow.dashboard import svg
from patient_flow.transforms.control_charts import Variation

LEFT, WIDTH = 9.0, 88.0
TOP, HEIGHT, BOTTOM = 12, 150, 22
TICKS, LABELS = 4, 6
_SHAPES = {
    Variation.COMMON: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0Z",
    Variation.IMPROVEMENT: "M0-5L5 4H-5Z",
    Variation.CONCERN: "M-4-4H4V4H-4Z",
    Variation.HIGH: "M0-5L5 0L0 5L-5 0Z",
    Variation.LOW: "M0-5L5 0L0 5L-5 0Z",
}
"""Circle, triangle, square and diamond: the meaning does not depend on colour."""


def drawn(
    points: pl.DataFrame,
    target: float | None,
    note_dates: Sequence[date],
    hints: Sequence[str],
    tick: Callable[[float], str],
    label: Callable[[date], str],
) -> Markup:
    """The chart of ``points``; ``hints`` are the texts over them, ``tick`` and ``label`` write the axes."""
    steps = points["step"].to_list()
    low, high = _bounds(points, target)
    across = WIDTH / max(len(steps), 1)

    def x(place: float) -> float:
        return LEFT + (place + 0.5) * across

    def y(value: float) -> float:
        return TOP + HEIGHT * (high - value) / (high - low)

    parts: list[Markup] = []
    for value in _ticks(low, high):
        at = f"{y(value):.1f}"
        parts.append(svg.tag("line", css="grid", x1=svg.percent(LEFT), x2=svg.percent(LEFT + WIDTH), y1=at, y2=at))
        at_tick = {"x": svg.percent(LEFT - 1.2), "y": f"{y(value) + 4:.1f}", "text_anchor": "end"}
        parts.append(svg.tag("text", tick(value), css="axis", **at_tick))
    every = max(1, math.ceil(len(steps) / LABELS))
    for place, step in enumerate(steps):
        if (len(steps) - 1 - place) % every == 0:
            at_step = {"x": svg.percent(x(place)), "y": TOP + HEIGHT + 16, "text_anchor": "middle"}
            parts.append(svg.tag("text", label(step), css="axis", **at_step))
    for day in note_dates:
        begun = sum(step < day for step in steps)
        at = svg.percent(x(begun - 0.5))
        parts.append(svg.tag("line", css="phase", x1=at, x2=at, y1=TOP, y2=TOP + HEIGHT))
    parts += _levels(points, x, y)
    if target is not None:
        at = f"{y(target):.1f}"
        parts.append(svg.tag("line", css="target", x1=svg.percent(LEFT), x2=svg.percent(LEFT + WIDTH), y1=at, y2=at))
    parts.append(_line(points["value"].to_list(), low, high))
    for place, (value, variation, hint) in enumerate(zip(points["value"], points["variation"], hints, strict=True)):
        parts.append(
            svg.tag(
                "svg",
                svg.tag("path", svg.title(hint), d=_SHAPES[Variation(variation)]),
                css=f"point {variation}",
                x=svg.percent(x(place)),
                y=f"{y(value):.1f}",
                overflow="visible",
            )
        )
    return svg.tag("svg", *parts, css="chart", width="100%", height=TOP + HEIGHT + BOTTOM, aria_hidden="true")


def shape(variation: Variation) -> Markup:
    """The point of a legend."""
    return svg.tag(
        "svg",
        svg.tag("path", d=_SHAPES[variation], transform="translate(6 6)"),
        css=f"point {variation}",
        width=12,
        height=12,
        aria_hidden="true",
    )


def _levels(points: pl.DataFrame, x: Callable[[float], float], y: Callable[[float], float]) -> list[Markup]:
    """Mean and limits of each phase."""
    parts = []
    phases = (
        points.with_row_index("place")
        .group_by("phase", maintain_order=True)
        .agg(
            pl.col("place").min().alias("begin"),
            pl.col("place").max().alias("end"),
            pl.col("mean", "lower_limit", "upper_limit").first(),
        )
    )
    for phase in phases.iter_rows(named=True):
        for name, css in (("mean", "mean"), ("lower_limit", "limit"), ("upper_limit", "limit")):
            if phase[name] is not None:
                at = f"{y(phase[name]):.1f}"
                begin, end = svg.percent(x(phase["begin"] - 0.5)), svg.percent(x(phase["end"] + 0.5))
                parts.append(svg.tag("line", css=css, x1=begin, x2=end, y1=at, y2=at))
    return parts


def _line(values: Sequence[float], low: float, high: float) -> Markup:
    across = [
        f"{100 * (place + 0.5) / len(values):.2f} {100 * (high - value) / (high - low):.2f}"
        for place, value in enumerate(values)
    ]
    return svg.tag(
        "svg",
        svg.tag("path", css="curve value", d="M" + "L".join(across)),
        x=svg.percent(LEFT),
        y=TOP,
        width=svg.percent(WIDTH),
        height=HEIGHT,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
    )


def _bounds(points: pl.DataFrame, target: float | None) -> tuple[float, float]:
    known = [value for name in ("value", "lower_limit", "upper_limit") for value in points[name].drop_nulls().to_list()]
    known += [] if target is None else [target]
    low, high = min(known), max(known)
    room = 0.06 * (high - low) or max(abs(high), 1) * 0.1
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / TICKS
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]
