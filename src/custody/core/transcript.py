"""What a run says of its steps, line by line, each chained to the one before.

The run writes into a pipe; a `Recorder` outside of it numbers each line, notes when it came, chains it and
hands it on to be kept. Nothing that was taken can be changed from inside. A kept line is one JSON object:

    {"at":1250,"chain":"<hex>","step":3,"values":{"grad_norm":"1.25","loss":"0.6931471805599453"}}

`at` is milliseconds since the run began, by the clock outside. `chain` is SHA-256 over the chain of the line
before (32 bytes) and this line without `chain` in canonical JSON; before the first line stands SHA-256 of
"custody-transcript/v1", the digest of the start statement and the seed. Numbers are text that reads back
exactly; a digest (64 hex digits) may stand for parameters. Pure: no clock, no file.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custody.core import strictjson
from custody.errors import InvalidInput, Tampered

LINE = 4096
"""Bytes of one line that a run may write: what a pipe takes in one piece."""
MOST_LINES = 200_000
MOST_BYTES = 64 * 1024**2
MOST_FIELDS = 32
MOST_NOTED = 20
WIDEST = 1e-3
"""The largest relative tolerance that may be declared."""

_NUMBER = re.compile(r"-?(\d{1,19}|\d+\.\d+|\d+(\.\d+)?e[+-]\d+|inf)\Z|nan\Z", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_BEFORE = 20
_JUMP = 10.0


@dataclass(frozen=True)
class Tolerance:
    """How far two runs of the same steps may lie apart: nothing, or a relative difference."""

    relative: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """Read "exact" or "relative 1e-06"; raises `InvalidInput` for anything else, and beyond 1e-3."""
        if text == "exact":
            return cls()
        word, _, number = text.partition(" ")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if word != "relative" or not 0 < value <= WIDEST:
            raise InvalidInput(f"the tolerance {text!r} is neither exact nor relative, up to {WIDEST:g}")
        return cls(value)

    def __str__(self) -> str:
        return f"relative {self.relative:g}" if self.relative else "exact"

    def same(self, one: str, other: str) -> bool:
        """Compare two values; a digest can only be compared exactly, so under a tolerance it is not."""
        if one == other:
            return True
        digests = bool(_DIGEST.match(one)) + bool(_DIGEST.match(other))
        if not self.relative or digests:
            return bool(self.relative) and digests == 2
        a, b = float(one), float(other)
        return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= self.relative * max(abs(a), abs(b))


@dataclass(frozen=True)
class Line:
    """One step: its number from 1 on, when it came (milliseconds), and what was said."""

    step: int
    at: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class Transcript:
    """A whole transcript that was kept; `head` is the chain of its last line, `sha256` that of its bytes."""

    lines: Sequence[Line]
    head: str
    sha256: str


class Recorder:
    """Takes what a run writes, and hands each chained line to `keep`.

    `start` is the digest of the start statement, `seed` the run's. With `enough`, nothing more is taken after
    so many steps.
    """

    def __init__(
        self, start: str, seed: int, keep: Callable[[bytes], object] | None = None, enough: int | None = None
    ) -> None:
        self._keep, self._enough = keep, enough
        self._chain = _first(start, seed)
        self._whole = hashlib.sha256()
        self._rest, self._skipping = b"", False
        self._written = 0
        self._recent: dict[str, deque[float]] = {}
        self.steps = 0
        self.dropped = 0
        """Lines that came after the limit of lines or bytes was reached."""
        self._noted: list[str] = []
        self._jumps: set[str] = set()

    @property
    def head(self) -> str:
        """Return the chain of the last line."""
        return self._chain.hex()

    @property
    def sha256(self) -> str:
        """Return the digest of all bytes that were kept."""
        return self._whole.hexdigest()

    @property
    def anomalies(self) -> list[str]:
        """Return what a reader should look at: numbers that are none, sudden jumps, lines that were none."""
        dropped = [f"{self.dropped} lines came after the transcript was full"] if self.dropped else []
        return self._noted + dropped

    @property
    def complete(self) -> bool:
        """Tell whether as many steps came as were wanted."""
        return self._enough is not None and self.steps >= self._enough

    def take(self, piece: bytes, seconds: float) -> bool:
        """Take some bytes that came `seconds` after the beginning; returns whether enough steps have come."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for raw in lines:
            if self.complete:
                break
            if self._skipping:
                self._skipping = False
                continue
            self._line(raw, int(1000 * seconds))
        if len(self._rest) > LINE:
            if not self._skipping:
                self._note(f"a line after step {self.steps} is longer than {LINE} bytes")
            self._rest, self._skipping = b"", True
        return self.complete

    def _line(self, raw: bytes, at: int) -> None:
        if self.steps >= MOST_LINES or self._written >= MOST_BYTES:
            self.dropped += 1
            return
        try:
            values = _values(strictjson.parse_object(raw, max_bytes=LINE, what="a line of the transcript"))
        except InvalidInput as error:
            self._note(f"a line after step {self.steps} was not taken: {error.message}")
            return
        self.steps += 1
        body = {"at": at, "step": self.steps, "values": values}
        self._chain = _next(self._chain, body)
        kept = strictjson.dump({**body, "chain": self._chain.hex()}) + b"\n"
        self._written += len(kept)
        self._whole.update(kept)
        self._look(values)
        if self._keep is not None:
            self._keep(kept)

    def _look(self, values: Mapping[str, str]) -> None:
        """Note numbers that are none, and losses and gradients that leap away from those before."""
        for name, text in values.items():
            if _DIGEST.match(text):
                continue
            number = float(text)
            if not math.isfinite(number):
                self._note_once(name, "non-finite", f"{name} is {text} at step {self.steps}")
                continue
            if "loss" not in name and "grad" not in name:
                continue
            before = self._recent.setdefault(name, deque(maxlen=_BEFORE))
            if len(before) == _BEFORE and number > _JUMP * (usual := _median(before)) > 0:
                self._note_once(
                    name, "jump", f"{name} leaps from about {usual:.3g} to {number:.3g} at step {self.steps}"
                )
            before.append(number)

    def _note_once(self, name: str, what: str, message: str) -> None:
        if (key := f"{name} {what}") not in self._jumps:
            self._jumps.add(key)
            self._note(message)

    def _note(self, message: str) -> None:
        if len(self._noted) < MOST_NOTED:
            self._noted.append(message)


