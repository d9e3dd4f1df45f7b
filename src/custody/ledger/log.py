"""The log: append envelopes, and read them back only if everything adds up.

An append is acknowledged after the checkpoint that covers it is on disk. A reader recomputes every
leaf and the root, checks the log's signature, and holds the log against the last checkpoint this
client has seen, so that a truncated or rewritten history is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from custody.core.predicates import check_predicate
from custody.errors import InvalidInput, Tampered
from custody.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from custody.ledger.group import Group, Rows
from custody.ledger.merkle import Frontier, leaf_hash
from custody.ledger.store import Head, Memory, Moved, Row, Sign, Snapshot, Store, check_cosigned
from custody.seal.envelope import Envelope
from custody.seal.keys import CheckpointSigner

__all__ = [
    "Head",
    "Log",
    "Memory",
    "Moved",
    "Reading",
    "Row",
    "Sign",
    "Snapshot",
    "Store",
    "check_cosigned",
    "leaf_of",
    "record_of",
]

NewestKey = Callable[[Sequence[tuple[int, Envelope]]], bytes]
"""Tell the log's key in force after these rows, whose place and bytes fit their leaves, but whose root and
signatures are not checked yet. Raises `Tampered` where the rows do not lead from the configured key to one."""


class Frontiers(Mapping[int, Frontier]):
    """The frontier after any number of rows: kept at every 256th, made from there for the others."""

    STEP = 256

    def __init__(self) -> None:
        self._leaves: list[bytes] = []
        self._kept = [Frontier()]

    def extended(self, leaves: Sequence[bytes]) -> Frontiers:
        """Return the frontiers of this tree with more leaves; this one stays as it is."""
        longer = Frontiers()
        longer._leaves = [*self._leaves, *leaves]
        longer._kept = list(self._kept)
        for start in range((len(longer._kept) - 1) * self.STEP, len(longer._leaves) - self.STEP + 1, self.STEP):
            longer._kept.append(longer._kept[-1].extend(longer._leaves[start : start + self.STEP]))
        return longer

    def __getitem__(self, size: int) -> Frontier:
        if not 0 <= size <= len(self._leaves):
            raise KeyError(size)
        kept = size // self.STEP
        return self._kept[kept].extend(self._leaves[kept * self.STEP : size])

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._leaves) + 1))

    def __len__(self) -> int:
        return len(self._leaves) + 1

    @property
    def leaves(self) -> Sequence[bytes]:
        """Return the leaf hashes."""
        return self._leaves


class Tape:
    """The running sha256 over entries' bytes as stored, signatures included, each behind its length (8 bytes).

    A leaf binds a statement and its key, not the signature's bytes; this binds everything.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def copy(self) -> Tape:
        """Return a tape that goes on from here by itself."""
        other = Tape()
        other._hash = self._hash.copy()
        return other

    def add(self, raw: bytes) -> None:
        """Take in one more entry."""
        self._hash.update(len(raw).to_bytes(8, "big"))
        self._hash.update(raw)

    @property
    def digest(self) -> bytes:
        """Return the sha256 so far, 32 bytes."""
        return self._hash.digest()


@dataclass(frozen=True)
class Reading:
    """Verified rows with the checkpoint that covers all of them."""

    rows: Sequence[tuple[int, Envelope]]
    checkpoint: Checkpoint
    note: str
    frontiers: Frontiers
    fresh: bool
    """False on first contact: nothing was remembered to hold the log against. Reading again does not mend that."""
    seen: int = 0
    """How many entries were remembered from before the first of these readings; 0 on first contact."""
    verified: int = 0
    """How many entries are byte for byte those whose signatures this client verified before."""
    tape: Tape = field(default_factory=Tape)


