"""What a compromised key signed, and what one person signed twice, opens no way to a destruction."""

from __future__ import annotations

from typing import Any

from custody.core import predicates as kinds
from custody.core.evidence import Evidence, Record
from custody.core.subject import Subject, use_case_subject
from custody.records.retired import authority, open_holds

MODEL = Subject("loans", "a" * 64)
CASE = {"use_case": "loans", "tier": "high", "solo": False, "policy": {"retire_persons": 2}, "purpose": "x"}


def entry(
    index: int, kind: str, person: str, said: dict[str, Any], subject: Subject = MODEL, role: str = ""
) -> Evidence:
    roles = frozenset({role or "operator"})
    return Evidence(index, f"{index:064x}", subject, kind, {"at": "", **said}, person, person, roles)


def record(*entries: Evidence, void: frozenset[int] = frozenset()) -> Record:
    opened = entry(0, kinds.USE_CASE, "olga", CASE, use_case_subject("loans"))
    return Record((opened, *entries), len(entries) + 1, "", {}, void)


ORDER = entry(1, kinds.RETIREMENT_ORDER, "otto", {"use_case": "loans", "reason": "old"})


def signed(index: int, person: str, role: str = "security_manager", of: Evidence = ORDER) -> Evidence:
    return entry(index, kinds.COUNTERSIGNATURE, person, {"of": of.digest, "reason": "seen"}, role=role)


def test_two_persons_suffice_and_one_person_under_two_roles_does_not() -> None:
    assert authority(record(ORDER, signed(2, "sam")), "loans", MODEL.sha256).suffices
    assert not authority(record(ORDER, signed(2, "otto")), "loans", MODEL.sha256).suffices
    assert not authority(record(ORDER, signed(2, "sam", "approver")), "loans", MODEL.sha256).suffices
    assert not authority(record(ORDER), "loans", MODEL.sha256).suffices
    assert not authority(record(), "loans", MODEL.sha256).suffices


def test_a_void_order_or_confirmation_does_not_count() -> None:
    for void in (1, 2):
        found = authority(record(ORDER, signed(2, "sam"), void=frozenset({void})), "loans", MODEL.sha256)
        assert not found.suffices


def test_a_later_order_without_a_second_person_does_not_take_the_first_one_away() -> None:
    again = entry(3, kinds.RETIREMENT_ORDER, "otto", {"use_case": "loans", "reason": "old"})
    assert authority(record(ORDER, signed(2, "sam"), again), "loans", MODEL.sha256).order == ORDER


def hold(index: int, status: str, matter: str = "case") -> Evidence:
    said = {"use_case": "loans", "matter": matter, "status": status, "reason": "asked for"}
    return entry(index, kinds.LEGAL_HOLD, "cora", said)


def test_a_void_hold_holds_and_a_void_lift_does_not_lift() -> None:
    placed, lifted = hold(1, "placed"), hold(2, "lifted")
    assert open_holds(record(placed, lifted), "loans", [MODEL.sha256]) == []
    assert open_holds(record(placed, lifted, void=frozenset({2})), "loans", [MODEL.sha256]) == [placed]
    assert open_holds(record(placed, void=frozenset({1})), "loans", [MODEL.sha256]) == [placed]
    assert open_holds(record(placed, hold(2, "lifted", "another")), "loans", [MODEL.sha256]) == [placed]
    assert open_holds(record(placed), "loans", ["b" * 64]) == []
