"""Fuzz bundles: any change of a bit or of the content is refused; the same content written otherwise is taken.

With atheris installed this is a coverage-guided target (`python fuzz/bundle.py corpus/`); without it every bit is
flipped once, and a seeded loop changes the structure:
`python fuzz/bundle.py --mutations 100000 [--seed 1] [--skip-bits]`.
"""

from __future__ import annotations

import argparse
import base64
import copy
import importlib.util
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from custody.core import strictjson
from custody.errors import CustodyError
from custody.seal.envelope import Envelope
from custody.testing import Life
from custody_verify.ledger import Trust, read_bundle, read_trust
from custody_verify.strict import Refused, Unreadable


@cache
def sound() -> tuple[bytes, Trust]:
    """Return a real bundle of less than 20 KB, and its trust root."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder) / "life")
        bundle, trust = life.export(Path(folder) / "export")
        return bundle.read_bytes(), read_trust(trust.read_bytes())


def accepts(raw: bytes) -> bool:
    """Tell whether the verifier takes these bytes for a whole and true bundle."""
    try:
        read_bundle(raw, sound()[1])
    except (Refused, Unreadable):
        return False
    return True


def content(raw: bytes) -> Any:
    """Return what the bytes say as JSON in which no key stands twice; None where that is nothing."""
    try:
        return json.loads(raw.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def flipped(raw: bytes) -> Iterator[bytes]:
    """Return the bytes with each of their bits turned over, one at a time."""
    body = bytearray(raw)
    for place in range(len(body)):
        for bit in range(8):
            body[place] ^= 1 << bit
            yield bytes(body)
            body[place] ^= 1 << bit


SPICE: list[Any] = [None, True, 0, 1, -1, 2**53, 0.5, "", "x", [], {}, [None], {"a": 1}, "\u2014", "\U0001f600"]


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Change structure: values, keys, order, escapes, spaces, lines, payloads and signatures inside their base64."""
    body = json.loads(raw)
    how = chance.randrange(10)
    if how < 4:
        inner = body
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            key = chance.choice(keys)
            if isinstance(inner[key], dict | list) and inner[key] and chance.random() < 0.8:
                inner = inner[key]
                continue
            break
        match chance.randrange(5):
            case 0:
                inner[key] = copy.deepcopy(chance.choice(SPICE))
            case 1:
                del inner[key]
            case 2 if isinstance(inner, list):
                inner.insert(chance.randrange(len(inner) + 1), copy.deepcopy(chance.choice([*SPICE, *inner])))
            case 3 if isinstance(inner, list):
                chance.shuffle(inner)
            case _ if isinstance(inner, dict):
                inner[str(chance.choice(["x", "keyid", "payload", key]))] = copy.deepcopy(chance.choice(SPICE))
            case _:
                inner[key] = copy.deepcopy(chance.choice(SPICE))
        return written(body)
    if how < 7:
        dsse = chance.choice(body["entries"])["dsseEnvelope"]
        if chance.random() < 0.5:
            said = json.loads(base64.b64decode(dsse["payload"]))
            inner = said["predicate"]
            inner[chance.choice(list(inner))] = copy.deepcopy(chance.choice(SPICE))
            spaced = chance.random() < 0.3
            again = json.dumps(said).encode() if spaced else strictjson.dump(said)
            dsse["payload"] = base64.b64encode(again).decode()
        else:
            signature = bytearray(base64.b64decode(dsse["signatures"][0]["sig"]))
            signature[chance.randrange(len(signature))] = chance.randrange(256)
            dsse["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        return written(body)
    lines = raw.split(b"\n")
    spot = chance.randrange(len(lines))
    if how == 7:
        lines[spot] = lines[spot].replace(chance.choice([b":", b",", b"{"]), chance.choice([b": ", b" ,", b"{ "]), 1)
    elif how == 8:
        lines.insert(chance.randrange(len(lines) + 1), lines.pop(spot))
    else:
        letter = bytes([chance.choice(raw)])
        lines[spot] = lines[spot].replace(letter, b"\\u00%02x" % letter[0], 1)
    return b"\n".join(lines)


def written(body: Any) -> bytes:
    """Write what a bundle may hold in the form of a bundle, as far as that goes."""
    if not isinstance(body, dict) or not isinstance(body.get("entries"), list):
        return strictjson.dump(body)
    head = [b"%s:%s" % (strictjson.dump(key), strictjson.dump(body[key])) for key in body if key != "entries"]
    lines = b",\n".join(strictjson.dump(entry) for entry in body["entries"])
    return b'{%s,"entries":[\n%s\n]}\n' % (b",".join(head), lines)


def accepted_by_the_product(raw: bytes) -> bool:
    """Tell whether the product reads an envelope from bytes that it would not write for it."""
    for line in raw.split(b"\n")[1:-2]:
        try:
            envelope = Envelope.from_bytes(line.removesuffix(b","))
        except CustodyError:
            continue
        if envelope.to_bytes() != line.removesuffix(b","):
            return True
    return False


def one_input(raw: bytes) -> bool:
    """Check one input; raises `AssertionError` for a change that is not noticed."""
    taken, says = accepts(raw), content(raw)
    if taken != (says is not None and says == content(sound()[0])):
        raise AssertionError(
            f"{'accepted, and it says something else' if taken else 'refused, and it says the same'}: {raw!r}"
        )
    if accepted_by_the_product(raw):
        raise AssertionError(f"the product reads an envelope in another form: {raw!r}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip-bits", action="store_true")
    asked, rest = parser.parse_known_args()
    if importlib.util.find_spec("atheris"):
        import atheris  # type: ignore[import-not-found]

        atheris.Setup([sys.argv[0], *rest], lambda data: one_input(data) and None)
        atheris.Fuzz()
    raw, chance, began = sound()[0], random.Random(asked.seed), time.process_time()
    if not one_input(raw):
        raise AssertionError("the sound bundle is refused")
    flips = 0 if asked.skip_bits else sum(1 + one_input(changed) for changed in flipped(raw))
    print(f"{flips} single-bit flips of {len(raw)} bytes: all refused; {time.process_time() - began:.0f} CPU s")
    same = other = 0
    for _ in range(asked.mutations):
        changed = mutated(raw, chance)
        taken = one_input(changed)
        same += changed == raw
        other += taken and changed != raw
    refused = asked.mutations - same - other
    told = f"{asked.mutations} changes of structure: {refused} refused, {same} gave the same bytes again"
    print(f"{told}, {other} the same content in other bytes; {time.process_time() - began:.0f} CPU s")


if __name__ == "__main__":
    main()
