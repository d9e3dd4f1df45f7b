"""Fuzz envelopes: any bytes are refused, or are the very statement that was signed; nothing else.

With atheris installed this is a coverage-guided target (`python fuzz/envelope.py corpus/`); without it
a seeded loop mutates a sound one: `python fuzz/envelope.py --seconds 5 [--seed 1]`.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import random
import sys
import time

from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import InvalidInput, Tampered
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import PersonKey

KEY = PersonKey.generate()
STATEMENT = Statement(Subject("model", "ab" * 32), "urn:x", {"value": 0.5, "why": "because", "more": [1, None, True]})
SEALED = seal(STATEMENT, KEY)
SPICE = (
    *(b'"', b"{", b"}", b"[", b"]", b":", b",", b"=", b"==", b"\\u0000", b"\\ud800", b"null", b"NaN", b"1e999", b"\0"),
    *(
        b"\xff",
        b"\xef\xbb\xbf",
        b" ",
        b"\n",
        b'"payload":"",',
        b'"keyid":"x",',
        b"[" * 2000,
        b"9" * 5000,
        b"A",
        b"-",
        b"_",
    ),
)


def one_input(data: bytes) -> bool:
    """Open and verify; True when the statement came through."""
    try:
        found = Envelope.from_bytes(data)
    except InvalidInput:
        return False
    if Envelope.from_bytes(found.to_bytes()) != found:
        raise AssertionError(f"does not read back as it was: {data!r}")
    try:
        statement = found.verify(KEY.public)
    except (InvalidInput, Tampered):
        return False
    if statement != STATEMENT or found.payload != SEALED.payload:
        raise AssertionError(f"accepted, and never signed: {data!r}")
    return True


def mutated(chance: random.Random) -> bytes:
    """Change the envelope's bytes, or the payload's or signature's inside a well-formed envelope."""
    which = chance.randrange(3)
    body = bytearray((SEALED.to_bytes(), SEALED.payload, SEALED.signature)[which])
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(4):
            case 0:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                body[at:at] = chance.choice(SPICE)
            case 2:
                del body[at : at + chance.randint(1, 8)]
            case _:
                body[at:at] = body[max(0, at - chance.randint(1, 40)) : at]
    changed = bytes(body)
    if which == 1:
        return Envelope(changed, SEALED.keyid, SEALED.signature).to_bytes()
    if which == 2:
        return Envelope(SEALED.payload, SEALED.keyid, changed).to_bytes()
    return changed


def main() -> int:
    """Run for a while and say how many inputs were accepted and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    if not one_input(SEALED.to_bytes()) or one_input(base64.b64encode(SEALED.payload)):
        raise AssertionError("the sound envelope was refused, or its payload alone was accepted")
    end = time.monotonic() + options.seconds
    tried = accepted = 0
    while time.monotonic() < end:
        data = mutated(chance)
        try:
            good = one_input(data)
        except BaseException:
            print(f"failing input: {data!r}", file=sys.stderr)
            raise
        tried += 1
        accepted += good
    print(f"{tried} inputs: {accepted} still the same statement, {tried - accepted} refused (seed {options.seed})")
    return 0


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") and "--seconds" not in sys.argv:
        import atheris

        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    else:
        sys.exit(main())
