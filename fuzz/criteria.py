"""Fuzz the criteria linter: any bytes give a list of defects with lines that exist; nothing else.

With atheris installed this is a coverage-guided target (`python fuzz/criteria.py corpus/`); without it
a seeded loop mutates a sound file: `python fuzz/criteria.py --seconds 5 [--seed 1]`.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import random
import sys
import time

from custody.checks.registry import vocabulary
from custody.core.criteria import read_criteria
from custody.core.gate import criteria_of

VOCABULARY = vocabulary()
SOUND = b"""custody = "criteria/1"
use_case = "loans"
tier = "low"
confidence = 0.95
[held_out]
dataset = "later"
[[criterion]]
id = "P1"
class = "performance"
measure = "performance.classification.recall"
at_least = 0.70
why = "w"
[[criterion]]
id = "F1"
class = "fairness"
measure = "fairness.group_gaps.demographic_parity_difference"
by = ["sex", "age"]
depth = 2
at_most = 0.25
why = "w"
[[criterion]]
id = "A1"
class = "robustness"
measure = "robustness.evasion.success_rate"
at = { features = 1 }
at_most = 0.50
why = "w"
[not_applicable]
security = "nothing here is worth an attack at all"
"""
SPICE = (
    *(b"=", b"[", b"]", b"[[", b"]]", b"{", b"}", b",", b'"', b"'''", b'"""', b"#", b"\n", b"\r", b"\0", b"\xff"),
    *(b"nan", b"inf", b"-", b"1e999", b"9" * 400, b"9" * 5000, b"[" * 2000, b"true", b"1979-05-27", b"07:32:00"),
    *(b"criterion", b"at_least", b"by", b"depth", b"held_out", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"0x", b"."),
)


def one_input(data: bytes) -> bool:
    """Lint; True when the file was without a defect."""
    found = read_criteria(data, VOCABULARY, ())
    last = data.count(b"\n") + 1
    for defect in found.defects:
        if not (1 <= defect.line <= last and defect.kind and defect.message):
            raise AssertionError(f"{defect!r} in {data!r}")
    if found.defects:
        return False
    for asked in criteria_of(found.document):
        bounds = [bound for bound in (asked.at_least, asked.at_most) if bound is not None]
        if not bounds or not all(map(math.isfinite, bounds)):
            raise AssertionError(f"{asked!r} in {data!r}")
    if found.sha256 != read_criteria(data, VOCABULARY, ()).sha256:
        raise AssertionError(f"two digests of {data!r}")
    return True


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change, insert, delete, repeat or cut a few places."""
    body = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(5):
            case 0:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                body[at:at] = chance.choice(SPICE)
            case 2:
                del body[at : at + chance.randint(1, 12)]
            case 3:
                body[at:at] = body[max(0, at - chance.randint(1, 60)) : at]
            case _:
                body[at : at + 4] = chance.choice(SPICE)
    return bytes(body)


def main() -> int:
    """Run for a while and say how many inputs were sound and defective."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    if not one_input(SOUND):
        raise AssertionError("the sound file has defects")
    end = time.monotonic() + options.seconds
    tried = sound = 0
    while time.monotonic() < end:
        data = mutated(SOUND, chance)
        try:
            good = one_input(data)
        except BaseException:
            print(f"failing input: {data!r}", file=sys.stderr)
            raise
        tried += 1
        sound += good
    print(f"{tried} inputs: {sound} sound, {tried - sound} with defects, 0 other outcomes (seed {options.seed})")
    return 0


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") and "--seconds" not in sys.argv:
        import atheris

        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    else:
        sys.exit(main())
