"""Flows → a Sankey diagram, drawn like the charts of ``charts``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from patient_flow.dashboard import svg

SANKEY_HEIGHT = 300
SANKEY_GAP = 5
SANKEY_LABEL = 13
"""Pixels that a node has at least, for its label."""
SANKEY_NODES = 9
_SIDE = 25.0
_NODE = 1.3


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
        streams.append(svg.tag("path", svg.title(link.hint), css=f"stream {link.css}", d=shape))
    inner = _SIDE + _NODE
    body = svg.tag(
        "svg",
        *streams,
        x=svg.percent(inner),
        width=svg.percent(100 - 2 * inner),
        height=SANKEY_HEIGHT,
        viewBox=f"0 0 100 {SANKEY_HEIGHT}",
        preserveAspectRatio="none",
    )
    ends = [
        *_ends(sources.values(), _SIDE, _SIDE - 1, "end"),
        *_ends(targets.values(), 100 - inner, 100 - _SIDE + 1, "start"),
    ]
    return svg.tag("svg", body, *ends, height=SANKEY_HEIGHT, width="100%", css="chart sankey", aria_hidden="true")


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
            svg.tag(
                "rect",
                css="node",
                x=svg.percent(x),
                y=f"{node.y:.1f}",
                width=svg.percent(_NODE),
                height=f"{node.height:.1f}",
            )
        )
        middle = node.y + node.height / 2 + 4
        drawn.append(svg.tag("text", node.name, x=svg.percent(text_x), y=f"{middle:.1f}", text_anchor=anchor))
    return drawn
