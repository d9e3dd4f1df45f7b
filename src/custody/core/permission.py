"""May this actor do this, to this, here and now? The policies decide, and deny whatever is not certain.

The policies are text in a subset of Cedar (`custody.core.cedar`): those that Custody ships, and a project's own. For
an action that leaves statements they decide within the table of `access`, which readers of the ledger hold every
statement against; for the others (reading data, weights, logs) they decide alone. A request is held against the schema
first, so an unknown action and an absent circumstance are denials with a reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from custody.core.access import WRITES, Access, Action, decide, separation
from custody.core.actor import Actor
from custody.core.cedar.engine import Answer, Entity, Policies, Request, value_of
from custody.core.cedar.read import read_policies, refuse
from custody.core.cedar.schema import read_schema
from custody.core.cedar.syntax import Call, Expr, Get, Has, If, Items, Name, Not, Pairs, Policy, Two, Uid, parts
from custody.core.stage import Stage

ACCESS_ONLY = frozenset(action for action, written in WRITES.items() if not written) - {Action.LOAD}
"""Actions that leave no statement: no reader checks them, so the policies alone decide."""

STAGES: Mapping[str, Stage | str] = {
    "source": Stage.SOURCING,
    "risk": Stage.SOURCING,
    "data": Stage.DATA,
    "run": Stage.TRAINING,
    "artifact": Stage.ARTIFACT,
    "validation": Stage.VALIDATION,
    "deployment": Stage.DEPLOYMENT,
    "runtime": Stage.RUNTIME,
    "incident": Stage.INCIDENT,
    "retirement": Stage.RETIREMENT,
    "weights": Stage.DEPLOYMENT,
    "logs": Stage.TRAINING,
    "metrics": Stage.TRAINING,
    "held_out_metrics": Stage.VALIDATION,
}
"""The stage an action belongs to, by its first word; what is in no stage is "governance"."""


@dataclass(frozen=True)
class Resource:
    """What an action is done to: its type in the schema, its id, and its attributes."""

    type: str
    id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


def stage_of(action: str) -> str:
    """Return the stage an action belongs to."""
    if action == Action.SEAL:
        return Stage.CRITERIA
    if action.startswith("gate."):
        return Stage.RELEASE
    return STAGES.get(action.partition(".")[0], "governance")


class Rules:
    """The policies in force, with the schema they were written for."""

    def __init__(self, shipped: str, schema: str, own: str = "") -> None:
        self.texts = (shipped, own)
        self.schema = read_schema(schema)
        theirs = read_policies(shipped)
        mine = read_own(own, {policy.id for policy in theirs})
        self.own = frozenset(policy.id for policy in mine)
        self.policies = Policies((*theirs, *mine))
        self.digest = hashlib.sha256("\n".join([shipped, own]).encode()).hexdigest()
        """What decided, by content: the sha256 over both texts."""

    def type_of(self, action: str) -> str:
        """Return the type of what an action is done to, or "" for an unknown action."""
        applies = self.schema.actions.get(action)
        return min(applies.resources) if applies else ""

    def request(
        self,
        actor: Actor,
        action: str,
        resource: Resource,
        context: Mapping[str, Any],
        *,
        account: str = "person",
        token: bool = False,
    ) -> Request:
        """Return what is asked, in the engine's terms; raises `ValueError` for values no policy knows."""
        attributes = {"person": actor.person, "account": account, "token": token}
        roles = frozenset(Uid("Role", str(role)) for role in actor.roles)
        principal = Entity(Uid("Actor", actor.name), attributes, roles)
        found = {name: value_of(value) for name, value in resource.attributes.items()}
        told = {name: value_of(value) for name, value in context.items()}
        return Request(principal, str(action), Entity(Uid(resource.type, resource.id), found), told)

    def judge(
        self,
        actor: Actor,
        action: str,
        resource: Resource,
        context: Mapping[str, Any],
        *,
        account: str = "person",
        token: bool = False,
    ) -> Access:
        """Decide; never raises. The table comes first for whatever leaves statements."""
        known = action in list(Action)
        table = decide(actor, Action(action)) if known else Access(False, f"{action!r} is not an action")
        if not table.allowed and action not in ACCESS_ONLY:
            return replace(table, rule="table" if known else "")
        try:
            request = self.request(actor, action, resource, context, account=account, token=token)
        except ValueError as error:
            return Access(False, f"the request cannot be understood: {error}")
        if defects := self.schema.defects(request):
            lacking = tuple(sorted(defect.partition("lacks ")[2].strip("'") for defect in defects if "lacks" in defect))
            return Access(False, f"not decided, so denied: {'; '.join(defects[:3])}", missing=lacking)
        found = self._told(actor, request, self.policies.decide(request), table)
        if known and not request.context["solo"]:
            played = {str(part): frozenset({actor.person}) for part in request.context["parts"]}
            apart = separation(actor, Action(action), played)
            if not apart.allowed:
                return replace(apart, rule=found.rule or "separation", line=found.line, missing=found.missing)
        return found

    def _told(self, actor: Actor, request: Request, answer: Answer, table: Access) -> Access:
        """Put an answer in words."""
        missing = tuple(sorted(self._asked(request) - set(request.context)))
        if answer.errors:
            rule, why = answer.errors[0]
            reason = f"rule {rule} cannot be evaluated, so it denies: {why}"
            return Access(False, reason, rule, self.policies.by_id[rule].line, missing)
        if answer.by:
            policy = self.policies.by_id[answer.by[0]]
            if answer.allowed:
                reason = table.reason if table.allowed else f"{actor.name} may by rule {policy.id}"
                return Access(True, reason, policy.id, policy.line, missing)
            said = dict(policy.notes).get("reason", "it is forbidden")
            return Access(False, f"{said} (rule {policy.id})", policy.id, policy.line, missing)
        reason = f"no rule allows {request.action} to {actor.name}" if table.allowed else table.reason
        return Access(False, reason, missing=missing)

    def _asked(self, request: Request) -> set[str]:
        """Return the names in the context that the rules in reach ask for."""
        return {
            part.name
            for rule in self.policies.rules(request.action)
            if rule.principal(request) and rule.resource(request)
            for _, condition in rule.policy.conditions
            for part in parts(condition)
            if isinstance(part, Has | Get) and part.of == Name("context")
        }


