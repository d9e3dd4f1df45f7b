"""Making proofs quickly: from the nodes of the tree kept beside the ledger, checked before they leave.

The nodes are a projection: whoever loses them loses time. Nothing made from them is believed before it led
to the root of a checkpoint that the log signed, so that a damaged or forged file of nodes is noticed, thrown
away and made anew from the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from custody.errors import InvalidInput, NotFound, Tampered
from custody.ledger.checkpoint import Checkpoint
from custody.ledger.log import Log, record_of
from custody.ledger.merkle import (
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    span_root,
)
from custody.ledger.proof import Consistency, Inclusion
from custody.ledger.store import Row
from custody.seal.envelope import Envelope

ROWS_AT_ONCE = 1000

Progress = Callable[[int, int], None]
"""Told how many entries of how many are done."""


class Nodes(Protocol):
    """The nodes of complete subtrees of one growing tree, kept on disk."""

    @property
    def size(self) -> int:
        """Return how many leaves' nodes are complete."""

    def node(self, level: int, index: int) -> bytes:
        """Return one node, 32 bytes; raises `Tampered` where it is missing."""

    def extend(self, start: int, leaves: Sequence[bytes]) -> None:
        """Add the leaves from `start` on, and every node they complete; nothing where `start` is no longer the end."""

    def drop(self) -> None:
        """Forget everything."""


class Prover:
    """Makes proofs about one log."""

    def __init__(self, log: Log, nodes: Nodes) -> None:
        self._log, self._nodes = log, nodes
        self._accepted: tuple[Checkpoint, str] | None = None

    def newest(self, progress: Progress | None = None) -> tuple[Checkpoint, str]:
        """Return the newest checkpoint with its note, after bringing the nodes up to it.

        Raises `Tampered` when the entries do not give its root, or it does not continue what was seen before.
        """
        checkpoint, note = self._log.newest()
        if self._accepted == (checkpoint, note):
            return self._accepted  # what is made from the nodes is checked in any case
        if not self._fits(checkpoint, progress):
            self._nodes.drop()
            if not self._fits(checkpoint, progress):
                raise Tampered("the entries do not give the checkpoint's root: one was replaced or moved")
        for size, root in self._log.remembered():
            if span_root(self._nodes.node, 0, size) != root:
                raise Tampered(f"the first {size} entries are not those seen before: history was rewritten")
        self._log.accept(checkpoint)
        self._accepted = (checkpoint, note)
        return self._accepted

    def inclusion(self, index: int, progress: Progress | None = None) -> Inclusion:
        """Prove that entry `index` is in the log."""
        checkpoint, note = self.newest(progress)
        if not 0 <= index < checkpoint.size:
            raise NotFound(f"there is no entry {index}; the ledger has {checkpoint.size}")
        rows = self._log.rows(index, index + 1)
        if len(rows) != 1 or rows[0].index != index:
            raise Tampered(f"entry {index} is missing from the ledger")
        record, leaf = _record(rows[0]), rows[0].leaf
        for _ in range(2):
            path = inclusion_path(self._nodes.node, index, checkpoint.size)
            if check_inclusion(leaf, index, checkpoint.size, path, checkpoint.root):
                return Inclusion(index, tuple(path), record, note)
            self.rebuild(progress)  # a node that no root needs may be damaged unnoticed until now
        raise Tampered(f"entry {index} was altered: it is not what the checkpoint covers")

    def consistency(self, old: int, progress: Progress | None = None) -> tuple[Consistency, bytes]:
        """Prove that the log begins with its first `old` entries; returns the proof and their root."""
        checkpoint, note = self.newest(progress)
        if not 0 < old <= checkpoint.size:
            raise NotFound(f"the ledger never had {old} entries; it has {checkpoint.size}")
        for _ in range(2):
            path = consistency_path(self._nodes.node, old, checkpoint.size)
            root = span_root(self._nodes.node, 0, old)
            if check_consistency(old, checkpoint.size, path, root, checkpoint.root):
                return Consistency(old, tuple(path), note), root
            self.rebuild(progress)
        raise Tampered("the entries do not give the checkpoint's root: one was replaced or moved")

    def rebuild(self, progress: Progress | None = None) -> Checkpoint:
        """Make all nodes anew from the entries."""
        self._accepted = None
        self._nodes.drop()
        return self.newest(progress)[0]

    def node(self, level: int, index: int) -> bytes:
        """Return a node of the tree that `newest` vouched for."""
        return self._nodes.node(level, index)

    def records(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield what the leaves of entries `start` to before `stop` are the hashes of."""
        for first in range(start, stop, ROWS_AT_ONCE):
            for row in self._log.rows(first, min(first + ROWS_AT_ONCE, stop)):
                yield _record(row)

    def first_altered(self) -> int | None:
        """Return the first entry whose leaf is not the one this client saw before, if the nodes still tell."""
        for size, root in self._log.remembered():
            if self._nodes.size < size or self._root(size) != root:
                continue
            for first in range(0, size, ROWS_AT_ONCE):
                for row in self._log.rows(first, min(first + ROWS_AT_ONCE, size)):
                    if row.leaf != self._nodes.node(0, row.index):
                        return row.index
        return None

    def _fits(self, checkpoint: Checkpoint, progress: Progress | None) -> bool:
        """Bring the nodes up to the checkpoint's size; tell whether they give its root."""
        while (size := self._nodes.size) < checkpoint.size:
            rows = self._log.rows(size, min(size + ROWS_AT_ONCE, checkpoint.size))
            if not rows or [row.index for row in rows] != list(range(size, size + len(rows))):
                raise Tampered(f"entry {size} is missing: the checkpoint covers {checkpoint.size} entries")
            self._nodes.extend(size, [row.leaf for row in rows])
            if progress:
                progress(self._nodes.size, checkpoint.size)
        return self._root(checkpoint.size) == checkpoint.root

    def _root(self, size: int) -> bytes:
        try:
            return span_root(self._nodes.node, 0, size)
        except Tampered:  # a node is missing
            return b""


def _record(row: Row) -> bytes:
    """Return what a row's leaf is the hash of; raises `Tampered` where the envelope does not give the leaf."""
    try:
        record = record_of(Envelope.from_bytes(row.envelope))
    except InvalidInput as error:
        raise Tampered(f"entry {row.index} was altered: {error}") from None
    if leaf_hash(record) != row.leaf:
        raise Tampered(f"entry {row.index} was altered: it does not hash to its leaf")
    return record
