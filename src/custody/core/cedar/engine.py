"""Decides requests by policies: compiled once, evaluated many times, never raising.

The semantics are Cedar's (<https://docs.cedarpolicy.com/auth/authorization.html>): a request is allowed when some
permit is satisfied and no forbid is. One rule is stricter: Cedar skips a policy whose evaluation fails, so that a
forbid which reads an absent attribute falls silent; here a failure of any policy that the request reaches denies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

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
)

_LONG = 2**63
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Fails(Exception):
    """A policy could not be evaluated for this request; the text says why."""


def value_of(given: Any) -> Any:
    """Return a Python value as the engine keeps it: sets frozen, records as dictionaries; raises `ValueError`."""
    if isinstance(given, bool | str | Uid):
        return given
    if isinstance(given, int):
        if not -_LONG <= given < _LONG:
            raise ValueError(f"{given} is too large for a long")
        return given
    if isinstance(given, list | tuple | set | frozenset):
        return frozenset(key_of(value_of(item)) for item in given)
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        return {name: value_of(item) for name, item in given.items()}
    raise ValueError(f"{type(given).__name__} is no type of a policy's value")


def key_of(value: Any) -> Any:
    """Return what stands for a value in a set: equal for equal values, and true is not 1."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, dict):
        return "record", frozenset((name, key_of(item)) for name, item in value.items())
    return value


@dataclass(frozen=True)
class Entity:
    """An entity with its attributes and everything it is in, near and far."""

    uid: Uid
    attrs: Mapping[str, Any] = field(default_factory=dict)
    parents: frozenset[Uid] = frozenset()


@dataclass(frozen=True)
class Request:
    """Who wants to do what to what, and under which circumstances. Values are those of `value_of`."""

    principal: Entity
    action: str
    resource: Entity
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What the policies say: the policies that decided, and those that could not be evaluated, with the reason."""

    allowed: bool
    by: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()


Test = Callable[[Request], bool]
Eval = Callable[[Request], Any]


@dataclass(frozen=True)
class Rule:
    """A policy that is ready to be asked."""

    policy: Policy
    principal: Test
    resource: Test
    condition: Test
    """Raises `Fails` where the policy cannot be evaluated."""


class Policies:
    """A set of policies, compiled."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.all = tuple(policies)
        self.by_id = {policy.id: policy for policy in self.all}
        rules = [(_actions(policy), _rule(policy)) for policy in self.all]
        named = {name for actions, _ in rules for name in actions or ()}
        self._by_action = {
            name: tuple(rule for actions, rule in rules if actions is None or name in actions) for name in named
        }
        self._others = tuple(rule for actions, rule in rules if actions is None)

    def rules(self, action: str) -> Sequence[Rule]:
        """Return the rules whose scope takes in an action."""
        return self._by_action.get(action, self._others)

    def decide(self, request: Request) -> Answer:
        """Answer one request. Deny by default; forbid over permit; any failure denies."""
        permits: list[str] = []
        forbids: list[str] = []
        errors: list[tuple[str, str]] = []
        for rule in self.rules(request.action):
            if not (rule.principal(request) and rule.resource(request)):
                continue
            try:
                if rule.condition(request):
                    (permits if rule.policy.permits else forbids).append(rule.policy.id)
            except Fails as error:
                errors.append((rule.policy.id, str(error)))
        if errors or forbids or not permits:
            return Answer(False, tuple(forbids), tuple(errors))
        return Answer(True, tuple(permits))


def _actions(policy: Policy) -> frozenset[str] | None:
    """Return the actions in a policy's scope, or None for all."""
    if not policy.action.op:
        return None
    return frozenset(uid.id for uid in policy.action.uids if uid.type == "Action")


def _rule(policy: Policy) -> Rule:
    tests = [(when, compiled(expr)) for when, expr in policy.conditions]

    def condition(request: Request) -> bool:
        for when, test in tests:
            found = test(request)
            if found is not True and found is not False:
                raise Fails("a condition is neither true nor false")
            if found is not when:
                return False
        return True

    return Rule(policy, _reach(policy.principal, "principal"), _reach(policy.resource, "resource"), condition)


def _reach(scope: Scope, whose: str) -> Test:
    """Compile the principal's or resource's part of a scope."""
    first = whose == "principal"
    if not scope.op:
        return lambda request: True  # noqa: ARG005
    if scope.op == "is" and not scope.uids:
        kind = scope.type
        if first:
            return lambda request: request.principal.uid.type == kind
        return lambda request: request.resource.uid.type == kind
    wanted, only = scope.uids[0], scope.type

    def reach(request: Request) -> bool:
        entity = request.principal if first else request.resource
        if only and entity.uid.type != only:
            return False
        return entity.uid == wanted or (scope.op != "==" and wanted in entity.parents)

    return reach