def read_own(text: str, taken: Iterable[str] = ()) -> tuple[Policy, ...]:
    """Read a project's own policies; raises `InvalidInput` with the line for a rule that could open a door.

    A permit must say whom, what and to which kind of thing, and can only concern actions that leave no statement: for
    the others readers accept no more than the table. And no rule may lean on something *not* being told.
    """
    found = read_policies(text)
    names = set(taken)
    for policy in found:
        if policy.id in names:
            raise refuse(policy.line, f"{policy.id!r} is the name of a rule that Custody ships")
        for when, condition in policy.conditions:
            for part in _against(condition, policy.permits == when):
                raise refuse(
                    policy.line,
                    f"the rule {policy.id!r} opens when {part.name!r} is not told; "
                    f"ask `has {part.name}` in the condition that allows",
                )
        if policy.permits:
            _check_permit(policy)
    return found


def _check_permit(policy: Policy) -> None:
    scopes = {"principal": policy.principal, "action": policy.action, "resource": policy.resource}
    for name, scope in scopes.items():
        if not scope.op:
            raise refuse(policy.line, f"the permit {policy.id!r} is a wildcard: it does not say which {name}")
    actions = {uid.id for uid in policy.action.uids}
    if wide := sorted(actions - {str(action) for action in ACCESS_ONLY}):
        raise refuse(
            policy.line,
            f"the permit {policy.id!r} cannot give {wide[0]}: readers of the ledger accept it from its roles alone; "
            "grant a role, or forbid more",
        )


def _against(expr: Expr, helps: bool | None) -> list[Has]:
    """Return each `has` that could help to allow by being false.

    `helps` tells whether the truth of `expr` helps to allow; None where both truth and falsehood could.
    """
    match expr:
        case Has():
            return [] if helps else [expr]
        case Not(of):
            return _against(of, None if helps is None else not helps)
        case Two("&&" | "||", left, right):
            return _against(left, helps) + _against(right, helps)
        case If(test, yes, no):
            return _against(test, None) + _against(yes, helps) + _against(no, helps)
        case Two(_, left, right) | Call(left, _, right):
            return _against(left, None) + _against(right, None)
        case Items(items):
            return [part for item in items for part in _against(item, None)]
        case Pairs(pairs):
            return [part for _, item in pairs for part in _against(item, None)]
        case _:
            return [part for part in parts(expr) if isinstance(part, Has)]
