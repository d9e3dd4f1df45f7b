"""The answer of a gate: GO, NO-GO or INCONCLUSIVE, with a reason for each ruling."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from custody.core import strictjson


class Status(StrEnum):
    """How one criterion or rule stands. Only met and waived let a model pass."""

    MET = "met"
    WAIVED = "waived"
    INCONCLUSIVE = "inconclusive"
    UNKNOWN = "unknown"
    NOT_MET = "not_met"


class Verdict(StrEnum):
    """The answer; anything but GO keeps the model out of production."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """Return the documented exit code."""
        return {Verdict.GO: 0, Verdict.NO_GO: 1, Verdict.INCONCLUSIVE: 3}[self]


@dataclass(frozen=True)
class Ruling:
    """One criterion or rule, its status, why, and the ledger entries it rests on."""

    id: str
    status: Status
    reason: str
    entries: tuple[int, ...] = ()
    answer: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the form that is signed."""
        body: dict[str, Any] = {
            "id": self.id,
            "status": str(self.status),
            "reason": self.reason,
            "entries": list(self.entries),
        }
        if self.answer:
            body["answer"] = dict(self.answer)
        return body


@dataclass(frozen=True)
class Decision:
    """A pure function of gate and record. Recomputed by whoever doubts it."""

    model: str
    use_case: str
    seal: str
    size: int
    root: str
    at: str
    assurance: str
    """"separated" when different persons played the parts, "solo" when one person did."""
    rulings: Sequence[Ruling]
    expires: str = ""
    """The earliest end of anything this decision leans on (waivers, accepted risks); may be empty."""
    account: Mapping[str, Any] = field(default_factory=dict)
    """Who signed and dissented, what was waived, tried and is unknown: `core.account`. Read off the record."""

    @property
    def verdict(self) -> Verdict:
        """Return GO only when there are rulings and all of them are met or waived."""
        statuses = {ruling.status for ruling in self.rulings}
        if Status.NOT_MET in statuses:
            return Verdict.NO_GO
        if statuses and statuses <= {Status.MET, Status.WAIVED}:
            return Verdict.GO
        return Verdict.INCONCLUSIVE

    @property
    def outcome(self) -> str:
        """Return the sha256 over what was decided and on what: equal for equal judgements."""
        body = {
            "model": self.model,
            "seal": self.seal,
            "size": self.size,
            "root": self.root,
            "at": self.at,
            "verdict": str(self.verdict),
            "assurance": self.assurance,
            "expires": self.expires,
            "rulings": [[ruling.id, str(ruling.status), list(ruling.entries)] for ruling in self.rulings],
        }
        return hashlib.sha256(strictjson.dump(body)).hexdigest()

    def to_predicate(self) -> dict[str, Any]:
        """Return the predicate of a gate-decision statement."""
        body = {
            "use_case": self.use_case,
            "verdict": str(self.verdict),
            "rulings": [ruling.to_json() for ruling in self.rulings],
            "outcome": self.outcome,
            "seal": self.seal,
            "size": self.size,
            "root": self.root,
            "at": self.at,
            "assurance": self.assurance,
            "expires": self.expires,
        }
        return {**body, "account": dict(self.account)} if self.account else body

    def failing(self) -> list[Ruling]:
        """Return the rulings that keep the model out, worst first."""
        order = [Status.NOT_MET, Status.UNKNOWN, Status.INCONCLUSIVE]
        return sorted((r for r in self.rulings if r.status in order), key=lambda r: order.index(r.status))
