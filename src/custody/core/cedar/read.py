"""Policy text in, policies out; whatever lies outside of the subset is refused with its line.

Grammar: <https://docs.cedarpolicy.com/policies/syntax-grammar.html>. Limits: 256 KiB of text, 2,000 policies, 40 levels
of nesting, 100 of the tree that is read, 1,000 items in a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from custody.core.cedar.syntax import (
    RESERVED,
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
)
from custody.errors import InvalidInput

BYTES = 256 * 1024
POLICIES = 2_000
DEPTH = 40
LEVELS = 100
ITEMS = 1_000
METHODS = frozenset({"contains", "containsAll", "containsAny"})
VARIABLES = frozenset({"principal", "action", "resource", "context"})
_LONG = 2**63

_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9]+)"
    r'|(?P<text>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<mark>&&|\|\||==|!=|<=|>=|::|[!<>.,;:()\[\]{}@=?-])"
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|x([0-7][0-9a-fA-F])|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", '"': '"', "'": "'", "\\": "\\"}


class Token(NamedTuple):
    """A word, number, text or mark, with the line it stands on."""

    kind: str
    text: str
    line: int


def refuse(line: int, why: str) -> InvalidInput:
    """Return the refusal of a policy text, with its line."""
    return InvalidInput(f"line {line}: {why}", hint="docs/reference/access.md says what a policy may use")


def tokens_of(text: str) -> list[Token]:
    """Split a text into tokens, with an empty one at its end; raises `InvalidInput`."""
    if len(text.encode("utf-8", "surrogatepass")) > BYTES:
        raise InvalidInput(f"the policies are longer than {BYTES // 1024} KiB")
    found: list[Token] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise refuse(line, f"{text[at : at + 12]!r} is nothing a policy may contain")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match[0], line))
        line += match[0].count("\n")
        at = match.end()
    found.append(Token("end", "", line))
    return found


def unquoted(token: Token) -> str:
    """Return what a string literal stands for."""
    return "*".join(_pieces(token, star=False))


def _pieces(token: Token, *, star: bool) -> tuple[str, ...]:
    """Return a literal's text, split at its bare stars where `star` says that it is a pattern."""
    body, pieces, piece, at = token.text[1:-1], [], "", 0
    while at < len(body):
        if body[at] != "\\":
            if star and body[at] == "*":
                pieces.append(piece)
                piece = ""
            else:
                piece += body[at]
            at += 1
            continue
        match = _ESCAPE.match(body, at)
        code = match and (match[1] or match[2])
        if match and code and (int(code, 16) < 0xD800 or 0xDFFF < int(code, 16) < 0x110000):
            piece += chr(int(code, 16))
        elif match and match[3] and (match[3] in _ESCAPED or (star and match[3] == "*")):
            piece += _ESCAPED.get(match[3], "*")
        else:
            raise refuse(token.line, f"{body[at : at + 4]!r} is no escape of a string")
        at = match.end()
    return (*pieces, piece)


def read_policies(text: str) -> tuple[Policy, ...]:
    """Read policies; raises `InvalidInput` with the line and the reason."""
    reader = Reader(tokens_of(text))
    found: dict[str, Policy] = {}
    while not reader.ended:
        policy = reader.policy()
        if policy.id in found:
            raise refuse(policy.line, f"there are two policies {policy.id!r}")
        found[policy.id] = policy
        if len(found) > POLICIES:
            raise refuse(policy.line, f"there are more than {POLICIES} policies")
    return tuple(found.values())


