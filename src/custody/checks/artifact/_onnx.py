"""ONNX models, read as protobuf on the wire (onnx.proto3): external data, custom operators, functions.

Weights are stepped over. What can harm: a tensor whose data lives in another file that the path leads to, and
operators of a custom domain, which need a native library from the model's author.
"""

from __future__ import annotations

from collections.abc import Iterator

from custody.checks.artifact._source import Source
from custody.checks.artifact._survey import Malformed, Survey, escapes

_DOMAINS = (
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
)
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}

Field = tuple[int, int, int, int]
"""(number, wire type, offset of the value or the value itself, length)."""


def _varint(source: Source, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for byte in source.read(at, min(10, end - at)):
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("a number does not end")


def _fields(source: Source, at: int, end: int) -> Iterator[Field]:
    while at < end:
        key, at = _varint(source, at, end)
        number, wire = key >> 3, key & 7
        if not number:
            raise Malformed("field 0 does not exist")
        if wire == 0:
            value, at = _varint(source, at, end)
            yield number, wire, value, 0
        elif wire == 2:
            length, at = _varint(source, at, end)
            if at + length > end:
                raise Malformed("a field reaches beyond its message")
            yield number, wire, at, length
            at += length
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
            yield number, wire, at, width
            at += width
        else:
            raise Malformed(f"wire type {wire} is not used")


def looks_like(source: Source) -> bool:
    """Return whether the top level is that of an ONNX model: a version, a graph, nothing foreign."""
    if source.read(0, 1) != b"\x08":
        return False
    found = set()
    try:
        for count, (number, wire, value, length) in enumerate(_fields(source, 0, source.size)):
            if number not in _MODEL_FIELDS or count > 10_000 or (number == 1 and (wire != 0 or value > 100)):
                return False
            if number in (7, 8) and (wire != 2 or not length):
                return False
            found.add(number)
    except Malformed:
        return {1, 7} <= found
    return {1, 7} <= found


def read_onnx(survey: Survey, source: Source, where: str, _depth: int) -> None:
    """Walk the graph, its subgraphs and functions."""
    graphs: list[tuple[str, int, int]] = []
    own: set[str] = set()
    for number, wire, at, length in _fields(source, 0, source.size):
        if wire == 2 and number in (7, 25):
            graphs.append(("graph" if number == 7 else "function", at, length))
        if wire == 2 and number == 25:
            own |= {_text(source, a, n) for f, w, a, n in _fields(source, at, at + length) if f == 10 and w == 2}
    while graphs:
        survey.spend_member()
        kind, at, length = graphs.pop()
        for number, wire, start, size in _fields(source, at, at + length):
            if wire != 2:
                continue
            if number == (1 if kind == "graph" else 7):
                survey.spend_member()
                graphs.extend(_node(survey, source, where, start, size, own))
            elif kind == "graph" and number == 5:
                _tensor(survey, source, where, start, size)
            elif kind == "graph" and number == 15:
                for inner, inner_wire, a, n in _fields(source, start, start + size):
                    if inner_wire == 2 and inner in (1, 2):
                        _tensor(survey, source, where, a, n)
        if len(graphs) > survey.limits.members:
            raise Malformed("graphs are nested without end")


def _node(
    survey: Survey, source: Source, where: str, at: int, length: int, own: set[str]
) -> Iterator[tuple[str, int, int]]:
    operator = domain = ""
    for number, wire, start, size in _fields(source, at, at + length):
        if wire != 2:
            continue
        if number == 4:
            operator = _text(source, start, size)
        elif number == 7:
            domain = _text(source, start, size)
        elif number == 5:
            for inner, inner_wire, a, n in _fields(source, start, start + size):
                if inner_wire == 2 and inner in (6, 11):
                    yield ("graph", a, n)
                elif inner_wire == 2 and inner in (5, 10):
                    _tensor(survey, source, where, a, n)
    if domain not in _DOMAINS and domain not in own:
        survey.warn(
            where,
            f"operator {operator!r} of the custom domain {domain!r}",
            "It needs a native library that runs in the loading process.",
        )
    if domain in _DOMAINS and operator in ("PyOp", "PythonOp"):
        survey.critical(where, f"operator {operator!r} runs Python", "The model names a module and a class to call.")


def _tensor(survey: Survey, source: Source, where: str, at: int, length: int) -> None:
    for number, wire, start, size in _fields(source, at, at + length):
        if number != 13 or wire != 2:
            continue
        parts = {f: _text(source, a, n) for f, w, a, n in _fields(source, start, start + size) if w == 2}
        if parts.get(1) == "location":
            location = parts.get(2, "")
            if escapes(location) or not location:
                survey.critical(where, f"external data at {location!r}", "The path leads outside the model's folder.")


def _text(source: Source, at: int, length: int) -> str:
    return source.read(at, min(length, 4096)).decode("utf-8", "replace")
