"""What the log asks of the places where its rows lie, and of what a client remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from custody.errors import Tampered, Unavailable
from custody.ledger.merkle import Frontier

MAX_NOTE_CHARACTERS = 64 * 1024


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


Sign = Callable[[Head | None, Frontier], str]
"""Return the note for the frontier that follows the given head; raises to refuse the append."""


class Moved(Unavailable):
    """Another writer appended first; read again, then try again."""


class Store(Protocol):
    """Where rows lie. An implementation passes the contract suite in `tests/contract`.

    It keeps every row and the newest checkpoint. Older checkpoints are not kept: their roots follow from
    the rows, and whoever was shown one holds the log against it by a consistency proof.
    """

    def read(self, start: int, stop: int | None = None) -> Snapshot:
        """Return the newest checkpoint and the stored rows from `start` to before `stop`, in order, of one moment."""

    def append(self, rows: Sequence[tuple[bytes, bytes]], sign: Sign) -> tuple[int, Head]:
        """Append (leaf, envelope) pairs and their checkpoint in one durable transaction.

        Returns the first index and the new head. `sign` sees the head this transaction builds on. Concurrent
        writers wait for one another; raises `Unavailable` when they cannot, when the disk is full, or when
        it is read-only.
        """

    def cosign(self, size: int, note: str) -> None:
        """Replace the note of the newest checkpoint, of `size`, by one with more signatures; durable.

        The body must stay the same and every signature line must still be there (`check_cosigned`). Raises
        `Moved` when the newest checkpoint has another size: a cosignature below it would help nobody.
        """

    def close(self) -> None:
        """Let go of the file or the connection."""


class Memory(Protocol):
    """What this client remembers of a log between visits, kept apart from the log itself."""

    def last(self, origin: str) -> tuple[int, bytes] | None:
        """Return the size and root of the newest checkpoint seen, or None on first contact."""

    def remember(self, origin: str, size: int, root: bytes) -> None:
        """Keep a newer checkpoint."""

    def anchored(self, origin: str) -> tuple[int, bytes] | None:
        """Return the size and root of the newest checkpoint that a witness or a time stamp vouches for."""

    def remember_anchor(self, origin: str, size: int, root: bytes) -> None:
        """Keep a newer anchored checkpoint."""

    def verified(self, origin: str) -> tuple[int, bytes] | None:
        """Return how many entries were verified to the last signature, and the sha256 of their bytes."""

    def remember_verified(self, origin: str, size: int, digest: bytes) -> None:
        """Keep that more entries were verified."""


def check_cosigned(old: str, new: str) -> None:
    """Refuse a note that is not `old` with more signature lines behind the same text; raises `Tampered`."""
    (body, blank, lines), (new_body, new_blank, new_lines) = old.partition("\n\n"), new.partition("\n\n")
    if (body, blank) != (new_body, new_blank):
        raise Tampered("the cosigned note is of another checkpoint than the one on record")
    if not new_lines.endswith("\n") or not set(lines.splitlines()) <= set(new_lines.splitlines()):
        raise Tampered("the cosigned note lacks a signature that is on record")
    if len(new) > MAX_NOTE_CHARACTERS:
        raise Tampered(f"the cosigned note is longer than {MAX_NOTE_CHARACTERS} characters")


def read_row(index: object, leaf: object, envelope: object) -> Row:
    """Return a row as a database gave it: the types stand in the schema, and whoever edits one can edit the other."""
    if isinstance(index, int) and isinstance(leaf, bytes) and isinstance(envelope, bytes):
        return Row(index, leaf, envelope)
    raise Tampered(f"entry {index} does not have the form of a ledger entry")


def read_head(size: object, note: object, frontier: object) -> Head:
    """Return a checkpoint as a database gave it."""
    if not (isinstance(size, int) and isinstance(note, str) and isinstance(frontier, bytes) and size >= 0):
        raise Tampered(f"the checkpoint of size {size} does not have the form of a checkpoint")
    try:
        return Head(note, Frontier.from_bytes(size, frontier))
    except ValueError as error:
        raise Tampered(f"the checkpoint of size {size} is damaged: {error}") from None
