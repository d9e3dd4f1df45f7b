"""The book of names and keys: who holds what, and what was ever held. Names and keys are never used twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from custody.core.actor import Actor, Role
from custody.errors import InvalidInput, Tampered
from custody.ledger.trust import Root
from custody.seal.keys import recorded_keyid

PERSON, SERVICE, TOKEN = "person", "service", "token"
SERVICE_ROLES = frozenset({Role.DATA_ENGINEER, Role.ML_ENGINEER, Role.VALIDATOR, Role.OPERATOR})
"""What a service account or a delegated token can hold: work, never judgement."""


@dataclass(frozen=True)
class Holder:
    """A name on record now, with the roles it was enrolled with.

    `rests` are the entries that put it there. A token has the name of who delegated it in `by`, and an end.
    """

    actor: Actor
    account: str = PERSON
    rests: frozenset[int] = frozenset()
    by: str = ""
    expires: str = ""


class Book:
    """All names and keys of a ledger."""

    def __init__(self) -> None:
        self.holders: dict[str, Holder] = {}
        self.lost: set[str] = set()
        """Key ids that sign nothing any more: revoked, or replaced by a newer key."""
        self._keys: dict[str, str] = {}
        self._names: dict[str, tuple[str, str]] = {}

    def name_of(self, keyid: str) -> str | None:
        """Return the name a key was ever enrolled for."""
        return self._keys.get(keyid)

    def keys_of(self, name: str) -> list[str]:
        """Return the ids of all keys a name ever had, oldest first."""
        return [keyid for keyid, owner in self._keys.items() if owner == name]

    def check(self, actor: Actor, account: str) -> None:
        """Raise `Tampered` unless the name and the key are free, or were this person's all along."""
        other = self._keys.get(actor.keyid, actor.name)
        if other != actor.name:
            raise Tampered(f"{actor.name} has the same key as {other}")
        if actor.keyid in self.lost:
            raise Tampered(f"the key of {actor.name} was revoked or replaced before")
        person, kind = self._names.get(actor.name, (actor.person, account))
        if person != actor.person:
            raise Tampered(f"{actor.name} is on record as the person {person}, not {actor.person}")
        if kind != account:
            raise Tampered(f"{actor.name} is on record as a {kind}, not a {account}")
        if account == TOKEN and actor.name in self._names:
            raise Tampered(f"the name {actor.name} was used before")
        if account != PERSON and not actor.roles <= SERVICE_ROLES:
            raise Tampered(f"a {account} cannot hold {', '.join(sorted(actor.roles - SERVICE_ROLES))}")
        if account == SERVICE and actor.person not in self.persons():
            raise Tampered(f"{actor.name} is a service of {actor.person}, who is not on record")

    def persons(self) -> frozenset[str]:
        """Return who stands behind the names on record, service accounts and tokens aside."""
        return frozenset(holder.actor.person for holder in self.holders.values() if holder.account == PERSON)

    def persons_ever(self) -> frozenset[str]:
        """Return every person who was ever on record, also under a name that was taken off the list."""
        return frozenset(person for person, _ in self._names.values())

    def put(self, holder: Holder) -> None:
        """Take a checked holder into the book; an older key of the same name is lost with that."""
        actor = holder.actor
        old = self.holders.get(actor.name)
        if old is not None and old.actor.keyid != actor.keyid:
            self.lost.add(old.actor.keyid)
        self.holders[actor.name] = holder
        self._keys[actor.keyid] = actor.name
        self._names[actor.name] = (actor.person, holder.account)
        self._trim(actor.name, actor.roles)

    def drop(self, name: str, *, key: bool = True) -> None:
        """Take a name off the list with its tokens, and unless told otherwise its key for good."""
        holder = self.holders.pop(name, None)
        if holder is not None:
            if key:
                self.lost.add(holder.actor.keyid)
            self._trim(name, frozenset())

    def _trim(self, name: str, roles: frozenset[Role]) -> None:
        """Let tokens lose what `name`, who delegated them, has lost; one without roles dies."""
        for token in [holder for holder in self.holders.values() if holder.by == name]:
            left = token.actor.roles & roles
            if left:
                self.holders[token.actor.name] = replace(token, actor=replace(token.actor, roles=left))
            else:
                self.drop(token.actor.name)

    def drop_void(self, void: frozenset[int], root: Root) -> None:
        """Take off the list whoever stands there by a void word; an owner stays by the root alone."""
        for name, holder in list(self.holders.items()):
            if holder.rests.isdisjoint(void) or name not in self.holders:
                continue
            if root.owner(holder.actor.keyid):
                self.put(Holder(replace(holder.actor, roles=frozenset({Role.OWNER}))))
            else:
                self.drop(name, key=False)


def read_actor(said: Mapping[str, Any]) -> Actor:
    """Read an enrolment's predicate; raises `InvalidInput`."""
    roles = read_roles(said["roles"])
    keyid = recorded_keyid(str(said["key"]))
    if keyid != said["keyid"]:
        raise InvalidInput("the key id does not fit the key")
    if said["status"] not in ("active", "revoked"):
        raise InvalidInput(f"status {said['status']!r} is neither active nor revoked")
    return Actor(str(said["name"]), str(said["person"]), roles, str(said["key"]), keyid)


def read_account(said: Mapping[str, Any]) -> str:
    """Return what kind of account an enrolment opens; raises `InvalidInput`."""
    account = said.get("account", PERSON)
    if account not in (PERSON, SERVICE):
        raise InvalidInput(f"account {account!r} is neither person nor service")
    return str(account)


def read_roles(said: Iterable[Any]) -> frozenset[Role]:
    """Read a list of roles; raises `InvalidInput`."""
    try:
        return frozenset(Role(role) for role in said)
    except (ValueError, TypeError):
        raise InvalidInput(f"unknown role in {said}", hint=f"roles: {', '.join(Role)}") from None
