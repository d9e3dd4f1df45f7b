"""Who may do what to which of many things: everything, without asking for each cell.

Two facts keep the work small. An actor whom no permit for an action reaches may do it to nothing. And two things of
one type are treated alike by an action if they agree in whatever the policies about that action look at, so they are
grouped by that, and one of each group is asked. The answer is that of asking for every cell, which a test does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custody.core.cedar.engine import Entity, Policies, Request, Rule, key_of
from custody.core.cedar.schema import Schema
from custody.core.cedar.syntax import Get, Has, Name, inside, parts

Context = Callable[[Entity, str, Entity], Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One actor, one action, and a group of things that are treated alike."""

    principal: Entity
    action: str
    resources: Sequence[Entity]


def grid(
    policies: Policies,
    schema: Schema,
    principals: Sequence[Entity],
    actions: Iterable[str],
    resources: Sequence[Entity],
    context: Context,
    apart: Callable[[Entity], Hashable] = lambda resource: None,  # noqa: ARG005
) -> Iterator[Cell]:
    """Yield every cell that is allowed, things grouped.

    `context` tells the circumstances of a request; where they depend on the thing, `apart` returns what they depend
    on, so that things which differ in it are asked about separately.
    """
    by_type: dict[str, list[Entity]] = {}
    for resource in resources:
        by_type.setdefault(resource.uid.type, []).append(resource)
    for action in actions:
        applies = schema.actions.get(action)
        if applies is None:
            continue
        sound = [
            resource
            for kind in sorted(applies.resources)
            for resource in by_type.get(kind, ())
            if not schema.entities[kind].defects(resource.attrs, "")
        ]
        grouped: dict[Hashable, list[list[Entity]]] = {}
        for principal in principals:
            probe = Request(principal, action, principal)
            rules = [rule for rule in policies.rules(action) if rule.principal(probe)]
            if not sound or not any(rule.policy.permits for rule in rules):
                continue
            looks = _looked_at(rules)
            if looks not in grouped:
                grouped[looks] = _groups(sound, looks, apart)
            checked: Mapping[str, Any] | None = None
            for group in grouped[looks]:
                told = context(principal, action, group[0])
                request = Request(principal, action, group[0], told)
                if told is not checked:
                    if schema.defects(request):
                        continue
                    checked = told
                if policies.decide(request).allowed:
                    yield Cell(principal, action, group)


_Looks = tuple[bool, frozenset[str]]


def _groups(resources: Sequence[Entity], looks: _Looks, apart: Callable[[Entity], Hashable]) -> list[list[Entity]]:
    """Group things that agree in all that is looked at."""
    found: dict[Hashable, list[Entity]] = {}
    for resource in resources:
        found.setdefault((resource.uid.type, _signature(resource, looks), apart(resource)), []).append(resource)
    return list(found.values())


def _looked_at(rules: Sequence[Rule]) -> _Looks:
    """Return whether the rules look at which thing it is, and which of its attributes they look at."""
    names: set[str] = set()
    ids = False
    for rule in rules:
        ids = ids or bool(rule.policy.resource.uids)
        for _, condition in rule.policy.conditions:
            for part in parts(condition):
                if isinstance(part, Get | Has) and part.of == Name("resource"):
                    names.add(part.name)
                elif Name("resource") in inside(part):
                    ids = True  # the thing itself is compared, or is looked for somewhere
    return ids, frozenset(names)


def _signature(resource: Entity, looks: _Looks) -> Hashable:
    ids, names = looks
    seen = tuple((name, key_of(resource.attrs[name])) for name in sorted(names) if name in resource.attrs)
    return (resource.uid, seen) if ids else seen
