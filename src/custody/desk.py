"""The desk: the one place where statements become evidence.

Nothing enters the ledger but through a `Pen`, and a pen is handed out for one action after access
was checked; a refusal is recorded as well. Nothing leaves it but as a `Record`, after the tree, every
signature and every signer's right to say such a thing at that index were checked.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import WRITES, Access, Action, decide, may_write, parts_of, separation
from custody.core.actor import Actor, Role
from custody.core.evidence import Evidence, Record
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import InvalidInput, NotPermitted, Tampered, Unavailable
from custody.ledger.log import Log, Moved, Reading
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import Signer, canonical_pem, keyid_of

CUSTODIAN = "custodian"
RESERVED = frozenset({CUSTODIAN, "log", "commitments"})
"""Names whose key files are Custody's own."""
_MOST_TURNS = 1000
"""How often one statement lets other writers go first before it gives up."""


def now() -> datetime:
    """Return the present moment, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Enrolment:
    """Who was on record at some index."""

    actors: Mapping[str, Actor]

    def by_key(self, keyid: str) -> Actor | None:
        """Return the actor with that key."""
        return next((actor for actor in self.actors.values() if actor.keyid == keyid), None)


class Desk:
    """Reads the ledger into a record, and writes to it through pens."""

    def __init__(
        self,
        log: Log,
        owner_key: str,
        signer: Callable[[str], Signer],
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._log, self._owner_key, self._signer, self._clock = log, owner_key, signer, clock
        self._reading: Reading | None = None
        self._entries: list[Evidence] = []
        self._actors: dict[str, Actor] = {}
        self._digests: set[str] = set()

    @property
    def log(self) -> Log:
        """Return the log itself, for proofs and exports."""
        return self._log

    def time(self) -> str:
        """Return the desk's clock in ISO 8601."""
        return self._clock().isoformat()

    def read(self) -> Record:
        """Return the complete, verified record; raises `Tampered` and never a part of it."""
        reading = self._log.read(self._reading)
        for index, envelope in reading.rows[len(self._entries) :]:
            entry = self._evidence(index, envelope)
            if entry.kind == kinds.ENROLMENT:
                self._enrol(entry.predicate)
            self._entries.append(entry)
            self._digests.add(entry.digest)
        self._reading = reading
        roots = {
            size: reading.frontiers[size].root.hex()
            for entry in self._entries
            if entry.kind == kinds.TRAINING_START
            and isinstance(size := entry.predicate["checkpoint"].get("size"), int)
            and size in reading.frontiers
        }
        return Record(tuple(self._entries), reading.checkpoint.size, reading.checkpoint.root.hex(), roots)

    @property
    def reading(self) -> Reading:
        """Return the envelopes behind the last record."""
        if self._reading is None:
            self.read()
        if self._reading is None:
            raise Tampered("the ledger could not be read")
        return self._reading

    def actors(self) -> Enrolment:
        """Return who is on record now."""
        self.read()
        return Enrolment(dict(self._actors))

    def actor(self, name: str) -> Actor:
        """Return one actor; raises `NotFound` or `NotPermitted`."""
        if not name:
            raise NotPermitted(
                "it is not known who acts", hint="say who: custody --as NAME ..., or set actor in custody.toml"
            )
        found = self.actors().actors.get(name)
        if found is None:
            known = ", ".join(sorted(self._actors)) or "nobody"
            raise NotPermitted(
                f"{name!r} is not enrolled; on record: {known}", hint=f"custody init person {name} --role ROLE"
            )
        return found

    def permit(self, name: str, action: Action, model: Subject | None = None) -> Pen:
        """Return a pen for one action, or record the denial and raise `NotPermitted`."""
        actor = self.actor(name)
        access = decide(actor, action)
        if access.allowed and model is not None and not self.solo():
            access = separation(actor, action, parts_of(self.read(), model.sha256))
        if not access.allowed:
            self.deny(actor, action, access, model)
        signer = self._signer(actor.name)
        if signer.keyid != actor.keyid:
            raise NotPermitted(f"the key of {actor.name} is not the one on record")
        return Pen(self, actor, action, signer)

    def deny(self, actor: Actor, action: Action, access: Access, model: Subject | None) -> None:
        """Record that somebody was refused, and refuse."""
        custodian = self._actors.get(CUSTODIAN)
        if custodian is not None:
            subject = model or Subject(f"actor:{actor.name}", actor.keyid)
            pen = Pen(self, custodian, Action.DENY, self._signer(CUSTODIAN))
            pen.write(
                subject,
                kinds.DENIAL,
                {"actor": actor.name, "person": actor.person, "action": str(action), "reason": access.reason},
            )
        raise NotPermitted(access.reason, hint="the refusal is on record; another person has to do this")

    def solo(self) -> bool:
        """Tell whether the use case was opened in solo mode, where one person plays every part."""
        opened = self.read().of_kind(kinds.USE_CASE)
        return bool(opened and opened[-1].predicate["solo"])

    def write(self, statement: Statement, signer: Signer, after: int | None = None) -> Evidence:
        """Sign, append and read back. Only pens call this.

        What readers would not accept is never appended: an entry cannot be taken back, and one that
        does not count would spoil the whole ledger. So the entry is verified first, as a reader would,
        and appended only if no other came in between: its signer may have been revoked meanwhile.
        """
        kinds.check_predicate(statement.kind, statement.predicate)
        envelope = seal(statement, signer)
        for _ in range(_MOST_TURNS):
            size = self.read().size
            if after is not None and size != after:
                raise Moved(f"the ledger has grown from {after} to {size} entries", hint="try again")
            try:
                self._evidence(size, envelope)
            except Tampered as error:
                raise NotPermitted(f"{error.message}; nothing was recorded") from None
            try:
                index, _note = self._log.append([envelope], after=size)
            except Moved:
                continue
            break
        else:
            raise Unavailable("too many commands write to the ledger at once", hint="try again")
        record = self.read()
        found = record.entries[index]
        if found.digest != envelope.digest:
            raise Tampered(f"entry {index} is not what was written")
        return found

    def _evidence(self, index: int, envelope: Envelope) -> Evidence:
        """Verify one entry in the light of all before it; changes nothing."""
        actor = Enrolment(self._actors).by_key(envelope.keyid)
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
        for other in self._actors.values():
            if other.name != actor.name and other.keyid == actor.keyid:
                raise Tampered(f"{actor.name} has the same key as {other.name}")
        return actor

    def _enrol(self, said: Mapping[str, Any]) -> None:
        """Take a verified enrolment into the list, or a revoked actor off it."""
        actor = self._enrolled(said)
        if said["status"] == "active":
            self._actors[actor.name] = actor
        else:
            self._actors.pop(actor.name, None)


@dataclass(frozen=True)
class Pen:
    """The right to record the statements of one action as one actor."""

    desk: Desk
    actor: Actor
    action: Action
    _signer: Signer

    def write(self, subject: Subject, kind: str, predicate: Mapping[str, Any], after: int | None = None) -> Evidence:
        """Record a statement; the pen's action must cover its kind.

        With `after`, only as the entry right behind that many; raises `Moved` otherwise.
        """
        if kind not in WRITES[self.action]:
            raise InvalidInput(f"{self.action} does not cover {kinds.short(kind)}")
        body = dict(predicate)
        if kind != kinds.TRAINING_FINISH:
            body.setdefault("at", self.desk.time())
            # Two persons may say the same thing in the same second; a copy of either is still a copy.
            body.setdefault("id", secrets.token_hex(8))
        return self.desk.write(Statement(subject, kind, body), self._signer, after)


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


def enrol(desk: Desk, by: str, name: str, person: str, roles: frozenset[Role], public: str) -> Evidence:
    """Put a person's key and roles on record."""
    if name != CUSTODIAN:
        check_name(name)
    for other in desk.actors().actors.values():
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
    for other in desk.actors().actors.values():
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


def begin(log: Log, owner: str, public: str, roles: frozenset[Role], signer: Signer, at: str) -> None:
    """Write entry 0: the owner enrols themselves."""
    keyid = keyid_of(public)
    predicate = {
        "name": owner,
        "person": owner,
        "roles": sorted(str(role) for role in roles),
        "key": public,
        "keyid": keyid,
        "status": "active",
        "at": at,
    }
    log.append([seal(Statement(Subject(f"actor:{owner}", keyid), kinds.ENROLMENT, predicate), signer)])
