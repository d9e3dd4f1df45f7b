"""What a training script may ask of its sealed run: the batch order, and a transcript of its steps.

    import custody_run

    for epoch in custody_run.steps(range(20)):
        rows = custody_run.order(len(data), epoch)
        ...
        custody_run.log(loss=loss, grad_norm=norm)

Inside `custody run` this module is there without being installed; it needs the standard library alone. The
order follows from the checkpoint that the run was started from, so nobody could know it before the criteria
were sealed. What is logged goes through a pipe to Custody, outside of the run, which numbers it, chains it
and keeps it: the script cannot take it back. A spot check repeats the first steps and compares.

Outside of a sealed run nothing is recorded, and a note on standard error says so once; the order is then that
of the key 00...0, so that a script behaves alike while it is written.
"""

# ruff: noqa: PTH116 - pathlib would cost every run its import

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = ["digest", "log", "order", "sealed", "steps"]

LINE = 4096
"""Bytes of one line at most: what a pipe takes in one piece, whoever else writes (POSIX PIPE_BUF)."""


class _State:
    pipe: int | None = None
    asked = False
    step: dict[str, str] | None = None


def sealed() -> bool:
    """Tell whether this is a sealed run, whose steps are recorded."""
    return _pipe() is not None


def steps(items: Iterable[_T]) -> Iterator[_T]:
    """Go through `items`, one step of training each; what is logged meanwhile becomes one line.

    Steps do not nest: inside of another `steps` only the outer one counts.
    """
    if _State.step is not None:
        yield from items
        return
    try:
        for item in items:
            _State.step = {}
            yield item
            _write(_State.step)
        _State.step = None
    finally:
        if _State.step:
            _write(_State.step)
        _State.step = None


def log(**values: Any) -> None:
    """Log numbers, or digests made by `digest`, by name; outside of `steps` each call is a step of its own.

    Numbers are recorded exactly, NaN and infinities too. At most 32 names per step. Raises `TypeError` for
    anything else, `ValueError` for more than one line holds.
    """
    said = {name: _text(name, value) for name, value in values.items()}
    if _State.step is not None:
        _State.step.update(said)
    else:
        _write(said)


def order(rows: int, epoch: int = 0) -> Any:
    """Return the order in which to go through `rows` rows in `epoch`: a permutation of 0 ... rows - 1.

    A numpy array of int64 where numpy is installed, else a list; the numbers are the same on every machine.
    """
    if not 0 <= rows < 2**31 or not 0 <= epoch < 2**63:
        raise ValueError("rows must be between 0 and 2^31 - 1, epoch between 0 and 2^63 - 1")
    key = os.environ.get("CUSTODY_ORDER", "")
    if not key:
        _note()
    stream = hashlib.shake_256(bytes.fromhex(key or "0" * 64) + struct.pack(">QQ", epoch, rows)).digest(8 * rows)
    try:
        import numpy as np
    except ImportError:
        tags = struct.unpack(f">{rows}Q", stream)
        return sorted(range(rows), key=tags.__getitem__)
    return np.argsort(np.frombuffer(stream, dtype=">u8").astype(np.uint64), kind="stable").astype(np.int64)


def digest(*arrays: Any) -> str:
    """Return the sha256 of some parameters, to be logged: numpy arrays, torch tensors or bytes, in this order."""
    whole = hashlib.sha256()
    for given in arrays:
        array = given.detach().cpu().numpy() if hasattr(given, "detach") else given
        raw = array.tobytes() if hasattr(array, "tobytes") else bytes(array)
        kind = f"{getattr(array, 'dtype', 'bytes')} {getattr(array, 'shape', (len(raw),))}\n"
        whole.update(kind.encode())
        whole.update(raw)
    return whole.hexdigest()


def _text(name: str, value: Any) -> str:
    """Write a number so that reading it gives the same number again."""
    if isinstance(value, str):
        if len(value) == 64 and not value.strip("0123456789abcdef"):
            return value
        raise TypeError(f"{name} is text; only numbers and digests can be logged")
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is a {type(value).__name__}; only numbers and digests can be logged")
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int):
        if abs(value) >= 10**18:
            raise ValueError(f"{name} is too large a whole number to be logged")
        return str(value)
    number = float(value)
    if math.isnan(number):
        return "nan"
    return repr(number)


def _write(values: dict[str, str]) -> None:
    pipe = _pipe()
    if pipe is None:
        _note()
        return
    if len(values) > 32:
        raise ValueError("at most 32 names can be logged in one step")
    line = json.dumps({"values": values}, separators=(",", ":")).encode() + b"\n"
    if len(line) > LINE:
        raise ValueError(f"one step's line is {len(line)} bytes long; at most {LINE} are kept")
    os.write(pipe, line)


def _pipe() -> int | None:
    """Open the pipe once; None outside of a sealed run."""
    if not _State.asked:
        _State.asked = True
        path = os.environ.get("CUSTODY_TRANSCRIPT", "")
        if path and stat.S_ISFIFO(os.stat(path).st_mode):
            _State.pipe = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    return _State.pipe


_noted = False


def _note() -> None:
    global _noted  # noqa: PLW0603 - said once per process
    if not _noted:
        _noted = True
        sys.stderr.write("custody_run: this is not a sealed run; nothing is recorded (custody run -- python ...)\n")
