"""Drawings: well-formed, to scale, and harmless whatever the names are."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree as ET

import pytest

from patient_flow.dashboard.charts import (
    Bar,
    Cell,
    Scale,
    Series,
    bars,
    columns,
    heat,
    heat_level,
    lines,
    round_ticks,
)
from patient_flow.dashboard.sankey import Link, sankey

NASTY = '<b>"A&E"</b>\''


def drawn(markup: str) -> ET.Element:
    return ET.fromstring(f"<all>{markup}</all>")


def test_bars_share_one_scale_and_their_parts_lie_end_to_end() -> None:
    root = drawn(bars([Bar("a", [(30, "x"), (90, "y")], "120 %"), Bar("b", [(60, "x")], "60 %")], "label", mark=100))
    parts = [part for part in root.iter("rect") if part.get("class") != "track"]
    assert shares_of(parts, "x") == [0, 25, 0]
    assert shares_of(parts, "width") == [25, 75, 50]
    assert {line.attrib["x1"] for line in root.iter("line")} == {"83.333%"}


def shares_of(parts: list[ET.Element], attribute: str) -> list[float]:
    return [float(part.attrib[attribute].rstrip("%")) for part in parts]


def test_a_bar_list_of_zeros_is_drawn_without_dividing_by_them() -> None:
    assert len(list(drawn(bars([Bar("a", [(0, "x")], "0")], "label")).iter("rect"))) == 2


@pytest.mark.parametrize(
    ("percent", "level"), [(None, "none"), (0, "h0"), (49.9, "h0"), (50, "h1"), (99.9, "h5"), (100, "h6"), (500, "h8")]
)
def test_the_heat_map_leaves_room_above_100_percent(percent: float | None, level: str) -> None:
    assert heat_level(percent) == level


def test_names_from_the_data_are_text_and_never_markup() -> None:
    scale = Scale(10, [(0, "0")])
    for markup in (
        bars([Bar(NASTY, [(1, "x")], NASTY, href='?department="', hint=NASTY)], NASTY),
        heat([(NASTY, "?x=<", [Cell(90, NASTY)] * 24)], [NASTY] * 24, NASTY),
        columns([NASTY], [Series("x", [3])], [NASTY], scale),
        lines([NASTY], [Series("x", [3]), Series("y", [None])], [NASTY], scale),
        sankey([Link(NASTY, "b", 1, NASTY)], "rest"),
    ):
        root = drawn(markup)
        assert not list(root.iter("b"))
        assert any(NASTY in (part.text or "") for part in root.iter())


def test_gaps_stay_gaps_in_lines_and_bands() -> None:
    low, high = Series("low", [1, 2, None, 4]), Series("high", [2, 3, None, 6])
    root = drawn(lines(list("abcd"), [low, high], list("abcd"), Scale(10, []), band=True))
    band, first, _ = [path.attrib["d"] for path in root.iter("path")]
    assert first == "M12.50 90.00L37.50 80.00M87.50 60.00"
    assert band.count("M") == band.count("Z") == 2


@pytest.mark.parametrize("highest", [0, 0.3, 1, 3, 7, 12, 99, 100, 101, 1583, 2_000_000])
def test_scales_reach_their_highest_value_in_a_few_round_steps(highest: float) -> None:
    ticks = round_ticks(highest)
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    assert 2 <= len(ticks) <= 6
    if highest >= 4:
        assert all(tick == int(tick) for tick in ticks)


def test_streams_add_up_at_both_ends_and_small_ones_are_drawn_together() -> None:
    large = [Link(f"s{n}", f"t{m}", 100 + n * m, "") for n in range(3) for m in range(3)]
    small = [Link("typo", f"t{n}", 1, "") for n in range(3)] + [Link("s1", "tpyo", 1, "")]
    root = drawn(sankey(large + small, "Others"))
    names = [text.text for text in root.iter("text")]
    assert sorted(names) == ["Others", "Others", "s0", "s1", "s2", "t0", "t1", "t2"]
    nodes = [float(node.attrib["height"]) for node in root.iter("rect")]
    assert sum(nodes[:4]) == pytest.approx(sum(nodes[4:]), abs=1)
    labels = [float(text.attrib["y"]) for text in root.iter("text")][:4]
    assert min(b - a for a, b in itertools.pairwise(labels)) >= 13


def test_charts_have_no_inline_styles_for_the_policy_to_refuse() -> None:
    assert not re.search(r"style=", bars([Bar("a", [(1, "x")], "1")], "label"))
