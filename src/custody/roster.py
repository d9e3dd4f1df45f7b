"""Who is on record, replayed from the ledger: names, keys, roles, and what was taken back.

The roster is the law of admission: `admit` turns a signed envelope into evidence, or says why it does not
count, in the light of all entries before it; `take` lets the entry change who is on record. No clock, no
file; `custody_verify` replays the same rules a second time, independently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import may_write
from custody.core.actor import Actor, Role
from custody.core.evidence import Evidence
from custody.core.statement import Statement
from custody.errors import InvalidInput, Tampered
from custody.seal.envelope import Envelope
from custody.seal.keys import keyid_of


class Roster:
    """The persons and keys on record after some number of entries."""

    def __init__(self, owner_key: str) -> None:
        self._owner_key = owner_key
        self.actors: dict[str, Actor] = {}
        self._digests: set[str] = set()

    @property
    def void(self) -> frozenset[int]:
        """Return the entries that a later revocation made void."""
        return frozenset()

    def by_key(self, keyid: str) -> Actor | None:
        """Return the actor with that key."""
        return next((actor for actor in self.actors.values() if actor.keyid == keyid), None)

    def take(self, entry: Evidence) -> None:
        """Let an admitted entry change who is on record."""
        self._digests.add(entry.digest)
        if entry.kind == kinds.ENROLMENT:
            self._enrol(entry.predicate)

    def admit(self, index: int, envelope: Envelope) -> Evidence:
        """Verify one entry in the light of all before it; changes nothing."""
        actor = self.by_key(envelope.keyid)
        try:
            if envelope.digest in self._digests:
                raise Tampered("it repeats an earlier statement word for word; words do not count twice")
            if actor is None:
                if index:
                    raise Tampered(f"it is signed by a key that is not on record ({envelope.keyid[:12]})")
                statement = self._first(envelope)
            else:
                statement = envelope.verify(actor.key)
            kinds.check_predicate(statement.kind, statement.predicate)
            if actor is not None and not may_write(actor, statement.kind):
                raise Tampered(f"{actor.name} may not say {kinds.short(statement.kind)}")
            if statement.kind == kinds.ENROLMENT:
                enrolled = self._enrolled(statement.predicate)
                actor = actor or enrolled
        except (Tampered, InvalidInput) as error:
            raise Tampered(f"entry {index} does not count: {error.message}") from None
        if actor is None:
            raise Tampered(f"entry {index} has no signer")
        return Evidence(
            index,
            envelope.digest,
            statement.subject,
            statement.kind,
            statement.predicate,
            actor.name,
            actor.person,
            frozenset(str(role) for role in actor.roles),
            envelope.keyid,
        )

    def _first(self, envelope: Envelope) -> Statement:
        """Verify entry 0: the owner enrols themselves, with the key the trust root names."""
        statement = envelope.statement
        kinds.check_predicate(statement.kind, statement.predicate)
        key = statement.predicate.get("key")
        if statement.kind != kinds.ENROLMENT or not isinstance(key, str):
            raise Tampered("the ledger does not begin with its owner's enrolment")
        if keyid_of(key) != self._owner_key or envelope.keyid != self._owner_key:
            raise Tampered("the ledger's owner is not the one in custody.toml")
        return envelope.verify(key)

    def _enrolled(self, said: Mapping[str, Any]) -> Actor:
        """Read an enrolment; one name, one key, one person."""
        actor = read_actor(said)
        for other in self.actors.values():
            if other.name != actor.name and other.keyid == actor.keyid:
                raise Tampered(f"{actor.name} has the same key as {other.name}")
        return actor

    def _enrol(self, said: Mapping[str, Any]) -> None:
        """Take a verified enrolment into the list, or a revoked actor off it."""
        actor = self._enrolled(said)
        if said["status"] == "active":
            self.actors[actor.name] = actor
        else:
            self.actors.pop(actor.name, None)


def read_actor(said: Mapping[str, Any]) -> Actor:
    """Read an enrolment's predicate; raises `InvalidInput`."""
    try:
        roles = frozenset(Role(role) for role in said["roles"])
    except (ValueError, TypeError):
        raise InvalidInput(f"unknown role in {said['roles']}", hint=f"roles: {', '.join(Role)}") from None
    keyid = keyid_of(str(said["key"]))
    if keyid != said["keyid"]:
        raise InvalidInput("the key id does not fit the key")
    if said["status"] not in ("active", "revoked"):
        raise InvalidInput(f"status {said['status']!r} is neither active nor revoked")
    return Actor(str(said["name"]), str(said["person"]), roles, str(said["key"]), keyid)
