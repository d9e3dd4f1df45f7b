"""Which rows were changed? Digests of blocks of rows, so that tampering is located and not only noticed.

Text files are cut at line ends, Parquet files by row group (the bytes of its column chunks) and all
others by bytes. A row is a line: row 0 of a CSV file is its header. How long blocks are follows from
the size of the file and is recorded in each block; the manifest's sha256 remains the authority.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from custody.errors import InvalidInput, Tampered
from custody.seal.digest import FileDigest, Manifest
from custody.seal.files import LIMITS, Limits, Odd, Source, sources
from custody.seal.parquet import NotParquet, RowGroup, row_groups

UNITS = ("rows", "row_group", "bytes", "rest")

_FEWEST_ROWS, _MOST_ROWS, _BLOCKS_OF_ROWS = 256, 64 * 1024, 64
_SMALL_BYTES, _BYTES_OF_SMALL, _BYTES_OF_LARGE = 8 * 1024 * 1024, 64 * 1024, 8 * 1024 * 1024
_WINDOW = 16 * 1024


@dataclass(frozen=True)
class Block:
    """A stretch of one file: `count` rows or bytes from `first` on, with their sha256.

    `unit` is `rows` (lines), `row_group` (of Parquet; `first` and `count` are still rows), `bytes`, or
    `rest` (what lies outside the row groups: schema and statistics; `count` in bytes).
    """

    file: str
    unit: str
    first: int
    count: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return {
            "file": self.file,
            "unit": self.unit,
            "first": self.first,
            "count": self.count,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: Any) -> Block:
        """Read `to_json` back; raises `InvalidInput` for another shape."""
        try:
            block = cls(value["file"], value["unit"], value["first"], value["count"], value["sha256"])
        except (TypeError, KeyError):
            raise InvalidInput("a block needs file, unit, first, count and sha256") from None
        numbers = type(block.first) is int and type(block.count) is int and min(block.first, block.count) >= 0
        if not numbers or block.unit not in UNITS or not isinstance(block.file, str):
            raise InvalidInput(f"this is not a block: {value!r}")
        return block


def digest_dataset(path: Path, *, limits: Limits = LIMITS) -> tuple[Manifest, list[Block]]:
    """Digest a file or folder and its blocks in one read; refuses what `walk` refuses."""
    files: list[FileDigest] = []
    blocks: list[Block] = []
    for source in sources(path, limits):
        file, its_blocks = _digest(source, ())
        files.append(file)
        blocks += its_blocks
    if not files:
        raise InvalidInput(f"{path} holds no files", hint="an empty folder has no digest")
    return Manifest(tuple(files)), blocks


def locate(recorded: Sequence[Block], path: Path, *, limits: Limits = LIMITS) -> list[str]:
    """Say in sentences where `path` differs from the recorded blocks; nothing differs: an empty list.

    Where rows came or went, the blocks after them are found again by counting from the end of the file.
    """
    by_file = {name: list(group) for name, group in itertools.groupby(recorded, key=lambda block: block.file)}
    sentences: list[str] = []
    found: set[str] = set()
    try:
        for source in sources(path, limits):
            found.add(source.path)
            old = by_file.get(source.path)
            if old is None:
                sentences.append(f"{source.path} was added")
            else:
                sentences += _differences(old, source)
    except Odd as odd:
        raise Tampered(f"{path} is not what was recorded: {odd.message}") from None
    return sentences + [f"{name} is missing" for name in by_file if name not in found]


class _Splitter(Protocol):
    """Cuts the stream of one file into blocks."""

    def feed(self, piece: memoryview) -> None: ...

    def close(self, file: str) -> list[Block]: ...


class _Cutting:
    """A row of blocks in the making: each as long as `sizes` says, counted in rows or bytes."""

    def __init__(self, unit: str, sizes: Iterator[int]) -> None:
        self._unit, self._sizes = unit, sizes
        self._done: list[tuple[int, int, str]] = []
        self._digest = hashlib.sha256()
        self._first = self.count = 0
        self.size = next(sizes)

    def add(self, data: memoryview | bytes, count: int) -> None:
        self._digest.update(data)
        self.count += count

    def cut(self) -> None:
        self._done.append((self._first, self.count, self._digest.hexdigest()))
        self._first += self.count
        self.count = 0
        self.size = next(self._sizes)
        self._digest = hashlib.sha256()

    def close(self, file: str) -> list[Block]:
        if self.count or not self._done:
            self.cut()
        return [Block(file, self._unit, *done) for done in self._done]


class _Bytes(_Cutting):
    """Blocks of so many bytes."""

    def __init__(self, sizes: Iterator[int]) -> None:
        super().__init__("bytes", sizes)

    def feed(self, piece: memoryview) -> None:
        while piece:
            part = piece[: self.size - self.count]
            self.add(part, len(part))
            piece = piece[len(part) :]
            if self.count == self.size:
                self.cut()


class _Rows(_Cutting):
    """Blocks of so many lines; a last line without an end counts as one."""

    def __init__(self, sizes: Iterator[int]) -> None:
        super().__init__("rows", sizes)
        self._open = False

    def feed(self, piece: memoryview) -> None:
        data = bytes(piece)
        at = 0
        while at < len(data):
            end, lines = _after_lines(data, at, self.size - self.count)
            self.add(piece[at:end], lines)
            at = end
            self._open = data[end - 1] != 0x0A
            if self.count == self.size:
                self.cut()

    def close(self, file: str) -> list[Block]:
        self.count += self._open
        return super().close(file)


class _RowGroups:
    """One block per row group of Parquet, and one for all that lies outside them."""

    def __init__(self, groups: Sequence[RowGroup], size: int) -> None:
        self._groups = groups
        self._digests = [hashlib.sha256() for _ in range(len(groups) + 1)]
        spans = sorted((start, end, index) for index, group in enumerate(groups) for start, end in group.ranges)
        self._plan: list[tuple[int, int]] = []
        self._rest = at = 0
        for start, end, index in [*spans, (size, size, len(groups))]:
            self._plan += [(start, len(groups)), (end, index)]
            self._rest += start - at
            at = end
        self._at = self._step = 0

    def feed(self, piece: memoryview) -> None:
        while piece:
            while self._plan[self._step][0] <= self._at:
                self._step += 1
            end, index = self._plan[self._step]
            part = piece[: end - self._at]
            self._digests[index].update(part)
            self._at += len(part)
            piece = piece[len(part) :]

    def close(self, file: str) -> list[Block]:
        firsts = itertools.accumulate((group.rows for group in self._groups), initial=0)
        blocks = [
            Block(file, "row_group", first, group.rows, digest.hexdigest())
            for first, group, digest in zip(firsts, self._groups, self._digests, strict=False)
        ]
        return [*blocks, Block(file, "rest", 0, self._rest, self._digests[-1].hexdigest())]


def _digest(source: Source, old: Sequence[Block]) -> tuple[FileDigest, list[Block]]:
    """Read one file once for both digests; blocks are cut as `old` were, where there are any."""
    whole = hashlib.sha256()
    splitter: _Splitter | None = None
    for piece in source.pieces():
        splitter = splitter or _splitter(source, bytes(piece), old)
        whole.update(piece)
        splitter.feed(piece)
    splitter = splitter or _Bytes(itertools.repeat(1))
    return FileDigest(source.path, source.size, whole.hexdigest()), splitter.close(source.path)


def _splitter(source: Source, head: bytes, old: Sequence[Block]) -> _Splitter:
    unit = old[0].unit if old else ""
    if unit in ("", "row_group", "rest"):
        with suppress(NotParquet, OSError):
            return _RowGroups(row_groups(source.descriptor, source.size), source.size)
    recorded = [block.count for block in old if block.count] if unit in ("rows", "bytes") else []
    lines = head.count(b"\n")
    if unit == "rows" or (not unit and lines and b"\0" not in head):
        rows = max(lines, 1) * source.size / len(head)
        # About 64 blocks where that makes 256 to 64 Ki rows each, and none far beyond 8 MiB.
        usual = 1 << (int(rows / _BLOCKS_OF_ROWS) - 1).bit_length() if rows > _BLOCKS_OF_ROWS else 1
        usual = min(max(usual, _FEWEST_ROWS), _MOST_ROWS, max(1, int(_BYTES_OF_LARGE * rows / source.size)))
        return _Rows(itertools.chain(recorded, itertools.repeat(usual)))
    usual = _BYTES_OF_SMALL if source.size < _SMALL_BYTES else _BYTES_OF_LARGE
    return _Bytes(itertools.chain(recorded, itertools.repeat(usual)))


def _after_lines(data: bytes, at: int, wanted: int) -> tuple[int, int]:
    """Return where the `wanted`-th line from `at` ends, or the end of the data, and the lines passed."""
    passed = 0
    while at < len(data):
        window = min(at + _WINDOW, len(data))
        lines = data.count(b"\n", at, window)
        if passed + lines >= wanted:
            for _ in range(wanted - passed):
                at = data.index(b"\n", at) + 1
            return at, wanted
        passed += lines
        at = window
    return at, passed


def _differences(old: list[Block], source: Source) -> list[str]:
    new = _digest(source, old)[1]
    unit = old[0].unit
    if [block.sha256 for block in old] == [block.sha256 for block in new]:
        return []
    if unit in ("row_group", "rest"):
        return _in_parquet(old, new)
    grown = _total(new) - _total(old)
    if not grown:
        return [
            f"{old[0].file} {unit} {_span(run)} changed"
            for run in _runs([a for a, b in zip(old, new, strict=False) if a.sha256 != b.sha256])
        ] or [f"{old[0].file} changed"]
    return [_shifted(old, new, grown, source)]


def _shifted(old: list[Block], new: list[Block], grown: int, source: Source) -> str:
    """Say where rows or bytes came or went: between what is the same from the start and from the end."""
    file, unit = old[0].file, old[0].unit
    one = unit.removesuffix("s")
    same = _alike(zip(old, new, strict=False))
    words = f"{abs(grown)} {unit if abs(grown) > 1 else one} {'added' if grown > 0 else 'removed'}"
    if same == len(old):
        return f"{file}: {words} at the end ({unit} {_total(old)}-{_total(new) - 1})"
    tail = _same_from_the_end(old, same, grown, source)
    if tail or same == len(old) - 1:
        return f"{file} {unit} {_span(old[same : len(old) - tail])} changed: {words}"
    return f"{file} changed from {one} {old[same].first} on: {words}"


def _same_from_the_end(old: list[Block], same: int, grown: int, source: Source) -> int:
    """Count the last blocks that are still there, moved by `grown`: one more read, cut from the end."""
    fits = next((k for k in range(same, len(old)) if sum(b.count for b in old[same : k + 1]) + grown >= 0), None)
    if fits is None:
        return 0
    gap = sum(block.count for block in old[same : fits + 1]) + grown
    sizes = [
        *(block.count for block in old[:same]),
        *([gap] if gap else []),
        *(b.count for b in old[fits + 1 :]),
    ]
    cuts = [Block(source.path, old[0].unit, 0, size, "") for size in sizes]
    new = _digest(source, cuts)[1]
    return _alike(zip(reversed(old[fits + 1 :]), reversed(new), strict=False))


def _in_parquet(old: list[Block], new: list[Block]) -> list[str]:
    file = old[0].file
    if new[0].unit not in ("row_group", "rest"):
        return [f"{file} can no longer be read as Parquet"]
    before, after = old[:-1], new[:-1]
    changed = [index for index, (a, b) in enumerate(zip(before, after, strict=False)) if a.sha256 != b.sha256]
    sentences = [
        f"row group {index} of {file} (rows {_span([before[index]])}) changed"
        + (f"; it now has {after[index].count} rows" if after[index].count != before[index].count else "")
        for index in changed
    ]
    if len(before) != len(after):
        sentences.append(f"{file} has {len(after)} row groups instead of {len(before)}")
    if _total(before) != _total(after):
        sentences.append(f"{file} has {_total(after)} rows instead of {_total(before)}")
    return sentences or [f"the schema or statistics of {file} changed; its row groups did not"]


def _alike(pairs: Iterable[tuple[Block, Block]]) -> int:
    """Count the pairs before the first that differs."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0].sha256 == pair[1].sha256, pairs))


def _total(blocks: Iterable[Block]) -> int:
    return sum(block.count for block in blocks)


def _span(run: Sequence[Block]) -> str:
    return f"{run[0].first}-{max(run[-1].first + run[-1].count - 1, run[0].first)}"


def _runs(blocks: Iterable[Block]) -> list[list[Block]]:
    """Join neighbours."""
    runs: list[list[Block]] = []
    for block in blocks:
        if runs and runs[-1][-1].first + runs[-1][-1].count == block.first:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs
