"""The desk: the one place where statements become evidence.

Nothing enters the ledger but through a `Pen`, and a pen is handed out for one action after access
was checked; a refusal is recorded as well. Nothing leaves it but as a `Record`, after the tree, every
signature and every signer's right to say such a thing at that index were checked.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import WRITES, Access, Action, decide, may_write
from custody.core.actor import Actor, Role
from custody.core.circumstances import context_of, describe
from custody.core.evidence import Evidence, Record
from custody.core.moments import expired, moment
from custody.core.permission import Resource, Rules
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import InvalidInput, NotPermitted, Tampered, Unavailable
from custody.gates import access_schema, access_text
from custody.ledger.anchor import anchored
from custody.ledger.log import Log, Moved, Reading
from custody.roster import Roster
from custody.roster.book import TOKEN
from custody.seal.digest import Manifest
from custody.seal.envelope import seal
from custody.seal.keys import Signer, keyid_of, raw_to_text
from custody.seal.oms import sign_oms

CUSTODIAN = "custodian"
RESERVED = frozenset({CUSTODIAN, "log", "commitments"})
"""Names whose key files are Custody's own."""
_MOST_TURNS = 1000
"""How often one statement lets other writers go first before it gives up."""


AHEAD = timedelta(minutes=5)
"""How far ahead of this desk's clock a statement may be dated: until then no decision could cover it."""


