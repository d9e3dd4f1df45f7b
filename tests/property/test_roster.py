"""Whatever is said in whatever order, the roster never crashes, never lets a stranger sign, and forgets nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody.core import predicates as kinds
from custody.core.actor import Role
from custody.core.evidence import Evidence
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import Tampered
from custody.ledger.trust import Owner, Root, sign_root
from custody.roster import Roster
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import LogKey, PersonKey, raw_to_text

ORIGIN, TOWN = "custody.town", Subject("town", "ab" * 32)
NAMES = ("olga", "bea", "ann", "otto", "eve")
KEYS = [PersonKey.generate() for _ in range(8)]
LOG_KEYS = [raw_to_text(LogKey.generate().public) for _ in range(2)]
ROLES = [str(role) for role in Role]
START = {"name": "olga", "person": "olga", "roles": ["owner"], "key": KEYS[0].public, "keyid": KEYS[0].keyid}

names, roles = st.sampled_from(NAMES), st.lists(st.sampled_from(ROLES), max_size=3, unique=True)
keys, moments = st.integers(0, len(KEYS) - 1), st.integers(0, 59).map(lambda m: f"2026-01-01T00:{m:02}:00+00:00")
number = st.integers(-1, 12)


def card(key: int, **more: Any) -> dict[str, Any]:
    return {"key": KEYS[key].public, "keyid": KEYS[key].keyid, **more}


def owners(pairs: list[tuple[str, int]]) -> tuple[Owner, ...]:
    return tuple(Owner(name, name, KEYS[key].keyid, KEYS[key].public) for name, key in pairs)


enrolments = st.builds(
    lambda name, person, key, roles, status, account: (
        kinds.ENROLMENT,
        card(key, name=name, person=person, roles=roles, status=status, account=account),
    ),
    names, names, keys, roles, st.sampled_from(["active", "active", "active", "revoked"]),
    st.sampled_from(["person", "person", "service"]),
)  # fmt: skip
revocations = st.builds(
    lambda name, key, since: (
        kinds.KEY_REVOCATION,
        {"name": name, "keyid": KEYS[key].keyid, "reason": "x", "compromised_since": since},
    ),
    names, keys, st.none() | number,
)  # fmt: skip
grants = st.builds(
    lambda name, roles, status, emergency, expires: (
        kinds.GRANT,
        {"name": name, "roles": roles, "status": status, "emergency": emergency, "expires": expires, "reason": "x"},
    ),
    names, roles, st.sampled_from(["granted", "withdrawn"]), st.booleans(), moments,
)  # fmt: skip
delegations = st.builds(
    lambda name, key, roles, expires, status: (
        kinds.DELEGATION,
        card(key, name=name, roles=roles, expires=expires, status=status),
    ),
    names, keys, roles, moments, st.sampled_from(["active", "revoked"]),
)  # fmt: skip
roots = st.builds(
    lambda version, pairs, threshold, log_key, signers: (
        kinds.TRUST_ROOT,
        (Root(version, "", LOG_KEYS[log_key], owners(pairs), threshold), signers),
    ),
    st.integers(1, 4), st.lists(st.tuples(names, keys), min_size=1, max_size=3), st.integers(0, 3), st.integers(0, 1),
    st.lists(keys, max_size=4, unique=True),
)  # fmt: skip
countersignatures = st.builds(lambda of: (kinds.COUNTERSIGNATURE, of), number)
approvals = st.just((kinds.APPROVAL, {"use_case": "x", "verdict": "approve", "reason": "x"}))
statements = st.tuples(
    st.one_of(enrolments, revocations, grants, delegations, roots, countersignatures, approvals), keys, moments
)


def signed(index: int, entries: list[Evidence], what: Any, key: int, at: str) -> Envelope:
    kind, body = what
    if kind == kinds.TRUST_ROOT:
        root, signers = body
        body = {**root.to_json(), "signatures": [sign_root(ORIGIN, root, KEYS[one]) for one in signers]}
    if kind == kinds.COUNTERSIGNATURE:
        of = entries[body].digest if 0 <= body < len(entries) else "00" * 32
        body = {"of": of, "reason": "x"}
    return seal(Statement(TOWN, kind, {"at": at, "id": str(index), **body}), KEYS[key])


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(statements, max_size=25))
def test_any_sequence_of_statements_is_ruled_the_same_way_twice(said: list[Any]) -> None:
    roster, entries = replay([first()])
    envelopes = [first()]
    for what, key, at in said:
        envelope = signed(len(envelopes), entries, what, key, at)
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
    for size in range(1, len(envelopes)):  # a prefix is admitted as if nothing had followed
        assert replay(envelopes[:size])[1] == entries[:size]


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
