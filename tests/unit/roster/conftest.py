from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.evidence import Evidence, Record
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import Tampered
from custody.ledger.trust import Owner, Root, Witness, sign_root
from custody.roster import Roster
from custody.seal.envelope import Envelope, pae, seal
from custody.seal.keys import LogKey, PersonKey, raw_to_text
from custody_verify import roster as verifier
from custody_verify.curves import first_wrong
from custody_verify.ledger import _open_envelope
from custody_verify.strict import Refused

ORIGIN = "custody.town"
MODEL = Subject("loans", "ab" * 32)
APPROVAL = {"use_case": "loans", "verdict": "approve", "reason": "seen"}
TRAINING = {
    "run": "r", "use_case": "loans", "seal": "", "checkpoint": {}, "seed": 1, "command": [], "out": "o",
    "inputs": [], "code": {}, "parameters": {}, "environment": {}, "isolation": {},
}  # fmt: skip


class Town:
    """A roster that hears one statement after the other; keys lie in a drawer by name."""

    def __init__(self) -> None:
        self.log_key = raw_to_text(LogKey.generate().public)
        self.keys: dict[str, PersonKey] = {"olga": PersonKey.generate()}
        self.envelopes: list[Envelope] = []
        self.entries: list[Evidence] = []
        self.roster = self.fresh()
        self.enrol("olga", "owner", by="olga")

    def fresh(self) -> Roster:
        return Roster(self.keys["olga"].keyid, ORIGIN, self.log_key)

    def key(self, name: str) -> PersonKey:
        return self.keys.setdefault(name, PersonKey.generate())

    def at(self, minutes: int = 0) -> str:
        return f"2026-01-01T{minutes // 60:02}:{minutes % 60:02}:00+00:00"

    def say(
        self, by: str, kind: str, said: Mapping[str, Any], about: Subject = MODEL, *, minute: int = 0, key: str = ""
    ) -> Evidence:
        """Have somebody say something; raises `Tampered` when it does not count."""
        body = {**said} if kind == kinds.TRAINING_FINISH else {"at": self.at(minute), "id": str(self.size), **said}
        envelope = seal(Statement(about, kind, body), self.key(key or by))
        try:
            entry = self.roster.admit(self.size, envelope)
        except Tampered as error:
            with pytest.raises(Refused):
                self.mirrored(envelope)
            raise error
        self.roster.take(entry)
        self.compare(entry, *self.mirrored(envelope))
        self.envelopes.append(envelope)
        self.entries.append(entry)
        return entry

    def mirrored(self, newest: Envelope) -> tuple[verifier.Entry, verifier.Roster]:
        """Let the independent verifier replay everything, the newest statement too; raises `Refused`."""
        roster = verifier.Roster(ORIGIN, self.keys["olga"].keyid, base64.b64decode(self.log_key))
        signed = []
        for index, envelope in enumerate([*self.envelopes, newest]):
            entry, _, numbers, _ = _open_envelope(index, envelope.to_bytes())
            entry, key = roster.admit(entry)
            signed.append((key, numbers, pae(envelope.payload)))
        if first_wrong(signed) is not None:
            raise Refused("the signature does not fit")
        return entry, roster

    def compare(self, ours: Evidence, theirs: verifier.Entry, mirror: verifier.Roster) -> None:
        """Hold the verifier's reading against the product's: who spoke, with which roles, and who is on record now."""
        assert (theirs.actor, theirs.person, theirs.roles) == (ours.actor, ours.person, ours.roles)
        own = {name: mirror._own(person) for name, person in mirror.people.items()}
        assert own == {name: frozenset(map(str, actor.roles)) for name, actor in self.roster.actors.items()}
        keys = {name: person.keyid for name, person in mirror.people.items()}
        assert keys == {name: actor.keyid for name, actor in self.roster.actors.items()}
        assert (mirror.void[-1][1] if mirror.void else frozenset()) == self.roster.void
        record = Record([*self.entries, ours], self.size + 1, "")  # what a past decision's record would call void
        assert record.before(self.size + 1, "").void == self.roster.void
        root, known = mirror.roots[-1], self.roster.root
        assert (root.version, root.digest, root.threshold) == (known.version, known.digest, known.threshold)
        assert set(mirror._pending) == set(self.roster.pending)

    def refused(self, match: str, *args: Any, **more: Any) -> None:
        """Check that a statement does not count, and changes nothing."""
        before = (dict(self.roster.actors), dict(self.roster.pending), self.roster.root)
        with pytest.raises(Tampered, match=match):
            self.say(*args, **more)
        assert (dict(self.roster.actors), dict(self.roster.pending), self.roster.root) == before

    @property
    def size(self) -> int:
        return len(self.envelopes)

    def card(self, name: str, *roles: str, key: str = "", person: str = "", **change: Any) -> dict[str, Any]:
        found = self.key(key or name)
        said = {"name": name, "person": person or name, "roles": list(roles), "key": found.public}
        return {**said, "keyid": found.keyid, "status": "active", **change}

    def enrol(self, name: str, *roles: str, by: str = "olga", **change: Any) -> Evidence:
        return self.say(by, kinds.ENROLMENT, self.card(name, *roles, **change))

    def approve(self, by: str, minute: int = 0, key: str = "") -> Evidence:
        return self.say(by, kinds.APPROVAL, APPROVAL, minute=minute, key=key)

    def grant(self, name: str, *roles: str, by: str = "olga", minute: int = 0, **change: Any) -> Evidence:
        said = {"name": name, "roles": list(roles), "status": "granted", "emergency": False, "reason": "she asked"}
        return self.say(by, kinds.GRANT, {**said, "expires": self.at(120), **change}, minute=minute)

    def emergency(self, name: str, *roles: str, minute: int = 0, **change: Any) -> Evidence:
        return self.grant(name, *roles, by=name, minute=minute, **{"emergency": True, **change})

    def delegate(self, by: str, name: str, *roles: str, minute: int = 0, **change: Any) -> Evidence:
        found = self.key(name)
        said = {"name": name, "key": found.public, "keyid": found.keyid, "roles": list(roles), "status": "active"}
        return self.say(by, kinds.DELEGATION, {**said, "expires": self.at(60), **change}, minute=minute)

    def countersign(self, by: str, entry: Evidence, **change: Any) -> Evidence:
        said = {"of": entry.digest, "reason": "seen and agreed", **change}
        return self.say(by, kinds.COUNTERSIGNATURE, said, entry.subject)

    def revoke(self, by: str, name: str, since: int | None = None, keyid: str = "") -> Evidence:
        said = {"name": name, "keyid": keyid or self.key(name).keyid, "reason": "lost", "compromised_since": since}
        return self.say(by, kinds.KEY_REVOCATION, said)

    def root(self, names: tuple[str, ...], threshold: int, **change: Any) -> Root:
        listed = tuple(Owner(name, name, self.key(name).keyid, self.key(name).public) for name in names)
        now = self.roster.root
        made = Root(now.version + 1, "", self.log_key, listed, threshold)
        return Root(**{**{name: getattr(made, name) for name in Root.__dataclass_fields__}, **change})

    def rooted(self, root: Root, *signers: str) -> dict[str, Any]:
        return {**root.to_json(), "signatures": [sign_root(ORIGIN, root, self.key(name)) for name in signers]}

    def install(self, names: tuple[str, ...], threshold: int, *signers: str, **change: Any) -> Evidence:
        """Install a root signed by `signers`; by everybody whom either version names unless told otherwise."""
        root = self.root(names, threshold, **change)
        voices = signers or tuple(dict.fromkeys([*(o.name for o in self.roster.root.owners), *names]))
        by = self.roster.root.owners[0].name
        return self.say(by, kinds.TRUST_ROOT, self.rooted(root, *voices))

    def on_record(self) -> set[str]:
        return set(self.roster.actors)

    def roles(self, name: str) -> set[str]:
        return {str(role) for role in self.roster.actors[name].roles}


def witness(name: str) -> Witness:
    return Witness(name, base64.b64encode(LogKey.generate().public).decode())


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def two(town: Town) -> Town:
    """A town with three owners, two of whom must agree."""
    for name in ("bea", "cas"):
        town.enrol(name, "auditor")
    town.enrol("sam", "security_manager")
    town.install(("olga", "bea", "cas"), 2)
    return town
