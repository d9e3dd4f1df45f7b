"""What a check returns: numbers with intervals, findings, and never a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

At = Mapping[str, str | int | float]
"""Where a measure was taken: `{"by": "sex"}`, `{"features": 2}`; empty for the whole."""

SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True)
class Measure:
    """One number with the interval it is known to, at the sealed confidence.

    `value`, `low` and `high` are in the unit the check documents; `low == value == high` for an
    exact count. `value is None` means that it could not be measured: `reason` says why, and no gate
    accepts it. `n` is the number of rows (or pairs, files, queries) behind it. `needed` is the
    number of rows that would be expected to settle an inconclusive comparison, where known.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    at: At = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def exact(cls, name: str, value: float, n: int, at: At | None = None) -> Measure:
        """Make a measure that has no sampling error, such as a count of findings."""
        return cls(name, float(value), float(value), float(value), n, at or {})

    @classmethod
    def unknown(cls, name: str, reason: str, at: At | None = None, n: int = 0) -> Measure:
        """Make a measure that could not be taken."""
        return cls(name, None, None, None, n, at or {}, reason)

    def settled(self) -> Measure:
        """Return itself, or an unknown measure when a number is missing, NaN, infinite or disordered."""
        numbers = (self.value, self.low, self.high)
        if self.value is None:
            return Measure.unknown(self.name, self.reason or "not measured", self.at, self.n)
        if any(number is None or not math.isfinite(number) for number in numbers):
            return Measure.unknown(self.name, self.reason or "the result is not a finite number", self.at, self.n)
        if self.n <= 0:
            return Measure.unknown(self.name, self.reason or "no rows were measured", self.at, self.n)
        low, high = float(self.low or 0.0), float(self.high or 0.0)
        if not low <= self.value <= high:
            return Measure.unknown(self.name, "the interval does not contain its own estimate", self.at, self.n)
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the form that is signed."""
        sound = self.settled()
        body: dict[str, Any] = {
            "name": sound.name,
            "at": dict(sound.at),
            "value": sound.value,
            "low": sound.low,
            "high": sound.high,
            "n": sound.n,
        }
        if sound.reason:
            body["reason"] = sound.reason
        return body


@dataclass(frozen=True)
class Finding:
    """Something a person should look at: what, where, why it matters, what to do next."""

    severity: str
    what: str
    where: str = ""
    why: str = ""
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the form that is signed."""
        return {
            "severity": self.severity,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Result:
    """Everything one run of a check saw. `details` holds JSON-able series for plots and tables."""

    measures: Sequence[Measure]
    findings: Sequence[Finding] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
