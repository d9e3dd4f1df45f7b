"""Custody's own engine and Cedar itself are asked the same, a hundred thousand times; and what holds for any policy."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.adapters.cedar import CedarEngine
from custody.core.access import Action
from custody.core.actor import Role
from custody.core.cedar.engine import Answer, Entity, Policies, Request, value_of
from custody.core.cedar.read import read_policies
from custody.core.cedar.syntax import (
    Call,
    Expr,
    Get,
    Has,
    If,
    Is,
    Items,
    Like,
    Lit,
    Name,
    Not,
    Pairs,
    Policy,
    Ref,
    Scope,
    Two,
    Uid,
    depth_of,
    printed,
)
from custody.core.permission import Rules
from custody.errors import InvalidInput
from custody.gates import access_schema, access_text

RULES = Rules(access_text(), access_schema())
CEDAR = CedarEngine(RULES.policies.all, access_schema())
ACTIONS = [str(action) for action in Action]
PARTS = ["author", "trainer", "validator", "data"]
ODD: list[Any] = [True, 7, "x", [], [1], {"a": 1}, -1, ""]
WORDS = ["", "a", "b", "a*b", 'quo"te', "back\\slash", "line\nbreak", "\0", "é", "\u2028", "a b"]


class World:
    """Makes requests and policies from a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def thinned(self, fields: dict[str, Any], *, lost: float = 0.02, spoilt: float = 0.01) -> dict[str, Any]:
        """Return the fields with some left out and some of another type."""
        kept = {name: value for name, value in fields.items() if not self.chance(lost)}
        return {n: value_of(self.dice.choice(ODD) if self.chance(spoilt) else v) for n, v in kept.items()}

    def some(self, items: list[Any], most: int) -> list[Any]:
        return self.dice.sample(items, self.dice.randint(0, most))

    # Requests as Custody makes them, and damaged ones

    def asked(self) -> Request:
        dice = self.dice
        action = "data.fly" if self.chance(0.01) else dice.choice(ACTIONS)
        kind = RULES.type_of(action) or "Dataset"
        if self.chance(0.03):
            kind = dice.choice(["Model", "Dataset", "Planet", "Actor"])
        principal = {"person": "ann", "account": dice.choice(["person"] * 4 + ["service"]), "token": self.chance(0.1)}
        resource: dict[str, Any] = {"project": dice.choice(["loans"] * 9 + ["cards"])}
        if kind == "Dataset":
            resource |= {name: self.chance(0.2) for name in ("held_out", "sealed", "approved")}
            resource |= {"purpose": dice.choice(["training", "held_out"]), "sensitivity": dice.choice([0, 0, 0, 1, 2])}
        context: dict[str, Any] = {
            "time": dice.randrange(2**40),
            "stage": "data",
            "tier": dice.choice(["low", "medium", "high", ""]),
            "project": "loans",
            "solo": self.chance(0.1),
            "parts": self.some(PARTS, 2),
        }
        optional = {
            "environment": "production",
            "purpose": dice.choice(["evaluation", "study"]),
            "mfa": self.chance(0.5),
        }
        optional |= {"clearance": dice.randint(0, 2), "second_person": self.chance(0.5)}
        context |= {name: value for name, value in optional.items() if self.chance(0.5)}
        roles = frozenset(Uid("Role", str(role)) for role in self.some(list(Role), 6))
        return Request(
            Entity(Uid("Actor", dice.choice(WORDS)), self.thinned(principal), roles),
            action,
            Entity(Uid(kind, dice.choice(WORDS)), self.thinned(resource)),
            self.thinned(context),
        )

    # Policies and requests of any kind

    def uid(self) -> Uid:
        return Uid(self.dice.choice(["A", "B", "C::D"]), self.dice.choice(WORDS[:4]))

    def literal(self) -> Expr:
        pick = self.dice.randrange(4)
        if pick == 0:
            return Lit(self.chance(0.5))
        if pick == 1:
            return Lit(self.dice.choice([0, 1, -1, 5, 2**63 - 1, -(2**63)]))
        return Lit(self.dice.choice(WORDS)) if pick == 2 else Ref(self.uid())

    def path(self) -> Expr:
        of: Expr = Name(self.dice.choice(["principal", "resource", "context"]))
        for _ in range(self.dice.choice([0, 1, 1, 1, 2])):
            of = Get(of, self.dice.choice(["flag", "count", "name", "tags", "more", "who", "a b"]))
        return of

    def typed(self, name: str) -> Expr:
        return Get(Name(self.dice.choice(["principal", "resource", "context"])), name)

    def long(self) -> Expr:
        return self.typed("count") if self.chance(0.6) else Lit(self.dice.choice([0, 1, -3, 9]))

    def collection(self, depth: int) -> Expr:
        if self.chance(0.6):
            return self.typed("tags")
        return Items(tuple(self.any(depth - 1) for _ in range(self.dice.randint(0, 3))))

    def truth(self, depth: int) -> Expr:
        dice, below = self.dice, depth - 1
        if depth <= 0 or self.chance(0.05):
            return self.typed("flag") if self.chance(0.7) else self.any(0)
        match dice.randrange(11):
            case 0 | 1:
                return Two(dice.choice(["&&", "||"]), self.truth(below), self.truth(below))
            case 2:
                return Not(self.truth(below))
            case 3:
                return Two(dice.choice(["==", "!="]), self.any(below), self.any(below))
            case 4:
                return Two(dice.choice(["<", "<=", ">", ">="]), self.long(), self.long())
            case 5:
                return Has(self.path(), dice.choice(["flag", "count", "more", "nothing", "a b", "if"]))
            case 6:
                pattern = tuple(dice.choice(["", "a", "b", "*", "\\", "é"]) for _ in range(dice.randint(1, 4)))
                return Like(self.typed("name"), pattern)
            case 7:
                return Is(self.typed("who") if self.chance(0.5) else Name("principal"), dice.choice(["A", "B", "C::D"]))
            case 8:
                method = dice.choice(["contains", "containsAll", "containsAny"])
                arg = self.any(below) if method == "contains" else self.collection(below)
                return Call(self.collection(below), method, arg)
            case 9:
                places: Expr = Ref(self.uid()) if self.chance(0.5) else Items((Ref(self.uid()), Ref(self.uid())))
                return Two("in", self.dice.choice([Name("principal"), self.typed("who")]), places)
            case _:
                return If(self.truth(below), self.truth(below), self.truth(below))

    def any(self, depth: int) -> Expr:
        if depth <= 0:
            return self.literal() if self.chance(0.5) else self.path()
        pick = self.dice.randrange(5)
        if pick == 0:
            names = self.some(["a", "b", "a b", "if"], 3)
            return Pairs(tuple(sorted((name, self.any(depth - 1)) for name in names)))
        return [self.truth, self.collection, self.any][pick % 3](depth - 1)

    def scope(self) -> Scope:
        op = self.dice.choice(["", "", "==", "in", "is", "is in"])
        if op.startswith("is"):
            return Scope("is", (self.uid(),) if op == "is in" else (), self.dice.choice(["A", "B"]))
        return Scope(op, (self.uid(),) if op else ())

    def action_scope(self) -> Scope:
        op = self.dice.choice(["", "==", "in"])
        uids = tuple(Uid("Action", name) for name in (["go"] if op == "==" else self.some(["go", "stop", "a b"], 3)))
        return Scope(op, uids if op else ())

    def policy(self, number: int, depth: int = 3) -> Policy:
        conditions = tuple((self.chance(0.6), self.truth(depth)) for _ in range(self.dice.choice([0, 1, 1, 1, 2])))
        notes = (("why", self.dice.choice(WORDS)),) if self.chance(0.3) else ()
        scopes = self.scope(), self.action_scope(), self.scope()
        return Policy(f"p{number}", self.chance(0.7), *scopes, conditions, notes)

    def policies(self, most: int = 4) -> tuple[Policy, ...]:
        return tuple(self.policy(number) for number in range(self.dice.randint(1, most)))

    def anything(self) -> Request:
        def fields() -> dict[str, Any]:
            full = {
                "flag": self.chance(0.5),
                "count": self.dice.randint(-3, 9),
                "name": self.dice.choice(WORDS),
                "tags": [self.dice.choice([1, True, "a", "1", self.uid()]) for _ in range(self.dice.randint(0, 3))],
                "more": {"flag": self.chance(0.5), "a b": 1},
                "who": self.uid(),
                "a b": 1,
            }
            return self.thinned(full, lost=0.15, spoilt=0.03)

        principal = Entity(self.uid(), fields(), frozenset(self.uid() for _ in range(self.dice.randint(0, 2))))
        resource = Entity(self.uid(), fields(), frozenset(self.uid() for _ in range(self.dice.randint(0, 2))))
        if principal.uid == resource.uid:  # Cedar knows an entity once
            resource = Entity(principal.uid, principal.attrs, principal.parents)
        principal, resource = (Entity(e.uid, e.attrs, e.parents - {e.uid}) for e in (principal, resource))
        others = {e.uid: e for e in (principal, resource)}
        # What somebody is in includes what that is in: Cedar works this out, the engine is given it.
        grown = [
            Entity(
                e.uid, e.attrs, frozenset(e.parents | {p for u in e.parents & others.keys() for p in others[u].parents})
            )
            for e in (principal, resource)
        ]
        if grown[0].uid in grown[1].parents and grown[1].uid in grown[0].parents:
            return self.anything()  # Cedar refuses circles
        return Request(grown[0], self.dice.choice(["go", "stop", "a b"]), grown[1], fields())


