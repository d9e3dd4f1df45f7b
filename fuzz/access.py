"""Fuzz the reader of access policies: any text is read or refused with a line, soon, and nothing else happens.

    python fuzz/access.py [--seconds 5] [--seed 1]

Mutates the policies that Custody ships: flips, cuts, repeats, splices, deep nesting. What is read must print and read
again to the same, must be accepted by Cedar too, and must decide a request without an exception.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time

from custody.core.cedar.engine import Entity, Policies, Request
from custody.core.cedar.read import read_policies
from custody.core.cedar.schema import read_schema
from custody.core.cedar.syntax import Uid, printed
from custody.errors import InvalidInput
from custody.gates import access_schema, access_text

WORDS = [
    "permit",
    "forbid",
    "when",
    "unless",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "&&",
    "||",
    "!",
    "==",
    "<",
    "in",
    "has",
    "is",
]
WORDS += [
    "like",
    '"*"',
    "true",
    "0",
    "-9223372036854775808",
    "99999999999999999999",
    "context",
    ".",
    "::",
    "@",
    ";",
    ",",
]
WORDS += [
    "if",
    "then",
    "else",
    '"\\u{41}"',
    '"\\*"',
    "//",
    "\0",
    "\u2028",
    "principal",
    '@id("x")',
    "if true then",
    "é",
]
REQUEST = Request(Entity(Uid("Actor", "a")), "data.read", Entity(Uid("Dataset", "d")))


def damage(dice: random.Random, text: str) -> str:
    """Return the text with a few places changed."""
    start = dice.randrange(max(1, len(text) - 900))
    body = text[start : start + dice.randint(1, 900)] if dice.random() < 0.7 else text
    for _ in range(dice.randint(0, 6)):
        at = dice.randrange(len(body) + 1)
        match dice.randrange(5):
            case 0:
                body = f"{body[:at]} {dice.choice(WORDS)} {body[at:]}"
            case 1:
                body = body[:at] + body[at + dice.randint(1, 20) :]
            case 2:
                body = body[:at] + body[at : at + 40] * dice.choice([2, 3, 500]) + body[at:]
            case 3:
                body = body[:at] + dice.choice("([{!") * dice.choice([1, 5, 39, 41, 5000]) + body[at:]
            case _:
                body = body[:at] + chr(dice.choice([0, 34, 39, 92, 123, 233, 0xD800, 0x1F600])) + body[at:]
    return body


def one(text: str) -> bool:
    """Read one text; return whether it was accepted. Raises for whatever must not happen."""
    try:
        policies = read_policies(text)
    except InvalidInput as error:
        if not error.message:
            raise AssertionError("a refusal without a reason") from None
        return False
    again = printed(policies)
    if printed(read_policies(again)) != again:
        raise AssertionError("reading what was printed gives something else")
    Policies(policies).decide(REQUEST)
    if policies:
        import cedarpy

        cedarpy.PolicySet.from_str(again)
    return True


def main(seconds: float, seed: int) -> int:
    """Fuzz for a while; return 1 when something else than an answer or a refusal came."""
    dice, texts = random.Random(seed), [access_text()]
    schema = access_schema()
    began, turns, accepted, slowest = time.monotonic(), 0, 0, 0.0
    while time.monotonic() - began < seconds:
        text = damage(dice, dice.choice(texts))
        before = time.process_time()
        try:
            accepted += one(text)
            with contextlib.suppress(InvalidInput):
                read_schema(damage(dice, schema))
        except Exception as error:
            print(f"turn {turns}: {type(error).__name__}: {error}\n{text[:2000]!r}")
            return 1
        took = time.process_time() - before
        if took > 1:
            print(f"turn {turns}: took {took:.1f} s\n{text[:2000]!r}")
            return 1
        slowest = max(slowest, took)
        turns += 1
    print(f"{turns} texts, {accepted} accepted, slowest {slowest:.3f} s, none raised")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(main(options.seconds, options.seed))
