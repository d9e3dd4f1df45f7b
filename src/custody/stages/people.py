"""People: enrolled with their keys and roles, and taken off the list again."""

from __future__ import annotations

import unicodedata

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.actor import Role
from custody.core.evidence import Evidence
from custody.core.subject import Subject
from custody.desk import CUSTODIAN, RESERVED, Desk
from custody.errors import InvalidInput, NotPermitted
from custody.seal.keys import canonical_pem, keyid_of


def enrol(desk: Desk, by: str, name: str, person: str, roles: frozenset[Role], public: str) -> Evidence:
    """Put a person's key and roles on record."""
    if name != CUSTODIAN:
        check_name(name)
    for other in desk.roster().actors.values():
        if alike(other.person) == alike(person) and other.person != person:
            raise NotPermitted(
                f"{person!r} reads like {other.person!r}, who is on record", hint="use one name for one person"
            )
        if other.name == name and other.keyid != keyid_of(public):
            raise NotPermitted(
                f"{name} is on record with another key", hint=f"revoke it first: custody init revoke {name}"
            )
    if not roles:
        raise InvalidInput(f"{name} needs at least one role", hint=f"roles: {', '.join(Role)}")
    public = canonical_pem(public)
    keyid = keyid_of(public)
    for other in desk.roster().actors.values():
        if other.keyid == keyid and other.name != name:
            raise NotPermitted(f"this key belongs to {other.name} already; one key, one person")
    pen = desk.permit(by, Action.ENROL)
    return pen.write(
        Subject(f"actor:{name}", keyid),
        kinds.ENROLMENT,
        {
            "name": name,
            "person": person,
            "roles": sorted(str(role) for role in roles),
            "key": public,
            "keyid": keyid,
            "status": "active",
        },
    )


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
            "roles": sorted(str(role) for role in actor.roles),
            "key": actor.key,
            "keyid": actor.keyid,
            "status": "revoked",
        },
    )


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` can name a person, and their key file."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isalnum() or name.startswith(".") or len(name) > 64:
        raise InvalidInput(f"{name!r} is not a usable name; use letters, digits, dots and dashes")
    if name in RESERVED:
        raise InvalidInput(f"{name!r} is a name that Custody uses itself", hint="choose another one")


def alike(person: str) -> str:
    """Return what two spellings of one person share: case, accents' encoding and punctuation aside."""
    folded = unicodedata.normalize("NFKC", person).casefold()
    return "".join(letter for letter in folded if letter.isalnum())
