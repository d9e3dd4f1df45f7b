"""Trust roots on the ledger: who may install one, and what it changes."""

from __future__ import annotations

from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.ledger.trust import Owner, Witness
from custody.seal.keys import LogKey, PersonKey, raw_to_text


def test_version_one_is_the_first_owner_alone(town: Any) -> None:
    root = town.roster.root
    assert (root.version, root.threshold, root.quorum, root.digest) == (1, 1, 0, "")
    assert [owner.name for owner in root.owners] == ["olga"]


def test_a_root_signed_by_old_and_new_owners_is_in_force_from_the_next_entry(town: Any) -> None:
    town.enrol("bea", "security_manager")
    entry = town.install(("olga", "bea"), 2)
    assert town.roster.root.version == 2
    assert town.roster.root_at(entry.index).version == 1
    assert town.roster.root_at(entry.index + 1).version == 2
    assert town.roles("bea") == {"security_manager", "owner"}


def test_owners_who_are_not_listed_own_nothing_and_keep_their_other_roles(town: Any) -> None:
    town.enrol("bea", "owner", "approver")
    town.enrol("cas", "auditor")
    town.install(("olga", "cas"), 1, "olga", "cas")
    assert town.roles("bea") == {"approver"}
    assert town.roles("cas") == {"auditor", "owner"}
    town.refused("bea may not say", "bea", kinds.ENROLMENT, town.card("eve", "auditor"))
    town.enrol("dot", "owner", "auditor")
    assert town.roles("dot") == {"auditor"}  # an enrolment makes no owner any more


def test_an_owner_who_was_not_on_record_is_by_the_root(town: Any) -> None:
    town.install(("olga", "new"), 1)
    assert town.roles("new") == {"owner"}
    assert town.enrol("ann", "approver", by="new").actor == "new"


def test_a_new_key_of_an_owner_comes_by_a_root_that_the_old_one_signs_too(town: Any) -> None:
    town.keys["olga at home"] = PersonKey.generate()
    moved = (Owner("olga", "olga", town.key("olga at home").keyid, town.key("olga at home").public),)
    town.install(("olga",), 1, "olga", "olga at home", owners=moved)
    town.refused("not on record", "olga", kinds.ENROLMENT, town.card("ann", "auditor"))
    town.say("olga", kinds.ENROLMENT, town.card("ann", "auditor"), key="olga at home")


