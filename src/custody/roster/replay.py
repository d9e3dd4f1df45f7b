"""The law of admission: which signed statement counts, in the light of all before it.

`admit` turns a signed envelope into evidence, or says why it does not count; `take` lets the entry change
who is on record. Everything is decided by ledger index and by what statements say; no clock, no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from custody.core import predicates as kinds
from custody.core.access import may_write
from custody.core.actor import Actor, Role
from custody.core.evidence import Evidence, void_of
from custody.core.moments import expired, moment
from custody.core.statement import Statement
from custody.errors import InvalidInput, Tampered
from custody.ledger.trust import Owner, Root, first_root, follow, read_root
from custody.roster.book import PERSON, SERVICE_ROLES, TOKEN, Book, Holder, read_account, read_actor, read_roles
from custody.roster.rights import Emergency, Grant, Rights, check_grant, check_review
from custody.seal.envelope import Envelope
from custody.seal.keys import keyid_of, recorded_keyid

Roles = frozenset[Role]


@dataclass(frozen=True)
class Pending:
    """An enrolment or grant that waits until enough owners have signed it."""

    entry: Evidence
    owners: frozenset[str]
    """The persons for it so far."""
    rests: frozenset[int]


@dataclass(frozen=True)
class _Right:
    """By what right somebody says something: the roles in effect, what they rest on, and broken glass."""

    roles: Roles
    rests: frozenset[int]
    glass: Grant | None = None


class Roster:
    """The persons, keys, roots and rights on record after some number of entries."""

    def __init__(self, owner_key: str, origin: str = "", log_key: str = "") -> None:
        self._owner_key, self._origin = owner_key, origin
        self.roots: list[tuple[int, Root]] = [(0, first_root(log_key, None))]
        """Each root with the index of the entry that installed it; it is in force from the next index on."""
        self.book = Book()
        self.rights = Rights()
        self.pending: dict[str, Pending] = {}
        """By the digest of the statement that waits."""
        self.actors: dict[str, Actor] = {}
        """Who is on record now, with their own roles; grants aside, because they depend on the moment."""
        self.void: frozenset[int] = frozenset()
        """The entries that a later revocation made void."""
        self._said: dict[str, Evidence] = {}
        self._checks: Mapping[str, Callable[[Evidence], None]] = {
            kinds.ENROLMENT: self._check_enrolment,
            kinds.USE_CASE: self._check_use_case,
            kinds.TRUST_ROOT: self._check_root,
            kinds.KEY_REVOCATION: self._check_revocation,
            kinds.GRANT: self._check_grant,
            kinds.DELEGATION: self._check_delegation,
            kinds.ACCESS_REVIEW: self._check_review,
            kinds.COUNTERSIGNATURE: self._check_countersignature,
        }
        self._changes: Mapping[str, Callable[[Evidence], None]] = {
            kinds.ENROLMENT: self._take_rights,
            kinds.GRANT: self._take_rights,
            kinds.TRUST_ROOT: self._take_root,
            kinds.KEY_REVOCATION: self._take_revocation,
            kinds.DELEGATION: self._take_delegation,
            kinds.ACCESS_REVIEW: self.rights.review,
            kinds.COUNTERSIGNATURE: self._take_countersignature,
        }

    @property
    def root(self) -> Root:
        """Return the newest root."""
        return self.roots[-1][1]

    def root_at(self, index: int) -> Root:
        """Return the root in force for the entry at `index`."""
        return next((root for entry, root in reversed(self.roots) if entry < index), self.roots[0][1])

    @property
    def grants(self) -> Mapping[str, list[Grant]]:
        """Return the grants in effect or expired, by name; emergencies aside."""
        return self.rights.grants

    def unreviewed(self) -> list[Emergency]:
        """Return the emergencies that nobody has reviewed yet, oldest first."""
        return [case for case in self.rights.emergencies.values() if not case.verdict]

    def persons_ever(self) -> frozenset[str]:
        """Return every person who was ever on record, and those whose enrolment waits for another owner."""
        waiting = [one.entry.predicate for one in self.pending.values() if one.entry.kind == kinds.ENROLMENT]
        return self.book.persons_ever() | {str(said["person"]) for said in waiting}

    def by_key(self, keyid: str) -> Actor | None:
        """Return the actor who signs with that key now."""
        found = self.actors.get(self.book.name_of(keyid) or "")
        return found if found is not None and found.keyid == keyid else None

    def acting(self, name: str, at: str, *, glass: bool = False) -> Actor:
        """Return an actor with all roles in effect at the moment `at`; raises `KeyError`.

        With `glass`, those of unused emergency grants as well. A token that has ended has no roles.
        """
        actor, holder = self.actors[name], self.book.holders[name]
        if holder.account == TOKEN and expired(holder.expires, at):
            return replace(actor, roles=frozenset())
        grants = self.rights.granted(name, at) + (self.rights.glass(name, at) if glass else [])
        return replace(actor, roles=actor.roles.union(*(grant.roles for grant in grants)))

    def admit(self, index: int, envelope: Envelope) -> Evidence:
        """Verify one entry in the light of all before it; changes nothing."""
        try:
            return self._admit(index, envelope)
        except (Tampered, InvalidInput) as error:
            raise Tampered(f"entry {index} does not count: {error.message}") from None

    def _admit(self, index: int, envelope: Envelope) -> Evidence:
        if envelope.digest in self._said:
            raise Tampered("it repeats an earlier statement word for word; words do not count twice")
        if index == 0:
            return self._first(envelope)
        actor = self.by_key(envelope.keyid)
        if actor is None:
            raise Tampered(f"it is signed by a key that is not on record ({envelope.keyid[:12]})")
        statement = envelope.verify(actor.key)
        kinds.check_predicate(statement.kind, statement.predicate)
        right = self._right(actor, statement)
        if not may_write(replace(actor, roles=right.roles), statement.kind):
            raise Tampered(f"{actor.name} may not say {kinds.short(statement.kind)}")
        account = self.book.holders[actor.name].account
        entry = replace(_evidence(index, envelope, statement, actor, right), account=account)
        check = self._checks.get(statement.kind)
        if check is not None:
            check(entry)
        return entry

    def _first(self, envelope: Envelope) -> Evidence:
        """Verify entry 0: the owner enrols themselves, with the key the trust root names."""
        statement = envelope.statement
        kinds.check_predicate(statement.kind, statement.predicate)
        key = statement.predicate.get("key")
        if statement.kind != kinds.ENROLMENT or not isinstance(key, str):
            raise Tampered("the ledger does not begin with its owner's enrolment")
        if keyid_of(key) != self._owner_key or envelope.keyid != self._owner_key:
            raise Tampered("the ledger's owner is not the one in custody.toml")
        envelope.verify(key)
        actor = read_actor(statement.predicate)
        if statement.predicate["status"] != "active" or read_account(statement.predicate) != PERSON:
            raise Tampered("the ledger does not begin with its owner's enrolment")
        return _evidence(0, envelope, statement, actor, _Right(actor.roles, frozenset()))

    def _right(self, actor: Actor, statement: Statement) -> _Right:
        """Return the roles in effect for one statement: the signer's own, granted ones, and broken glass."""
        kind, at = statement.kind, str(statement.predicate.get("at", ""))
        if kind == kinds.TRAINING_FINISH:
            start = self._said.get(kinds.start_of(statement.predicate))
            at = start.at if start is not None and start.kind == kinds.TRAINING_START else ""
        holder = self.book.holders[actor.name]
        if holder.account == TOKEN and expired(holder.expires, at):
            raise Tampered(f"the token {actor.name} ended {holder.expires}")
        grants = self.rights.granted(actor.name, at)
        roles: Roles = actor.roles.union(*(grant.roles for grant in grants))
        rests = holder.rests.union(*(grant.rests for grant in grants))
        if not may_write(replace(actor, roles=roles), kind):
            for glass in self.rights.glass(actor.name, at):
                if may_write(replace(actor, roles=roles | glass.roles), kind):
                    return _Right(roles | glass.roles, rests | glass.rests, glass)
        return _Right(roles, rests)

    def take(self, entry: Evidence) -> None:
        """Let an admitted entry, the newest one, change who is on record."""
        if entry.index == 0:
            actor = read_actor(entry.predicate)
            self._said[entry.digest] = entry
            self.roots = [(0, first_root(self.root.log_key, Owner(actor.name, actor.person, actor.keyid, actor.key)))]
            self.book.put(Holder(actor))
        else:
            actor = self.actors[entry.actor]
            right = self._right(actor, Statement(entry.subject, entry.kind, entry.predicate))
            self._said[entry.digest] = entry
            if right.glass is not None:
                self.rights.use(right.glass, entry.index)
            change = self._changes.get(entry.kind)
            if change is None:
                return
            change(entry)
        self.actors = {name: self._effective(holder) for name, holder in self.book.holders.items()}

    def _effective(self, holder: Holder) -> Actor:
        """Return an actor with the roles that count: from version 2 on, the root alone makes owners."""
        actor, root = holder.actor, self.root
        if root.version == 1:
            return actor
        roles = actor.roles - {Role.OWNER}
        owner = root.owner(actor.keyid)
        return replace(actor, roles=roles | {Role.OWNER} if owner and owner.name == actor.name else roles)

    # Enrolments and grants: at once under a threshold of one, else when enough owners have signed

    def _check_enrolment(self, entry: Evidence) -> None:
        said = entry.predicate
        actor, account = read_actor(said), read_account(said)
        if said["status"] == "revoked":
            self._check_loss(actor.name)
            return
        owner = next((one for one in self.root.owners if one.name == actor.name), None)
        if owner is not None and (owner.keyid, owner.person) != (actor.keyid, actor.person):
            raise Tampered(f"{actor.name} is an owner: only a new root changes an owner's key")
        self.book.check(actor, account)

    def _check_use_case(self, _entry: Evidence) -> None:
        if self.root.threshold > 1:
            raise Tampered("one owner alone cannot change the policy: the root asks for several")

    def _check_grant(self, entry: Evidence) -> None:
        said = entry.predicate
        owners = frozenset(actor.person for actor in self.actors.values() if Role.OWNER in actor.roles)
        check_grant(said, self.book.holders[entry.actor], self.book.holders.get(said["name"]), owners)

    def _take_rights(self, entry: Evidence) -> None:
        said = entry.predicate
        ends = said["status"] != ("active" if entry.kind == kinds.ENROLMENT else "granted")
        if self.root.threshold > 1 and not ends and not said.get("emergency"):
            self.pending[entry.digest] = Pending(entry, frozenset({entry.person}), frozenset({entry.index}))
        else:
            self._apply(entry, frozenset({entry.index}))

    def _apply(self, entry: Evidence, rests: frozenset[int]) -> None:
        said = entry.predicate
        if entry.kind == kinds.GRANT:
            self.rights.take(entry, rests)
        elif said["status"] == "active":
            self.book.put(Holder(read_actor(said), read_account(said), rests))
        else:
            self._drop(said["name"])
            waiting = [digest for digest, one in self.pending.items() if one.entry.predicate["name"] == said["name"]]
            for digest in waiting:
                del self.pending[digest]

    def _drop(self, name: str) -> None:
        self.book.drop(name)
        self.rights.end(name)

    def _check_countersignature(self, entry: Evidence) -> None:
        said = self._said.get(entry.predicate["of"])
        if said is None:
            raise Tampered("it countersigns a statement that does not stand before it")
        if said.subject != entry.subject:
            raise Tampered("it is about something else than the statement it countersigns")
        if said.person == entry.person:
            raise Tampered("nobody countersigns their own statement")

    def _take_countersignature(self, entry: Evidence) -> None:
        waiting = self.pending.get(entry.predicate["of"])
        actor = self.actors[entry.actor]
        if waiting is None or Role.OWNER not in actor.roles:
            return
        persons = waiting.owners | {entry.person}
        rests = waiting.rests | {entry.index}
        if len(persons & self._live_owners()) < self.root.threshold:
            self.pending[waiting.entry.digest] = replace(waiting, owners=persons, rests=rests)
            return
        del self.pending[waiting.entry.digest]
        try:
            self._checks[waiting.entry.kind](waiting.entry)
        except (Tampered, InvalidInput, KeyError):
            return  # what was possible when it was asked for is not any more: another took the name or the key
        self._apply(waiting.entry, rests)

    # Roots

    def _live_owners(self, without: str = "") -> frozenset[str]:
        """Return the persons who own the ledger and whose key still signs; `without` one name."""
        return frozenset(
            owner.person
            for owner in self.root.owners
            if owner.name != without and owner.keyid not in self.book.lost and owner.name in self.book.holders
        )

    def _check_root(self, entry: Evidence) -> None:
        new = follow(self._origin, self.root, entry.predicate, self.book.lost)
        for owner in new.owners:
            self.book.check(self._as_actor(owner), PERSON)

    def _as_actor(self, owner: Owner) -> Actor:
        held = self.book.holders.get(owner.name)
        roles = held.actor.roles if held is not None else frozenset()
        return Actor(owner.name, owner.person, roles | {Role.OWNER}, owner.key, owner.keyid)

    def _take_root(self, entry: Evidence) -> None:
        new = read_root(self._origin, entry.predicate)
        self.roots.append((entry.index, new))
        self.pending.clear()
        for owner in new.owners:
            held = self.book.holders.get(owner.name)
            self.book.put(Holder(self._as_actor(owner), PERSON, held.rests if held is not None else frozenset()))

    # Revocations

    def _check_loss(self, name: str) -> None:
        """Raise `Tampered` where without `name` too few owners would be left for any new root."""
        if any(owner.name == name for owner in self.root.owners):
            left = self._live_owners(without=name)
            if len(left) < self.root.threshold:
                raise Tampered(f"without {name} no new root could be signed: put another owner in first")

    def _check_revocation(self, entry: Evidence) -> None:
        name, keyid, since = (entry.predicate[field] for field in ("name", "keyid", "compromised_since"))
        if self.book.name_of(keyid) != name:
            raise Tampered(f"{name} never had the key {keyid[:12]}")
        if since is not None and not 0 < since <= entry.index:
            raise Tampered(f"a key cannot be compromised since entry {since}, seen from entry {entry.index}")
        holder = self.book.holders.get(name)
        if holder is not None and holder.actor.keyid == keyid:
            self._check_loss(name)

    def _take_revocation(self, entry: Evidence) -> None:
        name, keyid, since = (entry.predicate[field] for field in ("name", "keyid", "compromised_since"))
        holder = self.book.holders.get(name)
        if holder is not None and holder.actor.keyid == keyid:
            self._drop(name)
        self.book.lost.add(keyid)
        if since is not None:
            self.void = void_of(self._said.values())
            self.book.drop_void(self.void, self.root)
            self.rights.end_void(self.void)
            for digest in [digest for digest, one in self.pending.items() if not one.rests.isdisjoint(self.void)]:
                del self.pending[digest]

    # Delegated tokens

    def _check_delegation(self, entry: Evidence) -> None:
        said = entry.predicate
        if said["status"] == "revoked":
            holder = self.book.holders.get(said["name"])
            if holder is None or holder.account != TOKEN or holder.actor.keyid != said["keyid"]:
                raise Tampered(f"there is no token {said['name']} with that key")
            if entry.actor != holder.by and Role.OWNER not in self.actors[entry.actor].roles:
                raise Tampered(f"{entry.actor} did not delegate {said['name']}")
            return
        if said["status"] != "active":
            raise InvalidInput(f"status {said['status']!r} is neither active nor revoked")
        signer, token = self.book.holders[entry.actor], self._token(entry)
        if signer.account == TOKEN:
            raise Tampered("a token cannot delegate")
        if not token.roles or not token.roles <= signer.actor.roles & SERVICE_ROLES:
            raise Tampered(f"{entry.actor} cannot delegate {', '.join(sorted(token.roles)) or 'nothing'}")
        if moment(said["expires"]) is None:
            raise Tampered("a token must end")
        self.book.check(token, TOKEN)

    def _token(self, entry: Evidence) -> Actor:
        said = entry.predicate
        if recorded_keyid(said["key"]) != said["keyid"]:
            raise InvalidInput("the key id does not fit the key")
        return Actor(said["name"], entry.person, read_roles(said["roles"]), said["key"], said["keyid"])

    def _take_delegation(self, entry: Evidence) -> None:
        said = entry.predicate
        if said["status"] == "revoked":
            self._drop(said["name"])
        else:
            token = self._token(entry)
            self.book.put(Holder(token, TOKEN, frozenset({entry.index}), entry.actor, said["expires"]))

    def _check_review(self, entry: Evidence) -> None:
        check_review(entry.predicate)


def _evidence(index: int, envelope: Envelope, statement: Statement, actor: Actor, right: _Right) -> Evidence:
    return Evidence(
        index,
        envelope.digest,
        statement.subject,
        statement.kind,
        statement.predicate,
        actor.name,
        actor.person,
        frozenset(str(role) for role in right.roles),
        envelope.keyid,
        right.rests,
    )