def read_transcript(raw: bytes, start: str, seed: int) -> Transcript:
    """Read a kept transcript; raises `Tampered` naming the first line that does not follow from the one before."""
    chain = _first(start, seed)
    lines: list[Line] = []
    *written, rest = raw.split(b"\n")
    if rest:
        raise Tampered(f"line {len(written) + 1} of the transcript is cut short")
    for number, text in enumerate(written, start=1):
        try:
            found = strictjson.parse_object(text, max_bytes=2 * LINE, what=f"line {number} of the transcript")
            found.pop("chain", "")
            values = _values({"values": found.get("values")})
        except InvalidInput as error:
            raise Tampered(f"line {number} of the transcript was altered: {error.message}") from None
        chain = _next(chain, found)
        whole = set(found) == {"at", "step", "values"} and isinstance(found["at"], int)
        follows = strictjson.dump({**found, "chain": chain.hex()}) == text
        if not whole or not follows or found["step"] != number:
            raise Tampered(f"line {number} of the transcript was altered: it does not follow from the one before")
        lines.append(Line(number, found["at"], values))
    return Transcript(tuple(lines), chain.hex(), hashlib.sha256(raw).hexdigest())


def first_difference(then: Sequence[Line], now: Sequence[Line], steps: int, tolerance: Tolerance) -> tuple[int, str]:
    """Compare the first `steps` steps; returns how many agree, and what differs first ("" when nothing does)."""
    for number in range(steps):
        if number >= len(then):
            return number, f"step {number + 1} is not in the record"
        if number >= len(now):
            return number, f"step {number + 1} did not come this time"
        one, other = then[number].values, now[number].values
        for name in sorted(one.keys() | other.keys()):
            if name not in one or name not in other:
                where = "on record" if name in one else "this time"
                return number, f"step {number + 1}: {name} stands only {where}"
            if not tolerance.same(one[name], other[name]):
                return number, f"step {number + 1}: {name} {one[name][:24]} then, {other[name][:24]} now"
    return steps, ""


def _median(numbers: Iterable[float]) -> float:
    """Return the middle of some numbers; the module `statistics` would cost every command 10 ms."""
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _first(start: str, seed: int) -> bytes:
    return hashlib.sha256(f"custody-transcript/v1\n{start}\n{seed}\n".encode()).digest()


def _next(chain: bytes, body: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(chain + strictjson.dump(body)).digest()


def _values(said: Mapping[str, Any]) -> dict[str, str]:
    """Return what one line says; raises `InvalidInput` for anything but few, short names of numbers and digests."""
    values = said.get("values")
    if not isinstance(values, dict) or set(said) != {"values"} or len(values) > MOST_FIELDS:
        raise InvalidInput(f"it needs values: at most {MOST_FIELDS} numbers by name")
    for name, text in values.items():
        if not name.isidentifier() or len(name) > 64:
            raise InvalidInput(f"{name[:64]!r} is not a usable name")
        if not isinstance(text, str) or len(text) > 64 or not (_NUMBER.match(text) or _DIGEST.match(text)):
            raise InvalidInput(f"{name} is neither a number nor a digest")
    return values
