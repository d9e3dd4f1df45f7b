from __future__ import annotations

import random
from typing import Any

import pytest

from custody.core.cedar.engine import Entity, Policies, Request
from custody.core.cedar.grid import Cell, grid
from custody.core.cedar.read import read_policies
from custody.core.cedar.schema import read_schema
from custody.core.cedar.syntax import Uid

SCHEMA = read_schema("""
entity Role;
entity Actor in [Role] { person: String };
entity Thing, Other { level: Long, sealed: Bool, who?: String };
type Context = { clearance: Long, parts: Set<String> };
action "read", "write" appliesTo { principal: [Actor], resource: [Thing], context: Context };
action "both" appliesTo { principal: [Actor], resource: [Thing, Other], context: Context };
""")
PERMITS = [
    "true",
    "resource.level <= context.clearance",
    "resource.level == 2 || resource.sealed",
    "resource has who && resource.who == principal.person",
    '!context.parts.contains("trainer")',
    'resource == Thing::"t3"',
]
FORBIDS = [
    "resource.sealed",
    '[Thing::"t1", Thing::"t2"].contains(resource)',
    'resource in Thing::"t4"',
    "!(resource is Thing)",
    'resource.who == "eve"',
    "resource",
]


def told(principal: Entity, action: str, resource: Entity) -> dict[str, Any]:
    parts = frozenset({"trainer"}) if principal.uid.id == "a1" and resource.attrs.get("level") == 1 else frozenset()
    return {"clearance": 2, "parts": parts}


def world(seed: int) -> tuple[Policies, list[Entity], list[Entity]]:
    dice = random.Random(seed)
    text = []
    for number in range(6):
        action = dice.choice(['action == Action::"read"', 'action in [Action::"write", Action::"both"]', "action"])
        thing = dice.choice(["resource is Thing", "resource", 'resource == Thing::"t5"'])
        scopes = f'principal in Role::"r{number % 4}", {action}, {thing}'
        text.append(f'@id("p{number}") permit ({scopes}) when {{ {dice.choice(PERMITS)} }};')
    text.append(f'@id("f") forbid (principal, action == Action::"read", resource) when {{ {dice.choice(FORBIDS)} }};')
    actors = [
        Entity(Uid("Actor", f"a{n}"), {"person": f"p{n % 3}"}, frozenset({Uid("Role", f"r{n}")})) for n in range(5)
    ]
    things = []
    for number in range(30):
        fields: dict[str, Any] = {"level": dice.randrange(4), "sealed": dice.random() < 0.3}
        if dice.random() < 0.5:
            fields["who"] = dice.choice(["p1", "eve"])
        if dice.random() < 0.1:
            fields.pop("level")
        things.append(Entity(Uid(dice.choice(["Thing", "Thing", "Other"]), f"t{number}"), fields))
    return Policies(read_policies("\n".join(text))), actors, things


@pytest.mark.parametrize("seed", range(60))
def test_the_grid_is_what_single_cells_are(seed: int) -> None:
    policies, actors, things = world(seed)
    actions = ["read", "write", "both", "fly"]
    cells = grid(policies, SCHEMA, actors, actions, things, told, lambda thing: thing.attrs.get("level") == 1)
    found = sorted((c.principal.uid.id, c.action, thing.uid.id) for c in cells for thing in c.resources)
    alone = []
    for actor in actors:
        for action in actions:
            for thing in things:
                request = Request(actor, action, thing, told(actor, action, thing))
                if policies.decide(request).allowed and not SCHEMA.defects(request):
                    alone.append((actor.uid.id, action, thing.uid.id))
    assert found == sorted(alone)


def test_things_that_rules_treat_alike_are_one_cell() -> None:
    policies = Policies(
        read_policies(
            '@id("p") permit (principal, action == Action::"read", resource is Thing) when { resource.level < 2 };'
        )
    )
    things = [Entity(Uid("Thing", f"t{n}"), {"level": n % 2, "sealed": n % 3 == 0}) for n in range(1000)]
    actor = Entity(Uid("Actor", "a"), {"person": "p"})
    cells: list[Cell] = list(grid(policies, SCHEMA, [actor], ["read", "write"], things, told))
    assert sorted(len(cell.resources) for cell in cells) == [500, 500]
