from __future__ import annotations

import itertools
from typing import Any

import pytest

from custody.core.access import CONFLICTS, GRANTS, Action, decide, separation
from custody.core.actor import Actor, Role
from custody.core.permission import ACCESS_ONLY, Resource, Rules, read_own, stage_of
from custody.errors import InvalidInput
from custody.gates import access_schema, access_text

RULES = Rules(access_text(), access_schema())
DATASET = {
    "project": "loans",
    "purpose": "training",
    "held_out": False,
    "sealed": False,
    "approved": False,
    "sensitivity": 0,
}
PARTS = ("author", "trainer", "validator", "data")


def actor(*roles: Role, person: str = "ann") -> Actor:
    return Actor("ann", person, frozenset(roles), "key", "id")


def context(**change: Any) -> dict[str, Any]:
    plain = {"time": 1_800_000_000, "stage": "data", "tier": "high", "project": "loans", "solo": False, "parts": []}
    return {**plain, **change}


def thing(action: str, **change: Any) -> Resource:
    kind = RULES.type_of(action)
    return Resource(kind, "it", {**(DATASET if kind == "Dataset" else {"project": "loans"}), **change})


def allowed(roles: Any, action: str, *, about: Resource | None = None, **told: Any) -> bool:
    return RULES.judge(actor(*roles), action, about or thing(action), context(**told)).allowed


# The text and the table say the same


def test_the_schema_names_every_action() -> None:
    assert set(RULES.schema.actions) == {str(action) for action in Action}


@pytest.mark.parametrize("action", list(Action))
def test_the_text_gives_each_role_what_the_table_gives(action: Action) -> None:
    told = {"purpose": "evaluation", "second_person": True}
    given = {
        role
        for role in Role
        if RULES.policies.decide(RULES.request(actor(role), action, thing(action), context(**told))).allowed
    }
    assert given == GRANTS[action]


@pytest.mark.parametrize(("action", "part"), list(itertools.product(Action, PARTS[:3])))
def test_the_text_separates_what_the_table_of_conflicts_separates(action: Action, part: str) -> None:
    everything = [role for role in Role if role is not Role.CUSTODIAN]
    told = {"parts": [part], "tier": "medium", "purpose": "evaluation", "second_person": True}
    request = RULES.request(actor(*Role), action, thing(action), context(**told))
    assert RULES.policies.decide(request).allowed == (part not in CONFLICTS.get(action, ()))
    solo = RULES.request(actor(*Role), action, thing(action), context(**told, solo=True))
    assert RULES.policies.decide(solo).allowed
    assert separation(actor(*everything), action, {part: frozenset({"ann"})}).allowed == (
        part not in CONFLICTS.get(action, ())
    )


@pytest.mark.parametrize("action", [action for action in Action if action not in ACCESS_ONLY])
def test_no_text_can_widen_what_leaves_statements(action: Action) -> None:
    generous = access_text().replace("principal in Role", "principal is Actor in Role")
    for role in Role:
        generous += f'@id("more.{role}") permit (principal in Role::"{role}", action, resource);'
    rules = Rules(generous, access_schema())
    for role in Role:
        found = rules.judge(actor(role), action, thing(action), context())
        assert not found.allowed or decide(actor(role), action).allowed


# Silence denies


@pytest.mark.parametrize("name", ["time", "stage", "tier", "project", "solo", "parts"])
def test_a_circumstance_that_nobody_told_denies_and_is_named(name: str) -> None:
    told = {key: value for key, value in context().items() if key != name}
    found = RULES.judge(actor(Role.DATA_ENGINEER), "data.read", thing("data.read"), told)
    assert not found.allowed
    assert found.missing == (name,)
    assert allowed([Role.DATA_ENGINEER], "data.read")


@pytest.mark.parametrize("name", sorted(DATASET))
def test_a_dataset_of_which_something_is_unknown_is_closed(name: str) -> None:
    known = {key: value for key, value in DATASET.items() if key != name}
    assert not allowed([Role.DATA_ENGINEER], "data.read", about=Resource("Dataset", "it", known))


@pytest.mark.parametrize(
    ("action", "about", "told", "why"),
    [
        ("data.fly", Resource("Dataset", "it", DATASET), {}, "not an action"),
        ("data.read", Resource("Planet", "it", DATASET), {}, "does not apply to Planet"),
        ("data.read", Resource("Dataset", "it", {**DATASET, "sealed": "no"}), {}, "wrong type"),
        ("data.read", Resource("Dataset", "it", {**DATASET, "colour": "red"}), {}, "not in the schema"),
        ("data.read", Resource("Dataset", "it", DATASET), {"time": "noon"}, "wrong type"),
        ("data.read", Resource("Dataset", "it", DATASET), {"time": 1.5}, "cannot be understood"),
        ("data.read", Resource("Dataset", "it", DATASET), {"time": 2**63}, "cannot be understood"),
        ("data.read", Resource("Dataset", "it", {**DATASET, "project": "cards"}), {}, "another project"),
    ],
)
def test_what_cannot_be_decided_is_denied(action: str, about: Resource, told: dict[str, Any], why: str) -> None:
    found = RULES.judge(actor(*Role), action, about, context(**told))
    assert not found.allowed
    assert why in found.reason


