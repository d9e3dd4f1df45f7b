from __future__ import annotations

from typing import Any

import pytest

from custody.core.cedar.engine import Answer, Entity, Policies, Request, value_of
from custody.core.cedar.read import read_policies
from custody.core.cedar.syntax import Uid


def ask(text: str, context: dict[str, Any] | None = None, **resource: Any) -> Answer:
    principal = Entity(Uid("Actor", "ann"), {"person": "ann"}, frozenset({Uid("Role", "owner")}))
    thing = Entity(Uid("Thing", "t"), {name: value_of(value) for name, value in resource.items()})
    told = {name: value_of(value) for name, value in (context or {}).items()}
    return Policies(read_policies(text)).decide(Request(principal, "go", thing, told))


def holds(expression: str, context: dict[str, Any] | None = None, **resource: Any) -> bool | str:
    """Evaluate one condition; the text of the failure where it has one."""
    found = ask(f'@id("x") permit (principal, action, resource) when {{ {expression} }};', context, **resource)
    return found.errors[0][1] if found.errors else found.allowed


PERMIT = '@id("p") permit (principal, action, resource);'


def test_nothing_allows_nothing() -> None:
    assert ask("") == Answer(False)


def test_a_permit_allows_and_is_named() -> None:
    assert ask(PERMIT) == Answer(True, ("p",))


def test_a_forbid_wins_and_is_named() -> None:
    assert ask(PERMIT + '@id("f") forbid (principal, action, resource);') == Answer(False, ("f",))


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_that_fails_denies_whatever_others_say(effect: str) -> None:
    found = ask(PERMIT + f'@id("e") {effect} (principal, action, resource) when {{ context.nothing }};')
    assert (found.allowed, found.errors) == (False, (("e", "context has no 'nothing'"),))


def test_a_policy_out_of_reach_cannot_fail() -> None:
    for scopes in (
        'principal == Actor::"bob", action, resource',
        'principal, action == Action::"stop", resource',
        "principal, action, resource is Other",
    ):
        assert ask(PERMIT + f'@id("e") forbid ({scopes}) when {{ context.nothing }};').allowed


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ('principal == Actor::"ann", action, resource', True),
        ('principal == Actor::"bob", action, resource', False),
        ('principal == Role::"owner", action, resource', False),
        ('principal in Role::"owner", action, resource', True),
        ('principal in Actor::"ann", action, resource', True),
        ('principal in Role::"auditor", action, resource', False),
        ("principal is Actor, action, resource", True),
        ("principal is Role, action, resource", False),
        ('principal is Actor in Role::"owner", action, resource', True),
        ('principal is Role in Role::"owner", action, resource', False),
        ('principal, action == Action::"go", resource', True),
        ('principal, action in [Action::"stop", Action::"go"], resource', True),
        ("principal, action in [], resource", False),
        ('principal, action == Other::"go", resource', False),
        ('principal, action, resource == Thing::"t"', True),
        ('principal, action, resource == Other::"t"', False),
        ('principal, action, resource in Role::"owner"', False),
    ],
)
def test_scopes(scopes: str, expected: bool) -> None:
    assert ask(f'@id("x") permit ({scopes});').allowed == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 == 1", True),
        ("1 == true", False),
        ("[1].contains(true)", False),
        ("[true, 1] == [1, true, 1]", True),
        ("[1] == [true]", False),
        ("{a: 1} == {a: true}", False),
        ("{a: [1]} == {a: [1]}", True),
        ('"1" == 1', False),
        ("1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3", True),
        ("true < 2", "only longs have an order"),
        ('"a" < "b"', "only longs have an order"),
        ("false && 1", False),
        ("true || 1", True),
        ("true && 1", "neither true nor false"),
        ("1", "neither true nor false"),
        ("!1", "neither true nor false"),
        ("if 1 then true else true", "neither true nor false"),
        ("if false then context.nothing else true", True),
        ("context has n", True),
        ("context has nothing", False),
        ("context.nothing == 1", "context has no 'nothing'"),
        ("resource.nothing == 1", "has no 'nothing'"),
        ("resource has level && resource.level == 3", True),
        ('Thing::"t".level == 3', True),
        ('Thing::"other".level == 3', 'Thing::"other" is not known'),
        ('Thing::"other" has level', False),
        ("1 has level", "only a record or an entity"),
        ("context.rec.deep == 1", True),
        ("context.rec.lost == 1", "the record has no 'lost'"),
        ("[1, 2].containsAll([1]) && ![1].containsAll([1, 2])", True),
        ("[1, 2].containsAny([2, 3]) && ![1].containsAny([])", True),
        ("context.n.contains(1)", "asks for a set"),
        ("[1].containsAll(1)", "asks for a set"),
        ('context.s like "a*c" && !(context.s like "a*d")', True),
        ('context.s like "abc" && !(context.s like "ab")', True),
        ('"aa" like "a*a*a"', False),
        ('"" like "*" && "xay" like "*a*"', True),
        ('1 like "*"', "asks for a string"),
        ('principal in [Role::"x", Role::"owner"]', True),
        ("principal in [1]", "asks for entities"),
        ('1 in Role::"x"', "ask for an entity"),
        ("principal in 1", "asks for a set"),
        ("resource is Thing && !(resource is Actor)", True),
        ("1 is Thing", "ask for an entity"),
        ('action == Action::"go" && action != Action::"stop"', True),
        ('context.who == Actor::"bob" && !(context.who in Role::"owner")', True),
    ],
)
def test_expressions_mean_what_they_mean_in_cedar(expression: str, expected: bool | str) -> None:
    context = {"n": 1, "s": "abc", "rec": {"deep": 1}, "who": Uid("Actor", "bob")}
    found = holds(expression, context, level=3)
    assert (expected in found) if isinstance(expected, str) and isinstance(found, str) else found is expected


@pytest.mark.parametrize("value", [1.5, None, b"x", 2**63, -(2**63) - 1, {1: 2}, {"a": None}, [1.5], object()])
def test_values_that_no_policy_knows_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"long|type"):
        value_of(value)


def test_values_are_kept_as_they_mean() -> None:
    assert value_of([1, True, 1]) == value_of((1, True)) == frozenset({1, ("bool", True)})
    assert value_of({"a": [{"b": [2]}]}) == {"a": frozenset({("record", frozenset({("b", frozenset({2}))}))})}
