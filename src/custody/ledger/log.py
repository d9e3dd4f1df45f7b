"""The log: append envelopes, and read them back only if everything adds up.

An append is acknowledged after the checkpoint that covers it is on disk. A reader recomputes every
leaf and the root, checks the log's signature, and holds the log against the last checkpoint this
client has seen, so that a truncated or rewritten history is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from custody.core.predicates import check_predicate
from custody.errors import InvalidInput, Tampered, Unavailable
from custody.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from custody.ledger.merkle import Frontier, leaf_hash
from custody.seal.envelope import Envelope
from custody.seal.keys import LogKey


@dataclass(frozen=True)
class Row:
    """One stored entry: its place, its leaf hash and the envelope's bytes as they came."""

    index: int
    leaf: bytes
    envelope: bytes


@dataclass(frozen=True)
class Head:
    """The newest checkpoint and the frontier it was made from."""

    note: str
    frontier: Frontier


@dataclass(frozen=True)
class Snapshot:
    """What one consistent look at a store saw: the head (None if never written) and rows."""

    head: Head | None
    rows: Sequence[Row]


Sign = Callable[[Frontier], str]
NewestKey = Callable[[Sequence[tuple[int, Envelope]]], bytes]
"""Tell the log's key in force after these rows, whose place and bytes fit their leaves, but whose root and
signatures are not checked yet. Raises `Tampered` where the rows do not lead from the configured key to one."""


class Store(Protocol):
    """Where rows lie. An implementation passes the contract suite in `tests/contract`."""

    def read(self, start: int) -> Snapshot:
        """Return the newest checkpoint and all stored rows from `start` on, in order, of one moment."""

    def append(self, rows: Sequence[tuple[bytes, bytes]], sign: Sign) -> tuple[int, Head]:
        """Append (leaf, envelope) pairs and their checkpoint in one durable transaction.

        Returns the first index and the new head. Concurrent writers wait for one another; raises
        `Unavailable` when they cannot, when the disk is full, or when it is read-only.
        """

    def cosign(self, size: int, note: str) -> None:
        """Replace the note of the newest checkpoint, of `size`, by one with more signatures; durable.

        The body must stay the same and every signature line must still be there (`check_cosigned`). Raises
        `Moved` when the newest checkpoint has another size: a cosignature below it would help nobody.
        """


class Memory(Protocol):
    """What this client remembers of a log between visits, kept apart from the log itself."""

    def last(self, origin: str) -> tuple[int, bytes] | None:
        """Return the size and root of the newest checkpoint seen, or None on first contact."""

    def remember(self, origin: str, size: int, root: bytes) -> None:
        """Keep a newer checkpoint."""


@dataclass(frozen=True)
class Reading:
    """Verified rows with the checkpoint that covers all of them."""

    rows: Sequence[tuple[int, Envelope]]
    checkpoint: Checkpoint
    note: str
    frontiers: dict[int, Frontier]
    fresh: bool
    """False on first contact: nothing was remembered to hold the log against. Reading again does not mend that."""
    seen: int = 0
    """How many entries were remembered from before the first of these readings; 0 on first contact."""


class Moved(Unavailable):
    """Another writer appended first; read again, then try again."""


