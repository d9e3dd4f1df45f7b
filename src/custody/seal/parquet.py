"""Where in a Parquet file does each row group lie? Its footer read with the standard library only.

Apache Parquet format 2.x: the file ends in a Thrift compact structure (`FileMetaData`), its length in
four bytes and the magic `PAR1`. Only the byte ranges and row counts are read; no value is decoded.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Any

MAGIC = b"PAR1"
_MOST_FOOTER_BYTES = 64 * 1024 * 1024
_DEEPEST = 24


class NotParquet(ValueError):
    """The footer cannot be read; the file is then treated as plain bytes."""


@dataclass(frozen=True)
class RowGroup:
    """One row group: its number of rows and the byte ranges (start, end) of its columns, ascending."""

    rows: int
    ranges: tuple[tuple[int, int], ...]


def row_groups(descriptor: int, size: int) -> list[RowGroup]:
    """Read the row groups of the open file of `size` bytes; raises `NotParquet` for anything unsound."""
    if size < 12 or os.pread(descriptor, 4, 0) != MAGIC:
        raise NotParquet("no magic")
    tail = os.pread(descriptor, 8, size - 8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length > min(size - 12, _MOST_FOOTER_BYTES):
        raise NotParquet("no footer")
    footer = _Compact(os.pread(descriptor, length, size - 8 - length)).struct()
    end_of_data = size - 8 - length
    groups = []
    for group in _list(footer.get(4, [])):
        ranges = sorted(_range(column, end_of_data) for column in _list(group.get(1)))
        groups.append(RowGroup(_count(group.get(3)), tuple(_joined(ranges))))
    every = sorted(span for group in groups for span in group.ranges)
    if any(before[1] > after[0] for before, after in itertools.pairwise(every)):
        raise NotParquet("row groups overlap")
    return groups


def _range(column: Any, end_of_data: int) -> tuple[int, int]:
    """Return the bytes of one column chunk: from its dictionary page, if it has one, to its last page."""
    if 1 in column:
        raise NotParquet("a column lies in another file")
    meta = column.get(3)
    if not isinstance(meta, dict):
        raise NotParquet("a column without place")
    start = _count(meta.get(9))
    dictionary = meta.get(11)
    if isinstance(dictionary, int) and 0 < dictionary < start:
        start = dictionary
    end = start + _count(meta.get(7))
    if not 4 <= start <= end <= end_of_data:
        raise NotParquet("a column outside the file")
    return start, end


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise NotParquet("a list is missing")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise NotParquet("a number is missing")
    return value


class _Compact:
    """The Thrift compact protocol, reading only; fields come back by their number."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Read fields until the stop byte."""
        if depth > _DEEPEST:
            raise NotParquet("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            step, kind = header >> 4, header & 0x0F
            number = number + step if step else self._zigzag()
            # In a field, the two booleans are values of their own.
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._take(8)
        if kind == 8:
            return self._take(self._varint())
        if kind in (9, 10):
            header = self._byte()
            count = header >> 4 if header >> 4 != 15 else self._varint()
            # Each element takes a byte at least, so a forged count ends with the footer.
            return [self._value(header & 0x0F, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth + 1)
        if kind == 11:
            return self._map(depth)
        raise NotParquet(f"unknown type {kind}")

    def _map(self, depth: int) -> list[tuple[Any, Any]]:
        count = self._varint()
        if not count:
            return []
        kinds = self._byte()
        return [(self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1)) for _ in range(count)]

    def _byte(self) -> int:
        try:
            value = self._raw[self._at]
        except IndexError:
            raise NotParquet("the footer is cut off") from None
        self._at += 1
        return value

    def _take(self, count: int) -> bytes:
        if count > len(self._raw) - self._at:
            raise NotParquet("the footer is cut off")
        self._at += count
        return self._raw[self._at - count : self._at]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise NotParquet("a number longer than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