def ours(request: Request) -> bool:
    return not RULES.schema.defects(request) and RULES.policies.decide(request).allowed


@pytest.mark.parametrize("part", range(6))
def test_both_engines_agree_about_what_custody_asks(part: int) -> None:
    world = World(part)
    requests = [world.asked() for _ in range(10_000)]
    answers = [ours(request) for request in requests]
    assert answers == CEDAR.decide(requests)
    assert 500 < sum(answers) < 9_500


@pytest.mark.parametrize("part", range(4))
def test_both_engines_agree_about_any_policy_and_request(part: int) -> None:
    world, seen = World(100 + part), {"allowed": 0, "failed": 0}
    for _ in range(250):
        policies = world.policies()
        engine, cedar = Policies(policies), CedarEngine(policies, "")
        requests = [world.anything() for _ in range(40)]
        answers = [engine.decide(request) for request in requests]
        assert [answer.allowed for answer in answers] == cedar.decide(requests, schema=False), printed(policies)
        seen["allowed"] += sum(answer.allowed for answer in answers)
        seen["failed"] += sum(bool(answer.errors) for answer in answers)
    assert all(count > 300 for count in seen.values()), seen


def test_cedar_alone_would_allow_what_fails() -> None:
    """Why a diagnostic denies: this forbid falls silent in Cedar when nobody tells `mfa`."""
    import cedarpy

    text = '@id("p") permit (principal, action, resource);\n'
    text += '@id("f") forbid (principal, action, resource) when { context.mfa == false };'
    request = Request(Entity(Uid("A", "a")), "go", Entity(Uid("B", "b")))
    asked = {"principal": 'A::"a"', "action": 'Action::"go"', "resource": 'B::"b"', "context": {}}
    assert cedarpy.is_authorized(asked, text, []).allowed
    assert not CedarEngine(read_policies(text), "").decide([request], schema=False)[0]
    answer = Policies(read_policies(text)).decide(request)
    assert answer == Answer(False, (), (("f", "context has no 'mfa'"),))