class Log:
    """A ledger under one origin and one key."""

    def __init__(
        self,
        store: Store,
        memory: Memory,
        origin: str,
        public: bytes,
        key: LogKey | None = None,
        newest_key: NewestKey | None = None,
    ) -> None:
        self._store, self._memory = store, memory
        self.origin, self._key, self.public = origin, key, public
        self._newest_key: NewestKey = newest_key or (lambda _rows: public)

    def append(self, envelopes: Sequence[Envelope], after: int | None = None) -> tuple[int, str]:
        """Append; returns the first index and the note of the covering checkpoint.

        With `after`, append only if the log has exactly that many entries; raises `Moved` otherwise.
        """
        if self._key is None:
            raise InvalidInput("this log was opened for reading")
        raw = [envelope.to_bytes() for envelope in envelopes]
        rows = [(leaf_of(envelope), body) for envelope, body in zip(envelopes, raw, strict=True)]

        def sign(frontier: Frontier) -> str:
            if after is not None and frontier.size != after + len(rows):
                raise Moved("another command wrote to the ledger at the same moment", hint="try again")
            return self._sign(frontier)

        index, head = self._store.append(rows, sign)
        self._memory.remember(self.origin, head.frontier.size, head.frontier.root)
        return index, head.note

    def cosign(self, note: str) -> None:
        """Keep cosignatures of the newest checkpoint: `note` is its note with more signature lines.

        Raises `Moved` when the log has grown meanwhile, `Tampered` when it is another checkpoint's note.
        """
        lines = note.split("\n", 3)
        if len(lines) < 4 or lines[0] != self.origin or not (lines[1].isascii() and lines[1].isdigit()):
            raise InvalidInput("this is not a checkpoint of this log")
        self._store.cosign(int(lines[1][:16]), note)

    def read(self, known: Reading | None = None) -> Reading:
        """Read and verify the whole log; `known` spares the rows that were verified before.

        (1) every row stands in its place, and its leaf is the hash of its envelope; (2) the checkpoint is
        signed by the log's key, which is the configured one or the one the rows lead to; (3) it is not older
        than what this client remembers; (4) it covers these rows, no fewer and no more, and they give its
        root; (5) they gave the remembered root at the remembered size. Nothing is concluded from a row before
        all five hold, but the log's key: whoever forges rows that lead to a key of their own fails at that
        rotation's signatures, which no checkpoint can replace. Raises `Tampered`.
        """
        remembered = self._memory.last(self.origin)
        rows: list[tuple[int, Envelope]] = list(known.rows) if known else []
        snapshot = self._store.read(len(rows))
        head = snapshot.head
        if head is None:
            raise Tampered("the ledger has no checkpoint", hint="restore it from a backup")
        frontiers = dict(known.frontiers) if known else {0: Frontier()}
        frontier = frontiers[len(rows)]
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
            frontier = frontier.extend([row.leaf])
            frontiers[frontier.size] = frontier
            rows.append((row.index, envelope))
        try:
            checkpoint = open_checkpoint(head.note, self.origin, self._newest_key(rows))  # (2)
        except InvalidInput as error:
            raise Tampered(f"the ledger's newest checkpoint cannot be read: {error}") from None
        if remembered and checkpoint.size < remembered[0]:  # (3)
            raise Tampered(
                f"the ledger was cut short: it has {checkpoint.size} entries, and {remembered[0]} were seen before",
                hint="restore the missing entries from a backup or from an exported bundle",
            )
        if len(rows) > checkpoint.size:  # (4)
            raise Tampered(f"the store holds entry {checkpoint.size}, which no checkpoint covers")
        if len(rows) < checkpoint.size:
            raise Tampered(f"entry {len(rows)} is missing: the checkpoint covers {checkpoint.size} entries")
        if frontier.root != checkpoint.root:
            raise Tampered("the entries do not give the checkpoint's root: one was replaced or moved")
        if remembered and frontiers[remembered[0]].root != remembered[1]:  # (5)
            raise Tampered(f"the first {remembered[0]} entries are not those seen before: history was rewritten")
        self._memory.remember(self.origin, checkpoint.size, checkpoint.root)
        if known:
            return Reading(rows, checkpoint, head.note, frontiers, known.fresh, known.seen)
        seen = remembered[0] if remembered else 0
        return Reading(rows, checkpoint, head.note, frontiers, remembered is not None, seen)

    def _sign(self, frontier: Frontier) -> str:
        if self._key is None:
            raise InvalidInput("this log was opened for reading")
        remembered = self._memory.last(self.origin)
        if remembered and frontier.size <= remembered[0]:
            raise Tampered("refusing to sign: the ledger is shorter than it was when last seen")
        return sign_checkpoint(Checkpoint(self.origin, frontier.size, frontier.root), self._key)


def leaf_of(envelope: Envelope) -> bytes:
    """Return the leaf hash: it binds the statement's identity, its kind and the key, not the signature."""
    statement = envelope.statement
    check_predicate(statement.kind, statement.predicate)
    record = f"custody-entry/v1\n{statement.kind}\n{envelope.digest}\n{envelope.keyid}\n"
    return leaf_hash(record.encode())


def check_cosigned(old: str, new: str) -> None:
    """Refuse a note that is not `old` with more signature lines behind the same text; raises `Tampered`."""
    (body, blank, lines), (new_body, new_blank, new_lines) = old.partition("\n\n"), new.partition("\n\n")
    if (body, blank) != (new_body, new_blank):
        raise Tampered("the cosigned note is of another checkpoint than the one on record")
    if not new_lines.endswith("\n") or not set(lines.splitlines()) <= set(new_lines.splitlines()):
        raise Tampered("the cosigned note lacks a signature that is on record")
