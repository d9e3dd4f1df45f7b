"""The rules about whom to believe: keys, emergency rights, second signatures, witnesses, spot checks.

What was signed with a key that is compromised by a later word on record is *void*: it cannot help a
model any more, and can still harm it, so that nobody can bury a bad result by giving up a key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from custody.core import predicates as kinds
from custody.core.data_rules import inputs_of
from custody.core.decision import Ruling, Status
from custody.core.evidence import Evidence, Record, witness_id
from custody.core.gate import whole
from custody.core.subject import use_case_subject

MET, NOT_MET, UNKNOWN = Status.MET, Status.NOT_MET, Status.UNKNOWN

Chain = tuple[Evidence, Evidence, Evidence]
"""Finish, start and seal of one run that ended in the model."""


def judge_keys(record: Record, use_case: str, chains: Sequence[Chain]) -> Ruling:
    """Refuse a model whose chain holds a void statement: its own, its data's, its use case's or sourcing's."""
    rule, seal = "process.keys", chains[0][2]
    links: list[Evidence | None] = [seal, _dataset(record, seal.predicate["held_out"].get("record"))]
    for kind in (kinds.USE_CASE, kinds.SOURCING):
        links += [e for e in record.about(use_case_subject(use_case).sha256, kind) if e.index < seal.index][-1:]
    for finish, start, _ in chains:
        links += [finish, start]
        named = [item.get("record") for item in start.predicate["inputs"] if isinstance(item, Mapping)]
        links += [_dataset(record, digest) for digest in named]
        for _, sha256 in inputs_of(start):
            links += record.about(sha256, kinds.DATASET)[-1:]
    void = sorted({link.index for link in links if link is not None and link.index in record.void})
    if void:
        named_entries = ", ".join(map(str, void))
        reason = f"signed with a key that was compromised: entry {named_entries}; only a new one can mend that"
        return Ruling(rule, NOT_MET, reason, tuple(void))
    return Ruling(rule, MET, "nothing the model rests on was signed with a compromised key")


def _dataset(record: Record, digest: object) -> Evidence | None:
    """Return the record of a dataset by its statement's digest; a digest of anything else names none."""
    found = record.by_digest(digest) if isinstance(digest, str) else None
    return found if found is not None and found.kind == kinds.DATASET else None


def judge_access(record: Record) -> Ruling:
    """Ask for a review of every emergency right that was ever taken, used or not."""
    rule = "process.access"
    grants = record.of_kind(kinds.GRANT)
    taken = [e for e in grants if e.predicate["emergency"] and e.predicate["status"] == "granted"]
    words: dict[str, str] = {}
    for review in record.of_kind(kinds.ACCESS_REVIEW):
        grant = record.by_digest(str(review.predicate["of"]))
        if grant is None or grant.index >= review.index or grant.person == review.person:
            continue
        upheld = review.predicate["verdict"] == "upheld"
        if "security_manager" in review.roles and not (upheld and review.index in record.void):
            words[grant.digest] = "upheld" if upheld else "disputed"
    disputed = [grant for grant in taken if words.get(grant.digest) == "disputed"]
    if disputed:
        reason = f"an emergency right that {disputed[0].person} took is disputed"
        return Ruling(rule, NOT_MET, reason, tuple(grant.index for grant in disputed))
    waiting = [grant for grant in taken if grant.digest not in words]
    if waiting:
        reason = f"{waiting[0].person} took an emergency right in entry {waiting[0].index} that nobody reviewed yet"
        return Ruling(rule, UNKNOWN, reason, tuple(grant.index for grant in waiting))
    reason = f"{len(taken)} emergency rights were taken and reviewed" if taken else "no emergency right was taken"
    return Ruling(rule, MET, reason, tuple(grant.index for grant in taken))


def countersigners(policy: Mapping[str, Any]) -> list[Any] | None:
    """Return the roles of which one must countersign a seal; none in solo mode; None when that cannot be read."""
    asked = policy.get("countersign")
    if asked is None or policy.get("solo"):
        return []
    return asked if isinstance(asked, list) else None


