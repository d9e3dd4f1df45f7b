"""Waivers: which count, which do not and why, and whether there are too many."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from custody.core import predicates as kinds
from custody.core.decision import Ruling, Status
from custody.core.evidence import Evidence, Record
from custody.core.gate import Criterion, whole
from custody.core.moments import expired, too_long


@dataclass(frozen=True)
class Waivers:
    """The waivers of a model that count at some moment, by the id of what they waive."""

    counting: Mapping[str, Evidence] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    """By entry: why a waiver on record does not count."""
    ruling: Ruling | None = None
    """The ruling against them when there are more than the policy allows."""

    @property
    def expiries(self) -> list[str]:
        """Return when those that count end."""
        return [str(entry.predicate["expires"]) for entry in self.counting.values()]

    def applied(self, ruling: Ruling, record: Record, model: str) -> Ruling:
        """Return the ruling on one criterion, waived where a waiver counts, with a word on one that does not."""
        if ruling.status not in (Status.NOT_MET, Status.INCONCLUSIVE):
            return ruling
        waiver = self.counting.get(ruling.id)
        if waiver is not None:
            reason = f"waived until {waiver.predicate['expires']} by {waiver.person}: {ruling.reason}"
            entries = tuple(sorted({*ruling.entries, waiver.index}))
            return Ruling(ruling.id, Status.WAIVED, reason, entries, ruling.answer)
        asked = [e for e in record.about(model, kinds.WAIVER) if e.predicate["criterion"] == ruling.id]
        if not asked:
            return ruling
        why = self.refused.get(asked[-1].index, "there are too many")
        reason = f"{ruling.reason}; the waiver in entry {asked[-1].index} does not count: {why}"
        return Ruling(ruling.id, ruling.status, reason, ruling.entries, ruling.answer)


def judge_waivers(
    record: Record,
    policy: Mapping[str, Any],
    model: str,
    use_case: str,
    at: str,
    criteria: Sequence[Criterion],
    makers: Collection[str],
) -> Waivers:
    """Hold each waiver against the sealed policy; the newest of each criterion counts."""
    never = policy.get("never_waive", [])
    waivable = {c.id for c in criteria if c.waivable and isinstance(never, list) and c.klass not in never}
    makers = () if policy.get("solo") else makers
    days = whole(policy.get("waiver_days"))
    found: dict[str, Evidence] = {}
    refused: dict[int, str] = {}
    for entry in record.about(model, kinds.WAIVER):
        if why := _why_not(entry, use_case, waivable, makers, at, days):
            refused[entry.index] = why
            continue
        criterion = str(entry.predicate["criterion"])
        if criterion in found:
            refused[found[criterion].index] = f"entry {entry.index} took its place"
        found[criterion] = entry
    most = whole(policy.get("max_waivers")) or 0
    if len(found) > most:
        entries = tuple(sorted(entry.index for entry in found.values()))
        reason = f"{len(found)} waivers; the policy allows {most}"
        refused |= dict.fromkeys(entries, reason)
        return Waivers({}, refused, Ruling("process.waivers", Status.NOT_MET, reason, entries))
    for criterion, entry in list(found.items()):
        if entry.index in record.void:
            refused[entry.index] = "it was signed with a key that was compromised"
            del found[criterion]
    return Waivers(found, refused)


def _why_not(
    entry: Evidence, use_case: str, waivable: Collection[str], makers: Collection[str], at: str, days: int | None
) -> str:
    """Say why a waiver does not count, or ""."""
    said = entry.predicate
    expires = str(said["expires"])
    if said["use_case"] != use_case:
        return "it is for another use case"
    if said["criterion"] not in waivable:
        return f"{said['criterion']} cannot be waived"
    if "approver" not in entry.roles:
        return f"{entry.person} is no approver"
    if entry.person in makers:
        return f"{entry.person} made the model"
    if expired(expires, at):
        return f"it expired at {expires}"
    if too_long(entry.at, expires, at, days):
        return f"it runs longer than the {days} days the policy allows, or is dated later than the decision"
    return ""
