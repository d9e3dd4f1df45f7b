"""The trust root and its witnesses: who may change them, and what a reader asks of them."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from planting import Cases, Reason, World, case

from custody.core import predicates as kinds
from custody.core.subject import use_case_subject
from custody.ledger.checkpoint import Checkpoint, cosign, sign_checkpoint, with_cosignatures
from custody.ledger.log import leaf_of
from custody.ledger.merkle import Frontier
from custody.ledger.trust import Owner, Root, Witness, sign_root
from custody.seal.keys import LogKey, PersonKey, raw_to_text

CASES: Cases = {}
SMALL_ORDER = base64.b64encode(bytes([1] + [0] * 31)).decode()


def owner(name: str, key: PersonKey, person: str = "") -> Owner:
    return Owner(name, person or name, key.keyid, key.public)


def next_root(world: World, *more: Owner, threshold: int = 1, version: int = 2) -> Root:
    """Return a root with olga and `more` as owners, and the log's present key."""
    owners = (owner("olga", world.key("olga")), *more)
    return Root(version, "", world.config.log_key, owners, threshold)


def install(world: World, root: Root, signers: Sequence[PersonKey], who: PersonKey | None = None) -> None:
    """Append a root with these signatures."""
    signatures = [sign_root(world.origin, root, key) for key in signers]
    said = {**root.to_json(), "signatures": signatures}
    world.say("olga", use_case_subject("loans"), kinds.TRUST_ROOT, said, key=who)


@case(CASES, Reason.ACCEPTED)
def the_owner_signs_the_next_root(world: World) -> None:
    install(world, next_root(world), [world.key("olga")])


@case(CASES, Reason.ACCEPTED)
def two_owners_need_both(world: World) -> None:
    pia = PersonKey.generate()
    install(world, next_root(world, owner("pia", pia), threshold=2), [world.key("olga"), pia])


@case(CASES, Reason.NOT_THE_OWNER)
def only_the_old_owner_signs_a_root_of_two(world: World) -> None:
    pia = PersonKey.generate()
    install(world, next_root(world, owner("pia", pia), threshold=2), [world.key("olga")])


@case(CASES, Reason.NOT_THE_OWNER)
def only_the_new_owner_signs(world: World) -> None:
    pia = PersonKey.generate()
    install(world, next_root(world, owner("pia", pia)), [pia])


@case(CASES, Reason.NOT_THE_OWNER)
def one_person_signs_with_two_keys(world: World) -> None:
    second = PersonKey.generate()
    root = next_root(world, owner("olga-2", second, "olga"), threshold=2)
    install(world, root, [world.key("olga"), second])


@case(CASES, Reason.NOT_THE_OWNER)
def one_key_signs_twice(world: World) -> None:
    pia = PersonKey.generate()
    olga = world.key("olga")
    install(world, next_root(world, owner("pia", pia), threshold=2), [olga, olga])


@case(CASES, Reason.NOT_THE_OWNER)
def a_version_is_skipped(world: World) -> None:
    install(world, next_root(world, version=3), [world.key("olga")])


@case(CASES, Reason.NOT_THE_OWNER)
def an_old_version_comes_back(world: World) -> None:
    pia, olga = PersonKey.generate(), world.key("olga")
    install(world, next_root(world, owner("pia", pia), threshold=2), [olga, pia])
    install(world, next_root(world), [olga])


@case(CASES, Reason.NOT_THE_OWNER)
def the_threshold_is_lowered_by_one_of_two(world: World) -> None:
    pia, olga = PersonKey.generate(), world.key("olga")
    install(world, next_root(world, owner("pia", pia), threshold=2), [olga, pia])
    install(world, next_root(world, version=3), [olga])


@case(CASES, Reason.NOT_THE_OWNER)
def a_threshold_of_nobody(world: World) -> None:
    install(world, next_root(world, threshold=0), [world.key("olga")])


@case(CASES, Reason.NOT_THE_OWNER)
def a_threshold_that_nobody_can_reach(world: World) -> None:
    install(world, next_root(world, threshold=2), [world.key("olga")])


@case(CASES, Reason.NOT_THE_OWNER)
def the_signature_is_of_another_root(world: World) -> None:
    olga = world.key("olga")
    root = next_root(world)
    other = replace(root, expires="2099-01-01T00:00:00+00:00")
    said = {**root.to_json(), "signatures": [sign_root(world.origin, other, olga)]}
    world.say("olga", use_case_subject("loans"), kinds.TRUST_ROOT, said)


