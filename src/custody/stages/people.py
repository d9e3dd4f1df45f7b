"""People: enrolled with their keys and roles, and taken off the list again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.actor import Actor, Role
from custody.core.evidence import Evidence, Record
from custody.core.subject import Subject
from custody.desk import CUSTODIAN, Desk, check_name
from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered
from custody.roster.book import PERSON, TOKEN
from custody.seal.keys import canonical_pem, keyid_of


def enrol(
    desk: Desk,
    by: str,
    name: str,
    person: str,
    roles: frozenset[Role],
    public: str,
    *,
    account: str = "",
    rotate: bool = False,
) -> Evidence:
    """Put a name's key and roles on record, or with `rotate` a new key in place of the old one.

    Under a threshold of several owners it takes effect once enough of them have countersigned it. Raises
    `InvalidInput` or `NotPermitted` for what no reader would accept, before anything is recorded.
    """
    if name != CUSTODIAN:
        check_name(name)
    public = canonical_pem(public)
    keyid, roster = keyid_of(public), desk.roster()
    if not person.isprintable() or not alike(person):
        raise InvalidInput(f"{person!r} names no person", hint="use a name that people can read aloud")
    for known in sorted(roster.persons_ever()):
        if alike(known) == alike(person) and known != person:
            raise NotPermitted(f"{person!r} reads like {known!r}, who is on record", hint="use one name for one person")
    for other in roster.actors.values():
        if other.name == name and other.keyid != keyid and not rotate:
            raise NotPermitted(
                f"{name} is on record with another key", hint=f"replace it: custody keys rotate {name} --key FILE"
            )
    if not roles:
        raise InvalidInput(f"{name} needs at least one role", hint=f"roles: {', '.join(Role)}")
    owner = next((one for one in roster.root.owners if one.name == name), None)
    if owner is not None and owner.keyid != keyid:
        raise NotPermitted(
            f"{name} is an owner, whose key a new trust root changes", hint="custody keys root propose --owner-key"
        )
    if Role.OWNER in roles and owner is None and roster.root.version > 1:
        raise NotPermitted("a new trust root makes owners", hint=f"custody keys root propose --add-owner {name}")
    holder = roster.book.holders.get(name)
    account = account or (holder.account if holder else PERSON)
    try:
        roster.book.check(Actor(name, person, roles, public, keyid), account)
    except Tampered as error:
        raise NotPermitted(error.message, hint="make a new key, or choose another name") from None
    pen = desk.permit(by, Action.ENROL)
    said: dict[str, Any] = {
        "name": name,
        "person": person,
        "roles": sorted(str(role) for role in roles),
        "key": public,
        "keyid": keyid,
        "status": "active",
    }
    if account != PERSON:
        said["account"] = account
    return pen.write(Subject(f"actor:{name}", keyid), kinds.ENROLMENT, said)


def rotate(desk: Desk, by: str, name: str, public: str) -> Evidence:
    """Give a name a new key: from then on only that one signs; what the old one signed stays good."""
    actor, holder = desk.actor(name), desk.roster().book.holders[name]
    if keyid_of(public) == actor.keyid:
        raise InvalidInput(f"{name} has this key already")
    if holder.account == TOKEN:
        raise InvalidInput(f"{name} is a delegated token", hint="delegate a new one instead")
    return enrol(desk, by, name, actor.person, holder.actor.roles, public, rotate=True)


def revoke(desk: Desk, by: str, name: str) -> Evidence:
    """Take a person off the list: from this entry on, their key signs nothing that counts."""
    actor = desk.actor(name)
    pen = desk.permit(by, Action.ENROL)
    if name in (by, CUSTODIAN):
        raise InvalidInput(f"{name} cannot be revoked: without {name} the ledger could not go on")
    return pen.write(
        Subject(f"actor:{name}", actor.keyid),
        kinds.ENROLMENT,
        {
            "name": name,
            "person": actor.person,
            "roles": sorted(str(role) for role in desk.roster().book.holders[name].actor.roles),
            "key": actor.key,
            "keyid": actor.keyid,
            "status": "revoked",
        },
    )


def revoke_key(desk: Desk, by: str, name: str, reason: str, since: int | None = None, keyid: str = "") -> Evidence:
    """Revoke a key, at once: the newest of `name`, or an older one by its id.

    With `since`, what it signed from that entry on is void: it cannot help a model any more, and can still
    harm it.
    """
    record, roster = desk.read(), desk.roster()
    if not keyid:
        keyid = desk.actor(name).keyid
    known = [one for one in roster.book.keys_of(name) if one.startswith(keyid)]
    if len(known) != 1:
        raise NotFound(f"{name} never had a key {keyid[:12]!r}", hint="custody keys list shows the keys on record")
    if len(reason.strip()) < 5:
        raise InvalidInput("a revocation needs a reason of at least 5 characters", hint='add --reason "..."')
    if since is not None and not 0 < since <= record.size:
        raise InvalidInput(f"there is no entry {since} to begin with", hint=f"1 to {record.size}: custody audit log")
    pen = desk.permit(by, Action.REVOKE_KEY)
    if name == CUSTODIAN and roster.actors[name].keyid == known[0]:
        raise InvalidInput("the custodian signs denials: give it a new key first", hint="custody keys rotate custodian")
    said = {"name": name, "keyid": known[0], "reason": reason, "compromised_since": since}
    rests = roster.book.holders[by].rests
    if any(e.keyid == known[0] and since is not None and e.index >= since for e in _beneath(record, rests)):
        raise NotPermitted(
            f"{by} stands on record by what that key signed: the revocation would undo {by}'s own word",
            hint="an owner whose key is sound does this, or name a later entry",
        )
    return pen.write(Subject(f"actor:{name}", known[0]), kinds.KEY_REVOCATION, said)


def _beneath(record: Record, rests: Iterable[int]) -> list[Evidence]:
    """Return the entries that a right rests on, and those that these rest on in turn."""
    found: dict[int, Evidence] = {}
    waiting = list(rests)
    while waiting:
        index = waiting.pop()
        if index not in found:
            found[index] = record.entries[index]
            waiting += found[index].rests
    return list(found.values())


def alike(person: str) -> str:
    """Return what two spellings of one person share: case, accents' encoding and punctuation aside."""
    folded = unicodedata.normalize("NFKC", person).casefold()
    return "".join(letter for letter in folded if letter.isalnum())
