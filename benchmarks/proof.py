"""Proofs in a large log, made and verified with the checkpoint's signature, beside pymerkle if it is there.

    python benchmarks/proof.py [LEAVES]        10,000,000 unless told otherwise

The nodes are built from leaf hashes, as `custody ledger rebuild` does; the proofs are those of
`custody ledger prove`: read the head, make the path, check it against the root, then verify the whole as a
stranger would. pymerkle 7 (GPL) is never a dependency: name a Python that has it in PYMERKLE_PYTHON and the
same tree of 100,000 leaves is built and proven by it, in this process's tree.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from custody.adapters.memory import FileMemory
from custody.adapters.nodes import NodeFiles
from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.log import Log, leaf_of
from custody.ledger.merkle import Frontier, span_root
from custody.ledger.prover import Prover
from custody.ledger.store import Head, Row, Snapshot
from custody.seal.envelope import seal
from custody.seal.keys import LogKey, PersonKey

PROOFS = 1000
PEER_LEAVES = 100_000
PEER = """
import json, sys, tempfile, time
from pymerkle import InmemoryTree, SqliteTree, verify_inclusion
count = int(sys.argv[1])
entries, found = [b"%d" % number for number in range(count)], {}
for kind in ("memory", "sqlite"):
    place = tempfile.TemporaryDirectory()
    tree = InmemoryTree() if kind == "memory" else SqliteTree(place.name + "/tree.db")
    began = time.process_time()
    if kind == "memory":
        for entry in entries:
            tree.append_entry(entry)
    else:
        tree.append_entries(entries)
    grown, times = time.process_time() - began, 20 if kind == "memory" else 3
    root, began = tree.get_state(), time.process_time()
    for number in range(times):
        index = 1 + number * (count // times)
        verify_inclusion(tree.get_leaf(index), root, tree.prove_inclusion(index, count))
    found[kind] = {"build": grown, "proof": (time.process_time() - began) / times}
print(json.dumps(found))
"""


class OneEntry:
    """A store of `size` entries of which one envelope is kept: the benchmark is about the tree."""

    def __init__(self, size: int, index: int, leaf: bytes, envelope: bytes, head: Head) -> None:
        self.size, self.index, self.leaf, self.envelope, self.head = size, index, leaf, envelope, head

    def read(self, start: int, stop: int | None = None) -> Snapshot:
        wanted = start <= self.index and (stop is None or self.index < stop)
        return Snapshot(self.head, [Row(self.index, self.leaf, self.envelope)] if wanted else [])

    def append(self, *_: object) -> tuple[int, Head]:
        raise io.UnsupportedOperation

    def cosign(self, *_: object) -> None:
        raise io.UnsupportedOperation

    def close(self) -> None:
        pass


def timed(times: int, work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU milliseconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    return (time.perf_counter() - wall) / times * 1000, (time.process_time() - cpu) / times * 1000


def main(size: int) -> None:
    key, person = LogKey.generate(), PersonKey.generate()
    said = {"use_case": "u", "verdict": "approve", "reason": "it holds", "at": "2026-01-01T00:00:00+00:00"}
    envelope = seal(Statement(Subject("model", "ab" * 32), kinds.APPROVAL, said), person)
    where = size * 2 // 3
    with tempfile.TemporaryDirectory(dir=os.environ.get("CUSTODY_BENCH", None)) as name:
        nodes = NodeFiles(Path(name) / "nodes")
        wall, cpu, done = time.perf_counter(), time.process_time(), 0
        while done < size:
            count = min(10_000, size - done)
            leaves = [hashlib.sha256(b"\0%d" % number).digest() for number in range(done, done + count)]
            if done <= where < done + count:
                leaves[where - done] = leaf_of(envelope)
            nodes.extend(done, leaves)
            done += count
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        disk = sum(path.stat().st_size for path in (Path(name) / "nodes").iterdir())
        print(f"nodes of {size:,} leaves: {cpu:.1f} CPU s, {wall:.1f} s, {disk / 1e6:.0f} MB on disk")
        root = span_root(nodes.node, 0, size)
        peaks = [level for level in range(size.bit_length())[::-1] if size >> level & 1]
        frontier = Frontier(size, tuple(nodes.node(level, (size >> level) - 1) for level in peaks))
        assert frontier.root == root
        note = sign_checkpoint(Checkpoint("bench", size, root), key)
        store = OneEntry(size, where, leaf_of(envelope), envelope.to_bytes(), Head(note, frontier))
        prover = Prover(Log(store, FileMemory(Path(name) / "state"), "bench", key.public), nodes)

        def whole() -> None:
            prover.inclusion(where).check("bench", key.public)

        whole()
        chance = random.Random(1)
        proof = prover.inclusion(where)
        wall, cpu = timed(PROOFS, whole)
        print(f"inclusion, made from the store, checked, and verified as a stranger: {wall:.3f} ms, {cpu:.3f} CPU ms")
        from custody.ledger.merkle import check_inclusion, consistency_path, inclusion_path

        indexes = iter([chance.randrange(size) for _ in range(2 * PROOFS)])
        made = timed(PROOFS, lambda: inclusion_path(nodes.node, next(indexes), size))
        print(f"  the path alone: {made[0]:.3f} ms, {made[1]:.3f} CPU ms")
        leaf = leaf_of(envelope)
        path = timed(PROOFS, lambda: check_inclusion(leaf, where, size, proof.path, root))
        print(f"  its check: {path[0]:.3f} ms, {path[1]:.3f} CPU ms")
        verified = timed(PROOFS, lambda: proof.check("bench", key.public))
        print(f"  verification with the checkpoint's signature: {verified[0]:.3f} ms, {verified[1]:.3f} CPU ms")
        print(
            f"  made and verified: {made[0] + verified[0]:.3f} ms, {made[1] + verified[1]:.3f} CPU ms  (bar: 3 ms, 0.5)"
        )
        old = timed(PROOFS, lambda: consistency_path(nodes.node, chance.randrange(1, size), size))
        print(f"consistency, the path: {old[0]:.3f} ms, {old[1]:.3f} CPU ms")
        nodes.close()
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB  (bar: 64)")
    peer(made[1] + path[1])


def peer(ours: float) -> None:
    """Let pymerkle prove in a tree of 100,000, where a Python that has it is named."""
    python = os.environ.get("PYMERKLE_PYTHON", "")
    if not python:
        print("pymerkle was not asked: PYMERKLE_PYTHON names no Python that has it")
        return
    done = subprocess.run([python, "-c", PEER, str(PEER_LEAVES)], capture_output=True, text=True, check=True)
    for kind, found in json.loads(done.stdout).items():
        cost = found["proof"] * 1000
        print(
            f"pymerkle in {kind}, {PEER_LEAVES:,} leaves: built in {found['build']:.1f} CPU s, proof {cost:.2f} CPU ms"
        )
        print(f"  path made and checked, without signature: ours {ours:.3f} CPU ms, {cost / ours:.0f} times less")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