@case(CASES, Reason.NOT_THE_OWNER)
def the_signature_is_for_another_ledger(world: World) -> None:
    root = next_root(world)
    said = {**root.to_json(), "signatures": [sign_root("custody.other.1", root, world.key("olga"))]}
    world.say("olga", use_case_subject("loans"), kinds.TRUST_ROOT, said)


@case(CASES, Reason.NOT_ALLOWED)
def a_manager_puts_a_root_on_record(world: World) -> None:
    install(world, next_root(world), [world.key("olga")], who=world.key("sam"))


@case(CASES, Reason.WEAK_KEY)
def a_witness_key_of_small_order(world: World) -> None:
    root = replace(next_root(world), witnesses=(Witness("w", SMALL_ORDER),), quorum=1)
    install(world, root, [world.key("olga")])


@case(CASES, Reason.WEAK_KEY)
def a_log_key_of_small_order(world: World) -> None:
    install(world, replace(next_root(world), log_key=SMALL_ORDER), [world.key("olga")])


@case(CASES, Reason.NOT_THE_OWNER)
def one_witness_counts_twice(world: World) -> None:
    key = raw_to_text(LogKey.generate().public)
    root = replace(next_root(world), witnesses=(Witness("w1", key), Witness("w2", key)), quorum=2)
    install(world, root, [world.key("olga")])


@case(CASES, Reason.NOT_THE_OWNER)
def a_quorum_that_nobody_can_reach(world: World) -> None:
    root = replace(next_root(world), witnesses=(Witness("w", raw_to_text(LogKey.generate().public)),), quorum=2)
    install(world, root, [world.key("olga")])


# The log's key changes.


def signed_by(world: World, key: LogKey) -> None:
    """Sign the newest checkpoint with another key."""
    found = world.envelopes
    frontier = Frontier().extend(leaf_of(envelope) for envelope in found)
    note = sign_checkpoint(Checkpoint(world.origin, frontier.size, frontier.root), key)
    world.sql("UPDATE checkpoint SET note = ?", note)


@case(CASES, Reason.ACCEPTED)
def the_new_log_key_signs(world: World) -> None:
    fresh = LogKey.generate()
    install(world, replace(next_root(world), log_key=raw_to_text(fresh.public)), [world.key("olga")])
    signed_by(world, fresh)


@case(CASES, Reason.NOT_THE_LOG)
def the_old_log_key_goes_on_signing(world: World) -> None:
    fresh = LogKey.generate()
    install(world, replace(next_root(world), log_key=raw_to_text(fresh.public)), [world.key("olga")])


# Witnesses.


def witnessed(world: World, quorum: int = 1, *, signs: bool = True, at: float = 0.0, listed: bool = True) -> None:
    """Ask for one witness, and let it sign the newest checkpoint, `at` seconds from now."""
    key = LogKey.generate()
    named = key if listed else LogKey.generate()
    root = replace(next_root(world), witnesses=(Witness("w", raw_to_text(named.public)),), quorum=quorum)
    install(world, root, [world.key("olga")])
    if signs:
        line = cosign(world.note, "w", key, int(time.time() + at))
        note = with_cosignatures(world.note, [line], {"w": key.public})
        world.sql("UPDATE checkpoint SET note = ?", note)


@case(CASES, Reason.ACCEPTED)
def a_witness_has_signed(world: World) -> None:
    witnessed(world)
    world.forget()


@case(CASES, Reason.UNSEEN)
def no_witness_has_signed_and_nobody_remembers(world: World) -> None:
    witnessed(world, signs=False)
    world.forget()


@case(CASES, Reason.ACCEPTED)
def no_witness_has_signed_and_the_reader_remembers(world: World) -> None:
    witnessed(world, signs=False)


@case(CASES, Reason.UNSEEN, Reason.UNSEEN_OR_STRAY)
def a_stranger_signs_as_the_witness(world: World) -> None:
    witnessed(world, listed=False)
    world.forget()


@case(CASES, Reason.UNSEEN, Reason.ACCEPTED)
def the_witness_signed_a_year_ago(world: World) -> None:
    """Nothing is loaded on so old a word; an archived bundle is read, headed "freshness unproven"."""
    witnessed(world, at=-365 * 86400)
    world.forget()


@case(CASES, Reason.CUT_SHORT)
def a_cut_history_with_an_honest_witness_of_the_rest(world: World) -> None:
    """Whoever saw more is not calmed by a witness who saw less."""
    olga = world.key("olga")
    world.rewrite(world.envelopes[:-3])
    root = next_root(world)
    install(world, root, [olga])


@pytest.mark.parametrize("name", CASES)
def test_it_is_noticed(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)
