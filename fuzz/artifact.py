"""Throw damaged and random files at the artifact scanner: `python fuzz/artifact.py [--seconds 30] [--seed 1]`.

Every input must be answered without an exception and within its limits; a failing input is written to
`fuzz-artifact-failure.bin` in the current folder.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

from custody.checks.artifact._survey import Limits
from custody.checks.artifact.scan import scan_files

_TESTS = Path(__file__).parents[1] / "tests" / "unit" / "checks" / "artifact"
_LIMITS = Limits(seconds=20)
_PIECES = [
    b"\x80\x04",
    b"\x93",
    b"R",
    b"b",
    b"\x94",
    b"(",
    b"t",
    b"cos\n",
    b"}",
    b"u",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\0" * 8,
]
_PIECES += [
    b"\xff" * 4,
    b"\x95",
    b"Q",
    b"\x81",
    b"\x92",
    b"o",
    b"\x1f\x8b\x08",
    b"ustar",
    b"\x93NUMPY",
    b"{",
    b"GGUF",
    b"joblib",
]


def damage(dice: random.Random, raw: bytes, other: bytes) -> bytes:
    """Return the bytes with a few flips, cuts, splices or insertions."""
    body = bytearray(raw)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(body) + 1)
        match dice.randrange(6):
            case 0 if at < len(body):
                body[at] = dice.randrange(256)
            case 1:
                body[at:at] = dice.choice(_PIECES)
            case 2:
                del body[at : at + dice.randint(1, 40)]
            case 3 if other:
                start = dice.randrange(len(other))
                body[at:at] = other[start : start + dice.randint(1, 400)]
            case 4 if len(body) - at >= 4:
                body[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\1\0\0\0"])
            case _:
                del body[at : at + 1 if dice.random() < 0.9 else len(body)]
    return bytes(body)


def main(seconds: float, seed: int) -> int:
    """Fuzz for a while; return 1 when an input raised, answered with unknown numbers or took too long."""
    dice = random.Random(seed)
    sys.path.append(str(_TESTS))
    import scan_corpus
    import scan_museum
    import scan_museum_files

    exhibits = [*scan_museum.pickles(), *scan_museum_files.files()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scan_corpus.build(folder / "good", wide=False)
        seeds = [exhibit.content for exhibit in exhibits if len(exhibit.content) < 200_000]
        seeds += [path.read_bytes() for path in sorted((folder / "good").rglob("*")) if path.stat().st_size < 50_000]
        began, turns, slowest = time.monotonic(), 0, 0.0
        path = folder / "input"
        while time.monotonic() - began < seconds:
            raw = damage(dice, dice.choice(seeds), dice.choice(seeds))
            path.write_bytes(raw)
            before = time.monotonic()
            try:
                result = scan_files({"input": path}, limits=_LIMITS)
                fine = all(measure.settled().value is not None for measure in result.measures)
            except Exception as error:
                print(f"turn {turns}: {type(error).__name__}: {error}")
                fine = False
            took = time.monotonic() - before
            if not fine or took > _LIMITS.seconds + 10:
                Path("fuzz-artifact-failure.bin").write_bytes(raw)
                print(f"turn {turns} failed after {took:.1f} s; the input is in fuzz-artifact-failure.bin")
                return 1
            slowest = max(slowest, took)
            turns += 1
    print(f"{turns} inputs, slowest {slowest:.2f} s, none raised")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(main(options.seconds, options.seed))
