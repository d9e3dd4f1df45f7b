"""The state of one scan: what was seen so far, and how much may still be spent.

Every reader of a format writes here. Three outcomes exist for a part of a file: it was read and is
inert (nothing is written), it is dangerous (`critical`, `warn`), or it could not be read (`unread`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from custody.checks.artifact._source import Source
from custody.core.measure import Finding

KEPT_FINDINGS = 500
"""Findings beyond this are counted but not kept in words."""


class Malformed(Exception):
    """The bytes break their own format. A loader may act on what comes before the break."""


class Exhausted(Exception):
    """A limit on size, depth, opcodes or time was reached; the rest stays unread."""


@dataclass(frozen=True)
class Limits:
    """How much one file may cost. Reaching a limit is reported, never waited for."""

    seconds: float = 120.0
    opcodes: int = 100_000_000
    depth: int = 8
    members: int = 200_000
    unpacked_bytes: int = 16 * 1024**3
    ratio: int = 200
    """Expansion above which a compressed stream is called a bomb, once it passes `bomb_bytes`."""
    bomb_bytes: int = 128 * 1024**2
    whole_bytes: int = 64 * 1024**2
    """Texts and JSON are read whole up to this size; larger ones stay unread."""


@dataclass
class Survey:
    """One file under inspection. `look` is how a container hands its members back to the front door."""

    look: Callable[[Survey, Source, str, int], str]
    limits: Limits = field(default_factory=Limits)
    findings: list[Finding] = field(default_factory=list)
    critical_count: int = 0
    warning_count: int = 0
    unread_parts: list[tuple[str, str]] = field(default_factory=list)
    """(where, why) of everything that was not interpreted."""
    opcodes: int = 0
    members: int = 0
    unpacked: int = 0
    started: float = field(default_factory=time.monotonic)
    _seen: set[tuple[str, str, str]] = field(default_factory=set)

    def critical(self, where: str, what: str, why: str = "", fix: str = "") -> None:
        """Write down something that must not be loaded."""
        self._add("critical", where, what, why, fix or "Do not load this file; ask its author for a safe format.")

    def warn(self, where: str, what: str, why: str = "", fix: str = "") -> None:
        """Write down something a person should look at."""
        self._add("warning", where, what, why, fix)

    def unread(self, where: str, why: str) -> None:
        """Write down that a part was not interpreted: it counts as unknown, never as clean."""
        if len(self.unread_parts) < KEPT_FINDINGS:
            self.unread_parts.append((where, why))

    def _add(self, severity: str, where: str, what: str, why: str, fix: str) -> None:
        key = (severity, where.split(" @", 1)[0], what)
        if key in self._seen:
            return
        if len(self._seen) < 100_000:
            self._seen.add(key)
        if severity == "critical":
            self.critical_count += 1
        else:
            self.warning_count += 1
        if len(self.findings) < KEPT_FINDINGS:
            self.findings.append(Finding(severity, what[:500], where[:500], why[:500], fix))

    def tick(self) -> None:
        """Raise `Exhausted` once the time for this file is used up."""
        if time.monotonic() - self.started > self.limits.seconds:
            raise Exhausted(f"more than {self.limits.seconds:g} seconds of reading")

    def spend_opcodes(self, count: int) -> None:
        """Account for interpreted opcodes."""
        self.opcodes += count
        if self.opcodes > self.limits.opcodes:
            raise Exhausted(f"more than {self.limits.opcodes} pickle opcodes")
        self.tick()

    def spend_member(self) -> None:
        """Account for one member of a container."""
        self.members += 1
        if self.members > self.limits.members:
            raise Exhausted(f"more than {self.limits.members} members in containers")
        if not self.members % 64:
            self.tick()

    def spend_unpacked(self, count: int) -> None:
        """Account for bytes that came out of a decompressor."""
        self.unpacked += count
        if self.unpacked > self.limits.unpacked_bytes:
            raise Exhausted(f"more than {self.limits.unpacked_bytes} bytes after decompression")
        self.tick()


def escapes(name: str) -> bool:
    """Return whether a member's name would be written outside the folder it is extracted to."""
    return (
        name.startswith(("/", "\\", "~"))
        or "\0" in name
        or ".." in re.split(r"[/\\]", name)
        or re.match(r"[A-Za-z]:", name) is not None
    )