NO_KEY = raw_to_text(bytes(32))
CASES: dict[str, tuple[tuple[str, ...], int, tuple[str, ...], dict[str, Any], str]] = {
    "nobody signed": (("olga", "bea"), 1, (), {}, "0 signed"),
    "only the new owners signed": (("bea",), 1, ("bea",), {}, "own root 2; 0 signed|own root 2"),
    "one of two new owners is missing": (("olga", "bea", "dot"), 3, ("olga", "bea"), {}, "needs 3"),
    "a threshold of nobody": (("olga", "bea"), 0, ("olga", "bea"), {}, "threshold is 0"),
    "a threshold beyond the owners": (("olga", "bea"), 3, ("olga", "bea"), {}, "threshold is 3"),
    "no owners": ((), 1, ("olga", "bea"), {}, "threshold is 1, and 0"),
    "a version too far": (("olga", "bea"), 2, ("olga", "bea"), {"version": 4}, "cannot follow"),
    "the same version": (("olga", "bea"), 2, ("olga", "bea"), {"version": 2}, "cannot follow"),
    "an earlier version": (("olga", "bea"), 2, ("olga", "bea"), {"version": 1}, "cannot follow"),
    "a quorum beyond the witnesses": (("olga", "bea"), 2, ("olga", "bea"), {"quorum": 1}, "quorum"),
    "a quorum below none": (("olga", "bea"), 2, ("olga", "bea"), {"quorum": -1}, "quorum"),
    "a log key of small order": (("olga", "bea"), 2, ("olga", "bea"), {"log_key": NO_KEY}, "small order"),
    "a log key too short": (("olga", "bea"), 2, ("olga", "bea"), {"log_key": raw_to_text(bytes(31))}, "32 bytes"),
    "an end that is no moment": (("olga", "bea"), 2, ("olga", "bea"), {"expires": "2030"}, "not a moment"),
    "a stranger signed as well": (("olga", "bea"), 2, ("olga", "bea", "eve"), {}, "by a key that does not count"),
    "one owner signed twice": (("olga", "bea"), 2, ("olga", "bea", "olga"), {}, "by a key that does not count"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_root_that_is_not_agreed_or_makes_no_sense_does_not_count(town: Any, case: str) -> None:
    town.enrol("bea", "auditor")
    town.install(("olga", "bea"), 2)
    owners, threshold, signers, change, match = CASES[case]
    root = town.root(owners, threshold, **change)
    town.refused(match, "olga", kinds.TRUST_ROOT, town.rooted(root, *signers))
    town.install(("olga", "bea"), 2)  # the clean one is heard


def test_two_keys_of_one_person_are_one_voice(town: Any) -> None:
    town.enrol("bea", "auditor")
    two_names = tuple(
        Owner(name, person, town.key(name).keyid, town.key(name).public)
        for name, person in (("olga", "olga"), ("bea", "bea"), ("bea-2", "bea"))
    )
    town.install(("olga", "bea", "bea-2"), 2, owners=two_names)
    alone = town.root(("bea", "bea-2"), 1, owners=two_names[1:])
    town.refused("needs 2 of the persons", "bea", kinds.TRUST_ROOT, town.rooted(alone, "bea", "bea-2"))


@pytest.mark.parametrize("twice", ["owners", "names", "witnesses", "witness names", "log and witness"])
def test_nothing_stands_twice_in_a_root(town: Any, twice: str) -> None:
    key = raw_to_text(LogKey.generate().public)
    olga = Owner("olga", "olga", town.key("olga").keyid, town.key("olga").public)
    other = Owner("olga", "olga", town.key("x").keyid, town.key("x").public)
    change: dict[str, Any] = {
        "owners": {"owners": (olga, Owner("y", "y", olga.keyid, olga.key))},
        "names": {"owners": (olga, other)},
        "witnesses": {"witnesses": (Witness("a", key), Witness("b", key))},
        "witness names": {"witnesses": (Witness("a", key), Witness("a", raw_to_text(LogKey.generate().public)))},
        "log and witness": {"witnesses": (Witness("a", town.log_key),)},
    }[twice]
    town.refused("twice|to two", "olga", kinds.TRUST_ROOT, town.rooted(town.root(("olga",), 1, **change), "olga"))


def test_a_witness_of_small_order_is_refused(town: Any) -> None:
    weak = (Witness("a", raw_to_text(bytes([1]) + bytes(31))),)
    root = town.root(("olga",), 1, witnesses=weak)
    town.refused("small order", "olga", kinds.TRUST_ROOT, town.rooted(root, "olga"))


def test_a_signature_over_another_root_does_not_count(town: Any) -> None:
    root, other = town.root(("olga",), 1), town.root(("olga",), 1, expires="2030-01-01T00:00:00+00:00")
    said = {**root.to_json(), "signatures": town.rooted(other, "olga")["signatures"]}
    town.refused("signature does not fit", "olga", kinds.TRUST_ROOT, said)


def test_an_owner_of_a_root_has_no_key_that_was_anothers_or_was_lost(town: Any) -> None:
    town.enrol("ann", "approver")
    town.enrol("ann", "approver", key="ann again")
    for key in ("ann", "ann again"):
        stolen = (Owner("eve", "eve", town.key(key).keyid, town.key(key).public),)
        root = town.root((), 1, owners=(*town.roster.root.owners, *stolen))
        town.refused("same key as ann|does not count", "olga", kinds.TRUST_ROOT, town.rooted(root, "olga", key))
    old = (Owner("ann", "ann", town.key("ann").keyid, town.key("ann").public),)
    root = town.root((), 1, owners=(*town.roster.root.owners, *old))
    town.refused("revoked or replaced", "olga", kinds.TRUST_ROOT, town.rooted(root, "olga"))
    other = (Owner("ann", "Eve", town.key("ann again").keyid, town.key("ann again").public),)
    root = town.root((), 1, owners=(*town.roster.root.owners, *other))
    town.refused("on record as the person ann", "olga", kinds.TRUST_ROOT, town.rooted(root, "olga"))


def test_a_revoked_owner_signs_no_root(two: Any) -> None:
    two.revoke("sam", "cas")
    assert "cas" not in two.on_record()
    root = two.root(("olga", "bea"), 2)
    two.refused("does not count", "olga", kinds.TRUST_ROOT, two.rooted(root, "olga", "cas"))
    two.refused("does not count", "olga", kinds.TRUST_ROOT, two.rooted(root, "olga", "bea", "cas"))
    said = {"name": "bea", "keyid": two.key("bea").keyid, "reason": "x", "compromised_since": None}
    two.refused("no new root could be signed", "sam", kinds.KEY_REVOCATION, said)
    two.install(("olga", "bea"), 2, "olga", "bea")


# What waits for a second owner


def test_under_a_threshold_an_enrolment_waits_for_another_owner(two: Any) -> None:
    said = two.enrol("ann", "approver")
    assert "ann" not in two.on_record()
    assert set(two.roster.pending) == {said.digest}
    two.refused("not on record", "ann", kinds.APPROVAL, {"use_case": "l", "verdict": "approve", "reason": "x"})
    confirmed = two.countersign("bea", said)
    assert "ann" in two.on_record()
    assert two.roster.pending == {}
    assert two.approve("ann").rests == {said.index, confirmed.index}


def test_only_other_owners_confirm(two: Any) -> None:
    said = two.enrol("ann", "approver")
    two.countersign("sam", said)  # a security manager may countersign, and owns nothing
    assert "ann" not in two.on_record()
    two.refused("nobody countersigns their own", "olga", kinds.COUNTERSIGNATURE, {"of": said.digest, "reason": "x"})
    two.refused("does not stand before", "bea", kinds.COUNTERSIGNATURE, {"of": "00" * 32, "reason": "x"})
    other = type(said.subject)("another", "cd" * 32)
    two.refused("something else", "bea", kinds.COUNTERSIGNATURE, {"of": said.digest, "reason": "x"}, other)


def test_persons_who_own_nothing_complete_no_threshold(two: Any) -> None:
    """Also when their person does: a second name of an owner is no owner."""
    for name in ("bea-2", "olga-2"):
        said = two.enrol(name, "security_manager", person=name.removesuffix("-2"))
        two.countersign("cas", said)
    said = two.enrol("ann", "approver")
    two.countersign("bea-2", said)
    assert "ann" not in two.on_record()
    two.countersign("bea", said)
    assert "ann" in two.on_record()


def test_three_of_three_need_three(town: Any) -> None:
    town.install(("olga", "bea", "cas"), 3)
    said = town.enrol("ann", "approver")
    town.countersign("bea", said)
    town.countersign("bea", said)  # saying it again is no third voice
    assert "ann" not in town.on_record()
    town.countersign("cas", said)
    assert "ann" in town.on_record()


def test_a_revocation_takes_effect_at_once_and_drops_what_waits(two: Any) -> None:
    ann = two.enrol("ann", "approver")
    two.countersign("bea", ann)
    more = two.enrol("ann", "approver", "auditor")
    two.say("olga", kinds.ENROLMENT, two.card("ann", "approver", status="revoked"))
    assert "ann" not in two.on_record()
    assert two.roster.pending == {}
    two.countersign("bea", more)  # a countersignature of what does not wait any more changes nothing
    assert "ann" not in two.on_record()


def test_a_new_root_drops_what_waits(two: Any) -> None:
    said = two.enrol("ann", "approver")
    two.install(("olga", "bea", "cas"), 2)
    two.countersign("bea", said)
    assert "ann" not in two.on_record()


def test_what_is_not_possible_any_more_when_it_is_confirmed_does_not_happen(two: Any) -> None:
    first = two.enrol("ann", "approver")
    second = two.enrol("eve", "approver", key="ann")
    two.countersign("bea", first)
    two.countersign("bea", second)
    assert "ann" in two.on_record()
    assert "eve" not in two.on_record()


def test_a_revoked_owners_word_for_something_that_waits_does_not_count(two: Any) -> None:
    said = two.enrol("ann", "approver", by="cas")
    two.revoke("sam", "cas")
    two.countersign("olga", said)
    assert "ann" not in two.on_record()
    two.countersign("bea", said)  # now two live owners are for it
    assert "ann" in two.on_record()


def test_what_a_thief_left_waiting_is_dropped_when_the_theft_is_known(two: Any) -> None:
    said = two.enrol("ann", "approver", by="cas")
    other = two.enrol("eve", "approver", by="olga")
    two.revoke("sam", "cas", since=said.index)
    assert set(two.roster.pending) == {other.digest}
    two.countersign("bea", said)
    two.countersign("olga", said)
    assert "ann" not in two.on_record()


def test_one_owner_of_two_changes_no_policy(two: Any) -> None:
    said = {"use_case": "loans", "tier": "low", "purpose": "x", "solo": True, "policy": {}}
    two.refused("one owner alone", "olga", kinds.USE_CASE, said)


def test_under_a_threshold_of_one_the_owner_opens_use_cases(town: Any) -> None:
    said = {"use_case": "loans", "tier": "low", "purpose": "x", "solo": True, "policy": {}}
    assert town.say("olga", kinds.USE_CASE, said).kind == kinds.USE_CASE
