"""An honest record to change one thing in: made once through the real desk, edited as plain dataclasses.

The gate never looks at signatures (the desk did), so an edited `Evidence` is what a rogue but validly
signed entry would look like to it.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core.decision import Decision, Ruling, Status, Verdict
from custody.core.evidence import Evidence, Record
from custody.core.release import decide
from custody.core.subject import Subject
from custody.testing import undecided_life

Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Papers:
    """All that is on record about one model, and the moment at which it is judged."""

    entries: tuple[Evidence, ...]
    size: int
    roots: dict[int, str]
    model: str
    use_case: str
    at: str
    void: frozenset[int] = frozenset()
    anchors: dict[int, frozenset[str]] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        return Record(self.entries, self.size, "00" * 32, self.roots, self.void, self.anchors)

    def compromised(self, *indexes: int) -> Papers:
        """Let these entries have been signed with a key that was compromised."""
        return replace(self, void=self.void | set(indexes))

    def decide(self) -> Decision:
        return decide(self.record, self.model, self.use_case, self.at)

    @property
    def verdict(self) -> Verdict:
        return self.decide().verdict

    def ruling(self, name: str) -> Ruling:
        """Return the one ruling of that name."""
        (found,) = [ruling for ruling in self.decide().rulings if ruling.id == name]
        return found

    def status(self, name: str) -> Status:
        return self.ruling(name).status

    def of(self, kind: str) -> list[Evidence]:
        return [entry for entry in self.entries if entry.kind == kind]

    def days(self, number: float) -> str:
        """Return the moment so many days after the judgement."""
        return (datetime.fromisoformat(self.at) + timedelta(days=number)).isoformat()

    def later(self, days: float) -> Papers:
        """Judge the same record at another moment."""
        return replace(self, at=self.days(days))

    def edit(self, kind: str, change: Change, *, last: bool = False, check: str = "") -> Papers:
        """Change the predicates of a kind in place (only the newest with `last`, only one check's with `check`)."""
        chosen = [e for e in self.of(kind) if not check or e.predicate["check"] == check]
        assert chosen, f"nothing of {kind} to edit"
        indexes = {entry.index for entry in (chosen[-1:] if last else chosen)}
        return self.with_entries([_changed(e, change) if e.index in indexes else e for e in self.entries])

    def policy(self, **fields: Any) -> Papers:
        """Let the owner's policy, and so the sealed one, say something else."""
        return self.edit(kinds.SEAL, into("policy", **fields)).edit(kinds.USE_CASE, into("policy", **fields))

    def signed(self, kind: str, *, person: str = "", roles: Sequence[str] | None = None) -> Papers:
        """Let somebody else have signed the entries of a kind."""
        return self.with_entries([_by(e, person, roles) if e.kind == kind else e for e in self.entries])

    def drop(self, *wanted: str, check: str = "") -> Papers:
        """Take entries of these kinds out (or one check's results)."""
        kept = [e for e in self.entries if e.kind not in wanted or (check and e.predicate.get("check") != check)]
        assert len(kept) < len(self.entries)
        return self.with_entries(kept)

    def without(self, index: int) -> Papers:
        """Take one entry out."""
        return self.with_entries([entry for entry in self.entries if entry.index != index])

    def add(
        self,
        kind: str,
        predicate: dict[str, Any],
        *,
        person: str,
        roles: Sequence[str] = (),
        about: str = "",
        index: float | None = None,
    ) -> Papers:
        """Add an entry at the end, or at an index."""
        place = self.size if index is None else index
        subject = Subject("added", about or self.model)
        held = frozenset(roles)
        made = Evidence(place, f"{place!r:0>64}", subject, kind, {"at": self.at, **predicate}, person, person, held)  # type: ignore[arg-type]
        entries = sorted([*self.entries, made], key=lambda entry: entry.index)
        return replace(self, entries=tuple(entries), size=self.size + 1)

    def again(self, check: str, change: Change = lambda _: None) -> Papers:
        """Add a second result of a check, changed, before the approvals are given anew."""
        old = next(e for e in self.of(kinds.CHECK_RESULT) if e.predicate["check"] == check)
        body = copy.deepcopy(dict(old.predicate))
        change(body)
        more = self.add(kinds.CHECK_RESULT, body, person=old.person, roles=sorted(old.roles), about=old.subject.sha256)
        return more.approved("ari").approved("cora")

    def approved(self, person: str, verdict: str = "approve", roles: Sequence[str] = ("approver",)) -> Papers:
        said = {"use_case": self.use_case, "verdict": verdict, "reason": "seen"}
        return self.add(kinds.APPROVAL, said, person=person, roles=roles)

    def waived(
        self,
        criterion: str,
        *,
        days: float = 20,
        person: str = "ari",
        roles: Sequence[str] = ("approver",),
        **more: Any,
    ) -> Papers:
        said = {
            "use_case": self.use_case,
            "criterion": criterion,
            "reason": "for now",
            "control": "a person looks",
            "expires": self.days(days),
            **more,
        }
        return self.add(kinds.WAIVER, said, person=person, roles=roles)

    def with_entries(self, entries: Sequence[Evidence]) -> Papers:
        return replace(self, entries=tuple(entries))


def _changed(entry: Evidence, change: Change) -> Evidence:
    body = copy.deepcopy(dict(entry.predicate))
    change(body)
    return replace(entry, predicate=body)


def _by(entry: Evidence, person: str, roles: Sequence[str] | None) -> Evidence:
    held = entry.roles if roles is None else frozenset(roles)
    return replace(entry, person=person or entry.person, actor=person or entry.actor, roles=held)


@cache
def honest() -> Papers:
    """Return the papers of an honest life that a gate answers with GO."""
    with tempfile.TemporaryDirectory() as folder:
        life = undecided_life(Path(folder))
        record = life.record
        return Papers(
            tuple(record.entries), record.size, dict(record.roots), life.model.sha256, life.use_case, life.desk.time()
        )


def measures(value: float | None, low: float | None = None, high: float | None = None, **more: Any) -> Change:
    """Return a change that gives every measure of a result this value and interval."""

    def change(body: dict[str, Any]) -> None:
        for measure in body["measures"]:
            measure.update(value=value, low=value if low is None else low, high=value if high is None else high, **more)

    return change


def put(**fields: Any) -> Change:
    """Return a change that sets fields."""
    return lambda body: body.update(fields)


def into(name: str, **fields: Any) -> Change:
    """Return a change that sets fields of a nested object."""
    return lambda body: body[name].update(fields)
