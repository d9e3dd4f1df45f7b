"""Fuzz what travels between owners: key requests, root proposals, trust files. Sound ones are read, others refused.

    python fuzz/keys.py [--seconds 5] [--seed 0]

Mutates bytes and structure of a sound file of each kind. Whatever is accepted says the same as the sound one, or is a
proposal or trust file that differs in what it says and in nothing that its reader must check.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from custody.errors import InvalidInput, Tampered
from custody.ledger.trust import Owner, Root, Trust, read_root, read_trust, sign_root, write_trust
from custody.seal.keys import LogKey, PersonKey, raw_to_text
from custody.seal.request import read_request, write_request
from custody.stages.roots import Proposal, read_proposal, write_proposal

ORIGIN = "custody.fuzz"
KEY, OTHER, LOG = PersonKey.generate(), PersonKey.generate(), raw_to_text(LogKey.generate().public)
OWNERS = tuple(Owner(name, name, key.keyid, key.public) for name, key in (("olga", KEY), ("bea", OTHER)))
ROOT = read_root(ORIGIN, Root(2, "", LOG, OWNERS, 2).to_json())
REQUEST = write_request(ORIGIN, "olga", KEY.public, KEY)
PROPOSAL = write_proposal(ORIGIN, Proposal(ROOT, tuple(sign_root(ORIGIN, ROOT, key) for key in (KEY, OTHER))))
TRUST = Trust(ORIGIN, LOG, KEY.keyid, 2, ROOT.digest, 9, "cd" * 32)
ODD: tuple[Any, ...] = (None, True, 0, -1, 2**53, 1.5, "", "x", "\0", "A" * 5000, [], [[]], {}, {"x": 1})


def damage(dice: random.Random, raw: bytes) -> bytes:
    """Return the file with a few bytes or one or two values changed."""
    if dice.random() < 0.4:
        body = bytearray(raw)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(body))
            body[at : at + dice.randint(0, 3)] = bytes(dice.randrange(256) for _ in range(dice.randint(0, 3)))
        return bytes(body)
    document = json.loads(raw)
    for _ in range(dice.randint(1, 2)):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = dice.choice(keys)
            if isinstance(place[key], dict | list) and dice.random() < 0.7:
                place = place[key]
                continue
            if dice.random() < 0.2:
                del place[key]
            else:
                place[key] = dice.choice(ODD)
            break
    return json.dumps(document).encode()


def one_input(kind: str, raw: bytes, folder: Path) -> bool:
    """Read the file as its kind; True when it was accepted."""
    try:
        if kind == "request":
            if read_request(raw, ORIGIN, "olga") != KEY.public:
                raise AssertionError(f"another key was accepted: {raw!r}")
        elif kind == "proposal":
            found = read_proposal(raw, ORIGIN)
            if read_proposal(write_proposal(ORIGIN, found), ORIGIN) != found:
                raise AssertionError(f"does not read back as it was: {raw!r}")
        else:
            (folder / "trust.json").write_bytes(raw)
            known = read_trust(folder / "trust.json")
            write_trust(folder / "again.json", known)
            if read_trust(folder / "again.json") != known:
                raise AssertionError(f"does not read back as it was: {raw!r}")
    except (InvalidInput, Tampered):
        return False
    return True


def main() -> int:
    """Run for a while and say how many inputs were accepted and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    count = {True: 0, False: 0}
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_trust(folder / "sound.json", TRUST)
        sound = {"request": REQUEST, "proposal": PROPOSAL, "trust": (folder / "sound.json").read_bytes()}
        if not all(one_input(kind, raw, folder) for kind, raw in sound.items()):
            print("a sound file was refused")
            return 1
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            kind = dice.choice(list(sound))
            raw = damage(dice, sound[kind])
            before = time.process_time()
            count[one_input(kind, raw, folder)] += 1
            slowest = max(slowest, time.process_time() - before)
    print(
        f"keys: {sum(count.values())} inputs, {count[True]} accepted, {count[False]} refused, slowest {slowest:.3f} s"
    )
    return 0 if count[False] else 1


if __name__ == "__main__":
    sys.exit(main())