class Reader:
    """Goes through tokens once; a method for each rule of the grammar."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    @property
    def ended(self) -> bool:
        """Tell whether everything was read."""
        return self.token.kind == "end"

    @property
    def token(self) -> Token:
        """Return the next token, without taking it."""
        return self._tokens[self._at]

    def take(self, *wanted: str) -> Token | None:
        """Take the next token if it is one of the words or marks `wanted`."""
        token = self.token
        if token.kind in ("word", "mark") and token.text in wanted:
            self._at += 1
            return token
        return None

    def need(self, *wanted: str) -> Token:
        """Take the next token, which must be one of `wanted`."""
        found = self.take(*wanted)
        if found is None:
            self._odd(" or ".join(repr(word) for word in wanted))
        return found

    def need_kind(self, kind: str, what: str) -> Token:
        """Take the next token, which must be of a kind."""
        if self.token.kind != kind:
            self._odd(what)
        self._at += 1
        return self._tokens[self._at - 1]

    def _odd(self, wanted: str) -> NoReturn:
        found = "the text ends" if self.ended else f"{self.token.text[:40]!r} stands"
        raise refuse(self.token.line, f"{found} where {wanted} should")

    def word(self, what: str) -> str:
        """Take a word that is not reserved."""
        if self.token.text in RESERVED:
            self._odd(what)
        return self.need_kind("word", what).text

    def listed(self, end: str, item: Callable[[], Expr]) -> tuple[Expr, ...]:
        """Take items with commas between them, up to and with `end`."""
        found: list[Expr] = []
        while not self.take(end):
            if found:
                self.need(",")
                if self.take(end):
                    break
            found.append(item())
            if len(found) > ITEMS:
                raise refuse(self.token.line, f"a list has more than {ITEMS} items")
        return tuple(found)

    def policy(self) -> Policy:
        """Take one policy."""
        line, notes = self.token.line, {}
        while self.take("@"):
            name = self.need_kind("word", "the name of an annotation").text
            if name in notes:
                raise refuse(self.token.line, f"@{name} is given twice")
            self.need("(")
            notes[name] = unquoted(self.need_kind("text", "a string"))
            self.need(")")
        effect = self.need("permit", "forbid").text
        if not notes.get("id"):
            raise refuse(line, 'the policy has no name; begin it with @id("...")')
        self.need("(")
        principal = self._scope("principal")
        self.need(",")
        action = self._scope("action")
        self.need(",")
        resource = self._scope("resource")
        self.take(",")
        self.need(")")
        conditions = []
        while word := self.take("when", "unless"):
            self.need("{")
            condition = self.expression()
            if depth_of(condition) > LEVELS:
                raise refuse(word.line, f"a condition has more than {LEVELS} levels")
            conditions.append((word.text == "when", condition))
            self.need("}")
        self.need(";")
        name = notes.pop("id")
        others = tuple(sorted(notes.items()))
        return Policy(name, effect == "permit", principal, action, resource, tuple(conditions), others, line)

    def _scope(self, name: str) -> Scope:
        self.need(name)
        if self.take("=="):
            return Scope("==", (self.uid(),))
        if name == "action":
            if not self.take("in"):
                return Scope()
            if not self.take("["):
                return Scope("in", (self.uid(),))
            found = self.listed("]", lambda: Ref(self.uid()))
            return Scope("in", tuple(item.uid for item in found if isinstance(item, Ref)))
        if self.take("in"):
            return Scope("in", (self.uid(),))
        if self.take("is"):
            kind = self.path()
            return Scope("is", (self.uid(),) if self.take("in") else (), kind)
        return Scope()

    def path(self) -> str:
        """Take the name of an entity type, with its name space."""
        names = [self.word("the type of an entity")]
        while self.token.text == "::" and self._tokens[self._at + 1].kind == "word":
            self._at += 1
            names.append(self.word("the type of an entity"))
        return "::".join(names)

    def uid(self) -> Uid:
        """Take an entity's name, such as `Role::"owner"`."""
        kind = self.path()
        self.need("::")
        return Uid(kind, unquoted(self.need_kind("text", "an entity's id")))

    def expression(self) -> Expr:
        """Take an expression."""
        self._depth += 1
        if self._depth > DEPTH:
            raise refuse(self.token.line, f"more than {DEPTH} levels of nesting")
        found = self._if() if self.take("if") else self._chain("||", lambda: self._chain("&&", self._relation))
        self._depth -= 1
        return found

    def _if(self) -> Expr:
        test = self.expression()
        self.need("then")
        yes = self.expression()
        self.need("else")
        return If(test, yes, self.expression())

    def _chain(self, op: str, operand: Callable[[], Expr]) -> Expr:
        found, length = operand(), 1
        while self.take(op):
            found, length = Two(op, found, operand()), length + 1
            if length > DEPTH:
                raise refuse(self.token.line, f"more than {DEPTH} expressions are joined by {op}")
        return found

    def _relation(self) -> Expr:
        left = self._unary()
        if op := self.take("==", "!=", "<", "<=", ">", ">=", "in"):
            return Two(op.text, left, self._unary())
        if self.take("has"):
            if self.token.kind == "text":
                return Has(left, unquoted(self.need_kind("text", "a name")))
            found = Has(left, self.word("the name of an attribute"))
            if self.token.text == ".":
                raise refuse(self.token.line, "`has` takes one name here; ask for each step by itself")
            return found
        if self.take("like"):
            return Like(left, _pieces(self.need_kind("text", "a pattern"), star=True))
        if self.take("is"):
            found_type = Is(left, self.path())
            if self.take("in"):
                return Two("&&", found_type, Two("in", left, self._unary()))
            return found_type
        return left

    def _unary(self) -> Expr:
        bangs = 0
        while self.take("!"):
            bangs += 1
        if bangs > 4:
            raise refuse(self.token.line, "more than four ! in a row")
        found = self._negative() if self.take("-") else self._member()
        for _ in range(bangs):
            found = Not(found)
        return found

    def _negative(self) -> Expr:
        return Lit(self._long(self.need_kind("number", "a number").text, minus=True))

    def _long(self, digits: str, *, minus: bool = False) -> int:
        if len(digits) > 19 or int(digits) >= _LONG + minus:
            raise refuse(self.token.line, f"{digits[:30]} is too large for a long")
        return -int(digits) if minus else int(digits)

    def _member(self) -> Expr:
        found, length = self._primary(), 0
        while mark := self.take(".", "["):
            if mark.text == "[":
                found = Get(found, unquoted(self.need_kind("text", "the name of an attribute")))
                self.need("]")
            else:
                name = self.word("the name of an attribute")
                if self.take("("):
                    if name not in METHODS:
                        raise refuse(mark.line, f"{name}() is not known; {', '.join(sorted(METHODS))} are")
                    found = Call(found, name, self.expression())
                    self.take(",")
                    self.need(")")
                else:
                    found = Get(found, name)
            length += 1
            if length > DEPTH:
                raise refuse(mark.line, f"more than {DEPTH} steps in a row")
        return found

    def _primary(self) -> Expr:
        token = self.token
        if token.kind == "number":
            self._at += 1
            return Lit(self._long(token.text))
        if token.kind == "text":
            self._at += 1
            return Lit(unquoted(token))
        if word := self.take("true", "false"):
            return Lit(word.text == "true")
        if self.take("("):
            found = self.expression()
            self.need(")")
            return found
        if self.take("["):
            return Items(self.listed("]", self.expression))
        if self.take("{"):
            return self._pairs()
        if token.kind == "word" and token.text in VARIABLES and self._tokens[self._at + 1].text != "::":
            self._at += 1
            return Name(token.text)
        if token.kind == "word" and token.text not in RESERVED:
            if self._tokens[self._at + 1].text == "(":
                raise refuse(token.line, f"{token.text}() is not known here")
            return Ref(self.uid())
        return self._odd("an expression")

    def _pairs(self) -> Expr:
        pairs: dict[str, Expr] = {}

        def pair() -> Expr:
            token = self.token
            name = unquoted(self.need_kind("text", "a key")) if token.kind == "text" else self.word("a key")
            if name in pairs:
                raise refuse(token.line, f"the key {name!r} is given twice")
            self.need(":")
            pairs[name] = self.expression()
            return pairs[name]

        self.listed("}", pair)
        return Pairs(tuple(sorted(pairs.items())))