seeds = st.integers(0, 2**32)


@given(seeds)
def test_reading_what_was_printed_gives_the_same(seed: int) -> None:
    policies = World(seed).policies()
    text = printed(policies)
    again = read_policies(text)
    assert printed(again) == text
    assert [(p.id, p.permits, p.principal, p.action, p.resource, p.conditions, p.notes) for p in again] == [
        (p.id, p.permits, p.principal, p.action, p.resource, p.conditions, p.notes) for p in policies
    ]


@given(seeds)
def test_deciding_never_raises_and_answers_always(seed: int) -> None:
    world = World(seed)
    engine = Policies(world.policies(8))
    for _ in range(10):
        answer = engine.decide(world.anything())
        assert answer.allowed == bool(answer.allowed and answer.by and not answer.errors)


@given(seeds)
def test_one_more_forbid_never_allows_more(seed: int) -> None:
    world = World(seed)
    policies = world.policies()
    forbid = Policy("more", False, *[Scope()] * 3, ((True, world.truth(3)),))
    before, after = Policies(policies), Policies((*policies, forbid))
    for _ in range(10):
        request = world.anything()
        assert before.decide(request).allowed or not after.decide(request).allowed


def without(request: Request, where: str, name: str) -> Request:
    entity = {"principal": request.principal, "resource": request.resource}.get(where)
    if entity is None:
        return Request(request.principal, request.action, request.resource, _less(request.context, name))
    less = Entity(entity.uid, _less(entity.attrs, name), entity.parents)
    if where == "principal":
        return Request(less, request.action, request.resource, request.context)
    return Request(request.principal, request.action, less, request.context)


def _less(fields: Any, name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


@given(seeds)
def test_telling_less_never_opens_a_door(seed: int) -> None:
    world = World(seed)
    request = world.asked()
    if RULES.schema.defects(request):
        return
    before = ours(request)
    for where, fields in (
        ("principal", request.principal.attrs),
        ("resource", request.resource.attrs),
        ("context", request.context),
    ):
        for name in fields:
            assert before or not ours(without(request, where, name)), (where, name)


@given(seeds)
def test_telling_less_opens_no_door_by_an_accepted_rule_of_a_project(seed: int) -> None:
    """Projects may write any condition that reading accepts; here over what every request may leave out."""
    world = World(seed)
    atoms = [
        "context has mfa && context.mfa",
        "!(context has mfa && context.mfa)",
        'context has purpose && context.purpose == "study"',
        "context has clearance && context.clearance > 0",
        "!(context has second_person)",
        "context.solo",
        "if context.solo then context has mfa else true",
    ]
    joined = f" {world.dice.choice(['&&', '||'])} ".join(f"({atom})" for atom in world.some(atoms, 3)) or "true"
    word = world.dice.choice(["when", "unless"])
    own = f'@id("own") forbid (principal, action, resource) {word} {{ {joined} }};'
    try:
        rules = Rules(access_text(), access_schema(), own)
    except InvalidInput:
        return
    for _ in range(20):
        request = world.asked()
        if rules.schema.defects(request) or rules.policies.decide(request).allowed:
            continue
        for name in ("mfa", "purpose", "clearance", "second_person"):
            assert not rules.policies.decide(without(request, "context", name)).allowed, own


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(printed(World(5).policies(8)).split(" ")), max_size=60).map(" ".join)
)
@settings(max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        policies = read_policies(text)
        assert all(depth_of(expr) <= 100 for policy in policies for _, expr in policy.conditions)
