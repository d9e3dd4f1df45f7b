"""Fuzz the table reader: any bytes give a table with all its rows, or InvalidInput; nothing else.

With atheris installed this is a coverage-guided target (`python fuzz/tables.py corpus/`); without it
a seeded loop mutates sound files: `python fuzz/tables.py --seconds 5 [--seed 1]`.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import random
import sys
import time

import polars as pl

from custody.adapters.tables import read_table_bytes
from custody.checks.target import Columns
from custody.errors import InvalidInput

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", "")
SPICE = (
    b",",
    b'"',
    b'""',
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b"\0",
    b"\xff",
    b"?",
    b"{",
    b"}",
    b"PAR1",
    b"1e999",
    b"\xef\xbb\xbf",
)


def one_input(data: bytes) -> bool:
    """Read `data[1:]` as the format that `data[0]` picks; True when it gave a table."""
    if not data:
        return False
    suffix = SUFFIXES[data[0] % len(SUFFIXES)]
    try:
        table = read_table_bytes(data[1:], suffix, "fuzz", Columns())
    except InvalidInput:
        return False
    if table.rows < 1 or not table.frame.columns:
        raise AssertionError(f"a table without rows or columns from {data!r}")
    return True


def seeds() -> list[bytes]:
    """Return one sound file of each format, with its format byte in front."""
    frame = pl.DataFrame({"n": [1, None, 3], "x": [0.5, -1.0, 2.0], "t": ['a "b", c', "d\ne", None]})
    parquet = io.BytesIO()
    frame.write_parquet(parquet)
    lines = b'{"n": 1, "x": 0.5}\n{"n": null, "x": -1}\n'
    bodies = (frame.write_csv().encode(), frame.write_csv(separator="\t").encode(), lines, parquet.getvalue())
    return [bytes([place]) + body for place, body in enumerate(bodies)]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change, insert, delete, repeat or cut a few places."""
    body = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(5):
            case 0:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                body[at:at] = chance.choice(SPICE)
            case 2:
                del body[at : at + chance.randint(1, 8)]
            case 3:
                body[at:at] = body[max(0, at - chance.randint(1, 30)) : at]
            case _ if chance.random() < 0.2:
                del body[at:]
            case _:
                body[:1] = bytes([chance.randrange(256)])
    return bytes(body)


def main() -> int:
    """Run for a while and say how many inputs were read and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    pool = seeds()
    sound = [data for data in pool if one_input(data)]
    if len(sound) != len(pool):
        raise AssertionError("a sound seed was refused")
    end = time.monotonic() + options.seconds
    tried = read = 0
    while time.monotonic() < end:
        data = mutated(chance.choice(pool), chance)
        try:
            good = one_input(data)
        except BaseException:
            print(f"failing input: {data!r}", file=sys.stderr)
            raise
        tried += 1
        read += good
        if good and len(pool) < 500:
            pool.append(data)
    print(f"{tried} inputs: {read} read, {tried - read} refused, 0 other outcomes (seed {options.seed})")
    return 0


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") and "--seconds" not in sys.argv:
        import atheris

        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    else:
        sys.exit(main())
