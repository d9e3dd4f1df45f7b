"""The few strokes that every chart is made of: escaped text, lines and shapes as SVG.

Colours are CSS variables with a fallback, so that a chart follows the page it stands in (light, dark,
print) and still reads when it stands alone. Nothing here can emit a script, a link or a style sheet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

from custody.errors import InvalidInput

PAINT = {
    "ink": "var(--ink,#1c2430)",
    "quiet": "var(--quiet,#5d6878)",
    "hair": "var(--hair,#d9dee6)",
    "wash": "var(--wash,#eef1f6)",
    "paper": "var(--paper,#ffffff)",
    "accent": "var(--accent,#2f5fa8)",
    "other": "var(--other,#b36b00)",
    "met": "var(--met,#1b7a4b)",
    "not met": "var(--not-met,#b42318)",
    "inconclusive": "var(--inconclusive,#946200)",
    "unknown": "var(--unknown,#6a5a8c)",
    "waived": "var(--waived,#946200)",
    "none": "none",
}
GLYPHS = {"met": "\u2713", "not met": "\u2715", "inconclusive": "\u2248", "unknown": "?", "waived": "!"}
"""A shape for each verdict: colour never speaks alone."""

# What XML cannot hold, and what would reverse or hide the text around it.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(value: object) -> str:
    """Return text that is safe between tags and inside quoted attributes, in HTML and in SVG."""
    return escape(_UNPRINTABLE.sub("\ufffd", str(value)), quote=True)


def need_finite(*values: float) -> None:
    """Raise `InvalidInput` for NaN and infinities: a chart must not draw what nobody measured."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidInput(f"a chart cannot show {value!r}")


def number(value: float) -> str:
    """Write a number as people read it: three digits that matter, no exponent in the usual range."""
    need_finite(value)
    if value == 0:
        return "0"
    if 0.001 <= abs(value) < 1:
        return f"{value:.3f}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def short(text: object, width: int) -> str:
    """Cut text to `width` characters, with an ellipsis where something is missing."""
    whole = str(text)
    return whole if len(whole) <= width else whole[: max(width - 1, 1)] + "\u2026"


def svg(width: float, height: float, title: str, body: Sequence[str], *, about: str = "") -> str:
    """Frame a drawing: it scales with its column and tells screen readers what it shows."""
    told = clean(title) + (f": {clean(about)}" if about else "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{told}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}">'
        f"<title>{told}</title>{''.join(body)}</svg>"
    )


def text(
    x: float,
    y: float,
    words: object,
    *,
    at: str = "start",
    paint: str = "quiet",
    size: float = 12,
    bold: bool = False,
) -> str:
    """Write words with their baseline at y; `at` is start, middle or end."""
    weight = ";font-weight:600" if bold else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{at}" '
        f'style="fill:{PAINT[paint]};font-size:{_n(size)}px;font-variant-numeric:tabular-nums{weight}">{clean(words)}</text>'
    )


def line(
    x1: float, y1: float, x2: float, y2: float, *, paint: str = "hair", width: float = 1, dashed: bool = False
) -> str:
    """Draw a straight line."""
    dash = ";stroke-dasharray:3 3" if dashed else ""
    return (
        f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" '
        f'style="stroke:{PAINT[paint]};stroke-width:{_n(width)}{dash}"/>'
    )


def rect(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    fill: str = "wash",
    edge: str = "none",
    round_: float = 0,
    fade: float = 1,
) -> str:
    """Draw a box; `fade` is its opacity."""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(max(height, 0))}" rx="{_n(round_)}" '
        f'style="fill:{PAINT[fill]};stroke:{PAINT[edge]};opacity:{_n(fade)}"/>'
    )


def circle(x: float, y: float, radius: float, *, fill: str = "accent", edge: str = "none", width: float = 1.5) -> str:
    """Draw a dot or a ring."""
    return (
        f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" '
        f'style="fill:{PAINT[fill]};stroke:{PAINT[edge]};stroke-width:{_n(width)}"/>'
    )


def path(points: str, *, paint: str = "accent", width: float = 2, fill: str = "none", fade: float = 1) -> str:
    """Draw a path from its SVG commands."""
    return (
        f'<path d="{points}" style="fill:{PAINT[fill]};stroke:{PAINT[paint]};stroke-width:{_n(width)};'
        f'stroke-linejoin:round;stroke-linecap:round;opacity:{_n(fade)}"/>'
    )


def polyline(points: Sequence[tuple[float, float]]) -> str:
    """Return the SVG commands that join points by straight lines."""
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def group(parts: Sequence[str], *, title: str = "") -> str:
    """Keep parts together, under a tooltip that is also read aloud."""
    told = f"<title>{clean(title)}</title>" if title else ""
    return f"<g>{told}{''.join(parts)}</g>"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, about `wanted` of them."""
    need_finite(low, high)
    if not high > low:
        return [low]
    rough = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * index, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _n(value: float) -> str:
    """Write a coordinate with at most two decimals."""
    need_finite(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"