def countersignature(record: Record, seal: Evidence, roles: Collection[Any], before: int) -> Evidence | None:
    """Return the first countersignature of a seal, by somebody else with one of the roles, older than entry `before`.

    One signed with a compromised key is none.
    """
    for entry in record.about(seal.subject.sha256, kinds.COUNTERSIGNATURE):
        if entry.predicate["of"] != seal.digest or not seal.index < entry.index < before:
            continue
        if entry.person != seal.person and entry.index not in record.void and any(r in roles for r in entry.roles):
            return entry
    return None


def judge_countersigned(record: Record, policy: Mapping[str, Any], start: Evidence, seal: Evidence) -> Ruling:
    """Hold the seal to a second signature, by another person, before the run's checkpoint."""
    rule, roles = "process.countersigned", countersigners(policy)
    if roles is None:
        return Ruling(rule, UNKNOWN, "the sealed policy does not say who countersigns", (seal.index,))
    if not roles:
        return Ruling(rule, MET, "the policy asks for no second signature on the criteria")
    size = whole(start.predicate["checkpoint"].get("size"))
    found = countersignature(record, seal, roles, 0 if size is None else size)
    if found is None:
        reason = f"no {' or '.join(map(str, roles))} countersigned the criteria before the run"
        return Ruling(rule, UNKNOWN, reason, (seal.index,))
    return Ruling(rule, MET, f"{found.person} countersigned the criteria before the run", (seal.index, found.index))


def unwitnessed(record: Record, start: Evidence, seal: Evidence) -> str:
    """Say what the start's checkpoint lacks of the witnesses that the trust root in force asks for, or ""."""
    roots = [entry for entry in record.of_kind(kinds.TRUST_ROOT) if entry.index < start.index]
    quorum = whole(roots[-1].predicate["quorum"]) if roots else 0
    if quorum is not None and quorum <= 0:
        return ""
    if quorum is None:
        return "the trust root does not say how many witnesses it asks for"
    checkpoint = start.predicate["checkpoint"]
    anchor = record.by_digest(str(checkpoint.get("anchor")))
    if anchor is None or anchor.kind != kinds.ANCHOR or anchor.index >= start.index:
        return f"the run's checkpoint names no anchor; the trust root asks for {quorum} witnesses"
    if anchor.index in record.void:
        return f"the anchor in entry {anchor.index} was signed with a key that was compromised"
    said = (anchor.predicate["size"], anchor.predicate["root"])
    if said != (checkpoint.get("size"), checkpoint.get("root")) or not said[0] > seal.index:
        return f"the anchor in entry {anchor.index} is of another checkpoint than the run's"
    listed = [item for item in roots[-1].predicate["witnesses"] if isinstance(item, Mapping)]
    known = {witness_id(str(item.get("name")), str(item.get("key"))) for item in listed}
    count = len(known & record.anchors.get(anchor.index, frozenset()))
    if count < quorum:
        return f"{count} of {quorum} witnesses cosigned the run's checkpoint"
    return ""


def judge_transcript(record: Record, policy: Mapping[str, Any], start: Evidence, finish: Evidence) -> Ruling:
    """Where the policy asks: the run left a transcript, and somebody else found its first steps to agree."""
    rule, entries = "process.transcript", (start.index, finish.index)
    if policy.get("transcript") is not True:
        return Ruling(rule, MET, "the policy asks for no transcript")
    checks = [e for e in record.of_kind(kinds.SPOT_CHECK) if e.predicate["start"] == start.digest]
    differing = tuple(e.index for e in checks if e.predicate["verdict"] == "differs")
    if differing:
        return Ruling(rule, NOT_MET, f"the steps differ when run again: entry {differing[0]}", differing)
    details = finish.predicate["runDetails"]
    transcript = details.get("transcript") if isinstance(details, Mapping) else None
    steps = whole(transcript.get("steps")) if isinstance(transcript, Mapping) else None
    if steps is None or steps < 1:
        return Ruling(rule, UNKNOWN, "the run left no transcript of its steps", entries)
    for check in checks:
        said, counts = check.predicate, check.index > finish.index and check.index not in record.void
        if said["verdict"] == "agrees" and said["steps"] >= 1 and check.person != start.person and counts:
            reason = f"{check.person} ran the first {said['steps']} of {steps} steps again, and they agree"
            return Ruling(rule, MET, reason, (*entries, check.index))
    return Ruling(rule, UNKNOWN, "nobody but the trainer has run its first steps again", entries)
