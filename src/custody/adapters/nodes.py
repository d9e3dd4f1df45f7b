"""The tree's nodes in flat files, one for each level: node `i` of a level lies at byte 32 * i.

A projection of the ledger: it is made from the entries, and checked against the log's signed root by whoever
uses it. The files are written from the lowest level up; what their lengths agree on is complete, and a write
that was cut short is completed by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from custody.errors import Tampered, Unavailable
from custody.ledger.merkle import HASH_BYTES

LEVELS = 48


class NodeFiles:
    """The nodes in one folder, `00` for leaf hashes, `01` for their parents, and so on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, int] = {}

    @property
    def size(self) -> int:
        """Return how many leaves' nodes are complete, as far as the lengths of the files tell."""
        size = self._length(0)
        level = 1
        while size >> level:
            size = min(size, ((self._length(level) + 1) << level) - 1)
            level += 1
        return size

    def node(self, level: int, index: int) -> bytes:
        """Return one node; raises `Tampered` where it is missing."""
        try:
            found = os.pread(self._file(level), HASH_BYTES, index * HASH_BYTES)
        except FileNotFoundError:
            found = b""
        if len(found) != HASH_BYTES:
            raise Tampered(f"node {index} of level {level} is missing", hint="custody ledger rebuild")
        return found

    def extend(self, start: int, leaves: Sequence[bytes]) -> None:
        """Add the leaves from `start` on, and every node they complete.

        Writers of one folder wait for one another; where another was quicker, nothing is added.
        """
        with self._writing():
            if start != self.size:
                return
            new, level = list(leaves), 0
            end = start + len(new)
            sha256 = hashlib.sha256
            while new:
                self._write(level, start, new)
                if start & 1:
                    start -= 1
                    new.insert(0, self.node(level, start))
                pairs = zip(new[::2], new[1::2], strict=False)
                new = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
                start, level = start // 2, level + 1
            for above in range(level, LEVELS):  # longer files are left from a tree that is no more
                if not end >> above and not self._path(above).exists():
                    break
                self._cut(above, end >> above)

    def drop(self) -> None:
        """Forget everything."""
        self.close()
        for path in sorted(self._folder.glob("[0-9][0-9]")):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _path(self, level: int) -> Path:
        return self._folder / f"{level:02}"

    def _length(self, level: int) -> int:
        try:
            found = self._path(level).stat()
        except FileNotFoundError:
            return 0
        if not stat.S_ISREG(found.st_mode):  # a pipe in its place would keep the next reader waiting
            raise Tampered(f"{self._path(level)} is not a file", hint="remove it, then: custody ledger rebuild")
        return found.st_size // HASH_BYTES

    def _file(self, level: int) -> int:
        if level not in self._open:
            self._open[level] = os.open(self._path(level), os.O_RDONLY | os.O_NONBLOCK)
        return self._open[level]

    def _write(self, level: int, start: int, hashes: Sequence[bytes]) -> None:
        """Put hashes at their place and cut off what lies behind: it is of a write that was cut short."""
        descriptor = os.open(self._path(level), os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.seek(start * HASH_BYTES)
            file.write(b"".join(hashes))
            file.truncate()

    def _cut(self, level: int, count: int) -> None:
        path = self._path(level)
        if path.exists() and path.stat().st_size > count * HASH_BYTES:
            if count:
                os.truncate(path, count * HASH_BYTES)
            else:
                path.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable(
                f"cannot write the tree's nodes to {self._folder}: {error.strerror}",
                hint="make that folder writable, then repeat the command",
            ) from None