def test_a_forbid_that_fails_denies() -> None:
    """Cedar alone would skip it and allow."""
    own = '@id("broken") forbid (principal, action, resource) when { context.purpose == "x" };'
    rules = Rules(access_text(), access_schema(), own)
    found = rules.judge(actor(Role.DATA_ENGINEER), "data.read", thing("data.read"), context())
    assert not found.allowed
    assert (found.rule, found.line) == ("broken", 1)
    assert "cannot be evaluated" in found.reason
    assert rules.judge(actor(Role.DATA_ENGINEER), "data.read", thing("data.read"), context(purpose="y")).allowed


# What the rules say


def test_a_decision_names_its_rule_and_line() -> None:
    found = RULES.judge(actor(Role.OPERATOR), "deployment.deploy", thing("deployment.deploy"), context())
    assert (found.allowed, found.rule) == (True, "operator.deployment")
    assert f'@id("{found.rule}")' in access_text().splitlines()[found.line - 1]
    denied = RULES.judge(
        actor(Role.OPERATOR), "deployment.deploy", thing("deployment.deploy"), context(parts=["trainer"])
    )
    assert (denied.allowed, denied.rule) == (False, "separation.deploy")
    assert denied.reason == "ann is the trainer of this model and may not deployment.deploy"
    odd = RULES.judge(actor(*Role), "weights.read", thing("weights.read"), context(parts=["data"]))
    assert odd.rule == "separation.weights"
    assert odd.reason == "in tier high whoever made the data or trained reads no weights (rule separation.weights)"


def test_who_has_no_role_may_do_nothing() -> None:
    assert not any(allowed([], action) for action in Action)


@pytest.mark.parametrize(
    ("roles", "action", "given", "told", "expected"),
    [
        ([Role.DATA_SCIENTIST], "data.read", {}, {}, True),
        ([Role.DATA_SCIENTIST], "data.modify", {}, {}, False),
        ([Role.DATA_SCIENTIST], "data.read", {"held_out": True}, {"purpose": "evaluation"}, False),
        ([Role.VALIDATOR], "data.read", {"held_out": True}, {}, False),
        ([Role.VALIDATOR], "data.read", {"held_out": True}, {"purpose": "curiosity"}, False),
        ([Role.VALIDATOR], "data.read", {"held_out": True}, {"purpose": "evaluation"}, True),
        ([Role.DATA_ENGINEER], "data.modify", {}, {}, True),
        ([Role.DATA_ENGINEER], "data.modify", {"sealed": True}, {"second_person": True}, False),
        ([Role.DATA_ENGINEER], "data.modify", {"approved": True}, {}, False),
        ([Role.DATA_ENGINEER], "data.modify", {"approved": True}, {"second_person": False}, False),
        ([Role.DATA_ENGINEER], "data.modify", {"approved": True}, {"second_person": True}, True),
        ([Role.DATA_ENGINEER], "data.read", {"sensitivity": 2}, {}, False),
        ([Role.DATA_ENGINEER], "data.read", {"sensitivity": 2}, {"clearance": 1}, False),
        ([Role.DATA_ENGINEER], "data.read", {"sensitivity": 2}, {"clearance": 2}, True),
        ([Role.DATA_ENGINEER, Role.APPROVER], "data.approve", {}, {"parts": ["data"]}, False),
        ([Role.APPROVER], "data.approve", {}, {}, True),
        ([Role.DATA_SCIENTIST], "metrics.read", {}, {}, True),
        ([Role.DATA_SCIENTIST], "held_out_metrics.read", {}, {}, False),
        ([Role.DATA_SCIENTIST], "weights.read", {}, {}, False),
        ([Role.DATA_SCIENTIST], "logs.read", {}, {}, False),
        ([Role.AUDITOR], "logs.read", {}, {}, True),
        ([Role.AUDITOR], "weights.read", {}, {}, False),
        ([Role.OPERATOR], "deployment.promote", {}, {}, True),
        ([Role.SECURITY_MANAGER], "deployment.rollback", {}, {}, True),
        ([Role.SECURITY_MANAGER], "deployment.promote", {}, {}, False),
        ([Role.ML_ENGINEER], "deployment.deploy", {}, {}, False),
    ],
)
def test_rights_are_as_narrow_as_the_work(
    roles: list[Role], action: str, given: dict[str, Any], told: dict[str, Any], expected: bool
) -> None:
    assert allowed(roles, action, about=thing(action, **given), **told) == expected


@pytest.mark.parametrize(
    ("action", "part"),
    [
        ("run.start", "data"),
        ("data.register", "trainer"),
        ("data.modify", "trainer"),
        ("weights.read", "data"),
        ("weights.read", "trainer"),
    ],
)
def test_in_tier_high_changing_data_training_and_reading_weights_exclude_each_other(action: str, part: str) -> None:
    everything = list(Role)
    for tier, expected in (("high", False), ("", False), ("unheard-of", False), ("medium", True), ("low", True)):
        assert allowed(everything, action, parts=[part], tier=tier) == expected
    assert allowed(everything, action, parts=[part], solo=True)
    assert allowed(everything, action, parts=[])


