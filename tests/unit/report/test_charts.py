"""Charts show what was measured, refuse what was not, and never become programs."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.errors import InvalidInput
from custody.report import charts
from custody.report._draw import number, ticks
from custody.report.charts import Bar, Node, Stop

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\"' onload=x & \x00\u202e"

DRAWINGS: dict[str, Callable[[str], str]] = {
    "interval_strip": lambda name: charts.interval_strip(0.9, 0.88, 0.92, "met", at_least=0.8, title=name),
    "not measured": lambda name: charts.interval_strip(None, None, None, "unknown", at_least=0.8, title=name),
    "group_bars": lambda name: charts.group_bars([Bar(name, 0.5, 0.4, 0.6, 10)], name, unit=name),
    "roc_curve": lambda name: charts.roc_curve([(0, 0), (0.1, 0.8), (1, 1)], name, note=name, across=name, up=name),
    "log roc": lambda name: charts.roc_curve([(0, 0), (0.001, 0.01), (1, 1)], name, log=True),
    "drift_pairs": lambda name: charts.drift_pairs([name, "b"], [0.4, 0.6], [0.7, 0.3], name, names=(name, name)),
    "timeline": lambda name: charts.timeline([Stop(name, "met", name), Stop(name)], name),
    "share_bars": lambda name: charts.share_bars([(name, 3), ("b", 1)], name),
    "lineage": lambda name: charts.lineage([Node("a", name, name, "not_met"), Node("b", name)], [("a", "b")], name),
}


def words(drawing: str) -> list[str]:
    return [item.text or "" for item in ET.fromstring(drawing).iter(f"{SVG}text")]


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
@pytest.mark.parametrize("name", ["plain", HOSTILE, "", "x" * 500])
def test_every_chart_is_well_formed_named_and_free_of_programs(draw: Callable[[str], str], name: str) -> None:
    root = ET.fromstring(draw(name))
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title") is not None
    tags = {item.tag.removeprefix(SVG) for item in root.iter()}
    assert tags <= {"svg", "title", "g", "text", "line", "rect", "circle", "path"}
    attributes = {key for item in root.iter() for key in item.attrib}
    assert not [key for key in attributes if key.startswith("on") or "href" in key]


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_no_chart_writes_nan_or_leaves_its_frame(draw: Callable[[str], str]) -> None:
    drawing = draw("plain")
    assert "nan" not in drawing.lower()
    assert "inf" not in drawing.lower()
    root = ET.fromstring(drawing)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for item in root.iter():
        for keys, most in ((("x", "x1", "x2", "cx"), width), (("y", "y1", "y2", "cy"), height)):
            for key in keys:
                if key in item.attrib:
                    assert -0.01 <= float(item.attrib[key]) <= most + 0.01, (item.tag, key)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), True])
def test_what_nobody_measured_is_not_drawn(odd: float) -> None:
    for draw in (
        lambda: charts.interval_strip(odd, 0.1, 0.2, "met", at_most=0.3),
        lambda: charts.interval_strip(0.1, 0.1, 0.2, "met", at_most=odd),
        lambda: charts.group_bars([Bar("a", odd, 0, 1)], "t"),
        lambda: charts.roc_curve([(0, 0), (odd, odd)], "t"),
        lambda: charts.drift_pairs(["a"], [odd], [0.1], "t"),
        lambda: charts.share_bars([("a", odd)], "t"),
        lambda: number(odd),
    ):
        with pytest.raises(InvalidInput, match="cannot show"):
            draw()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: charts.group_bars([], "t"),
        lambda: charts.roc_curve([(0, 0)], "t"),
        lambda: charts.roc_curve([(0, 0), (1.5, 1)], "t"),
        lambda: charts.drift_pairs(["a"], [0.1, 0.2], [0.1], "t"),
        lambda: charts.drift_pairs(["a"], [-0.1], [0.1], "t"),
        lambda: charts.timeline([], "t"),
        lambda: charts.share_bars([("a", 0)], "t"),
        lambda: charts.share_bars([("a", 2), ("b", -1)], "t"),
        lambda: charts.lineage([], [], "t"),
        lambda: charts.lineage([Node("a", "a"), Node("a", "b")], [], "t"),
        lambda: charts.lineage([Node("a", "a")], [("a", "b")], "t"),
        lambda: charts.lineage([Node("a", "a"), Node("b", "b")], [("a", "b"), ("b", "a")], "t"),
        lambda: charts.interval_strip(0.5, 0.4, 0.6, "splendid", at_most=0.3),
        lambda: charts.timeline([Stop("a", "GO")], "t"),
    ],
)
def test_a_chart_that_would_say_nothing_or_lie_is_refused(draw: Callable[[], str]) -> None:
    with pytest.raises(InvalidInput):
        draw()


@given(
    st.tuples(*[st.floats(-1e6, 1e6)] * 3).map(sorted),
    st.floats(-1e6, 1e6),
    st.booleans(),
)
def test_the_interval_stands_where_the_numbers_say(ends: list[float], bound: float, at_most: bool) -> None:
    """The estimate is drawn inside its interval, and on the allowed side exactly when it is allowed."""
    low, value, high = ends
    side = {"at_most": bound} if at_most else {"at_least": bound}
    root = ET.fromstring(charts.interval_strip(value, low, high, "met", **side))
    lines = [item for item in root.iter(f"{SVG}line") if "stroke-width:5" in item.get("style", "")]
    x1, x2 = float(lines[0].get("x1", "")), float(lines[0].get("x2", ""))
    dot = float(root.find(f"{SVG}circle").get("cx", ""))  # type: ignore[union-attr]
    assert x1 <= dot + 0.02
    assert dot <= x2 + 0.02
    shade = root.find(f"{SVG}rect")
    assert shade is not None
    start = float(shade.get("x", ""))
    stop = start + float(shade.get("width", ""))
    allowed = value <= bound if at_most else value >= bound
    inside = start - 0.02 <= dot <= stop + 0.02
    assert inside or not allowed
    if abs(value - bound) > 0.01 * (abs(high - low) + abs(value - bound) + abs(high - bound) + abs(low - bound)):
        assert inside == allowed


@pytest.mark.parametrize("status", ["met", "not_met", "not met", "inconclusive", "unknown", "waived"])
def test_a_verdict_is_told_by_word_and_shape_not_by_colour_alone(status: str) -> None:
    word = status.replace("_", " ")
    drawing = charts.timeline([Stop("release", status)], "life")
    assert charts.GLYPHS[word] in words(drawing)
    assert f"release: {word}" in drawing
    assert word in (ET.fromstring(charts.interval_strip(0.5, 0.4, 0.6, status, at_most=0.3)).get("aria-label") or "")


def test_an_unmeasured_criterion_shows_no_interval() -> None:
    drawing = charts.interval_strip(None, None, None, "unknown", at_least=0.5)
    assert words(drawing) == ["not measured"]
    assert "<circle" not in drawing


def test_longer_bars_stand_for_larger_shares() -> None:
    drawing = charts.drift_pairs(["a", "b"], [0.2, 0.8], [0.5, 0.5], "t")
    heights = [float(found) for found in re.findall(r'<g><title>[^<]*</title><rect[^>]* height="([\d.]+)"', drawing)]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.05)


def test_every_bin_is_named_and_both_axes_are() -> None:
    names = [f"a long category {index}" for index in range(12)]
    shares = [1 / 12] * 12
    found = words(charts.drift_pairs(names, shares, shares, "t", across="category", up="share of rows"))
    assert {"category", "share of rows"} <= set(found)
    assert sum(word.startswith("a long catego") for word in found) == 12


def test_a_share_that_rounds_to_nothing_has_no_sign() -> None:
    found = words(charts.group_bars([Bar("a", -0.0001, -0.1, 0.1)], "t"))
    assert "0.000" in found
    assert "-0.000" not in found


def test_a_long_edge_of_a_lineage_keeps_its_own_lane() -> None:
    nodes = [Node(name, name) for name in "abc"]
    drawing = ET.fromstring(charts.lineage(nodes, [("a", "b"), ("b", "c"), ("a", "c")], "t"))
    single = ET.fromstring(charts.lineage(nodes, [("a", "b"), ("b", "c")], "t"))
    assert float(drawing.get("height", "")) > float(single.get("height", ""))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.9, "0.900"),
        (0.9348, "0.935"),
        (0.85, "0.850"),
        (0.0005, "0.0005"),
        (12.345, "12.3"),
        (35253, "35,253"),
        (-0.5, "-0.500"),
    ],
)
def test_numbers_read_well(value: float, shown: str) -> None:
    assert number(value) == shown


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_lie_in_their_range_in_order(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert found == sorted(found)
    assert len(found) <= 12
    assert all(low - width * 1e-6 - 1e-6 <= tick <= low + width * (1 + 1e-6) + 1e-6 for tick in found)
