"""Trust roots: proposed in a file, signed by owners one after the other, installed once enough have signed.

The file travels between owners by whatever way they like: what counts are the signatures in it, over the whole
root. `install` writes the statement; readers follow the chain from version 1 by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from custody.core import predicates as kinds
from custody.core import strictjson
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.subject import Subject
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered
from custody.ledger.note import parse_vkey
from custody.ledger.trust import Owner, Root, Witness, follow, read_root, sign_root
from custody.seal.keys import Signer, canonical_pem, keyid_of, raw_to_text

FORMAT = "custody-root-proposal/1"
MAX_PROPOSAL_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Proposal:
    """A root that waits for signatures."""

    root: Root
    signatures: tuple[Mapping[str, str], ...] = ()

    def said(self) -> dict[str, Any]:
        """Return the predicate of the statement that would install it."""
        return {**self.root.to_json(), "signatures": [dict(one) for one in self.signatures]}


@dataclass(frozen=True)
class Edit:
    """What is to change from the present root; what is None or empty stays."""

    add: Sequence[str] = ()
    """Names on record who become owners."""
    drop: Sequence[str] = ()
    """Owners who are none any more."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """New public keys (PEM) of owners, by name."""
    threshold: int | None = None
    witnesses: Sequence[str] = ()
    """Witnesses that are added, as verifier keys `NAME+HASH+BASE64`."""
    forget: Sequence[str] = ()
    """Names of witnesses that are dropped."""
    quorum: int | None = None
    log_key: str = ""
    """The log's new public key: raw Ed25519 in base64."""
    expires: str | None = None


def propose(desk: Desk, edit: Edit) -> Proposal:
    """Return the root that would follow the present one; raises `InvalidInput` for one that could never count."""
    roster = desk.roster()
    owners = {owner.name: owner for owner in roster.root.owners}
    for name in edit.add:
        actor = roster.actors.get(name)
        if actor is None:
            raise NotFound(f"{name!r} is not on record", hint=f"custody init person {name} --role ROLE")
        owners[name] = Owner(actor.name, actor.person, actor.keyid, actor.key)
    for name in (*edit.drop, *edit.keys):
        if name not in owners:
            raise NotFound(f"{name!r} is no owner", hint=f"owners: {', '.join(sorted(owners))}")
    for name, public in edit.keys.items():
        pem = canonical_pem(public)
        owners[name] = replace(owners[name], keyid=keyid_of(pem), key=pem)
    for name in edit.drop:
        del owners[name]
    witnesses = {witness.name: witness for witness in roster.root.witnesses if witness.name not in edit.forget}
    for text in edit.witnesses:
        key = parse_vkey(text)
        witnesses[key.name] = Witness(key.name, raw_to_text(key.public))
    root = replace(
        roster.root,
        version=roster.root.version + 1,
        expires=roster.root.expires if edit.expires is None else edit.expires,
        log_key=edit.log_key or roster.root.log_key,
        owners=tuple(owners.values()),
        threshold=roster.root.threshold if edit.threshold is None else edit.threshold,
        witnesses=tuple(witnesses.values()),
        quorum=roster.root.quorum if edit.quorum is None else edit.quorum,
    )
    return Proposal(read_root(desk.log.origin, root.to_json()))


def sign(desk: Desk, proposal: Proposal, signer: Signer) -> Proposal:
    """Return the proposal with one more signature; raises `NotPermitted` for a key that neither root names."""
    present = desk.roster().root
    if present.owner(signer.keyid) is None and proposal.root.owner(signer.keyid) is None:
        raise NotPermitted("this key is no owner's, neither now nor in the proposal", hint="custody keys root show")
    if proposal.root.version != present.version + 1:
        raise InvalidInput(
            f"the proposal is root {proposal.root.version}, and root {present.version} is in force",
            hint="propose it anew: custody keys root propose",
        )
    rest = tuple(one for one in proposal.signatures if one["keyid"] != signer.keyid)
    return replace(proposal, signatures=(*rest, sign_root(desk.log.origin, proposal.root, signer)))


