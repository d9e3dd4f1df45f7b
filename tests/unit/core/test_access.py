from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import pytest

from custody.core import predicates as kinds
from custody.core.access import CONFLICTS, GRANTS, WRITES, Action, decide, may_write, parts_of, separation, who_can
from custody.core.actor import Actor, Role


def _beside(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"core_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


honest = _beside("papers").honest

TABLE = {
    "actor.enrol": "owner",
    "source.decide": "approver security_manager",
    "risk.treat": "approver security_manager",
    "data.register": "data_engineer",
    "data.check": "data_engineer validator",
    "gate.seal": "data_scientist",
    "gate.approve": "approver compliance_officer",
    "gate.waive": "approver",
    "gate.decide": "approver compliance_officer custodian validator",
    "run.start": "ml_engineer",
    "run.reproduce": "ml_engineer validator",
    "artifact.scan": "validator",
    "validation.run": "validator",
    "deployment.deploy": "operator",
    "deployment.load": "operator",
    "runtime.watch": "operator",
    "incident.open": "operator security_manager validator",
    "incident.close": "security_manager",
    "retirement.retire": "operator",
    "access.deny": "custodian",
    "root.sign": "owner",
    "key.revoke": "owner security_manager",
    "access.grant": "owner",
    "access.break_glass": "approver compliance_officer data_engineer data_scientist ml_engineer operator owner "
    "security_manager validator",
    "access.delegate": "data_engineer ml_engineer operator validator",
    "access.review": "security_manager",
    "statement.countersign": "approver compliance_officer operator owner security_manager",
    "ledger.anchor": "custodian",
    "retirement.order": "operator security_manager",
    "retirement.hold": "compliance_officer",
    "data.read": "data_engineer data_scientist validator",
    "data.append": "data_engineer",
    "data.modify": "data_engineer",
    "data.label": "data_engineer",
    "data.approve": "approver",
    "data.delete": "data_engineer",
    "weights.read": "operator validator",
    "logs.read": "auditor ml_engineer security_manager",
    "metrics.read": "approver auditor compliance_officer data_scientist ml_engineer security_manager validator",
    "held_out_metrics.read": "approver auditor compliance_officer security_manager validator",
    "deployment.promote": "operator",
    "deployment.rollback": "operator security_manager",
    "deployment.view_traffic": "operator security_manager",
    "ledger.read": "approver auditor compliance_officer data_engineer data_scientist ml_engineer operator owner "
    "security_manager validator",
}
"""The whole table, written a second time, so that no grant changes unnoticed."""


def actor(*roles: Role, person: str = "ann") -> Actor:
    return Actor("ann", person, frozenset(roles), "key", "id")


def test_every_action_is_in_the_tables() -> None:
    assert set(GRANTS) == set(WRITES) == set(Action)
    assert {str(action) for action in Action} == set(TABLE)


@pytest.mark.parametrize(("role", "action"), list(itertools.product(Role, Action)))
def test_a_pair_that_is_not_granted_is_denied(role: Role, action: Action) -> None:
    access = decide(actor(role), action)
    assert access.allowed == (str(role) in TABLE[str(action)].split())
    assert str(role) in access.reason


@pytest.mark.parametrize("action", list(Action))
def test_nobody_without_a_role_may_do_anything(action: Action) -> None:
    access = decide(actor(), action)
    assert not access.allowed
    assert "no role" in access.reason


def test_several_roles_give_what_each_gives() -> None:
    both = actor(Role.VALIDATOR, Role.OPERATOR)
    assert decide(both, Action.VALIDATE).allowed
    assert decide(both, Action.LOAD).allowed
    assert not decide(both, Action.APPROVE).allowed


def test_an_auditor_writes_nothing() -> None:
    assert not any(may_write(actor(Role.AUDITOR), kind) for kind in kinds.FIELDS)


@pytest.mark.parametrize(("role", "kind"), list(itertools.product(Role, kinds.FIELDS)))
def test_who_may_write_a_kind_follows_from_the_actions(role: Role, kind: str) -> None:
    expected = any(str(role) in TABLE[str(action)].split() and kind in WRITES[action] for action in Action)
    assert may_write(actor(role), kind) == expected


def test_every_kind_can_be_written_by_somebody() -> None:
    assert set().union(*WRITES.values()) == set(kinds.FIELDS)


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        (kinds.SEAL, {"data_scientist"}),
        (kinds.APPROVAL, {"approver", "compliance_officer"}),
        (kinds.ENROLMENT, {"owner"}),
        (kinds.TRAINING_FINISH, {"ml_engineer"}),
        (kinds.OPENING, {"validator"}),
        (kinds.WAIVER, {"approver"}),
        (kinds.RETIREMENT, {"operator"}),
        (kinds.DENIAL, {"custodian"}),
    ],
)
def test_what_decides_a_release_is_written_by_few(kind: str, roles: set[str]) -> None:
    assert {str(role) for role in Role if may_write(actor(role), kind)} == roles


def test_who_can_lists_persons_with_their_right() -> None:
    people = [actor(Role.VALIDATOR), actor(Role.AUDITOR)]
    ((found, access),) = who_can(people, Action.VALIDATE)
    assert found is people[0]
    assert "validator" in access.reason


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("part", ["author", "trainer", "validator"])
def test_whoever_played_a_conflicting_part_is_refused(action: Action, part: str) -> None:
    access = separation(actor(), action, {part: frozenset({"ann"})})
    assert access.allowed == (part not in CONFLICTS.get(action, ()))
    assert separation(actor(), action, {part: frozenset({"bob"})}).allowed


def test_the_conflicts_are_these() -> None:
    assert {str(action): set(parts) for action, parts in CONFLICTS.items()} == {
        "run.start": {"author"},
        "artifact.scan": {"author", "trainer"},
        "validation.run": {"author", "trainer"},
        "gate.approve": {"author", "trainer", "validator"},
        "gate.waive": {"author", "trainer", "validator"},
        "deployment.deploy": {"trainer"},
        "deployment.promote": {"trainer"},
    }


def test_a_second_name_does_not_help() -> None:
    second = Actor("ann-2", "ann", frozenset({Role.APPROVER}), "other", "other")
    assert not separation(second, Action.APPROVE, {"trainer": frozenset({"ann"})}).allowed


def test_parts_are_read_from_the_record() -> None:
    base = honest()
    assert parts_of(base.record, base.model) == {
        "author": frozenset({"dana"}),
        "trainer": frozenset({"mel"}),
        "validator": frozenset({"val"}),
    }
    assert parts_of(base.signed(kinds.TRAINING_FINISH, person="max").record, base.model)["trainer"] == {"mel", "max"}
    assert parts_of(base.signed(kinds.TRAINING_START, person="max").record, base.model)["trainer"] == {"mel", "max"}
    result = dict(base.of(kinds.CHECK_RESULT)[-1].predicate)
    watched = base.add(kinds.CHECK_RESULT, {**result, "stage": "runtime"}, person="otto")
    assert parts_of(watched.record, base.model)["validator"] == {"val"}
    assert not any(parts_of(base.record, "ab" * 32).values())


def test_has_tells_roles() -> None:
    assert actor(Role.OWNER, Role.AUDITOR).has(Role.AUDITOR, Role.OPERATOR)
    assert not actor(Role.OWNER).has(Role.AUDITOR, Role.OPERATOR)
    assert not actor(Role.OWNER).has()
