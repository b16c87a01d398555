"""Numbers → HTML and SVG: bars, columns, lines, a heat map, a Sankey diagram. Pure functions, no words of their own.

Across, everything is in percent of the space there is; down, in pixels: a chart fits a phone and a wall without
scaling its texts. Colours are classes of the style sheet, so that light, dark and print need one drawing. Curves lie in
a nested drawing that is stretched with its frame. What a chart shows also stands in a table, so drawings are hidden
from screen readers; the labels and values of bars are ordinary text and are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

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
SANKEY_HEIGHT = 300
SANKEY_GAP = 5
SANKEY_LABEL = 13
"""Pixels that a node has at least, for its label."""
SANKEY_NODES = 9
_SIDE = 25.0
_NODE = 1.3


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


@dataclass(frozen=True)
class Link:
    """A stream of a Sankey diagram."""

    source: str
    target: str
    value: float
    hint: str
    css: str = ""


@dataclass
class _Node:
    name: str
    value: float
    y: float = 0.0
    height: float = 0.0
    used: float = field(default=0.0)

    def take(self, height: float) -> float:
        """The next ``height`` pixels of the node's side; returns where they begin."""
        begin = self.y + self.used
        self.used += height
        return begin


def bars(rows: Sequence[Bar], label: str, *, mark: float | None = None, least: float = 0.0) -> Markup:
    """A list of horizontal bars on one scale, which reaches ``least`` at least; ``mark`` draws a line through all."""
    longest = max([sum(value for value, _ in row.parts) for row in rows], default=0.0)
    ticks = max((row.tick or 0.0 for row in rows), default=0.0)
    scale = max(longest, ticks, least, mark or 0.0) or 1.0
    return _tag("div", *(_bar(row, scale, mark) for row in rows), css="bars", role="group", aria_label=label)


def _bar(row: Bar, scale: float, mark: float | None) -> Markup:
    drawn: list[Markup] = [_tag("rect", css="track", width="100%", height=BAR_HEIGHT)]
    x = 0.0
    for value, css in row.parts:
        width = 100 * value / scale
        drawn.append(_tag("rect", css=css, x=_percent(x), width=_percent(width), height=BAR_HEIGHT))
        x += width
    for position, css in ((mark, "mark"), (row.tick, "tick")):
        if position is not None:
            at = _percent(min(100 * position / scale, 99.9))
            drawn.append(_tag("line", css=css, x1=at, x2=at, y1=0, y2=BAR_HEIGHT))
    return Markup().join(
        [
            _named(row.label, row.href),
            _tag("svg", _title(row.hint), *drawn, height=BAR_HEIGHT, width="100%", aria_hidden="true"),
            _tag("span", row.value, css="value"),
        ]
    )