@pytest.mark.parametrize("action", ["gate.approve", "actor.enrol", "access.grant", "incident.close", "gate.seal"])
def test_a_service_account_answers_for_nothing(action: str) -> None:
    for account, expected in (("person", True), ("service", False), ("robot", False)):
        found = RULES.judge(actor(*Role), action, thing(action), context(), account=account)
        assert found.allowed == expected


def test_one_service_account_does_not_train_and_serve() -> None:
    told = context(parts=["trainer"], tier="low")
    for action in ("deployment.rollback", "deployment.load"):
        assert not RULES.judge(actor(*Role), action, thing(action), told, account="service").allowed
        assert RULES.judge(actor(*Role), action, thing(action), told, account="person").allowed


@pytest.mark.parametrize("action", ["access.delegate", "access.break_glass", "statement.countersign"])
def test_a_token_passes_no_rights_on(action: str) -> None:
    assert not RULES.judge(actor(*Role), action, thing(action), context(), token=True).allowed
    assert RULES.judge(actor(*Role), action, thing(action), context(), token=False).allowed


def test_stages_follow_from_actions() -> None:
    assert stage_of("gate.seal") == "criteria"
    assert stage_of("gate.approve") == "release"
    assert stage_of("data.read") == "data"
    assert stage_of("access.grant") == stage_of("nonsense") == "governance"


# A project's own rules


OFFICE_HOURS = '@id("o") forbid (principal, action, resource) unless { context has mfa && context.mfa };'


def test_a_project_can_forbid_more() -> None:
    rules = Rules(access_text(), access_schema(), OFFICE_HOURS)
    assert rules.own == {"o"}
    assert rules.digest != RULES.digest
    for told, expected in (({}, False), ({"mfa": False}, False), ({"mfa": True}, True)):
        found = rules.judge(actor(Role.OPERATOR), "deployment.load", thing("deployment.load"), context(**told))
        assert found.allowed == expected
        assert found.missing == (() if told else ("mfa",))


def test_a_project_can_permit_reading_to_somebody() -> None:
    own = '@id("guest") permit (principal == Actor::"ann", action == Action::"logs.read", resource is Output);'
    rules = Rules(access_text(), access_schema(), own)
    assert rules.judge(actor(), "logs.read", thing("logs.read"), context()).rule == "guest"
    assert not rules.judge(actor(), "weights.read", thing("weights.read"), context()).allowed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('@id("x") permit (principal, action == Action::"logs.read", resource is Output);', "wildcard"),
        ('@id("x") permit (principal in Role::"owner", action, resource is Output);', "wildcard"),
        ('@id("x") permit (principal in Role::"owner", action == Action::"logs.read", resource);', "wildcard"),
        ('@id("x") permit (principal in Role::"owner", action == Action::"gate.approve", resource is Model);', "roles"),
        ('\n\n@id("owner.key") forbid (principal, action, resource);', "line 3"),
        ('@id("x") forbid (principal, action, resource) when { context has mfa && !context.mfa };', "opens when 'mfa'"),
        ('@id("x") forbid (principal, action, resource) unless { !(context has mfa) };', "opens when 'mfa'"),
        ('@id("x") forbid (principal, action, resource) unless { (context has mfa) == false };', "opens when 'mfa'"),
        (
            '@id("x") forbid (principal, action, resource) unless { if context has mfa then context.mfa else true };',
            "opens when 'mfa'",
        ),
        ('@id("x") forbid (principal, action, resource) unless { [context has mfa].contains(false) };', "opens when"),
        ('@id("x") forbid (principal, action, resource) unless { {a: context has mfa}.a };', "opens when"),
        (
            '@id("x") permit (principal in Role::"owner", action == Action::"logs.read", resource is Output) '
            "unless { context has mfa };",
            "opens when 'mfa'",
        ),
    ],
)
def test_a_rule_that_could_open_a_door_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        read_own(text, {"owner.key"})
    assert caught.value.message.startswith("line ")


@pytest.mark.parametrize(
    "text",
    [
        OFFICE_HOURS,
        '@id("x") forbid (principal, action, resource) when { !(context has mfa && context.mfa) };',
        '@id("x") forbid (principal, action, resource) unless { if true then context has mfa else false };',
        '@id("x") permit (principal in Role::"owner", action == Action::"logs.read", resource is Output) '
        "when { context has mfa && context.mfa };",
    ],
)
def test_rules_that_ask_in_the_safe_direction_are_accepted(text: str) -> None:
    assert len(read_own(text)) == 1


def test_what_is_shipped_keeps_the_rules_for_projects() -> None:
    shipped = access_text().replace("permit", "forbid")  # permits may give everything in the table
    assert len(read_own(shipped)) == len(RULES.policies.all)
