"""Watching, from outside, whether a run opens its data, and what it writes before it does.

The kernel tells of every opening of a file, in whatever namespace it happens (inotify(7)). The run reads private
copies that nobody else opens, so who opened them is no question. A model that is written before the first byte
of data was looked at was not trained on them.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_CLOSE_WRITE, _OPEN, _MOVED_TO = 0x8, 0x20, 0x80
_OVERFLOW, _IS_FOLDER = 0x4000, 0x40000000
_FOLDERS = 4096
"""Folders of inputs that are watched at most; with more, nothing is said."""


@dataclass(frozen=True)
class Seen:
    """Whether an input was opened (None: not known), and the files of the output last written before that."""

    opened: bool | None
    early: tuple[str, ...] = ()


class Eye:
    """Watches `inputs` (files or folders) and the first level of `output` while it is open."""

    def __init__(self, inputs: Sequence[Path], output: Path) -> None:
        self._handle = -1
        self._output = -1
        folders = [Path(place) for path in inputs if path.is_dir() for place, _, _ in os.walk(path)]
        watched = [*(path for path in inputs if path.is_file()), *folders]
        if watched and len(watched) <= _FOLDERS:
            self._watch(watched, output)

    def _watch(self, watched: Sequence[Path], output: Path) -> None:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        handle = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if handle < 0:
            return
        numbers = [library.inotify_add_watch(handle, os.fsencode(path), _OPEN) for path in watched]
        self._output = library.inotify_add_watch(handle, os.fsencode(output), _CLOSE_WRITE | _MOVED_TO)
        if min(*numbers, self._output) < 0:
            os.close(handle)
            return
        self._handle = handle

    def __enter__(self) -> Eye:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def seen(self) -> Seen:
        """Return what has happened so far; asked once, when the run has ended."""
        if self._handle < 0:
            return Seen(None)
        raw = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._handle, 1024**2):
                raw += piece
        early: dict[str, None] = {}
        opened, place = False, 0
        while place < len(raw):
            watch, mask, _, length = struct.unpack_from("iIII", raw, place)
            name = os.fsdecode(raw[place + 16 : place + 16 + length].rstrip(b"\0"))
            place += 16 + length
            if mask & _OVERFLOW:
                return Seen(None)
            if watch != self._output:
                opened |= bool(mask & _OPEN and not mask & _IS_FOLDER)
            elif opened:
                early.pop(name, None)  # written once more, with the data at hand
            else:
                early[name] = None
        return Seen(opened, tuple(early))
