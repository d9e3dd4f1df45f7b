"""The door for charts: what is more than a drawing is not let into the page."""

from __future__ import annotations

from xml.parsers import expat

from custody.errors import InvalidInput

_TAGS = {"svg", "g", "title", "text", "line", "rect", "circle", "path"}
_ATTRIBUTES = {
    "xmlns", "role", "aria-label", "viewBox", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r",
    "rx", "d", "style", "transform", "text-anchor",
}  # fmt: skip


def drawing(svg: str) -> str:
    """Return the SVG if it is well-formed and made of nothing but strokes, shapes and words.

    No comment, declaration or entity of its own, no link, no script, no handler, no foreign content:
    an HTML parser then reads it exactly as the XML parser here does.
    """
    if "<!" in svg or "<?" in svg:
        raise InvalidInput("a chart may hold no declaration, comment or CDATA")
    outermost: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        outermost.append(tag)
        if tag not in _TAGS or (tag == "svg") != (len(outermost) == 1):
            raise InvalidInput(f"a chart may not hold <{tag}>")
        for name, value in attributes.items():
            if name not in _ATTRIBUTES or (name == "style" and ("url" in value.lower() or "\\" in value)):
                raise InvalidInput(f"a chart may not hold {name}={value[:40]!r}")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    try:
        parser.Parse(svg.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise InvalidInput(f"a chart cannot be read: {error}") from None
    return svg
