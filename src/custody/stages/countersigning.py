"""Countersigning: another person signs a statement as well, after seeing what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Access, Action
from custody.core.evidence import Evidence, Record
from custody.core.gate import criteria_of
from custody.core.trust_rules import countersigners
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound, OutOfOrder

LEAST = 4
"""How many digits of a digest name a statement."""


def find_entry(record: Record, name: str) -> Evidence:
    """Find a statement by its entry's number or the first digits of its digest; raises `NotFound`."""
    number = name.isascii() and name.isdigit() and (name == "0" or not name.startswith("0")) and len(name) < 2 * LEAST
    if number and int(name) < record.size:
        return record.entries[int(name)]
    # Some digests begin with digits alone, which is no entry's number unless there are as many entries.
    hits = [entry for entry in record if entry.digest.startswith(name)] if len(name) >= LEAST else []
    if number and not hits:
        raise NotFound(f"there is no entry {name}; the newest is {record.size - 1}", hint="custody audit log")
    if len(hits) != 1:
        problem = "names more than one statement" if hits else "names no statement on record"
        raise NotFound(f"{name!r} {problem}", hint="give the entry's number or its digest: custody audit log")
    return hits[0]


def newest_seal(record: Record, use_case: str) -> Evidence:
    """Return the newest criteria of a use case; raises `OutOfOrder` when none are sealed."""
    seal = record.latest(kinds.SEAL, use_case=use_case)
    if seal is None:
        raise OutOfOrder("no criteria are sealed yet", hint="custody gate seal criteria.toml")
    return seal


def countersign(desk: Desk, actor: str, digest: str, reason: str) -> Evidence:
    """Sign the statement with that digest as well.

    Raises `NotPermitted`, on record, for the person who made it or for a role the sealed policy does not
    take for criteria; `NotFound` when there is no such statement; `InvalidInput` for a second time.
    """
    record = desk.read()
    entry = record.by_digest(digest)
    if entry is None:
        raise NotFound(f"no statement {digest[:12]} is on record", hint="custody audit log")
    if len(reason.strip()) < 5:
        raise InvalidInput("a countersignature needs a reason of at least 5 characters", hint='add --reason "..."')
    pen = desk.permit(actor, Action.COUNTERSIGN)
    if pen.actor.person == entry.person:
        why = f"{entry.person} made the statement in entry {entry.index}; another person has to countersign it"
        desk.deny(pen.actor, Action.COUNTERSIGN, Access(allowed=False, reason=why), entry.subject)
    if entry.kind == kinds.SEAL:
        roles = countersigners(entry.predicate["policy"]) or []
        held = {str(role) for role in pen.actor.roles}
        if roles and not held & {str(role) for role in roles}:
            why = f"criteria are countersigned by a {' or '.join(map(str, roles))}; {pen.actor.name} is none"
            desk.deny(pen.actor, Action.COUNTERSIGN, Access(allowed=False, reason=why), entry.subject)
    for earlier in record.about(entry.subject.sha256, kinds.COUNTERSIGNATURE):
        if (
            earlier.predicate["of"] == digest
            and earlier.person == pen.actor.person
            and earlier.index not in record.void
        ):
            raise InvalidInput(f"{earlier.person} countersigned it in entry {earlier.index} already")
    return pen.write(entry.subject, kinds.COUNTERSIGNATURE, {"of": digest, "reason": reason})


def told(entry: Evidence) -> list[str]:
    """Return what a statement says, in lines that a person can read before signing it."""
    head = (
        f"{kinds.short(entry.kind)} in entry {entry.index}, by {entry.person} ({entry.actor}), {entry.at or 'undated'}"
    )
    if entry.kind == kinds.SEAL:
        return [head, *_seal_told(entry.predicate)]
    hidden = ("at", "id", "key", "note", "tokens", "signatures")
    said = [(name, value) for name, value in sorted(entry.predicate.items()) if name not in hidden]
    return [head, f"  about {entry.subject.name} {entry.subject.short}", *(f"  {n}: {_short(v)}" for n, v in said)]


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(map(_short, value))
    elif isinstance(value, Mapping):
        value = ", ".join(f"{name} {_short(item)}" for name, item in value.items())
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _seal_told(said: Mapping[str, Any]) -> list[str]:
    """Return criteria, bounds, what is not applicable, budgets and policy of a seal."""
    document, policy, held_out = said["criteria"], said["policy"], said["held_out"]
    lines = [f"  use case {said['use_case']}, tier {document.get('tier')}, confidence {document.get('confidence')}"]
    lines.append(
        f"  held-out set {held_out.get('name')}, {held_out.get('rows')} rows, {str(held_out.get('sha256'))[:12]}"
    )
    lines.append(
        f"  budgets: {document.get('max_openings')} openings, {document.get('max_attempts')} training attempts"
    )
    lines.append("  criteria:")
    try:
        criteria = criteria_of(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"the sealed criteria cannot be read: {error}") from None
    for criterion in criteria:
        kept = "" if criterion.waivable else ", never waived"
        lines.append(f"    {criterion.id} ({criterion.klass}{kept}): {criterion.asks} {criterion.bound}")
    left_out = document.get("not_applicable")
    for klass, why in sorted(left_out.items()) if isinstance(left_out, Mapping) else ():
        lines.append(f"  NOT APPLICABLE {klass}: {why}")
    lines += [f"  changed: {change}" for change in said.get("changes", [])]
    asked = ("approvals", "isolation", "trust", "never_waive", "max_waivers", "waiver_days", "go_days", "transcript")
    lines.append("  policy: " + "; ".join(f"{name} {_short(policy[name])}" for name in asked if name in policy))
    return lines
