"""The account of a decision: who signed, who dissented, what was waived, what was tried, what is unknown.

Everything in it is read off the record at the moment of the decision. It travels with the decision's
statement for people to read; whoever doubts it computes it again, as with the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from custody.core import predicates as kinds
from custody.core.amendment import amended
from custody.core.data_rules import Attempts
from custody.core.decision import Ruling, Status
from custody.core.evidence import Evidence, Record


def account_of(
    record: Record,
    model: str,
    chains: Sequence[tuple[Evidence, Evidence, Evidence]],
    rulings: Sequence[Ruling],
    refused: Mapping[int, str],
    tried: Attempts,
) -> dict[str, Any]:
    """Give the account of a judgement; `refused` says by entry why a waiver does not count."""
    seal = chains[0][2]
    return {
        "signers": _signers(record, model, chains),
        "dissent": _dissent(record, model),
        "waivers": [_waiver(entry, refused.get(entry.index, "")) for entry in record.about(model, kinds.WAIVER)],
        "unknown": [ruling.id for ruling in rulings if ruling.status in (Status.UNKNOWN, Status.INCONCLUSIVE)],
        "tried": {**tried.to_json(), "adjusted": tried.models > 1},
        "amended": amended(record, seal),
    }


def _signers(record: Record, model: str, chains: Sequence[tuple[Evidence, Evidence, Evidence]]) -> list[dict[str, Any]]:
    """Return everybody whose signature the judgement rests on, by their part, each part of a person once."""
    seal = chains[0][2]
    signed = [("author", seal)]
    seconds = record.about(seal.subject.sha256, kinds.COUNTERSIGNATURE)
    signed += [("countersigner", entry) for entry in seconds if entry.predicate["of"] == seal.digest]
    signed += [("trainer", finish) for finish, _, _ in chains]
    results = [e for e in record.about(model, kinds.CHECK_RESULT) if e.predicate["stage"] != "runtime"]
    signed += [("validator", entry) for entry in results]
    signed += [("approver", e) for e in record.about(model, kinds.APPROVAL) if e.predicate["verdict"] == "approve"]
    first: dict[tuple[str, str], Evidence] = {}
    for part, entry in signed:
        first.setdefault((part, entry.person), entry)
    return [
        {"part": part, "person": person, "actor": e.actor, "entry": e.index, "void": e.index in record.void}
        for (part, person), e in first.items()
    ]


def _dissent(record: Record, model: str) -> list[dict[str, Any]]:
    """Return every rejection, those that were taken back too."""
    approvals = record.about(model, kinds.APPROVAL)
    latest = {entry.person: entry.index for entry in approvals}
    return [
        {
            "person": entry.person,
            "reason": str(entry.predicate["reason"]),
            "entry": entry.index,
            "stands": latest[entry.person] == entry.index,
        }
        for entry in approvals
        if entry.predicate["verdict"] != "approve"
    ]


def _waiver(entry: Evidence, refused: str) -> dict[str, Any]:
    said = entry.predicate
    return {
        "criterion": str(said["criterion"]),
        "person": entry.person,
        "reason": str(said["reason"]),
        "control": str(said["control"]),
        "expires": str(said["expires"]),
        "entry": entry.index,
        "counts": not refused,
        "why_not": refused,
    }