def heat(rows: Sequence[tuple[str, str, Sequence[Cell]]], columns: Sequence[str], label: str) -> Markup:
    """A heat map: rows of (label, address, cells) under ``columns``; every third column is labelled."""
    width = 100 / len(columns)
    head = [
        _tag("text", name, x=_percent((place + 0.5) * width), y=12, text_anchor="middle", css="axis")
        for place, name in enumerate(columns)
        if place % 3 == 0
    ]
    lines = [_tag("span"), _tag("svg", *head, height=16, width="100%", aria_hidden="true")]
    for name, href, cells in rows:
        drawn = [
            _tag(
                "rect",
                _title(cell.hint),
                css=f"cell {heat_level(cell.percent)}",
                x=_percent(place * width),
                width=_percent(width),
                height=CELL_HEIGHT,
            )
            for place, cell in enumerate(cells)
        ]
        lines += [_named(name, href), _tag("svg", *drawn, height=CELL_HEIGHT, width="100%", aria_hidden="true")]
    return _tag("div", *lines, css="heat", role="group", aria_label=label)


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
                _tag(
                    "rect",
                    css=one.css + growing,
                    x=_percent(x),
                    y=f"{TOP + PLOT_HEIGHT - height:.1f}",
                    width=_percent(width),
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
    curves = [_tag("path", css=f"curve {one.css}", d=_path(one.values, scale)) for one in series]
    if band:
        curves.insert(0, _tag("path", css="band", d=_between(series[0].values, series[1].values, scale)))
    dots = [
        _tag(
            "circle", css=f"dot {one.css}", cx=_percent(LEFT + (place + 0.5) * step), cy=f"{scale.y(value):.1f}", r=2.5
        )
        for one in series
        for place, value in enumerate(one.values)
        if value is not None and len(steps) <= 28 and "dashed" not in one.css
    ]
    stretched = _tag(
        "svg",
        *curves,
        x=_percent(LEFT),
        y=TOP,
        width=_percent(WIDTH),
        height=PLOT_HEIGHT,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
    )
    return _plot([*_grid(scale), *_step_labels(steps, step, label_every), stretched, *dots, *_hovers(hints, step)])


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


def sankey(links: Sequence[Link], rest: str) -> Markup:
    """Streams from sources (left) to targets (right); small ones are drawn together as ``rest``."""
    merged = _merged(links, rest)
    sources = _stacked({link.source for link in merged}, [(link.source, link.value) for link in merged])
    targets = _stacked({link.target for link in merged}, [(link.target, link.value) for link in merged])
    pixels = min(_pixels(sources), _pixels(targets))
    for side in (sources, targets):
        _place(side, pixels)
    order = {name: place for place, name in enumerate(targets)}
    streams = []
    for link in sorted(merged, key=lambda link: (list(sources).index(link.source), order[link.target])):
        height = link.value * pixels
        y1, y2 = sources[link.source].take(height), targets[link.target].take(height)
        shape = (
            f"M0 {y1:.1f}C50 {y1:.1f} 50 {y2:.1f} 100 {y2:.1f}V{y2 + height:.1f}"
            f"C50 {y2 + height:.1f} 50 {y1 + height:.1f} 0 {y1 + height:.1f}Z"
        )
        streams.append(_tag("path", _title(link.hint), css=f"stream {link.css}", d=shape))
    inner = _SIDE + _NODE
    body = _tag(
        "svg",
        *streams,
        x=_percent(inner),
        width=_percent(100 - 2 * inner),
        height=SANKEY_HEIGHT,
        viewBox=f"0 0 100 {SANKEY_HEIGHT}",
        preserveAspectRatio="none",
    )
    ends = [
        *_ends(sources.values(), _SIDE, _SIDE - 1, "end"),
        *_ends(targets.values(), 100 - inner, 100 - _SIDE + 1, "start"),
    ]
    return _tag("svg", body, *ends, height=SANKEY_HEIGHT, width="100%", css="chart sankey", aria_hidden="true")


def _merged(links: Sequence[Link], rest: str) -> list[Link]:
    """Links whose small sources and targets are all called ``rest``."""
    keep_source = _largest([(link.source, link.value) for link in links])
    keep_target = _largest([(link.target, link.value) for link in links])
    sums: dict[tuple[str, str], list[Link]] = {}
    for link in links:
        ends = (
            link.source if link.source in keep_source else rest,
            link.target if link.target in keep_target else rest,
        )
        sums.setdefault(ends, []).append(link)
    return [
        Link(source, target, sum(part.value for part in parts), "; ".join(part.hint for part in parts), parts[0].css)
        for (source, target), parts in sums.items()
    ]


def _largest(values: Iterable[tuple[str, float]]) -> set[str]:
    """Names that are drawn alone: not too many, and each high enough for its label."""
    sums: dict[str, float] = {}
    for name, value in values:
        sums[name] = sums.get(name, 0.0) + value
    ranked = sorted(sums, key=lambda name: -sums[name])[:SANKEY_NODES]
    total = sum(sums.values())
    return {name for name in ranked if sums[name] >= total * 0.012}


def _stacked(names: set[str], values: Iterable[tuple[str, float]]) -> dict[str, _Node]:
    """Nodes by name, the largest first."""
    nodes = {name: _Node(name, 0.0) for name in names}
    for name, value in values:
        nodes[name].value += value
    return dict(sorted(nodes.items(), key=lambda item: (-item[1].value, item[0])))


def _pixels(nodes: dict[str, _Node]) -> float:
    """Pixels per unit that let all nodes and their labels fit."""
    room = SANKEY_HEIGHT - SANKEY_GAP * (len(nodes) - 1)
    large = sorted((node.value for node in nodes.values()), reverse=True)
    while large:
        pixels = (room - SANKEY_LABEL * (len(nodes) - len(large))) / sum(large)
        if large[-1] * pixels >= SANKEY_LABEL:
            return pixels
        large.pop()
    return 0.0


def _place(nodes: dict[str, _Node], pixels: float) -> None:
    """Spreads nodes over the height: the gaps of the side with fewer nodes are wider."""
    slots = [max(node.value * pixels, SANKEY_LABEL) for node in nodes.values()]
    free = SANKEY_HEIGHT - sum(slots)
    gap = free / (len(nodes) - 1) if len(nodes) > 1 else 0.0
    y = 0.0 if len(nodes) > 1 else free / 2
    for node, slot in zip(nodes.values(), slots, strict=True):
        node.height = node.value * pixels
        node.y = y + (slot - node.height) / 2
        y += slot + gap


def _ends(nodes: Iterable[_Node], x: float, text_x: float, anchor: str) -> list[Markup]:
    drawn = []
    for node in nodes:
        drawn.append(
            _tag(
                "rect", css="node", x=_percent(x), y=f"{node.y:.1f}", width=_percent(_NODE), height=f"{node.height:.1f}"
            )
        )
        middle = node.y + node.height / 2 + 4
        drawn.append(_tag("text", node.name, x=_percent(text_x), y=f"{middle:.1f}", text_anchor=anchor))
    return drawn


def _grid(scale: Scale) -> list[Markup]:
    drawn = []
    for value, name in scale.ticks:
        y = f"{scale.y(value):.1f}"
        drawn.append(_tag("line", css="grid", x1=_percent(LEFT), x2=_percent(LEFT + WIDTH), y1=y, y2=y))
        at = f"{scale.y(value) + 4:.1f}"
        drawn.append(_tag("text", name, css="axis", x=_percent(LEFT - 1.2), y=at, text_anchor="end"))
    return drawn


def _step_labels(steps: Sequence[str], step: float, every: int = 0) -> list[Markup]:
    every = every or (1 if len(steps) <= LABELLED_STEPS else math.ceil(len(steps) / (LABELLED_STEPS - 1)))
    return [
        _tag(
            "text",
            name,
            css="axis",
            x=_percent(LEFT + (place + 0.5) * step),
            y=TOP + PLOT_HEIGHT + 16,
            text_anchor="middle",
        )
        for place, name in enumerate(steps)
        if name and (len(steps) - 1 - place) % every == 0
    ]


def _hovers(hints: Sequence[str], step: float) -> list[Markup]:
    return [
        _tag(
            "rect",
            _title(hint),
            css="hover",
            x=_percent(LEFT + place * step),
            y=TOP,
            width=_percent(step),
            height=PLOT_HEIGHT,
        )
        for place, hint in enumerate(hints)
    ]


def _plot(drawn: Sequence[Markup]) -> Markup:
    return _tag("svg", *drawn, css="chart", width="100%", height=TOP + PLOT_HEIGHT + BOTTOM, aria_hidden="true")


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


def _named(label: str, href: str) -> Markup:
    text = _tag("a", label, href=href) if href else escape(label)
    return _tag("span", text, css="label", title=label)


def _title(hint: str) -> Markup:
    return _tag("title", hint) if hint else Markup()


def _percent(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def _tag(name: str, *content: str, css: str = "", **attributes: object) -> Markup:
    """An element; ``content`` is escaped unless it is markup, underscores in attribute names become hyphens."""
    given = {"class": css, **attributes} if css else attributes
    written = Markup().join(Markup(' {}="{}"').format(key.replace("_", "-"), value) for key, value in given.items())
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, Markup().join(map(escape, content)))
