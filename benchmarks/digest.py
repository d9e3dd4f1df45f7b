"""How fast are digests and encryption, beside `hashlib.file_digest` and `sha256sum`?

Run: python benchmarks/digest.py [--megabytes 512] [--files 20000] [--folder DIR]
Prints GB (10^9 bytes) per CPU second, user and system time together, children included; best of three,
with the files in the page cache. Small files: files per CPU second.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from custody.adapters.vault import Vault
from custody.seal import cipher
from custody.seal.blocks import digest_dataset
from custody.seal.digest import copy_verified, fingerprints, walk

REPEATS = 3


def cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def best(act: Callable[[], object]) -> float:
    """CPU seconds of the best of three runs."""
    spent = []
    for _ in range(REPEATS):
        before = cpu()
        act()
        spent.append(cpu() - before)
    return min(spent)


def fresh(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / "copy"


def large(folder: Path, megabytes: int) -> None:
    path = folder / "large.bin"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(8, "big") + block[8:])
    table = folder / "large.csv"
    with table.open("wb") as file:
        line = b"%d,2026-01-01,1234.56,grocery,DE,0.125,0.5,female,34-45,0\n"
        rows = b"".join(line % number for number in range(16_000))
        for _ in range(megabytes * (1 << 20) // len(rows)):
            file.write(rows)
    key, bound, sealed = cipher.new_key(), b"benchmark", folder / "large.sealed"

    def plain() -> None:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")

    def encrypt() -> None:
        with path.open("rb") as source, sealed.open("wb") as sink:
            for piece in cipher.encrypt_pieces(iter(lambda: source.read(1 << 20), b""), key, bound):
                sink.write(piece)

    def decrypt() -> None:
        with sealed.open("rb") as source:
            for _ in cipher.decrypt_pieces(source, key, bound):
                pass

    def copy() -> None:
        copy_verified(path, fresh(folder))

    vault = Vault(folder / "vault")
    manifest = walk(path)

    def put() -> None:
        Vault(fresh(folder)).put(manifest, {path.name: path})

    vault.put(manifest, {path.name: path})
    acts: list[tuple[str, Callable[[], object], Path]] = [
        ("hashlib.file_digest", plain, path),
        ("sha256sum", lambda: subprocess.run(["sha256sum", path], check=True, capture_output=True), path),
        ("walk", lambda: walk(path), path),
        ("digest_dataset (csv)", lambda: digest_dataset(table), table),
        ("copy_verified", copy, path),
        ("cp", lambda: subprocess.run(["cp", path, fresh(folder)], check=True), path),
        ("encrypt to file", encrypt, path),
        ("decrypt", decrypt, path),
        ("vault put (hash, encrypt, fsync)", put, path),
        ("vault open (decrypt, hash)", lambda: vault.open(manifest.sha256), path),
    ]
    print(f"{'one file of ' + str(megabytes) + ' MiB':34}  GB/cpu-s   to hashlib   to sha256sum")
    rates: dict[str, float] = {}
    for name, act, what in acts:
        rates[name] = what.stat().st_size / 1e9 / best(act)
        peers = (rates[name] / rates.get(peer, rates[name]) for peer in ("hashlib.file_digest", "sha256sum"))
        print(f"{name:34}  {rates[name]:8.2f}   " + "   ".join(f"{peer:9.2f}x" for peer in peers))
    spent = best(lambda: [cipher.decrypt_range(sealed, key, bound, n << 20, 65_536) for n in range(100)])
    print(f"{'decrypt_range of 64 KiB':34}  {spent * 10:8.3f} cpu-ms each")


def small(folder: Path, files: int) -> None:
    tree = folder / "tree"
    for number in range(files):
        place = tree / f"{number % 100:02}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.bin").write_bytes(os.urandom(4096))
    sums = "find . -type f -print0 | xargs -0 sha256sum > /dev/null"
    rows: list[tuple[str, Callable[[], object]]] = [
        ("sha256sum", lambda: subprocess.run(sums, shell=True, cwd=tree, check=True)),
        ("walk", lambda: walk(tree)),
        ("fingerprints", lambda: fingerprints(tree)),
        ("copy_verified", lambda: copy_verified(tree, fresh(folder))),
    ]
    print(f"\n{str(files) + ' files of 4 KiB':34}  files/cpu-s")
    for name, act in rows:
        print(f"{name:34}  {files / best(act):11,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        large(Path(folder), options.megabytes)
        small(Path(folder), options.files)


if __name__ == "__main__":
    main()