def compiled(expr: Expr) -> Eval:
    """Return a function that evaluates an expression for a request; it raises `Fails`."""
    match expr:
        case Lit(value) | Ref(value):
            return lambda request: value  # noqa: ARG005
        case Name(name):
            return _NAMES[name]
        case Get(of, name):
            return _get(of, name)
        case Has(of, name):
            inner = compiled(of)
            return lambda request: name in _attributes(inner(request), request, absent=_NOTHING)
        case Like(of, pieces):
            inner = compiled(of)
            return lambda request: _matches(_text(inner(request)), pieces)
        case Is(of, kind):
            inner = compiled(of)
            return lambda request: _entity(inner(request)).type == kind
        case Not(of):
            inner = compiled(of)
            return lambda request: not _truth(inner(request))
        case Two(op, left, right):
            return _two(op, compiled(left), compiled(right))
        case Call(of, method, arg):
            return _call(method, compiled(of), compiled(arg))
        case If(test, yes, no):
            asked, then, otherwise = compiled(test), compiled(yes), compiled(no)
            return lambda request: then(request) if _truth(asked(request)) else otherwise(request)
        case Items(items):
            each = tuple(compiled(item) for item in items)
            return lambda request: frozenset([key_of(item(request)) for item in each])
        case Pairs(pairs):
            fields = tuple((name, compiled(item)) for name, item in pairs)
            return lambda request: {name: item(request) for name, item in fields}


_NAMES: Mapping[str, Eval] = {
    "principal": lambda request: request.principal.uid,
    "action": lambda request: Uid("Action", request.action),
    "resource": lambda request: request.resource.uid,
    "context": lambda request: request.context,
}


def _get(of: Expr, name: str) -> Eval:
    if isinstance(of, Name) and of.name == "context":  # the way most conditions go, without a detour

        def from_context(request: Request) -> Any:
            try:
                return request.context[name]
            except KeyError:
                raise Fails(f"context has no {name!r}") from None

        return from_context
    inner = compiled(of)

    def get(request: Request) -> Any:
        of_what = inner(request)
        attributes = _attributes(of_what, request)
        if name not in attributes:
            raise Fails(f"{of_what if isinstance(of_what, Uid) else 'the record'} has no {name!r}")
        return attributes[name]

    return get


def _attributes(value: Any, request: Request, absent: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return the attributes of a record or an entity; `absent` is for an entity nobody described."""
    if isinstance(value, Uid):
        for entity in (request.principal, request.resource):
            if entity.uid == value:
                return entity.attrs
        if absent is None:
            raise Fails(f"{value} is not known")
        return absent
    if isinstance(value, Mapping):
        return value
    raise Fails("only a record or an entity has attributes")


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise Fails("something that is neither true nor false was taken for it")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Fails("like asks for a string")


def _entity(value: Any) -> Uid:
    if isinstance(value, Uid):
        return value
    raise Fails("in and is ask for an entity")


def _long(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Fails("only longs have an order")


def _set(value: Any) -> frozenset[Any]:
    if isinstance(value, frozenset):
        return value
    raise Fails("contains asks for a set")


def _matches(text: str, pieces: tuple[str, ...]) -> bool:
    """Tell whether a text consists of the pieces with anything between them."""
    if len(pieces) == 1:
        return text == pieces[0]
    first, last = pieces[0], pieces[-1]
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in pieces[1:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(last) and text.endswith(last)


def _two(op: str, left: Eval, right: Eval) -> Eval:
    match op:
        case "&&":
            return lambda request: _truth(left(request)) and _truth(right(request))
        case "||":
            return lambda request: _truth(left(request)) or _truth(right(request))
        case "==":
            return lambda request: key_of(left(request)) == key_of(right(request))
        case "!=":
            return lambda request: key_of(left(request)) != key_of(right(request))
        case "<":
            return lambda request: _long(left(request)) < _long(right(request))
        case "<=":
            return lambda request: _long(left(request)) <= _long(right(request))
        case ">":
            return lambda request: _long(left(request)) > _long(right(request))
        case ">=":
            return lambda request: _long(left(request)) >= _long(right(request))
        case _:
            return lambda request: _is_in(_entity(left(request)), right(request), request)


def _is_in(entity: Uid, of: Any, request: Request) -> bool:
    places = [of] if isinstance(of, Uid) else _set(of)
    if not all(isinstance(place, Uid) for place in places):
        raise Fails("in asks for entities")
    parents = next((e.parents for e in (request.principal, request.resource) if e.uid == entity), frozenset())
    return any(place == entity or place in parents for place in places)


def _call(method: str, of: Eval, arg: Eval) -> Eval:
    match method:
        case "contains":
            return lambda request: key_of(arg(request)) in _set(of(request))
        case "containsAll":
            return lambda request: _set(of(request)) >= _set(arg(request))
        case _:
            return lambda request: not _set(of(request)).isdisjoint(_set(arg(request)))
