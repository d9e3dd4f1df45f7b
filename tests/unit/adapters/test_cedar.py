from __future__ import annotations

import pytest

from custody.adapters.cedar import CedarEngine, check
from custody.core.cedar.engine import Entity, Request, value_of
from custody.core.cedar.read import read_policies
from custody.core.cedar.syntax import Uid
from custody.core.permission import Rules
from custody.errors import InvalidInput
from custody.gates import access_schema, access_text


def own(condition: str) -> str:
    return f'\n@id("mine") forbid (principal, action == Action::"data.read", resource) unless {{ {condition} }};'


def test_what_is_shipped_is_right_by_its_schema() -> None:
    check(read_policies(access_text()), access_schema())


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("context.mfa", "optional attribute `mfa`"),
        ("context.colour == 1", "colour"),
        ('context.time == "noon" || context.time < "x"', "Long"),
        ('resource.project in Role::"owner"', "mine"),
        ('principal in Rule::"owner"', "Rule"),
    ],
)
def test_a_rule_that_does_not_fit_the_schema_is_refused_with_its_line(condition: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        check(read_policies(own(condition)), access_schema())
    assert "line 2" in caught.value.message


def test_a_rule_about_an_action_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"data\.fly"):
        check(read_policies(own("true").replace("data.read", "data.fly")), access_schema())


def test_any_diagnostic_denies() -> None:
    policies = read_policies('@id("p") permit (principal, action, resource);' + own("context.lost == 1"))
    request = Request(Entity(Uid("Actor", "a")), "data.read", Entity(Uid("Dataset", "d")))
    other = Request(Entity(Uid("Actor", "a")), "data.label", Entity(Uid("Dataset", "d")))
    assert CedarEngine(policies, "").decide([request, other], schema=False) == [False, True]


def test_values_reach_cedar_as_they_are() -> None:
    condition = 'context.s == [1, true, {a: [false]}, A::"x"] && context.r.w == A::"x"'
    text = f'@id("p") permit (principal, action, resource) when {{ {condition} }};'
    context = value_of({"s": [1, True, {"a": [False]}, Uid("A", "x")], "r": {"w": Uid("A", "x")}})
    request = Request(Entity(Uid("A", "a")), "go", Entity(Uid("B", "b")), context)
    assert CedarEngine(read_policies(text), "").decide([request], schema=False) == [True]


def test_the_rules_of_a_project_are_checked_beside_those_that_are_shipped() -> None:
    rules = Rules(access_text(), access_schema(), own("context has mfa && context.mfa"))
    assert CedarEngine(rules.policies.all, access_schema()).defects() == []