class Log:
    """A ledger under one origin and one key."""

    def __init__(
        self,
        store: Store,
        memory: Memory,
        origin: str,
        public: bytes,
        key: CheckpointSigner | None = None,
        newest_key: NewestKey | None = None,
    ) -> None:
        self._store, self._memory = store, memory
        self.origin, self._key = origin, key
        self._newest_key: NewestKey = newest_key or (lambda _rows: public)
        self.public = public
        self._in_force = public if newest_key is None else b""
        """The log's key as this process last learned it; empty where only reading the entries can tell."""
        self._known: tuple[int, bytes] | None = None
        self._opened: tuple[Checkpoint, str] | None = None
        """The head that `newest` opened last."""
        self._group = Group(lambda rows: self._commit(rows, None))

    def append(self, envelopes: Sequence[Envelope], after: int | None = None) -> tuple[int, str]:
        """Append; returns the first index and the note of the covering checkpoint, which is on disk by then.

        Appends of several threads go together. With `after`, append alone and only if the log has exactly
        that many entries; raises `Moved` otherwise.
        """
        if self._key is None:
            raise InvalidInput("this log was opened for reading")
        if not envelopes:
            raise InvalidInput("there is nothing to append")
        rows = [(leaf_of(envelope), envelope.to_bytes()) for envelope in envelopes]
        index, head = self._group.append(rows) if after is None else self._commit(rows, after)
        return index, head.note

    def _commit(self, rows: Rows, after: int | None) -> tuple[int, Head]:
        """Append rows under a new checkpoint in one transaction, and remember it."""

        def sign(before: Head | None, frontier: Frontier) -> str:
            if after is not None and frontier.size != after + len(rows):
                raise Moved("another command wrote to the ledger at the same moment", hint="try again")
            return self._sign(before, frontier)

        index, head = self._store.append(rows, sign)
        self._known = (head.frontier.size, head.frontier.root)
        self._memory.remember(self.origin, *self._known)
        return index, head

    def cosign(self, note: str) -> None:
        """Keep cosignatures of the newest checkpoint: `note` is its note with more signature lines.

        Raises `Moved` when the log has grown meanwhile, `Tampered` when it is another checkpoint's note.
        """
        lines = note.split("\n", 3)
        if len(lines) < 4 or lines[0] != self.origin or not (lines[1].isascii() and lines[1].isdigit()):
            raise InvalidInput("this is not a checkpoint of this log")
        self._store.cosign(int(lines[1][:16]), note)

    def read(self, known: Reading | None = None, *, thorough: bool = False) -> Reading:
        """Read and verify the whole log; `known` spares the rows that this process read before.

        Envelopes that are byte for byte those whose signatures this client verified on an earlier visit are
        `held`, so that nobody need verify them again; with `thorough`, none is.

        (1) every row stands in its place, and its leaf is the hash of its envelope; (2) the checkpoint is
        signed by the log's key, which is the configured one or the one the rows lead to; (3) it is not older
        than what this client remembers; (4) it covers these rows, no fewer and no more, and they give its
        root; (5) they gave the remembered root at the remembered size. Nothing is concluded from a row before
        all five hold, but the log's key: whoever forges rows that lead to a key of their own fails at that
        rotation's signatures, which no checkpoint can replace. Raises `Tampered`.
        """
        remembered, anchored = self._memory.last(self.origin), self._memory.anchored(self.origin)
        rows: list[tuple[int, Envelope]] = list(known.rows) if known else []
        snapshot = self._store.read(len(rows))
        head = snapshot.head
        if head is None:
            raise Tampered("the ledger has no checkpoint", hint="restore it from a backup")
        frontiers = known.frontiers if known else Frontiers()
        leaves: list[bytes] = []
        tape, verified = known.tape.copy() if known else Tape(), known.verified if known else 0
        marked = None if thorough else self._memory.verified(self.origin)
        for row in snapshot.rows:
            if row.index >= head.frontier.size:
                raise Tampered(f"the store holds entry {row.index}, which no checkpoint covers")
            if row.index != len(rows):
                raise Tampered(f"entry {len(rows)} is missing from the ledger")
            try:
                envelope = Envelope.from_bytes(row.envelope)
                leaf = leaf_of(envelope)
            except InvalidInput as error:
                raise Tampered(f"entry {row.index} was altered: {error}") from None
            if leaf != row.leaf:  # (1)
                raise Tampered(f"entry {row.index} was altered: it does not hash to its leaf")
            leaves.append(leaf)
            rows.append((row.index, envelope))
            tape.add(row.envelope)
            if marked and marked[0] == len(rows) and marked[1] == tape.digest:
                verified = len(rows)
        for _, envelope in rows[len(known.rows) if known else 0 : verified]:
            envelope.hold()
        public = self._newest_key(rows)
        try:
            checkpoint = open_checkpoint(head.note, self.origin, public)  # (2)
        except InvalidInput as error:
            raise Tampered(f"the ledger's newest checkpoint cannot be read: {error}") from None
        for seen in (remembered, anchored):
            if seen and checkpoint.size < seen[0]:  # (3)
                raise Tampered(
                    f"the ledger was cut short: it has {checkpoint.size} entries, and {seen[0]} were seen before",
                    hint="restore the missing entries from a backup or from an exported bundle",
                )
        if len(rows) > checkpoint.size:  # (4)
            raise Tampered(f"the store holds entry {checkpoint.size}, which no checkpoint covers")
        if len(rows) < checkpoint.size:
            raise Tampered(f"entry {len(rows)} is missing: the checkpoint covers {checkpoint.size} entries")
        frontiers = frontiers.extended(leaves)
        if frontiers[checkpoint.size].root != checkpoint.root:
            raise Tampered("the entries do not give the checkpoint's root: one was replaced or moved")
        for seen in (remembered, anchored):
            if seen and frontiers[seen[0]].root != seen[1]:  # (5)
                raise Tampered(f"the first {seen[0]} entries are not those seen before: history was rewritten")
        if public != self._in_force:
            self._in_force, self._opened = public, None
        self._known = (checkpoint.size, checkpoint.root)
        self._memory.remember(self.origin, checkpoint.size, checkpoint.root)
        if known:
            return Reading(rows, checkpoint, head.note, frontiers, known.fresh, known.seen, verified, tape)
        before = remembered[0] if remembered else 0
        return Reading(rows, checkpoint, head.note, frontiers, remembered is not None, before, verified, tape)

    def newest(self) -> tuple[Checkpoint, str]:
        """Return the newest checkpoint and its note, without reading the entries.

        Its signature is checked, and that it is not older than what this client has seen. Whether the entries
        give its root is for the caller to see, before `accept`. Where the log's key may have changed since,
        everything is read. Raises `Tampered`.
        """
        head = self._store.read(0, 0).head
        if head is None:
            raise Tampered("the ledger has no checkpoint", hint="restore it from a backup")
        try:
            if self._opened is None or self._opened[1] != head.note:
                self._opened = (self._check_head(head, self._in_force), head.note)
            checkpoint = self._opened[0]
        except Tampered:
            reading = self.read()
            return reading.checkpoint, reading.note
        for size, _ in self.remembered():
            if checkpoint.size < size:
                raise Tampered(
                    f"the ledger was cut short: it has {checkpoint.size} entries, and {size} were seen before",
                    hint="restore the missing entries from a backup or from an exported bundle",
                )
        return checkpoint, head.note

    def marks(self) -> tuple[tuple[int, bytes] | None, tuple[int, bytes] | None]:
        """Return size and root of what this client has seen, and of what it knows others vouch for."""
        return self._memory.last(self.origin), self._memory.anchored(self.origin)

    def remembered(self) -> list[tuple[int, bytes]]:
        """Return those of the two marks that there are."""
        return [mark for mark in self.marks() if mark]

    def learn_key(self) -> bytes:
        """Return the log's key in force, from the entries where only they can tell."""
        if not self._in_force:
            self.read()
        return self._in_force

    def accept(self, checkpoint: Checkpoint) -> None:
        """Remember a checkpoint whose root the entries gave, and that begins with what was remembered."""
        self._memory.remember(self.origin, checkpoint.size, checkpoint.root)

    def rows(self, start: int, stop: int) -> Sequence[Row]:
        """Return stored rows, unverified."""
        return self._store.read(start, stop).rows

    def every_signature_held(self, reading: Reading) -> None:
        """Remember that each signature of a reading was verified, so that the next visit need not do it again."""
        if len(reading.rows) > reading.verified:
            self._memory.remember_verified(self.origin, len(reading.rows), reading.tape.digest)

    def anchored(self, size: int, root: bytes) -> None:
        """Remember that others vouch for the first `size` entries: from now on this client signs nothing below.

        Call it with a checkpoint that was verified with its cosignatures or time stamps.
        """
        self._memory.remember_anchor(self.origin, size, root)

    def _sign(self, before: Head | None, frontier: Frontier) -> str:
        """Sign the next checkpoint, unless the one it builds on is not what this client knows to be the log's."""
        if self._key is None:
            raise InvalidInput("this log was opened for reading")
        built_on = before.frontier if before else Frontier()
        for seen in (self._memory.last(self.origin), self._memory.anchored(self.origin), self._known):
            if seen and built_on.size < seen[0]:
                raise Tampered(
                    f"refusing to sign: the ledger has {built_on.size} entries, and {seen[0]} were seen before",
                    hint="restore the missing entries from a backup or from an exported bundle",
                )
            if seen and built_on.size == seen[0]:
                if built_on.root != seen[1]:
                    raise Tampered("refusing to sign: the ledger's newest root is not the one seen before")
                before = None
        if before is not None:
            try:
                self._check_head(before, self._in_force, self._key.public)
            except Tampered as error:
                raise Tampered(f"refusing to sign: {error.message}") from None
        return sign_checkpoint(Checkpoint(self.origin, frontier.size, frontier.root), self._key)

    def _check_head(self, head: Head, *keys: bytes) -> Checkpoint:
        """Return a head's checkpoint; raises `Tampered` unless one of these keys signed it."""
        for public in filter(None, keys):
            try:
                found = open_checkpoint(head.note, self.origin, public)
            except (Tampered, InvalidInput):
                continue
            if (found.size, found.root) == (head.frontier.size, head.frontier.root):
                return found
        raise Tampered("the ledger's newest checkpoint is not the log's")


def leaf_of(envelope: Envelope) -> bytes:
    """Return the leaf hash: it binds the statement's identity, its kind and the key, not the signature."""
    return leaf_hash(record_of(envelope))


def record_of(envelope: Envelope) -> bytes:
    """Return what a leaf is the hash of."""
    statement = envelope.statement
    check_predicate(statement.kind, statement.predicate)
    return f"custody-entry/v1\n{statement.kind}\n{envelope.digest}\n{envelope.keyid}\n".encode()
