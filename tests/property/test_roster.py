"""Whatever is said in whatever order, the roster never crashes, never lets a stranger sign, and forgets nothing."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody.core import predicates as kinds
from custody.core.access import GRANTS, WRITES
from custody.core.actor import Actor, Role
from custody.core.evidence import Evidence
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import Tampered
from custody.ledger.trust import Owner, Root, sign_root
from custody.roster import Roster
from custody.seal.envelope import Envelope, in_one_form, seal
from custody.seal.keys import LogKey, PersonKey, raw_to_text

ORIGIN, TOWN = "custody.town", Subject("town", "ab" * 32)
NAMES = ("olga", "bea", "ann", "otto", "eve")
KEYS = [PersonKey.generate() for _ in range(24)]
LOG_KEYS = [raw_to_text(LogKey.generate().public) for _ in range(2)]
PRIVATE = {key.keyid: key for key in KEYS}
ROLES = [str(role) for role in Role]
KINDS = (
    kinds.ENROLMENT, kinds.KEY_REVOCATION, kinds.GRANT, kinds.DELEGATION, kinds.TRUST_ROOT, kinds.COUNTERSIGNATURE,
    kinds.ACCESS_REVIEW, kinds.DEPLOYMENT, kinds.APPROVAL,
)  # fmt: skip
RIGHT = {kind: frozenset().union(*(GRANTS[a] for a in GRANTS if kind in WRITES[a])) for kind in KINDS}
START = {"name": "olga", "person": "olga", "roles": ["owner"], "key": KEYS[0].public, "keyid": KEYS[0].keyid}

SERVICE = ["data_engineer", "ml_engineer", "validator", "operator"]
MINUTES = [f"2026-01-01T00:{minute:02}:00+00:00" for minute in range(60)]


class Babble:
    """Says one statement after the other: most make sense as things stand, some are anything at all."""

    def __init__(self, rnd: Random) -> None:
        self.rnd = rnd

    def statement(self, roster: Roster, entries: list[Evidence]) -> Envelope:
        kind = self.rnd.choice([*KINDS, kinds.ENROLMENT, kinds.COUNTERSIGNATURE])
        actors = list(roster.actors.values())
        fit = [actor for actor in actors if actor.roles & RIGHT.get(kind, frozenset(Role))]
        by = self.rnd.choice(fit if fit and self.often() else actors)
        said, about = self.body(kind, by, roster, entries)
        key = PRIVATE[by.keyid] if self.often() else self.rnd.choice(KEYS)
        at = self.rnd.choice(MINUTES)
        return seal(Statement(about, kind, {"at": at, "id": str(len(entries)), **said}), key)

    def often(self) -> bool:
        return self.rnd.random() < 0.9

    def some(self, roles: Sequence[str]) -> list[str]:
        return self.rnd.sample(list(roles), self.rnd.randint(0 if not self.often() else 1, min(3, len(roles))))

    def card(self, roster: Roster, name: str) -> dict[str, Any]:
        """A key that nobody used, or that of the name, or any."""
        held = roster.actors.get(name)
        free = [key for key in KEYS if roster.book.name_of(key.keyid) is None]
        if held is not None and self.rnd.random() < 0.5:
            key = PRIVATE[held.keyid]
        else:
            key = self.rnd.choice(free if free and self.often() else KEYS)
        return {"key": key.public, "keyid": key.keyid}

    def body(self, kind: str, by: Actor, roster: Roster, entries: list[Evidence]) -> tuple[dict[str, Any], Subject]:
        rnd, name = self.rnd, self.rnd.choice(NAMES)
        if kind == kinds.ENROLMENT:
            account = rnd.choice(["person", "person", "person", "service"])
            person = rnd.choice([by.person, name]) if account == "service" or not self.often() else name
            roles = self.some(SERVICE if account == "service" and self.often() else ROLES)
            status = "active" if self.often() else "revoked"
            return self.card(roster, name) | {
                "name": name, "person": person, "roles": roles, "status": status, "account": account
            }, TOWN  # fmt: skip
        if kind == kinds.KEY_REVOCATION:
            had = roster.book.keys_of(name) or [KEYS[0].keyid]
            since = rnd.choice([None, rnd.randint(-1, len(entries) + 1), rnd.randint(1, len(entries))])
            return {"name": name, "keyid": rnd.choice(had), "reason": "x", "compromised_since": since}, TOWN
        if kind == kinds.GRANT:
            emergency = rnd.random() < 0.5
            roles = self.some(["operator", "security_manager"] if emergency and self.often() else ROLES)
            return {
                "name": by.name if emergency and self.often() else name, "roles": roles, "reason": "x",
                "status": "granted" if self.often() else "withdrawn", "emergency": emergency, "expires": MINUTES[-1],
            }, TOWN  # fmt: skip
        if kind == kinds.DELEGATION:
            mine = sorted(str(role) for role in by.roles if str(role) in SERVICE)
            token = f"token-{len(entries)}" if self.often() else name
            return self.card(roster, token) | {
                "name": token, "roles": self.some(mine or SERVICE), "expires": rnd.choice(MINUTES[30:]),
                "status": "active" if self.often() else "revoked",
            }, TOWN  # fmt: skip
        if kind == kinds.TRUST_ROOT:
            return self.root(roster), TOWN
        if kind == kinds.COUNTERSIGNATURE:
            waiting = [one.entry for one in roster.pending.values()]
            entry = rnd.choice(waiting if waiting and self.often() else entries)
            return {"of": entry.digest, "reason": "x"}, entry.subject if self.often() else Subject("x", "cd" * 32)
        if kind == kinds.ACCESS_REVIEW:
            cases = list(roster.rights.emergencies) or ["00" * 32]
            verdict = rnd.choice(["upheld", "disputed"])
            return {"of": rnd.choice(cases), "verdict": verdict, "findings": [], "reason": "x"}, TOWN
        if kind == kinds.DEPLOYMENT:
            return {"use_case": "x", "environment": "x", "admission": "", "copies": []}, TOWN
        return {"use_case": "x", "verdict": "approve", "reason": "x"}, TOWN

    def root(self, roster: Roster) -> dict[str, Any]:
        people = [actor for actor in roster.actors.values() if roster.book.holders[actor.name].account == "person"]
        chosen = self.rnd.sample(people, self.rnd.randint(1, min(3, len(people))))
        owners = [Owner(one.name, one.person, one.keyid, one.key) for one in chosen]
        if not self.often():
            fresh = self.card(roster, owners[0].name)
            owners[0] = Owner(owners[0].name, owners[0].person, fresh["keyid"], fresh["key"])
        version = roster.root.version + (1 if self.often() else self.rnd.randint(-1, 2))
        root = Root(version, "", self.rnd.choice(LOG_KEYS), tuple(owners), self.rnd.randint(1, len(owners)))
        keyids = [*dict.fromkeys([owner.keyid for owner in (*roster.root.owners, *owners)])]
        signers = [one for one in keyids if one not in roster.book.lost and self.rnd.random() < 0.97]
        return {**root.to_json(), "signatures": [sign_root(ORIGIN, root, PRIVATE[one]) for one in signers]}


def first() -> Envelope:
    at = "2026-01-01T00:00:00+00:00"
    return seal(Statement(TOWN, kinds.ENROLMENT, {**START, "status": "active", "at": at}), KEYS[0])


def replay(envelopes: list[Envelope]) -> tuple[Roster, list[Evidence]]:
    roster, entries = Roster(KEYS[0].keyid, ORIGIN, LOG_KEYS[0]), []
    for index, envelope in enumerate(envelopes):
        entry = roster.admit(index, envelope)
        roster.take(entry)
        entries.append(entry)
    return roster, entries


def state(roster: Roster) -> tuple[Any, ...]:
    return (
        roster.actors,
        roster.book.holders,
        roster.book.lost,
        roster.pending,
        roster.roots,
        roster.rights.grants,
        roster.rights.emergencies,
        roster.void,
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_any_sequence_of_statements_is_ruled_the_same_way_twice(rnd: Random, length: int) -> None:
    envelopes = [first()]
    roster, entries = replay(envelopes)
    babble = Babble(rnd)
    for _ in range(length):
        envelope = babble.statement(roster, entries)
        before = roster.by_key(envelope.keyid)
        try:
            entry = roster.admit(len(envelopes), envelope)
        except Tampered:
            continue
        # who signed was on record, with that very key, which nobody had lost, and holds what the evidence says
        assert before is not None
        assert before.keyid == envelope.keyid == entry.keyid
        assert envelope.keyid not in roster.book.lost
        assert (entry.actor, entry.person) == (before.name, before.person)
        lost, void = set(roster.book.lost), roster.void
        roster.take(entry)
        assert lost <= roster.book.lost  # a lost key never comes back
        assert void <= roster.void  # nor does a void entry
        assert {i for i in roster.void if i > entry.index} == set()
        check(roster)
        entries.append(entry)
        envelopes.append(envelope)
    again, twice = replay(envelopes)
    assert twice == entries
    assert state(again) == state(roster)
    size = rnd.randint(1, len(envelopes))  # a prefix is admitted as if nothing had followed
    assert replay(envelopes[:size])[1] == entries[:size]


def test_what_was_said_above_was_heard() -> None:
    """The property is about something: of each kind many statements count."""
    heard: Counter[str] = Counter()
    for seed in range(80):
        rnd = Random(seed)
        envelopes = [first()]
        roster, entries = replay(envelopes)
        babble = Babble(rnd)
        for _ in range(30):
            try:
                entry = roster.admit(len(entries), babble.statement(roster, entries))
            except Tampered:
                continue
            roster.take(entry)
            entries.append(entry)
            heard[kinds.short(entry.kind)] += 1
            heard["void"] += bool(roster.void)
            heard["waiting"] += bool(roster.pending)
            heard["glass"] += any(case.used for case in roster.rights.emergencies.values())
            heard["token speaks"] += entry.actor.startswith("token")
            heard["two must agree"] += roster.root.threshold > 1
    assert all(heard[kinds.short(kind)] >= 10 for kind in KINDS), heard
    assert all(heard[what] >= 5 for what in ("void", "waiting", "glass", "token speaks", "two must agree")), heard


def check(roster: Roster) -> None:
    """What holds after every entry."""
    keyids = [actor.keyid for actor in roster.actors.values()]
    assert len(set(keyids)) == len(keyids)
    assert not set(keyids) & roster.book.lost
    root = roster.root
    assert 1 <= root.threshold <= len(root.persons)
    if root.version > 1:
        assert {a.keyid for a in roster.actors.values() if Role.OWNER in a.roles} <= {o.keyid for o in root.owners}
    live = {o.person for o in root.owners if roster.actors.get(o.name) and o.keyid not in roster.book.lost}
    assert len(live) >= root.threshold  # somebody can always agree on a new root
    for holder in roster.book.holders.values():
        if holder.account != "person":
            assert not holder.actor.roles & {Role.APPROVER, Role.OWNER, Role.SECURITY_MANAGER, Role.CUSTODIAN}
    if root.threshold == 1:
        assert not roster.pending


def ruled_by_the_verifier(envelopes: list[Envelope]) -> tuple[list[Any], Any]:
    """Replay with the second implementation, signatures too; raises its `Refused`."""
    from custody_verify.curves import first_wrong
    from custody_verify.ledger import PAYLOAD, _open_envelope
    from custody_verify.roster import Roster as Second
    from custody_verify.strict import Refused

    roster = Second(ORIGIN, KEYS[0].keyid, base64.b64decode(LOG_KEYS[0]))
    entries, signed = [], []
    for index, envelope in enumerate(envelopes):
        entry, _, numbers, payload = _open_envelope(index, in_one_form(envelope).to_bytes())
        admitted, key = roster.admit(entry)
        entries.append(admitted)
        signed.append((key, numbers, b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD, len(payload), payload)))
    if (wrong := first_wrong(signed[-1:])) is not None:
        raise Refused(f"signature {wrong} does not fit")
    return entries, roster


@pytest.mark.parametrize("seed", range(40))
def test_the_verifier_rules_alike_on_what_counts_and_on_what_does_not(seed: int) -> None:
    from custody_verify.strict import Refused

    envelopes = [first()]
    roster, entries = replay(envelopes)
    babble = Babble(Random(1000 + seed))
    for _ in range(25):
        envelope = babble.statement(roster, entries)
        try:
            entry = roster.admit(len(entries), envelope)
        except Tampered as error:
            try:
                ruled_by_the_verifier([*envelopes, envelope])
            except Refused:
                continue
            raise AssertionError(f"the verifier took what the product refuses: {error}") from None
        roster.take(entry)
        entries.append(entry)
        envelopes.append(envelope)
        found, second = ruled_by_the_verifier(envelopes)
        assert (found[-1].actor, found[-1].person, found[-1].roles) == (entry.actor, entry.person, entry.roles)
        assert {name: actor.keyid for name, actor in roster.actors.items()} == {
            name: person.keyid for name, person in second.people.items()
        }
        assert [(root.version, root.digest) for _, root in roster.roots] == [
            (r.version, r.digest) for r in second.roots
        ]
        assert roster.void == (second.void[-1][1] if second.void else frozenset())
