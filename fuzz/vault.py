"""Fuzz what the vault reads from its own folder: it is genuine in form, or Tampered; nothing else.

With atheris installed this is a coverage-guided target (`python fuzz/vault.py corpus/`); without it
a seeded loop mutates sound files: `python fuzz/vault.py --seconds 5 [--seed 1]`.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import tempfile
import time
from pathlib import Path

from custody.adapters.keyring import read_file_keys, read_wrapped_key
from custody.adapters.root_key import read_root
from custody.adapters.vault import Vault, read_entry
from custody.core.strictjson import parse_object
from custody.errors import InvalidInput, NotPermitted, Tampered
from custody.records.vault import Destruction
from custody.seal.digest import walk

FILES = 2
SPICE = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"null",
    b"1e999",
    b"9" * 400,
    b"\\ud800",
    b"\xff",
    b"==",
    b"[" * 200,
)
DIGEST = [""]
"""The digest of the model whose entry is among the seeds."""


def one_input(data: bytes) -> bool:
    """Read `data[1:]` as the file that `data[0]` picks; True when it was taken for genuine."""
    if not data:
        return False
    raw = data[1:]
    try:
        match data[0] % 5:
            case 0:
                manifest, entry = read_entry(raw, DIGEST[0], "it")
                if manifest.sha256 != DIGEST[0] or len(entry["files"]) != len(manifest.files):
                    raise AssertionError(f"another model's entry was taken: {raw!r}")
            case 1:
                if not all(isinstance(value, str) for value in read_wrapped_key(raw, "it").values()):
                    raise AssertionError(f"a key file of another form was taken: {raw!r}")
            case 2:
                if len(read_file_keys(raw, FILES, "it")) != FILES:
                    raise AssertionError(f"too many or too few keys were taken: {raw!r}")
            case 3:
                if len(read_root(raw, "", "it")) != 32:
                    raise AssertionError(f"a root key of another length was taken: {raw!r}")
            case _:
                Destruction.from_json(parse_object(raw, what="it"), "it").to_json()
    except (Tampered, NotPermitted, InvalidInput):
        return False
    return True


def seeds() -> list[bytes]:
    """Return each kind of file as a real vault writes it, with its kind in front."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        for number in range(FILES):
            (model / f"{number}.bin").write_bytes(bytes([number]) * 100)
        manifest = walk(model)
        vault = Vault(folder / "vault")
        vault.put(manifest, {file.path: model / file.path for file in manifest.files})
        DIGEST[0] = manifest.sha256
        place = folder / "vault" / "models" / manifest.sha256
        paths = [place / "entry.json", place / "key", place / "file-keys", folder / "vault.key"]
        found = [path.read_bytes() for path in paths]
        vault.destroy(manifest.sha256)
        found.append((folder / "vault" / "destroyed" / f"{manifest.sha256}.json").read_bytes())
    return [bytes([kind]) + raw for kind, raw in enumerate(found)]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change, insert, delete, repeat or cut a few places."""
    body = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(1, len(body) + 1)
        match chance.randrange(5):
            case 0:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                body[at:at] = chance.choice(SPICE)
            case 2:
                del body[at : at + chance.randint(1, 8)]
            case 3:
                body[at:at] = body[max(1, at - chance.randint(1, 60)) : at]
            case _ if chance.random() < 0.2:
                del body[at:]
            case _:
                body[:1] = bytes([chance.randrange(5)])
    return bytes(body)


def main() -> int:
    """Run for a while and say how many inputs were taken and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    pool = seeds()
    if not all(one_input(data) for data in pool):
        raise AssertionError("a sound seed was refused")
    end = time.monotonic() + options.seconds
    tried = taken = 0
    while time.monotonic() < end:
        data = mutated(chance.choice(pool), chance)
        try:
            good = one_input(data)
        except BaseException:
            print(f"failing input: {data!r}", file=sys.stderr)
            raise
        tried += 1
        taken += good
    print(f"{tried} inputs: {taken} taken, {tried - taken} refused, 0 other outcomes (seed {options.seed})")
    return 0


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") and "--seconds" not in sys.argv:
        import atheris

        seeds()
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    else:
        sys.exit(main())
