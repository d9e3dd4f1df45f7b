"""Charts as SVG text: no script, no network, no colour that speaks alone.

Every function returns one `<svg>` with a title for screen readers. Numbers that are not finite raise
`InvalidInput`; names are escaped, whatever they hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from custody.errors import InvalidInput
from custody.report._draw import (
    GLYPHS,
    circle,
    group,
    line,
    need_finite,
    number,
    path,
    polyline,
    rect,
    short,
    svg,
    text,
    ticks,
)


@dataclass(frozen=True)
class Bar:
    """A named share or number with its interval, and the rows behind it."""

    name: str
    value: float
    low: float
    high: float
    n: int = 0


@dataclass(frozen=True)
class Stop:
    """A station on the time line: its name, a verdict of `GLYPHS` or "" for not reached, and a note."""

    name: str
    status: str = ""
    note: str = ""


@dataclass(frozen=True)
class Node:
    """A thing with ancestors: `status` is a verdict or ""; `kind` is the small word above the name."""

    id: str
    name: str
    kind: str = ""
    status: str = ""


def interval_strip(
    value: float | None,
    low: float | None,
    high: float | None,
    status: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    title: str = "interval and bound",
) -> str:
    """Show one criterion: the allowed side shaded, the bound as a tick, the interval as a bar."""
    width, height, pad, middle = 250.0, 42.0, 12.0, 15.0
    bounds = [bound for bound in (at_least, at_most) if bound is not None]
    word = _verdict(status)
    if value is None or low is None or high is None:
        body = [
            line(pad, middle, width - pad, middle, dashed=True),
            text(width / 2, middle + 20, "not measured", at="middle", size=11),
        ]
        return svg(width, height, title, body, about=word)
    need_finite(value, low, high, *bounds)
    least, most = min([low, *bounds]), max([high, *bounds])
    room = (most - least) * 0.18 or max(abs(most) * 0.1, 0.05)
    start, stop = least - room, most + room
    if start < 0 <= least:
        start = -0.02 * (stop - least)

    def x(number_: float) -> float:
        return pad + (number_ - start) / (stop - start) * (width - 2 * pad)

    left = x(at_least) if at_least is not None else pad
    right = x(at_most) if at_most is not None else width - pad
    body = [
        rect(left, middle - 11, right - left, 22, fill="wash"),
        line(pad, middle, width - pad, middle),
    ]
    for bound in bounds:
        body += [
            line(x(bound), middle - 13, x(bound), middle + 13, paint="ink", width=1.5),
            text(x(bound), middle + 25, f"{bound:g}", at="middle", size=10.5),
        ]
    body += [
        line(x(low), middle, x(high), middle, paint=word, width=5),
        line(x(low), middle - 5, x(low), middle + 5, paint=word, width=1.5),
        line(x(high), middle - 5, x(high), middle + 5, paint=word, width=1.5),
        circle(x(value), middle, 4, fill="paper", edge=word, width=2),
    ]
    about = f"{word}, {number(value)}, interval {number(low)} to {number(high)}"
    return svg(width, height, title, body, about=about)


def group_bars(rows: Sequence[Bar], title: str, *, unit: str = "", span: float = 0.0) -> str:
    """Compare groups: a dot with its interval for each, on one common axis.

    The axis covers at least `span`, so that differences which do not matter do not look as if they did.
    """
    if not rows:
        raise InvalidInput("a chart of groups needs at least one group")
    need_finite(*(item for row in rows for item in (row.value, row.low, row.high)))
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    room = max((high - low) * 0.08, (span - (high - low)) / 2) or 0.05
    low, high = low - room, high + room
    left = 24 + 6.6 * max(len(short(row.name, 26)) for row in rows)
    right, width, step, top = 108.0, 440.0, 30.0, 10.0
    bottom = top + step * len(rows)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    body = []
    for tick in ticks(low, high, 4 if width - left - right > 150 else 2):
        body += [
            line(x(tick), top, x(tick), bottom),
            text(x(tick), bottom + 17, f"{tick:g}", at="middle", size=11),
        ]
    for index, row in enumerate(rows):
        y = top + step * (index + 0.5)
        told = f"{row.name}: {number(row.value)}, interval {number(row.low)} to {number(row.high)}"
        body.append(
            group(
                [
                    text(left - 12, y + 4, short(row.name, 26), at="end", paint="ink", size=12.5),
                    line(x(row.low), y, x(row.high), y, paint="accent", width=3),
                    circle(x(row.value), y, 5, fill="accent", edge="paper"),
                    text(width - right + 10, y + 4, _aligned(row.value), paint="ink", size=12.5, bold=True),
                    text(width - 2, y + 4, f"n {row.n:,}" if row.n else "", at="end", size=11),
                ],
                title=told,
            )
        )
    if unit:
        body.append(text((left + width - right) / 2, bottom + 36, unit, at="middle", size=11.5))
    return svg(width, bottom + (42 if unit else 24), title, body)


def roc_curve(
    points: Sequence[tuple[float, float]],
    title: str,
    *,
    note: str = "",
    log: bool = False,
    across: str = "false-positive rate",
    up: str = "true-positive rate",
) -> str:
    """Draw a ROC curve through (false-positive rate, true-positive rate) points in [0, 1].

    With `log`, both axes run from 0.001 to 1: what counts for membership inference is how many members
    are found at a false-positive rate near zero (Carlini et al. 2022).
    """
    if len(points) < 2:
        raise InvalidInput("a ROC curve needs at least two points")
    need_finite(*(item for point in points for item in point))
    if any(not 0 <= item <= 1 for point in points for item in point):
        raise InvalidInput("a ROC curve lives in the unit square")
    left, top, side, floor = 60.0, 32.0, 270.0, 1e-3

    def scaled(value: float) -> float:
        return 1 + math.log10(max(value, floor)) / 3 if log else value

    def place(x: float, y: float) -> tuple[float, float]:
        return left + scaled(x) * side, top + side - scaled(y) * side

    body = []
    for tick in (0.001, 0.01, 0.1, 1.0) if log else (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(tick, tick)
        body += [
            line(x, top, x, top + side),
            line(left, y, left + side, y),
            text(x, top + side + 17, f"{tick:g}", at="middle", size=11),
            text(left - 8, y + 4, f"{tick:g}", at="end", size=11),
        ]
    curve = [place(x, y) for x, y in sorted(points)]
    corner = place(0.0, 0.0)
    body += [
        line(*corner, *place(1.0, 1.0), paint="quiet", dashed=True),
        path(polyline([corner, *curve, place(1.0, 0.0)]) + "Z", paint="none", fill="accent", fade=0.08),
        path(polyline(curve)),
        text(left + side / 2, top + side + 36, across, at="middle", size=11.5),
    ]
    words = [text(left, 20, note, paint="ink", size=13, bold=True)] if note else []
    words.append(text(left + side - 10, top + side - 12, "dashed: guessing", at="end", size=11))
    return svg(left + side + 20, top + side + 46, title, [*body, *words, _turned(10, top + side / 2, up)], about=note)


def drift_pairs(
    labels: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    title: str,
    *,
    names: tuple[str, str] = ("training", "live"),
    across: str = "",
    up: str = "share of records",
) -> str:
    """Set two histograms side by side, bin for bin; shares from 0 to 1, labels for bins or categories.

    `across` and `up` name the axes.
    """
    if not labels or not len(labels) == len(before) == len(after):
        raise InvalidInput("two histograms need the same bins, and at least one")
    need_finite(*before, *after)
    if min(*before, *after, 0.0) < 0:
        raise InvalidInput("a share cannot be negative")
    left, top, tall, width = 62.0, 34.0, 150.0, 440.0
    most = max(*before, *after, 1e-9) * 1.08
    step = (width - left - 8) / len(labels)
    thick = min(step * 0.38, 26.0)
    bottom = top + tall
    body = []
    for tick in ticks(0.0, most, 4):
        y = bottom - tick / most * tall
        body += [line(left, y, width - 8, y), text(left - 8, y + 4, _percent(tick), at="end", size=11)]
    longest = max(len(short(label, 14)) for label in labels) * 6.2
    leaning = longest > step
    every = max(1, math.ceil(13 / step))
    for index, (label, first, second) in enumerate(zip(labels, before, after, strict=True)):
        middle = left + step * (index + 0.5)
        bars = []
        for share, x, paint in ((first, middle - thick, "accent"), (second, middle, "other")):
            size = share / most * tall
            bars.append(rect(x + 0.5, bottom - size, thick - 1, size, fill=paint, fade=0.9))
        told = f"{label}: {names[0]} {_percent(first)}, {names[1]} {_percent(second)}"
        if index % every == 0:
            bars.append(_label(middle, bottom, short(label, 14), leaning=leaning))
        body.append(group(bars, title=told))
    x = left
    for name, paint in zip(names, ("accent", "other"), strict=True):
        body += [rect(x, 6, 11, 11, fill=paint), text(x + 16, 16, name, paint="ink", size=12)]
        x += 36 + 6.8 * len(name)
    body.append(_turned(10, top + tall / 2, up))
    height = bottom + (14 + 0.62 * longest if leaning else 22)
    if across:
        height += 20
        body.append(text((left + width) / 2, height - 5, across, at="middle", size=11.5))
    return svg(width, height + 2, title, body)


def _label(x: float, y: float, words: str, *, leaning: bool) -> str:
    """Write the name of a bin under it, leaning where it would run into its neighbours."""
    if not leaning:
        return text(x, y + 17, words, at="middle", size=11)
    return f'<g transform="rotate(-38 {x:.1f} {y + 13:.1f})">{text(x + 3, y + 13, words, at="end", size=11)}</g>'


def _turned(x: float, y: float, words: str) -> str:
    """Name a vertical axis."""
    return f'<g transform="rotate(-90 {x:.0f} {y:.0f})">{text(x, y + 4, words, at="middle", size=11.5)}</g>'


def timeline(stops: Sequence[Stop], title: str) -> str:
    """Draw the stages of a life in order; each station carries its verdict as a shape."""
    if not stops:
        raise InvalidInput("a time line needs at least one station")
    step, y = 92.0, 24.0
    width = step * len(stops)
    places = [step * (index + 0.5) for index in range(len(stops))]
    body = [
        line(a + 13, y, b - 13, y, paint="quiet" if stop.status else "hair", width=1.5, dashed=not stop.status)
        for (a, b), stop in zip(pairwise(places), stops[1:], strict=True)
    ]
    for x, stop in zip(places, stops, strict=True):
        word = _verdict(stop.status) if stop.status else ""
        dot = (
            [
                circle(x, y, 12, fill=word),
                text(x, y + 4.5, GLYPHS[word], at="middle", paint="paper", size=13, bold=True),
            ]
            if word
            else [circle(x, y, 11, fill="paper", edge="hair")]
        )
        body.append(
            group(
                [
                    *dot,
                    text(
                        x,
                        y + 33,
                        short(stop.name, 14),
                        at="middle",
                        paint="ink" if word else "quiet",
                        size=12,
                        bold=bool(word),
                    ),
                    text(x, y + 49, short(stop.note, 17), at="middle", size=10.5),
                ],
                title=": ".join(part for part in (stop.name, word or "not reached", stop.note) if part),
            )
        )
    return svg(width, y + 58, title, body)


def share_bars(parts: Sequence[tuple[str, float]], title: str) -> str:
    """Split one bar into named shares of a whole, each written out below; values are at least 0."""
    need_finite(*(value for _, value in parts))
    total = sum(value for _, value in parts)
    if not parts or total <= 0 or min(value for _, value in parts) < 0:
        raise InvalidInput("shares need a positive whole and no negative part")
    width, x = 440.0, 0.0
    body = []
    for index, (name, value) in enumerate(parts):
        size = value / total * width
        shade = 1 - 0.75 * index / max(len(parts) - 1, 1)
        told = f"{name}: {_percent(value / total)}"
        y = 50.0 + 21 * index
        body += [
            group([rect(x, 4, max(size - 1.5, 0.5), 20, fill="accent", fade=shade)], title=told),
            rect(0, y - 10, 11, 11, fill="accent", fade=shade),
            text(19, y, short(name, 44), paint="ink", size=12.5),
            text(width - 70, y, number(value), at="end", size=11.5),
            text(width - 2, y, _percent(value / total), at="end", paint="ink", size=12.5, bold=True),
        ]
        x += size
    return svg(width, 46 + 21 * len(parts), title, body)


def lineage(nodes: Sequence[Node], edges: Sequence[tuple[str, str]], title: str) -> str:
    """Draw what came from what: ancestors left, descendants right. Raises `InvalidInput` for a circle."""
    known = {node.id: node for node in nodes}
    if not known or len(known) != len(nodes):
        raise InvalidInput("a lineage needs nodes, each with an id of its own")
    for pair in edges:
        for end in pair:
            if end not in known:
                raise InvalidInput(f"the lineage has an edge to {end!r}, which is no node")
    depth = _depths(list(known), edges)
    wide, tall, across, down = 158.0, 46.0, 216.0, 62.0
    rows: dict[int, int] = {}

    def seat(layer: int) -> tuple[float, float]:
        row = rows.setdefault(layer, 0)
        rows[layer] = row + 1
        return 4 + layer * across, 4 + row * down

    place = {name: seat(depth[name]) for name in known}
    body = []
    for start, stop in edges:
        # An edge over several layers keeps a seat in each, so that it never runs behind a stranger.
        stations = [place[start], *(seat(layer) for layer in range(depth[start] + 1, depth[stop])), place[stop]]
        x, y = stations[0][0] + wide, stations[0][1] + tall / 2
        curve = f"M{x:.1f} {y:.1f}"
        for x2, y_top in stations[1:]:
            y2, bend = y_top + tall / 2, (x2 - x) / 2
            curve += f"C{x + bend:.1f} {y:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}H{x2 + wide:.1f}"
            x, y = x2 + wide, y2
        end_x, end_y = stations[-1][0], stations[-1][1] + tall / 2
        body += [
            path(curve.rpartition("H")[0], paint="quiet", width=1.2),
            circle(end_x - 2, end_y, 2.5, fill="quiet"),
        ]
    for name, (x, y) in place.items():
        node = known[name]
        word = _verdict(node.status) if node.status else ""
        parts = [
            rect(x, y, wide, tall, fill="paper", edge=word or "hair", round_=6),
            text(x + 11, y + 18, short(node.kind, 22), size=10.5),
            text(x + 11, y + 35, short(node.name, 18), paint="ink", size=12.5, bold=True),
        ]
        if word:
            parts.append(text(x + wide - 10, y + 19, f"{GLYPHS[word]} {word}", at="end", paint=word, size=10.5))
        body.append(group(parts, title=" ".join(part for part in (node.kind, node.name, word) if part)))
    width = 8 + max(depth.values()) * across + wide
    return svg(width, 8 + (max(rows.values()) - 1) * down + tall, title, body)


def _depths(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> Mapping[str, int]:
    """Return the length of the longest path to each node."""
    depth = dict.fromkeys(names, 0)
    for _ in range(len(depth)):
        moved = False
        for start, stop in edges:
            if depth[stop] <= depth[start]:
                depth[stop] = depth[start] + 1
                moved = True
        if not moved:
            return depth
    raise InvalidInput("the lineage runs in a circle: a thing cannot descend from itself")


def _aligned(value: float) -> str:
    """Write a share with three decimals, so that a column of them can be compared."""
    return f"{round(value, 3) + 0.0:.3f}" if abs(value) < 10 else number(value)


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _verdict(status: str) -> str:
    """Return the verdict as it is written, `not_met` and `not met` alike; unknown words are refused."""
    word = status.replace("_", " ").lower()
    if word not in GLYPHS:
        raise InvalidInput(f"{status!r} is no verdict; known are {', '.join(GLYPHS)}")
    return word
