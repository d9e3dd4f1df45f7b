"""Fuzz proofs, tiles and their paths: any bytes are refused, or read back as what they are; no false proof holds.

With atheris installed this is a coverage-guided target (`python fuzz/ledger.py corpus/`); without it a seeded
loop mutates sound ones: `python fuzz/ledger.py --seconds 5 [--seed 1]`.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time

from custody.errors import InvalidInput, Tampered
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.merkle import leaf_hash, prove_consistency, prove_inclusion, root_of
from custody.ledger.proof import Consistency, Inclusion, read_proof
from custody.ledger.tiles import read_bundle, read_path, write_bundle
from custody.seal.keys import LogKey

KEY = LogKey.generate()
RECORDS = [f"custody-entry/v1\nurn:x\n{number:064x}\n{number:064x}\n".encode() for number in range(21)]
LEAVES = [leaf_hash(record) for record in RECORDS]
NOTE = sign_checkpoint(Checkpoint("log", 21, root_of(LEAVES)), KEY)
SOUND = [
    *(Inclusion(n, tuple(prove_inclusion(LEAVES, n)), RECORDS[n], NOTE).to_text().encode() for n in (0, 7, 20)),
    *(Consistency(n, tuple(prove_consistency(LEAVES, n)), NOTE).to_text().encode() for n in (1, 16, 21)),
    write_bundle(RECORDS),
    b"tile/entries/x001/x234/067.p/255",
    b"tile/0/x001/000",
]
SPICE = (
    b"\n",
    b"\n\n",
    b"index ",
    b"old ",
    b"extra ",
    b"=",
    b"\0",
    b"\xff",
    b"x",
    b".p/",
    b"/",
    b"9" * 40,
    b"\xe2\x80\x94 ",
)


def one_input(data: bytes) -> bool:
    """Read and check; True when a proof held."""
    for read in (read_bundle, lambda raw: read_path(raw.decode("utf-8", "replace"))):
        try:
            found = read(data)
        except InvalidInput:
            continue
        again = write_bundle(found) if isinstance(found, list) else found.path.encode()
        if again != data:
            raise AssertionError(f"does not read back as it was: {data!r}")
    try:
        proof = read_proof(data)
    except InvalidInput:
        return False
    if proof.to_text().encode() != data:
        raise AssertionError(f"does not read back as it was: {data!r}")
    try:
        if isinstance(proof, Inclusion):
            proof.check("log", KEY.public)
            true = proof.record == RECORDS[proof.index]
        else:
            root = root_of(LEAVES[: proof.old])
            proof.check("log", KEY.public, root)
            true = 0 < proof.old <= len(LEAVES)
    except (InvalidInput, Tampered):
        return False
    if not true:
        raise AssertionError(f"a false proof held: {data!r}")
    return True


def mutated(chance: random.Random) -> bytes:
    raw = bytearray(chance.choice(SOUND))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(5):
            case 0 if raw:
                raw[min(at, len(raw) - 1)] ^= 1 << chance.randrange(8)
            case 1:
                raw[at:at] = chance.choice(SPICE)
            case 2:
                del raw[at : at + chance.randrange(1, 60)]
            case 3:
                other = chance.choice(SOUND)
                raw[at:] = other[chance.randrange(len(other)) :]
            case _:
                raw[at:at] = bytes(chance.choices(b"0123456789ABCabc+/=\n ", k=chance.randrange(1, 9)))
    return bytes(raw)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seconds", type=float, default=5.0)
    words.add_argument("--seed", type=int, default=1)
    given, rest = words.parse_known_args()
    if importlib.util.find_spec("atheris"):
        import atheris

        atheris.Setup([sys.argv[0], *rest], one_input)
        atheris.Fuzz()
        return
    chance, end = random.Random(given.seed), time.monotonic() + given.seconds
    tried = held = 0
    while time.monotonic() < end:
        held += one_input(mutated(chance))
        tried += 1
    print(f"{tried:,} inputs, {held:,} held and were true")


if __name__ == "__main__":
    main()
