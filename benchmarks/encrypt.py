"""GB per CPU second to encrypt and decrypt a file, time to one tensor, and time to shred: Custody beside age.

    python benchmarks/encrypt.py [--gb 1] [--runs 3] [--json]

`cipher` is the encryption alone, from file to file, durable at the end. `vault` is what a model goes through:
encrypted and hashed once going in, decrypted and hashed once coming out, since the manifest's sha256 is what the
ledger knows a model by; `sha256` and `copy` show what the machine takes for that alone and for moving the bytes.
The tensor is 256 KiB from the middle of the file, read with a vault that was just opened. age is run through
pyrage where that is installed (`pip install pyrage`); it is no dependency. The best run counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from custody.adapters.vault import Vault
from custody.seal import cipher
from custody.seal.bulk import NewFile
from custody.seal.digest import walk

PIECE = 1024 * 1024
TENSOR = 256 * 1024
RUNS = [3]


def rate(size: int, act: Callable[[], object], clean: Callable[[], object] = lambda: None) -> dict[str, float]:
    """Return the best GB per CPU second of the runs, and its wall seconds."""
    best = {"gb_per_cpu_s": 0.0, "wall_s": 0.0}
    for _ in range(RUNS[0]):
        clean()
        cpu, wall = time.process_time(), time.perf_counter()
        act()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if size / cpu / 1e9 > best["gb_per_cpu_s"]:
            best = {"gb_per_cpu_s": round(size / cpu / 1e9, 2), "wall_s": round(wall, 2)}
    return best


def pieces(path: Path) -> Iterator[memoryview]:
    """Yield the file in pieces of 1 MiB, each overwritten by the next."""
    buffer = bytearray(PIECE)
    with path.open("rb", buffering=0) as source:
        while count := source.readinto(buffer):
            yield memoryview(buffer)[:count]


def measure(folder: Path, size: int) -> dict[str, dict[str, float]]:
    plain, sealed, opened = (folder / name for name in ("model/weights.safetensors", "sealed", "opened"))
    plain.parent.mkdir()
    with plain.open("wb") as file:
        for _ in range(size // PIECE):
            file.write(os.urandom(PIECE))
        file.flush()
        os.fsync(file.fileno())
    key, rows = cipher.new_key(), {}

    def gone(path: Path) -> Callable[[], None]:
        return lambda: path.unlink(missing_ok=True)

    def decrypt() -> None:
        with sealed.open("rb", buffering=0) as source, NewFile(opened, expected=size) as sink:
            cipher.decrypt_into(sink, source, key, b"")

    rows["cipher: encrypt"] = rate(
        size, lambda: cipher.encrypt_file(pieces(plain), sealed, key, b"", size), gone(sealed)
    )
    rows["cipher: decrypt"] = rate(size, decrypt, gone(opened))
    opened.unlink()
    rows["sha256 alone"] = rate(size, lambda: walk(plain))
    rows["copy alone"] = rate(size, lambda: shutil.copyfile(plain, opened), gone(opened))
    opened.unlink()
    sealed.unlink()
    manifest = walk(plain.parent)
    files = {"weights.safetensors": plain}

    def put() -> None:
        shutil.rmtree(folder / "vault", ignore_errors=True)
        Vault(folder / "vault").put(manifest, files)

    rows["vault: put, with sha256"] = rate(size, put)
    rows["vault: materialise, with sha256"] = rate(
        size,
        lambda: Vault(folder / "vault").materialise(manifest.sha256, folder / "out"),
        lambda: shutil.rmtree(folder / "out", ignore_errors=True),
    )
    shutil.rmtree(folder / "out")
    whole = hashlib.sha256()
    best = float("inf")
    for number in range(50):
        start = (size // 100) * (number + 1)
        began = time.perf_counter()
        tensor = Vault(folder / "vault").read_range(manifest.sha256, "weights.safetensors", start, TENSOR)
        best = min(best, time.perf_counter() - began)
        whole.update(tensor)
    rows["one tensor of 256 KiB"] = {"wall_ms": round(best * 1000, 2)}
    began = time.perf_counter()
    done = Vault(folder / "vault").destroy(manifest.sha256)
    rows["shred"] = {"wall_s": round(time.perf_counter() - began, 3)}
    if (done.canary_before, done.canary_after) != (True, False):
        raise SystemExit("the canary disagrees")
    shutil.rmtree(folder / "vault")
    rows.update(age(plain, folder, size))
    return rows


def age(plain: Path, folder: Path, size: int) -> dict[str, dict[str, float]]:
    """Run age on the same file, where pyrage is installed."""
    try:
        import pyrage
    except ImportError:
        return {}
    identity = pyrage.x25519.Identity.generate()
    sealed, opened = folder / "age", folder / "age.open"

    def encrypt() -> None:
        with plain.open("rb") as source, sealed.open("wb") as sink:
            pyrage.encrypt_io(source, sink, [identity.to_public()])

    def decrypt() -> None:
        with sealed.open("rb") as source, opened.open("wb") as sink:
            pyrage.decrypt_io(source, sink, [identity])

    return {"age: encrypt": rate(size, encrypt), "age: decrypt": rate(size, decrypt)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="Where to work; a real disk, not memory.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    RUNS[0] = asked.runs
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        rows = measure(Path(name), int(asked.gb * 1e9) // PIECE * PIECE)
    for way in ("encrypt", "decrypt"):
        if f"age: {way}" in rows:
            ratio = rows[f"cipher: {way}"]["gb_per_cpu_s"] / rows[f"age: {way}"]["gb_per_cpu_s"]
            rows[f"ratio: {way}"] = {"times_age": round(ratio, 1)}
    if asked.json:
        print(json.dumps(rows))
        return
    for label, row in rows.items():
        print(f"{label:<34}" + "  ".join(f"{value} {unit.replace('_', ' ')}" for unit, value in row.items()))


if __name__ == "__main__":
    main()
