"""Reading what somebody gave: one regular file, of bounded size, never a wait, and TOML in bounded time.

A pipe or a device in a file's place could hang a command or feed it for ever, and a sparse file claims any size
at no cost; both are refused before a byte is read.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

from custody.errors import InvalidInput

_MOST_DOTS = 64


def open_given(path: Path) -> BinaryIO:
    """Open one regular file; raises `InvalidInput` for a folder, pipe or device, `OSError` where it cannot be opened.

    What the latter means depends on whose file it is.
    """
    # Opening a pipe waits for its other end unless told not to; for a regular file the flag means nothing.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        hint = "give the file itself, not a folder, pipe or device"
        raise InvalidInput(f"{path} cannot be read: it is not a regular file", hint=hint)
    return os.fdopen(descriptor, "rb")


def read_given(path: Path, limit: int) -> bytes:
    """Read one regular file of at most `limit` bytes; raises what `open_given` does, and `InvalidInput` if longer."""
    with open_given(path) as file:
        size = os.fstat(file.fileno()).st_size
        raw = file.read(limit + 1) if size <= limit else b""
    if size > limit or len(raw) > limit:
        raise InvalidInput(f"{path} is {max(size, len(raw))} bytes long; the limit is {limit}")
    return raw


def read_toml(text: str) -> dict[str, Any]:
    """Parse TOML; raises what `tomllib.loads` does.

    Its time grows with the square of a key's parts (`a.a.a.a = 1`), so a line of more than 64 dots is refused: 256 KB
    of them would keep it busy for minutes.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS:
            message = f"more than {_MOST_DOTS} dots stand in one line (at line {number}, column 1)"
            raise tomllib.TOMLDecodeError(message)
    return tomllib.loads(text)