def missing(desk: Desk, proposal: Proposal) -> str:
    """Return what keeps a proposal from counting, in a sentence; "" when nothing does."""
    roster = desk.roster()
    try:
        follow(desk.log.origin, roster.root, proposal.said(), roster.book.lost)
    except (Tampered, InvalidInput) as error:
        return error.message
    return ""


def install(desk: Desk, by: str, proposal: Proposal) -> Evidence:
    """Put a root in force; raises `NotPermitted` while signatures are missing.

    `desk` must sign with the new root's log key, because the checkpoint over this entry is its first one.
    """
    pen = desk.permit(by, Action.SIGN_ROOT)
    if why := missing(desk, proposal):
        raise NotPermitted(why, hint="custody keys root sign FILE, as each owner")
    root = proposal.root
    return pen.write(Subject(f"trust-root:{root.version}", root.digest), kinds.TRUST_ROOT, proposal.said())


def write_proposal(origin: str, proposal: Proposal) -> bytes:
    """Return the file that travels between owners."""
    return strictjson.dump({"format": FORMAT, "origin": origin, **proposal.said()}) + b"\n"


def read_proposal(raw: bytes, origin: str) -> Proposal:
    """Read such a file; its signatures are checked only when it is installed. Raises `InvalidInput`."""
    body = strictjson.parse_object(raw, max_bytes=MAX_PROPOSAL_BYTES, what="root proposal")
    if body.pop("format", None) != FORMAT:
        raise InvalidInput(f"this is not a root proposal of the format {FORMAT}", hint="custody keys root propose")
    if body.pop("origin", None) != origin:
        raise InvalidInput("the root proposal is for another ledger")
    signatures = body.get("signatures")
    if set(body) != {*kinds.FIELDS[kinds.TRUST_ROOT]} or not isinstance(signatures, list):
        raise InvalidInput("the root proposal has other fields than a trust root and its signatures")
    for one in signatures:
        if (
            not isinstance(one, dict)
            or set(one) != {"keyid", "sig"}
            or not all(isinstance(v, str) for v in one.values())
        ):
            raise InvalidInput("the root proposal has a malformed signature")
    return Proposal(read_root(origin, body), tuple(signatures))


def told(proposal: Proposal, present: Root) -> list[str]:
    """Return what a proposal changes, in lines that an owner can read before signing it."""
    new = proposal.root
    lines = [f"root {new.version}, to follow root {present.version}"]
    before, after = {o.name: o for o in present.owners}, {o.name: o for o in new.owners}
    for name in sorted(before | after):
        if name not in after:
            lines.append(f"  no longer an owner: {name} ({before[name].person})")
        elif name not in before:
            lines.append(f"  new owner: {name} ({after[name].person}), key {after[name].keyid[:12]}")
        elif before[name] != after[name]:
            lines.append(f"  new key of owner {name}: {after[name].keyid[:12]}")
        else:
            lines.append(f"  owner: {name} ({after[name].person}), key {after[name].keyid[:12]}")
    lines.append(_changed("persons who must agree", present.threshold, new.threshold))
    lines.append(_changed("witnesses", _names(present), _names(new)))
    lines.append(_changed("witnesses who must cosign", present.quorum, new.quorum))
    lines.append(_changed("log key", present.log_key, new.log_key))
    lines.append(_changed("ends", present.expires or "never", new.expires or "never"))
    signed = [owner.name for owner in (*present.owners, *new.owners) if owner.keyid in _keyids(proposal)]
    lines.append(f"  signed by: {', '.join(dict.fromkeys(signed)) or 'nobody'}")
    return lines


def _keyids(proposal: Proposal) -> set[str]:
    return {one["keyid"] for one in proposal.signatures}


def _names(root: Root) -> str:
    return ", ".join(witness.name for witness in root.witnesses) or "none"


def _changed(what: str, old: object, new: object) -> str:
    return f"  {what}: {new}" if old == new else f"  {what}: {new} (was {old})"
