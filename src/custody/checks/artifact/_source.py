"""Bytes that can be read at any place: a file, a slice of it, a piece of memory, a compressed stream.

Nothing is ever written to disk. A file is opened once, without following a link, and all readers
share that descriptor, so what is inspected cannot be exchanged half-way.
"""

from __future__ import annotations

import bz2
import lzma
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

CHUNK = 256 * 1024
KEPT = 64 * 1024**2
"""Decompressed streams up to this size are held in memory; larger ones are decompressed again when re-read."""


class Source(Protocol):
    """Random access to bytes."""

    @property
    def size(self) -> int:
        """Return the length in bytes."""

    def read(self, start: int, count: int) -> bytes:
        """Return up to `count` bytes from `start`; fewer only at the end."""


class Memory:
    """Bytes already held."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, start: int, count: int) -> bytes:
        """Return a piece of the bytes."""
        return self._data[start : start + count]


class Slice:
    """A stretch of another source; it never reaches beyond its own end."""

    def __init__(self, inner: Source, start: int, size: int) -> None:
        self._inner = inner
        self._start = start
        self.size = max(0, min(size, inner.size - start))

    def read(self, start: int, count: int) -> bytes:
        """Return a piece of the stretch."""
        count = min(count, self.size - start)
        return self._inner.read(self._start + start, count) if count > 0 else b""


class File:
    """A regular file; links, devices and pipes are refused with `OSError`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise OSError("not a regular file")
        self.size = status.st_size

    def read(self, start: int, count: int) -> bytes:
        """Read with `pread`; a short answer from the system is completed."""
        pieces = []
        while count > 0:
            piece = os.pread(self._fd, min(count, 1 << 30), start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
            count -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


CODECS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zlib": zlib.decompressobj,
    "deflate": lambda: zlib.decompressobj(wbits=-15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 * 1024**2),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=256 * 1024**2),
}
"""How a decompressor of each kind is made."""

BROKEN = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
"""What decompressors raise on bytes that break their format."""


class Unpacking:
    """One pass over a compressed stream, in bounded pieces.

    After the pass `used` says how many input bytes the stream took (all members of a gzip, bzip2 or
    xz file that holds several) and `complete` whether its end was reached.
    """

    def __init__(self, inner: Source, codec: str) -> None:
        self._inner = inner
        self._codec = codec
        self._engine = CODECS[codec]()
        self._read = 0
        self._pending = b""
        self.used = 0
        self.complete = False

    def piece(self) -> bytes:
        """Return the next piece (at most `CHUNK` bytes), or nothing at the end or at the end of the input."""
        while True:
            if self._engine.eof and not self._next_member():
                self.complete = True
                return b""
            ended = False
            if not self._pending and getattr(self._engine, "needs_input", True):
                self._pending = self._inner.read(self._read, CHUNK)
                self._read += len(self._pending)
                self.used = self._read
                ended = not self._pending
            data: bytes = self._engine.decompress(self._pending, CHUNK)
            self._pending = getattr(self._engine, "unconsumed_tail", b"")
            if data:
                return data
            if ended and not self._engine.eof:
                return b""

    def _next_member(self) -> bool:
        rest: bytes = self._engine.unused_data
        self.used = self._read - len(rest)
        if self._codec not in ("gzip", "bzip2", "xz"):
            return False
        magic = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}[self._codec]
        if len(rest) < len(magic):
            more = self._inner.read(self._read, len(magic))
            self._read += len(more)
            rest += more
        if not rest.startswith(magic):
            return False
        self._engine = CODECS[self._codec]()
        self._pending = rest
        return True


class Unpacked:
    """The content of a compressed stream too large to hold: forward reads flow, backward reads start over."""

    def __init__(self, inner: Source, codec: str, size: int, spend: Callable[[int], None]) -> None:
        self._inner = inner
        self._codec = codec
        self._spend = spend
        self.size = size
        self._restart()

    def _restart(self) -> None:
        self._flow = Unpacking(self._inner, self._codec)
        self._start = 0
        self._window = b""

    def read(self, start: int, count: int) -> bytes:
        """Return a piece, decompressing up to it."""
        if start < self._start:
            self._restart()
        end = self._start + len(self._window)
        pieces = [self._window]
        while end < start + count:
            try:
                piece = self._flow.piece()
            except BROKEN:
                break  # reported by whoever went through the stream first
            if not piece:
                break
            self._spend(len(piece))
            if end <= start - CHUNK:
                pieces, self._start = [], end
            pieces.append(piece)
            end += len(piece)
        self._window = b"".join(pieces)
        offset = start - self._start
        found = self._window[offset : offset + count]
        keep = max(0, min(len(self._window), offset + count) - 2 * CHUNK)
        self._window = self._window[keep:]
        self._start += keep
        return found
