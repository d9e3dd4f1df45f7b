"""Decisions in a CPU second, Custody's engine beside Cedar itself; and who may do what to ten thousand things.

    python benchmarks/access.py [--requests 20000] [--json]

Requests differ from one another in actor, roles, action, thing and circumstances, and all rules that Custody ships
are in force. Custody's figure includes holding each request against the schema; Cedar's is measured both ways: with
the request's entities as JSON, as a caller has to hand them over, and with entities parsed beforehand. The grid has
100 roles with 15 actions each and 10,000 things; the answer is compared with asking for single cells, sampled.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from typing import Any

from custody.adapters.cedar import CedarEngine, to_json
from custody.core.access import Action
from custody.core.actor import Role
from custody.core.cedar.engine import Entity, Policies, Request, value_of
from custody.core.cedar.grid import grid
from custody.core.cedar.read import read_policies
from custody.core.cedar.schema import read_schema
from custody.core.cedar.syntax import Uid
from custody.core.permission import Rules
from custody.gates import access_schema, access_text

ROLES, ACTIONS, THINGS = 100, 15, 10_000


def requests(rules: Rules, count: int) -> list[Request]:
    """Make requests as the desk makes them, no two alike."""
    dice = random.Random(7)
    made = []
    for number in range(count):
        action = dice.choice(list(Action))
        kind = rules.type_of(action)
        thing: dict[str, Any] = {"project": "loans"}
        if kind == "Dataset":
            thing |= {name: dice.random() < 0.2 for name in ("held_out", "sealed", "approved")}
            thing |= {"purpose": "training", "sensitivity": dice.choice([0, 0, 1])}
        context = {
            "time": 1_800_000_000 + number,
            "stage": "data",
            "tier": dice.choice(["low", "medium", "high"]),
            "project": "loans",
            "solo": False,
            "parts": value_of(dice.sample(["author", "trainer", "validator", "data"], dice.randint(0, 2))),
            "purpose": "evaluation",
            "clearance": dice.randint(0, 2),
        }
        roles = frozenset(Uid("Role", str(role)) for role in dice.sample(list(Role), dice.randint(1, 5)))
        actor = Entity(Uid("Actor", f"a{number}"), {"person": f"p{number}", "account": "person", "token": False}, roles)
        made.append(Request(actor, str(action), Entity(Uid(kind, f"r{number}"), thing), context))
    return made


def decisions(count: int) -> dict[str, float]:
    """Measure decisions in a CPU second; the best of three turns counts."""
    rules = Rules(access_text(), access_schema())
    asked = requests(rules, count)
    ours = theirs = parsed = float("inf")
    for _ in range(3):
        began = time.process_time()
        mine = [not rules.schema.defects(request) and rules.policies.decide(request).allowed for request in asked]
        ours = min(ours, time.process_time() - began)
    cedar = CedarEngine(rules.policies.all, access_schema())
    few = asked[: max(1, count // 4)]
    cedar.decide(few[:1])
    began = time.process_time()
    answers = cedar.decide(few)
    theirs = (time.process_time() - began) / len(few)
    parsed = _parsed(cedar, few)
    if answers != mine[: len(few)]:
        raise SystemExit("the engines do not agree")
    return {"custody": count / ours, "cedarpy": 1 / theirs, "cedarpy_parsed": 1 / parsed, "allowed": sum(mine)}


def _parsed(cedar: CedarEngine, asked: list[Request]) -> float:
    """Return CPU seconds for one request where entities and the text of the request were made beforehand."""
    import cedarpy

    policies, schema = cedar.parsed
    ready = [
        (to_json(request)[0], cedarpy.Entities.from_json_str(json.dumps(to_json(request)[1]))) for request in asked
    ]
    began = time.process_time()
    for request, entities in ready:
        cedarpy.is_authorized(request, policies, entities, schema)
    return (time.process_time() - began) / len(ready)


SCHEMA = """
entity Role;
entity Actor in [Role] { person: String };
entity Thing { project: Long, purpose: String, sealed: Bool, approved: Bool, level: Long, note: Long };
type Context = { tier: String, clearance: Long };
action ACTIONS appliesTo { principal: [Actor], resource: [Thing], context: Context };
"""


def world() -> tuple[Policies, Any, list[Entity], list[str], list[Entity]]:
    """Make 100 roles with their rules, an actor for each, 15 actions, 10,000 things that all differ."""
    dice = random.Random(3)
    actions = [f"act{number}" for number in range(ACTIONS)]
    text = []
    for role in range(ROLES):
        for action in dice.sample(actions, 4):
            condition = dice.choice(
                [
                    f"resource.project == {dice.randrange(50)}",
                    f'resource.purpose == "{dice.choice("abc")}" && !resource.sealed',
                    "resource.level <= context.clearance",
                    "true",
                ]
            )
            scopes = f'principal in Role::"r{role}", action == Action::"{action}", resource is Thing'
            text.append(f'@id("{role}.{action}") permit ({scopes}) when {{ {condition} }};')
    text.append('@id("sealed") forbid (principal, action == Action::"act0", resource) when { resource.sealed };')
    text.append('@id("one") forbid (principal, action == Action::"act1", resource == Thing::"t17");')
    text.append(
        '@id("tier") forbid (principal, action, resource) unless { context.tier == "high" || resource.approved };'
    )
    schema = SCHEMA.replace("ACTIONS", ", ".join(f'"{action}"' for action in actions))
    actors = [
        Entity(Uid("Actor", f"a{n}"), {"person": f"p{n}"}, frozenset({Uid("Role", f"r{n}")})) for n in range(ROLES)
    ]
    things = [
        Entity(
            Uid("Thing", f"t{number}"),
            {
                "project": dice.randrange(50),
                "purpose": dice.choice("abcd"),
                "sealed": dice.random() < 0.3,
                "approved": dice.random() < 0.5,
                "level": dice.randrange(4),
                "note": number,
            },
        )
        for number in range(THINGS)
    ]
    return Policies(read_policies("\n".join(text))), read_schema(schema), actors, actions, things


def everything() -> dict[str, float]:
    """Answer who may do what to everything, and compare with asking for single cells."""
    policies, schema, actors, actions, things = world()
    told = {"tier": "low", "clearance": 2}
    began = time.process_time()
    cells = list(grid(policies, schema, actors, actions, things, lambda *_: told))
    allowed = sum(len(cell.resources) for cell in cells)
    seconds = time.process_time() - began
    found = {(cell.principal.uid, cell.action, thing.uid) for cell in cells for thing in cell.resources}
    dice = random.Random(1)
    for _ in range(20_000):
        request = Request(dice.choice(actors), dice.choice(actions), dice.choice(things), told)
        alone = policies.decide(request).allowed and not schema.defects(request)
        if alone != ((request.principal.uid, request.action, request.resource.uid) in found):
            raise SystemExit(f"the grid and single cells differ about {request}")
    return {"cells": ROLES * ACTIONS * THINGS, "allowed": allowed, "cpu_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    speed, whole = decisions(asked.requests), everything()
    if asked.json:
        print(json.dumps({"decisions": speed, "grid": whole}))
        return
    print(f"decisions in a CPU second, {asked.requests:,} different requests, {speed['allowed']:,.0f} allowed:")
    print(f"  custody           {speed['custody']:>10,.0f}   (the bar is 10,000)")
    for name, what in (("cedarpy", "cedarpy, JSON"), ("cedarpy_parsed", "cedarpy, parsed")):
        print(f"  {what:<17} {speed[name]:>10,.0f}   ratio {speed['custody'] / speed[name]:.1f}")
    print(
        f"who can: {whole['cells']:,} cells, {whole['allowed']:,} allowed, {whole['cpu_seconds']:.2f} CPU s (bar: 10 s)"
    )


if __name__ == "__main__":
    main()
