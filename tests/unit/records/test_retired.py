"""What a compromised key signed, and what one person signed twice, opens no way to a destruction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.evidence import Evidence, Record
from custody.core.subject import Subject, use_case_subject
from custody.records.retired import authority, held_with, open_holds

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


@pytest.mark.parametrize("account", ["service", "token"])
def test_a_program_neither_orders_nor_confirms_whoever_stands_behind_it(account: str) -> None:
    robot = replace(signed(2, "sam"), account=account)
    assert not authority(record(ORDER, robot), "loans", MODEL.sha256).suffices
    assert authority(record(ORDER, robot, signed(3, "sam")), "loans", MODEL.sha256).suffices
    ordered = replace(ORDER, account=account)
    assert not authority(record(ordered, signed(2, "sam", of=ordered)), "loans", MODEL.sha256).suffices


def life_of_a_model() -> Record:
    def data(index: int, name: str, file: str) -> Evidence:
        said = {"name": name, "files": [{"path": "x.csv", "size": 1, "sha256": file * 64}]}
        return entry(index, kinds.DATASET, "petra", said, Subject(name, name[0] * 64))

    seal = entry(5, kinds.SEAL, "dana", {"held_out": {"sha256": "e" * 64}})
    inputs = [{"name": "f-train", "sha256": "f" * 64}]
    start = entry(6, kinds.TRAINING_START, "mel", {"seal": seal.digest, "inputs": inputs}, Subject("run", "9" * 64))
    definition = {"internalParameters": {"start": start.digest}}
    finish = entry(7, kinds.TRAINING_FINISH, "mel", {"buildDefinition": definition})
    spare = data(4, "c-spare", "3")
    return record(data(1, "f-train", "1"), data(2, "e-exam", "2"), data(3, "d-copy", "1"), spare, seal, start, finish)


def test_a_hold_reaches_a_models_data_and_the_same_files_under_another_name() -> None:
    found = life_of_a_model()
    model, train, exam, copied, spare = MODEL.sha256, "f" * 64, "e" * 64, "d" * 64, "c" * 64
    assert set(held_with(found, train)) == {train, copied, model}
    assert set(held_with(found, copied)) == {train, copied, model}
    assert set(held_with(found, exam)) == {exam, model}
    assert set(held_with(found, spare)) == {spare}
    assert set(held_with(found, model, [train])) == {model, train, copied}
