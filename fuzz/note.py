"""Fuzz signed notes, cosignatures, witness requests, verifier keys and time-stamp replies.

Any bytes are refused with a reason, or are read and written again byte for byte; no cosignature counts that
was not made. With atheris installed this is a coverage-guided target (`python fuzz/note.py corpus/`); without
it a seeded loop mutates sound inputs: `python fuzz/note.py --seconds 5 [--seed 1]`.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time

from custody.errors import InvalidInput, Tampered
from custody.ledger.checkpoint import (
    Checkpoint,
    cosign,
    cosignatures,
    open_checkpoint,
    sign_checkpoint,
    with_cosignatures,
)
from custody.ledger.merkle import leaf_hash, prove_consistency, root_of
from custody.ledger.note import COSIGNATURE, VerifierKey, parse_note, parse_vkey
from custody.ledger.timestamp import in_der_order, read_reply
from custody.ledger.witness import Request, parse_request
from custody.seal.keys import LogKey

ORIGIN, EYE = "example.org/log", "eye.example/one"
KEY, WITNESS = LogKey.generate(), LogKey.generate()
WITNESSES = {EYE: WITNESS.public}
LEAVES = [leaf_hash(bytes([n])) for n in range(20)]
CHECKPOINT = Checkpoint(ORIGIN, 20, root_of(LEAVES))
PLAIN = sign_checkpoint(CHECKPOINT, KEY)
NOTE = with_cosignatures(PLAIN, [cosign(PLAIN, EYE, WITNESS, 1_700_000_000)], WITNESSES)
REQUEST = Request(7, tuple(prove_consistency(LEAVES, 7)), NOTE).to_bytes()
VKEY = str(VerifierKey(EYE, COSIGNATURE, WITNESS.public))
# A granted reply around nothing that is signed: enough structure for the reader to walk through.
REPLY = bytes.fromhex(
    "30493003020100304206092a864886f70d010702a035303302010331003024060b2a864886f70d0109100104a01504133011020101"
    "060101300902010002010118003100"
)
CORPUS = (
    NOTE.encode(),
    PLAIN.encode(),
    REQUEST,
    Request(0, (), PLAIN).to_bytes(),
    VKEY.encode(),
    REPLY,
    "text\n\nmore\n\n\u2014 a AAAAAAAAAAAA\n".encode(),
)
SPICE = (
    *(
        "\n",
        "\n\n",
        "\u2014 ",
        " ",
        "+",
        "=",
        "==",
        "\r",
        "\t",
        "\0",
        "\u00a0",
        "\u2028",
        "\ud7ff",
        "old ",
        "0",
        "-1",
        "9" * 400,
    ),
    *(f"\u2014 {EYE} AAAA\n", f"\u2014 {ORIGIN} AAAAAAAAAAAA\n", "A" * 3000, "\u2014 x y\n" * 120, "/////w=="),
)
RAW = (b"\xff", b"\x30", b"\x30\x80", b"\xa0\x84\xff\xff\xff\xff", b"\x80", b"\x02\x01\x00")


def one_input(data: bytes) -> bool:
    """Read an input every way; True when it was accepted any way."""
    accepted = _note(data) | _request(data) | _vkey(data)
    try:
        read_reply(data)
        read_reply(in_der_order(data))
    except InvalidInput:
        return accepted
    return True


def _note(data: bytes) -> bool:
    try:
        text = data.decode()
        note = parse_note(text)
    except (UnicodeDecodeError, InvalidInput):
        return False
    if note.to_text() != text:
        raise AssertionError(f"does not read back as it was: {data!r}")
    if cosignatures(text, WITNESSES) and note.text != CHECKPOINT.body():
        raise AssertionError(f"a cosignature counts that was never made: {data!r}")
    try:
        found = open_checkpoint(text, ORIGIN, KEY.public)
    except (InvalidInput, Tampered):
        return True
    if found != CHECKPOINT:
        raise AssertionError(f"opened, and never signed: {data!r}")
    return True


def _request(data: bytes) -> bool:
    try:
        request = parse_request(data)
    except InvalidInput:
        return False
    if request.to_bytes() != data:
        raise AssertionError(f"does not read back as it was: {data!r}")
    return True


def _vkey(data: bytes) -> bool:
    try:
        text = data.decode()
        key = parse_vkey(text)
    except (UnicodeDecodeError, InvalidInput):
        return False
    if str(key) != text:
        raise AssertionError(f"does not read back as it was: {data!r}")
    return True


def mutated(chance: random.Random) -> bytes:
    """Change a sound input in a few places."""
    body = bytearray(chance.choice(CORPUS))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(5):
            case 0:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                body[at:at] = chance.choice(SPICE).encode()
            case 2:
                body[at:at] = chance.choice(RAW)
            case 3:
                del body[at : at + chance.randint(1, 8)]
            case _:
                body[at:at] = body[max(0, at - chance.randint(1, 120)) : at]
    return bytes(body)


def main() -> int:
    """Run for a while and say how many inputs were accepted and refused, and how long the slowest took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    for sound in CORPUS:
        if sound != REPLY and not one_input(sound):
            raise AssertionError(f"a sound input was refused: {sound!r}")
    end = time.monotonic() + options.seconds
    tried = accepted = 0
    slowest = 0.0
    while time.monotonic() < end:
        data = mutated(chance)
        began = time.process_time()
        try:
            good = one_input(data)
        except BaseException:
            print(f"failing input: {data!r}", file=sys.stderr)
            raise
        slowest = max(slowest, time.process_time() - began)
        tried += 1
        accepted += good
    told = f"slowest {slowest * 1000:.0f} ms, seed {options.seed}"
    print(f"{tried} inputs: {accepted} read and written again, {tried - accepted} refused ({told})")
    return 0


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") and "--seconds" not in sys.argv:
        import atheris

        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    else:
        sys.exit(main())
