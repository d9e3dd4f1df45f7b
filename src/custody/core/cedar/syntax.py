"""What a policy is made of: expressions, scopes, policies; and their one canonical text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

RESERVED = frozenset({"true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"})
"""Words that are neither an attribute's name after a dot nor an entity type."""


class Uid(NamedTuple):
    """The name of an entity: its type and its id, as in `Role::"owner"`."""

    type: str
    id: str

    def __str__(self) -> str:
        """Return the name as Cedar writes it."""
        return f"{self.type}::{quoted(self.id)}"


@dataclass(frozen=True)
class Lit:
    """A boolean, a long or a string."""

    value: bool | int | str


@dataclass(frozen=True)
class Name:
    """One of principal, action, resource, context."""

    name: str


@dataclass(frozen=True)
class Ref:
    """An entity, named literally."""

    uid: Uid


@dataclass(frozen=True)
class Get:
    """`of.name`; fails where there is no such attribute."""

    of: Expr
    name: str


@dataclass(frozen=True)
class Has:
    """`of has name`."""

    of: Expr
    name: str


@dataclass(frozen=True)
class Like:
    """`of like "pattern"`; the parts are what stands between the stars."""

    of: Expr
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Is:
    """`of is Type`."""

    of: Expr
    type: str


@dataclass(frozen=True)
class Not:
    """`!of`."""

    of: Expr


@dataclass(frozen=True)
class Two:
    """Two expressions and what joins them: `&& || == != < <= > >= in`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Call:
    """`of.contains(arg)`, `containsAll`, `containsAny`."""

    of: Expr
    method: str
    arg: Expr


@dataclass(frozen=True)
class If:
    """`if test then yes else no`."""

    test: Expr
    yes: Expr
    no: Expr


@dataclass(frozen=True)
class Items:
    """A set, written out."""

    items: tuple[Expr, ...]


@dataclass(frozen=True)
class Pairs:
    """A record, written out, in order of its keys."""

    pairs: tuple[tuple[str, Expr], ...]


Expr = Lit | Name | Ref | Get | Has | Like | Is | Not | Two | Call | If | Items | Pairs


@dataclass(frozen=True)
class Scope:
    """Whom or what a policy speaks of.

    `op` is "" (anyone), "==", "in" or "is". `uids` are the entities after == or in; `type` the type after is;
    with `is T in E` both are given.
    """

    op: str = ""
    uids: tuple[Uid, ...] = ()
    type: str = ""


@dataclass(frozen=True)
class Policy:
    """One `permit` or `forbid`; `line` is where it begins, and no part of what it means."""

    id: str
    permits: bool
    principal: Scope
    action: Scope
    resource: Scope
    conditions: tuple[tuple[bool, Expr], ...]
    """Each with True for `when`, False for `unless`."""
    notes: tuple[tuple[str, str], ...] = ()
    """The other annotations."""
    line: int = 0


def inside(expr: Expr) -> Iterator[Expr]:
    """Yield the expressions right inside one."""
    match expr:
        case Items(items):
            yield from items
        case Pairs(pairs):
            yield from (value for _, value in pairs)
        case _:
            yield from (value for field in fields(expr) if isinstance(value := getattr(expr, field.name), Expr))


def parts(expr: Expr) -> Iterator[Expr]:
    """Yield an expression and every expression inside it."""
    waiting = [expr]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(inside(found))


def depth_of(expr: Expr) -> int:
    """Return how many levels an expression has; 1 for a literal."""
    deepest, waiting = 0, [(expr, 1)]
    while waiting:
        found, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting.extend((part, depth + 1) for part in inside(found))
    return deepest


def quoted(text: str, *, star: bool = False) -> str:
    """Return a string literal; with `star`, a pattern's piece, in which a star is itself."""
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", '"': '\\"', "\\": "\\\\"}
    if star:
        named["*"] = "\\*"
    letters = [named.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text]
    return '"' + "".join(letters) + '"'


def printed(policies: tuple[Policy, ...]) -> str:
    """Return the canonical text of policies; reading it gives the same policies."""
    return "\n\n".join(_policy(policy) for policy in policies) + "\n"


def _policy(policy: Policy) -> str:
    lines = [f"@id({quoted(policy.id)})", *(f"@{name}({quoted(text)})" for name, text in policy.notes)]
    lines.append("permit (" if policy.permits else "forbid (")
    scopes = ("principal", policy.principal), ("action", policy.action), ("resource", policy.resource)
    lines.append(",\n".join("    " + _scope(name, scope) for name, scope in scopes))
    lines.append(")")
    lines += [f"{'when' if when else 'unless'} {{ {text_of(expr)} }}" for when, expr in policy.conditions]
    return "\n".join(lines) + ";"


def _scope(name: str, scope: Scope) -> str:
    if not scope.op:
        return name
    if scope.op == "is":
        return f"{name} is {scope.type}" + (f" in {scope.uids[0]}" if scope.uids else "")
    if scope.op == "in" and name == "action":
        return f"{name} in [{', '.join(map(str, scope.uids))}]"
    return f"{name} {scope.op} {scope.uids[0]}"


def text_of(expr: Expr) -> str:
    """Return an expression's text; whatever could be read in two ways stands in parentheses."""
    match expr:
        case Lit(value):
            if isinstance(value, bool):
                return "true" if value else "false"
            return quoted(value) if isinstance(value, str) else str(value)
        case Name(name):
            return name
        case Ref(uid):
            return str(uid)
        case Get(of, name):
            return f"{_inner(of)}.{name}" if _plain(name) else f"{_inner(of)}[{quoted(name)}]"
        case Has(of, name):
            return f"{_inner(of)} has {name if _plain(name) else quoted(name)}"
        case Like(of, pieces):
            return f'{_inner(of)} like "{"*".join(quoted(piece, star=True)[1:-1] for piece in pieces)}"'
        case Is(of, type_):
            return f"{_inner(of)} is {type_}"
        case Not(of):
            return f"!({text_of(of)})"
        case Two(op, left, right):
            return f"{_inner(left)} {op} {_inner(right)}"
        case Call(of, method, arg):
            return f"{_inner(of)}.{method}({text_of(arg)})"
        case If(test, yes, no):
            return f"if {text_of(test)} then {text_of(yes)} else {text_of(no)}"
        case Items(items):
            return f"[{', '.join(map(text_of, items))}]"
        case Pairs(pairs):
            return "{" + ", ".join(f"{quoted(key)}: {text_of(value)}" for key, value in pairs) + "}"


def _inner(expr: Expr) -> str:
    if isinstance(expr, Lit) and isinstance(expr.value, int) and expr.value < 0:
        return f"({text_of(expr)})"
    return text_of(expr) if isinstance(expr, Lit | Name | Ref | Get | Call | Items | Pairs) else f"({text_of(expr)})"


def _plain(name: str) -> bool:
    return name.isascii() and name.isidentifier() and name not in RESERVED
