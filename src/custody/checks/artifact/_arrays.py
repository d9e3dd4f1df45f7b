"""numpy `.npy` files (format versions 1 to 3) and GGUF: a described header, then raw numbers."""

from __future__ import annotations

import ast
import re
from typing import Any

from custody.checks.artifact._pickle import Reading
from custody.checks.artifact._source import Slice, Source
from custody.checks.artifact._survey import Malformed, Survey
from custody.checks.artifact._text import judge_template

_HEADER = re.compile(r"[\w\s'\"(),\[\]{}:<>|=+?.\-]*\Z")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORD = re.compile(r"[^\W\d]")
_KIND = re.compile(r"[<>|=]?([biufcSUVmMO?a])(\d*)(\[[\w]+\])?\Z")
_MAX_HEADER = 65536


def read_npy(survey: Survey, source: Source, where: str, depth: int) -> None:
    """Follow every array of the file; arrays of objects are pickles."""
    at = 0
    while at < source.size:
        survey.spend_member()
        if source.read(at, 6) != b"\x93NUMPY":
            rest = Slice(source, at, source.size - at)
            survey.warn(where, f"{rest.size} bytes follow the array", "numpy ignores them; another reader may not.")
            survey.look(survey, rest, f"{where} > after the array", depth + 1)
            return
        at = _array(survey, source, where, depth, at)


def _array(survey: Survey, source: Source, where: str, depth: int, at: int) -> int:
    major = source.read(at + 6, 1)
    if major not in (b"\x01", b"\x02", b"\x03"):
        raise Malformed("the format version does not exist")
    width = 2 if major == b"\x01" else 4
    length = int.from_bytes(source.read(at + 8, width), "little")
    if length > _MAX_HEADER:
        raise Malformed(f"the header announces {length} bytes")
    text = source.read(at + 8 + width, length).decode("utf-8", "replace")
    start = at + 8 + width + length
    header = _parse(text)
    shape = header["shape"]
    count = 1
    for number in shape:
        count *= number
    size, objects = _size(header["descr"])
    if objects:
        reading = Reading(survey, source, where, start=start, depth=depth, joblib=False)
        try:
            reading.follow()
        finally:
            reading.publish()
        return reading.at
    if start + count * size > source.size:
        raise Malformed(f"the header announces {count * size} bytes of numbers, more than the file holds")
    return start + count * size


def _parse(text: str) -> dict[str, Any]:
    outside_quotes = _QUOTED.sub("", text)
    if not _HEADER.match(text) or _WORD.search(outside_quotes.replace("True", "").replace("False", "")):
        raise Malformed("the header is not a plain description")
    try:
        header = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError, Warning):
        raise Malformed("the header cannot be read") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise Malformed("the header does not hold descr, fortran_order and shape")
    shape = header["shape"]
    if (
        not isinstance(shape, tuple)
        or not all(type(number) is int and 0 <= number < 1 << 48 for number in shape)
        or len(shape) > 64
    ):
        raise Malformed("the shape is not a tuple of lengths")
    return header


def _size(descr: Any) -> tuple[int, bool]:
    """Return (bytes per element, whether it holds objects)."""
    if isinstance(descr, str):
        match = _KIND.match(descr)
        if match is None:
            raise Malformed(f"the data type {descr[:40]!r} is unknown")
        letter, digits = match[1], match[2]
        if letter == "O":
            return 8, True
        return int(digits or 1) * (4 if letter == "U" else 1), False
    if isinstance(descr, tuple) and len(descr) == 2:
        size, objects = _size(descr[0])
        return size * _product(descr[1]), objects
    if isinstance(descr, list):
        total, objects = 0, False
        for field in descr:
            if not isinstance(field, tuple) or len(field) not in (2, 3):
                raise Malformed("a field of the data type is not described by name and type")
            size, inner = _size(field[1])
            total += size * (_product(field[2]) if len(field) == 3 else 1)
            objects |= inner
        return total, objects
    raise Malformed("the data type is not described")


def _product(shape: Any) -> int:
    lengths = shape if isinstance(shape, tuple) else (shape,)
    total = 1
    for length in lengths:
        if type(length) is not int or not 0 <= length < 1 << 32:
            raise Malformed("a field of the data type has no proper shape")
        total *= length
    return total


# -- GGUF ----------------------------------------------------------------------------------------

_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9


class _Cursor:
    """Reads little-endian numbers and texts one after the other, in pieces of 64 KiB."""

    def __init__(self, source: Source, at: int) -> None:
        self._source = source
        self._base = at
        self._buffer = b""
        self._i = 0

    @property
    def at(self) -> int:
        return self._base + self._i

    def take(self, count: int) -> bytes:
        if self._i + count > len(self._buffer):
            self._base += self._i
            self._buffer, self._i = self._source.read(self._base, max(count, 65536)), 0
            if len(self._buffer) < count:
                raise Malformed("the header ends in the middle")
        self._i += count
        return self._buffer[self._i - count : self._i]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def text(self, limit: int = 16 * 1024**2) -> str:
        length = self.number(8)
        if length > limit or length > self._source.size:
            raise Malformed(f"a text announces {length} bytes")
        return self.take(length).decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        self._base, self._buffer, self._i = self.at + count, b"", 0
        if self._base > self._source.size:
            raise Malformed("a value reaches beyond the file")


def read_gguf(survey: Survey, source: Source, where: str, _depth: int) -> None:
    """Read the metadata of GGUF version 2 or 3; chat templates are judged, weights are not read."""
    cursor = _Cursor(source, 4)
    version = cursor.number(4)
    if version not in (2, 3):
        survey.unread(where, f"GGUF version {version} is not read")
        return
    tensors, pairs = cursor.number(8), cursor.number(8)
    if tensors > 1_000_000 or pairs > 1_000_000:
        raise Malformed(f"{tensors} tensors and {pairs} entries are announced")
    seen: set[str] = set()
    for _ in range(pairs):
        survey.spend_member()
        key = cursor.text(65536)
        if key in seen:
            raise Malformed(f"entry {key[:60]!r} appears twice")
        seen.add(key)
        _gguf_value(survey, cursor, f"{where} > {key[:80]}", cursor.number(4), 0)
    for _ in range(tensors):
        survey.spend_member()
        cursor.text(65536)
        dimensions = cursor.number(4)
        if dimensions > 8:
            raise Malformed(f"a tensor has {dimensions} dimensions")
        cursor.take(8 * dimensions + 4)
        if cursor.number(8) > source.size:
            raise Malformed("a tensor begins beyond the file")


def _gguf_value(survey: Survey, cursor: _Cursor, where: str, kind: int, depth: int) -> None:
    if kind in _WIDTHS:
        cursor.take(_WIDTHS[kind])
    elif kind == _TEXT:
        judge_template(survey, cursor.text(), where)
    elif kind == _ARRAY and depth < 4:
        inner, count = cursor.number(4), cursor.number(8)
        if inner in _WIDTHS:
            cursor.skip(_WIDTHS[inner] * count)
            return
        for index in range(count):
            if not index % 4096:
                survey.tick()
            _gguf_value(survey, cursor, where, inner, depth + 1)
    else:
        raise Malformed(f"value type {kind} does not exist")