def now() -> datetime:
    """Return the present moment, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


class Desk:
    """Reads the ledger into a record, and writes to it through pens."""

    def __init__(
        self,
        log: Log,
        owner_key: str,
        signer: Callable[[str], Signer],
        clock: Callable[[], datetime] = now,
        rules: Callable[[], Rules] | None = None,
    ) -> None:
        self._log, self._signer, self._clock = log, signer, clock
        self._read_rules = rules or (lambda: Rules(access_text(), access_schema()))
        self._reading: Reading | None = None
        self._entries: list[Evidence] = []
        self._roots: dict[int, str] = {}
        self._thorough = False
        self._new_roster = partial(Roster, owner_key, log.origin, raw_to_text(log.public))
        self._roster = self._new_roster()

    @property
    def log(self) -> Log:
        """Return the log itself, for proofs and exports."""
        return self._log

    def time(self) -> str:
        """Return the desk's clock in ISO 8601."""
        return self._clock().isoformat()

    def read(self) -> Record:
        """Return the complete, verified record; raises `Tampered` and never a part of it."""
        reading = self._log.read(self._reading, thorough=self._thorough)
        for index, envelope in reading.rows[len(self._entries) :]:
            entry = self._roster.admit(index, envelope)
            self._roster.take(entry)
            self._entries.append(entry)
        self._reading = reading
        self._log.every_signature_held(reading)
        for entry in self._entries:
            if entry.kind == kinds.TRAINING_START:
                size = entry.predicate["checkpoint"].get("size")
                if isinstance(size, int) and size not in self._roots and size in reading.frontiers:
                    self._roots[size] = reading.frontiers[size].root.hex()
        checkpoint = reading.checkpoint
        eyes = anchored(self._entries, self._log.origin, reading.frontiers)
        return Record(
            tuple(self._entries), checkpoint.size, checkpoint.root.hex(), dict(self._roots), self._roster.void, eyes
        )

    def thoroughly(self) -> Desk:
        """Return a desk over the same log that verifies every signature, whatever this client remembers."""
        again = copy.copy(self)
        again._reading, again._entries, again._thorough = None, [], True
        again._roots = {}
        again._roster = self._new_roster()
        return again

    @property
    def reading(self) -> Reading:
        """Return the envelopes behind the last record."""
        if self._reading is None:
            self.read()
        if self._reading is None:
            raise Tampered("the ledger could not be read")
        return self._reading

    def roster(self) -> Roster:
        """Return who is on record now."""
        self.read()
        return self._roster

    def roster_at(self, size: int) -> Roster:
        """Return who was on record when the ledger had `size` entries."""
        self.read()
        roster = self._new_roster()
        for entry in self._entries[:size]:
            roster.take(entry)
        return roster

    def actor(self, name: str) -> Actor:
        """Return one actor; raises `NotFound` or `NotPermitted`."""
        if not name:
            raise NotPermitted(
                "it is not known who acts", hint="say who: custody --as NAME ..., or set actor in custody.toml"
            )
        found = self.roster().actors.get(name)
        if found is None:
            known = ", ".join(sorted(self._roster.actors)) or "nobody"
            raise NotPermitted(
                f"{name!r} is not enrolled; on record: {known}", hint=f"custody init person {name} --role ROLE"
            )
        return found

    @cached_property
    def rules(self) -> Rules:
        """Return the access policies in force; raises `InvalidInput` where a project's own cannot be read."""
        return self._read_rules()

    def permit(
        self,
        name: str,
        action: Action,
        model: Subject | None = None,
        *,
        resource: Resource | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Pen:
        """Return a pen for one action, or record the denial and raise `NotPermitted`.

        `model` is whom separation of duties asks about; `resource` what is acted on, where that is something else;
        `context` the circumstances that no record tells (environment, purpose, mfa, clearance, second_person).
        """
        access = self.access(name, action, model, resource=resource, context=context)
        actor = self.actor(name)
        if not access.allowed:
            self.deny(actor, action, access, model)
        signer = self._signer(actor.name)
        if signer.keyid != actor.keyid:
            raise NotPermitted(f"the key of {actor.name} is not the one on record")
        return Pen(self, actor, action, signer, self._by(access) if self.rules.own else {})

    def access(
        self,
        name: str,
        action: str,
        model: Subject | None = None,
        *,
        resource: Resource | None = None,
        context: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> Access:
        """Decide about one action, here and now (or at the moment `at`); records nothing."""
        self.actor(name)
        record, moment = self.read(), at or self._clock()
        subject = model.sha256 if model else ""
        where = resource or describe(record, self.rules.type_of(action), subject)
        told = context_of(record, self._roster.actors[name].person, action, subject, moment, context or {})
        return self.judge(self._roster, name, action, where, told, moment.isoformat())

    def judge(
        self, roster: Roster, name: str, action: str, where: Resource, told: Mapping[str, Any], at: str
    ) -> Access:
        """Decide by the rules in force for somebody on `roster` at the moment `at`: own roles, granted ones, tokens.

        Roles of broken glass count where no other role gives the action, and where its use leaves a statement.
        """
        holder, actor = roster.book.holders[name], roster.acting(name, at)
        if holder.account == TOKEN and expired(holder.expires, at):
            return Access(False, f"the token {name} ended {holder.expires}", "token.ended")
        if action in list(Action) and not decide(actor, Action(action)).allowed:
            kinds_written = WRITES[Action(action)]
            glass = roster.acting(name, at, glass=True)
            if action == Action.LOAD or (kinds_written and not any(may_write(actor, kind) for kind in kinds_written)):
                actor = glass
        return self.rules.judge(actor, action, where, told, account=holder.account, token=holder.account == TOKEN)

    def deny(self, actor: Actor, action: Action, access: Access, model: Subject | None) -> None:
        """Record that somebody was refused, and refuse."""
        custodian = self._roster.actors.get(CUSTODIAN)
        if custodian is not None:
            subject = model or Subject(f"actor:{actor.name}", actor.keyid)
            pen = Pen(self, custodian, Action.DENY, self._signer(CUSTODIAN))
            said: dict[str, Any] = {"actor": actor.name, "person": actor.person, "action": str(action)}
            said |= {"reason": access.reason, **self._by(access)}
            if access.missing:
                said["missing"] = list(access.missing)
            pen.write(subject, kinds.DENIAL, said)
        raise NotPermitted(access.reason, hint="the refusal is on record; another person has to do this")

    def _by(self, access: Access) -> dict[str, Any]:
        """Return what is recorded of how it was decided: the rule, and the policies by content."""
        return {"rule": access.rule, "policy": self.rules.digest}

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
        dated = moment(str(statement.predicate.get("at", "")))
        if dated is not None and dated > self._clock() + AHEAD:
            raise InvalidInput(
                f"the statement is dated {dated.isoformat()}, ahead of this machine's clock; nothing was recorded",
                hint="set the clock right: no decision could be made until that moment",
            )
        envelope = seal(statement, signer)
        for _ in range(_MOST_TURNS):
            size = self.read().size
            if after is not None and size != after:
                raise Moved(f"the ledger has grown from {after} to {size} entries", hint="try again")
            try:
                self._roster.admit(size, envelope)
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


@dataclass(frozen=True)
class Pen:
    """The right to record the statements of one action as one actor."""

    desk: Desk
    actor: Actor
    action: Action
    _signer: Signer
    _by: Mapping[str, Any] = field(default_factory=dict)
    """By which rule of a project's own policies, where it has any."""

    def sign_files(self, manifest: Manifest, name: str) -> bytes:
        """Sign a model's files for people without Custody, in the OpenSSF's form; for a deployment alone."""
        if self.action is not Action.DEPLOY:
            raise InvalidInput(f"{self.action} does not cover the signature of a model")
        return sign_oms(manifest, name, self._signer, self.actor.key)

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
            if self._by and kind not in (kinds.VERIFICATION_SUMMARY, kinds.TRUST_ROOT):
                body.setdefault("access", dict(self._by))
        return self.desk.write(Statement(subject, kind, body), self._signer, after)


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` can name a person, and their key file."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isalnum() or name.startswith(".") or len(name) > 64:
        raise InvalidInput(f"{name!r} is not a usable name; use letters, digits, dots and dashes")
    if name in RESERVED:
        raise InvalidInput(f"{name!r} is a name that Custody uses itself", hint="choose another one")


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
