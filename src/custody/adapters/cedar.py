"""Cedar itself, by cedarpy: holds policies against the schema, and decides a second time.

Cedar skips a policy that cannot be evaluated and may then allow; here any diagnostic of any kind denies, as in
Custody's own engine. The two must agree; a test asks both a hundred thousand times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from custody.core.cedar.engine import Entity, Request
from custody.core.cedar.syntax import Policy, Uid, printed
from custody.errors import InvalidInput

if TYPE_CHECKING:
    import cedarpy


class CedarEngine:
    """Cedar with one set of policies and one schema."""

    def __init__(self, policies: Sequence[Policy], schema: str) -> None:
        self._policies, self._schema = tuple(policies), schema

    @cached_property
    def parsed(self) -> tuple[cedarpy.PolicySet, cedarpy.Schema]:
        """Return policies and schema as Cedar keeps them."""
        import cedarpy

        return cedarpy.PolicySet.from_str(printed(self._policies)), cedarpy.Schema.from_str(self._schema)

    def defects(self) -> list[str]:
        """Return what is wrong with the policies by the schema, strictly; each with its line and policy."""
        import cedarpy

        found = cedarpy.validate_policies(printed(self._policies), self._schema)
        if found.validation_passed:
            return []
        names = {f"policy{number}": policy for number, policy in enumerate(self._policies)}
        lines = []
        for error in found.errors:
            policy = names.get(error.policy_id)
            where = f"line {policy.line}, {policy.id!r}: " if policy else ""
            lines.append(f"{where}{str(error.error).replace(f'for policy `{error.policy_id}`, ', '')}")
        return lines or ["Cedar refuses the policies and does not say why"]

    def decide(self, requests: Iterable[Request], *, schema: bool = True) -> list[bool]:
        """Decide requests one by one; any diagnostic denies. Without `schema` they are not held against it."""
        import cedarpy

        policies, parsed = self.parsed
        answers = []
        for request in requests:
            asked, entities = to_json(request)
            answer = cedarpy.is_authorized(asked, policies, json.dumps(entities), parsed if schema else None)
            answers.append(answer.allowed and not answer.diagnostics.errors)
        return answers


def check(policies: Sequence[Policy], schema: str) -> None:
    """Raise `InvalidInput` unless Cedar finds the policies right by the schema."""
    if defects := CedarEngine(policies, schema).defects():
        raise InvalidInput("; ".join(defects[:5]), hint="custody access policy prints the rules and the schema")


def to_json(request: Request) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a request and its entities in Cedar's JSON."""
    asked = {
        "principal": {"type": request.principal.uid.type, "id": request.principal.uid.id},
        "action": {"type": "Action", "id": request.action},
        "resource": {"type": request.resource.uid.type, "id": request.resource.uid.id},
        "context": _value(request.context),
    }
    return asked, [_entity(request.principal), _entity(request.resource)]


def _entity(entity: Entity) -> dict[str, Any]:
    parents = [{"type": uid.type, "id": uid.id} for uid in sorted(entity.parents)]
    return {"uid": {"type": entity.uid.type, "id": entity.uid.id}, "attrs": _value(entity.attrs), "parents": parents}


def _value(value: Any) -> Any:
    """Return a value in Cedar's JSON."""
    if isinstance(value, Uid):
        return {"__entity": {"type": value.type, "id": value.id}}
    if isinstance(value, Mapping):
        return {name: _value(item) for name, item in value.items()}
    if isinstance(value, frozenset):
        return [_item(item) for item in value]
    return value


def _item(key: Any) -> Any:
    """Return a set's item in Cedar's JSON, from what stands for it in the engine."""
    if isinstance(key, tuple) and not isinstance(key, Uid):
        kind, inner = key
        return inner if kind == "bool" else {name: _item(item) for name, item in inner}
    return _value(key)
